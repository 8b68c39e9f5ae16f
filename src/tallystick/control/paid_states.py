"""What is told of the payment of bills, by people and by outside services, and how bills stand by it (core.paid_state).

The bill itself is never touched: its payments are a document of their own beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tallystick.control.desk import Desk
from tallystick.control.journal_orders import order_payments
from tallystick.core import wire
from tallystick.core.bill import Bill, BillStatus
from tallystick.core.entity import require_number
from tallystick.core.ids import named_id
from tallystick.core.paid_state import (
    BY_HAND,
    EVENT_TYPE,
    KIND,
    OWED,
    Note,
    PaidBill,
    PaidState,
    PaymentEntry,
    Reference,
    System,
    Told,
    asks_for,
    owed,
    payment_events,
    require_effect,
    tell,
)
from tallystick.core.period import Instant, local_day
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.founded import config_of

BILL = "bill"
AT_ONCE = 500
TOLD_BY_PEOPLE = (Told.PAYMENT, Told.FAILED, Told.UNCOLLECTIBLE, Told.VOID)


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What somebody tells of the payment of a bill. Sent again under the same `idempotencyKey` it counts once.

    `amount` is what was paid, in the currency of the bill, and goes with PAYMENT only; `paidAt` is when it happened,
    now if it is left out.
    """

    type: Told = Told.PAYMENT
    amount: Decimal | None = None
    paid_at: Instant | None = None
    system: System = BY_HAND
    reference: Reference | None = None
    note: Note = ""
    idempotency_key: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidWanted:
    """Which bills are listed; every part that is given must hold. `overdue_on` keeps what should have been paid before
    that day."""

    state: PaidState | None = None
    account_id: str | None = None
    overdue_on: date | None = None


WHATEVER = PaidWanted()


class _Asking(msgspec.Struct, frozen=True, rename="camel"):
    """What of a bill its payments are held against."""

    id: str
    account_id: str
    currency: str
    bill_total: Decimal
    due_date: date
    end_date_time_utc: Instant = msgspec.field(name="endDateTimeUTC")


class _Stored(msgspec.Struct, frozen=True):
    bill: _Asking


def today(records: OrganizationRecords, now: Instant) -> date:
    """The day that it is in the organisation's time zone: what was due before it is overdue."""
    config = config_of(records)
    return local_day(now, config.value.timezone)


def get_paid(records: OrganizationRecords, bill_id: str) -> PaidBill:
    """How the payment of a bill stands, against what the bill asks for now. Refusal `not_found`."""
    return _read(records, bill_id)[0]


def standing_of(records: OrganizationRecords, shown: Collection[Bill]) -> dict[str, PaidBill]:
    """How the payment of each of some bills stands, against what it asks for, by its id."""
    kept = paid_of(records, [each.id for each in shown])
    return {each.id: _against(kept.get(each.id), each) for each in shown}


def paid_of(records: OrganizationRecords, bill_ids: Collection[str]) -> dict[str, PaidBill]:
    """Those of the bills of which something is kept, with how they stand."""
    ids, found = list(bill_ids), dict[str, PaidBill]()
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        rows = records.documents(KIND, DocumentWhere(equal={"id": some}), Page(size=len(some))).rows
        found |= {each.id: wire.decode(PaidBill, each.body) for each in rows}
    return found


def list_paid(records: OrganizationRecords, wanted: PaidWanted, page: Page) -> Found[PaidBill]:
    """A page of bills that were approved, or of which something was told, the latest period first."""
    equal: dict[str, Collection[str]] = {}
    between: dict[str, tuple[str | None, str | None]] = {}
    if wanted.account_id is not None:
        equal["account_id"] = (wanted.account_id,)
    states = OWED if wanted.overdue_on is not None else frozenset(PaidState)
    if wanted.state is not None:
        states &= {wanted.state}
        if not states:
            return Found(())
    if states != frozenset(PaidState):
        equal["state"] = sorted(states)
    if wanted.overdue_on is not None:
        between["due_date"] = (None, (wanted.overdue_on - timedelta(days=1)).isoformat())
    found = records.documents(KIND, DocumentWhere(equal=equal, between=between), page)
    return Found(tuple(wire.decode(PaidBill, each.body) for each in found.rows), found.next_token)


def tell_payment(desk: Desk, bill_id: str, told: PaymentRequest) -> PaidBill:
    """What a person tells of a bill. Refusals: `not_found`; `rule_broken` for an amount that does not go with the type,
    a moment that is still to come, or a key that was used for something else; `bill_state` for what cannot follow."""
    if told.type not in TOLD_BY_PEOPLE:
        allowed = ", ".join(TOLD_BY_PEOPLE)
        raise Refusal("rule_broken", f"type: must be one of {allowed}, got {told.type}", field="type")
    if told.amount is not None:
        _require_amount(told.amount)
    if told.paid_at is not None and told.paid_at > desk.now:
        message = f"paidAt: {told.paid_at.wire()} is still to come; tell what was paid once it was"
        raise Refusal("rule_broken", message, field="paidAt")
    with desk.records.transaction() as write:
        before, sort = _read(write, bill_id)
        entry = _entry(desk, before, told)
        known = next((each for each in before.entries if each.id == entry.id), None)
        if known is not None:  # sent again: the currency was not the sender's, nor the moment where they said none
            at = known.at if told.paid_at is None else entry.at
            entry = msgspec.structs.replace(entry, at=at, currency=known.currency)
        after = tell(before, entry)
        require_effect(before, after, entry)
        _told(desk, write, before, after, sort)
        return after


