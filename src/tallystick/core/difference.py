"""What is different between two JSON texts, field by field: for people who ask what a change changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.entity import is_sealed

MOST = 200  # fields that are told; what has more was replaced rather than changed
LONGEST = 500  # characters of a value
_ABSENT = object()


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field: where it is, and its text before and after; None where it was not there."""

    field: str
    before: str | None = None
    after: str | None = None


def differences(before: bytes | None, after: bytes | None, *, shallow: bool = False) -> tuple[Difference, ...]:
    """The fields that differ, in the order of the later text. `shallow`: of a list only how many members it has."""
    found = _walk("", _value(before), _value(after), shallow)
    return tuple(each for each, _ in zip(found, range(MOST), strict=False))


def _value(text: bytes | None) -> object:
    return _ABSENT if not text else wire.decode(Any, text)


def _walk(field: str, before: object, after: object, shallow: bool) -> Iterator[Difference]:
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return
    if _may_open(before, dict) and _may_open(after, dict) and (isinstance(before, dict) or isinstance(after, dict)):
        one, other = _members(before), _members(after)
        for name in (*other, *(name for name in one if name not in other)):
            inner = f"{field}.{name}" if field else name
            if is_sealed(name):
                yield from _secret(inner, one.get(name, _ABSENT), other.get(name, _ABSENT))
                continue
            yield from _walk(inner, one.get(name, _ABSENT), other.get(name, _ABSENT), shallow)
    elif not shallow and isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            yield from _walk(f"{field}[{place}]", _at(before, place), _at(after, place), shallow)
    else:
        one_text, other_text = _text(before, shallow), _text(after, shallow)
        if one_text != other_text or not shallow:
            yield Difference(field=field, before=one_text, after=other_text)


def _secret(field: str, before: object, after: object) -> Iterator[Difference]:
    """That a secret changed, and nothing of it."""
    if before != after:
        one, other = (None if each in {_ABSENT, None} else "(secret)" for each in (before, after))
        yield Difference(field=field, before=one, after=other)


def _may_open(value: object, of: type) -> bool:
    return isinstance(value, of) or value is _ABSENT


def _members(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _at(values: list[object], place: int) -> object:
    return values[place] if place < len(values) else _ABSENT


def _text(value: object, shallow: bool) -> str | None:
    if value is _ABSENT or value is None:
        return None
    if isinstance(value, str):
        text = value
    elif shallow and isinstance(value, list):
        text = f"{len(value)} of them"
    else:
        text = wire.encode(value).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
