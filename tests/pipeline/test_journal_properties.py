"""Whatever is billed, approved, reopened, recalculated, deleted or added, in any order: the books agree with it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

from billing_desk import ADA, Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import WALLET
from ledger_desk import entries as ledger_entries

from billing_world import ACCOUNT, World, at, bands, id_of
from credit_world import balance, commitment, metered
from effort import drawing
from tallystick.control import balance_transactions, bills, paid_states
from tallystick.control.desk import Desk as ControlDesk
from tallystick.core import wire
from tallystick.core.accounting import Role
from tallystick.core.bill import BillStatus, LineItemType
from tallystick.core.journal import JournalEntry
from tallystick.core.journal_tallies import Tally, tallies_of
from tallystick.core.ledger import BalanceTransaction, LedgerCause
from tallystick.core.paid_state import KIND as PAYMENTS
from tallystick.core.paid_state import PaidBill, PaidState, Told
from tallystick.core.quantity import total
from tallystick.errors import Refusal
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.journal import post_all
from tallystick.pipeline.journal_reports import EntryFilter, every_entry, read_trial_balance
from tallystick.ports import DocumentWhere, Page

MONTHS = 4
NOW, LAST = "2023-06-01", "2024-06-01"  # of the acts; and when all but the spare wallet is over
SPARE, COMMITMENT = id_of("balance", "spare"), id_of("commitment", "commitment")

CONSUMED = {LineItemType.COMMITMENT_CONSUMED, LineItemType.BALANCE_CONSUMED}
PREPAID = Decimal(90)  # of the commitment, of which nothing else is billed
AGREED = {"start_date": date(2023, 1, 10), "amount_pre_paid": PREPAID, "overage_surcharge_percent": Decimal(10)}

months = st.integers(1, MONTHS)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("use"), months, st.integers(1, 200)),
        st.tuples(st.just("add"), months, st.integers(-40, 200)),
        st.tuples(st.sampled_from(("bill", "approve", "post")), months, st.just(0)),
        st.tuples(st.sampled_from(("bill", "approve", "post")), months, st.just(0)),
        st.tuples(st.sampled_from(("reopen", "recalculate", "delete", "lock", "void")), months, st.just(0)),
        st.tuples(st.just("pay"), months, st.integers(1, 60)),
    ),
    min_size=5,
    max_size=16,
)


def world_of() -> World:
    """A commitment of the year, a wallet until 20 March that carries over, and another that never ends."""
    world = metered(price_bands=bands((0, 1), (100, "0.5")), cumulative=True)
    commitment(world, amount=Decimal(150), **AGREED)
    balance(world, end_date=at("2023-03-20"), rollover_end_date=at("2023-04-10"), rollover_amount=Decimal(30))
    balance(world, "spare", end_date=at("2025-01-01"))
    return world


def do(desk: Desk, act: str, month: int, number: int) -> None:
    """One thing that happens; what is refused does not happen."""
    control = ControlDesk(records=desk.records, actor=ADA, now=at(NOW))
    day = f"2023-{month:02}-{1 + number % 28:02}"
    with suppress(Refusal):
        if act == "use":
            desk.use(ACCOUNT, day, calls=number)
        elif act == "add" and number:
            added = BalanceTransaction(amount=Decimal(number), applied_date=at(day), transaction_date=at(day))
            balance_transactions.transact(control, WALLET if number % 2 else SPARE, added)
        elif act == "bill":
            desk.run(f"2023-{month + 1:02}-01T06:00:00Z")
        elif act == "approve":
            bills.approve_bills(control, bills.BillFilter(status=BillStatus.PENDING))
        elif act == "post":
            post_all(desk.records, at(NOW))
        else:
            for bill in desk.bills():
                if bill.start_date.month == month:
                    do_to(desk, control, act, bill.id, number)


def do_to(desk: Desk, control: ControlDesk, act: str, bill_id: str, number: int) -> None:
    """One thing that happens to a bill."""
    if act == "reopen":
        bills.set_status(control, bill_id, BillStatus.PENDING)
    elif act == "recalculate":
        desk.recalculate([bill_id])
    elif act == "delete":
        remove_bill(desk.records, bill_id, actor_id="ada", at=at(NOW))
    elif act == "lock":
        bills.lock_bill(control, bill_id)
    elif act == "pay":
        paid_states.tell_payment(
            control, bill_id, paid_states.PaymentRequest(amount=Decimal(number), paid_at=control.now)
        )
    elif act == "void":
        paid_states.tell_payment(control, bill_id, paid_states.PaymentRequest(type=Told.VOID, paid_at=at(LAST)))


def agree(desk: Desk) -> None:
    """Every claim of the books, held against bills and the ledger."""
    found = every_entry(desk.records, EntryFilter())
    approved = [each for each in desk.bills() if each.status is BillStatus.APPROVED]
    paid = [wire.decode(PaidBill, each.body) for each in desk.records.documents(PAYMENTS, DocumentWhere(), Page()).rows]
    told = {each.bill_id: each for each in paid}
    void = {each.id for each in approved if each.id in told and told[each.id].state is PaidState.VOID}
    assert amount(found, Role.CASH) == PREPAID + total(each.paid for each in paid)
    owing = total(each.bill_total for each in approved if each.id not in void)
    came = total(each.paid for each in paid if each.bill_id not in void)
    assert amount(found, Role.RECEIVABLE) == owing - came
    charged = total(
        line.converted_subtotal for each in approved for line in each.line_items if line.line_item_type not in CONSUMED
    )
    assert -amount(found, Role.REVENUE) == charged
    assert amount(found, Role.UNBILLED) == 0
    ids = {each.id for each in approved}
    for credit in (WALLET, SPARE, COMMITMENT):
        mine = [each for each in ledger_entries(desk) if each.credit_id == credit]
        added = total(each.amount for each in mine if each.entity_type is not LedgerCause.BILL)
        billed = total(each.amount for each in mine if each.entity_id in ids)
        drafted = total(each.amount for each in mine if each.entity_type is LedgerCause.BILL) - billed
        put_in = PREPAID if credit == COMMITMENT else added
        owed = -amount(found, Role.PREPAID_CREDIT, credit)
        # Over: what is left of it has expired, but for what bills draw that nobody has approved.
        expired = max(put_in + billed + drafted, Decimal(0)) if credit != SPARE else 0
        assert owed == put_in + billed - expired
    rows = read_trial_balance(desk.records, None, None)
    assert total(each.closing for each in rows) == 0
    stored = desk.records.documents("journaltally", DocumentWhere(), Page(size=10_000)).rows
    assert {each.key: each for each in (wire.decode(Tally, one.body) for one in stored)} == tallies_of(found)
    assert sorted(each.number for each in found) == list(range(1, len(found) + 1))
    assert len({each.id for each in found}) == len(found)


def amount(found: list[JournalEntry], role: Role, credit: str | None = None) -> Decimal:
    """What entries come to on a role: above zero for a debit."""
    lines = (line for entry in found for line in entry.lines if line.role is role)
    return total(line.amount for line in lines if credit is None or line.credit_id == credit)


@settings(**drawing(8, shrink=False))
@given(acts)
def test_the_books_agree_with_bills_and_ledger(happened: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), world_of())
        try:
            for act in happened:
                do(desk, *act)
            post_all(desk.records, at(NOW))
            before = every_entry(desk.records, EntryFilter())
            post_all(desk.records, at(LAST))
            agree(desk)
            after = {each.id: each for each in every_entry(desk.records, EntryFilter())}
            assert all(after[each.id] == each for each in before), "an entry was changed"
            assert post_all(desk.records, at(LAST)) == 0
        finally:
            desk.close()
