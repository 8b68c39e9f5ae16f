"""Memos of corrections: the exact difference, once, whatever else comes late and whatever becomes of the memo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from billing_desk import ADA, Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import top_up

from billing_world import World, at, bands, id_of
from credit_world import balance
from effort import drawing
from tallystick.core.bill import Bill, BillRecord, approve, lock
from tallystick.core.credit_types import CreditLine
from tallystick.core.explain import explain_line
from tallystick.core.late_policy import LatePolicy, OnClosedBill
from tallystick.core.organization import LateUsage, OrganizationConfig
from tallystick.core.usage_correction import (
    CorrectionMemo,
    CorrectionSource,
    CorrectionStatus,
    MemoStatus,
    UsageCorrection,
)
from tallystick.errors import Refusal
from tallystick.pipeline.correction_effect import Touched, effects_of, touched_bills
from tallystick.pipeline.correction_memo import (
    discard_memo,
    draft_memos,
    issue_memo,
    list_memos,
    read_memo,
    reckon,
    was_overtaken,
)
from tallystick.pipeline.late_usage import stays
from tallystick.pipeline.verify import verify_bill
from tallystick.ports import Page, UsageRow, Withdrawn
from tallystick.stores.memory import MemoryUsage

Opener = Callable[[World], Desk]
NOW = at("2023-12-24T00:00:00Z")
_numbers = count(1)


def tiered(**config: object) -> World:
    """A fee of 5.00, and calls at 0.10 up to 100 and at 0.05 beyond."""
    world = calls_world()
    world.config(**config)
    world.pricing("price", bands((0, "0.10"), (100, "0.05")), cumulative=True)
    return world


def price_of(calls: int) -> Decimal:
    """The fee and the calls, reckoned here."""
    return Decimal(5) + Decimal(min(calls, 100)) / 10 + Decimal(max(calls - 100, 0)) / 20


def run(desk: Desk, month: int, *, final: bool = True) -> Bill:
    """Bill a month of 2023 on the first of the next, and lock it."""
    last = date(2023, month + 1, 1) - timedelta(days=1)
    desk.run(f"2023-{month + 1:02}-01T06:00:00Z", last_date_in_billing_period=last)
    record = of_month(desk, month)
    if final and not record.bill.locked:
        bill = lock(approve(record.bill, by="ada", at=NOW), by="ada", at=NOW)
        desk.put(msgspec.structs.replace(record, bill=bill))
    return record.bill


def of_month(desk: Desk, month: int) -> BillRecord:
    (found,) = [each for each in desk.bill_records() if each.bill.start_date.month == month]
    return found


def rows(desk: Desk) -> list[UsageRow]:
    """Every measurement that counts, in order."""
    assert isinstance(desk.usage_store, MemoryUsage)
    found = [row for row in desk.usage_store.rows(desk.records.organization_id) if row.withdrawn is None]
    return sorted(found, key=lambda row: row.position)


def touched(gone: Sequence[UsageRow], added: Sequence[UsageRow] = ()) -> Touched:
    every = [*gone, *added]
    return Touched(
        account_ids=frozenset(row.account_id for row in every),
        meter_ids=frozenset(row.meter_id for row in every),
        moments=tuple(sorted({row.ts for row in every})),
        without=tuple(row.position for row in gone),
        added=tuple(added),
    )


def withdraw(desk: Desk, *gone: UsageRow) -> None:
    first = desk.usage_store.mark + 1
    out = [
        Withdrawn(
            position=first + place,
            organization_id=row.organization_id,
            meter_id=row.meter_id,
            account_id=row.account_id,
            of=row.position,
            ts=row.ts,
        )
        for place, row in enumerate(gone)
    ]
    desk.usage_store.add([], first + len(out) - 1, withdrawn=out)


def correct(desk: Desk, *gone: UsageRow) -> list[CorrectionMemo]:
    """Withdraw measurements and draft the memos, as a correction does when it is applied."""
    withdraw(desk, *gone)
    config = current(desk)
    bills = [each for each in touched_bills(desk.records, touched(gone)) if stays(config, each.bill)]
    up_to = desk.usage_store.mark
    reckoned = reckon(desk.records, desk.usage, bills, up_to=up_to)
    with desk.records.transaction() as write:
        assert not was_overtaken(write, reckoned)
        return draft_memos(write, applying(), reckoned, actor=ADA, now=NOW, up_to=up_to)


def current(desk: Desk) -> OrganizationConfig:
    config = desk.records.get(OrganizationConfig, desk.records.organization_id)
    assert config is not None
    return config.value


def applying() -> UsageCorrection:
    return UsageCorrection(
        id=id_of("correction", str(next(_numbers))),
        version=2,
        status=CorrectionStatus.APPLYING,
        source=CorrectionSource.CHANGES,
        reason="sent twice",
        withdrawals=1,
        additions=0,
        problems=0,
        accounts=1,
        previewed=True,
        up_to=0,
        effects=(),
        memos=0,
        dt_created=NOW,
        created_by="ada",
        dt_last_modified=NOW,
        last_modified_by="ada",
    )


def january(open_desk: Opener, *calls: int, **config: object) -> Desk:
    """A locked January with these measurements, one a day."""
    desk = open_desk(tiered(**config))
    for day, each in enumerate(calls, 1):
        desk.use("acme", f"2023-01-{day:02}", calls=each)
    run(desk, 1)
    return desk


def told(bill: Bill) -> list[tuple[str, str]]:
    return [(line.line_item_type.value, str(line.converted_subtotal)) for line in bill.line_items]


def verified(desk: Desk) -> list[str | None]:
    found = [verify_bill(desk.records, desk.usage, record).difference for record in desk.bill_records()]
    return [each for each in found if each]


def test_a_memo_is_issued_and_the_next_bill_has_its_lines_and_nothing_else(open_desk: Opener) -> None:
    """100 and 60 calls, 18.00; without the 60 it is 15.00."""
    desk = january(open_desk, 100, 60)
    body = desk.bodies()
    (memo,) = correct(desk, rows(desk)[1])
    assert (memo.status, memo.total, memo.bill_total, memo.corrected_total) == ("DRAFT", -3, 18, 15)
    issued = issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 2, 10))
    assert issued.lines[0].charge_id
    february = run(desk, 2)
    assert told(february) == [("STANDING_CHARGE", "5.00"), ("CREDIT_MEMO", "-3.00")]
    line = february.line_items[1]
    assert (line.referenced_bill_id, line.aggregation_id) == (memo.bill_id, id_of("aggregation", "calls"))
    assert line.description == "calls, correction for 2023-01-01 to 2023-01-31"
    assert "A credit of" in " ".join(explain_line(line, of_month(desk, 2).working(line.id)).steps)
    assert told(run(desk, 3)) == [("STANDING_CHARGE", "5.00")]
    assert {id_: each for id_, each in desk.bodies().items() if id_ in body} == body
    assert verified(desk) == []


def test_while_a_memo_is_a_draft_no_bill_charges_its_difference(open_desk: Opener) -> None:
    desk = january(open_desk, 100, 60)
    (memo,) = correct(desk, rows(desk)[1])
    assert told(run(desk, 2)) == [("STANDING_CHARGE", "5.00")]
    discard_memo(desk.records, memo.id, actor=ADA, now=NOW)
    assert told(run(desk, 3)) == [("STANDING_CHARGE", "5.00"), ("MANUAL_ADJUSTMENT", "-3.00")]
    assert told(run(desk, 4)) == [("STANDING_CHARGE", "5.00")]
    assert verified(desk) == []


def test_a_memo_settles_what_came_late_besides(open_desk: Opener) -> None:
    """40 calls came late and no bill has taken them up: 100 + 40 is 17.00, and 18.00 was billed."""
    desk = january(open_desk, 100, 60)
    desk.use("acme", "2023-01-20", calls=40)
    (memo,) = correct(desk, rows(desk)[1])
    assert memo.total == -1
    assert told(run(desk, 2)) == [("STANDING_CHARGE", "5.00")]
    desk.use("acme", "2023-01-21", calls=10)
    assert told(run(desk, 3)) == [("STANDING_CHARGE", "5.00"), ("MANUAL_ADJUSTMENT", "0.50")]


def test_late_usage_that_was_charged_is_given_back_once(open_desk: Opener) -> None:
    """The 40 calls of January stand on February as 2.00; then they are withdrawn."""
    desk = january(open_desk, 100, 60)
    desk.use("acme", "2023-01-20", calls=40)
    assert told(run(desk, 2))[1:] == [("MANUAL_ADJUSTMENT", "2.00")]
    (memo,) = correct(desk, rows(desk)[2])
    assert (memo.total, memo.corrected_total) == (-2, 18)
    assert memo.lines[0].elsewhere == 2
    issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 3, 10))
    assert told(run(desk, 3)) == [("STANDING_CHARGE", "5.00"), ("CREDIT_MEMO", "-2.00")]
    assert verified(desk) == []


def test_an_open_bill_gets_no_memo_and_is_made_anew(open_desk: Opener) -> None:
    desk = open_desk(tiered())
    desk.use("acme", "2023-01-01", calls=100)
    desk.use("acme", "2023-01-02", calls=60)
    run(desk, 1, final=False)
    (effect,) = effects(desk, rows(desk)[1])
    assert (effect.settlement, effect.before, effect.after, effect.difference) == ("RERATE", 18, 15, -3)
    assert correct(desk, rows(desk)[1]) == []
    assert run(desk, 1).bill_total == 15


def effects(desk: Desk, *gone: UsageRow, added: Sequence[UsageRow] = ()) -> list[Any]:
    about = touched(gone, added)
    return effects_of(desk.records, desk.usage, about, as_of=NOW, up_to=desk.usage_store.mark)


@pytest.mark.parametrize(("policy", "memos"), [(LateUsage.ADJUST_NEXT_BILL, 1), (LateUsage.RECALCULATE, 0)])
def test_an_approved_bill_stays_where_the_organisation_says_so(
    open_desk: Opener, policy: LateUsage, memos: int
) -> None:
    desk = open_desk(tiered(late_usage=policy))
    desk.use("acme", "2023-01-01", calls=100)
    desk.use("acme", "2023-01-02", calls=60)
    run(desk, 1, final=False)
    record = of_month(desk, 1)
    desk.put(msgspec.structs.replace(record, bill=approve(record.bill, by="ada", at=NOW)))
    (effect,) = effects(desk, rows(desk)[1])
    assert (effect.settlement, effect.difference) == ("MEMO" if memos else "RERATE", -3)
    assert len(correct(desk, rows(desk)[1])) == memos


def test_a_preview_tells_what_is_of_the_correction_and_what_is_late(open_desk: Opener) -> None:
    desk = january(open_desk, 100, 60)
    desk.use("acme", "2023-01-20", calls=40)
    (effect,) = effects(desk, rows(desk)[1])
    assert (effect.difference, effect.late, effect.memo) == (-3, 2, -1)
    (line,) = effect.lines
    assert (line.before, line.after, line.difference, line.late) == (13, 12, -3, 2)


def test_what_credit_paid_for_is_credit_again(open_desk: Opener) -> None:
    """A wallet paid for January's calls. A memo of 3.00 for them is taken off what the wallet pays in February."""
    world = tiered()
    balance(world, line_item_types=(CreditLine.USAGE,))
    desk = open_desk(world)
    top_up(desk, "100.00")
    desk.use("acme", "2023-01-01", calls=100)
    desk.use("acme", "2023-01-02", calls=60)
    run(desk, 1)
    (memo,) = correct(desk, rows(desk)[1])
    issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 2, 10))
    desk.use("acme", "2023-02-10", calls=50)
    february = run(desk, 2)
    assert told(february) == [
        ("STANDING_CHARGE", "5.00"),
        ("USAGE", "5.00"),
        ("CREDIT_MEMO", "-3.00"),
        ("BALANCE_CONSUMED", "-2.00"),
    ]
    assert verified(desk) == []


