"""The catalogue as code over HTTP: read it, plan a change, approve and apply it, look at what was applied."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.api.bill_preview import WAIT, counted_up_to
from tallystick.api.crud import PAGING, desk_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control import catalog_plans
from tallystick.control.catalog_history import list_versions, read_version
from tallystick.control.catalog_stock import take_stock
from tallystick.core.catalog_parts import put_together
from tallystick.core.catalog_plan import (
    CatalogPlan,
    CatalogPlanRequest,
    CatalogPlanStatus,
    CatalogSettings,
    CatalogVersion,
    Reason,
)
from tallystick.core.catalog_written import shown
from tallystick.core.entity import Value
from tallystick.core.simulation import Simulation
from tallystick.errors import Refusal
from tallystick.ports import Page
from tallystick.web.catalog_planning import apply_catalog, plan_catalog, simulation_of

TAG = "Catalogue as code"


class CatalogReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The catalogue as files have it, and the digest that it is recognised by. `unnamed` have no code and are called by
    one made of their names; `version` is the number of the last that was applied."""

    catalog: dict[str, Any]
    digest: str
    unnamed: tuple[str, ...] = ()
    version: int | None = None


class CatalogPlanReply(CatalogPlan, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A plan, and the simulation of its effect as far as it has come."""

    simulation: Simulation | None = None


class CatalogVersionReply(CatalogVersion, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A version with the catalogue as it then was."""

    catalog: dict[str, Any]


class CatalogApplyRequest(Value, frozen=True, kw_only=True):
    """Why it is applied, if not for the reason it was planned for; and with `at_once`, that what cannot be dated may
    change at once, although the plan is dated."""

    reason: Reason | None = None
    at_once: bool = False


class CatalogSettingsRequest(CatalogSettings, frozen=True, kw_only=True):
    """The settings, and optionally their version, which then must be the stored one."""

    version: int | None = None


class CatalogSettingsReply(CatalogSettings, frozen=True, kw_only=True):
    """The settings and their version; 0 as long as nobody has set them."""

    version: int


def retrieve(call: Call) -> CatalogReply:
    """The catalogue as it stands."""
    stock = take_stock(call.records)
    latest = list_versions(call.records, Page(size=1)).rows
    return CatalogReply(
        catalog=shown(put_together(stock.entries)),
        digest=stock.digest,
        unnamed=tuple(str(each) for each in stock.unnamed),
        version=latest[0].number if latest else None,
    )


def plan(call: Call, body: CatalogPlanRequest) -> CatalogPlanReply:
    """Try a change and simulate its effect."""
    up_to = counted_up_to(call, call.app.journal.last) if body.simulate else 0
    return _reply(call, plan_catalog(desk_of(call), call.usage, body, up_to))


def find_plans(call: Call) -> dict[str, object]:
    """A page of plans, newest first."""
    status = call.query.text("status")
    if status is not None and status not in CatalogPlanStatus.__members__:
        message = f"status: must be one of {', '.join(CatalogPlanStatus)}, got {status[:40]!r}"
        raise Refusal("invalid_request", message, field="status")
    wanted = None if status is None else CatalogPlanStatus(status)
    found = catalog_plans.list_plans(call.records, call.query.page(), wanted)
    return struct_page(found.rows, found.next_token)


def retrieve_plan(call: Call) -> CatalogPlanReply:
    """One plan."""
    return _reply(call, catalog_plans.read_plan(call.records, call.path["id"]))


def approve(call: Call) -> CatalogPlanReply:
    """Approve a plan that another user made."""
    return _reply(call, catalog_plans.approve(desk_of(call), call.path["id"]))


def reject(call: Call) -> CatalogPlanReply:
    """Give a plan up."""
    return _reply(call, catalog_plans.reject(desk_of(call), call.path["id"]))


def apply(call: Call, body: CatalogApplyRequest) -> CatalogVersion:
    """Make the catalogue what a plan says, all of it or nothing."""
    return apply_catalog(desk_of(call), call.path["id"], reason=body.reason, at_once=body.at_once)


def find_versions(call: Call) -> dict[str, object]:
    """A page of versions, the latest first."""
    found = list_versions(call.records, call.query.page())
    return struct_page(found.rows, found.next_token)


def retrieve_version(call: Call) -> CatalogVersionReply:
    """One version, with the catalogue as it then was."""
    kept = read_version(call.records, call.path["id"])
    fields = {name: getattr(kept.version, name) for name in CatalogVersion.__struct_fields__}
    return CatalogVersionReply(**fields, catalog=kept.catalog)


def retrieve_settings(call: Call) -> CatalogSettingsReply:
    """The settings in force."""
    found, version = catalog_plans.current_settings(call.records), catalog_plans.settings_version(call.records)
    return CatalogSettingsReply(require_approval=found.require_approval, version=version)


def change_settings(call: Call, body: CatalogSettingsRequest) -> CatalogSettingsReply:
    """Replace the settings."""
    value = CatalogSettings(require_approval=body.require_approval)
    catalog_plans.change_settings(desk_of(call), value, body.version)
    return retrieve_settings(call)


def _reply(call: Call, made: CatalogPlan) -> CatalogPlanReply:
    fields = {name: getattr(made, name) for name in CatalogPlan.__struct_fields__}
    return CatalogPlanReply(**fields, simulation=simulation_of(call.records, made))


ROUTES = (
    Route(
        method="GET",
        path="/catalog",
        run=retrieve,
        summary="Read the whole catalogue, everything named by its code",
        tag=TAG,
        scope="config:retrieve",
        reply=CatalogReply,
    ),
    Route(
        method="POST",
        path="/catalog/plans",
        run=plan,
        summary="Plan a change of the catalogue and simulate its effect in money",
        tag=TAG,
        scope="config:update",
        body=CatalogPlanRequest,
        reply=CatalogPlanReply,
        query={"wait": WAIT},
    ),
    Route(
        method="GET",
        path="/catalog/plans",
        run=find_plans,
        summary="List plans of the catalogue",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(CatalogPlan),
        query={"status": "Only plans in this state, such as AWAITING_APPROVAL.", **PAGING},
    ),
    Route(
        method="GET",
        path="/catalog/plans/{id}",
        run=retrieve_plan,
        summary="Read a plan of the catalogue and how far its simulation is",
        tag=TAG,
        scope="config:retrieve",
        reply=CatalogPlanReply,
    ),
    Route(
        method="POST",
        path="/catalog/plans/{id}/approve",
        run=approve,
        summary="Approve a plan of the catalogue that another user made",
        tag=TAG,
        scope="config:update",
        reply=CatalogPlanReply,
    ),
    Route(
        method="POST",
        path="/catalog/plans/{id}/reject",
        run=reject,
        summary="Give a plan of the catalogue up",
        tag=TAG,
        scope="config:update",
        reply=CatalogPlanReply,
    ),
    Route(
        method="POST",
        path="/catalog/plans/{id}/apply",
        run=apply,
        summary="Apply a plan of the catalogue, all of it or nothing",
        tag=TAG,
        scope="config:update",
        body=CatalogApplyRequest,
        reply=CatalogVersion,
    ),
    Route(
        method="GET",
        path="/catalog/versions",
        run=find_versions,
        summary="List the versions of the catalogue that were applied",
        tag=TAG,
        scope="config:retrieve",
        reply=Paged(CatalogVersion),
        query=PAGING,
    ),
    Route(
        method="GET",
        path="/catalog/versions/{id}",
        run=retrieve_version,
        summary="Read a version of the catalogue",
        tag=TAG,
        scope="config:retrieve",
        reply=CatalogVersionReply,
    ),
    Route(
        method="GET",
        path="/catalog/settings",
        run=retrieve_settings,
        summary="Read whether changes of the catalogue need a second person",
        tag=TAG,
        scope="config:retrieve",
        reply=CatalogSettingsReply,
    ),
    Route(
        method="PUT",
        path="/catalog/settings",
        run=change_settings,
        summary="Say whether changes of the catalogue need a second person",
        tag=TAG,
        scope="config:update",
        body=CatalogSettingsRequest,
        reply=CatalogSettingsReply,
    ),
)
