"""Large requests that wait in line for the process beside this one, and go there together.

A hundred calls, a message there and back, a claim and a waking-up cost four thousand measurements little more than a
thousand. So while that process has a request at work and one at hand, others of the same organisation wait, and then go
as one, as long as all are written alike (`uniform.py`). Who comes alone, or while there is little to do, never waits.

Requests that cannot go together go one by one, and so do those that come after them for a moment: a client whose
requests cannot be joined should not pay for the attempt each time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from weakref import WeakKeyDictionary

from tallystick.errors import Refusal

TOGETHER = 4  # requests at most
MOST_BYTES = 1_000_000  # of requests that go together: what comes of them is to fit into a slot
MOST_WAITING = 64 * 1024 * 1024  # bytes of the requests of an organisation that wait
AHEAD = 2  # how many may be there for each process: at work, and at hand
ALONE_SECONDS = 1.0  # after an attempt that failed

Answer = Callable[[str, Sequence[bytes], Callable[[], None]], Awaitable[Sequence[bytes] | None]]
"""(organisation, requests, what to call as soon as the process is done with them) → their replies; None where they
cannot go there, or not together."""


@dataclass(slots=True)
class _Line:
    """The requests of an organisation that wait, and who waits for the answer to each."""

    requests: deque[tuple[bytes, asyncio.Future[bytes | None]]] = field(default_factory=deque)
    size: int = 0  # bytes of these
    ahead: int = 0  # that are there
    alone_until: float = 0.0  # by the clock of the loop

    def take(self, now: float) -> list[tuple[bytes, asyncio.Future[bytes | None]]]:
        """Those that go next."""
        most = TOGETHER if now >= self.alone_until else 1
        sizes = accumulate(len(body) for body, _ in islice(self.requests, most))
        count = max(1, sum(size <= MOST_BYTES for size in sizes))
        taken = [self.requests.popleft() for _ in range(count)]
        self.size -= sum(len(body) for body, _ in taken)
        return taken

    def put_back(self, taken: Sequence[tuple[bytes, asyncio.Future[bytes | None]]]) -> None:
        """Have them go next once more."""
        self.requests.extendleft(reversed(taken))
        self.size += sum(len(body) for body, _ in taken)


class Lines:
    """The lines of all organisations before so many processes."""

    def __init__(self, answer: Answer, processes: int) -> None:
        self._answer = answer
        self._ahead = AHEAD * processes
        # By event loop, since what waits can be woken by its own only.
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Line]] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()  # an event loop holds its tasks by weak references only

    async def answer(self, organization_id: str, body: bytes) -> bytes | None:
        """The reply to a request; None where the caller has to see to it. Refusal `busy` when too much waits: then
        nothing of it was kept."""
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(loop, {}).setdefault(organization_id, _Line())
        if line.size + len(body) > MOST_WAITING:
            message = f"{len(line.requests)} large requests are waiting to be read; nothing of this request was kept"
            raise Refusal("busy", message)
        answer: asyncio.Future[bytes | None] = loop.create_future()
        line.requests.append((body, answer))
        line.size += len(body)
        self._go_on(organization_id, line)
        return await answer

    def _go_on(self, organization_id: str, line: _Line) -> None:
        while line.requests and line.ahead < self._ahead:
            line.ahead += 1
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._serve(organization_id, line, line.take(loop.time())))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, organization_id: str, line: _Line, taken: Sequence[tuple[bytes, asyncio.Future[bytes | None]]]
    ) -> None:
        there = True

        def done_with() -> None:
            nonlocal there
            if there:
                there = False
                line.ahead -= 1
                self._go_on(organization_id, line)

        try:
            replies = await self._answer(organization_id, [body for body, _ in taken], done_with)
        except Exception as problem:
            for _, answer in taken:
                if not answer.done():  # the client may have gone away
                    answer.set_exception(problem)
        else:
            if replies is None and len(taken) > 1:
                line.alone_until = asyncio.get_running_loop().time() + ALONE_SECONDS
                line.put_back(taken)
                self._go_on(organization_id, line)
                return
            told: Sequence[bytes | None] = [None] if replies is None else replies
            for (_, answer), reply in zip(taken, told, strict=True):
                if not answer.done():
                    answer.set_result(reply)
        finally:
            done_with()
