"""Reading measurements back as rows, for people who look at them and for filters that only Python can compute."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from tallystick.core.quantity import tidy
from tallystick.ports import UsageRow
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection, from_micros
from tallystick.stores.usage_clickhouse.schema import Fields

_OWN = (
    "position, meter, account, uid, toUnixTimestamp64Micro(ts), toUnixTimestamp64Micro(ets),"
    " toUnixTimestamp64Micro(received), extra"
)


def select(fields: Collection[Fields], where: str, tail: str = "") -> str:
    """The statement that `rows` reads: measurements of meters with these fields, under a condition."""
    columns = "".join(f", {column}" for column in _columns(fields))
    return f"SELECT {_OWN}{columns} FROM {DATABASE}.measurement WHERE {where} {tail}"


def rows(
    connection: Connection, organization: str, meters: Mapping[str, Fields], statement: str, bindings: Bindings
) -> Iterator[UsageRow]:
    """The measurements that a statement of `select` finds; `meters` are those whose fields it was given."""
    columns = _columns(meters.values())
    places = {meter: _places(fields, columns) for meter, fields in meters.items()}
    for position, meter, account, uid, ts, ets, received, extra, *values in connection.rows(statement, bindings):
        numbers, texts = places.get(meter, ([], []))
        yield UsageRow(
            position=position,
            organization_id=organization,
            meter_id=meter,
            account_id=account,
            uid=uid,
            ts=from_micros(ts),
            ets=None if ets is None else from_micros(ets),
            received=from_micros(received),
            numbers={code: tidy(values[place]) for code, place in numbers if values[place] is not None},
            texts={code: values[place] for code, place in texts if values[place] is not None},
            extra=extra,
        )


def with_withdrawals(connection: Connection, organization: str, found: Sequence[UsageRow]) -> list[UsageRow]:
    """Measurements with the position that each was withdrawn at, if it was."""
    if not found:
        return []
    bindings = Bindings()
    statement = f"""
        SELECT position, min(at) FROM {DATABASE}.withdrawn
        WHERE organization = {bindings.text(organization)} AND ts >= {bindings.instant(min(row.ts for row in found))}
          AND ts <= {bindings.instant(max(row.ts for row in found))}
          AND position IN {bindings.bind([row.position for row in found], "Array(UInt64)")}
        GROUP BY position"""
    out: dict[int, int] = {int(position): int(at) for position, at in connection.rows(statement, bindings)}
    return [replace(row, withdrawn=out.get(row.position)) for row in found]


def _columns(fields: Collection[Fields]) -> list[str]:
    return sorted({column for each in fields for column in (*each.numbers.values(), *each.texts.values())})


def _places(fields: Fields, columns: list[str]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Field codes with the place of their value in a row: numbers, and texts."""
    return (
        [(code, columns.index(column)) for code, column in fields.numbers.items()],
        [(code, columns.index(column)) for code, column in fields.texts.items()],
    )
