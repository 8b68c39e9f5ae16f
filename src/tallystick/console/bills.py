"""The list of bills: found by state, month, account and invoice number; many approved at once."""

from __future__ import annotations

from datetime import date
from typing import Any

from tallystick.console import bill_payments
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import bills
from tallystick.control.bill_holds import holds_of
from tallystick.control.bill_lists import BillState, BillsWanted, ListedBill, list_bills, totals
from tallystick.control.bills import BillFilter
from tallystick.control.paid_states import paid_of, today
from tallystick.core.account import Account
from tallystick.core.user import May
from tallystick.errors import Refusal

PAGE_ROWS = 50
STATES = (("", "Any state"), *((each.value, each.value.capitalize()) for each in BillState))


def _bills(visit: Visit) -> Html:
    wanted = _wanted(visit)
    found = list_bills(visit.records, wanted, visit.query.page(highest=PAGE_ROWS))
    return Html(
        "bills.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "names": names_of(visit, found.rows),
            "totals": totals(visit.records, wanted),
            "states": STATES,
            "can_approve": visit.may(May.BILL) and any(each.state is BillState.PENDING for each in found.rows),
            "BillState": BillState,
            "held": holds_of(visit.records, [each.id for each in found.rows]),
            "paid": paid_of(visit.records, [each.id for each in found.rows]),
            "paid_choices": bill_payments.FILTER,
            "moods": bill_payments.MOODS,
            "day": today(visit.records, visit.now),
        },
    )


def _approve(visit: Visit) -> Redirect:
    wanted = tuple(dict.fromkeys(visit.form.texts("billIds")))
    if not wanted:
        raise Refusal("invalid_request", "billIds: tick the bills to approve", field="billIds")
    count = bills.approve_bills(visit.desk, BillFilter(ids=wanted))
    return Redirect("/bills", notice=f"{count} {'bill is' if count == 1 else 'bills are'} approved.")


def _wanted(visit: Visit) -> BillsWanted:
    query = visit.query
    state = query.text("status")
    if state is not None and state not in BillState.__members__:
        raise Refusal("invalid_request", f"status: must be one of {', '.join(BillState)}", field="status")
    return BillsWanted(
        state=None if state is None else BillState(state),
        account=query.text("account"),
        account_id=query.text("accountId"),
        invoice_number=query.text("invoice"),
        month=_month(query.text("month")),
        job_id=query.text("job"),
        paid=bill_payments.wanted(visit),
    )


def _month(text: str | None) -> str | None:
    try:
        return None if text is None else date.fromisoformat(f"{text}-01").isoformat()[:7]
    except ValueError:
        message = f"month: must be a month such as 2025-01, got {(text or '')[:40]!r}"
        raise Refusal("invalid_request", message, field="month") from None


def names_of(visit: Visit, rows: tuple[ListedBill, ...]) -> dict[str, str]:
    """The names of the accounts of bills, by id."""
    found: dict[str, Any] = visit.records.get_many(Account, {each.account_id for each in rows}) if rows else {}
    return {id_: account.value.name for id_, account in found.items()}


PAGES = (
    Page(method="GET", path="/bills", run=_bills, title="Bills, with their totals", section="bills"),
    Page(
        method="POST",
        path="/bills/approve",
        run=_approve,
        title="Approve the chosen bills",
        may=May.BILL,
        section="bills",
        again=_bills,
    ),
)
