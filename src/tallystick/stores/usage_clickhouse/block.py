"""Measurements as a block of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import pyarrow as pa

from tallystick.ports import UsageRow
from tallystick.stores.usage_clickhouse.schema import NUMBER, TEXT, Fields

T = TypeVar("T")

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


def _place(
    values: Mapping[str, T], slots: Mapping[str, str], columns: dict[str, list[T | None]], index: int, length: int
) -> None:
    for code, value in values.items():
        name = slots[code]
        if (column := columns.get(name)) is None:
            column = columns[name] = [None] * length
        column[index] = value
