"""Accounts: who is billed, by what, with what credit, and how much so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.console.account_agreements import agreements
from tallystick.console.account_usage import usage_charts
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.accounts import ACCOUNTS, children
from tallystick.control.bill_lists import BillsWanted, accounts_named, list_bills
from tallystick.control.commitments import amounts_spent
from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.catalog import Plan
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.organization import Currency
from tallystick.core.plan_group import PlanGroup
from tallystick.core.quantity import subtract
from tallystick.core.spend_alert import charged
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.entitlements import Shown, shown, standings
from tallystick.pipeline.forecast import PACE, forecast_bills
from tallystick.pipeline.spend import present_bills
from tallystick.pipeline.watch import LiveValue, live_values
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_CREDITS = 20
MOST_AGREED = 50
SHOWN_BILLS = 6
SHOWN_CHILDREN = 20


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A credit with what is left of it; `problem` says why that cannot be told."""

    kind: str
    id: str
    name: str
    currency: str
    starts: Any
    ends: Any
    booked: Decimal
    left: Decimal | None
    problem: str = ""


def _list(visit: Visit) -> Html:
    wanted = visit.query.text("name")
    where = Where(equal={"id": accounts_named(visit.records, wanted)}) if wanted else Where()
    found = ACCOUNTS.find(visit.records, where, visit.query.page(highest=50))
    parents = {each.value.parent_account_id for each in found.rows if each.value.parent_account_id}
    plans = _plans_of(visit, [each.id for each in found.rows])
    values = {
        "rows": found.rows,
        "next_token": found.next_token,
        "parents": visit.records.get_many(Account, parents),
        "plans": plans,
    }
    return Html("accounts.html", values)


def _plans_of(visit: Visit, account_ids: Sequence[str]) -> dict[str, list[str]]:
    """The names of the plans that are in force now, by account."""
    if not account_ids:
        return {}
    where = Where(equal={"account_id": account_ids}, active_on=visit.now)
    attached = list(visit.records.every(AccountPlan, where))
    names = _names_of_plans(visit, attached)
    found: dict[str, list[str]] = {}
    for each in attached:
        found.setdefault(each.value.account_id, []).append(names[each.value.plan_id or each.value.plan_group_id or ""])
    return found


def _names_of_plans(visit: Visit, attached: Sequence[Entity[AccountPlan]]) -> dict[str, str]:
    plans = visit.records.get_many(Plan, {each.value.plan_id for each in attached if each.value.plan_id})
    groups = visit.records.get_many(
        PlanGroup, {each.value.plan_group_id for each in attached if each.value.plan_group_id}
    )
    named: Mapping[str, Entity[Any]] = {**plans, **groups}
    return {id_: each.value.name for id_, each in named.items()}


def _show(visit: Visit) -> Html:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"])
    value = account.value
    of = Where(equal={"account_id": (account.id,)})
    attached = visit.records.find(AccountPlan, of, ListPage(size=MOST_AGREED)).rows
    family = children(visit.records, account.id, ListPage(size=SHOWN_CHILDREN))
    values = {
        "account": account,
        "parent": visit.records.get(Account, value.parent_account_id) if value.parent_account_id else None,
        "children": family.rows,
        "more_children": family.next_token is not None,
        "attached": sorted(attached, key=lambda each: each.value.start_date, reverse=True),
        "plan_names": _names_of_plans(visit, attached),
        **agreements(visit, account.id),
        "allowed": _allowed(visit, account.id),
        "credits": _credits(visit, account.id),
        "bills": list_bills(visit.records, BillsWanted(account_id=account.id), ListPage(size=SHOWN_BILLS)).rows,
        "charts": usage_charts(visit, account.id),
        **_present(visit, account.id),
    }
    return Html("account.html", values)


def _allowed(visit: Visit, account_id: str) -> list[Shown]:
    """What it may use, as of now."""
    up_to = visit.app.usage.mark
    return shown(standings(visit.records, visit.usage, (account_id,), now=visit.now, up_to=up_to)[account_id])


