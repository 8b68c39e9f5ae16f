"""The organisation's settings over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Any

from tallystick.api.crud import Reply, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Route, entity_reply
from tallystick.control import organization_config
from tallystick.core.entity import CurrencyCode, DueDays
from tallystick.core.organization import OrganizationConfig
from tallystick.ports.founded import config_of

PATH = "/organizationconfig"

# A new organisation starts with defaults for these; a PUT must say them (source: reference 2.9).
OrganizationConfigRequest = request_type(
    OrganizationConfig,
    required={
        "currency": CurrencyCode,
        "timezone": str,
        "day_epoch": date,
        "week_epoch": date,
        "month_epoch": date,
        "year_epoch": date,
        "days_before_bill_due": DueDays,
    },
)


def _retrieve(call: Call) -> Reply:
    return entity_reply(config_of(call.records))


def _update(call: Call, body: Any) -> Reply:
    value = value_of(OrganizationConfig, body)
    return entity_reply(organization_config.update(desk_of(call), value, body.version))


ROUTES = (
    Route(
        method="GET",
        path=PATH,
        run=_retrieve,
        summary="Retrieve the organisation's settings",
        tag="Organisation",
        scope="config:retrieve",
        reply=Envelope(OrganizationConfig),
    ),
    Route(
        method="PUT",
        path=PATH,
        run=_update,
        summary="Replace the organisation's settings",
        tag="Organisation",
        scope="config:update",
        body=OrganizationConfigRequest,
        reply=Envelope(OrganizationConfig),
    ),
)
