"""Whatever is billed, billed again, late, locked or deleted, in whatever order: the ledger balances."""

from __future__ import annotations

import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
from billing_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import WALLET, entries, top_up

from billing_world import ACCOUNT, World, at, bands, id_of
from credit_world import balance, commitment, metered
from effort import drawing
from tallystick.core.bill import approve, lock
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.ledger import LedgerCause, LedgerEntry, summary_of
from tallystick.core.quantity import negate, total
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.verify import verify_bill

MONTHS = 4
LIMIT = Decimal(30)  # of what the wallet carries over
LAST = at("2024-06-01")

months = st.integers(1, MONTHS)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("use"), months, st.integers(1, 200)),
        st.tuples(st.just("add"), months, st.integers(-40, 200)),
        st.tuples(st.just("bill"), months, st.just(0)),
        st.tuples(st.just("bill"), months, st.just(0)),
        st.tuples(st.just("recalculate"), months, st.just(0)),
        st.tuples(st.just("lock"), months, st.just(0)),
        st.tuples(st.just("delete"), months, st.just(0)),
    ),
    min_size=4,
    max_size=14,
)


def world_of() -> World:
    """A commitment from 10 January on, a wallet until 20 March that carries over, and another that never ends."""
    world = metered(price_bands=bands((0, 1), (100, "0.5")), cumulative=True)
    commitment(world, amount=Decimal(150), start_date=date(2023, 1, 10), overage_surcharge_percent=Decimal(10))
    balance(
        world,
        end_date=at("2023-03-20"),
        rollover_end_date=at("2023-04-10"),
        rollover_amount=LIMIT,
    )
    balance(world, "spare", end_date=at("2025-01-01"))
    return world


def do(desk: Desk, act: str, month: int, number: int) -> None:
    """One thing that happens to an account."""
    bills = {bill.start_date.month: record for bill, record in zip(desk.bills(), desk.bill_records(), strict=True)}
    record = bills.get(month)
    if act == "use":
        desk.use(ACCOUNT, f"2023-{month:02}-{1 + number % 28:02}", calls=number)
    elif act == "add" and number:
        top_up(
            desk, number, f"2023-{month:02}-{1 + number % 28:02}", WALLET if number % 2 else id_of("balance", "spare")
        )
    elif act == "bill":
        desk.run(f"2023-{month + 1:02}-01T06:00:00Z")
    elif record is None or record.bill.locked:
        return
    elif act == "recalculate":
        desk.recalculate([record.bill.id])
    elif act == "delete":
        remove_bill(desk.records, record.bill.id, actor_id="ada", at=LAST)
    elif act == "lock":
        approved = approve(record.bill, by="ada", at=LAST)
        desk.put(msgspec.structs.replace(record, bill=lock(approved, by="ada", at=LAST)))


def balances(desk: Desk) -> None:
    """Every claim that the ledger of a desk must stand up to, by an independent count."""
    book = entries(desk)
    records = desk.bill_records()
    drawn = {
        (record.bill.id, line.commitment_id or line.balance_id, "carried over" in line.description): negate(
            line.subtotal
        )
        for record in records
        for line in record.bill.line_items
        if line.line_item_type.endswith("_CONSUMED")
    }
    booked = {
        (each.entity_id, each.credit_id, each.from_rollover): negate(each.amount)
        for each in book
        if each.entity_type is LedgerCause.BILL
    }
    assert booked == drawn, "the ledger has what the bills say and nothing else"
    for record in records:
        assert record.bill.bill_total == total(line.converted_subtotal for line in record.bill.line_items)
        assert record.bill.bill_total >= 0
    for credit in (*desk.world.of(Balance).values(), *desk.world.of(Commitment).values()):
        mine = [each for each in book if each.credit_id == credit.id]
        first = credit.value.amount if isinstance(credit.value, Commitment) else Decimal(0)
        _never_overdrawn(first, mine)
        if isinstance(credit.value, Balance):
            _conserved(credit.value, mine)


def _never_overdrawn(first: Decimal, mine: list[LedgerEntry]) -> None:
    """No draw takes more than what people have put in and taken out by then."""
    added = [each for each in mine if each.entity_type is not LedgerCause.BILL]
    draws = [each for each in mine if each.entity_type is LedgerCause.BILL]
    for draw in draws:
        taken = total(each.amount for each in draws if each.applied_date <= draw.applied_date)
        there = total(each.amount for each in added if each.applied_date < draw.applied_date)
        assert first + there + taken >= min(first + there, Decimal(0))


def _conserved(value: Balance, mine: list[LedgerEntry]) -> None:
    """credits − debits = what is left + what expired, at every moment."""
    for moment in (at("2023-01-01"), at("2023-03-25"), at("2023-04-20"), LAST):
        summary = summary_of(value, mine, moment)
        assert summary.value == summary.available + summary.expired_balance_amount
        assert summary.value == total(each.amount for each in mine)
        drawn = total(each.amount for each in mine if each.entity_type is LedgerCause.BILL)
        assert negate(drawn) == summary.balance_consumed + summary.rollover_consumed
    assert summary.rollover_consumed <= LIMIT


@settings(**drawing(10))
@given(acts)
def test_the_ledger_balances_whatever_happens(happened: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), world_of())
        try:
            top_up(desk, 100)
            for act, month, number in happened:
                do(desk, act, month, number)
                if act not in {"use", "add"}:
                    balances(desk)
            before, book = desk.bodies(), entries(desk)
            for record in desk.bill_records():
                found = verify_bill(desk.records, desk.usage, record)
                assert found.verified, found.difference
            assert (desk.bodies(), entries(desk)) == (before, book)
        finally:
            desk.close()


@settings(**drawing(8))
@given(
    st.permutations(range(1, MONTHS + 1)),
    st.lists(st.tuples(months, st.integers(1, 200)), max_size=8),
    st.lists(st.tuples(months, st.integers(-40, 200)), max_size=4),
)
def test_the_order_of_billing_does_not_matter(
    order: list[int], used: list[tuple[int, int]], added: list[tuple[int, int]]
) -> None:
    """Bills made in any order, twice, come to the same amounts and draws as those made in the order of time."""
    outcomes = []
    for months_ in (range(1, MONTHS + 1), [*order, *reversed(order)]):
        with tempfile.TemporaryDirectory() as directory:
            desk = Desk(Path(directory), world_of())
            try:
                top_up(desk, 100)
                for month, number in used:
                    do(desk, "use", month, number)
                for month, number in added:
                    do(desk, "add", month, number)
                for month in months_:
                    do(desk, "bill", month, 0)
                lines = [[(line.id, line.subtotal) for line in bill.line_items] for bill in desk.bills()]
                outcomes.append((lines, [(each.id, each.amount) for each in entries(desk)]))
            finally:
                desk.close()
    assert outcomes[0] == outcomes[1]
