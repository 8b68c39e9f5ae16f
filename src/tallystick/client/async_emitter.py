"""The emitter for programs that run an event loop: the same, and nothing of it blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Unpack

from tallystick.client.emitter import Emitter, Maps
from tallystick.client.measurement import UIDS, Line, Numbers, line_of, now
from tallystick.client.sending import Rejected
from tallystick.client.settings import EmitterSettings
from tallystick.client.waiting import Stats


class AsyncEmitter:
    """An `Emitter` whose waits are awaited. Callbacks come from its own thread, not from the event loop's.

    With `write_ahead` the file is written by the caller, which takes some microseconds.
    """

    def __init__(
        self,
        settings: EmitterSettings | None = None,
        *,
        on_rejected: Callable[[Rejected], object] | None = None,
        on_dropped: Callable[[int, str], object] | None = None,
    ) -> None:
        self.emitter = Emitter(settings, on_rejected=on_rejected, on_dropped=on_dropped)

    async def emit(
        self,
        meter: str,
        account: str,
        measure: Numbers | None = None,
        *,
        uid: str | None = None,
        ts: str | datetime | None = None,
        **maps: Unpack[Maps],
    ) -> str:
        """Have a measurement counted; the answer is its uid. Waits only where there is no room."""
        uid = uid or UIDS.next()
        line = line_of(Line(uid, meter, account, now() if ts is None else ts, measure, **maps))
        await offer(self.emitter, line)
        return uid

    async def flush(self, timeout: float | None = None) -> bool:
        """Send all that waits; whether the server had taken it in time."""
        return await asyncio.to_thread(self.emitter.flush, timeout)

    async def close(self, timeout: float | None = None) -> None:
        """Send what waits, see `Emitter.close`."""
        await asyncio.to_thread(self.emitter.close, timeout)

    def stats(self) -> Stats:
        """What became of the measurements until now."""
        return self.emitter.stats()

    async def __aenter__(self) -> AsyncEmitter:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()


async def offer(emitter: Emitter, line: bytes) -> None:
    """Have an emitter take what is written down. Where it has no room, that is waited for beside the event loop, and
    to its end, even if who waits here is cancelled meanwhile."""
    if not emitter.offer(line, wait=False):
        await asyncio.shield(asyncio.to_thread(emitter.offer, line))
