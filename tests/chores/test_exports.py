"""Exports however they are cut short: each row once, one state, and no manifest before all else is there."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from reconciling import Works
from tallystick.chores.chore import Left
from tallystick.chores.exports import Exporter, bench_of
from tallystick.control import export_jobs, export_run, export_usage
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.data_exports import DESTINATIONS, SCHEDULES, Gate, save_destination
from tallystick.control.export_download import download_of
from tallystick.control.meters import METERS
from tallystick.control.usage_query import checked_query, query_usage
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.catalog import Pricing, PricingBand
from tallystick.core.entity import Entity
from tallystick.core.export_job import ExportJob, ExportJobStatus
from tallystick.core.export_types import AdHocExport, DestinationType, ExportDestination, ExportSchedule
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.core.usage_request import UsageRequest
from tallystick.errors import Refusal
from tallystick.failpoints import EXPORTS, POINTS
from tallystick.ports import DocumentWhere, Page
from tallystick.ports.exports import NotDelivered, Target

PLACES = tuple(name.removeprefix(EXPORTS) for name in POINTS if name.startswith(EXPORTS))
ROWS_OF_A_FILE = 7
START = Instant.parse("2026-04-02T12:00:00Z")
NOWHERE = "00000000-0000-4000-8000-000000000000"
MEASURED = [
    {
        "uid": f"u{number}",
        "meter": "llm" if number % 3 else "files",
        "account": "abc"[number % 3],
        "ts": f"2026-0{1 + number % 3}-{1 + number % 28:02}T0{number % 10}:00:00Z",
        "measure": {"tokens": number} if number % 3 else {"bytes": number},
    }
    for number in range(60)
]
QUARTER = {"startDate": "2026-01-01T00:00:00Z", "endDate": "2026-04-01T00:00:00Z"}
ORDERS = ("TIME_FIRST", "TYPE_FIRST")
TYPE_FIRST = "type=measurements/date=2026-04-02/hour=12"


class Killed(BaseException):
    """The end of the process."""


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    top = tmp_path_factory.mktemp("exports")
    made = Works(top, "abc", export_dir=str(top / "out"))
    made.count(MEASURED)
    yield made
    made.app.close()


@pytest.fixture
def out(works: Works) -> Iterator[Path]:
    """The organisation's folder of exports, empty."""
    folder = works.app.settings.export_folder
    assert folder is not None
    shutil.rmtree(folder / works.id, ignore_errors=True)
    yield folder / works.id
    works.clock.time = START


def destination(works: Works, **fields: Any) -> Entity[ExportDestination]:
    gate = Gate(targets=works.app.targets, vault=works.app.vault)
    return save_destination(works.desk, gate, {"destination_type": DestinationType.LOCAL, **fields}, None)


def ask(works: Works, shape: str = "JSONL", destinations: tuple[str, ...] = (), **asked: Any) -> str:
    body = {"sourceType": "USAGE", "exportFileFormat": shape, "destinationIds": destinations, **asked}
    value = wire.decode(AdHocExport, wire.encode({**QUARTER, **body} if body["sourceType"] == "USAGE" else body))
    return export_jobs.create_job(works.desk, value, up_to=works.app.journal.last).id


def run(works: Works, id: str, between: Callable[[], None] = lambda: None) -> ExportJob:
    """Run a job to its end, however often it is killed."""
    bench = replace(bench_of(works.app, works.id), rows_of_a_file=ROWS_OF_A_FILE)
    for _ in range(500):
        try:
            job = export_run.run_step(bench, id)
        except Killed:
            job = export_jobs.read_job(works.records, id)
        between()
        if not job.status.active:
            return job
    raise AssertionError(f"the job does not end: {job}")


