"""How the members of a request are written, when all are written alike: cut into columns without reading each.

A client writes its measurements by one piece of code: the same keys in the same order with the same signs in between,
and only the values differ. So the first member is read sign by sign (`learn`), which gives a layout: the text between
the values, which is the same for all, and where the values lie, counted in quotation marks. To cut a request
(`Layout.cut`) the places of its quotation marks are found at once, and what lies between the values is held against
the layout, byte by byte. If all of it is the same, every member is JSON of the same form as the first, whatever its
values are: a text value cannot end before its quotation mark (there are no escapes), and whoever takes a number looks
at each of its signs (`NUMBER`).

All else gives None, and whoever asked has to read the request as JSON: escapes, anything but printable ASCII, a member
that differs from the first in anything but its values, a value that is neither text nor number, a key twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tallystick.pipeline.ingest.splitting import MAX_MEASUREMENTS

QUOTE = ord('"')

Path = tuple[str, ...]  # the keys that lead to a value


class _Value(NamedTuple):
    """Where a value lies: after so many bytes from a quotation mark of its member to so many before another one. The
    first mark of the next member follows the last of its own."""

    mark: int
    after: int
    until: int
    before: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The values of all members as texts, and the members themselves."""

    texts: Mapping[Path, pa.Array]
    numbers: Mapping[Path, pa.Array]  # as they are written; not yet known to be numbers
    members: pa.Array


@dataclass(frozen=True, slots=True)
class Layout:
    """How the members of some requests are written."""

    texts: tuple[Path, ...]
    paths: tuple[Path, ...]  # of all values, in the order they are written
    values: tuple[_Value, ...]
    meter: str  # that the members name
    marks: int  # quotation marks in a member
    start: bytes  # of a request, up to the first value
    same: tuple[bytes, ...]  # between values: after the first, after the second, …, from one member to the next
    opening: int  # bytes of a member up to its first value
    first_mark: int  # bytes of a member up to its first quotation mark
    closing: int  # bytes of a member after its last value
    end: bytes  # of a request, after the last value

    def cut(self, body: bytes) -> Cut | None:
        """The values of a request; None where it is not written like this, member by member."""
        if not (body.startswith(self.start) and body.endswith(self.end) and _plain(body)):
            return None
        marks = np.flatnonzero(np.frombuffer(body, np.uint8) == QUOTE)[2:]  # without those of `measurements`
        count, rest = divmod(len(marks), self.marks)
        if rest or not 1 <= count <= MAX_MEASUREMENTS:
            return None
        bounds = self._bounds(body, marks, count)
        if not (bounds[1:] >= bounds[:-1]).all():
            return None
        text = pa.py_buffer(body)
        cells = pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), text])
        grid = _grid(count, len(self.values), self.same)
        if not _same(cells.take(grid.between), grid) or int(bounds[-2]) + len(self.end) != len(body):
            return None
        columns = {path: cells.take(places) for path, places in zip(self.paths, grid.values, strict=True)}
        return Cut(
            texts={path: columns[path] for path in self.texts},
            numbers={path: column for path, column in columns.items() if path not in self.texts},
            members=self._members(text, bounds, count),
        )

    def _bounds(self, body: bytes, marks: np.ndarray, count: int) -> np.ndarray:
        """Where the values of each member start and end, one after the other, and where the request ends."""
        # Beyond the last mark lies that which a further member would have had first.
        after = len(body) - len(self.end) + len(self.same[-1]) - self.opening + self.first_mark
        marks = np.append(marks, after)
        bounds = np.empty(2 * len(self.values) * count + 1, np.int32)
        bounds[-1] = len(body)
        columns = bounds[:-1].reshape(count, -1)
        for at, value in enumerate(self.values):
            columns[:, 2 * at] = marks[value.mark :: self.marks][:count] + value.after
            columns[:, 2 * at + 1] = marks[value.until :: self.marks][:count] - value.before
        return bounds

    def _members(self, text: pa.Buffer, bounds: np.ndarray, count: int) -> pa.Array:
        ends = np.empty(2 * count, np.int32)
        columns, values = ends.reshape(count, 2), bounds[:-1].reshape(count, -1)
        columns[:, 0] = values[:, 0] - self.opening
        columns[:, 1] = values[:, -1] + self.closing
        cells = pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), text])
        return cells.take(_every_other(count))


def learn(body: bytes) -> Layout | None:
    """The layout of a request by its first member; None where that is written in some other way."""
    opened, closed = _OPENED.match(body), _CLOSED.search(body, max(0, len(body) - LONGEST_END))
    if opened is None or closed is None:
        return None
    first = opened.end()
    member = _read_member(body, first)
    if member is None or not member.values:
        return None
    next_one = _BETWEEN.match(body, member.end)
    between = b"," if next_one is None else next_one[0]
    opening, closing = body[first : member.values[0][1]], body[member.values[-1][2] : member.end]
    marks = [at - first for at in range(first, member.end) if body[at] == QUOTE]
    # The marks of a further member, should a number come last.
    again = marks + [member.end - first + len(between) + mark for mark in marks[:1]]
    inner = [body[a[2] : b[1]] for a, b in zip(member.values, member.values[1:], strict=False)]
    return Layout(
        texts=tuple(path for path, _, _, is_text in member.values if is_text),
        paths=tuple(path for path, *_ in member.values),
        values=tuple(_value(start - first, end - first, again) for _, start, end, _ in member.values),
        meter=member.meter,
        marks=len(marks),
        start=body[: member.values[0][1]],
        same=(*inner, closing + between + opening),
        opening=len(opening),
        first_mark=marks[0],
        closing=len(closing),
        end=closing + closed[0],
    )


