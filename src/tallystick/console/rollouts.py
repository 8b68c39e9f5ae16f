"""Rollouts: shadow plans, experiments and migrations, set up and watched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tallystick.console.agreed import changed, new, version
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.console.playground import histogram
from tallystick.control.desk import Noun
from tallystick.control.rollouts import (
    EXPERIMENTS,
    PLAN_MIGRATIONS,
    SHADOW_PLANS,
    assignments,
    check_migration,
    every_move,
    moves,
    preview_moves,
)
from tallystick.core.account import Account
from tallystick.core.catalog import Plan
from tallystick.core.rollout import Experiment, PlanMigration, Renewal, ShadowPlan
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.experiment_outcome import outcome_of
from tallystick.pipeline.shadow_bills import shadow_bills, shadow_report
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_PLANS = 200
MOST_SHOWN = 100  # of each kind
ROWS = 50
VARIANTS = 2  # that a form asks for; more through the API
RENEWALS = [
    (Renewal.CONTRACT.value, "At the end of the contract, or of the billing period without one"),
    (Renewal.BILLING_PERIOD.value, "At the end of the billing period"),
]


def _list(visit: Visit) -> Html:
    first = ListPage(size=MOST_SHOWN)
    shadows = visit.records.find(ShadowPlan, Where(), first).rows
    experiments = visit.records.find(Experiment, Where(), first).rows
    migrations = visit.records.find(PlanMigration, Where(), first).rows
    ids = {id_ for each in shadows for id_ in (each.value.plan_id, each.value.shadow_plan_id)}
    ids |= {id_ for each in migrations for id_ in (each.value.from_plan_id, each.value.to_plan_id)}
    values = {"shadows": shadows, "experiments": experiments, "migrations": migrations}
    return Html("rollouts.html", {**values, "names": _plan_names(visit, *ids)})


def _form(kind: str) -> Callable[[Visit], Html]:
    def run(visit: Visit) -> Html:
        plans = visit.records.find(Plan, Where(), ListPage(size=MOST_PLANS)).rows
        today = visit.now.astimezone(visit.zone).date()
        values = {
            "kind": kind,
            "plans": [(each.id, each.value.name) for each in plans],
            "today": today.isoformat(),
            "first_of_next": (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat(),
            "renewals": RENEWALS,
            "variants": range(1, VARIANTS + 1),
            "preview": None,
        }
        return Html("rollout_form.html", values)

    return run


def _chosen(visit: Visit) -> list[str] | None:
    """The ids of the accounts whose codes were typed; None for all."""
    codes = (visit.form.text("accounts") or "").replace(",", " ").split()
    found = []
    for code in codes:
        account = visit.records.by_code(Account, code)
        if account is None:
            raise Refusal(
                "unknown_reference", f"accounts: there is no account with the code {code!r}", field="accounts"
            )
        found.append(account.id)
    return found or None


def _named(visit: Visit) -> dict[str, object]:
    return {"code": visit.form.required("code"), "name": visit.form.required("name")}


def _create_shadow(visit: Visit) -> Redirect:
    form = visit.form
    typed = {
        **_named(visit),
        "planId": form.required("planId"),
        "shadowPlanId": form.required("shadowPlanId"),
        "startDate": form.day("startDate"),
        "switchDate": form.day("switchDate"),
        "accountIds": _chosen(visit),
    }
    made = SHADOW_PLANS.create(visit.desk, new(ShadowPlan, typed))
    return Redirect(f"/shadowplans/{made.id}", notice="Its shadow bills are made from now on.")


def _switch(visit: Visit) -> Redirect:
    made = SHADOW_PLANS.retrieve(visit.records, visit.path["id"])
    value = changed(made.value, {"switchDate": visit.form.day("switchDate")})
    SHADOW_PLANS.update(visit.desk, made.id, value, version(visit))
    return Redirect(f"/shadowplans/{made.id}", notice="Saved.")


def _create_experiment(visit: Visit) -> Redirect:
    form = visit.form
    variants = [
        {
            "code": form.required(f"variant{place}"),
            "planId": form.required(f"planId{place}"),
            "weight": form.number(f"weight{place}", lowest=1, highest=10**6),
        }
        for place in range(1, VARIANTS + 1)
    ]
    typed = {**_named(visit), "startDate": form.day("startDate"), "endDate": form.day("endDate"), "variants": variants}
    made = EXPERIMENTS.create(visit.desk, new(Experiment, typed))
    return Redirect(f"/experiments/{made.id}", notice="New accounts get their variant from now on.")


def _migration(visit: Visit) -> PlanMigration:
    form = visit.form
    typed = {
        **_named(visit),
        "fromPlanId": form.required("fromPlanId"),
        "toPlanId": form.required("toPlanId"),
        "renewal": form.required("renewal"),
        "notBefore": form.day("notBefore"),
        "accountIds": _chosen(visit),
    }
    return new(PlanMigration, typed)


def _create_migration(visit: Visit) -> Html | Redirect:
    value = _migration(visit)
    if visit.form.text("look"):
        found = preview_moves(visit.records, check_migration(visit.desk, value), visit.now)
        listed = _form("migration")(visit)
        return Html(listed.template, {**listed.values, "preview": found})
    made = PLAN_MIGRATIONS.create(visit.desk, value)
    return Redirect(f"/planmigrations/{made.id}", notice="Its accounts are given their new plan.")


# ------------------------------------------------------------------------------------------------------ one of them


def _plan_names(visit: Visit, *ids: str) -> dict[str, str]:
    return {id_: each.value.name for id_, each in visit.records.get_many(Plan, ids).items()}


def _shadow(visit: Visit) -> Html:
    made = SHADOW_PLANS.retrieve(visit.records, visit.path["id"])
    report = shadow_report(visit.records, made.id, list(every_move(visit.records, made.id)))
    found = shadow_bills(visit.records, made.id, visit.query.page(highest=ROWS))
    values = {
        "made": made,
        "names": _plan_names(visit, made.value.plan_id, made.value.shadow_plan_id),
        "report": report,
        "charts": {each.currency: histogram(each) for each in report.effects},
        "rows": found.rows,
        "next_token": found.next_token,
        "moves": moves(visit.records, made.id, ListPage(size=ROWS)).rows,
    }
    return Html("shadow_plan.html", values)


def _experiment(visit: Visit) -> Html:
    made = EXPERIMENTS.retrieve(visit.records, visit.path["id"])
    found = assignments(visit.records, made.id, visit.query.page(highest=ROWS))
    values = {
        "made": made,
        "names": _plan_names(visit, *made.value.plan_ids),
        "report": outcome_of(visit.records, made, now=visit.now),
        "rows": found.rows,
        "next_token": found.next_token,
    }
    return Html("experiment.html", values)


def _show_migration(visit: Visit) -> Html:
    made = PLAN_MIGRATIONS.retrieve(visit.records, visit.path["id"])
    found = moves(visit.records, made.id, visit.query.page(highest=ROWS))
    values = {
        "made": made,
        "names": _plan_names(visit, made.value.from_plan_id, made.value.to_plan_id),
        "renewals": dict(RENEWALS),
        "rows": found.rows,
        "next_token": found.next_token,
    }
    return Html("plan_migration.html", values)


def _delete(noun: Noun[Any]) -> Any:
    def run(visit: Visit) -> Redirect:
        gone = noun.delete(visit.desk, visit.path["id"])
        return Redirect("/rollouts", notice=f"{gone.value.name} is deleted. Accounts stay where they are.")

    return run


def _page(method: str, path: str, run: Any, title: str, **more: Any) -> Page:
    return Page(method=method, path=path, run=run, title=title, section="rollouts", **more)


FORM_SHADOW, FORM_EXPERIMENT, FORM_MIGRATION = (_form(kind) for kind in ("shadow", "experiment", "migration"))
CHANGE: dict[str, Any] = {"may": May.CONFIGURE}
PAGES = (
    _page("GET", "/rollouts", _list, "Shadow plans, experiments and migrations"),
    _page("GET", "/shadowplans/new", FORM_SHADOW, "A new shadow plan"),
    _page("POST", "/shadowplans", _create_shadow, "Add a shadow plan", again=FORM_SHADOW, **CHANGE),
    _page("GET", "/shadowplans/{id}", _shadow, "Shadow bills beside the real ones"),
    _page("POST", "/shadowplans/{id}", _switch, "Set the day of the switch", again=_shadow, **CHANGE),
    _page("POST", "/shadowplans/{id}/delete", _delete(SHADOW_PLANS), "Delete a shadow plan", **CHANGE),
    _page("GET", "/experiments/new", FORM_EXPERIMENT, "A new experiment"),
    _page("POST", "/experiments", _create_experiment, "Add an experiment", again=FORM_EXPERIMENT, **CHANGE),
    _page("GET", "/experiments/{id}", _experiment, "The outcome of an experiment"),
    _page("POST", "/experiments/{id}/delete", _delete(EXPERIMENTS), "Delete an experiment", **CHANGE),
    _page("GET", "/planmigrations/new", FORM_MIGRATION, "A new migration"),
    _page("POST", "/planmigrations", _create_migration, "Preview or add a migration", again=FORM_MIGRATION, **CHANGE),
    _page("GET", "/planmigrations/{id}", _show_migration, "The accounts of a migration"),
    _page("POST", "/planmigrations/{id}/delete", _delete(PLAN_MIGRATIONS), "Delete a migration", **CHANGE),
)
