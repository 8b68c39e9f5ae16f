"""From a measurement to the lines of bills over HTTP: which it is on, or why on none. An extension of ours."""

from __future__ import annotations

from tallystick.api.routing import Call, Route
from tallystick.control.measurement_lookup import look_up
from tallystick.errors import Refusal
from tallystick.pipeline.measurement_lines import MeasurementLines, lines_of, not_counted_yet, rejected


def find(call: Call) -> MeasurementLines:
    """The lines that a measurement is on, and why it is on no others."""
    uid = call.query.text("uid")
    if uid is None:
        raise Refusal("invalid_request", "uid: is needed", field="uid")
    known = look_up(call.records, call.usage, call.app.uids, call.app.journal, uid)
    accepted = known.accepted
    if accepted is not None and accepted.row is not None:
        return lines_of(call.records, call.usage, accepted.row)
    if accepted is not None:
        return not_counted_yet(uid, accepted.position, accepted.entry.account_id)
    if known.failed:
        return rejected(uid, known.failed[0].reason)
    raise Refusal("not_found", f"uid: no measurement {uid[:80]!r} was ever sent to this organization", field="uid")


ROUTES = (
    Route(
        method="GET",
        path="/measurements/lines",
        run=find,
        summary="Find the bill lines that a measurement is on, or why it is on none",
        tag="Bills",
        scope="config:retrieve",
        reply=MeasurementLines,
        query={"uid": "The uid of the measurement."},
    ),
)
