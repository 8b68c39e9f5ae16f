"""Usage queries over HTTP."""

from __future__ import annotations

import msgspec

from tallystick.api.routing import Call, Route
from tallystick.control.usage_query import query_usage
from tallystick.core.usage_request import UsageRequest


class UsageReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Rows, most recent first; their keys are documented in the reference of the usage query."""

    data: list[dict[str, object]]
    has_more_data: bool
    next_token: str | None = None


def query(call: Call, body: UsageRequest) -> UsageReply:
    """Answer a usage query."""
    result = query_usage(call.records, call.usage, body)
    return UsageReply(data=result.rows, has_more_data=result.has_more, next_token=result.next_token)


ROUTES = (
    Route(
        method="POST",
        path="/usage/query",
        run=query,
        summary="Ask for usage: filtered, aggregated and grouped",
        tag="Usage",
        scope="analytics:query",
        body=UsageRequest,
        reply=UsageReply,
    ),
)
