"""Commitments: what was agreed, its fees, which bills have drawn it, and when it will be spent."""

from __future__ import annotations

from decimal import Decimal

from tallystick.console.agreed import account_of, act, changed, contracts, form, new, shown, state, today, version
from tallystick.console.agreed import currencies as every_currency
from tallystick.console.chart_drawing import Frame
from tallystick.console.charts import burn_down as burn_down_chart
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.commitments import COMMITMENTS
from tallystick.control.ledger import list_entries
from tallystick.core.catalog import Plan
from tallystick.core.contract import Contract
from tallystick.core.credit_types import Commitment
from tallystick.core.period import local_day
from tallystick.core.quantity import divide, multiply
from tallystick.pipeline.commitment_watch import live_commitment
from tallystick.ports import DocumentWhere

BACK = AHEAD = 60  # days of a burn-down


def _new(visit: Visit) -> Html:
    account = account_of(visit)
    start = today(visit).replace(day=1)
    values = {
        "account": account,
        "commitment": None,
        "currencies": every_currency(visit),
        "currency": account.value.currency or visit.config.currency,
        "contracts": contracts(visit, account),
        "start": start.isoformat(),
        "end": start.replace(year=start.year + 1).isoformat(),
    }
    return Html("commitment_form.html", values)


def _create(visit: Visit) -> Redirect:
    form = visit.form
    account = account_of(visit)
    amount, paid = form.decimal("amount"), form.decimal("amountPrePaid")
    typed = {
        "accountId": account.id,
        "amountPrePaid": paid if paid is not None else amount,
        "currency": form.required("currency"),
        **_typed(visit),
    }
    commitment = COMMITMENTS.create(visit.desk, new(Commitment, typed))
    return Redirect(f"/commitments/{commitment.id}", notice="The commitment is there.")


def _typed(visit: Visit) -> dict[str, object]:
    form = visit.form
    amount = form.decimal("amount")
    return {
        "amount": amount if amount is not None else form.required("amount"),
        "startDate": form.day("startDate") or form.required("startDate"),
        "endDate": form.day("endDate") or form.required("endDate"),
        "contractId": form.text("contractId"),
        "overageSurchargePercent": form.decimal("overageSurchargePercent"),
    }


def _show(visit: Visit) -> Html:
    commitment = COMMITMENTS.retrieve(visit.records, visit.path["id"])
    value = commitment.value
    found = list_entries(
        visit.records, DocumentWhere(equal={"credit_id": (commitment.id,)}), visit.query.page(highest=50)
    )
    live = live_commitment(
        visit.records,
        visit.usage,
        commitment,
        now=visit.now,
        up_to=visit.app.usage.mark,
        zone=visit.config.timezone,
        days=(BACK, AHEAD),
    )
    frame = Frame(key="burn-down", title="What is left", unit=value.currency)
    days = [f"{day:%-d %b}" for day in live.burning.days]
    values = {
        "commitment": commitment,
        "account": account_of(visit, value.account_id),
        "contract": value.contract_id and visit.records.get(Contract, value.contract_id),
        "billing_plan": value.billing_plan_id and visit.records.get(Plan, value.billing_plan_id),
        "entries": found.rows,
        "next_token": found.next_token,
        "live": live,
        "share": _percent(live.drawn, value.amount),
        "elapsed": _elapsed(visit, value),
        "chart": burn_down_chart(frame, days, live.burning.left, live.burning.expected),
        "state": state(visit, value.start_date, value.end_date),
    }
    return Html("commitment.html", values)


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return divide(multiply(part, Decimal(100)), whole)


def _elapsed(visit: Visit, value: Commitment) -> Decimal:
    """How much of its time is over, in percent of its days."""
    days = (value.end_date - value.start_date).days
    passed = (local_day(visit.now, visit.config.timezone) - value.start_date).days
    return _percent(Decimal(min(max(passed, 0), days)), Decimal(days))


def _edit(visit: Visit) -> Html:
    commitment = COMMITMENTS.retrieve(visit.records, visit.path["id"])
    account = account_of(visit, commitment.value.account_id)
    values = {"account": account, "commitment": commitment, "contracts": contracts(visit, account)}
    return Html("commitment_form.html", values)


def _update(visit: Visit) -> Redirect:
    commitment = COMMITMENTS.retrieve(visit.records, visit.path["id"])
    COMMITMENTS.update(visit.desk, commitment.id, changed(commitment.value, _typed(visit)), version(visit))
    return Redirect(f"/commitments/{commitment.id}", notice="The commitment is changed.")


def _delete(visit: Visit) -> Redirect:
    gone = COMMITMENTS.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}", notice="The commitment is deleted.")


PAGES: tuple[Page, ...] = (
    form("/accounts/{id}/commitment", _new, "A new commitment"),
    act("/accounts/{id}/commitment", _create, "Agree a commitment", _new),
    shown("/commitments/{id}", _show, "A commitment: its fees, what drew it, when it is spent"),
    form("/commitments/{id}/edit", _edit, "Edit a commitment"),
    act("/commitments/{id}/edit", _update, "Change a commitment", _edit),
    act("/commitments/{id}/delete", _delete, "Delete a commitment", _show),
)