def test_an_issued_memo_is_taken_back_while_its_bill_is_open(open_desk: Opener) -> None:
    desk = january(open_desk, 100, 60)
    (memo,) = correct(desk, rows(desk)[1])
    issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 2, 10))
    assert run(desk, 2, final=False).bill_total == 2
    assert discard_memo(desk.records, memo.id, actor=ADA, now=NOW).status is MemoStatus.DISCARDED
    assert told(run(desk, 2)) == [("STANDING_CHARGE", "5.00"), ("MANUAL_ADJUSTMENT", "-3.00")]


def test_a_memo_on_a_locked_bill_stays(open_desk: Opener) -> None:
    desk = january(open_desk, 100, 60)
    (memo,) = correct(desk, rows(desk)[1])
    issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 2, 10))
    run(desk, 2)
    with pytest.raises(Refusal) as refused:
        discard_memo(desk.records, memo.id, actor=ADA, now=NOW)
    assert refused.value.code.name == "bill_locked"
    with pytest.raises(Refusal) as again:
        issue_memo(desk.records, memo.id, actor=ADA, now=NOW)
    assert again.value.code.name == "correction_state"
    assert read_memo(desk.records, memo.id).status is MemoStatus.ISSUED


def test_where_late_usage_is_only_reported_a_memo_is_not_taken_back(open_desk: Opener) -> None:
    world = tiered()
    world.add(LatePolicy(on_closed_bill=OnClosedBill.REPORT), "policy")
    desk = open_desk(world)
    desk.use("acme", "2023-01-01", calls=100)
    desk.use("acme", "2023-01-02", calls=60)
    run(desk, 1)
    (memo,) = correct(desk, rows(desk)[1])
    issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, 2, 10))
    assert told(run(desk, 2)) == [("STANDING_CHARGE", "5.00"), ("CREDIT_MEMO", "-3.00")]
    desk.use("acme", "2023-01-20", calls=40)
    assert told(run(desk, 3)) == [("STANDING_CHARGE", "5.00")]
    assert verified(desk) == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["use", "withdraw", "bill"]), st.integers(1, 6), st.integers(0, 150)),
    min_size=4,
    max_size=14,
)


