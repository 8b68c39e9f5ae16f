"""Many measurements at once: read into typed rows, checked and digested column by column.

One at a time, a measurement costs Python some 15 µs of objects and calls; a thousand at once cost a tenth of that each,
because native code does the same step for all of them: msgspec reads a request into structs made for the organisation's
meters, pyarrow turns the columns into times and exact decimals, numpy lays them side by side for the digests.

This takes the usual form only: the fields that the meter declares and no others, a uid, no `ets`. Everything else, and
everything that breaks a rule, is left to the slow and complete reference (`core.measurement`), which comes to the same
verdicts, digests and rows for what is taken here (tests/pipeline/test_ingest_columns.py holds the two together):

* a struct has exactly the declared fields, so a missing, misplaced, mistyped, overlong or further one does not decode;
* JSON numbers stay text until pyarrow makes decimals of them, which refuses what would lose a digit, of as many digits
  as it keeps for sure (`exact`);
* pyarrow reads fewer spellings of a time than the reference, and those it reads mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tallystick import decoders
from tallystick.core.measurement import (
    EARLIEST,
    EPOCH,
    LATEST,
    MAPS,
    MAX_METADATA,
    MAX_TEXT,
    MAX_UID,
    MICROSECOND,
    NUMBER_BYTES,
    TEXT_MAPS,
    TIME_BYTES,
    Schema,
    content_shape,
    digest_contents,
    quantity,
    sent_time,
)

TIME = pa.timestamp("us", tz="UTC")
NUMBER = pa.decimal128(38, 18)
FEW = 8  # measurements up to which the work of setting up columns costs more than it saves

Row = Any
"""A measurement as a struct of its meter: account, ts, uid, ets, and a struct for each map that has declared fields."""


class Unusual(Exception):  # it is no error: the reference takes over
    """A row is not of the usual form, or breaks a rule: `columns` does not say which."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is kept of measurements of one meter, column by column, none of them null."""

    uids: pa.Array
    ts: pa.Array
    numbers: Mapping[str, pa.Array]
    texts: Mapping[str, pa.Array]


class Checked(NamedTuple):
    """Measurements of one meter that keep every rule of it."""

    uids: Sequence[str]
    codes: Sequence[str]  # of the accounts
    contents: list[bytes]  # digests
    columns: Columns


class Form:
    """How measurements of one version of a meter are read; made once."""

    def __init__(self, meter: str, schema: Schema) -> None:
        self.key = (meter, schema)
        self.schema = schema
        declared = sorted((place, code) for code, place in schema.fields)
        numeric = [each for each in declared if MAPS[each[0]] not in TEXT_MAPS]
        texts = [each for each in declared if MAPS[each[0]] in TEXT_MAPS]
        self.row = _row_type(meter, declared)
        self.texts = [(MAPS[place], code) for place, code in texts]  # in the order of contents, as the numbers
        self.numbers = [(MAPS[place], code) for place, code in numeric]
        self.shape = content_shape(meter, numeric, texts)
        self._values = attrgetter("account", "ts", "uid", "ets", *_paths(declared))

    def columns(self, rows: Sequence[Row], latest: datetime) -> Checked:
        """The rows, at least one, as columns; Unusual when one of them has no uid, has an `ets`, or breaks a rule. No
        `ts` may lie after `latest`."""
        codes, stamps, uids, ends, *values = zip(*map(self._values, rows), strict=True)
        if not all(uids) or ends.count(None) < len(rows):
            raise Unusual
        uid_column = pa.array(uids, pa.string())
        if not _plain(uid_column) and not "".join(uids).isprintable():
            raise Unusual
        # The maps stand in the order of MAPS, those of texts first, and the fields of each in the order of their codes.
        texts, numbers = values[: len(self.texts)], values[len(self.texts) :]
        ts = times(pa.array(stamps, pa.string()), latest)
        exact = [_numbers(column) for column in numbers]
        contents = zip(repeat(self.shape), _side_by_side(ts, exact), codes, *texts, strict=False)
        columns = Columns(
            uids=uid_column,
            ts=ts,
            numbers={code: column for (_, code), column in zip(self.numbers, exact, strict=True)},
            texts={code: pa.array(column, pa.string()) for (_, code), column in zip(self.texts, texts, strict=True)},
        )
        return Checked(uids, codes, digest_contents(contents), columns)

    def most(self, rows: Sequence[Row], latest: datetime) -> tuple[Sequence[int], Checked | None]:
        """Those of the rows that can be taken as columns: their places, and what they are if there are any."""
        if not rows:
            return (), None
        try:
            return range(len(rows)), self.columns(rows, latest)
        except Unusual:
            taken = [place for place, row in enumerate(rows) if self._takes(row, latest)]
            return taken, self.columns([rows[place] for place in taken], latest) if taken else None

    def _takes(self, row: Row, latest: datetime) -> bool:
        """Whether `columns` takes a row."""
        try:
            micros = _micros(row.ts)
            for value in self._values(row)[4 + len(self.texts) :]:
                _quantity(value)
        except Unusual:
            return False
        return bool(row.uid and row.uid.isprintable() and row.ets is None) and micros <= (latest - EPOCH) // MICROSECOND


