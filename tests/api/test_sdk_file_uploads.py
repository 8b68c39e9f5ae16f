"""Files of measurements through m3ter's own client: a link, the file, its job, and what of it counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from m3ter.types.usage.file_uploads import FileUploadJobResponse
from storefront import NOWHERE, read, refused

from tenant import Tenant

FIELDS: Any = [{"category": "MEASURE", "code": "tokens", "name": "Tokens", "unit": "{token}"}]
DAY = "2025-03-01T12:00:00Z"


class Uploads:
    """An organisation with a meter, and the way to send files to it."""

    def __init__(self, client: M3ter, http: httpx.Client) -> None:
        self.client, self.http = client, http
        client.meters.create(name="LLM", code="llm", data_fields=FIELDS, derived_fields=[])
        self.jobs = client.usage.file_uploads.jobs

    def ask(self, size: int, name: str = "march.json", form: Any = "application/json") -> Any:
        return self.client.usage.file_uploads.generate_upload_url(
            content_length=size, content_type=form, file_name=name
        )

    def send(self, body: bytes) -> FileUploadJobResponse:
        asked = self.ask(len(body))
        read(httpx.put(asked.url, content=body, headers=asked.headers))
        return self.done(asked.job_id)

    def done(self, id: str) -> FileUploadJobResponse:
        until = time.monotonic() + 30
        while (job := self.jobs.retrieve(id)).status == "running":
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    def tokens(self, expected: int) -> int:
        """The sum of all tokens, once the projection has come as far as it must."""
        asked = {
            "startDate": "2025-01-01T00:00:00Z",
            "endDate": "2026-01-01T00:00:00Z",
            "aggregations": [{"meterId": self.meter, "fieldCode": "tokens", "fieldType": "MEASURE", "function": "SUM"}],
        }
        found = 0
        for _ in range(200):
            rows = read(self.http.post("/usage/query", json=asked))["data"]
            found = int(rows[0]["tokens.SUM"]) if rows else 0
            if found == expected:
                break
            time.sleep(0.05)
        return found

    @property
    def meter(self) -> str:
        (row,) = read(self.http.get("/meters"))["data"]
        return str(row["id"])


@pytest.fixture
def uploads(client: M3ter, http: httpx.Client) -> Uploads:
    return Uploads(client, http)


def member(uid: str | None, tokens: object, meter: str = "llm") -> dict[str, object]:
    named = {} if uid is None else {"uid": uid}
    return {**named, "meter": meter, "account": "acorn", "ts": DAY, "measure": {"tokens": tokens}}


def file_of(*members: object) -> bytes:
    return json.dumps({"measurements": members}).encode()


def test_a_file_becomes_measurements(uploads: Uploads) -> None:
    body = file_of(member("a", 1), member("b", 20), member(None, 300), member("a", 1), member("c", 5, "no-meter"))
    asked = uploads.ask(len(body), form="text/json")
    assert asked.headers == {"Content-Type": "text/json"}
    waiting = uploads.jobs.retrieve(asked.job_id)
    assert (waiting.status, waiting.file_name, waiting.content_length) == ("notUploaded", "march.json", len(body))
    read(httpx.put(asked.url, content=body, headers=asked.headers))
    job = uploads.done(asked.job_id)
    assert (job.status, job.total_rows, job.processed_rows, job.failed_rows) == ("succeeded", 5, 5, 1)
    assert uploads.tokens(321) == 321
    failed = read(uploads.http.get("/failedmeasurements"))["data"]
    assert [(each["code"], each["uid"]) for each in failed] == [("undefined_meter", "c")]


def test_a_file_is_taken_once_however_often_it_comes(uploads: Uploads) -> None:
    body = file_of(member(None, 1), member("b", 20))
    asked = uploads.ask(len(body))
    first = read(httpx.put(asked.url, content=body))
    assert first["status"] == "running"
    assert uploads.done(asked.job_id).processed_rows == 2
    assert read(httpx.put(asked.url, content=body))["status"] == "succeeded"
    other = refused(httpx.put(asked.url, content=file_of(member(None, 2), member("c", 20))))
    assert "has come already with other content" in other["message"]
    assert uploads.send(body).status == "succeeded"  # another file: its member without a uid is another measurement
    assert uploads.tokens(22) == 22


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"uid,meter\n", "must begin with"),
        (file_of(member("a", 1))[:-4], "breaks off in or behind the member at byte 18"),
        (file_of(member("a", 1), member("b", 2))[:-1], "must end behind the list"),
    ],
)
def test_a_broken_file_counts_nothing(uploads: Uploads, body: bytes, why: str) -> None:
    job = uploads.send(body)
    assert (job.status, job.total_rows) == ("failed", None)
    assert why in read(uploads.http.get(f"/fileuploads/measurements/jobs/{job.id}"))["failureReason"]
    told = read(uploads.http.get("/events", params={"eventName": "measurements.file.failed"}))["data"]
    assert [each["m3terEvent"]["jobId"] for each in told] == [job.id]
    assert read(uploads.http.get("/failedmeasurements"))["data"] == []


def test_a_file_must_be_as_long_as_was_said(uploads: Uploads) -> None:
    body = file_of(member("a", 1))
    asked = uploads.ask(len(body))
    assert "contentLength said" in refused(httpx.put(asked.url, content=body[:-1]))["message"]
    assert "more than the" in refused(httpx.put(asked.url, content=body + b" "))["message"]
    assert uploads.jobs.retrieve(asked.job_id).status == "notUploaded"
    read(httpx.put(asked.url, content=body))
    assert uploads.done(asked.job_id).status == "succeeded"


def test_a_link_is_for_one_file_of_one_organisation(uploads: Uploads, new_organization: Callable[[], Tenant]) -> None:
    body = file_of(member("a", 1))
    asked = uploads.ask(len(body))
    refused(httpx.put(asked.url + "0", content=body), 403)
    refused(httpx.put(asked.url.replace(asked.job_id, NOWHERE), content=body), 403)
    refused(httpx.put(asked.url.split("?")[0], content=body), 403)
    other = new_organization()
    elsewhere = asked.url.replace(uploads.http.base_url.path.split("/")[2], other.id)
    refused(httpx.put(elsewhere, content=body), 403)
    with other.http() as stranger:
        refused(stranger.get(f"/fileuploads/measurements/jobs/{asked.job_id}"), 404)
        refused(stranger.get(f"/fileuploads/measurements/jobs/{asked.job_id}/original"), 404)


def test_what_was_sent_can_be_fetched_again(uploads: Uploads) -> None:
    body = file_of(*(member(str(each), each) for each in range(12_000)))  # more than a part
    assert len(body) > 1_048_576
    asked = uploads.ask(len(body), "märz 2025.json")
    with pytest.raises(NotFoundError, match="did not come"):
        uploads.jobs.get_original_download_url(asked.job_id)
    read(httpx.put(asked.url, content=iter([body[:100], body[100:]])))
    link = uploads.jobs.get_original_download_url(asked.job_id)
    assert link.job_id not in {None, asked.job_id}
    found = httpx.get(link.url or "", headers=link.headers)
    assert found.content == body
    assert found.headers["content-disposition"] == 'attachment; filename="m_rz_2025.json"'
    job = uploads.done(asked.job_id)
    assert (job.status, job.total_rows, job.processed_rows, job.failed_rows) == ("succeeded", 12_000, 12_000, 0)
    assert uploads.tokens(12_000 * 11_999 // 2) == 12_000 * 11_999 // 2


def test_jobs_are_listed_by_date_and_status(uploads: Uploads) -> None:
    body = file_of(member("a", 1))
    sent, asked = uploads.send(body), uploads.ask(10)
    assert [each.id for each in uploads.jobs.list()] == [asked.job_id, sent.id]
    first = uploads.jobs.list(page_size=1)
    assert ([each.id for each in first.data], [each.id for each in first.get_next_page().data]) == (
        [asked.job_id],
        [sent.id],
    )
    assert list(uploads.jobs.list(date_created_end="2025-01-01T00:00:00Z")) == []
    assert len(list(uploads.jobs.list(date_created_start="2025-01-01T00:00:00Z"))) == 2
    found = read(uploads.http.get("/fileuploads/measurements/jobs", params={"status": "succeeded"}))["data"]
    assert [each["id"] for each in found] == [sent.id]
    with pytest.raises(NotFoundError):
        uploads.jobs.retrieve(NOWHERE)


@pytest.mark.parametrize(
    ("size", "name", "form"),
    [(0, "a.json", "text/json"), (1_073_741_825, "a.json", "text/json"), (1, "", "text/json"), (1, "a", "text/csv")],
)
def test_an_upload_has_bounds(uploads: Uploads, size: int, name: str, form: str) -> None:
    with pytest.raises(BadRequestError):
        uploads.ask(size, name, form)
