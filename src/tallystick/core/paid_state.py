"""Paid states: what people and outside services tell of the payment of a bill, and how it stands by all of that.

What is told is kept beside the bill, never inside it. How the bill stands depends on what was told and when that
happened, not on the order or the number of times in which it was told (docs/decisions/0490-paid-state.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, plain, subtract
from tallystick.core.quantity import total as sum_of
from tallystick.errors import Refusal

KIND = "billpayment"  # the kind of document that the payments of a bill are kept as
EVENT_TYPE = "BillPayment"
MOST_ENTRIES = 1000  # that are kept of one bill
BY_HAND = "MANUAL"  # the system of what people tell

System = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Note = Annotated[str, msgspec.Meta(max_length=500)]


class PaidState(StrEnum):
    """How the payment of a bill stands."""

    UNPAID = "UNPAID"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    FAILED = "FAILED"  # the last attempt to collect it went wrong
    UNCOLLECTIBLE = "UNCOLLECTIBLE"  # nobody expects it to be paid any more
    VOID = "VOID"  # it is not owed: its invoice was taken back


class Told(StrEnum):
    """What can be told of the payment of a bill."""

    PAYMENT = "PAYMENT"  # so much was paid, in addition to all else
    PAID_SO_FAR = "PAID_SO_FAR"  # so much was paid in all by the invoice that the reference names
    SETTLED = "SETTLED"  # the same, and nothing is left to pay of what the invoice asked for
    FAILED = "FAILED"
    UNCOLLECTIBLE = "UNCOLLECTIBLE"
    VOID = "VOID"
    REVERSED = "REVERSED"  # what another entry told is taken back, as if it had never been told


_MONEY = frozenset({Told.PAYMENT, Told.PAID_SO_FAR, Told.SETTLED})
_OUTCOMES = {
    Told.FAILED: PaidState.FAILED,
    Told.UNCOLLECTIBLE: PaidState.UNCOLLECTIBLE,
    Told.VOID: PaidState.VOID,
}
_EVERY = frozenset(PaidState)

# What may follow what, in the order in which things happened. What may not follow is kept and changes nothing: an
# attempt that failed says nothing of a bill that is paid. Money counts always, as it is there.
FOLLOWS: dict[PaidState, frozenset[PaidState]] = {
    PaidState.UNPAID: _EVERY,
    PaidState.PARTIALLY_PAID: _EVERY,
    PaidState.FAILED: _EVERY,
    PaidState.UNCOLLECTIBLE: frozenset({PaidState.PARTIALLY_PAID, PaidState.PAID, PaidState.VOID}),
    PaidState.VOID: frozenset({PaidState.PARTIALLY_PAID, PaidState.PAID}),
    PaidState.PAID: frozenset({PaidState.PAID}),
}
# Of what happened at the same moment, the later in this list came later.
_ORDER = (Told.FAILED, Told.UNCOLLECTIBLE, Told.VOID, Told.PAYMENT, Told.PAID_SO_FAR, Told.SETTLED)
OWED = frozenset({PaidState.UNPAID, PaidState.PARTIALLY_PAID, PaidState.FAILED, PaidState.UNCOLLECTIBLE})
EVENT_NAMES = {
    PaidState.UNPAID: "billing.bill.unpaid",
    PaidState.PARTIALLY_PAID: "billing.bill.partiallypaid",
    PaidState.PAID: "billing.bill.paid",
    PaidState.FAILED: "billing.bill.paymentfailed",
    PaidState.UNCOLLECTIBLE: "billing.bill.uncollectible",
    PaidState.VOID: "billing.bill.voided",
}
# What rules over these events may refer to.
EVENT_FIELDS = {
    "new.billId": "String",
    "new.accountId": "String",
    "new.paidState": "String",
    "new.paidStateBefore": "String",
    "new.paid": "Number",
    "new.billTotal": "Number",
    "new.currency": "String",
    "new.dueDate": "String",
    "new.system": "String",
    "new.reference": "String",
}


class PaymentEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that was told: what happened `at` some moment, told `by` somebody at `told`.

    `system` and `reference` say where it comes from, such as STRIPE and the id of an invoice. `amount` is in
    `currency`, that of the bill where none is named: money in another one is kept, and pays nothing of the bill.
    `settles` is what the invoice asked for in all. `reverses` is the id of the entry that is taken back.
    """

    id: str
    type: Told
    at: Instant
    told: Instant
    by: str
    system: System = BY_HAND
    reference: Reference | None = None
    amount: Decimal | None = None
    currency: str | None = None
    settles: Decimal | None = None
    note: Note = ""
    reverses: str | None = None

    def same_as(self, other: PaymentEntry) -> bool:
        """Whether both tell the same, whoever told it and when."""
        mine, others = (msgspec.structs.replace(each, told=self.told, by=self.by) for each in (self, other))
        return mine == others


