"""`POST /measurements` as it is published. The server takes it the short way in, past the routes (`server.Front`)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routing import Route
from tallystick.core.measurement import Measurement
from tallystick.pipeline.ingest import MAX_MEASUREMENTS, Reply, ingest


class MeasurementsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A batch: each member gets a verdict of its own, so that one bad member never harms the others."""

    measurements: Annotated[tuple[Measurement, ...], msgspec.Meta(min_length=1, max_length=MAX_MEASUREMENTS)]


UPLOAD = Route(
    method="POST",
    path="/measurements",
    run=ingest,
    summary="Send measurements; what is accepted is on disk before the answer",
    tag="Measurements",
    scope="measurements:upload",
    body=MeasurementsRequest,
    reply=Reply,
)