class Forms:
    """The forms of all meters of an organisation, and how its requests are read."""

    def __init__(self, forms: Sequence[Form]) -> None:
        self.all = tuple(forms)
        self.by_row: Mapping[type, Form] = {form.row: form for form in forms}
        self.by_meter: Mapping[str, Form] = {form.key[0]: form for form in forms}
        of = _union([form.row for form in forms])
        self._many = decoders.build(list.__class_getitem__(of), float_hook=str.encode)
        self._one = decoders.build(of, float_hook=str.encode)

    def rows(self, members: Sequence[bytes | msgspec.Raw]) -> list[Row | None]:
        """Each member of a request as a row; None where it is not of a form."""
        if not self.by_row:
            return [None] * len(members)
        try:
            rows: list[Row | None] = self._many.decode(b"[%b]" % b",".join(members))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            rows = [self._row(member) for member in members]
        return rows

    def _row(self, member: bytes | msgspec.Raw) -> Row | None:
        try:
            return self._one.decode(member)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None


def partition(rows: Sequence[Row | None]) -> Iterator[tuple[type, list[int]]]:
    """The rows by their meters: (type of the rows, their places)."""
    types = set(map(type, rows))
    if len(types) == 1:
        yield types.pop(), list(range(len(rows)))
        return
    places: dict[type, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(type(row), []).append(place)
    yield from places.items()


def _row_type(meter: str, declared: Sequence[tuple[int, str]]) -> type:
    """A struct that takes measurements of the meter with the declared fields, each of which must be there."""
    maps = [
        (MAPS[place], _map_type([code for each, code in declared if each == place], _value_type(MAPS[place])))
        for place in dict.fromkeys(place for place, _ in declared)
    ]
    uid = Annotated[str, msgspec.Meta(max_length=MAX_UID)]
    return msgspec.defstruct(
        "Row",
        [("account", str), ("ts", str), *maps, ("uid", uid | None, None), ("ets", str | None, None)],
        tag_field="meter",
        tag=meter,
        forbid_unknown_fields=True,
        gc=False,
    )


def _paths(declared: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Where a row has the value of each declared field."""
    for place in dict.fromkeys(place for place, _ in declared):
        yield from (f"{MAPS[place]}.f{at}" for at in range(sum(each == place for each, _ in declared)))


def _map_type(codes: Sequence[str], of: Any) -> type:
    # A code need not be a name that Python allows.
    names = {f"f{number}": code for number, code in enumerate(codes)}
    return msgspec.defstruct(
        "Map", [(name, of) for name in names], rename=names.get, forbid_unknown_fields=True, gc=False
    )


def _value_type(name: str) -> Any:
    if name not in TEXT_MAPS:
        return Any
    return Annotated[str, msgspec.Meta(max_length=MAX_METADATA if name == "metadata" else MAX_TEXT)]


class _NoMeter(msgspec.Struct, forbid_unknown_fields=True, tag_field="meter", tag=""):
    """What no measurement is: beside it the meter is always asked for, as it is not of a struct that stands alone."""


def _union(types: Sequence[type]) -> Any:
    union: Any = _NoMeter
    for each in types:
        union |= each
    return union


def _plain(texts: pa.Array) -> bool:
    """Whether the texts, not sliced from others, are all of printable ASCII; quickly told."""
    signs = signs_of(texts)
    return bool(((signs >= ord(" ")) & (signs <= ord("~"))).all())


def signs_of(texts: pa.Array) -> np.ndarray:
    """The bytes of all texts, not sliced from others, one after the other."""
    _, ends, signs = texts.buffers()
    return np.frombuffer(signs, np.uint8, np.frombuffer(ends, np.int32)[len(texts)])


def times(texts: pa.Array, latest: datetime) -> pa.Array:
    """Times in UTC; Unusual when one is none, or lies out of bounds."""
    try:
        ts = texts.cast(TIME)
    except pa.ArrowInvalid:
        ts = pa.array([_micros(text) for text in texts.to_pylist()], pa.int64()).cast(TIME)
    micros = np.frombuffer(ts.buffers()[1], np.int64, len(ts))
    if micros.size and not (micros.min() >= _FIRST and micros.max() <= min(_LAST, (latest - EPOCH) // MICROSECOND)):
        raise Unusual
    return ts


def _micros(text: str) -> int:
    try:
        return (sent_time(text) - EPOCH) // MICROSECOND
    except ValueError:
        raise Unusual from None


def _numbers(values: Sequence[object]) -> pa.Array:
    """Whole numbers (int) and others (bytes, as written) as exact decimals; Unusual when one is no number."""
    kinds = set(map(type, values))
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64()).cast(NUMBER)
        if kinds == {bytes}:
            return exact(pa.array(values, pa.string()))
    except (pa.ArrowInvalid, OverflowError, Unusual):
        pass  # digits to be rounded, or a number out of bounds: one by one
    return pa.array([_quantity(value) for value in values], NUMBER)


def exact(texts: pa.Array) -> pa.Array:
    """Numbers as they are written, as exact decimals; Unusual where one is none, or has more digits than Arrow keeps
    for sure: what overflows while it is scaled may come out as another number (`1e30` does), and so may what is to be
    divided by more than 10^38."""
    if not pc.all(pc.match_substring_regex(texts, _SURE)).as_py():
        raise Unusual
    try:
        return texts.cast(NUMBER)
    except pa.ArrowInvalid:
        raise Unusual from None


def _quantity(value: object) -> Decimal:
    try:
        return quantity(Decimal(value.decode()) if isinstance(value, bytes) else value)
    except (ValueError, ArithmeticError):
        raise Unusual from None


def _side_by_side(ts: pa.Array, numbers: Sequence[pa.Array]) -> list[bytes]:
    """For each row its time and numbers in fixed width, as `core.measurement` writes them into a content."""
    matrix = fixed_width(ts, numbers)
    rows: list[bytes] = matrix.view(f"V{matrix.shape[1]}").ravel().tolist()
    return rows


def fixed_width(ts: pa.Array, numbers: Sequence[pa.Array], head: bytes = b"") -> np.ndarray:
    """The same as a matrix of bytes, each row behind a head."""
    matrix = np.empty((len(ts), len(head) + TIME_BYTES + NUMBER_BYTES * len(numbers)), np.uint8)
    at = len(head)
    matrix[:, :at] = np.frombuffer(head, np.uint8)
    for column, size in [(ts, TIME_BYTES), *((each, NUMBER_BYTES) for each in numbers)]:
        matrix[:, at : at + size] = np.frombuffer(column.buffers()[1], np.uint8, size * len(ts)).reshape(-1, size)
        at += size
    return matrix


_SURE = r"^-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?(?:[eE]-[0-2]?[0-9])?$"
_FIRST = (EARLIEST - EPOCH) // MICROSECOND
_LAST = (LATEST - EPOCH) // MICROSECOND - 1
