"""The load, in a process of its own: reads a Spec from stdin, sends, and prints progress and a Result as JSON lines."""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections.abc import Iterator
from time import perf_counter

import msgspec
import traffic
import uvloop
from connection import Connection, connect, request
from results import percentile

from tallystick.core.wire import decode

PROGRESS_SECONDS = 0.5
MARKER_SECONDS = 0.05  # between two markers
POLL_SECONDS = 0.1  # between two looks at what is visible
VISIBLE_WITHIN_SECONDS = 120
SETTLE_SECONDS = 3.0  # after the warm-up: what a server starts with its first load is not what a measurement costs


class Spec(msgspec.Struct, kw_only=True):
    """What to send. `kind`: batches, singles or health. `count_query`: asks how many markers are visible."""

    kind: str
    host: str
    port: int
    path: str
    token: str = ""
    connections: int
    seconds: float
    until: str = ""  # of the traffic
    accounts: int = 1
    count_query: str = ""


class Result(msgspec.Struct, kw_only=True):
    """What was answered. Times in seconds; `sent` counts the sendings of each template after the warm-up."""

    seconds: float = 0.0
    requests: int = 0
    accepted: int = 0
    duplicates: int = 0
    sent: list[int] = msgspec.field(default_factory=list)
    p50: float = 0.0
    p99: float = 0.0
    lags: list[float] = msgspec.field(default_factory=list)
    failure: str = ""


class Line(msgspec.Struct, kw_only=True):
    """One line of output: requests answered so far, or the result."""

    answered: int = 0
    result: Result | None = None


Sending = tuple[bytes | bytearray, bytearray | None]
"""A request, and the body of its answer where it is known word for word."""


class Load:
    """One run of a Spec."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._traffic = traffic.Traffic(spec.until, spec.accounts) if spec.until else None
        self._result = Result(sent=[0] * traffic.TEMPLATES)
        self._latencies = array("d")
        self._until = 0.0

    async def run(self) -> Result:
        """Send for the time that is asked, wait for every answer, and tell what was answered."""
        spec, result = self._spec, self._result
        if self._traffic is not None:
            await self._warm_up()
        connections = [await connect(spec.host, spec.port) for _ in range(spec.connections)]
        start = perf_counter()
        self._until = start + spec.seconds
        others = [asyncio.create_task(self._progress())]
        if spec.count_query:
            others.append(asyncio.create_task(self._probe()))
        await asyncio.gather(*(self._work(number, each) for number, each in enumerate(connections)))
        result.seconds = perf_counter() - start
        await asyncio.gather(*others)
        result.requests = len(self._latencies)
        result.p50, result.p99 = percentile(self._latencies, 50), percentile(self._latencies, 99)
        return result

    async def _work(self, number: int, connection: Connection) -> None:
        """Requests on one connection, one after the other, until the time is over."""
        requests = {"batches": self._batches, "singles": self._singles, "health": self._health}[self._spec.kind](number)
        while perf_counter() < self._until and not self._result.failure:
            sent, expected = next(requests)
            start = perf_counter()
            status, body = await connection.ask(sent)
            self._latencies.append(perf_counter() - start)
            if status == 200 and body == expected:
                self._result.accepted += traffic.FRESH
                self._result.duplicates += 2 * traffic.REPEATED
            else:
                self._read(status, body)
        connection.close()

    def _read(self, status: int, body: bytes) -> None:
        """Count the verdicts without decoding the answer: the client must cost little."""
        if status != 200:
            self._result.failure = f"answered {status}: {body[:500].decode(errors='replace')}"
        elif self._spec.kind != "health":
            accepted, duplicates = body.count(b'"verdict":"accepted"'), body.count(b'"verdict":"duplicate"')
            self._result.accepted += accepted
            self._result.duplicates += duplicates
            if accepted + duplicates != body.count(b'"verdict":'):
                self._result.failure = f"neither accepted nor duplicate: {body[:500].decode(errors='replace')}"

    async def _warm_up(self) -> None:
        assert self._traffic is not None
        connection = await connect(self._spec.host, self._spec.port)
        for body in self._traffic.warm_up:
            self._read(*await connection.ask(self._post(body)))
        connection.close()
        await asyncio.sleep(min(SETTLE_SECONDS, self._spec.seconds / 5))

    def _batches(self, connection: int) -> Iterator[Sending]:
        assert self._traffic is not None
        templates = [traffic.Template(self._post(body)) for body in self._traffic.templates]
        answers = [traffic.Template(answer) for answer in self._traffic.answers]
        number = 0
        while True:
            own = traffic.sending_prefix(connection, number)
            before = traffic.sending_prefix(connection, number - 1)
            place = number % len(templates)
            self._result.sent[place] += 1
            yield templates[place].filled(own, before), answers[place].filled(own, before)
            number += 1

    def _singles(self, connection: int) -> Iterator[Sending]:
        assert self._traffic is not None
        number = connection
        while True:
            yield self._post(self._traffic.single(number)), None
            number += self._spec.connections

    def _health(self, _: int) -> Iterator[Sending]:
        asked = request("GET", self._spec.path)
        while True:
            yield asked, None

    def _post(self, body: bytes) -> bytes:
        return request("POST", self._spec.path, body, self._spec.token)

    async def _progress(self) -> None:
        while perf_counter() < self._until:
            _print(Line(answered=len(self._latencies)))
            await asyncio.sleep(PROGRESS_SECONDS)

    # ------------------------------------------------------------------------------------------- visibility

    async def _probe(self) -> None:
        """Send markers one after the other, and note for each how long after its answer a usage query counts it.

        The journal keeps order, so a count of n means that the first n markers are visible.
        """
        acknowledged: list[float] = []
        sending = asyncio.create_task(self._send_markers(acknowledged))
        connection = await connect(self._spec.host, self._spec.port)
        path = self._spec.path.replace("/measurements", "/usage/query")
        asked = request("POST", path, self._spec.count_query.encode(), self._spec.token)
        lags = self._result.lags
        while not (sending.done() and len(lags) >= len(acknowledged)) and not self._result.failure:
            visible = _count(await connection.ask(asked))
            now = perf_counter()
            lags += [max(0.0, now - at) for at in acknowledged[len(lags) : visible]]
            if now > self._until + VISIBLE_WITHIN_SECONDS:
                self._result.failure = f"{len(acknowledged) - len(lags)} acknowledged markers never became visible"
            await asyncio.sleep(POLL_SECONDS)
        await sending
        connection.close()

    async def _send_markers(self, acknowledged: list[float]) -> None:
        connection = await connect(self._spec.host, self._spec.port)
        number = 0
        while perf_counter() < self._until and not self._result.failure:
            status, body = await connection.ask(self._post(traffic.marker(number, self._spec.until)))
            if status != 200 or b'"verdict":"accepted"' not in body:
                self._result.failure = f"a marker was answered {status}: {body[:500].decode(errors='replace')}"
                break
            acknowledged.append(perf_counter())
            number += 1
            await asyncio.sleep(MARKER_SECONDS)
        connection.close()


def _count(answer: tuple[int, bytes]) -> int:
    status, body = answer
    if status != 200:
        raise ConnectionError(f"the usage query was answered {status}: {body[:500]!r}")
    rows = decode(dict[str, list[dict[str, int]] | bool], body)["data"]
    return sum(int(value) for row in rows for value in row.values()) if isinstance(rows, list) else 0


def _print(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _print(Line(result=uvloop.run(Load(msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)).run())))
