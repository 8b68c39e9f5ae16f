"""Balances: prepaid credit, what became of it, and more of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tallystick.console.chart_drawing import Frame
from tallystick.console.charts import burn_down as burn_down_chart
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.balance_transactions import transact
from tallystick.control.balances import BALANCES
from tallystick.control.ledger import entries_of, list_entries
from tallystick.core import wire
from tallystick.core.bill_job import BillFailure
from tallystick.core.burn_down import burn_down
from tallystick.core.credit_types import Balance
from tallystick.core.ledger import BalanceTransaction
from tallystick.core.organization import Currency
from tallystick.core.user import May
from tallystick.pipeline.watch import drawn_a_day, live_values
from tallystick.ports import DocumentWhere

BACK = AHEAD = 60  # days of a burn-down


def _show(visit: Visit) -> Html:
    balance = BALANCES.retrieve(visit.records, visit.path["id"])
    up_to = visit.app.usage.mark
    (live,) = live_values(visit.records, visit.usage, (balance,), now=visit.now, up_to=up_to)
    page = visit.query.page(highest=50)
    found = list_entries(visit.records, DocumentWhere(equal={"credit_id": (balance.id,)}), page)
    values: dict[str, Any] = {
        "balance": balance,
        "account": ACCOUNTS.retrieve(visit.records, balance.value.account_id),
        "entries": found.rows,
        "next_token": found.next_token,
        "live": None if isinstance(live, BillFailure) else live,
        "problem": live.message if isinstance(live, BillFailure) else "",
        "chart": None,
        "burning": None,
    }
    if not isinstance(live, BillFailure):
        entries = entries_of(visit.records, (balance.id,))[balance.id]
        rate = drawn_a_day(live.open_draws, visit.now)
        zone = visit.config.timezone
        burning = burn_down(entries, live.value, rate, now=visit.now, zone=zone, back=BACK, ahead=AHEAD)
        frame = Frame(key="burn-down", title="What is left", unit=balance.value.currency)
        days = [f"{day:%-d %b}" for day in burning.days]
        values |= {"burning": burning, "chart": burn_down_chart(frame, days, burning.left, burning.expected)}
    return Html("balance.html", values)


def _add(visit: Visit) -> Redirect:
    typed = {"amount": visit.form.decimal("amount"), "description": visit.form.text("description")}
    if typed["amount"] is None:
        typed["amount"] = visit.form.required("amount")
    transact(visit.desk, visit.path["id"], wire.decode(BalanceTransaction, wire.encode(typed)))
    return Redirect(f"/balances/{visit.path['id']}", notice="It is booked.")


def _balance_form(visit: Visit) -> Html:
    return Html("balance_form.html", _choices(visit))


def _choices(visit: Visit) -> dict[str, object]:
    today = visit.now.astimezone(visit.zone).date()
    return {
        "account": ACCOUNTS.retrieve(visit.records, visit.path["id"]),
        "currencies": [(each.value.code,) * 2 for each in visit.records.every(Currency)],
        "currency": visit.config.currency,
        "today": today.isoformat(),
        "year_later": (today + timedelta(days=365)).isoformat(),
    }


def _create_balance(visit: Visit) -> Redirect:
    form = visit.form
    typed = {
        "accountId": ACCOUNTS.retrieve(visit.records, visit.path["id"]).id,
        "name": form.required("name"),
        "code": form.required("code"),
        "currency": form.required("currency"),
        "startDate": visit.moment("startDate") or form.required("startDate"),
        "endDate": visit.moment("endDate") or form.required("endDate"),
    }
    amount = form.decimal("amount")
    balance = BALANCES.create(visit.desk, wire.decode(Balance, wire.encode(typed)))
    if amount:
        transact(visit.desk, balance.id, BalanceTransaction(amount=amount, description=form.text("description")))
    return Redirect(f"/balances/{balance.id}", notice=f"The balance {balance.value.name} is there.")


def _change(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, may=May.CONFIGURE, section="accounts", **more)


PAGES = (
    Page(method="GET", path="/balances/{id}", run=_show, title="A balance and what became of it", section="accounts"),
    _change("POST", "/balances/{id}", _add, "Add to a balance, or take from it", again=_show),
    _change("GET", "/accounts/{id}/balance", _balance_form, "A new balance"),
    _change("POST", "/accounts/{id}/balance", _create_balance, "Give an account a balance", again=_balance_form),
)
