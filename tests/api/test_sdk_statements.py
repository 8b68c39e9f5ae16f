"""Statements through the official client, unmodified: the usage behind a bill, day by day, as JSON and as CSV."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError, PermissionDeniedError
from storefront import NOWHERE, Storefront, read, send

from tallystick.core import wire

WAIT_SECONDS = 30


class Books:
    """A storefront whose account used 4 + 2 bytes on 10 January and 1 on the 20th; its bill of January is made."""

    def __init__(self, client: M3ter, http: httpx.Client) -> None:
        self.client, self.http = client, http
        self.shop = Storefront(http)
        self.meter, self.account = self.shop.ids["/meters"], self.shop.ids["/accounts"]
        self.measure("one", "2025-01-10T12:00:00Z", 4, "eu")
        self.measure("two", "2025-01-10T13:00:00Z", 2, "=HYPERLINK(1)")
        self.measure("three", "2025-01-20T00:00:00Z", 1, "eu")
        (self.bill,) = self.bills("2025-01-31")

    def measure(self, uid: str, ts: str, quantity: int, region: str) -> None:
        self.shop.measure(
            {
                "uid": uid,
                "meter": "traffic",
                "account": "acme",
                "ts": ts,
                "measure": {"bytes": quantity},
                "where": {"region": region},
                "metadata": {"file": "a"},
            }
        )

    def bills(self, last_day: str) -> list[str]:
        job = self.client.bill_jobs.create(last_date_in_billing_period=last_day, account_ids=[self.account])
        done = until(lambda: self.client.bill_jobs.retrieve(job.id), lambda job: job.status == "COMPLETE")
        return list(done.bill_ids or ())

    def define(self, **body: Any) -> str:
        """A definition that the account's statements follow."""
        made = self.client.statements.statement_definitions.create(**body).id
        account = {"name": "Acme", "code": "acme", "email_address": "billing@acme.example"}
        self.client.accounts.update(self.account, **account, statement_definition_id=made)
        return made

    def job(self, **more: Any) -> Any:
        jobs = self.client.statements.statement_jobs
        made = jobs.create(bill_id=self.bill, **more)
        return until(lambda: jobs.retrieve(made.id), lambda job: job.statement_job_status not in {"PENDING", "RUNNING"})

    def statement(self) -> Any:
        """The statement of the bill, made anew, as it is downloaded."""
        return wire.decode(dict[str, Any], httpx.get(self.job().presigned_json_statement_url).content)

    def table(self) -> list[list[str]]:
        """The same as CSV."""
        reply = httpx.get(self.client.statements.create_csv(self.bill).download_url or "")
        assert reply.headers["content-type"].startswith("text/csv")
        return list(csv.reader(reply.text.splitlines()))


def until(look: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.fixture
def books(client: M3ter, http: httpx.Client) -> Books:
    return Books(client, http)


# ------------------------------------------------------------------------------------------------------ definitions


def layout(meter: str) -> dict[str, Any]:
    return {
        "aggregation_frequency": "WEEK",
        "name": "Weekly",
        "include_price_per_unit": True,
        "generate_slim_statements": True,
        "measures": [{"meter_id": meter, "name": "bytes", "aggregations": ["SUM", "MAX"]}],
        "dimensions": [{"meter_id": meter, "name": "region", "filter": ["*"]}],
    }


def test_a_definition_is_created_read_listed_updated_and_deleted(client: M3ter, http: httpx.Client) -> None:
    definitions = client.statements.statement_definitions
    body = layout(Storefront(http).ids["/meters"])
    created = definitions.create(**body)
    assert created.version == 1
    assert (created.aggregation_frequency, created.name) == ("WEEK", "Weekly")
    assert created.measures is not None
    assert created.dimensions is not None
    assert (created.measures[0].aggregations, created.dimensions[0].filter) == (["SUM", "MAX"], ["*"])
    assert definitions.retrieve(created.id) == created
    assert next(iter(definitions.list(page_size=1))) == created, "the newest first"
    changed = definitions.update(created.id, **{**body, "aggregation_frequency": "YEAR"}, version=1)
    assert (changed.version, changed.aggregation_frequency) == (2, "YEAR")
    with pytest.raises(BadRequestError, match="version 2"):
        definitions.update(created.id, **body, version=1)
    assert definitions.delete(created.id) == changed
    with pytest.raises(NotFoundError):
        definitions.retrieve(created.id)


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"aggregationFrequency": "HOUR"}, "aggregationFrequency"),
    ({"measures": [{"meterId": NOWHERE}]}, "meterId"),
    ({"measures": [{"name": "calls"}]}, "measures"),
    ({"measures": [{"name": "bytes", "aggregations": ["UNIQUE"]}]}, "measures"),
    ({"measures": [{"name": "bytes", "aggregations": ["SUM", "SUM"]}]}, "aggregations"),
    ({"measures": [{"name": "bytes", "aggregations": ["CUSTOM_SQL"]}]}, "aggregations"),
    ({"dimensions": [{"name": "bytes", "filter": ["*"]}]}, "dimensions"),
    ({"dimensions": [{"name": "file", "filter": ["*"]}]}, "dimensions"),
    ({"dimensions": [{"name": "region", "filter": []}]}, "filter"),
    ({"dimensions": [{"name": "region", "filter": ["*"], "attributes": ["size"]}]}, "attributes"),
)


