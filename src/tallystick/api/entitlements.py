"""Features and entitlements over HTTP, and what an account may use: an extension of ours."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tallystick.api.crud import CODES, IDS, PAGING, Crud, by_ids_and_codes, where_of
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.entitlements import ENTITLEMENTS, FEATURES
from tallystick.core.entitlement import Allowance
from tallystick.core.quantity import ZERO, parse_quantity
from tallystick.errors import Refusal
from tallystick.pipeline.gate import Ask, find_account
from tallystick.ports import Where

ONE = Decimal(1)


class UseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How much more of the feature is about to be used."""

    quantity: Decimal = ONE


def ask_of(call: Call) -> Ask:
    """What the gate reads, as it is when it reads it."""
    app, organization_id = call.app, call.organization_id
    return lambda: (app.records.organization(organization_id), app.usage.organization(organization_id), app.usage.mark)


def allowances(call: Call) -> dict[str, object]:
    """A page of what an account may use, in order of the features' codes."""
    account_id = find_account(call.records, call.path["id"]).id
    found = call.app.gate.allowances(ask_of(call), account_id)
    page = call.query.page(highest=100)
    rest = [each for each in found if page.token is None or each.feature > page.token]
    rows = rest[: page.size]
    return struct_page(rows, rows[-1].feature if len(rest) > len(rows) else None)


def allowance(call: Call) -> Allowance:
    """Whether an account may use a feature: any more of it, or so much more."""
    account_id = find_account(call.records, call.path["id"]).id
    text = call.query.text("quantity")
    quantity = ZERO
    if text is not None:
        try:
            quantity = parse_quantity(text)
        except ValueError as problem:
            raise Refusal("invalid_request", f"quantity: {problem}", field="quantity") from None
    return call.app.gate.check(ask_of(call), account_id, call.path["feature"], _positive(quantity))


def check(call: Call, body: UseRequest) -> Allowance:
    """The same by a request with a body."""
    account_id = find_account(call.records, call.path["id"]).id
    return call.app.gate.check(ask_of(call), account_id, call.path["feature"], _positive(body.quantity))


def consume(call: Call, body: UseRequest) -> Allowance:
    """Let so much pass, if it may: it counts against the burst limits from now on."""
    account_id = find_account(call.records, call.path["id"]).id
    return call.app.gate.consume(ask_of(call), account_id, call.path["feature"], _positive(body.quantity))


def _positive(quantity: Decimal) -> Decimal:
    if not 0 <= quantity < Decimal(10) ** 20:
        raise Refusal("invalid_request", f"quantity: must be 0 to below 10^20, got {quantity}", field="quantity")
    return quantity


def _where(call: Call) -> Where:
    return where_of(
        call,
        id=call.query.texts("ids"),
        feature_id=call.query.text("featureId"),
        account_id=call.query.text("accountId"),
        plan_id=call.query.text("planId"),
        plan_template_id=call.query.text("planTemplateId"),
    )


_TAG = "Entitlements"
_FEATURE = "/accounts/{id}/entitlements/{feature}"

ROUTES = (
    *Crud(
        noun=FEATURES, path="/features", tag=_TAG, where=by_ids_and_codes, filters={"ids": IDS, "codes": CODES}
    ).routes(),
    *Crud(
        noun=ENTITLEMENTS,
        path="/entitlements",
        tag=_TAG,
        where=_where,
        filters={
            "ids": IDS,
            "featureId": "Only entitlements to this feature.",
            "accountId": "Only those of this account itself.",
            "planId": "Only those of this plan itself.",
            "planTemplateId": "Only those of this plan template.",
        },
    ).routes(),
    Route(
        method="GET",
        path="/accounts/{id}/entitlements",
        run=allowances,
        summary="List what an account (by its code or id) may use, and what is left",
        tag=_TAG,
        scope="config:retrieve",
        reply=Paged(Allowance),
        query=PAGING,
    ),
    Route(
        method="GET",
        path=_FEATURE,
        run=allowance,
        summary="Say whether an account (by its code or id) may use a feature",
        tag=_TAG,
        scope="config:retrieve",
        reply=Allowance,
        query={"quantity": "How much more; without it, whether any more."},
    ),
    Route(
        method="POST",
        path=_FEATURE + "/check",
        run=check,
        summary="Say whether an account may use so much more of a feature",
        tag=_TAG,
        scope="config:retrieve",
        body=UseRequest,
        reply=Allowance,
    ),
    Route(
        method="POST",
        path=_FEATURE + "/consume",
        run=consume,
        summary="Let an account use so much of a feature, if it may, and count it against burst limits",
        tag=_TAG,
        scope="measurements:upload",
        body=UseRequest,
        reply=Allowance,
    ),
)