class _Member(NamedTuple):
    """A member as it was read: (path, start, end, whether it is a text) of each value but the meter's, and its end."""

    values: list[tuple[Path, int, int, bool]]
    meter: str
    end: int


def _read_member(body: bytes, at: int) -> _Member | None:
    """Read an object of texts, numbers and objects of these, whose `meter` is a text."""
    values: list[tuple[Path, int, int, bool]] = []
    meter: str | None = None
    seen: set[Path] = set()
    within: Path = ()
    at = _after(_OPEN, body, at)
    while at > 0:
        key = _KEY.match(body, at)
        if key is None:
            return None
        path = (*within, key[1].decode("ascii", "replace"))
        if path in seen:
            return None
        seen.add(path)
        at = key.end()
        inner = _OPEN.match(body, at)
        if inner is not None and not within:
            within, at = path, inner.end()
            continue
        value = _VALUE.match(body, at)
        if value is None:
            return None
        which = 1 if value[1] is not None else 2
        if path == ("meter",) and which == 1:
            meter = value[1].decode("ascii", "replace")
        else:
            values.append((path, *value.span(which), which == 1))
        at = value.end()
        while (shut := _SHUT.match(body, at)) is not None:
            at = shut.end()
            if not within:
                return None if meter is None else _Member(values, meter, at)
            within = ()
        at = _after(_COMMA, body, at)
    return None


def _after(sign: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = sign.match(body, at)
    return -1 if found is None else found.end()


def _value(start: int, end: int, marks: list[int]) -> _Value:
    """A value by the quotation mark before it and the one after it."""
    mark = max(number for number, at in enumerate(marks) if at < start)
    until = min(number for number, at in enumerate(marks) if at >= end)
    return _Value(mark, start - marks[mark], until, marks[until] - end)


def _plain(body: bytes) -> bool:
    """Whether there is nothing but printable ASCII, and no escape."""
    signs = np.frombuffer(body, np.uint8)
    return body.isascii() and b"\\" not in body and b"\x7f" not in body and int(signs.min()) >= ord(" ")


class _Grid(NamedTuple):
    """For requests of so many members and values: the places of the values and of what is between them among all
    cells, and what is between them: where each ends (int32), and all of it."""

    values: tuple[pa.Array, ...]
    between: pa.Array
    ends: np.ndarray
    text: pa.Buffer


@lru_cache(maxsize=16)
def _grid(count: int, values: int, same: tuple[bytes, ...]) -> _Grid:
    cells = 2 * values
    sizes = np.tile([len(each) for each in same], count)[:-1]
    return _Grid(
        values=tuple(pa.array(np.arange(2 * at, cells * count, cells)) for at in range(values)),
        between=pa.array(np.arange(1, cells * count - 1, 2)),
        ends=np.concatenate(([0], np.cumsum(sizes))).astype(np.int32),
        text=pa.py_buffer((b"".join(same) * count)[: int(sizes.sum())]),
    )


@lru_cache(maxsize=16)
def _every_other(count: int) -> pa.Array:
    return pa.array(np.arange(0, 2 * count, 2))


def _same(found: pa.Array, grid: _Grid) -> bool:
    """Whether texts are those of a grid, each of them."""
    _, ends, text = found.buffers()
    if not len(found):
        return True
    alike = np.array_equal(np.frombuffer(ends, np.int32, len(found) + 1), grid.ends)
    return alike and bool(text.slice(0, grid.text.size).equals(grid.text))


LONGEST_END = 64
_BLANK = rb"[ \t\r\n]*"
_OPENED = re.compile(rb'%b\{%b"measurements"%b:%b\[%b(?=\{)' % (*[_BLANK] * 5,))
_CLOSED = re.compile(rb"%b\]%b\}%b\Z" % (*[_BLANK] * 3,))
_BETWEEN = re.compile(rb"%b,%b(?=\{)" % (_BLANK, _BLANK))
_OPEN = re.compile(rb"%b\{" % _BLANK)
_KEY = re.compile(rb'%b"([^"\\]*)"%b:' % (_BLANK, _BLANK))
_VALUE = re.compile(rb'%b(?:"([^"\\]*)"|(-?[0-9][0-9.eE+-]*))' % _BLANK)
_SHUT = re.compile(rb"%b\}" % _BLANK)
_COMMA = re.compile(rb"%b," % _BLANK)
