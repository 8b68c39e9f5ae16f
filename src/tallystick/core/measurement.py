"""The event: what a measurement is, what makes it valid, and what makes two of them the same.

Identity is the uid within the organisation (`uid_key`); sameness is the content (`content_digest`), compared as it
counts: 1.0 equals 1, `Z` equals `+00:00`, and the order of keys means nothing (source: DESIGN promises 3 to 5,
reference 4.1 to 4.3).

What is here takes one measurement at a time and is the reference for `pipeline.ingest.columns`, which does the same to
a thousand at once and must come to the same verdicts and digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
import xxhash

from tallystick.core.entity import Entity
from tallystick.core.meter import Category, Meter
from tallystick.core.period import require_iso_8601
from tallystick.core.quantity import EXACT, QUANTITY_DECIMALS, parse_quantity
from tallystick.errors import Rejection

MAX_CODE = 80  # characters of an account or meter code
MAX_UID = 50
MAX_METADATA = 256
MAX_TEXT = 1024  # characters of a who, what, where or other value
EPOCH = EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NUMBER_BYTES = 16  # a quantity in a content: a whole number of 10^-18, two's complement, little-endian
TIME_BYTES = 8  # a point in time in a content: microseconds since 1970, likewise

TEXT_MAPS = ("who", "what", "where", "other", "metadata")
NUMBER_MAPS = ("measure", "income", "cost")
MAPS = TEXT_MAPS + NUMBER_MAPS

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CODE = re.compile(r"[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,78}[^\x00-\x20\x7f-\x9f])?")


class Measurement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A measurement as it is sent. Keys of the maps are field codes; numbers are int or exact Decimal, never float.

    The values of the number maps are whatever JSON had there: `validate` refuses what is no number.
    """

    account: str
    meter: str
    ts: str
    uid: str | None = None
    ets: str | None = None
    who: dict[str, str] | None = None
    what: dict[str, str] | None = None
    where: dict[str, str] | None = None
    other: dict[str, str] | None = None
    metadata: dict[str, str] | None = None
    measure: dict[str, Any] | None = None
    income: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None


Maps: TypeAlias = tuple[Mapping[str, Any] | None, ...]
"""The field maps of a measurement, in the order of MAPS."""

Quantities: TypeAlias = tuple[dict[str, Decimal], ...]
"""The number maps of a measurement as exact quantities."""


class Schema(NamedTuple):
    """What a meter asks of its measurements, made ready once: (code, place in MAPS of the map it belongs into)."""

    meter_id: str
    version: int
    fields: tuple[tuple[str, int], ...]
    derives: bool = False  # whether further fields are computed when its measurements are mediated


class Accepted(NamedTuple):
    """A measurement that keeps every rule: its times in UTC, and the digest of its content (16 bytes)."""

    ts: datetime
    ets: datetime | None
    content: bytes


def schema_of(meter: Entity[Meter]) -> Schema:
    """The fields that a meter declares, in the form that `validate` reads."""
    return Schema(meter.id, meter.version, fields_of(meter.value), bool(meter.value.derived_fields))


def fields_of(meter: Meter) -> tuple[tuple[str, int], ...]:
    """The fields that a meter declares: (code, place in MAPS of the map it belongs into)."""
    return tuple((field.code, MAPS.index(category_map(field.category))) for field in meter.data_fields)


def maps_of(measurement: Measurement) -> Maps:
    """The field maps, in the order of MAPS."""
    maps: Maps = _MAPS(measurement)
    return maps


def category_map(category: Category) -> str:
    """The map of a measurement that values of a category sit in."""
    return category.value.lower()


# ---------------------------------------------------------------------------------------------------- validating


def validate(measurement: Measurement, schema: Schema, now: datetime, tolerance: timedelta) -> Accepted | Rejection:
    """Hold a measurement against its meter: the first broken rule as a Rejection, or Accepted.

    Every declared field must be present, in the map of its category; what is not declared is kept. `ts` may be at
    most `tolerance` after `now`.
    """
    maps = maps_of(measurement)
    fault = _field_fault(maps, measurement.meter, schema) or _text_fault(measurement.uid, maps)
    if fault is not None:
        return fault
    numbers = _quantities(maps)
    if isinstance(numbers, Rejection):
        return numbers
    try:
        ts = sent_time(measurement.ts)
    except ValueError as problem:
        return Rejection("invalid_timestamp", f"ts: {problem}", "ts")
    ets = None
    if measurement.ets is not None:
        try:
            ets = sent_time(measurement.ets)
        except ValueError as problem:
            return Rejection("invalid_timestamp", f"ets: {problem}", "ets")
        if ets < ts:
            return Rejection("invalid_timestamp", f"ets: {measurement.ets} is before ts {measurement.ts}", "ets")
    if ts - now > tolerance:
        allowed = int(tolerance.total_seconds())
        reason = f"ts: {measurement.ts} lies more than {allowed} seconds after the server's time {now.isoformat()}"
        return Rejection("timestamp_in_future", reason, "ts")
    return Accepted(ts, ets, _digest(measurement, ts, ets, numbers))


