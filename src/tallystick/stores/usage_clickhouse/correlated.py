"""Many events, one unit, as one statement (docs/decisions/0161-many-events-one-unit.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.aggregation import Question
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, to_micros

_LONG_AGO = -(10**17)  # microseconds: before every measurement, by more than any window


def statement(question: Question, keys: Sequence[str], stream: str, success: str, where: str, bind: Bindings) -> str:
    """Reads (…keys, total, count) from the measurements that the condition `where` finds up to the period's end.

    `keys` are what the answer is split by, each `expression AS name`; `stream` is the field that units have in common,
    `success` the condition of which one measurement must fulfil. Streams without a measurement in the period are left
    out first. Each stream is then walked in order of time, with (when the unit began, whether it succeeded, units so
    far that succeeded in the period).
    """
    assert question.correlation is not None, "units have a correlation"
    start = bind.bind(to_micros(question.period.start), "Int64")
    names = [key.rsplit(" AS ", 1)[1] for key in keys]
    grouped = ", ".join(names)
    moment = "toUnixTimestamp64Micro(ts)"
    window = question.correlation.window
    again = f"walk.1 = {_LONG_AGO}" if window is None else f"event.1 >= walk.1 + {bind.bind(window, 'Int64')}"
    new = "(event.2 AND event.1 >= begins)"
    return f"""
        SELECT {grouped}, sum(units), sum(made)
        FROM (
            SELECT {", ".join(keys)}, {stream} AS stream, {start} AS begins, countIf({moment} >= begins) AS made,
                arraySort(groupArray(({moment}, toUInt8({success})))) AS events,
                arrayFold((walk, event) -> if({again},
                    (event.1, event.2, walk.3 + toUInt64({new})),
                    (walk.1, greatest(walk.2, event.2), walk.3 + toUInt64(NOT walk.2 AND {new}))
                ), events, (toInt64({_LONG_AGO}), toUInt8(0), toUInt64(0))).3 AS units
            FROM {DATABASE}.measurement
            WHERE {where} AND {stream} IN (
                SELECT {stream} FROM {DATABASE}.measurement WHERE {where} AND {moment} >= {start}
            )
            GROUP BY {grouped}, stream
        )
        WHERE made > 0 GROUP BY {grouped} ORDER BY {grouped}"""
