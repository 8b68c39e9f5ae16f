"""An export of records that is killed goes on where it was, unless something was changed since."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from reconciling import Works
from tallystick.chores.exports import bench_of
from tallystick.control import export_jobs, export_run
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.export_run import ExportBench
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.export_job import ExportJob, ExportJobStatus
from tallystick.core.export_types import AdHocExport
from tallystick.core.meter import Meter

KINDS = ["PRODUCTS", "ACCOUNTS", "METERS"]


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """Seven accounts and two meters, exported in files of two rows."""
    made = Works(tmp_path_factory.mktemp("resumed"), "abcdefg")
    yield made
    made.app.close()


@pytest.fixture
def bench(works: Works) -> ExportBench:
    return replace(bench_of(works.app, works.id), rows_of_a_file=2)


class Killed(BaseException):
    """The end of the process."""


def ask(works: Works, *kinds: str) -> str:
    body = {"sourceType": "OPERATIONAL", "exportFileFormat": "JSONL", "operationalDataTypes": kinds}
    asked = wire.decode(AdHocExport, wire.encode(body))
    return export_jobs.create_job(works.desk, asked, up_to=works.app.journal.last).id


class Steps:
    """Counts the files that are written, and kills once so many are kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.written, self.kept, self.at = 0, 0, at
        monkeypatch.setattr(export_run, "reached", self.reached)

    def reached(self, name: str) -> None:
        self.written += name == "exports.part written"
        self.kept += name == "exports.part kept"
        if name == "exports.part kept" and self.kept == self.at:
            raise Killed


def finished(bench: ExportBench, id: str) -> ExportJob:
    while (job := export_run.run_step(bench, id)).status.active:
        pass
    assert job.status is ExportJobStatus.SUCCEEDED, job.failure
    return job


def ids_in(bench: ExportBench, job: ExportJob) -> list[str]:
    """The ids of all rows, file by file, as the files of the job are listed."""
    found: list[str] = []
    for part in export_jobs.parts_of(bench.records, job):
        (path,) = bench.folder(job.id).glob(f"{part.id}_*")
        rows = [wire.decode(dict[str, Any], each) for each in gzip.decompress(path.read_bytes()).splitlines()]
        assert len(rows) == part.rows
        found += [row["id"] for row in rows]
    return found


# No product, seven accounts, two meters: files of 0, 2, 2, 2, 1 and 2 rows.
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_what_was_made_before_a_kill_is_not_made_again(
    works: Works, bench: ExportBench, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    steps = Steps(monkeypatch, at)
    job_id = ask(works, *KINDS)
    export_run.run_step(bench, job_id)
    with pytest.raises(Killed):
        export_run.run_step(bench, job_id)
    begun = export_jobs.read_job(bench.records, job_id).as_of
    job = finished(bench, job_id)
    assert (steps.written, job.parts, job.rows, job.as_of) == (6, 6, 9, begun)
    assert sorted(ids_in(bench, job)) == sorted(every_id(works))
    assert [part.number for part in export_jobs.parts_of(bench.records, job)] == list(range(6))


def test_all_is_made_anew_where_something_was_changed_or_a_file_is_gone(
    works: Works, bench: ExportBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, 3)
    job_id = ask(works, *KINDS)
    export_run.run_step(bench, job_id)
    with pytest.raises(Killed):
        export_run.run_step(bench, job_id)
    ACCOUNTS.create(works.desk, Account(name="Late", code="late", email_address="late@example.com"))
    steps.at = steps.kept + 2
    with pytest.raises(Killed):
        export_run.run_step(bench, job_id)
    next(bench.folder(job_id).glob("*_account*")).unlink()
    job = finished(bench, job_id)
    assert (steps.written, job.parts, job.rows) == (3 + 2 + 6, 6, 10)
    assert sorted(ids_in(bench, job)) == sorted(every_id(works))


def every_id(works: Works) -> list[str]:
    return [*(each.id for each in works.records.every(Account)), *(each.id for each in works.records.every(Meter))]


def test_what_schedules_add_to_balances_is_in_no_audit_so_transactions_are_made_anew(
    works: Works, bench: ExportBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch, 1)
    job_id = ask(works, "BALANCE_TRANSACTIONS", "METERS")
    export_run.run_step(bench, job_id)
    with pytest.raises(Killed):
        export_run.run_step(bench, job_id)
    assert finished(bench, job_id).parts == 2
    assert steps.written == 1 + 2
