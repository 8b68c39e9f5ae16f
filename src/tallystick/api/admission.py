"""How requests get in: their bodies are read in bounded time, and all that are at hand take bounded memory.

A client that sends more than can be taken is told so at once (503, Retry-After) and costs nothing: what is beyond the
bound is read, so that the client has sent all and reads the answer, but not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from tallystick.errors import Refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

READ_ON = 16  # how many times the limit a body is still read, and thrown away, before the answer
FULL = "more requests are at hand than there is room for; nothing of this one was kept"
REQUEST_BYTES = 16_384  # what a request counts for before it has a body …
WEIGHT = 8  # … and for each byte of that: about what the values that are read from JSON take


class Admission:
    """Reckons the memory that all requests at hand take, and ends those whose bodies take too long.

    Used by the one thread of the event loop. One timer serves all requests: a timer for each would cost more than the
    rest of their admission. A body is cut off at most a quarter late.
    """

    def __init__(self, most: int, seconds: float) -> None:
        """At most `most` bytes of memory at once; a body must be complete after `seconds`."""
        self._most = most
        self._seconds = seconds
        self._held = 0
        self._reading: dict[Ticket, float] = {}  # since when, in order
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def request(self) -> Iterator[Ticket]:
        """A request at hand: what its ticket holds is given back at the end."""
        ticket = Ticket()
        try:
            yield ticket
        finally:
            self._held -= ticket.held

    async def read(self, ticket: Ticket, receive: Receive, limit: int, too_large: str) -> bytes:
        """The body of a request, in time and within `limit` bytes.

        Refusals: `busy` when too much is at hand; `request_too_slow`; the code `too_large` beyond the limit;
        `invalid_request` when the client goes away before the end, so that nothing of half a body counts.
        """
        loop = asyncio.get_running_loop()
        ticket.task = asyncio.current_task()
        self._reading[ticket] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds / 4, self._end_slow_ones)
        try:
            return await self._read(ticket, receive, limit, too_large)
        except asyncio.CancelledError:
            if not ticket.late or ticket.task is None:
                raise
            ticket.task.uncancel()
            message = f"body: did not come within {self._seconds:g} seconds; nothing of it was kept"
            raise Refusal("request_too_slow", message, field="body") from None
        finally:
            del self._reading[ticket]

    async def _read(self, ticket: Ticket, receive: Receive, limit: int, too_large: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        admitted = self._take(ticket, REQUEST_BYTES)
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal("invalid_request", "body: the connection ended before the body did", field="body")
            part = message.get("body", b"")
            size += len(part)
            admitted = admitted and size <= limit and self._take(ticket, WEIGHT * len(part))
            if admitted:
                parts.append(part)
            else:
                parts.clear()
            if not message.get("more_body", False) or size > READ_ON * limit:
                break
        if size > limit:
            raise Refusal(too_large, f"body: at most {limit:,} bytes in one request")
        if not admitted:
            raise Refusal("busy", FULL)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def hold(self, ticket: Ticket, size: int) -> None:
        """Let a request hold more, whose body has grown to `size` when it was unpacked; or Refusal `busy`."""
        if not self._take(ticket, WEIGHT * size):
            raise Refusal("busy", FULL)

    def _take(self, ticket: Ticket, size: int) -> bool:
        """Whether a request may take so many bytes more; then it does."""
        if self._held + size > self._most:
            return False
        self._held += size
        ticket.held += size
        return True

    def _end_slow_ones(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - self._seconds
        for ticket, since in self._reading.items():
            if since > before:
                break
            ticket.late = True
            if ticket.task is not None:
                ticket.task.cancel()
        self._timer = loop.call_later(self._seconds / 4, self._end_slow_ones) if self._reading else None


class Ticket:
    """What one request holds, and whether its body took too long."""

    __slots__ = ("held", "late", "task")

    def __init__(self) -> None:
        self.held = 0
        self.late = False
        self.task: asyncio.Task[Any] | None = None
