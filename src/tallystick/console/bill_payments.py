"""The payment of a bill on its page: how it stands, what was told of it, and what a person tells."""

from __future__ import annotations

from typing import Any

from tallystick.console.page import Redirect, Visit
from tallystick.control.desk import new_id
from tallystick.control.paid_states import (
    PaidWanted,
    PaymentRequest,
    get_paid,
    reverse_payment,
    tell_payment,
    today,
)
from tallystick.core.paid_state import BY_HAND, PaidState, Told
from tallystick.errors import Refusal

TELLING = (
    (Told.PAYMENT, "It was paid"),
    (Told.FAILED, "A payment failed"),
    (Told.UNCOLLECTIBLE, "It will not be paid"),
    (Told.VOID, "It is not owed"),
)
OVERDUE = "OVERDUE"  # in the filter of the list, beside the states
FILTER = (
    ("", "Any"),
    (OVERDUE, "Overdue"),
    *((each.value, each.value.replace("_", " ").capitalize()) for each in PaidState),
)
MOODS = {
    PaidState.PAID: "good",
    PaidState.PARTIALLY_PAID: "busy",
    PaidState.UNPAID: "wait",
    PaidState.FAILED: "bad",
    PaidState.UNCOLLECTIBLE: "bad",
    PaidState.VOID: "quiet",
}


def payment_of(visit: Visit, bill_id: str) -> dict[str, Any]:
    """What the page of a bill shows of its payment."""
    paid = get_paid(visit.records, bill_id)
    gone = {each.reverses for each in paid.entries if each.type is Told.REVERSED}
    return {
        "standing": paid,
        "mood": MOODS[paid.state],
        "overdue": paid.overdue(today(visit.records, visit.now)),
        "gone": gone,
        "telling": TELLING,
        "key": new_id(),  # a form that is sent twice counts once
    }


def wanted(visit: Visit) -> PaidWanted:
    """What the list of bills asks for of their payment."""
    text = visit.query.text("paid")
    if text == OVERDUE:
        return PaidWanted(overdue_on=today(visit.records, visit.now))
    return PaidWanted(state=visit.query.choice("paid", PaidState))


def tell(visit: Visit) -> Redirect:
    """Record a payment, or that there is none."""
    form = visit.form
    of = form.choice("told", Told)
    if of is None:
        raise Refusal("invalid_request", "told: say what happened", field="told")
    told = PaymentRequest(
        type=of,
        amount=form.decimal("paidAmount"),
        paid_at=visit.moment("paidAt"),
        system=form.text("system") or BY_HAND,
        reference=form.text("reference"),
        note=form.text("paymentNote") or "",
        idempotency_key=form.text("key"),
    )
    paid = tell_payment(visit.desk, visit.path["id"], told)
    return _to(visit, f"It is recorded: the bill is {paid.state.value.lower().replace('_', ' ')}.")


def reverse(visit: Visit) -> Redirect:
    """Take back what was recorded."""
    paid = reverse_payment(visit.desk, visit.path["id"], visit.path["payment"])
    return _to(visit, f"It is taken back: the bill is {paid.state.value.lower().replace('_', ' ')}.")


def _to(visit: Visit, notice: str) -> Redirect:
    return Redirect(f"/bills/{visit.path['id']}#payment", notice=notice)