def _entry(desk: Desk, paid: PaidBill, told: PaymentRequest) -> PaymentEntry:
    return PaymentEntry(
        id=named_id(paid.bill_id, f"told/{told.idempotency_key or desk.new_id()}"),
        type=told.type,
        at=told.paid_at or desk.now,
        told=desk.now,
        by=desk.actor.id,
        system=told.system,
        reference=told.reference,
        amount=told.amount,
        currency=None if told.amount is None else paid.currency,
        note=told.note,
    )


def reverse_payment(desk: Desk, bill_id: str, entry_id: str, note: str = "") -> PaidBill:
    """Take back what was told of a bill. Refusals `not_found`; `bill_state` for what was taken back before."""
    with desk.records.transaction() as write:
        before, sort = _read(write, bill_id)
        entry = PaymentEntry(
            id=named_id(bill_id, f"reversed/{entry_id}"),
            type=Told.REVERSED,
            at=desk.now,
            told=desk.now,
            by=desk.actor.id,
            note=note,
            reverses=entry_id,
        )
        if any(each.id == entry.id for each in before.entries):
            raise Refusal("bill_state", f"the payment {entry_id} was reversed before")
        after = tell(before, entry)
        _told(desk, write, before, after, sort, action="REVERSE_PAYMENT")
        return after


def tell_from(desk: Desk, bill_id: str, entries: Sequence[PaymentEntry]) -> PaidBill | None:
    """What an outside service tells of a bill; what it told before is passed over. None where there is no such bill."""
    with desk.records.transaction() as write:
        try:
            before, sort = _read(write, bill_id)
        except Refusal:
            return None
        after, known = before, {each.id for each in before.entries}
        for entry in entries:
            if entry.id not in known:
                after = tell(after, entry)
        _told(desk, write, before, after, sort)
        return after


def note_owed(write: Transaction, approved: Sequence[Bill]) -> None:
    """Keep that these bills, which were just approved, ask for money: from now on they are found as unpaid."""
    due = {each.id: each for each in approved if each.status is BillStatus.APPROVED}
    kept = paid_of(write, due)
    changed: list[tuple[PaidBill | None, PaidBill, str]] = []
    for id_, bill in due.items():
        before = kept.get(id_)
        after = _against(before, bill)
        if after is not before:
            changed.append((before, after, bill.end_date_time_utc.wire()))
    _keep(write, changed)


def _read(records: OrganizationRecords, bill_id: str) -> tuple[PaidBill, str]:
    """How a bill stands, and its place in lists."""
    document = records.document(BILL, bill_id)
    if document is None:
        raise Refusal("not_found", f"id: there is no bill {bill_id[:40]!r} in this organization", field="id")
    bill = wire.decode(_Stored, document.body).bill
    kept = records.document(KIND, bill_id)
    before = _against(None if kept is None else wire.decode(PaidBill, kept.body), bill)
    return before, document.sort


def _against(kept: PaidBill | None, bill: Bill | _Asking) -> PaidBill:
    """What is kept of a bill, held against what it asks for now."""
    currency, total, due = bill.currency, bill.bill_total, bill.due_date
    if kept is None:
        return owed(bill_id=bill.id, account_id=bill.account_id, currency=currency, bill_total=total, due_date=due)
    return asks_for(kept, currency=currency, bill_total=total, due_date=due)


def _told(desk: Desk, write: Transaction, before: PaidBill, after: PaidBill, sort: str, *, action: str = "PAY") -> None:
    """Keep a bill of which something more was told, with the event of it and the entry in the audit."""
    if after is not before:
        _keep(write, [(before, after, sort)])
        write.note(action, BILL, after.bill_id, at=desk.now, by=desk.actor)


def _keep(write: Transaction, changed: Sequence[tuple[PaidBill | None, PaidBill, str]]) -> None:
    documents = [Document(id=new.bill_id, sort=sort, keys=new.keys, body=wire.encode(new)) for _, new, sort in changed]
    write.put_documents(KIND, documents)
    order_payments(write, [new for _, new, _ in changed])
    told = [
        event_document(event, event_type=EVENT_TYPE, account_id=after.account_id, resource_id=after.bill_id)
        for before, after, _ in changed
        for event in payment_events(before, after)
    ]
    put_events(write, told)


def _require_amount(amount: Decimal) -> None:
    try:
        require_number(amount, "amount")
    except ValueError as problem:
        raise Refusal("invalid_request", str(problem), field="amount") from None
