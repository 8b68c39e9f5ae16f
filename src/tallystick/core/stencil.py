"""What bodies of documents have in common, so that each is kept as what is filled in.

A stencil is a list of pieces of text with holes. A body is written in short: which pieces it is made of, in order, a
character for each, and then what is in their holes. A hole, and what stands between the parts of the short form, is a
character that no JSON text has, as control characters are escaped in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import msgspec

from tallystick.core.wire import encode

HOLE = "\x01"
_FIRST = 0x20  # the character of the first piece
MOST_PIECES = 0xD000  # characters beyond are no texts by themselves


class Stencil(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Pieces of text with holes; the id is a digest of them."""

    id: str
    pieces: tuple[str, ...]

    def whole(self, short: str) -> str:
        """The text that was written in short."""
        made_of, *values = short.split(HOLE)
        return filled(_around(self, made_of), values)

    def values_after(self, short: str, text: str, most: int) -> list[str]:
        """What is in the first hole that comes right after a text, and in those that follow, of one that was written
        in short; none where there is no such hole."""
        made_of, *values = short.split(HOLE)
        place = _place_after(self, made_of, text)
        return [] if place is None else values[place : place + most]


@lru_cache(maxsize=500)
def _place_after(stencil: Stencil, made_of: str, text: str) -> int | None:
    return next((place for place, each in enumerate(_around(stencil, made_of)[:-1]) if each.endswith(text)), None)


@lru_cache(maxsize=500)
def _around(stencil: Stencil, made_of: str) -> list[str]:
    """What is around the holes of a text. Texts of one stencil have few different ones."""
    return "".join([stencil.pieces[ord(each) - _FIRST] for each in made_of]).split(HOLE)


def stencil_of(pieces: Sequence[str]) -> Stencil:
    """The stencil of these pieces."""
    return Stencil(id=sha256(encode(pieces)).hexdigest()[:32], pieces=tuple(pieces))


def in_short(made_of: str, values: Sequence[str]) -> str:
    """A text of these pieces, by their characters, and with these values in their holes, written in short."""
    return HOLE.join((made_of, *values))


def filled(around: Sequence[str], values: Sequence[str]) -> str:
    """A text with values in its holes, given what is around the holes."""
    text = [""] * (2 * len(values) + 1)
    text[::2] = around
    text[1::2] = values
    return "".join(text)


@lru_cache(maxsize=4_096)
def character(place: int) -> str:
    """What stands for the piece at a place."""
    assert place < MOST_PIECES, "a stencil has fewer pieces"
    return chr(_FIRST + place)