def test_a_definition_says_what_there_is(http: httpx.Client) -> None:
    meter = Storefront(http).ids["/meters"]
    for changes, named in WRONG:
        rows = {
            name: [{"meterId": meter, **row} for row in value] if isinstance(value, list) else value
            for name, value in changes.items()
        }
        body = {"aggregationFrequency": "DAY", **rows}
        refused = read(send(http, "POST", "/statementdefinitions", body), 400)
        assert named in refused["message"], (changes, refused)


def test_what_is_in_use_stays(books: Books) -> None:
    definition = books.define(**layout(books.meter))
    with pytest.raises(BadRequestError, match=f"used by account {books.account}"):
        books.client.statements.statement_definitions.delete(definition)
    config = read(books.http.get("/organizationconfig"))
    read(send(books.http, "PUT", "/organizationconfig", {**config, "defaultStatementDefinitionId": definition}))
    account = {"name": "Acme", "code": "acme", "email_address": "billing@acme.example"}
    books.client.accounts.update(books.account, **account)
    with pytest.raises(BadRequestError, match="used by organisation configuration"):
        books.client.statements.statement_definitions.delete(definition)


# ------------------------------------------------------------------------------------------------------ statements


def test_without_a_definition_a_statement_shows_each_day_what_the_bill_counted(books: Books) -> None:
    statement = books.statement()
    rows = statement["usage"]
    assert len(rows) == 31
    assert {row["aggregation"] for row in rows} == {"SUM"}
    assert rows[9] == {
        "meterId": books.meter,
        "meterCode": "traffic",
        "measure": "bytes",
        "aggregation": "SUM",
        "unit": "By",
        "startDate": "2025-01-10T00:00:00.000Z",
        "endDate": "2025-01-11T00:00:00.000Z",
        "value": 6,
        "measurements": 2,
        "pricePerUnit": Decimal("0.25"),
    }
    assert (rows[0]["value"], rows[0]["measurements"]) == (None, 0)
    line = next(each for each in books.client.bills.retrieve(books.bill).line_items or () if each.quantity == 7)
    assert sum(row["value"] or 0 for row in rows) == 7
    (shown,) = statement["lineItems"]
    assert (shown["lineItemId"], shown["quantity"], shown["pricePerUnit"]) == (line.id, 7, Decimal("0.25"))


def test_a_statement_is_split_by_time_and_dimension_and_may_be_slim(books: Books) -> None:
    books.define(**layout(books.meter))
    statement = books.statement()
    assert "lineItems" not in statement
    told = [
        (row["startDate"][:10], row["endDate"][:10], row["aggregation"], row["dimensions"]["region"], row["value"])
        for row in statement["usage"]
    ]
    assert told == [
        ("2025-01-06", "2025-01-13", "SUM", "=HYPERLINK(1)", 2),
        ("2025-01-06", "2025-01-13", "SUM", "eu", 4),
        ("2025-01-06", "2025-01-13", "MAX", "=HYPERLINK(1)", 2),
        ("2025-01-06", "2025-01-13", "MAX", "eu", 4),
        ("2025-01-20", "2025-01-27", "SUM", "eu", 1),
        ("2025-01-20", "2025-01-27", "MAX", "eu", 1),
    ]


