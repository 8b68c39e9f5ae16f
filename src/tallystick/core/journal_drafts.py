"""What the books say of a document: bills, transactions on balances, commitments, credit that expired, payments.

Pure, and the same for the same document: amounts above zero are debits (docs/decisions/0500-journal-entries.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tallystick.core.accounting import Role
from tallystick.core.bill import Bill, LineItem
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.journal import EntryDraft, EntryType, Posting, ProductOf, draft, month_of
from tallystick.core.ledger import LedgerEntry
from tallystick.core.paid_state import PaidBill, PaidState, history
from tallystick.core.period import local_day
from tallystick.core.quantity import ZERO, negate, subtract, total
from tallystick.core.revenue_schedule import MonthAmount, product_of, role_of, served, spread

_OF_CREDIT = frozenset({Role.PREPAID_CREDIT, Role.CREDIT_ISSUED})


class _Share(msgspec.Struct, frozen=True, kw_only=True):
    """What of a line belongs to a month, for a role, in one currency."""

    month: str
    currency: str
    posting: Posting  # as it is in that month: revenue is a credit


def bill_drafts(bill: Bill, decimals: int) -> tuple[EntryDraft, ...]:
    """The entries of an approved bill: one on its date, and one for each other month that its lines are for.

    On the bill's date the customer owes the total. What belongs to an earlier month was unbilled from its end until
    then; what belongs to a later one is deferred until its end. `decimals` are those of the bill's currency. Credit
    in another currency is booked in its own, through the exchange account.
    """
    shares = [share for line in bill.line_items for share in _shares(bill, line, decimals)]
    billed = month_of(bill.bill_date)
    name = f"Bill {bill.sequential_invoice_number or ''}".strip() + f" of {bill.account_code}, {_days(bill)}"
    found: list[EntryDraft | None] = []
    for currency in _in_order((bill.currency, *(each.currency for each in shares))):
        mine = [each for each in shares if each.currency == currency]
        now = [each.posting for each in mine if each.month == billed]
        then = [_bridge(each, billed) for each in mine if each.month != billed]
        owed = [Posting(role=Role.RECEIVABLE, amount=bill.bill_total)] if currency == bill.currency else []
        found.append(draft(EntryType.BILL, bill.bill_date, currency, name, (*owed, *now, *then)))
        for month in sorted({each.month for each in mine} - {billed}):
            in_month = [each for each in mine if each.month == month]
            postings = [posting for each in in_month for posting in (each.posting, _turned(_bridge(each, billed)))]
            text = f"{name}: {month}"
            found.append(draft(EntryType.RECOGNITION, last_day(month), currency, text, postings))
    return tuple(sorted((each for each in found if each is not None), key=lambda each: (each.date, each.type)))


def _days(bill: Bill) -> str:
    return f"{bill.start_date} to {bill.end_date - timedelta(days=1)}"


def _shares(bill: Bill, line: LineItem, decimals: int) -> Iterator[_Share]:
    """A line in months: in the currency of the bill, and for credit in another currency in that too."""
    role = role_of(line.line_item_type)
    days, product = served(bill, line), product_of(line)
    credit = line.commitment_id or line.balance_id if role in _OF_CREDIT else None
    foreign = role in _OF_CREDIT and line.currency != bill.currency
    own = Role.EXCHANGE if foreign else role
    for each in spread(line.converted_subtotal, *days, decimals) if line.converted_subtotal else ():
        yield _share(bill.currency, own, each, None if foreign else product, None if foreign else credit)
    if foreign and line.subtotal:
        places = max(decimals, _places(line.subtotal))
        for each in spread(line.subtotal, *days, places):
            yield _share(line.currency, role, each, product, credit)
            yield _share(line.currency, Role.EXCHANGE, _less(each), None, None)


def _share(currency: str, role: Role, of: MonthAmount, product: ProductOf | None, credit: str | None) -> _Share:
    posting = Posting(role=role, amount=negate(of.amount), product=product, credit_id=credit)
    return _Share(month=of.month, currency=currency, posting=posting)


def _less(of: MonthAmount) -> MonthAmount:
    return MonthAmount(month=of.month, amount=negate(of.amount))


def _bridge(share: _Share, billed: str) -> Posting:
    """Where an amount of another month than the bill's stands meanwhile, as the bill's entry has it."""
    if share.month < billed:
        return Posting(role=Role.UNBILLED, amount=share.posting.amount)
    return Posting(role=Role.DEFERRED_REVENUE, amount=share.posting.amount, product=share.posting.product)


def _turned(posting: Posting) -> Posting:
    return msgspec.structs.replace(posting, amount=negate(posting.amount))


def transaction_drafts(entry: LedgerEntry, zone: str) -> tuple[EntryDraft, ...]:
    """The entries of what people or schedules add to a balance, or take from it.

    What was paid for it is cash; where less was paid than it is worth, the rest is a discount. What nothing was paid
    for is issued, and billed by the balance's charges, or paid for by the account of its type.
    """
    day, text = local_day(entry.transaction_date, zone), entry.description or "Balance transaction"
    credit = Posting(role=Role.PREPAID_CREDIT, amount=negate(entry.amount), credit_id=entry.credit_id)
    if entry.paid is None:
        issued = Posting(
            role=Role.CREDIT_ISSUED,
            amount=entry.amount,
            credit_id=entry.credit_id,
            type_id=entry.transaction_type_id,
        )
        return _kept(draft(EntryType.CREDIT, day, entry.currency, text, (credit, issued)))
    cash = Posting(role=Role.CASH, amount=entry.paid)
    if entry.currency_paid == entry.currency:
        given = Posting(role=Role.DISCOUNTS, amount=subtract(entry.amount, entry.paid))
        return _kept(draft(EntryType.CREDIT, day, entry.currency, text, (credit, cash, given)))
    assert entry.currency_paid is not None, "what was paid comes with its currency"
    changed = Posting(role=Role.EXCHANGE, amount=negate(entry.paid))
    taken = Posting(role=Role.EXCHANGE, amount=entry.amount)
    return _kept(
        draft(EntryType.CREDIT, day, entry.currency, text, (credit, taken)),
        draft(EntryType.CREDIT, day, entry.currency_paid, text, (cash, changed)),
    )


def prepayment_drafts(commitment: Entity[Commitment]) -> tuple[EntryDraft, ...]:
    """What was paid for a commitment before any bill, on its first day."""
    value, paid = commitment.value, commitment.value.amount_pre_paid or ZERO
    postings = (
        Posting(role=Role.CASH, amount=paid),
        Posting(role=Role.PREPAID_CREDIT, amount=negate(paid), credit_id=commitment.id),
    )
    return _kept(draft(EntryType.CREDIT, value.start_date, value.currency, "Paid for a commitment", postings))


def breakage_drafts(credit_id: str, name: str, currency: str, expired: Decimal, end: date) -> tuple[EntryDraft, ...]:
    """Credit that nobody can draw any more, on its last day (`end` is not one of its days)."""
    postings = (
        Posting(role=Role.PREPAID_CREDIT, amount=expired, credit_id=credit_id),
        Posting(role=Role.BREAKAGE, amount=negate(expired)),
    )
    return _kept(draft(EntryType.BREAKAGE, end - timedelta(days=1), currency, f"{name}: expired", postings))


_WRITTEN_OFF = {
    PaidState.PAID: Role.CREDIT_MEMOS,  # settled for less
    PaidState.VOID: Role.CREDIT_MEMOS,
    PaidState.UNCOLLECTIBLE: Role.BAD_DEBT,
}


def payment_drafts(paid: PaidBill, zone: str, *, owed: bool) -> tuple[EntryDraft, ...]:
    """What was paid for a bill, day by day, and what of it nobody expects any more: settled for less, void,
    uncollectible. What comes later takes back what was written off before. Of a bill that is not `owed`, because it is
    reopened or deleted, there is nothing to write off: its own entries are taken back."""
    text = f"Payment of bill {paid.bill_id}"
    days: dict[date, dict[Role, Decimal]] = {}
    for at, standing in history(paid):
        days[local_day(at, zone)] = _settled(standing, owed=owed)
    found: list[EntryDraft | None] = []
    before: dict[Role, Decimal] = {}
    for day, after in days.items():
        roles = sorted({*before, *after})
        moved = {role: subtract(after.get(role, ZERO), before.get(role, ZERO)) for role in roles}
        postings = [Posting(role=role, amount=amount) for role, amount in moved.items()]
        postings.append(Posting(role=Role.RECEIVABLE, amount=negate(total(moved.values()))))
        found.append(draft(EntryType.PAYMENT, day, paid.currency, text, postings))
        before = after
    return _kept(*found)


def _settled(paid: PaidBill, *, owed: bool) -> dict[Role, Decimal]:
    """What is off the receivable of a bill, by what took it off."""
    settled = {Role.CASH: paid.paid}
    role = _WRITTEN_OFF.get(paid.state) if owed else None
    open_ = subtract(paid.bill_total, paid.paid)
    return settled | {role: open_} if role is not None and open_ > 0 else settled


def last_day(month: str) -> date:
    """The last day of a month such as 2024-02."""
    first = date.fromisoformat(f"{month}-01")
    return (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _kept(*drafts: EntryDraft | None) -> tuple[EntryDraft, ...]:
    return tuple(each for each in drafts if each is not None)


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _places(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), f"{amount} is no amount"
    return max(0, -exponent)
