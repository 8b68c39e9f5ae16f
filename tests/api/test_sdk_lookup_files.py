"""Rows of lookup tables by file, through m3ter's own client, whose types check every answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from m3ter.types.lookup_tables import LookupTableRevisionDataGenerateDownloadURLResponse as UploadUrl
from storefront import NOWHERE, read, refused

from tenant import Tenant

FIELDS = [{"name": "model", "type": "STRING"}, {"name": "price", "type": "NUMBER"}]
CSV, JSONL = "text/csv", "application/jsonl"


class Revision:
    """A revision of a table of prices by model."""

    def __init__(self, client: M3ter, table: str, name: str = "First") -> None:
        self.revisions = client.lookup_tables.lookup_table_revisions
        body: Any = {"name": name, "fields": FIELDS, "keys": ["model"]}
        self.table, self.id = table, self.revisions.create(lookup_table_id=table, **body).id
        self.data = client.lookup_tables.lookup_table_revision_data
        self.jobs = self.data.lookup_table_revision_data_jobs
        self.of = {"lookup_table_revision_id": self.id, "lookup_table_id": table}

    def become(self, status: Any) -> None:
        self.revisions.update_status(id=self.id, lookup_table_id=self.table, status=status)

    def put(self, **prices: float) -> None:
        self.data.update(**self.of, items=[{"model": model, "price": price} for model, price in prices.items()])

    def prices(self) -> dict[Any, Any]:
        return {row["model"]: row["price"] for row in self.data.retrieve(**self.of).items}

    def ask(self, body: bytes, form: Any = CSV, **more: Any) -> UploadUrl:
        return self.data.generate_download_url(
            **self.of, content_length=len(body), content_type=form, file_name="prices.csv", **more
        )

    def upload(self, text: str, form: Any = CSV, **more: Any) -> Any:
        """The job of an upload, once its file was sent."""
        asked = self.ask(text.encode(), form, **more)
        read(httpx.put(asked.url or "", content=text.encode(), headers=asked.headers))
        return self.jobs.retrieve(asked.job_id or "", **self.of)

    def download(self, form: Any) -> httpx.Response:
        job = self.jobs.retrieve(self.jobs.download(**self.of, content_type=form).job_id or "", **self.of)
        assert (job.type, job.status) == ("DOWNLOAD", "SUCCEEDED")
        assert job.download_url_expiry
        return httpx.get(job.download_url or "")


@pytest.fixture
def revision(client: M3ter) -> Revision:
    return Revision(client, client.lookup_tables.create(name="Prices", code="prices").id)


def test_rows_are_uploaded_as_csv_and_as_json_lines(revision: Revision) -> None:
    revision.put(small=1, large=2)
    job = revision.upload("model,price\nlarge,2.5\nhuge,1e-05\n")
    assert (job.type, job.status, job.file_name, job.version) == ("UPLOAD", "SUCCEEDED", "prices.csv", 2)
    assert (job.lookup_table_id, job.lookup_table_revision_id) == (revision.table, revision.id)
    assert revision.prices() == {"small": 1, "large": 2.5, "huge": 0.00001}
    assert revision.upload('{"model":"tiny","price":0.25}\n', JSONL, version=2).status == "SUCCEEDED"
    assert revision.prices()["tiny"] == 0.25


def test_a_file_waits_for_its_link_and_is_taken_once(revision: Revision) -> None:
    body = b"model,price\na,1\n"
    asked = revision.ask(body)
    assert revision.jobs.retrieve(asked.job_id or "", **revision.of).status == "PENDING"
    assert asked.headers == {"Content-Type": CSV}
    short = refused(httpx.put(asked.url or "", content=b"model\n"))
    assert short["message"] == "body: the file has 6 bytes, contentLength said 16"
    assert revision.jobs.retrieve(asked.job_id or "", **revision.of).status == "PENDING"
    first = read(httpx.put(asked.url or "", content=body))
    revision.put(a=5)
    assert read(httpx.put(asked.url or "", content=body)) == first
    assert revision.prices() == {"a": 5}
    refused(httpx.put((asked.url or "") + "0", content=body), 403)
    refused(httpx.get(asked.url or ""), 404)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model,price\na,1\nb,x\n", "nothing was changed: row 3, price: must be a number"),
        ("model\na\na\n", "nothing was changed: row 3, model: the key 'a' is in row 2 already"),
    ],
)
def test_a_file_with_a_bad_row_changes_nothing(revision: Revision, http: httpx.Client, text: str, reason: str) -> None:
    revision.put(a=7)
    job = revision.upload(text)
    assert (job.status, job.failure_reason) == ("FAILED", reason)
    assert revision.prices() == {"a": 7}
    path = f"/lookuptables/{revision.table}/revisions/{revision.id}/data/jobs/{job.id}"
    (failure,) = read(http.get(path))["failures"]
    assert failure["row"] == 3
    assert f"row 3, {failure['field']}: {failure['message']}" in reason


def test_an_upload_needs_a_draft_and_the_version_that_it_names(revision: Revision) -> None:
    revision.put(a=1)
    assert "version 1, the request names 7" in revision.upload("model,price\na,2\n", version=7).failure_reason
    body = b"model,price\na,2\n"
    asked = revision.ask(body)
    revision.become("PUBLISHED")
    done = read(httpx.put(asked.url or "", content=body))
    assert (done["status"], "only the rows of a DRAFT" in done["failureReason"]) == ("FAILED", True)
    assert revision.prices() == {"a": 1}
    with pytest.raises(BadRequestError, match="only the rows of a DRAFT"):
        revision.ask(body)


@pytest.mark.parametrize(
    "wrong", [{"content_length": 0}, {"content_length": 104_857_601}, {"file_name": ""}, {"content_type": "text/html"}]
)
def test_an_upload_has_bounds(revision: Revision, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"content_length": 1, "content_type": CSV, "file_name": "a.csv", **wrong}
    with pytest.raises(BadRequestError):
        revision.data.generate_download_url(**revision.of, **given)


def test_a_file_may_be_larger_than_other_requests(revision: Revision) -> None:
    label = "x" * 900
    lines = [f"{label}{each},{each}" for each in range(1300)]
    text = "\n".join(["model,price", *lines])
    assert len(text) > 1_048_576
    refused(httpx.put((revision.ask(text.encode()).url or "") + "0", content=text.encode()), 413)  # a link not proven
    assert revision.upload(text).status == "SUCCEEDED"
    found = revision.revisions.retrieve(id=revision.id, lookup_table_id=revision.table)
    assert found.item_count == 1300


def test_rows_are_downloaded_as_they_stood(revision: Revision) -> None:
    assert revision.download(CSV).text == "model,price\r\n"
    revision.put(b=0.5, a=1)
    csv, lines = revision.download(CSV), revision.download(JSONL)
    assert csv.text == "model,price\r\na,1\r\nb,0.5\r\n"
    assert csv.headers["content-type"].startswith(CSV)
    assert csv.headers["content-disposition"] == 'attachment; filename="prices_First.csv"'
    assert lines.text == '{"model":"a","price":1}\n{"model":"b","price":0.5}\n'
    job = revision.jobs.retrieve(revision.jobs.download(**revision.of, content_type=CSV).job_id or "", **revision.of)
    revision.put(a=9)
    assert httpx.get(job.download_url or "").text == csv.text
    refused(httpx.put(job.download_url or "", content=b"x"), 404)
    assert revision.upload(csv.text).status == "SUCCEEDED"
    assert revision.prices() == {"a": 1, "b": 0.5}


def test_archived_rows_are_fetched(client: M3ter, revision: Revision) -> None:
    revision.put(a=1)
    with pytest.raises(BadRequestError, match="the revision is DRAFT, not archived"):
        revision.data.archieve(**revision.of, content_type=CSV)
    revision.become("PUBLISHED")
    assert list(revision.jobs.list(**revision.of)) == []
    Revision(client, revision.table, "Second").become("PUBLISHED")
    (archived,) = revision.jobs.list(**revision.of)
    assert (archived.type, archived.status, archived.download_url) == ("ARCHIVE", "SUCCEEDED", None)
    revision.jobs.delete(archived.id or "", **revision.of)
    found = revision.data.archieve(**revision.of, content_type=CSV)
    assert found.expiry is not None
    assert httpx.get(found.url or "").text == "model,price\r\na,1\r\n"
    again = revision.data.archieve(**revision.of, content_type=JSONL)
    assert httpx.get(again.url or "").text == '{"model":"a","price":1}\n'
    assert len(list(revision.jobs.list(**revision.of))) == 1


def test_a_copy_is_a_job(client: M3ter, revision: Revision) -> None:
    revision.put(a=1)
    made = revision.data.copy(**revision.of)
    job = revision.jobs.retrieve(made.job_id or "", **revision.of)
    assert (job.type, job.status) == ("COPY", "SUCCEEDED")
    assert job.destination_lookup_table_revision_id == made.revision_id
    assert job.job_date


def test_jobs_are_listed_newest_first_and_deleted(client: M3ter, revision: Revision) -> None:
    ids = [revision.jobs.download(**revision.of, content_type=CSV).job_id or "" for _ in range(3)]
    assert [each.id for each in revision.jobs.list(**revision.of)] == ids[::-1]
    page = revision.jobs.list(**revision.of, page_size=2)
    assert (len(page.data), [each.id for each in page]) == (2, ids[::-1])
    url = revision.jobs.retrieve(ids[0], **revision.of).download_url or ""
    assert revision.jobs.delete(ids[0], **revision.of).id == ids[0]
    with pytest.raises(NotFoundError):
        revision.jobs.retrieve(ids[0], **revision.of)
    refused(httpx.get(url), 404)
    other = Revision(client, revision.table, "Other")
    for attempt in (other.jobs.retrieve, other.jobs.delete):
        with pytest.raises(NotFoundError):
            attempt(ids[1], **other.of)
        with pytest.raises(NotFoundError):
            attempt(NOWHERE, **revision.of)


def test_a_link_is_of_one_organization(revision: Revision, new_organization: Any) -> None:
    other: Tenant = new_organization()
    asked = revision.ask(b"model\na\n")
    url = (asked.url or "").replace(revision.data._client.org_id, other.id)
    assert other.id in url
    refused(httpx.put(url, content=b"model\na\n"), 403)
