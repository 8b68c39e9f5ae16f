"""Bills that wait for a reconciliation, which runs every day by the clock; and runs that stop, or read a lot."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from reconciling import ADA, BY_DAY, BY_UID, Works, as_csv
from tallystick.chores.chore import Left
from tallystick.control.desk import new_id
from tallystick.control.organization_config import update
from tallystick.control.reconciliations import RECONCILIATIONS
from tallystick.control.source_uploads import create_upload, list_uploads
from tallystick.core import wire
from tallystick.core.period import Frequency, Instant, Period
from tallystick.core.reconciliation import AccuracyLevel, Reconciliation, ReconciliationGate, ReconciliationRequest
from tallystick.core.reconciliation_run import ReconciliationRun, ReconciliationStatus
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.bill_gate import reconciled
from tallystick.pipeline.reconcile_records import Uids
from tallystick.pipeline.reconciliation_runs import cancel_run, create_run, list_runs, read_run
from tallystick.ports import Page
from tallystick.ports.founded import config_of

MARCH = date(2026, 3, 1)


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    directory = tmp_path_factory.mktemp("gate")
    with sqlite3.connect(directory / "warehouse.db") as made:
        made.execute("CREATE TABLE totals (account TEXT, day TEXT, tokens INTEGER)")
        rows = [("acorn", (MARCH + timedelta(days=day)).isoformat(), 100) for day in range(31)]
        made.executemany("INSERT INTO totals VALUES (?, ?, ?)", rows)
    named = {"warehouse": {"url": f"sqlite:///{directory / 'warehouse.db'}", "organizations": ["*"]}}
    (directory / "sql.json").write_bytes(wire.encode(named))
    (directory / "sql.json").chmod(0o600)
    works = Works(directory, ["acorn"], "2026-03-20T05:59:00Z", sql_sources=str(directory / "sql.json"))
    works.count(event(day) for day in range(31) if MARCH + timedelta(days=day) < date(2026, 3, 20))
    yield works
    works.app.close()


def event(day: int, tokens: int = 100) -> dict[str, object]:
    ts = f"{MARCH + timedelta(days=day)}T12:00:00Z"
    return {"uid": f"day-{day}", "meter": "llm", "account": "acorn", "ts": ts, "measure": {"tokens": tokens}}


def daily(works: Works, **more: Any) -> dict[str, Any]:
    query = "SELECT account, day, tokens FROM totals WHERE day >= :start AND day < :end"
    source = {"type": "SQL", "connection": "warehouse", "query": query}
    return {**BY_DAY, "source": source, **more}


def turn(works: Works, now: str) -> list[ReconciliationRun]:
    """Let time pass; gives the runs there are by then."""
    works.clock.time = Instant.parse(now)
    works.work()
    return list(list_runs(works.records, Page(size=100)).rows)


def required(works: Works, gate: ReconciliationGate | None) -> None:
    config = config_of(works.records).value
    values = {name: getattr(config, name) for name in config.__struct_fields__}
    update(works.desk, type(config)(**{**values, "bill_requires": gate}), None)


def held(works: Works, first: date, end: date) -> list[str]:
    """Why a period waits, if it does."""
    period = Period(Instant.midnight(first), Instant.midnight(end))
    asked = AccountPeriod(account_id=works.accounts["acorn"], frequency=Frequency.MONTHLY, interval=1, period=period)
    free, failures = reconciled(works.records, [asked])
    assert bool(free) != bool(failures)
    assert {each.code for each in failures} <= {"reconciliation_required"}
    return [each.message for each in failures]


def test_a_scheduled_reconciliation_runs_once_a_day_at_its_hour_and_bills_wait_for_it(works: Works) -> None:
    asked = works.define(daily(works, schedule={"hour": 6, "days": 2}))
    assert turn(works, "2026-03-20T05:59:59Z") == []
    (run,) = turn(works, "2026-03-20T06:01:00Z")
    assert (run.request.start_date, run.request.end_date) == (date(2026, 3, 18), date(2026, 3, 20))
    assert (run.status, run.accuracy, run.created_by) == (ReconciliationStatus.COMPLETE, 100, "scheduler")
    assert len(turn(works, "2026-03-20T23:59:00Z")) == 1
    assert held(works, date(2026, 3, 18), date(2026, 3, 20)) == [], "no bill waits unless the organisation says so"

    required(works, ReconciliationGate(reconciliation_id=asked.id))
    assert held(works, date(2026, 3, 18), date(2026, 3, 20)) == []
    (message,) = held(works, date(2026, 3, 1), date(2026, 4, 1))
    assert message == (
        "the reconciliation 'Application log' has not reached GOOD for 2026-03-01, 2026-03-02, 2026-03-03 and 26 more "
        f"days; mend what it found, run it again (tallystick reconcile run {asked.id}), and then the bills"
    )
    with pytest.raises(Refusal, match="is used by organisation configuration"):
        RECONCILIATIONS.delete(works.desk, asked.id)

    # The twentieth has nothing counted: the latest run over it is red, until it is run again over what came then.
    runs = turn(works, "2026-03-21T06:01:00Z")
    assert [each.level for each in runs] == [AccuracyLevel.RED, AccuracyLevel.GOOD]
    (message,) = held(works, date(2026, 3, 18), date(2026, 3, 21))
    assert f"for 2026-03-19, 2026-03-20 (run {runs[0].id} reached 50.00%, RED)" in message
    works.count([event(19)])
    assert works.run(asked, date(2026, 3, 19), date(2026, 3, 21)).accuracy == 100
    assert held(works, date(2026, 3, 18), date(2026, 3, 21)) == []
    required(works, None)
    RECONCILIATIONS.delete(works.desk, asked.id)


def test_a_level_may_be_enough_for_bills(works: Works) -> None:
    day = date(2026, 2, 1)
    works.count([{**event(0, 985), "uid": "feb", "ts": f"{day}T12:00:00Z"}])
    asked = works.define(BY_DAY)
    content = as_csv([{"account": "acorn", "day": day, "tokens": 1000}])
    assert works.run(asked, day, day + timedelta(days=1), content).level is AccuracyLevel.WARNING
    for level, waits in ((AccuracyLevel.GOOD, 1), (AccuracyLevel.WARNING, 0)):
        required(works, ReconciliationGate(reconciliation_id=asked.id, level=level))
        assert len(held(works, day, day + timedelta(days=1))) == waits
    required(works, None)


def test_a_run_that_cannot_read_its_source_fails_with_the_reason_and_the_next_goes_on(works: Works) -> None:
    for change, said in (
        ({"connection": "lake"}, "the operator has named no database 'lake'"),
        ({"query": "SELECT sum FROM totals"}, "no such column: sum"),
    ):
        asked = daily(works)
        run = works.run({**asked, "source": {**asked["source"], **change}}, MARCH, date(2026, 3, 2))
        assert run.status is ReconciliationStatus.FAILED
        assert said in str(run.failure)
    assert works.run(daily(works), MARCH, date(2026, 3, 2)).accuracy == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": {"hour": 6}, "source": {"type": "UPLOAD"}}, "schedule"),
        ({"source": {"type": "SQL", "connection": "warehouse", "query": "DELETE FROM totals"}}, "single SELECT"),
        ({"source": {"type": "SQL", "connection": "a", "query": "SELECT 1; DROP TABLE x"}}, "single statement"),
        ({"source": {"type": "FILE"}}, "source.path: must be given"),
        ({"source": {"type": "UPLOAD", "query": "SELECT 1"}}, "source.query: cannot be given"),
        ({"measures": [{"meter": "llm", "field": "bytes"}]}, "the meter llm has no field 'bytes'; it has tokens"),
        ({"measures": [{"meter": "disks", "field": "bytes"}]}, "there is no meter with the code 'disks'"),
        ({"measures": [{"meter": "llm", "field": "tokens"}] * 2}, "is given twice"),
        ({"measures": [{"meter": m, "field": f} for m, f in (("llm", "tokens"), ("files", "bytes"))]}, "columns.meter"),
        ({"columns": {"field": "name"}}, "columns.value"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_said(works: Works, change: dict[str, Any], said: str) -> None:
    with pytest.raises((Refusal, ValueError), match=said):
        RECONCILIATIONS.create(works.desk, wire.decode(Reconciliation, wire.encode({**BY_DAY, **change})))


def test_a_run_goes_in_steps_and_stops_where_it_is_cancelled(works: Works) -> None:
    rows = [{"uid": f"s-{n}", "account": "acorn", "ts": "2026-01-05T00:00:00Z", "tokens": 1} for n in range(5_000)]
    upload = create_upload(works.desk, works.app.sources, "many.csv", as_csv(rows)).id
    days = {"start_date": date(2026, 1, 5), "end_date": date(2026, 1, 6), "upload_id": upload}
    request = ReconciliationRequest(reconciliation_id=works.define(BY_UID).id, **days)
    now = works.clock.now()
    run = create_run(works.records, request, id=new_id(), actor=ADA, now=now, up_to=works.app.journal.last)
    assert works.chore.look(works.app, works.id) is Left.MORE
    half = read_run(works.records, run.id)
    assert (half.status, half.rows, half.missing) == (ReconciliationStatus.RUNNING, 2_000, 2_000)
    cancel_run(works.records, run.id, now=now)
    works.work()
    stopped = read_run(works.records, run.id)
    assert (stopped.status, stopped.missing, stopped.level) == (ReconciliationStatus.CANCELLED, 2_000, None)


def test_a_run_that_a_restart_cut_short_begins_anew(works: Works) -> None:
    rows = [{"uid": f"t-{n}", "account": "acorn", "ts": "2026-01-06T00:00:00Z", "tokens": 1} for n in range(3_000)]
    upload = create_upload(works.desk, works.app.sources, "more.csv", as_csv(rows)).id
    days = {"start_date": date(2026, 1, 6), "end_date": date(2026, 1, 7), "upload_id": upload}
    request = ReconciliationRequest(reconciliation_id=works.define(BY_UID).id, **days)
    now, last = works.clock.now(), works.app.journal.last
    run = create_run(works.records, request, id=new_id(), actor=ADA, now=now, up_to=last)
    works.chore.look(works.app, works.id)
    works.chore = type(works.chore)()  # as after a restart: nothing is known of what was at work
    works.work()
    whole = read_run(works.records, run.id)
    assert (whole.status, whole.missing, whole.findings) == (ReconciliationStatus.COMPLETE, 3_000, 3_000)
    assert len(works.findings(whole)) == 3_000


def test_files_that_were_sent_go_after_thirty_days(works: Works) -> None:
    kept = create_upload(works.desk, works.app.sources, "old.csv", b"a")
    turn(works, (works.clock.now() + timedelta(days=29)).isoformat())
    assert kept.id in {each.id for each in list_uploads(works.records, Page(size=100)).rows}
    turn(works, (works.clock.now() + timedelta(days=1)).isoformat())
    assert list_uploads(works.records, Page(size=100)).rows == ()
    with pytest.raises(Refusal):
        works.app.sources.upload(works.id, kept.stored)


def test_the_uids_of_a_large_source_take_some_bytes_each() -> None:
    tracemalloc.start()
    seen = Uids()
    for first in range(0, 200_000, 2_000):
        assert seen.add([f"uid-{number}" for number in range(first, first + 2_000)]).all()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 200_000 * 12
    assert seen.have(["uid-0", "uid-199999", "uid-200000"]).tolist() == [True, True, False]
    assert seen.add(["uid-7", "new", "new"]).tolist() == [False, True, False]
