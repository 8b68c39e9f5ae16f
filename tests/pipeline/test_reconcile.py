"""A history with planted faults against the log of the application: every one is found, named, and counted exactly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ledger_of_truth import (
    ACCOUNTS,
    DAYS,
    FIRST,
    Event,
    accuracy_by_day,
    accuracy_by_uid,
    daily,
    truth,
    with_faults,
)
from reconciling import BY_DAY, BY_UID, Works, as_csv
from tallystick.core.reconciliation import AccuracyLevel
from tallystick.core.reconciliation_run import Cause, ReconciliationStatus
from tallystick.pipeline import findings, reconcile_totals

END = FIRST + timedelta(days=DAYS)


class History:
    """What happened, what was counted of it, and the product that counted."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.truth = truth()
        self.counted, self.planted = with_faults(self.truth)
        works.count(each.wire() for each in self.counted)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    works = Works(tmp_path_factory.mktemp("history"), ACCOUNTS)
    yield History(works)
    works.app.close()


def rows_of(events: list[Event]) -> bytes:
    return as_csv([{"uid": e.uid, "account": e.account, "ts": e.ts.isoformat(), "tokens": e.tokens} for e in events])


def totals_of(events: list[Event], zone: str = "UTC") -> bytes:
    return as_csv([{"account": a, "day": day, "tokens": tokens} for (a, day), tokens in daily(events, zone).items()])


def test_a_source_that_agrees_is_accurate_to_the_last_measurement(history: History) -> None:
    run = history.works.run(BY_UID, FIRST, END, rows_of(history.counted))
    assert run.failure is None
    assert (run.status, run.accuracy, run.record_accuracy, run.level) == (
        ReconciliationStatus.COMPLETE,
        100,
        100,
        AccuracyLevel.GOOD,
    )
    assert (run.findings, run.records) == (0, len(history.counted))


def test_every_planted_fault_is_found_by_uid_and_named(history: History) -> None:
    works, planted = history.works, history.planted
    run = works.run(BY_UID, FIRST, END, rows_of(history.truth))
    assert run.accuracy == accuracy_by_uid(history.truth, history.counted)
    assert run.level is AccuracyLevel.RED
    found = works.findings(run)

    def uids(cause: Cause) -> set[str]:
        return {each.uid for each in found if each.cause is cause and each.uid is not None}

    assert uids(Cause.DUPLICATE) == planted.duplicates
    assert uids(Cause.LOST) == planted.lost
    assert uids(Cause.TIME_SHIFT) == planted.shifted
    assert uids(Cause.OTHER_ACCOUNT) == planted.misattributed
    assert uids(Cause.UNIT_FACTOR) == planted.doubled
    assert {each.cause for each in found} == {
        Cause.DUPLICATE,
        Cause.LOST,
        Cause.TIME_SHIFT,
        Cause.OTHER_ACCOUNT,
        Cause.UNIT_FACTOR,
    }
    told = {each.cause: each.detail for each in run.causes}
    assert told[Cause.TIME_SHIFT] == "+1 h"
    assert told[Cause.OTHER_ACCOUNT] == "birch → beech"
    assert told[Cause.UNIT_FACTOR] == "×2"
    assert all(
        each.other_uid == (each.uid or "").removesuffix("-again") for each in found if each.cause is Cause.DUPLICATE
    )


def test_the_accuracy_of_each_account_is_its_own(history: History) -> None:
    groups = history.works.groups(history.works.run(BY_UID, FIRST, END, rows_of(history.truth)))
    assert {account: group.accuracy for account, group in groups.items()} == {
        account: accuracy_by_uid(history.truth, history.counted, [account]) for account in ACCOUNTS
    }
    assert (groups["cedar"].cause, groups["birch"].cause) == (Cause.UNIT_FACTOR, Cause.OTHER_ACCOUNT)
    assert groups["birch"].accuracy == 0


def test_every_kind_of_fault_is_named_from_daily_totals_alone(history: History) -> None:
    works = history.works
    run = works.run(BY_DAY, FIRST, END, totals_of(history.truth))
    assert run.accuracy == accuracy_by_day(daily(history.truth), daily(history.counted))
    groups = works.groups(run)
    assert {account: group.accuracy for account, group in groups.items()} == {
        account: accuracy_by_day(daily(history.truth), daily(history.counted), [account]) for account in ACCOUNTS
    }
    assert groups["cedar"].cause is Cause.UNIT_FACTOR
    assert groups["cedar"].detail == "×2"
    assert groups["birch"].cause is Cause.OTHER_ACCOUNT
    assert groups["birch"].detail == "birch → beech"
    assert groups["beech"].cause is Cause.OTHER_ACCOUNT
    found = {(each.account, each.day): dict(each.parts) for each in works.findings(run)}
    edge = [found["aspen", FIRST + timedelta(days=5)], found["aspen", FIRST + timedelta(days=6)]]
    assert all(Cause.TIME_SHIFT in parts for parts in edge)
    for uid in history.planted.duplicates:
        event = next(each for each in history.counted if each.uid == uid)
        assert Cause.DUPLICATE in found[event.account, event.ts.date()], uid
    for event in history.truth:
        if event.uid in history.planted.lost and event.account not in {"birch", "beech"}:
            assert Cause.LOST in found[event.account, event.ts.date()], event.uid


def test_however_much_is_amiss_all_is_counted_and_some_is_kept(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of one account each, and room for few findings: the same accuracy and causes for the most part."""
    monkeypatch.setattr(findings, "MAX_FINDINGS", 20)
    monkeypatch.setattr(reconcile_totals, "MAX_FINDINGS", 20)
    monkeypatch.setattr(reconcile_totals, "CELLS", DAYS)
    works = history.works
    by_day = works.run(BY_DAY, FIRST, END, totals_of(history.truth))
    assert by_day.accuracy == accuracy_by_day(daily(history.truth), daily(history.counted))
    assert by_day.findings_kept == len(works.findings(by_day)) == 20 < by_day.findings
    by_uid = works.run(BY_UID, FIRST, END, rows_of(history.truth))
    assert by_uid.accuracy == accuracy_by_uid(history.truth, history.counted)
    assert by_uid.findings_kept == len(works.findings(by_uid)) == 20 < by_uid.findings
