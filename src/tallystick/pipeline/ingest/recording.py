"""Recording what did not count: all that is noted while a transaction is under way shares the next one.

A transaction costs what six requests' notes in it cost. So the next one waits a moment for company, as long as other
requests of the organisation are under way that might bring some; who comes alone never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tallystick.pipeline.ingest.failures import Notes, write
from tallystick.ports import Records

PACE_SECONDS = 0.02  # from the start of one transaction to that of the next, while company may come


@dataclass(slots=True)
class Waiting:
    """The notes of an organisation that wait for their transaction, and who waits for each."""

    notes: list[tuple[Notes, asyncio.Future[None]]] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    began: float = 0.0  # when the last transaction did, by the clock of the loop
    under_way: int = 0  # requests that may bring notes


class Recorder:
    """Writes notes into the records of their organisations."""

    def __init__(self, records: Records) -> None:
        self._records = records
        # By event loop, since what waits can be woken by its own only.
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Waiting]] = WeakKeyDictionary()

    def waiting(self, organization_id: str) -> Waiting:
        """What waits of an organisation: who begins a request that may bring notes says so in `under_way`, and takes
        it back at the end."""
        return self._waiting.setdefault(asyncio.get_running_loop(), {}).setdefault(organization_id, Waiting())

    async def record(self, organization_id: str, notes: Notes) -> None:
        """Returns once the notes are kept; raises what kept them from it."""
        loop = asyncio.get_running_loop()
        waiting = self.waiting(organization_id)
        kept: asyncio.Future[None] = loop.create_future()
        waiting.notes.append((notes, kept))
        if waiting.writing is None:
            # A task of its own: a request must not go on writing for those who come after it.
            waiting.writing = loop.create_task(self._write_all(organization_id, waiting))
        await kept

    def record_in_thread(self, organization_id: str, notes: Sequence[Notes]) -> None:
        """The same for a caller that may block."""
        write(self._records.organization(organization_id), notes)

    async def _write_all(self, organization_id: str, waiting: Waiting) -> None:
        loop = asyncio.get_running_loop()
        while waiting.notes:
            if len(waiting.notes) < waiting.under_way and (left := waiting.began + PACE_SECONDS - loop.time()) > 0:
                await asyncio.sleep(left)
            waiting.began = loop.time()
            await self._write(organization_id, waiting)
        waiting.writing = None

    async def _write(self, organization_id: str, waiting: Waiting) -> None:
        together, waiting.notes = waiting.notes, []
        records = self._records.organization(organization_id)
        try:
            await asyncio.to_thread(write, records, [notes for notes, _ in together])
        except Exception as problem:
            for _, kept in together:
                if not kept.done():
                    kept.set_exception(problem)
        else:
            for _, kept in together:
                if not kept.done():
                    kept.set_result(None)
