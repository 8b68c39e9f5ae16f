"""Gauges as one statement: a value holds until the next one of its stream (docs/decisions/0160-gauges-over-time.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.aggregation import Question
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, to_micros


def statement(
    question: Question, value: str, keys: Sequence[str], gauge: str | None, where: str, bind: Bindings
) -> str:
    """Reads (…keys, total, count) from the measurements before the period's end, from the beginning of time.

    `value` is the number of a measurement; `keys` are what the answer is split by, each `expression AS name`; `gauge`
    is the field that tells gauges apart. Inside, each measurement is put beside the moment of the next one of its
    stream: `until`. The products are of 256 bits: 38 digits of a value and 17 of microseconds leave room for 10^21.
    """
    names = [key.rsplit(" AS ", 1)[1] for key in keys]
    start, end = (bind.bind(to_micros(each), "Int64") for each in question.period)
    stream = ", ".join(["account", *names, *([gauge] if gauge else [])])
    held = "toDecimal256(until - greatest(moment, begins), 0)"
    amount = f"value * {held}" if question.method.time_weighted else "if(until = ends, value, toDecimal256(0, 18))"
    grouped = ", ".join(names)
    # The last of a stream ends at `ends`, which no measurement reaches: all of them lie before it.
    return f"""
        SELECT {grouped}, sum({amount}), count()
        FROM (
            SELECT {", ".join(keys)}, toDecimal256({value}, 18) AS value, {start} AS begins, {end} AS ends,
                toUnixTimestamp64Micro(ts) AS moment,
                leadInFrame(moment, 1, ends) OVER (
                    PARTITION BY {stream} ORDER BY ts, uid, position ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
                ) AS until
            FROM {DATABASE}.measurement WHERE {where}
        )
        WHERE moment >= begins OR (until > begins AND value != 0)
        GROUP BY {grouped} ORDER BY {grouped}"""
