"""Measurements as a block of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tallystick.ports import UsageBlock, UsageRow, Withdrawn
from tallystick.stores.usage_clickhouse.connection import to_micros
from tallystick.stores.usage_clickhouse.schema import NUMBER, TEXT, Fields

T = TypeVar("T")

# Where columns of tens of thousands of rows are made: Arrow's own pool gives such memory back at once, and to ask the
# system for it again for the next block costs as much as filling it.
_POOL = pa.system_memory_pool()
_INSTANT = pa.timestamp("us", tz="UTC")
_NUMBER = pa.decimal128(38, 18)


def undeclared(rows: Sequence[UsageRow], fields: Callable[[str, str], Fields]) -> list[tuple[str, str, str, str]]:
    """The fields (organization, meter, kind, code) of the rows that have no column yet, each once, in order."""
    shapes: dict[tuple[str, str, str, tuple[str, ...]], None] = {}
    for row in rows:
        shapes[row.organization_id, row.meter_id, NUMBER, tuple(row.numbers)] = None
        shapes[row.organization_id, row.meter_id, TEXT, tuple(row.texts)] = None
    return list(
        dict.fromkeys(
            (organization, meter, kind, code)
            for organization, meter, kind, codes in shapes
            for code in codes
            if code not in fields(organization, meter).columns(kind)
        )
    )


def block(rows: Sequence[UsageRow], fields: Callable[[str, str], Fields]) -> pa.Table:
    """The rows as exact columns; every field must have its column.

    A number with more than 18 decimals, or of 10^20 and more, is a bug of the caller and raises pyarrow.ArrowInvalid.
    """
    columns = {
        "organization": pa.array([row.organization_id for row in rows], pa.string()),
        "meter": pa.array([row.meter_id for row in rows], pa.string()),
        "account": pa.array([row.account_id for row in rows], pa.string()),
        "uid": pa.array([row.uid for row in rows], pa.string()),
        "position": pa.array([row.position for row in rows], pa.uint64()),
        "ts": pa.array([row.ts for row in rows], _INSTANT),
        "ets": pa.array([row.ets for row in rows], _INSTANT),
        "received": pa.array([row.received for row in rows], _INSTANT),
        "extra": pa.array([row.extra for row in rows], pa.string()),
    }
    numbers: dict[str, list[Decimal | None]] = {}
    texts: dict[str, list[str | None]] = {}
    known: dict[tuple[str, str], Fields] = {}
    for index, row in enumerate(rows):
        meter = (row.organization_id, row.meter_id)
        if (held := known.get(meter)) is None:
            held = known[meter] = fields(*meter)
        _place(row.numbers, held.numbers, numbers, index, len(rows))
        _place(row.texts, held.texts, texts, index, len(rows))
    columns |= {name: pa.array(values, _NUMBER) for name, values in numbers.items()}
    columns |= {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return pa.table(columns)


def undeclared_of_blocks(
    blocks: Sequence[UsageBlock], fields: Callable[[str, str], Fields]
) -> list[tuple[str, str, str, str]]:
    """`undeclared` for blocks."""
    return list(
        dict.fromkeys(
            (block.organization_id, block.meter_id, kind, code)
            for block in blocks
            for kind, columns in ((NUMBER, block.numbers), (TEXT, block.texts))
            for code in columns
            if code not in fields(block.organization_id, block.meter_id).columns(kind)
        )
    )


def joined(blocks: Sequence[UsageBlock], fields: Callable[[str, str], Fields]) -> pa.Table:
    """The measurements of all blocks as exact columns; every field must have its column.

    They are in the order of the table, which the engine then need not make; and texts that repeat go as dictionaries,
    which it takes in half the time.
    """
    by_meter: dict[tuple[str, str], list[UsageBlock]] = {}
    for each in blocks:
        by_meter.setdefault((each.organization_id, each.meter_id), []).append(each)
    tables = [_joined(by_meter[meter], fields(*meter)) for meter in sorted(by_meter)]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default").combine_chunks()


def withdrawals(withdrawn: Sequence[Withdrawn]) -> pa.Table:
    """Withdrawals as columns."""
    return pa.table(
        {
            "organization": pa.array([each.organization_id for each in withdrawn], pa.string()),
            "meter": pa.array([each.meter_id for each in withdrawn], pa.string()),
            "account": pa.array([each.account_id for each in withdrawn], pa.string()),
            "ts": pa.array([each.ts for each in withdrawn], _INSTANT),
            "position": pa.array([each.of for each in withdrawn], pa.uint64()),
            "at": pa.array([each.position for each in withdrawn], pa.uint64()),
        }
    )


def _joined(blocks: Sequence[UsageBlock], fields: Fields) -> pa.Table:
    """Blocks of one meter, by account and time."""
    first = blocks[0]
    sizes = [len(each) for each in blocks]
    received = np.repeat(np.array([to_micros(each.received) for each in blocks], np.int64), sizes)
    accounts = _encoded([each.account_ids for each in blocks])
    ts = _one([each.ts for each in blocks])
    positions = np.concatenate([each.positions for each in blocks]).astype(np.uint64)
    order = _order(accounts, ts)
    columns = {
        "account": accounts,
        "uid": _one([each.uids for each in blocks]),
        "position": pa.array(positions),
        "ts": ts,
        "received": pa.array(received, pa.int64()).cast(_INSTANT),
    }
    # Blocks of two versions of the meter need not have the same fields.
    for code in dict.fromkeys(code for each in blocks for code in each.numbers):
        columns[fields.numbers[code]] = _one([_column(each.numbers, code, each, _NUMBER) for each in blocks])
    for code in dict.fromkeys(code for each in blocks for code in each.texts):
        columns[fields.texts[code]] = _encoded([_column(each.texts, code, each, pa.string()) for each in blocks])
    table = pc.take(pa.table(columns), pa.array(order[positions[order] > 0]), boundscheck=False, memory_pool=_POOL)
    for name, text in (("meter", first.meter_id), ("organization", first.organization_id)):
        same = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), pa.array([text], pa.string()))
        table = table.add_column(0, name, same)
    return table


def _column(of: Mapping[str, pa.Array], code: str, block: UsageBlock, kind: pa.DataType) -> pa.Array:
    """A field of a block, null where it has none."""
    return of[code] if code in of else pa.nulls(len(block), kind)


def _one(parts: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(parts, memory_pool=_POOL)


def _encoded(texts: Sequence[pa.Array]) -> pa.DictionaryArray:
    return pc.dictionary_encode(_one(texts), memory_pool=_POOL)


def _order(accounts: pa.DictionaryArray, ts: pa.Array) -> np.ndarray:
    """The places of measurements by account and time."""
    ranks = np.empty(len(accounts.dictionary), np.int64)
    ranks[pc.sort_indices(accounts.dictionary).to_numpy()] = np.arange(len(ranks))
    ranked, micros = ranks[accounts.indices.to_numpy()], ts.cast(pa.int64()).to_numpy()
    least = int(micros.min())
    span = int(micros.max()) - least + 1
    if span * len(ranks) >= 2**63:  # a few accounts over centuries, or many over years
        return np.lexsort((micros, ranked))
    return np.argsort(ranked * span + (micros - least))  # both in one number: a tenth of the time


def _place(
    values: Mapping[str, T], slots: Mapping[str, str], columns: dict[str, list[T | None]], index: int, length: int
) -> None:
    for code, value in values.items():
        name = slots[code]
        if (column := columns.get(name)) is None:
            column = columns[name] = [None] * length
        column[index] = value
