"""A foundry: a second process that casts bills (`pipeline.casting.made_ahead`) while the first settles those before.

One interpreter uses one processor. Of a bill that is cast, half the work is reading what was agreed and writing it from
its mould, which needs nothing of this process but answers of the usage store, which only one process may have open. So
a second process does that half: it reads the records for itself (SQLite lets any number read, and it cannot write),
asks this process about usage, and hands back the texts of the bills.

    this process                                         the foundry
    Order: a chunk, by its job and number         →      reads the chunk and its terms, all as of one moment
    Answer: rows                                  ⇄      Question: a measurement, or who has late usage
    settles the chunk before                             casts
    takes the bills, as if it had cast them       ←      Poured: their texts

Nothing depends on it. What it has not cast is rated here, and what it did cast is held against what is stored when it
is settled, like any other bill; killed, it leaves nothing behind, and when this process goes, it goes too
(docs/decisions/0560-foundry.md, 0552-two-chunks-ahead.md).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from tallystick.beside import begin, start
from tallystick.core import wire
from tallystick.core.aggregation import Measured, Question
from tallystick.core.cast import Booking, Cast
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.stencil import Stencil
from tallystick.pipeline.bill import Run
from tallystick.pipeline.bill_job import JobChunk, accounts_in_hand, read_chunk
from tallystick.pipeline.bill_run import AHEAD
from tallystick.pipeline.casting import NOTHING_AHEAD, made_ahead
from tallystick.ports import OrganizationRecords
from tallystick.ports.founded import config_of
from tallystick.ports.usage import Measuring
from tallystick.stores.records_sql import open_reading

log = logging.getLogger(__name__)

ANSWER_SECONDS = 60.0  # a chunk takes a second; after this it is not waited for


# ------------------------------------------------------------------------------------------------------ what is said


class Order(msgspec.Struct, frozen=True):
    """A chunk that is to be cast, but for accounts that are in hand."""

    organization_id: str
    job_id: str
    number: int
    run: Run


class LateAccounts(msgspec.Struct, frozen=True, tag=True):
    """Which of these accounts have late usage."""

    accounts: list[str]
    before: Instant
    after: int
    up_to: int


class Measure(msgspec.Struct, frozen=True, tag=True):
    """What was used."""

    questions: list[Question]


class Pour(msgspec.Struct, frozen=True):
    """A bill that was cast: its place in the chunk, and what is in a `Cast` beside what the chunk says."""

    place: int
    id: str
    keys: dict[str, str]
    lines: int
    text: str
    stencil: str  # the id of it; empty where the text is whole
    booking: bytes  # JSON, as its entries have moments; empty where no credit is drawn
    revisits: tuple[str, ...]


class Poured(msgspec.Struct, frozen=True, tag=True):
    """The bills of a chunk come next, by the settings they were made under. They are not in here: as part of JSON each
    text would be escaped, and read again."""

    config: OrganizationConfig
    stencils: list[Stencil]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It has started, and waits for orders."""


_Said: Any = Measure | LateAccounts | Poured | Ready  # Any: the type of a union, which no annotation names
_POURS: msgspec.msgpack.Decoder[list[Pour]] = msgspec.msgpack.Decoder(list[Pour])
_Chunk = tuple[str, int]  # the job and the number of a chunk


# ------------------------------------------------------------------------------------------------------ this side


def start_process() -> tuple[Connection, Callable[[], None]]:
    """Start another process; gives the way to speak to it, and how to end it."""
    connection, process = start(__name__)

    def end() -> None:
        process.kill()
        process.wait()

    return connection, end


