"""What a request was sorted out to, as one stretch of memory that another process can take up.

lay out    a batch into memory: a head that says what lies where, and the rest side by side
take up    a copy of that memory as a batch: keys, digests, entries and columns are looked at where they lie

No measurement becomes an object of its own on the way. The verdicts that the candidates get if all of them are accepted
come along as JSON (`Told`), as nearly all are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from tallystick.pipeline.ingest.columns import NUMBER, TIME, Columns
from tallystick.pipeline.ingest.failures import Failed
from tallystick.pipeline.ingest.sorting import Batch, Told
from tallystick.pipeline.ingest.tail import WIDTH, Candidates, Reading
from tallystick.pipeline.ingest.verdicts import told_if_accepted
from tallystick.ports.packed import Buffer, Fixed, Laid, Packed, data_of

ALIGNED = 64  # bytes; Arrow wants what it reads to begin at multiples of it


class ReadingHead(msgspec.Struct, frozen=True, array_like=True):
    """What a reading is of; its columns are a part of the sheet."""

    meter_id: str
    numbers: list[str]
    texts: list[str]
    ranks: list[int] | None


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What lies in a sheet, and what of a batch is not in it: all but the candidates. `places` of None: all, in order.

    `parts` are the starts and ends of keys, digests, entries, their ends, verdicts, their ends, uids, and the columns
    of each reading. `kept` is where the columns begin, which live longer than the rest."""

    parts: list[tuple[int, int]]
    kept: int
    count: int
    places: list[int] | None
    readings: list[ReadingHead]
    bad: list[Failed]
    generated: list[int]
    strangers: list[str]


class Uids(Laid[str]):
    """The uids of candidates, made into texts as they are asked for: of most of them nobody asks."""

    __slots__ = ("_column",)

    def __init__(self, column: pa.Array) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def at(self, place: int) -> str:
        """One of them."""
        value: str = self._column[place].as_py()
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._column.to_pylist())


def lay_out(batch: Batch, memory: memoryview) -> Head | None:
    """Write a batch from the start of some memory; None where it does not fit. Of a batch with strangers only these."""
    if batch.strangers:
        return Head([], 0, 0, None, [], [], [], list(batch.strangers))
    candidates = batch.candidates
    entries = Packed.of(candidates.entries)
    uids = _uid_column(batch)
    told = told_if_accepted(batch, uids)
    parts = [data_of(candidates.keys), data_of(candidates.contents), entries.data, entries.ends.tobytes()]
    parts += [told.data, told.ends.tobytes()]
    kept = [
        memoryview(each.serialize()).cast("B")
        for each in (pa.record_batch([uids], ["uid"]), *map(_table, candidates.readings))
    ]
    placed: list[tuple[int, int]] = []
    at = 0
    for part in (*parts, *kept):
        start, at = at, at + len(part)
        if at > len(memory):
            return None
        memory[start:at] = part
        placed.append((start, at))
        at += -at % ALIGNED
    return Head(
        parts=placed,
        kept=placed[len(parts)][0],
        count=len(candidates.keys),
        places=None if isinstance(batch.places, range) else list(batch.places),
        readings=list(map(_reading_head, candidates.readings)),
        bad=batch.bad,
        generated=sorted(batch.generated),
        strangers=[],
    )


def take_up(head: Head, memory: memoryview) -> Batch:
    """The batch that was laid out. Nothing of the memory is used any more when this returns."""
    if head.strangers:
        return Batch(Candidates((), (), ()), (), (), strangers=dict.fromkeys(head.strangers))
    # Two copies: the columns wait for the projection, the rest is gone as soon as the request is answered.
    soon, later = memoryview(bytes(memory[: head.kept])), pa.py_buffer(bytes(memory[head.kept : head.parts[-1][1]]))
    keys, contents, entries, ends, told, told_ends = (soon[start:end] for start, end in head.parts[:6])
    uids, *tables = (later.slice(start - head.kept, end - start) for start, end in head.parts[6:])
    uid_column = pa.ipc.read_record_batch(uids, _UIDS).column(0)
    readings = [_reading(each, table, uid_column) for each, table in zip(head.readings, tables, strict=True)]
    return Batch(
        candidates=Candidates(
            Fixed(keys, WIDTH), Fixed(contents, WIDTH), Packed([entries], np.frombuffer(ends, np.int64)), readings
        ),
        places=range(head.count) if head.places is None else head.places,
        uids=Uids(uid_column),
        bad=head.bad,
        generated=set(head.generated),
        told=Told(told, np.frombuffer(told_ends, np.int64)),
    )


def _uid_column(batch: Batch) -> pa.Array:
    readings = batch.candidates.readings
    if len(readings) == 1 and readings[0].ranks is None:
        return readings[0].columns.uids  # of all candidates
    return pa.array(batch.uids, pa.string())


def _table(reading: Reading) -> pa.RecordBatch:
    columns = reading.columns
    return pa.record_batch(
        [reading.account_ids, columns.ts, *columns.numbers.values(), *columns.texts.values()],
        schema=_schema(list(columns.numbers), list(columns.texts)),
    )


def _reading_head(reading: Reading) -> ReadingHead:
    ranks = None if reading.ranks is None else reading.ranks.tolist()
    return ReadingHead(reading.meter_id, list(reading.columns.numbers), list(reading.columns.texts), ranks)


def _reading(head: ReadingHead, table: Buffer, uids: pa.Array) -> Reading:
    accounts, ts, *rest = pa.ipc.read_record_batch(table, _schema(head.numbers, head.texts)).columns
    ranks = None if head.ranks is None else np.array(head.ranks, np.int64)
    columns = Columns(
        uids=uids if ranks is None else uids.take(pa.array(ranks)),
        ts=ts,
        numbers=dict(zip(head.numbers, rest, strict=False)),
        texts=dict(zip(head.texts, rest[len(head.numbers) :], strict=True)),
    )
    return Reading(head.meter_id, accounts, columns, ranks)


def _schema(numbers: Sequence[str], texts: Sequence[str]) -> pa.Schema:
    kinds = [pa.string(), TIME, *[NUMBER] * len(numbers), *[pa.string()] * len(texts)]
    return pa.schema([(str(number), kind) for number, kind in enumerate(kinds)])


_UIDS = pa.schema([("uid", pa.string())])