def sent_time(text: str) -> datetime:
    """The `ts` or `ets` of a measurement that is sent: an ISO 8601 date and time with any offset or none (UTC), or a
    bare date (its midnight); in UTC. Digits beyond microseconds are cut off.

    Raises ValueError beyond the years 1970 to 2261, and for 24:00.
    """
    require_iso_8601(text)
    return read_time(text)


def read_time(text: str) -> datetime:
    """The same of a measurement that was accepted: what earlier versions took stays readable."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be an ISO 8601 date and time, got {text[:40]!r}") from None
    if not 1969 <= moment.year <= 2262:
        raise ValueError(f"must lie in the years 1970 to 2261, got {text[:40]!r}")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not EARLIEST <= moment < LATEST:
        raise ValueError(f"must lie in the years 1970 to 2261, got {text[:40]!r}")
    return moment


def account_code_fault(code: str) -> Rejection | None:
    """Why a text cannot be the code of an account, if it cannot (source: reference 2, code syntax B)."""
    if _CODE.fullmatch(code):
        return None
    rule = f"must be 1 to {MAX_CODE} characters, without control characters or spaces at the ends"
    return Rejection("invalid_account", f"account: {code[:MAX_CODE]!r} {rule}", "account")


def uid_fault(uid: str) -> Rejection | None:
    """Why a text cannot be a uid, if it cannot."""
    if len(uid) > MAX_UID:
        return Rejection("invalid_text", f"uid: must be at most {MAX_UID} characters, got {len(uid)}", "uid")
    if not uid.isprintable() and _CONTROL.search(uid):
        return Rejection("invalid_text", "uid: must have no control characters", "uid")
    return None


def _field_fault(maps: Maps, meter: str, schema: Schema) -> Rejection | None:
    """A declared field that is absent or in the wrong map, or a code that sits in two maps."""
    for code, place in schema.fields:
        values = maps[place]
        if not values or code not in values:
            return _misplaced_field(maps, meter, code, MAPS[place])
    sent = sum([len(values) for values in maps if values])
    # Declared codes differ from each other and all are there: only what is sent beyond them can repeat one.
    if sent > len(schema.fields) and len(set().union(*[values for values in maps if values])) < sent:
        return _duplicate_field(maps)
    return None


def _misplaced_field(maps: Maps, meter: str, code: str, name: str) -> Rejection:
    other = next((each for each, values in zip(MAPS, maps, strict=True) if values and code in values), None)
    if other is None:
        reason = f"{name}.{code}: is missing; the meter {meter!r} declares it"
        return Rejection("missing_field", reason, f"{name}.{code}")
    reason = f"{other}.{code}: the meter {meter!r} declares this field in {name}"
    return Rejection("wrong_category", reason, f"{other}.{code}")


def _duplicate_field(maps: Maps) -> Rejection:
    seen: dict[str, str] = {}
    for name, values in zip(MAPS, maps, strict=True):
        for code in values or ():
            if code in seen:
                reason = f"{name}.{code}: the same field is in {seen[code]} too; send it in one map"
                return Rejection("duplicate_field", reason, f"{name}.{code}")
            seen[code] = name
    raise AssertionError("a field code sits in two maps")


def _text_fault(uid: str | None, maps: Maps) -> Rejection | None:
    if uid is not None and (fault := uid_fault(uid)):
        return fault
    for values in maps[: len(TEXT_MAPS)]:
        if values:
            for value in values.values():
                if len(value) > MAX_METADATA:  # the lowest limit: nearly always this is all that is asked
                    return _long_text(maps)
    return None


def _long_text(maps: Maps) -> Rejection | None:
    for name, values in zip(TEXT_MAPS, maps, strict=False):
        limit = MAX_METADATA if name == "metadata" else MAX_TEXT
        for code, value in (values or {}).items():
            if len(value) > limit:
                field = f"{name}.{code}"
                return Rejection("invalid_text", f"{field}: at most {limit} characters, got {len(value)}", field)
    return None


def _quantities(maps: Maps) -> Quantities | Rejection:
    """The number maps as exact quantities, or the first number that is none."""
    try:
        return tuple([numbers_of(values) for values in maps[len(TEXT_MAPS) :]])
    except ValueError:
        return _number_fault(maps)


def _number_fault(maps: Maps) -> Rejection:
    for name, values in zip(NUMBER_MAPS, maps[len(TEXT_MAPS) :], strict=True):
        for code, value in (values or {}).items():
            try:
                quantity(value)
            except ValueError as problem:
                return Rejection("invalid_number", f"{name}.{code}: {problem}", f"{name}.{code}")
    raise AssertionError("one of the numbers is none")


def quantity(value: object) -> Decimal:
    """A value of a number map as an exact quantity; ValueError for what is no JSON number or beyond the limits."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        kind = {str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "an object or a list")
        raise ValueError(f"must be a JSON number, got {kind}")
    return parse_quantity(value)


