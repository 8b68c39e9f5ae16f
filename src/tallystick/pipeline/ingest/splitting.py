"""From a request's body to its members, unread, so that a bad one can be told apart from the good ones beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from tallystick.errors import Refusal

MAX_BYTES = 512_000
MAX_MEASUREMENTS = 1_000


_LIST = b'"measurements"'
_LETTERS = (rb"\u006", rb"\u007")  # how the letters of `measurements` begin as escapes


class _Body(msgspec.Struct, frozen=True):
    measurements: list[msgspec.Raw]


def split(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The members of `{"measurements": […]}`, 1 to 1,000 in at most 512,000 bytes.

    Refusals `payload_too_large`, and `invalid_request` where the body is no JSON or has another shape. What some
    clients write although JSON does not have it (NaN, half a surrogate pair, a bare line feed) stays within its member.
    """
    if len(body) > MAX_BYTES:
        raise Refusal("payload_too_large", f"body: {len(body):,} bytes; at most {MAX_BYTES:,} in one request")
    members: Sequence[bytes | msgspec.Raw]
    try:
        members = _BODY.decode(body).measurements
    except msgspec.ValidationError as problem:
        raise Refusal("invalid_request", f"measurements: {problem}", field="measurements") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        members = _split_leniently(body, problem)
    # What is no member and no comma is 18 bytes of a body without blanks: usually there is nothing to look for.
    rest = len(body) - sum(map(len, members)) - len(members)
    if rest > 2 * len(_LIST) and _may_repeat(body) and _lists(body) > 1:
        message = "measurements: is there more than once; nothing says which of them is meant"
        raise Refusal("invalid_request", message, field="measurements")
    if not 1 <= len(members) <= MAX_MEASUREMENTS:
        message = f"measurements: must be 1 to {MAX_MEASUREMENTS:,} measurements, got {len(members):,}"
        raise Refusal("invalid_request", message, field="measurements")
    return members


def _may_repeat(body: bytes) -> bool:
    """Whether `measurements` may stand there twice: by itself, or with letters as escapes, which nobody writes."""
    return body.count(_LIST) > 1 or any(escape in body for escape in _LETTERS)


def _lists(body: bytes) -> int:
    """How often `measurements` stands in the body itself, not within a measurement. Slow, and seldom asked."""
    keys: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        keys[:] = [key for key, _ in pairs]  # the body is the last object to come to its end

    text = body.decode("utf-8", "surrogateescape")
    json.loads(text, strict=False, object_pairs_hook=note, parse_int=str, parse_float=str)
    return keys.count("measurements")


def _split_leniently(body: bytes, problem: Exception) -> list[bytes]:
    """The same by Python's slower reader, which lets more pass; `problem` is what the strict one said."""
    try:
        text = body.decode("utf-8", "surrogateescape")
        members = [text[start:end].encode("utf-8", "surrogateescape") for start, end in _extents(text)]
    except (ValueError, RecursionError):
        raise Refusal("invalid_request", f"body: {problem}") from None
    return members


def _extents(text: str) -> Iterator[tuple[int, int]]:
    """Where each member of the list `measurements` starts and ends; ValueError where the text is of another form."""
    at = _expect(text, 0, "{")
    while True:
        key, at = _LENIENT.raw_decode(text, _expect(text, at, '"') - 1)
        at = _skip(text, _expect(text, at, ":"))
        if key == "measurements":
            at = _expect(text, at, "[")
            while True:
                start = _skip(text, at)
                _, at = _LENIENT.raw_decode(text, start)
                yield start, at
                at = _skip(text, at)
                if text[at : at + 1] != ",":
                    break
                at += 1
            at = _expect(text, at, "]")
        else:
            _, at = _LENIENT.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            break
        at += 1
    if _skip(text, _expect(text, at, "}")) != len(text):
        raise ValueError("more follows")


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign} is missing")
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in _BLANK:
        at += 1
    return at


_BODY = msgspec.json.Decoder(_Body)
_BLANK = frozenset(" \t\r\n")
# Values are thrown away here, so numbers need not be made of them (and a long one must not cost its square).
_LENIENT = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
