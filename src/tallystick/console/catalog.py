"""The catalogue as code: plans that wait for a second person, what was applied, and the way back."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import catalog_plans
from tallystick.control.audit import actor_names
from tallystick.control.catalog_history import list_versions, read_version
from tallystick.core.catalog_plan import CatalogPlan, CatalogPlanRequest, CatalogPlanStatus, CatalogSettings
from tallystick.core.user import May
from tallystick.ports import Page as ListPage
from tallystick.web.catalog_planning import apply_catalog, plan_catalog, simulation_of

OPEN = (CatalogPlanStatus.AWAITING_APPROVAL, CatalogPlanStatus.APPROVED, CatalogPlanStatus.PLANNED)
SIGNS = {"CREATE": "New", "UPDATE": "Changed", "DELETE": "Gone"}
SHOWN_PLANS = 10
PAGE_ROWS = 50


def _list(visit: Visit) -> Html:
    found = list_versions(visit.records, visit.query.page(highest=PAGE_ROWS))
    plans: list[CatalogPlan] = []
    for status in OPEN:
        plans += catalog_plans.list_plans(visit.records, ListPage(size=SHOWN_PLANS), status).rows
    people = [*(each.created_by for each in plans), *(each.applied_by for each in found.rows)]
    return Html(
        "catalog.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "plans": plans,
            "names": _names(visit, people),
            "settings": catalog_plans.current_settings(visit.records),
            "settings_version": catalog_plans.settings_version(visit.records),
        },
    )


def _plan(visit: Visit) -> Html:
    plan = catalog_plans.read_plan(visit.records, visit.path["plan"])
    needs = catalog_plans.current_settings(visit.records).require_approval
    return Html(
        "catalog_plan.html",
        {
            "plan": plan,
            "made": simulation_of(visit.records, plan),
            "names": _names(visit, (plan.created_by, plan.approved_by, plan.rejected_by)),
            "signs": SIGNS,
            "may_approve": plan.status.is_open and plan.approved_by is None and plan.created_by != visit.actor.id,
            "may_apply": plan.status.is_open and (plan.status is CatalogPlanStatus.APPROVED or not needs),
        },
    )


def _approve(visit: Visit) -> Redirect:
    plan = catalog_plans.approve(visit.desk, visit.path["plan"])
    return Redirect(f"/catalog/plans/{plan.id}", notice="The plan is approved. It can be applied now.")


def _reject(visit: Visit) -> Redirect:
    plan = catalog_plans.reject(visit.desk, visit.path["plan"])
    return Redirect(f"/catalog/plans/{plan.id}", notice="The plan is rejected.")


def _apply(visit: Visit) -> Redirect:
    version = apply_catalog(
        visit.desk, visit.path["plan"], reason=visit.form.text("reason"), at_once=visit.form.flag("atOnce")
    )
    return Redirect(f"/catalog/versions/{version.id}", notice=f"Applied as version {version.number}.")


def _version(visit: Visit) -> Html:
    version = read_version(visit.records, visit.path["version"]).version
    people = (version.planned_by, version.approved_by, version.applied_by)
    latest = list_versions(visit.records, ListPage(size=1)).rows[0]
    values = {"version": version, "names": _names(visit, people), "signs": SIGNS, "is_latest": latest.id == version.id}
    return Html("catalog_version.html", values)


def _revert(visit: Visit) -> Redirect:
    version = read_version(visit.records, visit.path["version"]).version
    request = CatalogPlanRequest(
        to_version=version.number, effective_from=visit.moment("effectiveFrom"), reason=visit.form.text("reason")
    )
    plan = plan_catalog(visit.desk, visit.usage, request, visit.app.usage.mark)
    if plan.status is CatalogPlanStatus.NO_CHANGE:
        return Redirect(f"/catalog/versions/{version.id}", notice="The catalogue is as it was then: nothing to change.")
    return Redirect(f"/catalog/plans/{plan.id}", notice="This is what would change. Nothing has changed yet.")


def _settings(visit: Visit) -> Redirect:
    value = CatalogSettings(require_approval=visit.form.flag("requireApproval"))
    catalog_plans.change_settings(visit.desk, value, visit.form.number("version", lowest=0, highest=10**9))
    said = "A second person must approve changes now." if value.require_approval else "One person is enough now."
    return Redirect("/catalog", notice=said)


def _names(visit: Visit, ids: Iterable[str | None]) -> dict[str, str]:
    """What users and keys are called."""
    given = {each for each in ids if each is not None}
    names = actor_names(
        visit.app.records, visit.records, {(kind, each) for each in given for kind in ("USER", "SERVICE_USER")}
    )
    found = {each: (names["USER", each], names["SERVICE_USER", each]) for each in given}
    return {each: user if user != each else key for each, (user, key) in found.items()}


PAGES = (
    Page(method="GET", path="/catalog", run=_list, title="The catalogue as code", section="plans"),
    Page(
        method="POST",
        path="/catalog",
        run=_settings,
        title="Say whether a second person must approve",
        may=May.ADMINISTER,
        again=_list,
    ),
    Page(method="GET", path="/catalog/plans/{plan}", run=_plan, title="A plan of the catalogue", section="plans"),
    Page(
        method="POST",
        path="/catalog/plans/{plan}/approve",
        run=_approve,
        title="Approve a plan of the catalogue",
        may=May.CONFIGURE,
        again=_plan,
    ),
    Page(
        method="POST",
        path="/catalog/plans/{plan}/reject",
        run=_reject,
        title="Reject a plan of the catalogue",
        may=May.CONFIGURE,
        again=_plan,
    ),
    Page(
        method="POST",
        path="/catalog/plans/{plan}/apply",
        run=_apply,
        title="Apply a plan of the catalogue",
        may=May.CONFIGURE,
        again=_plan,
    ),
    Page(
        method="GET",
        path="/catalog/versions/{version}",
        run=_version,
        title="A version of the catalogue",
        section="plans",
    ),
    Page(
        method="POST",
        path="/catalog/versions/{version}/revert",
        run=_revert,
        title="Plan to go back to a version of the catalogue",
        may=May.CONFIGURE,
        again=_version,
    ),
)
