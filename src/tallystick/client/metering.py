"""What the middleware and the decorator share: what was served, and how it is told to the emitter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import msgspec

from tallystick.client.async_emitter import offer
from tallystick.client.emitter import Emitter
from tallystick.client.guard import Decision, Guard
from tallystick.client.measurement import UIDS, Line, line_of, now

log = logging.getLogger(__name__)

JSON = "application/json"
ANONYMOUS = Decision(False, "NO_ACCOUNT", "the request does not say whose it is")


class Served(NamedTuple):
    """A request that was answered. `microseconds` from its start until the last byte was handed on."""

    account: str
    method: str
    path: str
    status: int
    bytes_in: int
    bytes_out: int
    microseconds: int


Measure = Callable[[Served], Mapping[str, Any]]


def usual(served: Served) -> Mapping[str, Any]:
    """What is told of a request unless something else is wished: how many, how large, how long, and how it ended."""
    return {
        "measure": {
            "requests": 1,
            "bytes_in": served.bytes_in,
            "bytes_out": served.bytes_out,
            "milliseconds": Decimal(served.microseconds) / 1_000,
        },
        "what": {"method": served.method, "status": str(served.status)},
    }


class Metering(NamedTuple):
    """How a service is metered: by which emitter and meter, what of each request, who guards it, if anybody, and
    whether who is nobody may pass."""

    emitter: Emitter
    meter: str
    guard: Guard | None = None
    measure: Measure = usual
    anonymous: bool = False

    def tell(self, served: Served) -> None:
        """Emit what was served. The answer has gone out: nothing that goes wrong here may harm it."""
        try:
            self.emitter.emit(self.meter, served.account, **self.measure(served))
        except Exception:
            log.exception("a request of %r was not metered", served.account)

    async def tell_async(self, served: Served) -> None:
        """The same in an event loop, which goes on where there is no room and this has to wait for some."""
        try:
            line = Line(UIDS.next(), self.meter, served.account, now(), **{"measure": None, **self.measure(served)})
            await offer(self.emitter, line_of(line))
        except Exception:
            log.exception("a request of %r was not metered", served.account)


class Options(TypedDict, total=False):
    """What a middleware may be told besides what it must be."""

    guard: Guard | None
    measure: Measure
    anonymous: bool


class Stopwatch:
    """How long something takes, in whole microseconds."""

    def __init__(self) -> None:
        self._began = time.perf_counter_ns()

    def microseconds(self) -> int:
        """Since it was made."""
        return (time.perf_counter_ns() - self._began) // 1_000


def refusal(decision: Decision) -> tuple[int, list[tuple[str, str]], bytes]:
    """The answer to whom is refused: status, headers and body."""
    body = msgspec.json.encode({"message": decision.why, "code": decision.reason})
    status = 401 if decision is ANONYMOUS else 429
    headers = [("content-type", JSON), ("content-length", str(len(body)))]
    if status == 429:
        headers.append(("retry-after", str(decision.retry_after)))
    return status, headers, body
