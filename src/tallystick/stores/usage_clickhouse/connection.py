"""Engine handles, one per thread, and statements whose every value is a bound parameter."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pyarrow as pa
from clickhouse_connect.driver import binding, create_client
from clickhouse_connect.driver.client import Client

from tallystick.core.period import Instant

DATABASE = "tallystick"
# What DateTime64 can hold; measurements lie between 1970 and 2262, so cutting a wider period here loses none.
_EARLIEST = Instant.parse("1900-01-01")
_LATEST = Instant.parse("2299-12-31")
_EPOCH = Instant.parse("1970-01-01")
_INSERT_SETTINGS = {
    # A block of imported history may touch any number of months.
    "max_partitions_per_insert_block": 0,
    # Rows are told apart by their journal positions: an equal block is not a repeated one.
    "insert_deduplicate": 0,
}


class Texts:
    """An array of texts, spelled for the driver: it would look at each character of each text by itself, which for the
    accounts of a bill run costs more than the question. (A value of a type that it does not know it takes as spelled.)
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = list(values)

    def __str__(self) -> str:
        plain = "".join(self._values)
        if any(character in plain for character in binding.must_escape):
            return str(binding.format_bind_value(self._values))
        listed = "', '".join(self._values)
        return f"['{listed}']" if self._values else "[]"


class Bindings:
    """The values of one statement. What users wrote goes in here and never into the text of the statement."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def bind(self, value: object, kind: str) -> str:
        """Take a value of an engine type; answers the placeholder that stands for it."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        return self.bind(value, "String")

    def texts(self, values: Iterable[str]) -> str:
        return self.bind(Texts(values), "Array(String)")

    def instant(self, moment: Instant) -> str:
        """A point in time, cut to what the engine can hold."""
        held = min(max(moment, _EARLIEST), _LATEST)
        return f"fromUnixTimestamp64Micro({self.bind(to_micros(held), 'Int64')}, 'UTC')"


def to_micros(moment: Instant) -> int:
    """Microseconds since 1970, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> Instant:
    """The point in time so many microseconds after 1970."""
    return Instant.of(_EPOCH + timedelta(microseconds=micros))


class Connection:
    """The engine on one directory. A handle serves one thread at a time, so each thread gets its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._local = threading.local()
        self._lock = threading.Lock()
        # A thread that ends lets go of its handle, and the engine closes it.
        self._clients: WeakSet[Client] = WeakSet()
        self._closed = False
        self._opened_by = self._client()  # keeps the engine running while no other thread has a handle

    @property
    def directory(self) -> Path:
        return self._directory

    def rows(self, statement: str, bindings: Bindings | None = None) -> Sequence[Sequence[Any]]:
        """The rows that a query answers."""
        found: Sequence[Sequence[Any]] = (
            self._client().query(statement, bindings.values if bindings else None).result_rows
        )
        return found

    def columns(self, statement: str, bindings: Bindings) -> Sequence[Sequence[Any]]:
        """What a query answers, column by column; nothing where it answers no row."""
        asked = self._client().query(statement, bindings.values, column_oriented=True)
        found: Sequence[Sequence[Any]] = asked.result_columns
        return found

    def table(self, statement: str, bindings: Bindings) -> pa.Table:
        """What a query answers, as columns: for many values."""
        return self._client().query_arrow(statement, bindings.values)

    def command(self, statement: str) -> None:
        """Run a statement that has no answer: definitions."""
        self._client().command(statement)

    def insert(self, table: str, block: pa.Table) -> None:
        """Append a block of rows: durable once this returns, one part per month."""
        stream: Any = self._stream_of(block)  # the driver takes it, but does not say so
        self._client().raw_insert(
            f"{DATABASE}.{table}",
            column_names=block.column_names,
            insert_block=stream,
            fmt="ArrowStream",
            settings=_INSERT_SETTINGS,
        )

    def _stream_of(self, block: pa.Table) -> memoryview:
        """A block as the engine reads it, in a buffer that this thread uses again and again: new memory for each of
        them costs more than writing it. (The driver would copy what is none of Python's own buffers.)"""
        counted = pa.MockOutputStream()
        _write(counted, block)
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) < counted.size():
            buffer = self._local.buffer = bytearray(counted.size() * 5 // 4)
        _write(pa.FixedSizeBufferWriter(pa.py_buffer(buffer)), block)
        return memoryview(buffer)[: counted.size()]

    def close(self) -> None:
        """Close the handles of all threads, waiting for what they are doing; the engine stops with the last one."""
        with self._lock:
            self._closed = True
            for client in list(self._clients):
                client.close()

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            with self._lock:
                assert not self._closed, "the usage store has been closed"
                client = create_client(interface="chdb", path=str(self._directory))
                self._clients.add(client)
            self._local.client = client
        return client


def _write(sink: pa.NativeFile, block: pa.Table) -> None:
    with pa.ipc.new_stream(sink, block.schema) as stream:
        stream.write_table(block)