def _present(visit: Visit, account_id: str) -> dict[str, object]:
    """What the open periods come to so far, and at their ends."""
    up_to = visit.app.usage.mark
    made = present_bills(visit.records, visit.usage, (account_id,), now=visit.now, up_to=up_to)[account_id]
    later = forecast_bills(visit.records, visit.usage, account_id, now=visit.now, up_to=up_to)
    expected = {each.bill.id: charged(each.bill) for each in later if isinstance(each, BillRecord)}
    return {
        "estimates": [
            (each.bill, charged(each.bill), expected.get(each.bill.id)) for each in made if isinstance(each, BillRecord)
        ],
        "unknown": [each for each in made if isinstance(each, BillFailure)],
        "method": PACE,
    }


def _credits(visit: Visit, account_id: str) -> list[Held]:
    of = Where(equal={"account_id": (account_id,)})
    balances = visit.records.find(Balance, of, ListPage(size=MOST_CREDITS)).rows
    worth = live_values(visit.records, visit.usage, balances, now=visit.now, up_to=visit.app.usage.mark)
    held = [_balance(each, live) for each, live in zip(balances, worth, strict=True)]
    commitments = visit.records.find(Commitment, of, ListPage(size=MOST_CREDITS)).rows
    spent = amounts_spent(visit.records, commitments) if commitments else {}
    held += [
        Held(
            kind="COMMITMENT",
            id=each.id,
            name="Commitment",
            currency=each.value.currency,
            starts=each.value.start_date,
            ends=each.value.end_date,
            booked=each.value.amount,
            left=subtract(each.value.amount, spent[each.id]),
        )
        for each in commitments
    ]
    return held


def _balance(balance: Entity[Balance], live: LiveValue | BillFailure) -> Held:
    return Held(
        kind="BALANCE",
        id=balance.id,
        name=balance.value.name,
        currency=balance.value.currency,
        starts=balance.value.start_date,
        ends=balance.value.last_end,
        booked=Decimal(0) if isinstance(live, BillFailure) else live.ledger_value,
        left=None if isinstance(live, BillFailure) else live.value,
        problem=live.message if isinstance(live, BillFailure) else "",
    )


# ---------------------------------------------------------------------------------------------------- changing


def _form(visit: Visit) -> Html:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None
    currencies = [("", "As the plan says"), *((each.value.code,) * 2 for each in visit.records.every(Currency))]
    parent_id = None if account is None else account.value.parent_account_id
    parent = None if parent_id is None else visit.records.get(Account, parent_id)
    return Html("account_form.html", {"account": account, "currencies": currencies, "parent": parent})


def _typed(visit: Visit) -> dict[str, object]:
    form = visit.form
    parent = form.text("parent")
    found = None if parent is None else visit.records.by_code(Account, parent)
    if parent is not None and found is None:
        message = f"parent: there is no account with the code {parent[:80]!r}"
        raise Refusal("unknown_reference", message, field="parent")
    return {
        "name": form.required("name"),
        "code": form.required("code"),
        "emailAddress": form.required("emailAddress"),
        "currency": form.text("currency"),
        "purchaseOrderNumber": form.text("purchaseOrderNumber"),
        "daysBeforeBillDue": form.number("daysBeforeBillDue", lowest=0, highest=10_000),
        "parentAccountId": None if found is None else found.id,
    }


def _create(visit: Visit) -> Redirect:
    account = ACCOUNTS.create(visit.desk, wire.decode(Account, wire.encode(_typed(visit))))
    return Redirect(f"/accounts/{account.id}", notice=f"The account {account.value.name} is there. Put it on a plan.")


def _update(visit: Visit) -> Redirect:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"])
    version = visit.form.number("version", lowest=1, highest=10**9)
    body = {**wire.decode(dict[str, Any], wire.encode(account.value)), **_typed(visit)}
    ACCOUNTS.update(visit.desk, account.id, wire.decode(Account, wire.encode(body)), version)
    return Redirect(f"/accounts/{account.id}", notice="The account is changed.")


def _change(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, may=May.CONFIGURE, section="accounts", **more)


PAGES = (
    Page(method="GET", path="/accounts", run=_list, title="Accounts", section="accounts"),
    _change("GET", "/accounts/new", _form, "A new account"),
    _change("POST", "/accounts/new", _create, "Add an account", again=_form),
    Page(
        method="GET",
        path="/accounts/{id}",
        run=_show,
        title="An account: its plans, credit, usage, estimate, forecast and bills",
        section="accounts",
    ),
    _change("GET", "/accounts/{id}/edit", _form, "Edit an account"),
    _change("POST", "/accounts/{id}/edit", _update, "Change an account", again=_form),
)