@pytest.mark.parametrize(
    ("frequency", "stretches"), [("DAY", 31), ("WEEK", 5), ("MONTH", 1), ("QUARTER", 1), ("YEAR", 1)]
)
def test_stretches_end_with_the_bill_and_add_up(books: Books, frequency: str, stretches: int) -> None:
    books.define(aggregation_frequency=frequency, measures=[{"aggregations": ["SUM", "MEAN"]}])
    rows = books.statement()["usage"]
    sums = [row for row in rows if row["aggregation"] == "SUM"]
    assert len(sums) == stretches
    assert (sums[0]["startDate"][:10], sums[-1]["endDate"][:10]) == ("2025-01-01", "2025-02-01")
    assert all(one["endDate"] == other["startDate"] for one, other in pairwise(sums))
    assert sum(row["value"] or 0 for row in sums) == 7


def test_the_whole_period_is_one_stretch_and_a_filter_keeps_some_values(books: Books) -> None:
    books.define(
        aggregation_frequency="WHOLE_PERIOD",
        measures=[{"aggregations": ["SUM", "COUNT", "LATEST", "MIN"]}, {"name": "region", "aggregations": ["UNIQUE"]}],
        dimensions=[{"name": "region", "filter": ["eu"]}],
    )
    told = [(row["aggregation"], row["dimensions"], row["value"]) for row in books.statement()["usage"]]
    europe = {"region": "eu"}
    assert told == [
        ("SUM", europe, 5),
        ("COUNT", europe, 2),
        ("LATEST", europe, 1),
        ("MIN", europe, 1),
        ("UNIQUE", europe, 1),
    ]


def test_a_spreadsheet_computes_nothing_of_a_statement(books: Books) -> None:
    books.define(**layout(books.meter))
    header, first, *_ = books.table()
    assert header[:4] == ["billId", "accountCode", "meter", "measure"]
    assert header[8:] == ["region", "value", "measurements", "pricePerUnit"]
    assert first[1:] == [
        "acme",
        "traffic",
        "bytes",
        "SUM",
        "By",
        "2025-01-06T00:00:00.000Z",
        "2025-01-13T00:00:00.000Z",
        "'=HYPERLINK(1)",
        "2",
        "1",
        "0.25",
    ]


# ------------------------------------------------------------------------------------------------------ jobs


def test_a_job_makes_what_was_asked_for_and_the_bill_says_so(books: Books) -> None:
    statements = books.client.statements
    with pytest.raises(NotFoundError, match="no JSON statement"):
        statements.get_json(books.bill)
    done = books.job()
    assert (done.statement_job_status, done.json_statement_status, done.csv_statement_status) == (
        "COMPLETE",
        "LATEST",
        None,
    )
    assert done.presigned_csv_statement_url is None
    bill = books.client.bills.retrieve(books.bill)
    assert (bill.json_statement_generated, bill.csv_statement_generated, bill.statement_stale) == (True, False, False)
    assert statements.get_json(books.bill).download_url
    with pytest.raises(NotFoundError, match="no CSV statement"):
        statements.get_csv(books.bill)
    assert books.job(include_csv_format=True).presigned_csv_statement_url
    assert books.client.bills.retrieve(books.bill).csv_statement_generated
    assert statements.get_csv(books.bill).download_url


def test_a_statement_is_stale_when_its_bill_was_made_again_and_invalid_when_it_is_gone(books: Books) -> None:
    jobs = books.client.statements.statement_jobs
    first = books.job()
    books.measure("late", "2025-01-30T00:00:00Z", 3, "eu")
    assert books.bills("2025-01-31") == [books.bill]
    assert books.client.bills.retrieve(books.bill).statement_stale
    stale = jobs.retrieve(first.id)
    assert stale.json_statement_status == "STALE"
    old = wire.decode(dict[str, Any], httpx.get(stale.presigned_json_statement_url or "").content)
    assert sum(row["value"] or 0 for row in old["usage"]) == 7, "as it was made"
    assert sum(row["value"] or 0 for row in books.statement()["usage"]) == 10
    assert not books.client.bills.retrieve(books.bill).statement_stale
    books.client.bills.delete(books.bill)
    gone = jobs.retrieve(first.id)
    assert (gone.json_statement_status, gone.presigned_json_statement_url) == ("INVALIDATED", None)


