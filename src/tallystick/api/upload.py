"""`POST /measurements` as it is published. The server takes it the short way in, past the routes (`server.Front`)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routing import Route
from tallystick.core.identity import SentIdentity
from tallystick.core.measurement import Measurement
from tallystick.pipeline.ingest import MAX_MEASUREMENTS, Reply, ingest


class SentMeasurement(Measurement, frozen=True, kw_only=True, gc=False):
    """A measurement names the account whose usage it is, or an identity by which the account is found."""

    account: str | None = None  # type: ignore[assignment]  # what is read may lack it, what is counted never does
    identity: SentIdentity | None = None


class MeasurementsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A batch: each member gets a verdict of its own, so that one bad member never harms the others."""

    measurements: Annotated[tuple[SentMeasurement, ...], msgspec.Meta(min_length=1, max_length=MAX_MEASUREMENTS)]


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
