"""What a bill costs that looks back: as much after three years as after three months."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pytest
from billing_desk import Desk, calls_world

from billing_world import World, at
from tallystick.core.bill import BillRecord, LineItemType, approve, lock
from tallystick.core.organization import LateUsage
from tallystick.pipeline.bill import remove_bill
from tallystick.ports import Document
from tallystick.stores.records_sql import documents
from tallystick.stores.records_sql.entities import Run

Opener = Callable[[World], Desk]


def first_of(month: int) -> str:
    """The first day of a month, counted from January 2023 as 0."""
    return f"{2023 + month // 12}-{month % 12 + 1:02}-01"


@dataclass
class Life:
    """An account that is billed month by month; `read` is how many documents were read."""

    desk: Desk
    read: int = 0

    def bill(self, month: int) -> int:
        """Bill a month that has ended; how many documents that reads."""
        before = self.read
        last = date.fromisoformat(first_of(month + 1)).toordinal() - 1
        self.desk.run(f"{first_of(month + 1)}T06:00:00Z", last_date_in_billing_period=date.fromordinal(last))
        return self.read - before

    def of(self, month: int) -> BillRecord:
        (found,) = [each for each in self.desk.bill_records() if str(each.bill.start_date) == first_of(month)]
        return found

    def use(self, month: int, day: int, calls: int) -> None:
        self.desk.use("acme", f"{first_of(month)[:8]}{day:02}", calls=calls)

    def approve(self, month: int) -> None:
        record = self.of(month)
        self.desk.put(msgspec.structs.replace(record, bill=approve(record.bill, by="ada", at=at("2023-12-24"))))

    def lock(self, month: int) -> None:
        self.approve(month)
        record = self.of(month)
        self.desk.put(msgspec.structs.replace(record, bill=lock(record.bill, by="ada", at=at("2023-12-24"))))


@pytest.fixture
def life(open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> Life:
    """An account of which every document that is read counts."""
    world = calls_world()
    world.config(late_usage=LateUsage.ADJUST_NEXT_BILL)
    living = Life(open_desk(world))
    whole = documents._documents

    def counted(run: Run, organization_id: str, kind: str, rows: Sequence[Any]) -> list[Document]:
        living.read += len(rows)
        return whole(run, organization_id, kind, rows)

    monkeypatch.setattr(documents, "_documents", counted)
    return living


def nothing(life: Life, month: int) -> None:
    """Nobody approves anything."""


def at_once(life: Life, month: int) -> None:
    """Each bill is locked before the next is made."""
    life.lock(month)


def one_behind(life: Life, month: int) -> None:
    """Each bill is approved after the next one was made."""
    if month:
        life.approve(month - 1)


def but_the_first(life: Life, month: int) -> None:
    """The first bill was forgotten and stays PENDING."""
    if month:
        life.lock(month)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("finish", [nothing, at_once, one_behind, but_the_first])
def test_a_long_history_costs_nothing(life: Life, finish: Callable[[Life, int], None], late: bool) -> None:
    """Each month is used and billed; with `late`, usage of the month before comes in each month as well."""
    costs = []
    for month in range(11):
        life.use(month, 10, 100)
        if late and month:
            life.use(month - 1, 20, 7)
        costs.append(life.bill(month))
        finish(life, month)
    assert len(set(costs[3:])) == 1, costs


def adjusted(life: Life, month: int) -> list[tuple[str, str]]:
    """What a month's bill adjusts, and by how much."""
    lines = life.of(month).bill.line_items
    return [
        (str(line.service_period_start_date)[:7], str(line.converted_subtotal))
        for line in lines
        if line.line_item_type is LineItemType.MANUAL_ADJUSTMENT
    ]


def test_late_usage_of_each_month_is_on_the_next_bill(life: Life) -> None:
    for month in range(5):
        life.use(month, 10, 100)
        if month:
            life.use(month - 1, 20, 7)
        life.bill(month)
        life.lock(month)
    assert [adjusted(life, month) for month in range(5)] == [
        [],
        [("2023-01", "0.70")],
        [("2023-02", "0.70")],
        [("2023-03", "0.70")],
        [("2023-04", "0.70")],
    ]


def test_a_bill_that_was_forgotten_is_adjusted_once_it_is_final(life: Life) -> None:
    """Usage of January came before March was billed, while January could still have taken it; then it is locked."""
    life.bill(0)
    life.bill(1)
    life.lock(1)
    life.use(0, 20, 50)
    life.bill(2)
    assert adjusted(life, 2) == []
    life.lock(0)
    life.bill(3)
    assert adjusted(life, 3) == [("2023-01", "5.00")]
    life.lock(3)
    life.bill(4)
    assert adjusted(life, 4) == []


def test_what_a_deleted_bill_adjusted_is_on_the_next_one_whatever_was_billed_since(life: Life) -> None:
    life.bill(0)
    life.lock(0)
    life.use(0, 20, 50)
    life.bill(1)
    assert adjusted(life, 1) == [("2023-01", "5.00")]
    life.bill(2)
    remove_bill(life.desk.records, life.of(1).bill.id, actor_id="ada", at=at("2023-05-01"))
    life.bill(3)
    assert adjusted(life, 3) == [("2023-01", "5.00")]
    life.bill(1)
    assert adjusted(life, 1) == []