@settings(**drawing(20))
@given(steps=STEPS)
def test_every_call_is_paid_once_in_the_end(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """Calls come in time or late, some are withdrawn, memos are issued, left, or dropped. When all is billed, bills and
    the memos that are still drafts come to the price of what was right, month by month."""
    desk = Desk(tmp_path_factory.mktemp("desk"), tiered())
    try:
        month = 1
        for what, chosen, calls in steps:
            there = rows(desk)
            if what == "use":
                desk.use("acme", f"2023-{min(chosen, month):02}-10", calls=calls)
            elif what == "bill" and month < 6:
                run(desk, month, final=calls % 3 > 0)
                month += 1
            elif what == "withdraw" and there:
                for memo in correct(desk, there[calls % len(there)]):
                    decide(desk, memo, chosen, month)
        for number in range(1, 8):
            run(desk, number)
        left = rows(desk)
        expected = sum(
            (price_of(sum(int(row.numbers["calls"]) for row in left if row.ts.month == each)) for each in range(1, 8)),
            Decimal(0),
        )
        drafts = list_memos(desk.records, Page(size=100), status=MemoStatus.DRAFT).rows
        paid = sum((each.bill_total for each in desk.bills()), Decimal(0))
        assert paid + sum((each.total for each in drafts), Decimal(0)) == expected
        assert verified(desk) == []
    finally:
        desk.close()


def decide(desk: Desk, memo: CorrectionMemo, chosen: int, month: int) -> None:
    if chosen % 3 == 0:
        issue_memo(desk.records, memo.id, actor=ADA, now=NOW, bill_date=date(2023, month, 15))
    elif chosen % 3 == 1:
        discard_memo(desk.records, memo.id, actor=ADA, now=NOW)