class PaidBill(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the payment of a bill stands, and everything that was told of it, in the order in which it was told."""

    bill_id: str
    account_id: str
    currency: str
    bill_total: Decimal
    due_date: date
    state: PaidState
    version: int
    paid: Decimal = ZERO
    dt_paid: Instant | None = None
    entries: tuple[PaymentEntry, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """What it can be looked up by."""
        return {
            "bill_id": self.bill_id,
            "account_id": self.account_id,
            "state": self.state.value,
            "due_date": self.due_date.isoformat(),
        }

    @property
    def left(self) -> Decimal:
        """What is still to be paid: nothing of a bill that is not owed."""
        if self.state not in OWED:
            return ZERO
        money = _Money(self)
        for entry in _in_order(self.entries):
            money.take(entry)
        return max(subtract(self.bill_total, money.covered), ZERO)

    def overdue(self, today: date) -> bool:
        """Whether it should have been paid before today."""
        return self.state in OWED and self.due_date < today


def owed(*, bill_id: str, account_id: str, currency: str, bill_total: Decimal, due_date: date) -> PaidBill:
    """A bill of which nothing was told yet. One that asks for no money is paid."""
    bare = PaidBill(
        bill_id=bill_id,
        account_id=account_id,
        currency=currency,
        bill_total=bill_total,
        due_date=due_date,
        state=PaidState.UNPAID,
        version=1,
    )
    return _standing(bare)


def asks_for(before: PaidBill, *, currency: str, bill_total: Decimal, due_date: date) -> PaidBill:
    """The same bill after it was calculated anew: what was told of it counts against what it asks for now."""
    after = msgspec.structs.replace(before, currency=currency, bill_total=bill_total, due_date=due_date)
    after = _standing(after)
    return before if after == before else msgspec.structs.replace(after, version=before.version + 1)


def tell(before: PaidBill, entry: PaymentEntry) -> PaidBill:
    """The bill with one more thing told of it; the same again changes nothing.

    Refusals: `rule_broken` for another entry with the same id, an amount that is missing or below zero or that is given
    where there is none, a reversal of what was not told, and for more entries than a bill can have.
    """
    known = next((each for each in before.entries if each.id == entry.id), None)
    if known is not None:
        if not known.same_as(entry):
            raise Refusal(
                "rule_broken",
                "idempotencyKey: this was told before with other content; use another key for another payment",
                field="idempotencyKey",
            )
        return before
    _require_sound(before, entry)
    after = _standing(msgspec.structs.replace(before, entries=(*before.entries, entry)))
    return msgspec.structs.replace(after, version=before.version + 1)


def require_effect(before: PaidBill, after: PaidBill, entry: PaymentEntry) -> None:
    """Refuse what a person tells where it would change nothing because of the state. Refusal `bill_state`."""
    wanted = _OUTCOMES.get(entry.type)
    if wanted is not None and after.version > before.version and after.state is not wanted:
        raise Refusal(
            "bill_state", f"the bill {before.bill_id} is {before.state}: {wanted} cannot follow; reverse what is wrong"
        )


def payment_events(before: PaidBill | None, after: PaidBill) -> list[Event]:
    """What is told to others of a change: nothing where state and money are as before."""
    old = None if before is None else (before.state, before.paid)
    if old == (after.state, after.paid) or (before is None and after.state is PaidState.UNPAID):
        return []
    last = after.entries[-1] if after.entries else None
    if last is None:
        return []  # nobody told anything: a bill that asks for nothing is no news
    details: dict[str, Any] = {
        "billId": after.bill_id,
        "accountId": after.account_id,
        "paidState": after.state.value,
        "paidStateBefore": PaidState.UNPAID.value if before is None else before.state.value,
        "paid": after.paid,
        "billTotal": after.bill_total,
        "currency": after.currency,
        "dueDate": after.due_date.isoformat(),
        "system": last.system,
    }
    if last.reference is not None:
        details["reference"] = last.reference
    name = EVENT_NAMES[after.state]
    id_ = named_id(after.bill_id, f"payment/{after.version}")
    return [Event(id=id_, event_name=name, event_time=last.told, m3ter_event={"eventName": name, **details})]


def _require_sound(before: PaidBill, entry: PaymentEntry) -> None:
    if len(before.entries) >= MOST_ENTRIES:
        what = f"id: {MOST_ENTRIES} things were told of this bill, and no more are kept"
        raise Refusal("rule_broken", what, field="id")
    if entry.type in _MONEY:
        least_allowed = entry.amount is not None and (entry.amount > 0 or entry.type is not Told.PAYMENT)
        if entry.amount is None or entry.amount < 0 or not least_allowed:
            given = "none" if entry.amount is None else plain(entry.amount)
            raise Refusal("rule_broken", f"amount: must be above 0, got {given}", field="amount")
        if entry.type is not Told.PAYMENT and entry.reference is None:
            raise Refusal("rule_broken", f"reference: {entry.type} needs the invoice that it is about")
    elif entry.amount is not None:
        raise Refusal("rule_broken", f"amount: {entry.type} has none; leave it out", field="amount")
    if entry.type is Told.REVERSED:
        taken_back = next((each for each in before.entries if each.id == entry.reverses), None)
        if taken_back is None or taken_back.type is Told.REVERSED:
            raise Refusal("not_found", f"id: the bill {before.bill_id} has no such payment", field="id")
        if any(each.reverses == entry.reverses for each in before.entries):
            raise Refusal("bill_state", f"the payment {entry.reverses} was reversed before")


def _standing(bill: PaidBill) -> PaidBill:
    """The bill with its state by everything that was told: a fold over what happened, in the order of happening."""
    state = PaidState.UNPAID if bill.bill_total > 0 else PaidState.PAID
    when: Instant | None = None
    money = _Money(bill)
    for entry in _in_order(bill.entries):
        if entry.type not in _MONEY:
            following = _OUTCOMES[entry.type]
        elif money.take(entry):
            following = _by_money(bill, money.covered, state)
        else:
            continue
        if following in FOLLOWS[state]:
            if following is PaidState.PAID and state is not PaidState.PAID:
                when = entry.at
            state = following
    return msgspec.structs.replace(bill, state=state, paid=money.paid, dt_paid=when)


class _Money:
    """What was told of the money for a bill, added up."""

    def __init__(self, bill: PaidBill) -> None:
        self._bill = bill
        self._by_hand = ZERO
        self._by_invoice: dict[str, Decimal] = {}
        self._settled: dict[str, Decimal] = {}

    def take(self, entry: PaymentEntry) -> bool:
        """Count what an entry told; whether it is money of the bill's currency at all."""
        if entry.type not in _MONEY or entry.currency not in {None, self._bill.currency}:
            return False
        amount, invoice = entry.amount or ZERO, entry.reference or ""
        if entry.type is Told.PAYMENT:
            self._by_hand = add(self._by_hand, amount)
        else:
            self._by_invoice[invoice] = max(self._by_invoice.get(invoice, ZERO), amount)
        if entry.type is Told.SETTLED:
            self._settled[invoice] = self._bill.bill_total if entry.settles is None else entry.settles
        return True

    @property
    def paid(self) -> Decimal:
        """What came in."""
        return add(self._by_hand, sum_of(self._by_invoice.values()))

    @property
    def covered(self) -> Decimal:
        """What is not owed any more: what came in, and of settled invoices all that they asked for."""
        invoices = (max(paid, self._settled.get(invoice, ZERO)) for invoice, paid in self._by_invoice.items())
        return add(self._by_hand, sum_of(invoices))


def history(bill: PaidBill) -> Iterator[tuple[Instant, PaidBill]]:
    """How the bill stood after each thing that counts, in the order of happening."""
    counting = tuple(_in_order(bill.entries))
    for number, entry in enumerate(counting, 1):
        yield entry.at, _standing(msgspec.structs.replace(bill, entries=counting[:number]))


def _by_money(bill: PaidBill, covered: Decimal, state: PaidState) -> PaidState:
    if covered >= bill.bill_total:
        return PaidState.PAID
    return PaidState.PARTIALLY_PAID if covered > 0 else state


def _in_order(entries: Sequence[PaymentEntry]) -> Iterable[PaymentEntry]:
    """What counts, in the order in which it happened: reversals and what they take back do not."""
    gone = {each.reverses for each in entries if each.type is Told.REVERSED}
    counting = [each for each in entries if each.type is not Told.REVERSED and each.id not in gone]
    return sorted(counting, key=lambda each: (each.at, _ORDER.index(each.type), each.id))
