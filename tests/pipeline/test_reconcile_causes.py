"""Each cause that a reconciliation names, from a case of it; what else a source may say; drafts of corrections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger_of_truth import ACCOUNTS, DAYS, FIRST, daily, truth
from reconciling import ADA, BY_DAY, BY_UID, Works, as_csv
from tallystick.control.desk import new_id
from tallystick.core.reconciliation import AccuracyLevel
from tallystick.core.reconciliation_run import Cause, FindingKind, ReconciliationRun
from tallystick.core.usage_correction import EntryKind
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.corrections import every_entry
from tallystick.pipeline.reconciliation_drafts import draft_from_run

Row = dict[str, object]


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    works = Works(tmp_path_factory.mktemp("works"), ACCOUNTS)
    yield works
    works.app.close()


def call(uid: str, ts: str, tokens: object = 100, account: str = "acorn", meter: str = "llm") -> Row:
    field = "tokens" if meter == "llm" else "bytes"
    return {"uid": uid, "meter": meter, "account": account, "ts": ts, "measure": {field: tokens}}


def row(uid: str, ts: str, tokens: object = 100, account: str = "acorn") -> Row:
    return {"uid": uid, "account": account, "ts": ts, "tokens": tokens}


def compared(works: Works, day: date, rows: Sequence[Row], **more: Any) -> ReconciliationRun:
    run = works.run({**BY_UID, **more}, day, day + timedelta(days=1), as_csv(rows))
    assert run.failure is None
    return run


def causes(works: Works, run: ReconciliationRun) -> dict[str, tuple[str, str]]:
    return {str(each.uid): (each.kind.value, each.cause.value) for each in works.findings(run)}


def test_each_cause_is_told_by_what_is_known_of_a_uid(works: Works) -> None:
    day = date(2026, 1, 10)
    at = "2026-01-10T12:00:00Z"
    works.count(
        [
            call("v1", at, 100),
            call("v2", at, 130),
            call("v3", at, 100_000),
            call("m1", at, 5, meter="files"),
            call("t1", "2026-01-10T12:00:07Z"),
            call("t2", "2026-01-10T18:45:00Z"),
            call("d1", "2026-01-10T09:00:00Z", 77),
            call("d1-resent", "2026-01-10T09:00:40Z", 77),
            call("d1-much-later", "2026-01-10T09:05:00Z", 77),
            {**call("f1", at), "measure": {}},
        ]
    )
    last = works.app.journal.last
    works.count([call("late", at)])
    rows = [
        row("v1", at, 100),
        row("v2", at, 100),
        row("v3", at, 100),
        row("m1", at, 5),
        row("t1", at),
        row("t2", at),
        row("d1", "2026-01-10T09:00:00Z", 77),
        row("f1", at),
        row("late", at),
        row("lost", at),
        row("nobody", at, account="stranger"),
    ]
    asked = works.define(BY_UID)
    run = works.run(asked, day, day + timedelta(days=1), as_csv(rows), up_to=last)
    assert causes(works, run) == {
        "v2": ("DIFFERING", "OTHER_VALUE"),
        "v3": ("DIFFERING", "UNIT_FACTOR"),
        "m1": ("MISSING", "OTHER_METER"),
        "t1": ("DIFFERING", "OTHER_TIME"),
        "t2": ("DIFFERING", "TIME_SHIFT"),
        "d1-resent": ("EXTRA", "DUPLICATE"),
        "d1-much-later": ("EXTRA", "ONLY_HERE"),
        "f1": ("MISSING", "FAILED"),
        "late": ("MISSING", "LATE"),
        "lost": ("MISSING", "LOST"),
        "nobody": ("MISSING", "UNKNOWN_ACCOUNT"),
    }
    told = {each.uid: each for each in works.findings(run)}
    assert told["f1"].failed_id is not None
    assert told["v3"].detail == "×1000"
    assert (told["t1"].detail, told["t2"].detail) == ("+7 s", "+6 h 45 min")
    assert told["d1-resent"].other_uid == "d1"
    # Of 982 tokens: 30 + 99,900 differ, 77 + 77 are extra, 5 + 5 × 100 are missing: more is amiss than there is.
    assert run.accuracy == 0
    # Of 11 measurements, v1 and d1 alone are as they should be: 9 are amiss, and 2 more are here.
    assert (run.records, run.missing, run.extra, run.differing) == (11, 5, 2, 4)
    assert run.record_accuracy == 0


def test_rows_that_say_nothing_are_told_and_held_against_the_source(works: Works) -> None:
    day, at = date(2026, 1, 12), "2026-01-12T12:00:00Z"
    works.count([call("r1", at), call("r2", at, 50)])
    rows = [
        row("r1", at),
        row("r1", at),
        row("r2", "noon"),
        row("", at),
        row("r4", at, "many"),
        row("r5", "2026-01-13T12:00:00Z"),
        row("r6", "2026-02-20T12:00:00Z"),
    ]
    run = compared(works, day, rows)
    assert (run.rows, run.rows_repeated, run.rows_unreadable, run.rows_outside) == (7, 1, 3, 2)
    assert run.problems == (
        "row 3 ts: must be an ISO 8601 date and time, got 'noon'",
        "row 4 the column 'uid' is empty or missing",
        "row 5 tokens: must be a finite number such as 12.5 or 1e-05, got 'many'",
    )
    assert causes(works, run) == {"r2": ("EXTRA", "ONLY_HERE")}
    assert run.level is AccuracyLevel.RED


@pytest.mark.parametrize(
    ("hours", "detail"), [(1, "−1 h"), (-5, "+5 h")], ids=["written in a zone ahead", "written in a zone behind"]
)
def test_a_source_that_writes_local_times_as_utc_is_told_by_uid(works: Works, hours: int, detail: str) -> None:
    """Two measurements of the day are beyond its edge in the source, and one beyond the other edge comes in."""
    day = date(2026, 1, 20) + timedelta(days=hours)
    moments = [f"{day}T{hour:02}:30:00+00:00" for hour in range(24)]
    works.count(call(f"{day}-{number}", ts) for number, ts in enumerate(moments))
    wrong = timedelta(hours=hours)
    rows = [
        row(f"{day}-{number}", (works.clock.now().fromisoformat(ts) + wrong).isoformat())
        for number, ts in enumerate(moments)
    ]
    run = compared(works, day, rows)
    assert {(each.cause, each.detail) for each in run.causes} == {(Cause.TIME_SHIFT, detail)}
    # What the source has on the next or the last day is extra here; the rest is of the same day.
    assert sum(each.kind is FindingKind.EXTRA for each in works.findings(run)) == abs(hours)


@pytest.mark.parametrize(
    ("zone", "detail"),
    [("Asia/Kolkata", "−5 h 30 min"), ("America/New_York", "+5 h"), ("Asia/Tokyo", "−9 h")],
)
def test_days_that_end_in_another_time_zone_are_recognised_in_totals(works: Works, zone: str, detail: str) -> None:
    works.count(each.wire() for each in truth())  # once: the uids see to that
    end = FIRST + timedelta(days=5)
    rows = [{"account": a, "day": day, "tokens": value} for (a, day), value in daily(truth(), zone).items()]
    run = works.run(BY_DAY, FIRST + timedelta(days=1), end, as_csv(rows))
    assert (run.causes[0].cause, run.causes[0].detail) == (Cause.TIME_SHIFT, detail)
    assert {group.cause for group in works.groups(run).values()} == {Cause.TIME_SHIFT}
    told = works.run({**BY_DAY, "timezone": zone}, FIRST + timedelta(days=1), end, as_csv(rows))
    assert (told.accuracy, told.findings) == (100, 0), "with its time zone said, the source agrees"


def test_totals_may_come_in_the_long_form_and_count(works: Works) -> None:
    day = date(2026, 1, 25)
    works.count([call(f"l{number}", f"{day}T0{number}:00:00Z", 10) for number in range(4)])
    works.count([call("g1", f"{day}T01:00:00Z", 3, "alder", "files")])
    measures = [
        {"meter": "llm", "field": "tokens"},
        {"meter": "llm", "field": "tokens", "column": "calls", "function": "COUNT"},
        {"meter": "files", "field": "bytes"},
    ]
    rows: list[Row] = [
        {"day": day, "account": "acorn", "meter": "llm", "name": "tokens", "value": 15},
        {"day": day, "account": works.accounts["acorn"], "meter": "llm", "name": "tokens", "value": 25},
        {"day": day, "account": "acorn", "meter": "llm", "name": "calls", "value": 5},
        {"day": day, "account": "alder", "meter": "files", "name": "bytes", "value": "3.0"},
    ]
    columns = {"meter": "meter", "field": "name", "value": "value"}
    run = works.run({**BY_DAY, "measures": measures, "columns": columns}, day, day + timedelta(days=1), as_csv(rows))
    assert [(each.field, each.source, each.product, each.accuracy) for each in run.fields] == [
        ("tokens", 40, 40, 100),
        ("tokens", 5, 4, 80),
        ("bytes", 3, 3, 100),
    ]
    # Units are never added: (100 × 2 values + 80 × 1 + 100 × 1) / 4. Two rows of the source are one day of acorn.
    assert run.accuracy == Decimal("93.33")


def test_a_draft_makes_usage_agree_with_the_source(works: Works) -> None:
    day, at = date(2026, 2, 10), "2026-02-10T12:00:00Z"
    works.count(
        [
            call("c1", at, 10),
            call("c1-resent", at, 10),
            call("c2", at, 20, "birch"),
            call("c3", at, 60),
            call("c4", "2026-02-10T13:00:00Z", 40),
            call("c9", at, 999),
        ]
    )
    rows = [row("c1", at, 10), row("c2", at, 20), row("c3", at, 30), row("c4", at, 40), row("c5", at, 50)]
    run = compared(works, day, rows)
    now = works.clock.now()
    reach = Reach(works.app, works.id)
    draft = draft_from_run(reach, run.id, (), id=new_id(), reason="To agree with the log", actor=ADA, now=now)
    assert (draft.withdrawals, draft.additions, draft.problems, draft.source_id) == (4, 4, 0, run.id)
    entries = every_entry(works.records, draft.id)
    withdrawn = {each.uid for each in entries if each.kind is EntryKind.WITHDRAW}
    added = {
        each.replaces or each.uid: (each.account_code, each.ts and each.ts.hour, each.values["tokens"])
        for each in entries
        if each.kind is EntryKind.ADD
    }
    assert withdrawn == {"c1-resent", "c2", "c3", "c4"}
    assert added == {
        "c2": ("acorn", 12, "20"),
        "c3": ("acorn", 12, "30"),
        "c4": ("acorn", 12, "40"),
        "c5": ("acorn", 12, "50"),
    }
    only = draft_from_run(reach, run.id, (Cause.ONLY_HERE,), id=new_id(), reason="Never ran", actor=ADA, now=now)
    assert [each.uid for each in every_entry(works.records, only.id)] == ["c9"]


def test_totals_and_what_nothing_can_correct_are_refused_a_draft(works: Works) -> None:
    day = date(2026, 2, 12)
    rows: list[Row] = [{"account": "acorn", "day": day, "tokens": 5}]
    totals = works.run(BY_DAY, day, day + timedelta(days=1), as_csv(rows))
    records = compared(works, day, [row("z1", f"{day}T12:00:00Z")])
    reach, now = Reach(works.app, works.id), works.clock.now()
    for run, causes_, said in (
        (totals, (), "compare with RECORDS"),
        (records, (Cause.FAILED,), "FAILED cannot be corrected"),
        (records, (Cause.DUPLICATE,), "nothing to correct"),
    ):
        with pytest.raises(Refusal, match=said):
            draft_from_run(reach, run.id, causes_, id=new_id(), reason="r", actor=ADA, now=now)


def test_what_comes_late_is_told_in_totals(works: Works) -> None:
    day = date(2026, 2, 20)
    works.count([call("p1", f"{day}T01:00:00Z", 10)])
    last = works.app.journal.last
    works.count([call("p2", f"{day}T02:00:00Z", 30)])
    rows: list[Row] = [{"account": "acorn", "day": day, "tokens": 40}]
    run = works.run(BY_DAY, day, day + timedelta(days=1), as_csv(rows), up_to=last)
    (finding,) = works.findings(run)
    assert (finding.cause, finding.quantity, run.accuracy) == (Cause.LATE, 30, 25)
    assert works.run(BY_DAY, day, day + timedelta(days=1), as_csv(rows)).accuracy == 100


assert DAYS > 5, "the tests of time zones look at the first days"
