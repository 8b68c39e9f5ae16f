"""What measurements say to a question: one by one from rows, and from the columns of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, repeat
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tallystick.core.aggregation import Question
from tallystick.core.expression import Expression, evaluate, parse, references
from tallystick.core.period import Instant, Period, microseconds
from tallystick.core.running import Value
from tallystick.ports import UsageBlock, UsageRow
from tallystick.stores.plain_aggregation import COUNTS, EPOCH, field_value


class Match(NamedTuple):
    """A measurement that counts for a question."""

    account_id: str
    segment: tuple[str, ...]
    value: Value
    moment: int  # microseconds since 1970
    uid: str


def of_rows(rows: Sequence[UsageRow], question: Question, after: int) -> Iterator[Match]:
    """Those of the rows that count; all are of the question's meter and accounts."""
    accepts = _filter(question.filter)
    start, end = question.period
    for row in rows:
        if not (after < row.position <= question.up_to and start <= row.ts < end):
            continue
        value = field_value(row, question.field, question.method)
        if value is None or (accepts is not None and not accepts({**row.texts, **row.numbers})):
            continue
        segment = tuple([row.texts.get(field, "") for field in question.segmented_fields])
        yield Match(row.account_id, segment, value, _micros(row.ts), row.uid)


def of_block(block: UsageBlock, question: Question, after: int) -> Iterator[Match]:
    """Those of a block's measurements that count, which is of the question's meter."""
    column = block.numbers.get(question.field)
    if column is None and question.method in COUNTS:
        column = block.texts.get(question.field)
    if column is None or question.accounts is None:
        return
    moments = block.ts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    kept = (block.positions > after) & (block.positions <= question.up_to)
    kept &= (moments >= _micros(question.period.start)) & (moments < _micros(question.period.end))
    kept &= pc.is_in(block.account_ids, value_set=pa.array(question.accounts, pa.string())).to_numpy(
        zero_copy_only=False
    )
    places = np.flatnonzero(kept)
    if not len(places):
        return
    taken = pa.array(places)

    def values(of: pa.Array) -> list[Value]:
        found: list[Value] = of.take(taken).to_pylist()
        return found

    empty = [""] * len(places)
    texts = [
        block.texts[field].take(taken).to_pylist() if field in block.texts else empty
        for field in question.segmented_fields
    ]
    yield from map(
        Match._make,
        compress(
            zip(
                block.account_ids.take(taken).to_pylist(),
                zip(*texts, strict=True) if texts else repeat((), len(places)),
                values(column),
                moments[places].tolist(),
                block.uids.take(taken).to_pylist(),
                strict=True,
            ),
            _accepted(block, question.filter, values, len(places)),
        ),
    )


def _accepted(
    block: UsageBlock, text: str | None, values: Callable[[pa.Array], list[Value]], count: int
) -> Sequence[bool]:
    """Whether the filter is true of the measurements that `values` takes."""
    accepts = _filter(text)
    if accepts is None or text is None:
        return [True] * count
    columns = {**block.texts, **block.numbers}
    named = {name: values(columns[name]) for name in references(_parsed(text)) if name in columns}
    if not named:
        return [accepts({})] * count
    return [accepts(dict(zip(named, row, strict=True))) for row in zip(*named.values(), strict=True)]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Expression:
    return parse(text)


def _filter(text: str | None) -> Callable[[Mapping[str, Value]], bool] | None:
    if text is None:
        return None
    expression = _parsed(text)
    return lambda values: evaluate(expression, values) is True


def _micros(moment: Instant) -> int:
    return microseconds(Period(EPOCH, moment))
