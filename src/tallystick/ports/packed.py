"""Many byte strings in one buffer: sequences of bytes that cost no object for each of them.

A server that takes hundreds of thousands of measurements a second handles the key, the digest and the journal entry of
each. As objects they cost it more than what is done with them; side by side they are added, cut out and written many at
once. Both kinds here are sequences of bytes like any other, so whoever does not care need not know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

import msgspec
import numpy as np

from tallystick.ports.arrow import leave_pandas_alone

leave_pandas_alone()  # before the door makes its first array

T = TypeVar("T")
Buffer = bytes | memoryview
ARRAY_32 = 0xDD  # msgpack: an array whose length follows in four bytes
RUN = 16  # pieces are left apart while they have so many strings or more, on average
SHORT, MIDDLE = 2**8, 2**16  # msgpack: byte strings below these lengths have heads of 2 and of 3 bytes, others of 5


class Laid(Sequence[T]):
    """A sequence of what is made only when it is asked for, by its place from 0 on."""

    __slots__ = ()

    @abstractmethod
    def at(self, place: int) -> T:
        """One of them."""

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        places = range(len(self))[at]
        return self.at(places) if isinstance(places, int) else [self.at(each) for each in places]


class Fixed(Laid[bytes]):
    """Byte strings of one width."""

    __slots__ = ("data", "width")

    def __init__(self, data: Buffer, width: int) -> None:
        """Of what lies side by side in a buffer."""
        self.data = data
        self.width = width

    def __len__(self) -> int:
        return len(self.data) // self.width

    def at(self, place: int) -> bytes:
        """One of them."""
        start = place * self.width
        return bytes(self.data[start : start + self.width])

    def taking(self, which: np.ndarray) -> Fixed:
        """Those for which `which` is true."""
        if which.all():
            return self
        return Fixed(np.frombuffer(self.data, f"V{self.width}")[which].tobytes(), self.width)


def data_of(values: Sequence[bytes]) -> Buffer:
    """Byte strings of one width, side by side."""
    return values.data if isinstance(values, Fixed) else b"".join(values)


class Packed(Laid[bytes]):
    """Byte strings of any length, each as msgpack has it: a head with its length, and itself. They may lie in several
    pieces, so that some can be left out without a copy of the others."""

    __slots__ = ("_pieces", "ends")

    def __init__(self, pieces: Sequence[Buffer], ends: np.ndarray) -> None:
        """Of pieces, one after the other, and where in all of them each string ends (int64)."""
        self._pieces = pieces
        self.ends = ends

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Packed:
        """The values as such a sequence."""
        if isinstance(values, Packed):
            return values
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(sizes + np.where(sizes < SHORT, 2, np.where(sizes < MIDDLE, 3, 5)))
        data = _PACK.encode(values)
        return cls([memoryview(data)[len(data) - (int(ends[-1]) if len(ends) else 0) :]], ends)

    @classmethod
    def joined(cls, parts: Sequence[Packed]) -> Packed:
        """One sequence after the other."""
        starts = np.cumsum([0, *(int(each.ends[-1]) if len(each) else 0 for each in parts[:-1])])
        ends = [each.ends + start for each, start in zip(parts, starts, strict=True)]
        return cls([piece for each in parts for piece in each._pieces], np.concatenate(ends))

    @property
    def data(self) -> Buffer:
        """All of it in one piece."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def __len__(self) -> int:
        return len(self.ends)

    def at(self, place: int) -> bytes:
        """One of them."""
        start = int(self.ends[place - 1]) if place else 0
        value: bytes = _ONE.decode(self.data[start : int(self.ends[place])])
        return value

    def taking(self, which: np.ndarray) -> Packed:
        """Those for which `which` is true."""
        if which.all():
            return self
        data, bounds = memoryview(self.data), np.concatenate(([0], self.ends))
        pieces: list[Buffer] = [data[bounds[first] : bounds[after]] for first, after in runs_of(which)]
        few = len(pieces) <= len(which) // RUN
        return Packed(pieces if few else [b"".join(pieces)], np.cumsum(np.diff(bounds)[which]))

    def array(self) -> Sequence[Buffer]:
        """The msgpack array of all of them, in pieces."""
        return (bytes((ARRAY_32,)) + len(self).to_bytes(4, "big"), *self._pieces)


def opening(size: int, values: Sequence[object]) -> bytes:
    """The msgpack array of so many values as far as these: the others follow."""
    missing = size - len(values)
    return _PACK.encode([*values, *[None] * missing])[:-missing]


def head_of_text(size: int) -> bytes:
    """What msgpack writes before a text of so many bytes."""
    return _PACK.encode("-" * size)[:-size] if size else _PACK.encode("")


def runs_of(which: np.ndarray) -> list[tuple[int, int]]:
    """Where `which` is true without a gap: the first place of each run and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], which, [False]))))
    return [(first, after) for first, after in edges.reshape(-1, 2).tolist()]


_PACK = msgspec.msgpack.Encoder()
_ONE = msgspec.msgpack.Decoder(bytes)