class Foundry:
    """A `pipeline.bill_run.Foundry` that is started with its first order, and ended by `close`."""

    def __init__(
        self,
        records_url: str,
        organization_id: str,
        usage: Measuring,
        *,
        fewest: int = 0,
        start: Callable[[], tuple[Connection, Callable[[], None]]] = start_process,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.fewest, self._start, self._answer_seconds = fewest, start, answer_seconds
        self.ready = threading.Event()  # until then nothing is ordered: a run that waits for a start is a slow one
        self._url, self._organization_id, self._usage = records_url, organization_id, usage
        self._ordered: deque[_Chunk] = deque()  # what it has, and what it has poured, in order
        self._editions: dict[_Chunk, object] = {}  # of settings and catalogue when those were ordered
        self._poured: SimpleQueue[tuple[Poured, list[Pour]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: deque[Order] = deque()  # for it to be done with what it has
        self._works = False  # it takes orders only when it has poured: until then it is sent nothing but answers
        self._running: tuple[Connection, Callable[[], None], threading.Thread] | None = None
        self._broken = False

    def __enter__(self) -> Foundry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def order(self, job_id: str, number: int, run: Run, edition: object) -> None:
        """See pipeline.bill_run.Foundry."""
        if self._broken or (job_id, number) in self._ordered:
            return
        try:
            connection = self._connection()
            if self.ready.is_set():
                self._ordered.append((job_id, number))
                self._editions[job_id, number] = edition
                with self._lock:
                    self._waiting.append(Order(self._organization_id, job_id, number, run))
                    if not self._works:
                        self._send_next(connection)
        except OSError:
            self._fail()

    def take(self, chunk: JobChunk, edition: Callable[[], object]) -> Mapping[int, Cast]:
        """See pipeline.bill_run.Foundry. What does not come in time is not waited for, and nothing after it."""
        wanted = chunk.job_id, chunk.number
        made_with = self._editions.pop(wanted, None)
        if self._broken or wanted not in self._ordered or made_with is not edition():
            return NOTHING_AHEAD
        ordered, found = None, None
        while ordered != wanted:  # those before it were made without it
            ordered, found = self._ordered.popleft(), self._next_poured()
            if found is None:
                self._fail()
                return NOTHING_AHEAD
        assert found is not None, "it was ordered"
        if made_with is not edition():
            return NOTHING_AHEAD
        poured, pours = found
        stencils = {each.id: each for each in poured.stencils}
        return {
            each.place: Cast(
                each.id,
                chunk.periods[each.place],
                poured.config,
                each.keys,
                each.lines,
                each.text,
                stencils.get(each.stencil),
                booking=wire.decode(Booking, each.booking) if each.booking else None,
                revisits=each.revisits,
            )
            for each in pours
        }

    def _next_poured(self) -> tuple[Poured, list[Pour]] | None:
        try:
            return self._poured.get(timeout=self._answer_seconds)
        except Empty:
            return None

    def close(self) -> None:
        """End the process."""
        if self._running is not None:
            connection, end, thread = self._running
            end()
            thread.join()
            connection.close()
            self._running = None

    def _fail(self) -> None:
        log.warning("the second process of a bill run has ended or does not answer; the run goes on without it")
        self._broken = True
        self.close()

    def _connection(self) -> Connection:
        if self._running is None:
            connection, end = self._start()
            thread = threading.Thread(target=self._serve, args=(connection,), name="foundry", daemon=True)
            thread.start()
            self._running = connection, end, thread
            connection.send_bytes(self._url.encode())
        return self._running[0]

    def _send_next(self, connection: Connection) -> None:
        """Give it the next order, if there is one. Holds the lock."""
        self._works = bool(self._waiting)
        if self._waiting:
            connection.send_bytes(wire.encode(self._waiting.popleft()))

    def _serve(self, connection: Connection) -> None:
        """Answer the questions of the other side and put away what it pours, until it ends."""
        try:
            while True:
                said: Measure | LateAccounts | Poured | Ready = wire.decode(_Said, connection.recv_bytes())
                match said:
                    case Ready():
                        self.ready.set()
                    case Measure(questions):
                        answers = [list(each) for each in self._usage.measure_many(questions)]
                        connection.send_bytes(wire.encode(answers))
                    case LateAccounts(accounts, before, after, up_to):
                        late = self._usage.late_accounts(accounts, before=before, after=after, up_to=up_to)
                        connection.send_bytes(wire.encode(late))
                    case Poured():
                        pours = connection.recv_bytes()
                        with self._lock:
                            self._send_next(connection)
                        self._poured.put((said, _POURS.decode(pours)))
        except (EOFError, OSError):
            pass  # it has ended, by itself or by `close`
        except Exception:
            log.exception("the second process of a bill run asked what could not be answered")
        finally:
            self._poured.put(None)


# ------------------------------------------------------------------------------------------------------ that side


class _Asking:
    """The usage store, which the first process has open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def measure(self, question: Question) -> Iterable[Measured]:
        return next(iter(self.measure_many([question])))

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        answers: list[Iterable[Measured]] = []
        answers += wire.decode(list[list[Measured]], self._ask(Measure(list(questions))))
        return answers

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        return wire.decode(dict[str, Instant], self._ask(LateAccounts(list(accounts), before, after, up_to)))

    def _ask(self, question: Measure | LateAccounts) -> bytes:
        self._connection.send_bytes(wire.encode(question))
        return self._connection.recv_bytes()


def serve(connection: Connection) -> None:
    """Cast what is ordered, until nobody is there any more."""
    usage = _Asking(connection)
    with closing(open_reading(connection.recv_bytes().decode())) as records:
        connection.send_bytes(wire.encode(Ready()))
        while True:
            order = wire.decode(Order, connection.recv_bytes())
            with records.still(order.organization_id) as still:
                config = config_of(still)
                cast = _cast(still, usage, order)
            stencils = {each.stencil.id: each.stencil for each in cast.values() if each.stencil is not None}
            connection.send_bytes(wire.encode(Poured(config.value, list(stencils.values()))))
            connection.send_bytes(msgspec.msgpack.encode([_pour(place, each) for place, each in cast.items()]))


def _cast(records: OrganizationRecords, usage: Measuring, order: Order) -> dict[int, Cast]:
    """The bills of a chunk that can be cast, by their places."""
    chunk = read_chunk(records, order.job_id, order.number)
    in_hand = accounts_in_hand(records, order.job_id, order.number, AHEAD)
    free = [place for place, each in enumerate(chunk.periods) if each.account_id not in in_hand]
    cast = made_ahead(records, usage, [chunk.periods[place] for place in free], order.run)
    return {free[place]: each for place, each in cast.items()}


def _pour(place: int, cast: Cast) -> Pour:
    booking = b"" if cast.booking is None else wire.encode(cast.booking)
    stencil = cast.stencil.id if cast.stencil is not None else ""
    return Pour(place, cast.id, cast.keys, cast.lines, cast.text, stencil, booking, cast.revisits)


def main() -> None:
    """Serve the process that started this one."""
    connection, _ = begin()
    try:
        serve(connection)
    except (EOFError, ConnectionError):
        return  # it has ended, or needs no more


if __name__ == "__main__":
    main()