# --------------------------------------------------------------------------------------------- identity, content


def uid_key(organization_id: str, uid: str) -> bytes:
    """The 16 bytes that the uid index knows a uid by: 4 of the organisation, 12 of the uid within it.

    The organisation's own bytes keep anybody from choosing a uid that meets another organisation's: the hash is
    fast, not cryptographic (docs/decisions/0040-uid-keys.md).
    """
    return uid_keys(organization_id, [uid])[0]


def uid_keys(organization_id: str, uids: Iterable[str]) -> list[bytes]:
    """`uid_key` of each."""
    prefix, seed = organization_bytes(organization_id)
    return [prefix + digest[:12] for digest in map(xxhash.xxh3_128_digest, map(str.encode, uids), repeat(seed))]


def content_digest(measurement: Measurement) -> bytes:
    """The digest (16 bytes) of a valid measurement's content: all but the uid, as it counts."""
    ets = None if measurement.ets is None else read_time(measurement.ets)
    numbers = _quantities(maps_of(measurement))
    assert not isinstance(numbers, Rejection), "the measurement was validated"
    return _digest(measurement, read_time(measurement.ts), ets, numbers)


def content_shape(meter: str, numbers: Iterable[tuple[int, str]], texts: Iterable[tuple[int, str]]) -> bytes:
    """The digest (16 bytes) of what measurements of a form have in common: their meter and their fields, each with the
    place of its map in MAPS, in rising order."""
    return xxhash.xxh3_128_digest(_CONTENT.encode((meter, list(numbers), list(texts))))


def digest_contents(contents: Iterable[tuple[bytes | str, ...]]) -> list[bytes]:
    """The digest (16 bytes) of each (shape, times and numbers side by side in fixed width, account, texts in order)."""
    return list(map(xxhash.xxh3_128_digest, map(_CONTENT.encode, contents)))


def numbers_of(values: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """The values of a number map as exact quantities, rounded once to 18 decimals."""
    return {code: quantity(value) for code, value in values.items()} if values else {}


@lru_cache(maxsize=4096)
def organization_bytes(organization_id: str) -> tuple[bytes, int]:
    """What the keys of an organisation's uids begin with, and the seed of their hash."""
    digest = xxhash.xxh3_128_digest(organization_id.encode())
    return digest[:4], int.from_bytes(digest[8:], "big")


def _digest(measurement: Measurement, ts: datetime, ets: datetime | None, numbers: Quantities) -> bytes:
    first = len(TEXT_MAPS)
    numeric = sorted((place, code) for place, values in enumerate(numbers, first) for code in values)
    texts = sorted((place, code) for place, values in enumerate(maps_of(measurement)[:first]) for code in values or ())
    fixed = [_time_bytes(ts)] if ets is None else [_time_bytes(ts), _time_bytes(ets)]
    fixed += [_number_bytes(numbers[place - first][code]) for place, code in numeric]
    maps = maps_of(measurement)
    values = [(maps[place] or {})[code] for place, code in texts]
    shape = content_shape(measurement.meter, numeric, texts)
    (digest,) = digest_contents([(shape, b"".join(fixed), measurement.account, *values)])
    return digest


def _time_bytes(moment: datetime) -> bytes:
    return ((moment - EPOCH) // MICROSECOND).to_bytes(TIME_BYTES, "little", signed=True)


def _number_bytes(number: Decimal) -> bytes:
    return int(number.scaleb(QUANTITY_DECIMALS, EXACT)).to_bytes(NUMBER_BYTES, "little", signed=True)


_MAPS = attrgetter(*MAPS)
_CONTENT = msgspec.msgpack.Encoder()
