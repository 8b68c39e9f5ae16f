"""Corrections: what becomes of each change, that a draft counts nothing otherwise, and how one is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ingest_world import NORTH, NOW, SOUTH, HandClock, World, measurement, world

from tallystick.core.measurement_reading import WithdrawalEntry, pack_withdrawal
from tallystick.core.usage_correction import (
    Change,
    CorrectionSource,
    CorrectionStatus,
    Entry,
    EntryKind,
    UsageCorrection,
    replacement,
)
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.correction_run import (
    apply_correction,
    carry_out,
    corrections_waiting,
    preview_correction,
)
from tallystick.pipeline.corrections import (
    Drafting,
    add_changes,
    discard_correction,
    draft_correction,
    list_corrections,
    list_entries,
    put_correction,
    read_correction,
)
from tallystick.pipeline.ingest import Intake
from tallystick.pipeline.mediate import project
from tallystick.ports import Actor, Journal, Page, Records, UidIndex
from tallystick.stores.memory import MemoryUsage

ID = "3f2a1b00-0000-4000-8000-000000000001"
ADA = Actor("ada", "USER")


@dataclass
class Served:
    """An app over a world: what corrections reach."""

    world: World
    usage: MemoryUsage = field(default_factory=MemoryUsage)

    @property
    def clock(self) -> HandClock:
        return self.world.clock

    @property
    def records(self) -> Records:
        return self.world.records

    @property
    def uids(self) -> UidIndex:
        return self.world.index

    @property
    def journal(self) -> Journal:
        return self.world.journal

    @property
    def intake(self) -> Intake:
        return self.world.intake

    def send(self, *members: dict[str, Any], organization: str = NORTH) -> None:
        asyncio.run(self.world.post(*members, organization=organization))
        self.project()

    def project(self) -> None:
        while self.usage.mark < self.world.journal.last:
            project(self.world.journal, self.usage, self.world.records, tail=self.world.tail)

    @property
    def reach(self) -> Reach:
        return Reach(self, NORTH)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with world(tmp_path) as made:
        app = Served(made)
        app.send(*(measurement(f"r-{number}", measure={"tokens": number}) for number in (1, 2, 3)))
        app.send(measurement("theirs"), organization=SOUTH)
        yield app


def draft(served: Served, *changes: Change, id: str = ID) -> UsageCorrection:
    drafting = Drafting(id=id, reason="sent twice", source=CorrectionSource.CHANGES, actor=ADA, now=NOW)
    return draft_correction(served.reach, drafting, changes)


def entries(served: Served, id: str = ID) -> list[Entry]:
    return list(list_entries(served.reach.records, id, Page(size=100)).rows)


def test_a_withdrawal_says_what_it_takes_out(served: Served) -> None:
    made = draft(served, Change(uid="r-2"))
    assert (made.status, made.withdrawals, made.additions, made.problems) == (CorrectionStatus.DRAFT, 1, 0, 0)
    (entry,) = entries(served)
    assert (entry.kind, entry.uid, entry.account_code, entry.meter_code) == (EntryKind.WITHDRAW, "r-2", "acme", "llm")
    assert entry.values == {"tokens": "2", "model": "small"}
    assert entry.position == 2
    assert served.world.journal.last == 4, "nothing is written into the journal"


def test_a_replacement_is_the_original_with_some_parts_changed(served: Served) -> None:
    made = draft(served, Change(uid="r-3", measurement={"measure": {"tokens": Decimal("0.3")}}))
    assert (made.withdrawals, made.additions) == (1, 1)
    out, new = entries(served)
    assert (out.uid, new.uid, new.replaces) == ("r-3", "r-3~3f2a1b00", "r-3")
    assert new.measurement == {
        "uid": "r-3~3f2a1b00",
        "account": "acme",
        "meter": "llm",
        "ts": "2025-06-01T10:00:00.000Z",
        "what": {"model": "small"},
        "measure": {"tokens": Decimal("0.3")},
    }


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ([Change(uid="unknown")], ["no measurement was accepted"]),
        ([Change(uid="theirs")], ["no measurement was accepted"]),
        ([Change(uid="r-1"), Change(uid="r-1")], [None, "named twice"]),
        ([Change(uid="r-1", measurement={"uid": "r-2"})], ["is used already", "is used already"]),
        (
            [Change(uid="r-1", measurement={"measure": {"tokens": "many"}})],
            ["must be a JSON number", "must be a JSON number"],
        ),
        ([Change(uid="r-1", measurement={"measure": {"tokens": None}})], ["measure", "measure"]),
        ([Change(measurement=measurement("r-9", meter="none"))], ["no meter"]),
        ([Change(measurement=measurement("r-9"))], [None]),
        (
            [Change(uid="unknown", measurement={"account": "acme"}), Change(uid="r-2")],
            ["no measurement", "no measurement", None],
        ),
    ],
)
def test_what_cannot_be_done_is_left_out_with_the_reason(
    served: Served, changes: list[Change], problems: list[str | None]
) -> None:
    """A batch never fails for one bad member; a withdrawal whose replacement cannot count is left out with it."""
    made = draft(served, *changes)
    found = entries(served)
    assert len(found) == len(problems)
    for entry, expected in zip(found, problems, strict=True):
        assert (entry.problem is None) == (expected is None), entry
        assert expected is None or expected in (entry.problem or "")
    assert made.problems == sum(expected is not None for expected in problems)


def test_a_measurement_that_was_withdrawn_cannot_be_withdrawn_again(served: Served) -> None:
    (row,) = [each for each in served.usage.rows(NORTH) if each.uid == "r-1"]
    out = WithdrawalEntry(
        uid="r-1",
        of=row.position,
        meter_id=row.meter_id,
        account_id=row.account_id,
        ts=row.ts.stamp(),
        correction_id=ID,
    )
    served.intake.correct(NORTH, [], [pack_withdrawal(out)])
    served.project()
    draft(served, Change(uid="r-1"))
    assert "withdrawn before" in (entries(served)[0].problem or "")


def test_more_changes_come_into_a_draft_and_into_nothing_else(served: Served) -> None:
    draft(served, Change(uid="r-1"))
    more = add_changes(served.reach, ID, [Change(uid="r-2"), Change(uid="r-1")], actor=ADA, now=NOW)
    assert (more.withdrawals, more.problems, more.version) == (2, 1, 2)
    assert [each.uid for each in entries(served)] == ["r-1", "r-2", "r-1"]
    discarded = discard_correction(served.reach.records, ID, actor=ADA, now=NOW)
    assert (discarded.status, discarded.discarded_by) == (CorrectionStatus.DISCARDED, "ada")
    for act in (
        lambda: add_changes(served.reach, ID, [Change(uid="r-3")], actor=ADA, now=NOW),
        lambda: discard_correction(served.reach.records, ID, actor=ADA, now=NOW),
    ):
        with pytest.raises(Refusal) as refused:
            act()
        assert refused.value.code.name == "correction_state"


def test_nothing_to_correct_is_no_correction(served: Served) -> None:
    with pytest.raises(Refusal, match="nothing to correct"):
        draft(served)
    assert list_corrections(served.reach.records, Page(size=10)).rows == ()
    with pytest.raises(Refusal) as unknown:
        read_correction(served.reach.records, ID)
    assert unknown.value.code.name == "not_found"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"measure": {"a": 2}}, {"uid": "n", "measure": {"a": 2, "b": 1}}),
        ({"measure": {"a": None}}, {"uid": "n", "measure": {"b": 1}}),
        ({"uid": "own", "ts": "then"}, {"uid": "own", "ts": "then", "measure": {"a": 1, "b": 1}}),
        ({"what": {"c": "x"}}, {"uid": "n", "measure": {"a": 1, "b": 1}, "what": {"c": "x"}}),
        ({"measure": None}, {"uid": "n"}),
    ],
)
def test_parts_that_a_replacement_leaves_out_are_those_of_the_original(
    changed: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert replacement({"uid": "o", "measure": {"a": 1, "b": 1}}, changed, "n") == expected


def applying(served: Served, *changes: Change) -> UsageCorrection:
    """A draft that was looked at and decided on; nothing is written yet."""
    draft(served, *changes)
    preview_correction(served.reach, ID, up_to=served.usage.mark, now=NOW)
    return apply_correction(served.reach.records, ID, actor=ADA, now=NOW)


def counted(served: Served) -> dict[str, str]:
    return {row.uid: str(row.numbers["tokens"]) for row in served.usage.rows(NORTH) if row.withdrawn is None}


def test_nobody_applies_what_nobody_has_looked_at(served: Served) -> None:
    draft(served, Change(uid="r-1"))
    with pytest.raises(Refusal, match="still being looked at"):
        apply_correction(served.reach.records, ID, actor=ADA, now=NOW)
    assert [each.id for each in corrections_waiting(served.reach.records)] == [ID]
    preview_correction(served.reach, ID, up_to=served.usage.mark, now=NOW)
    assert corrections_waiting(served.reach.records) == []


def test_a_correction_is_carried_out_step_by_step(served: Served) -> None:
    applying(served, Change(uid="r-1"), Change(uid="r-3", measurement={"measure": {"tokens": 9}}))
    written = carry_out(served.reach, ID, now=NOW)
    assert (written.status, written.position) == (CorrectionStatus.APPLYING, 7)
    assert carry_out(served.reach, ID, now=NOW) == written, "it waits until that is counted"
    served.project()
    done = carry_out(served.reach, ID, now=NOW)
    assert (done.status, done.memos, done.applied_by) == (CorrectionStatus.APPLIED, 0, "ada")
    assert carry_out(served.reach, ID, now=NOW) == done
    assert counted(served) == {"r-2": "2", "r-3~3f2a1b00": "9"}


def test_a_stop_after_the_journal_was_written_counts_nothing_twice(served: Served) -> None:
    """The journal has it and the records do not say so: it is written again."""
    before = applying(served, Change(uid="r-1"), Change(uid="r-3", measurement={"measure": {"tokens": 9}}))
    carry_out(served.reach, ID, now=NOW)
    with served.reach.records.transaction() as write:
        put_correction(write, before)
    carry_out(served.reach, ID, now=NOW)
    served.world.reopen()
    served.project()
    assert carry_out(served.reach, ID, now=NOW).status is CorrectionStatus.APPLIED
    assert counted(served) == {"r-2": "2", "r-3~3f2a1b00": "9"}


def test_where_its_uid_was_taken_meanwhile_it_is_a_draft_again(served: Served) -> None:
    applying(served, Change(uid="r-3", measurement={"uid": "r-3b", "measure": {"tokens": 9}}))
    served.send(measurement("r-3b", measure={"tokens": 7}))
    made = carry_out(served.reach, ID, now=NOW)
    assert (made.status, made.previewed, made.position) == (CorrectionStatus.DRAFT, False, None)
    assert counted(served) == {"r-1": "1", "r-2": "2", "r-3": "3", "r-3b": "7"}
