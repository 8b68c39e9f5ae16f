"""Account plans: put an account on a plan or a group of plans, change the dates, go over to another plan."""

from __future__ import annotations

from tallystick.console.agreed import (
    MOST_CHOICES,
    Choices,
    account_of,
    act,
    changed,
    contracts,
    form,
    new,
    shown,
    state,
    today,
    version,
)
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.account_plans import ACCOUNT_PLANS, replace
from tallystick.control.plans import plans_in_groups
from tallystick.core.account import AccountPlan, ChildBillingMode
from tallystick.core.catalog import Plan
from tallystick.core.contract import Contract
from tallystick.core.plan_group import PlanGroup
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

GROUP = "group|"  # before the id of a group among the plans to choose from
MODES: Choices = [
    ("", "On this account's bill, each child in lines of its own"),
    (ChildBillingMode.PARENT_SUMMARY, "On this account's bill, with all children summed up"),
    (ChildBillingMode.CHILD, "Each child gets a bill of its own"),
]


def _choices(visit: Visit, account_id: str) -> Choices:
    plans = visit.records.find(Plan, Where(), ListPage(size=MOST_CHOICES)).rows
    groups = visit.records.find(PlanGroup, Where(), ListPage(size=MOST_CHOICES)).rows
    return [
        *((each.id, each.value.name) for each in plans if each.value.account_id in (None, account_id)),
        *(
            (f"{GROUP}{each.id}", f"{each.value.name} (group)")
            for each in groups
            if each.value.account_id in (None, account_id)
        ),
    ]


def _chosen(visit: Visit) -> dict[str, object]:
    choice = visit.form.required("planId")
    group = choice.removeprefix(GROUP) if choice.startswith(GROUP) else None
    return {"planId": None if group else choice, "planGroupId": group}


def _new(visit: Visit) -> Html:
    account = account_of(visit)
    values = {
        "account": account,
        "plans": _choices(visit, account.id),
        "contracts": contracts(visit, account),
        "modes": MODES,
        "first": today(visit).replace(day=1).isoformat(),
    }
    return Html("account_plan_form.html", values)


def _attach(visit: Visit) -> Redirect:
    account = account_of(visit)
    typed = {
        "accountId": account.id,
        **_chosen(visit),
        "startDate": visit.moment("startDate") or visit.form.required("startDate"),
        "endDate": visit.moment("endDate"),
        "contractId": visit.form.text("contractId"),
        "childBillingMode": visit.form.text("childBillingMode"),
    }
    ACCOUNT_PLANS.create(visit.desk, new(AccountPlan, typed))
    return Redirect(f"/accounts/{account.id}", notice="The plan is in force from then on.")


def _show(visit: Visit) -> Html:
    attached = ACCOUNT_PLANS.retrieve(visit.records, visit.path["id"])
    value = attached.value
    account = account_of(visit, value.account_id)
    group = value.plan_group_id and visit.records.get(PlanGroup, value.plan_group_id)
    plan_ids = plans_in_groups(visit.records, (group.id,))[group.id] if group else [value.plan_id or ""]
    plans = visit.records.get_many(Plan, plan_ids)
    values = {
        "attached": attached,
        "account": account,
        "group": group or None,
        "plans": [plans[each] for each in plan_ids],
        "contract": value.contract_id and visit.records.get(Contract, value.contract_id),
        "contracts": contracts(visit, account),
        "choices": _choices(visit, account.id),
        "state": state(visit, value.start_date, value.end_date),
        "modes": {**dict(MODES), ChildBillingMode.PARENT_BREAKDOWN: MODES[0][1]},
    }
    return Html("account_plan.html", values)


def _update(visit: Visit) -> Redirect:
    attached = ACCOUNT_PLANS.retrieve(visit.records, visit.path["id"])
    before = attached.value
    typed = {
        "startDate": visit.moment("startDate", before.start_date) or visit.form.required("startDate"),
        "endDate": visit.moment("endDate", before.end_date),
        "contractId": visit.form.text("contractId"),
    }
    ACCOUNT_PLANS.update(visit.desk, attached.id, changed(before, typed), version(visit))
    return Redirect(f"/accountplans/{attached.id}", notice="The account's plan is changed.")


def _replace(visit: Visit) -> Redirect:
    attached = ACCOUNT_PLANS.retrieve(visit.records, visit.path["id"])
    typed = {
        **_chosen(visit),
        "startDate": visit.moment("from") or visit.form.required("from"),
        "endDate": None,
        "code": None,
    }
    _, made = replace(visit.desk, attached.id, changed(attached.value, typed), version(visit))
    return Redirect(f"/accountplans/{made.id}", notice="The one plan ends where this one starts.")


def _delete(visit: Visit) -> Redirect:
    gone = ACCOUNT_PLANS.delete(visit.desk, visit.path["id"])
    return Redirect(f"/accounts/{gone.value.account_id}", notice="The account is no longer on that plan.")


PAGES: tuple[Page, ...] = (
    form("/accounts/{id}/plan", _new, "Put an account on a plan"),
    act("/accounts/{id}/plan", _attach, "Put an account on a plan", _new),
    shown("/accountplans/{id}", _show, "A plan of an account: when it holds, and what comes after"),
    act("/accountplans/{id}", _update, "Change when an account has a plan", _show),
    act("/accountplans/{id}/replace", _replace, "Put an account on another plan from a day on", _show),
    act("/accountplans/{id}/delete", _delete, "Take an account off a plan as if it had never been on it", _show),
)