def test_usage_after_a_bill_was_made_is_not_on_its_statement(books: Books) -> None:
    books.measure("late", "2025-01-30T00:00:00Z", 3, "eu")
    until(lambda: usage_of(books), lambda total: total == 10)
    assert sum(row["value"] or 0 for row in books.statement()["usage"]) == 7


def usage_of(books: Books) -> Any:
    column = {"meterId": books.meter, "fieldCode": "bytes", "fieldType": "MEASURE", "function": "SUM"}
    rows = read(send(books.http, "POST", "/usage/query", {"aggregations": [column]}))["data"]
    return rows[0]["bytes.SUM"] if rows else None


def test_jobs_are_listed_by_bill_and_status_and_a_finished_one_cannot_be_stopped(books: Books) -> None:
    jobs = books.client.statements.statement_jobs
    done = books.job(filters={"meter_ids": [books.meter]})
    assert done.filters is not None
    assert done.filters.meter_ids == [books.meter]
    assert [each.id for each in jobs.list(bill_id=books.bill)] == [done.id]
    assert [each.id for each in jobs.list(status="COMPLETE", active="false")] == [done.id]
    assert list(jobs.list(bill_id=NOWHERE)) == list(jobs.list(active="true")) == list(jobs.list(status="FAILED")) == []
    assert jobs.cancel(done.id).statement_job_status == "COMPLETE"
    assert not books.client.bills.retrieve(books.bill).json_statement_generated, "a part is no statement of the bill"
    with pytest.raises(BadRequestError, match="status"):
        list(jobs.list(status="DONE"))


def test_a_batch_answers_a_bare_array(books: Books) -> None:
    (february,) = books.bills("2025-02-28")
    jobs = books.client.statements.statement_jobs
    made = jobs.create_batch(bill_ids=[books.bill, february], include_csv_format=True)
    assert [each.bill_id for each in made] == [books.bill, february]
    for wrong in ([], [books.bill] * 2, [NOWHERE], [books.bill] * 11):
        with pytest.raises(BadRequestError, match="billIds"):
            jobs.create_batch(bill_ids=wrong)
    with pytest.raises(BadRequestError, match="billId: there is no bill"):
        jobs.create(bill_id=NOWHERE)
    with pytest.raises(BadRequestError, match=r"filters\.meterIds"):
        jobs.create(bill_id=books.bill, filters={"meter_ids": [NOWHERE]})


@pytest.mark.parametrize(("mode", "csv_too"), [("JSON", False), ("JSON_AND_CSV", True)])
def test_an_approved_bill_gets_its_statement_by_itself(books: Books, mode: Any, csv_too: bool) -> None:
    account = {"name": "Acme", "code": "acme", "email_address": "billing@acme.example"}
    books.client.accounts.update(books.account, **account, auto_generate_statement_mode=mode)
    assert list(books.client.statements.statement_jobs.list()) == []
    books.client.bills.approve(bill_ids=[books.bill])
    bill = until(lambda: books.client.bills.retrieve(books.bill), lambda bill: bill.json_statement_generated)
    assert (bill.csv_statement_generated, bill.status) == (csv_too, "APPROVED")
    books.client.bills.lock(books.bill)
    assert len(list(books.client.statements.statement_jobs.list())) == 1, "it is still the latest"


def test_a_link_opens_one_statement_only(books: Books) -> None:
    url = books.job().presigned_json_statement_url
    assert httpx.get(url).status_code == 200
    for changed in (url.replace("format=json", "format=csv"), url.replace("statement=", "statement=0")):
        assert httpx.get(changed).status_code == 403
    with pytest.raises(PermissionDeniedError):
        books.client.get("/organizations/" + NOWHERE + "/statementjobs", cast_to=object)