def rows_in(folder: Path, prefix: str = "") -> list[dict[str, Any]]:
    """The rows of what manifests say is there; what they say of files must be so."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("manifest.json")):
        about = wire.decode(dict[str, Any], path.read_bytes())
        for file in about["files"]:
            content = (folder / file["path"]).read_bytes()
            assert file["path"].startswith(prefix)
            assert (len(content), sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            lines = [wire.decode(dict[str, Any], each) for each in gzip.decompress(content).decode().splitlines()]
            assert len(lines) == file["rowCount"]
            found += lines
        assert about["rowCount"] == sum(file["rowCount"] for file in about["files"])
    return found


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_step_each_measurement_is_there_once(
    works: Works, out: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Killed at every turn but one, at one place; meanwhile usage arrives and a manifest never says too much."""
    turns = Counter[str]()

    def reached(name: str) -> None:
        turns[name] += 1
        if name == EXPORTS + place and turns[name] % 2:
            raise Killed

    monkeypatch.setattr(export_run, "reached", reached)
    ids = tuple(destination(works, partition_order=order, prefix=order.lower()).id for order in ORDERS)
    job_id = ask(works, destinations=ids)
    before, arrived = uids_of(works), iter(range(1_000))

    def meanwhile() -> None:
        rows_in(out)
        number = next(arrived)
        if number < 5:
            late = {"uid": f"late {place} {number}", "meter": "llm", "account": "a", "ts": "2026-02-02T00:00:00Z"}
            works.count([{**late, "measure": {"tokens": 1_000_000}}])

    job = run(works, job_id, meanwhile)
    assert (job.status, job.failure) == (ExportJobStatus.SUCCEEDED, None)
    assert turns[EXPORTS + place] > 1, "it was killed at least once"
    found = rows_in(out)
    assert Counter(row["uid"] for row in found) == Counter(dict.fromkeys(before, 2)), "once at each destination"
    assert (job.rows, job.parts) == (len(before), -(-len(before) // ROWS_OF_A_FILE))
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 2 * (job.parts + 1), "nothing but what the manifests name"
    for order, folders in zip(ORDERS, ("date=2026-04-02/hour=12/type=measurements", TYPE_FIRST), strict=True):
        top = out / order.lower() / f"orgId={works.id}"
        assert len(list((top / folders).glob("*_measurements.jsonl.gz"))) == job.parts
        assert (top / f"manifests/date=2026-04-02/hour=12/job={job.id}/manifest.json").is_file()


def uids_of(works: Works) -> list[str]:
    """What was measured in the quarter, as the data explorer has it."""
    asked = UsageRequest(start_date=Instant.parse("2026-01-01"), end_date=Instant.parse("2026-04-01"))
    query, _ = checked_query(works.records, asked)
    return [row.uid for row in works.app.usage.organization(works.id).raw(query)]


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_step_records_are_of_one_moment(
    works: Works, out: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    left, before = [1], {each.id for each in works.records.every(Account)}

    def reached(name: str) -> None:
        if name == EXPORTS + place and left:
            left.pop()
            raise Killed

    monkeypatch.setattr(export_run, "reached", reached)
    to = destination(works).id
    job_id = ask(works, "JSONL", (to,), sourceType="OPERATIONAL", operationalDataTypes=["ACCOUNTS", "METERS", "BILLS"])

    def meanwhile() -> None:
        works.clock.time = Instant.of(works.clock.time + timedelta(seconds=1))
        code = f"{place} {works.clock.time.wire()}"
        ACCOUNTS.create(works.desk, Account(name="n", code=code, email_address="n@example.com"))

    job = run(works, job_id, meanwhile)
    assert job.status is ExportJobStatus.SUCCEEDED
    assert left == []
    found = rows_in(out)
    assert job.as_of is not None
    new = {each.id for each in works.records.every(Account) if each.created <= job.as_of and each.id not in before}
    accounts = before | new
    assert len(found) == len(accounts) + 2, "each account and each meter once; no bills"
    assert accounts <= {row["id"] for row in found}


def test_numbers_that_are_too_long_for_the_usual_type_get_a_wider_one(works: Works, out: Path) -> None:
    """A price of 30 decimals does not fit into decimal128(38, 18)."""
    price = Decimal("0.123456789012345678901234567890")
    with works.records.transaction() as write:
        band = PricingBand(id="b", lower_limit=Decimal(0), fixed_price=Decimal(0), unit_price=price)
        value = Pricing(
            plan_id=NOWHERE, aggregation_id=NOWHERE, pricing_bands=(band,), start_date=Instant.parse("2026-01-01")
        )
        now = works.clock.now()
        write.insert(Entity(id="p", version=1, value=value, created=now, created_by="t", modified=now, modified_by="t"))
    kinds = ["METERS", "PRICING_BANDS"]
    job = run(works, ask(works, "PARQUET", sourceType="OPERATIONAL", operationalDataTypes=kinds))
    assert (job.status, job.wide, job.parts) == (ExportJobStatus.SUCCEEDED, True, 2)
    folder = bench_of(works.app, works.id).folder(job.id)
    (file,) = folder.glob("*pricing_band*")
    table = parquet.read_table(file)
    assert str(table.schema.field("unitPrice").type) == "decimal256(76, 38)"
    assert table.column("unitPrice").to_pylist() == [price]


def test_a_destination_that_is_away_is_tried_again_and_told_of_at_last(works: Works, out: Path) -> None:
    to = destination(works)
    out.parent.mkdir(exist_ok=True)
    out.write_text("no directory")
    first, second = ask(works, destinations=(to.id,)), ask(works, destinations=(to.id,))
    chore = Exporter()
    waits = [5, 30, 120, 600]
    for seconds in waits:
        while chore.look(works.app, works.id) is Left.MORE:
            pass
        job = export_jobs.read_job(works.records, first)
        assert job.status is ExportJobStatus.RUNNING
        assert job.not_before == works.clock.now() + timedelta(seconds=seconds)
        works.clock.time = Instant.of(works.clock.time + timedelta(seconds=seconds))
    with pytest.raises(Refusal, match="on its way"):
        DESTINATIONS.delete(works.desk, to.id)
    while chore.look(works.app, works.id) is Left.MORE:
        pass
    for job_id in (first, second):
        job = export_jobs.read_job(works.records, job_id)
        assert job.status is ExportJobStatus.FAILED
        assert "cannot be written" in str(job.failure)
        where = DocumentWhere(equal={"event_type": ("DataExportJobFailure",), "resource_id": (job_id,)})
        (event,) = works.records.documents("event", where, Page()).rows
        told = wire.decode(dict[str, Any], event.body)
        assert (told["eventName"], told["m3terEvent"]["new"]["jobId"]) == ("dataexport.job.failure", job_id)
        assert not bench_of(works.app, works.id).folder(job_id).exists()
    out.unlink()
    third = ask(works, destinations=(to.id,))
    while chore.look(works.app, works.id) is Left.MORE:
        pass
    assert export_jobs.read_job(works.records, third).status is ExportJobStatus.SUCCEEDED
    DESTINATIONS.delete(works.desk, to.id)


def test_an_export_that_one_destination_does_not_take_counts_at_none(works: Works, out: Path) -> None:
    good, bad = destination(works, prefix="good").id, destination(works, prefix="bad").id

    class Closed:
        """Opens all destinations but one."""

        def open(self, organization_id: str, asked: Entity[ExportDestination]) -> Target:
            if asked.id == bad:
                raise NotDelivered("no permission to put objects", lasting=True)
            return works.app.targets.open(organization_id, asked)

        def allowed(self, asked: ExportDestination) -> None:
            works.app.targets.allowed(asked)

    job_id = ask(works, destinations=(good, bad))
    bench = replace(bench_of(works.app, works.id), targets=Closed())
    while (job := export_run.run_step(bench, job_id)).status.active:
        pass
    assert (job.status, job.failure) == (ExportJobStatus.FAILED, "no permission to put objects")
    assert list(out.rglob("*_measurements.jsonl.gz")) != []
    assert rows_in(out) == []


def test_schedules_run_once_when_they_are_due(works: Works, out: Path) -> None:
    to = destination(works)
    schedule = SCHEDULES.create(
        works.desk,
        wire.decode(
            ExportSchedule,
            wire.encode(
                {
                    "sourceType": "USAGE",
                    "timePeriod": "PREVIOUS_MONTH",
                    "destinationIds": [to.id],
                    "scheduleType": "DAY",
                    "offset": 6,
                    "exportFileFormat": "JSONL",
                }
            ),
        ),
    )
    chore = Exporter()

    def made() -> list[ExportJob]:
        while chore.look(works.app, works.id) is Left.MORE:
            pass
        return list(export_jobs.list_jobs(works.records, Page(), schedule_id=schedule.id).rows)

    assert made() == [], "what was due before the schedule was made is not made up for"
    works.clock.time = Instant.parse("2026-04-03T06:30:00Z")
    (job,) = made()
    assert job.status is ExportJobStatus.SUCCEEDED
    assert (job.due, job.start, job.end) == tuple(
        map(Instant.parse, ("2026-04-03T06:00:00Z", "2026-03-01", "2026-04-01"))
    )
    march = {each["uid"] for each in MEASURED if str(each["ts"]).startswith("2026-03")}
    assert {row["uid"] for row in rows_in(out, f"orgId={works.id}/date=2026-04-03/hour=06/")} == march
    works.clock.time = Instant.parse("2026-04-03T07:00:00Z")
    assert len(made()) == 1
    works.clock.time = Instant.parse("2026-04-09T07:00:00Z")
    assert [each.due.wire() for each in made()] == ["2026-04-09T06:00:00.000Z", "2026-04-03T06:00:00.000Z"]
    forgotten(works, "2026-04-09")
    assert [each.due.wire() for each in made()] == ["2026-04-09T06:00:00.000Z"]
    works.clock.time = Instant.parse("2026-04-10T08:00:00Z")
    export_run.forget_old_files(bench_of(works.app, works.id))
    forgotten(works, "2026-04-20")
    (latest,) = export_jobs.list_jobs(works.records, Page(), schedule_id=schedule.id).rows
    assert latest.due.wire() == "2026-04-09T06:00:00.000Z", "it says that this was made: nothing is exported twice"
    SCHEDULES.delete(works.desk, schedule.id)
    DESTINATIONS.delete(works.desk, to.id)


def test_a_schedule_of_yesterdays_leaves_no_day_out(works: Works, out: Path) -> None:
    """The server was away for three days: each of them has its export, one after the other."""
    asked = {"sourceType": "USAGE", "timePeriod": "YESTERDAY", "scheduleType": "DAY", "exportFileFormat": "JSONL"}
    schedule = SCHEDULES.create(works.desk, wire.decode(ExportSchedule, wire.encode(asked)))
    for moment in ("2026-04-11T00:05:00Z", "2026-04-14T09:00:00Z", "2026-04-14T09:01:00Z", "2026-04-14T09:02:00Z"):
        works.clock.time = Instant.parse(moment)
        chore = Exporter()
        while chore.look(works.app, works.id) is Left.MORE:
            pass
    jobs = export_jobs.list_jobs(works.records, Page(), schedule_id=schedule.id).rows
    assert [(f"{each.start:%d}", f"{each.end:%d}", each.status.value) for each in reversed(jobs)] == [
        ("10", "11", "SUCCEEDED"),
        ("11", "12", "SUCCEEDED"),
        ("12", "13", "SUCCEEDED"),
        ("13", "14", "SUCCEEDED"),
    ]
    SCHEDULES.delete(works.desk, schedule.id)


def forgotten(works: Works, before: str) -> None:
    while export_run.forget_jobs(works.records, Instant.parse(before)):
        pass


def test_files_are_kept_for_a_day_and_a_little(works: Works, out: Path) -> None:
    job = run(works, ask(works, "CSV"))
    folder = bench_of(works.app, works.id).folder(job.id)
    parts = export_jobs.parts_of(works.records, job)
    assert download_of(works.id, job, parts, folder).media_type == "application/zip"
    works.clock.time = Instant.of(works.clock.time + timedelta(hours=23, minutes=59))
    chore = Exporter()
    assert chore.look(works.app, works.id) is Left.LATER
    assert export_jobs.downloadable(works.records, job.id, works.clock.now()).id == job.id
    works.clock.time = Instant.of(works.clock.time + timedelta(minutes=1))
    with pytest.raises(Refusal, match="24 hours"):
        export_jobs.downloadable(works.records, job.id, works.clock.now())
    assert export_jobs.downloadable(works.records, job.id, works.clock.now(), by_link=True).id == job.id
    works.clock.time = Instant.of(works.clock.time + timedelta(minutes=31))
    chore.look(works.app, works.id)
    assert not folder.exists()
    with pytest.raises(Refusal, match="24 hours"):
        export_jobs.downloadable(works.records, job.id, works.clock.now(), by_link=True)
    forgotten(works, "2026-04-02")
    assert export_jobs.read_job(works.records, job.id).id == job.id, "it was over later"
    forgotten(works, "2026-04-04")
    with pytest.raises(Refusal, match="no export job"):
        export_jobs.read_job(works.records, job.id)
    assert export_jobs.parts_of(works.records, job) == ()


@pytest.mark.parametrize(
    "groups",
    [
        (),
        ("ACCOUNT",),
        ("HOUR",),
        ("DAY", "ACCOUNT"),
        ("WEEK",),
        ("MONTH", "WEEK"),
        ("QUARTER", "ACCOUNT"),
    ],
)
def test_numbers_made_in_steps_are_those_of_one_question(
    works: Works, monkeypatch: pytest.MonkeyPatch, groups: tuple[str, ...]
) -> None:
    """Stretches of time and ranges of accounts hold whole groups, so nothing is counted in parts."""
    monkeypatch.setattr(export_usage, "ACCOUNTS_AT_ONCE", 1)
    asked = {
        "aggregations": [
            {"meterId": works.meter.id, "fieldCode": "tokens", "fieldType": "MEASURE", "function": function}
            for function in ("SUM", "MEAN", "MAX", "LATEST", "COUNT")
        ],
        "groups": [
            {"groupType": "ACCOUNT"} if each == "ACCOUNT" else {"groupType": "TIME", "frequency": each}
            for each in groups
        ],
    }
    job = run(works, ask(works, "JSONL", **asked))
    assert job.status is ExportJobStatus.SUCCEEDED, job.failure
    folder = bench_of(works.app, works.id).folder(job.id)
    found = [
        wire.decode(dict[str, Any], line)
        for path in folder.glob("*_measurements.jsonl.gz")
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    request = wire.decode(UsageRequest, wire.encode({**QUARTER, **asked}))
    answer = query_usage(works.records, works.app.usage.organization(works.id), request)
    expected = [wire.decode(dict[str, Any], wire.encode(row)) for row in answer.rows]
    assert sorted(map(str, found)) == sorted(map(str, expected)) != []


@pytest.mark.parametrize("shape", ["JSONL", "PARQUET"])
def test_fields_that_change_and_fields_that_nobody_declared_are_all_there(works: Works, shape: str) -> None:
    """`size` is a number at first, then a text; `uid` is also the name of a column; `colour` was never declared."""
    code = f"odd-{shape}"

    def fields(category: Category) -> tuple[DataField, ...]:
        unit = "By" if category is Category.MEASURE else None
        return (
            DataField(code="uid", name="Uid", category=Category.WHAT),
            DataField(code="size", name="Size", category=category, unit=unit),
        )

    def meter(category: Category) -> Meter:
        return Meter(name=code, code=code, data_fields=fields(category), derived_fields=())

    made = METERS.create(works.desk, meter(Category.MEASURE))
    head = {"meter": code, "account": "a", "ts": "2026-02-01T00:00:00Z", "what": {"uid": "own"}}
    works.count([{**head, "uid": f"{code}-1", "measure": {"size": 5.25}, "other": {"colour": "red"}}])
    METERS.update(works.desk, made.id, meter(Category.WHAT), None)
    works.count([{**head, "uid": f"{code}-2", "what": {"uid": "own", "size": "large"}}])

    def rows() -> list[dict[str, Any]]:
        job = run(works, ask(works, shape, meterIds=[made.id]))
        assert job.status is ExportJobStatus.SUCCEEDED, job.failure
        (path,) = bench_of(works.app, works.id).folder(job.id).glob("*_measurements.*")
        if shape == "PARQUET":
            found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
            return [{name: value for name, value in row.items() if value is not None} for row in found]
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        return [wire.decode(dict[str, Any], line) for line in lines]

    def undeclared(row: dict[str, Any]) -> Any:
        rest = row.get("undeclared")
        return wire.decode(dict[str, Any], rest) if isinstance(rest, str) else rest

    first, second = rows()
    assert (first["uid"], first["fields.uid"], first["size"]) == (f"{code}-1", "own", "5.25")
    assert (second["fields.uid"], second["size"]) == ("own", "large")
    assert "red" in str(undeclared(first))
    METERS.update(works.desk, made.id, meter(Category.MEASURE), None)
    first, second = rows()
    assert first["size"] == Decimal("5.25")
    assert "size" not in second
    assert undeclared(second) == {"size": "large"}
