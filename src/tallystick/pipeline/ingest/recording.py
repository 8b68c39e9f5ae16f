"""Recording what did not count: all that is noted while a transaction is under way shares the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tallystick.pipeline.ingest.failures import Notes, write
from tallystick.ports import Records


@dataclass(slots=True)
class _Waiting:
    """The notes of an organisation that wait for their transaction, and who waits for each."""

    notes: list[tuple[Notes, asyncio.Future[None]]] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None


class Recorder:
    """Writes notes into the records of their organisations."""

    def __init__(self, records: Records) -> None:
        self._records = records
        # By event loop, since what waits can be woken by its own only.
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Waiting]] = WeakKeyDictionary()

    async def record(self, organization_id: str, notes: Notes) -> None:
        """Returns once the notes are kept; raises what kept them from it."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, {}).setdefault(organization_id, _Waiting())
        kept: asyncio.Future[None] = loop.create_future()
        waiting.notes.append((notes, kept))
        if waiting.writing is None:
            # A task of its own: a request must not go on writing for those who come after it.
            waiting.writing = loop.create_task(self._write_all(organization_id, waiting))
        await kept

    def record_in_thread(self, organization_id: str, notes: Sequence[Notes]) -> None:
        """The same for a caller that may block."""
        write(self._records.organization(organization_id), notes)

    async def _write_all(self, organization_id: str, waiting: _Waiting) -> None:
        while waiting.notes:
            await self._write(organization_id, waiting)
        waiting.writing = None

    async def _write(self, organization_id: str, waiting: _Waiting) -> None:
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
