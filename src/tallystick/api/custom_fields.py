"""The organisation's custom fields over HTTP."""

from __future__ import annotations

from typing import Any

from tallystick.api.crud import Reply, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Route, entity_reply
from tallystick.control import custom_fields
from tallystick.core.organization import OrganizationCustomFields

PATH = "/customfields"

CustomFieldsRequest = request_type(OrganizationCustomFields)


def _retrieve(call: Call) -> Reply:
    return entity_reply(custom_fields.current(call.records))


def _update(call: Call, body: Any) -> Reply:
    value = value_of(OrganizationCustomFields, body)
    return entity_reply(custom_fields.update(desk_of(call), value, body.version))


ROUTES = (
    Route(
        method="GET",
        path=PATH,
        run=_retrieve,
        summary="Retrieve the organisation's custom fields",
        tag="Organisation",
        scope="config:retrieve",
        reply=Envelope(OrganizationCustomFields),
    ),
    Route(
        method="PUT",
        path=PATH,
        run=_update,
        summary="Replace the organisation's custom fields",
        tag="Organisation",
        scope="config:update",
        body=CustomFieldsRequest,
        reply=Envelope(OrganizationCustomFields),
    ),
)
