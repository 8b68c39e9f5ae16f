"""The scorecard of a month over HTTP: an extension of ours."""

from __future__ import annotations

from tallystick.api.routing import Call, Route
from tallystick.core.scorecard import Scorecard
from tallystick.pipeline.scorecard import scorecard


def find(call: Call) -> Scorecard:
    """The scores of a month."""
    month = call.query.text("month")
    return scorecard(call.records, call.app.journal, call.app.usage, month=month, now=call.now)


ROUTES = (
    Route(
        method="GET",
        path="/scorecard",
        run=find,
        summary="Read how good metering and billing were in a month: each measure green, amber or red",
        tag="Scorecard",
        scope="config:retrieve",
        reply=Scorecard,
        query={"month": "Such as 2025-01; the present month if absent."},
    ),
)
