"""The members of a file of measurements, cut out of it piece by piece: the file may be larger than the memory.

A file is `{"measurements": […]}`, as a request is, or the bare list. What is wrong within a member stays there; what is
wrong between members is wrong with the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO

import msgspec

from tallystick.core import wire
from tallystick.core.measurement_reading import given_uid
from tallystick.pipeline.ingest.splitting import MAX_BYTES

_BLANKS = re.compile(rb"[ \t\r\n]*")
_HEAD = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*(\{[ \t\r\n]*"measurements"[ \t\r\n]*:[ \t\r\n]*)?\[')
_HEAD_BYTES = 4_096
# An object that holds no objects but flat ones: what a measurement is. No way back: what does not match fails at once.
_FLAT = re.compile(rb'\{(?>[^"{}]++|"(?>[^"\\]++|\\.)*+"|\{(?>[^"{}]++|"(?>[^"\\]++|\\.)*+")*+\})*+\}', re.DOTALL)
_TOKEN = re.compile(rb'"(?>[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_PLAIN = re.compile(rb'"(?>[^"\\]++|\\.)*+"|[^",\[\]{}\s]+', re.DOTALL)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NoMeasurements(ValueError):
    """A file that is not as it must be; the text says why, and where."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Members that follow each other, the place in the file behind them, and whether they are the last."""

    members: tuple[bytes, ...]
    next: int
    ended: bool


def beginning(file: IO[bytes]) -> int:
    """Where the first member stands. NoMeasurements for a file of another form."""
    file.seek(0)
    head = _HEAD.match(file.read(_HEAD_BYTES))
    if head is None:
        raise NoMeasurements('the file must begin with {"measurements": [ or with [')
    return head.end()


def cut(file: IO[bytes], at: int, size: int) -> Cut:
    """The whole members within `size` bytes (more than the largest member has) from a place where one stands.

    NoMeasurements where the file breaks off, or has something else than a member.
    """
    assert size > MAX_BYTES, "a member that could be taken always fits"
    file.seek(at)
    window = file.read(size)
    last = len(window) < size
    found: list[bytes] = []
    place = _skip(window, 0)
    if window[place : place + 1] == b"]":
        return _ended(file, at + place + 1, found)
    used = 0
    while True:
        end = _end_of(window, place)
        behind = _skip(window, end) if end is not None else len(window)
        if end is None or behind >= len(window):
            if last:
                raise NoMeasurements(f"the file breaks off in or behind the member at byte {at + place:,}")
            if not found:
                raise NoMeasurements(f"the member at byte {at + place:,} has more than {MAX_BYTES:,} bytes")
            return Cut(tuple(found), at + used, ended=False)
        found.append(window[place:end])
        sign = window[behind : behind + 1]
        if sign == b"]":
            return _ended(file, at + behind + 1, found)
        if sign != b",":
            raise NoMeasurements(f"a comma or ] must follow the member at byte {at + place:,}")
        used = behind + 1
        place = _skip(window, used)


def _ended(file: IO[bytes], at: int, found: list[bytes]) -> Cut:
    """The last members, if the file ends behind them as it began."""
    file.seek(0)
    head = _HEAD.match(file.read(_HEAD_BYTES))
    assert head is not None, "what has members has a head"
    file.seek(at)
    rest = file.read(_HEAD_BYTES)
    if rest.strip() != (b"}" if head[1] else b""):
        raise NoMeasurements(f"the file must end behind the list, which ends at byte {at:,}")
    return Cut(tuple(found), at, ended=True)


def _skip(window: bytes, at: int) -> int:
    blanks = _BLANKS.match(window, at)
    assert blanks is not None, "it matches nothing, too"
    return blanks.end()


def _end_of(window: bytes, start: int) -> int | None:
    """Where the member ends that starts here; None if that is not within the window."""
    sign = window[start : start + 1]
    if sign == b"{" and (flat := _FLAT.match(window, start)) is not None:
        return flat.end()
    if sign not in {b"{", b"["}:
        plain = _PLAIN.match(window, start)
        if plain is None and sign and sign != b'"':
            raise NoMeasurements(f"a member must not begin with {sign.decode('latin-1')!r}")
        return plain.end() if plain is not None else None
    depth = 0
    for token in _TOKEN.finditer(window, start):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 0:
                    return token.end()
            case b'"':
                return None
    return None


def with_uid(member: bytes, uid: str) -> bytes:
    """The member with this uid, unless it has one, or is no object that could have one."""
    if b'"uid"' in member and given_uid(member) is not None:
        return member
    try:
        fields = _FIELDS.decode(member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return member
    said = fields.get("uid")
    if said is not None and bytes(said) not in {b"null", b'""'}:
        return member  # not what a uid must be: the verdict says so
    fields.pop("uid", None)
    return wire.encode({"uid": uid, **fields})
