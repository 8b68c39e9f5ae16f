"""What is told of the payment of bills, and how they stand by it, over HTTP: an extension of ours."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from tallystick.api.bills import PAID_QUERY, paid_wanted
from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.paid_states import (
    PaymentRequest,
    get_paid,
    list_paid,
    reverse_payment,
    tell_payment,
    today,
)
from tallystick.core.paid_state import Note, PaidBill, PaidState, PaymentEntry
from tallystick.core.period import Instant

TAG = "Payments of bills"
PATH = "/bills/{id}/payments"


class PaymentsReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the payment of a bill stands, and everything that was told of it. `paid` is what came in so far,
    `left` what is still to be paid."""

    bill_id: str
    account_id: str
    paid_state: PaidState
    overdue: bool
    paid: Decimal
    left: Decimal
    bill_total: Decimal
    currency: str
    due_date: date
    version: int
    payments: tuple[PaymentEntry, ...]
    dt_paid: Instant | None = None


class ReversalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why what was told is taken back."""

    note: Note = ""


def find(call: Call) -> dict[str, object]:
    """A page of bills by their payment."""
    found = list_paid(call.records, paid_wanted(call), call.query.page(highest=200))
    on = today(call.records, call.now)
    return struct_page([_shown(each, on) for each in found.rows], found.next_token)


def retrieve(call: Call) -> PaymentsReply:
    """How the payment of one bill stands."""
    return _reply(call, get_paid(call.records, call.path["id"]))


def tell(call: Call, body: PaymentRequest) -> PaymentsReply:
    """Record a payment by hand."""
    return _reply(call, tell_payment(desk_of(call), call.path["id"], body))


def reverse(call: Call, body: ReversalRequest) -> PaymentsReply:
    """Take back what was recorded."""
    return _reply(call, reverse_payment(desk_of(call), call.path["id"], call.path["paymentId"], body.note))


def _reply(call: Call, paid: PaidBill) -> PaymentsReply:
    return _shown(paid, today(call.records, call.now))


def _shown(paid: PaidBill, on: date) -> PaymentsReply:
    return PaymentsReply(
        bill_id=paid.bill_id,
        account_id=paid.account_id,
        paid_state=paid.state,
        overdue=paid.overdue(on),
        paid=paid.paid,
        left=paid.left,
        bill_total=paid.bill_total,
        currency=paid.currency,
        due_date=paid.due_date,
        version=paid.version,
        payments=paid.entries,
        dt_paid=paid.dt_paid,
    )


ROUTES = (
    Route(
        method="GET",
        path="/billpayments",
        run=find,
        summary="List approved bills with how their payment stands, the latest period first",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(PaymentsReply),
        query={"accountId": "Only bills of this account.", **PAID_QUERY, **PAGING},
    ),
    Route(
        method="GET",
        path=PATH,
        run=retrieve,
        summary="Retrieve how the payment of a bill stands, with all that was told of it",
        tag=TAG,
        scope="config:retrieve",
        reply=PaymentsReply,
    ),
    Route(
        method="POST",
        path=PATH,
        run=tell,
        summary="Record a payment of a bill by hand, or that it failed, is uncollectible or is not owed",
        tag=TAG,
        scope="config:update",
        body=PaymentRequest,
        reply=PaymentsReply,
    ),
    Route(
        method="POST",
        path=PATH + "/{paymentId}/reversal",
        run=reverse,
        summary="Take back what was recorded of the payment of a bill",
        tag=TAG,
        scope="config:update",
        body=ReversalRequest,
        reply=PaymentsReply,
    ),
)
