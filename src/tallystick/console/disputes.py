"""Disputes on bills: opened, taken up, resolved with a note and maybe a credit."""

from __future__ import annotations

from functools import partial

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.bills import get_bill
from tallystick.control.disputes import DISPUTES, Resolution, move, open_dispute, resolve
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.dispute import Dispute, DisputeOutcome, DisputeReason, DisputeState
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.memo import apply_memos
from tallystick.ports import Where

SIZE = 50


def _list(visit: Visit) -> Html:
    bill_id, state = visit.query.text("billId"), visit.query.text("state")
    equal = {name: (value,) for name, value in (("bill_id", bill_id), ("state", state)) if value}
    found = DISPUTES.find(visit.records, Where(equal=equal), visit.query.page(highest=SIZE))
    bill = None if bill_id is None else get_bill(visit.records, bill_id).bill
    return Html(
        "disputes.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "codes": visit.records.codes(Account, {each.value.account_id for each in found.rows}),
            "bill": bill,
            "states": [("", "Any state"), *((each, each.replace("_", " ").capitalize()) for each in DisputeState)],
            "reasons": [(each, each.capitalize()) for each in DisputeReason],
            "outcomes": [(each, each.replace("_", " ").capitalize()) for each in DisputeOutcome],
        },
    )


def _open(visit: Visit) -> Redirect:
    form = visit.form
    given = {
        "billId": form.required("billId"),
        "accountId": form.required("billId"),  # that of the bill takes its place
        "reason": form.choice("reason", DisputeReason) or DisputeReason.OTHER,
        "description": form.required("description"),
        "lineItemId": form.text("lineItemId"),
        "amount": form.decimal("amount"),
    }
    made = open_dispute(visit.desk, wire.convert(Dispute, given))
    return Redirect(f"/disputes?billId={made.value.bill_id}", notice="The dispute is open.")


def _move(visit: Visit) -> Redirect:
    state = visit.form.choice("state", DisputeState)
    if state is None:
        raise Refusal("invalid_request", "state: is needed", field="state")
    move(visit.desk, visit.path["id"], state)
    return Redirect("/disputes", notice=f"The dispute is {state.replace('_', ' ').lower()}.")


def _resolve(visit: Visit) -> Redirect:
    form = visit.form
    how = Resolution(
        outcome=form.choice("outcome", DisputeOutcome) or DisputeOutcome.REJECTED,
        note=form.required("note"),
        credit=form.decimal("credit"),
        memo_bill_id=form.text("memoBillId"),
    )
    made = resolve(visit.desk, visit.path["id"], how)
    if made.value.memo_bill_id is not None:
        apply_memos(visit.records, made.value.memo_bill_id, actor=visit.actor, now=visit.now)
    return Redirect("/disputes", notice="The dispute is resolved.")


_act = partial(act, may=May.BILL, section="bills", again=_list)

PAGES = (
    Page(method="GET", path="/disputes", run=_list, title="Disputes on bills", section="bills"),
    _act("/disputes", _open, "Open a dispute"),
    _act("/disputes/{id}/state", _move, "Take up a dispute, or withdraw it"),
    _act("/disputes/{id}/resolution", _resolve, "Resolve a dispute"),
)
