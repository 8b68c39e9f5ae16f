"""The event: how a measurement is read, what makes it valid, and what makes two of them the same.

Identity is the uid within the organisation (`uid_key`); sameness is the content (`content_digest`), compared as it
counts: 1.0 equals 1, `Z` equals `+00:00`, and the order of keys means nothing (source: DESIGN promises 3 to 5,
reference 4.1 to 4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import xxhash

from tallystick.core.entity import Entity
from tallystick.core.meter import Category, Meter
from tallystick.core.quantity import parse_quantity, plain
from tallystick.errors import Rejection

MAX_CODE = 80  # characters of an account or meter code
MAX_UID = 50
MAX_METADATA = 256
MAX_TEXT = 1024  # characters of a who, what, where or other value
LIMIT = 10**20  # whole numbers below this need no further reading
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SAFE_INTEGER = 2**63

TEXT_MAPS = ("who", "what", "where", "other", "metadata")
NUMBER_MAPS = ("measure", "income", "cost")
MAPS = TEXT_MAPS + NUMBER_MAPS

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CODE = re.compile(r"[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,78}[^\x00-\x20\x7f-\x9f])?")


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
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


class Schema(NamedTuple):
    """What a meter asks of its measurements, made ready once: (code, name of the map it belongs into)."""

    meter_id: str
    version: int
    fields: tuple[tuple[str, str], ...]


class Accepted(NamedTuple):
    """A measurement that keeps every rule: its times in UTC, and the digest of its content (16 bytes)."""

    ts: datetime
    ets: datetime | None
    content: bytes


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the journal keeps of an accepted measurement: to whom it was attributed, which version of the meter it was
    held against, its uid (which the original may not have), and the JSON that was sent."""

    account_id: str
    meter_id: str
    meter_version: int
    uid: str
    original: bytes


def schema_of(meter: Entity[Meter]) -> Schema:
    """The fields that a meter declares, in the form that `validate` reads."""
    fields = tuple((field.code, field.category.value.lower()) for field in meter.value.data_fields)
    return Schema(meter.id, meter.version, fields)


def category_map(category: Category) -> str:
    """The map of a measurement that values of a category sit in."""
    return category.value.lower()


# ------------------------------------------------------------------------------------------------------- reading


def read_measurement(original: bytes | msgspec.Raw) -> Measurement | Rejection:
    """Read one JSON object. Numbers become int or Decimal exactly as written."""
    try:
        return _MEASUREMENT.decode(original)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as problem:
        return next(_faults(original), None) or Rejection("invalid_measurement", f"measurement: {problem}")


def given_uid(original: bytes | msgspec.Raw) -> str | None:
    """The uid of a measurement that could not be read, where it has one that can serve as such."""
    try:
        uid = _HAS_UID.decode(original).uid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return uid if uid and _uid_fault(uid) is None else None


def pack(entry: JournalEntry) -> bytes:
    """A journal entry as the bytes that the journal keeps."""
    return _PACK.encode(entry)


def unpack(entry: bytes) -> JournalEntry:
    """The journal entry that `pack` wrote."""
    return _UNPACK.decode(entry)


def _faults(original: bytes | msgspec.Raw) -> Iterator[Rejection]:
    """Why a measurement could not be read, part by part, so that the field at fault can be named."""
    try:
        parts = _PARTS.decode(original)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        yield Rejection("invalid_measurement", f"measurement: must be an object of known form: {problem}")
        return
    for name in ("account", "meter", "ts"):
        if name not in parts:
            yield Rejection("invalid_measurement", f"{name}: is missing; every measurement needs it", name)
    codes = {"ts": "invalid_timestamp", "ets": "invalid_timestamp", "uid": "invalid_text"}
    for name in ("account", "meter", "ts", "uid", "ets"):
        if name in parts and (
            problem_ := _undecodable(parts[name], _OPTIONAL_TEXT if name in {"uid", "ets"} else _TEXT)
        ):
            yield Rejection(codes.get(name, "invalid_measurement"), f"{name}: must be a text: {problem_}", name)
    for name in MAPS:
        if name in parts:
            yield from _map_faults(name, parts[name])


def _map_faults(name: str, content: msgspec.Raw) -> Iterator[Rejection]:
    try:
        values = _OPTIONAL_PARTS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        yield Rejection("invalid_measurement", f"{name}: must be an object of field codes: {problem}", name)
        return
    numeric = name in NUMBER_MAPS
    for code, value in (values or {}).items():
        problem_ = _undecodable(value, _ANY if numeric else _TEXT)
        if problem_:
            rule = "must be a finite number below 10^20" if numeric else "must be a text"
            field = f"{name}.{code}"
            yield Rejection("invalid_number" if numeric else "invalid_text", f"{field}: {rule}: {problem_}", field)


def _undecodable(value: msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> str | None:
    try:
        decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return str(problem)
    except InvalidOperation:
        return "its exponent has too many digits"
    return None


# ---------------------------------------------------------------------------------------------------- validating


def validate(measurement: Measurement, schema: Schema, now: datetime, tolerance: timedelta) -> Accepted | Rejection:
    """Hold a measurement against its meter: the first broken rule as a Rejection, or Accepted.

    Every declared field must be present, in the map of its category; what is not declared is kept. `ts` may be at
    most `tolerance` after `now`.
    """
    fault = _field_fault(measurement, schema) or _text_fault(measurement) or _number_fault(measurement)
    if fault is not None:
        return fault
    try:
        ts = read_time(measurement.ts)
    except ValueError as problem:
        return Rejection("invalid_timestamp", f"ts: {problem}", "ts")
    ets = None
    if measurement.ets is not None:
        try:
            ets = read_time(measurement.ets)
        except ValueError as problem:
            return Rejection("invalid_timestamp", f"ets: {problem}", "ets")
        if ets < ts:
            return Rejection("invalid_timestamp", f"ets: {measurement.ets} is before ts {measurement.ts}", "ets")
    if ts - now > tolerance:
        allowed = int(tolerance.total_seconds())
        reason = f"ts: {measurement.ts} lies more than {allowed} seconds after the server's time {now.isoformat()}"
        return Rejection("timestamp_in_future", reason, "ts")
    return Accepted(ts, ets, _digest(measurement, ts, ets))


def read_time(text: str) -> datetime:
    """An ISO 8601 date and time with any offset or none (UTC), or a bare date (its midnight); in UTC.

    Raises ValueError beyond the years 1970 to 2261 and for 24:00, which Python versions read differently.
    Digits beyond microseconds are cut off.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be an ISO 8601 date and time, got {text[:40]!r}") from None
    if text[11:13] == "24":
        raise ValueError(f"must have an hour from 00 to 23, got {text[:40]!r}")
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


def _uid_fault(uid: str) -> Rejection | None:
    if len(uid) > MAX_UID:
        return Rejection("invalid_text", f"uid: must be at most {MAX_UID} characters, got {len(uid)}", "uid")
    if not uid.isprintable() and _CONTROL.search(uid):
        return Rejection("invalid_text", "uid: must have no control characters", "uid")
    return None


def _field_fault(measurement: Measurement, schema: Schema) -> Rejection | None:
    """A declared field that is absent or in the wrong map, or a code that sits in two maps."""
    for code, name in schema.fields:
        values = getattr(measurement, name)
        if values is None or code not in values:
            other = next((each for each in MAPS if code in (getattr(measurement, each) or ())), None)
            if other is None:
                reason = f"{name}.{code}: is missing; the meter {measurement.meter!r} declares it"
                return Rejection("missing_field", reason, f"{name}.{code}")
            reason = f"{other}.{code}: the meter {measurement.meter!r} declares this field in {name}"
            return Rejection("wrong_category", reason, f"{other}.{code}")
    maps = [values for name in MAPS if (values := getattr(measurement, name))]
    if len(set().union(*maps)) < sum(map(len, maps)):
        return _duplicate_field(measurement)
    return None


def _duplicate_field(measurement: Measurement) -> Rejection:
    seen: dict[str, str] = {}
    for name in MAPS:
        for code in getattr(measurement, name) or ():
            if code in seen:
                reason = f"{name}.{code}: the same field is in {seen[code]} too; send it in one map"
                return Rejection("duplicate_field", reason, f"{name}.{code}")
            seen[code] = name
    raise AssertionError("a field code sits in two maps")


def _text_fault(measurement: Measurement) -> Rejection | None:
    if measurement.uid is not None and (fault := _uid_fault(measurement.uid)):
        return fault
    for name in TEXT_MAPS:
        values = getattr(measurement, name)
        if values:
            limit = MAX_METADATA if name == "metadata" else MAX_TEXT
            for code, value in values.items():
                if len(value) > limit:
                    field = f"{name}.{code}"
                    reason = f"{field}: must be at most {limit} characters, got {len(value)}"
                    return Rejection("invalid_text", reason, field)
    return None


def _number_fault(measurement: Measurement) -> Rejection | None:
    for name in NUMBER_MAPS:
        values = getattr(measurement, name)
        if values:
            for code, value in values.items():
                try:
                    _number(value)
                except ValueError as problem:
                    return Rejection("invalid_number", f"{name}.{code}: {problem}", f"{name}.{code}")
    return None


def _number(value: object) -> int | Decimal:
    """A value of a number map as it counts: a whole number stays an int, all else becomes an exact Decimal."""
    if type(value) is int:  # the common case, and no bool
        if -LIMIT < value < LIMIT:
            return value
        raise ValueError("must be a finite number below 10^20 in size")
    if isinstance(value, Decimal):
        return parse_quantity(value)
    kind = {str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "an object or a list")
    raise ValueError(f"must be a JSON number, got {kind}")


# --------------------------------------------------------------------------------------------- identity, content


def uid_key(organization_id: str, uid: str) -> bytes:
    """The 16 bytes that the uid index knows a uid by: 4 of the organisation, 12 of the uid within it.

    The organisation's own bytes keep anybody from choosing a uid that meets another organisation's: the hash is
    fast, not cryptographic (docs/decisions/0040-uid-keys.md).
    """
    prefix, seed = _organization_bytes(organization_id)
    return prefix + xxhash.xxh3_128_digest(uid.encode(), seed)[:12]


def content_digest(measurement: Measurement) -> bytes:
    """The digest (16 bytes) of a valid measurement's content: all but the uid, as it counts."""
    ets = None if measurement.ets is None else read_time(measurement.ets)
    return _digest(measurement, read_time(measurement.ts), ets)


def numbers_of(values: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """The values of a number map as exact quantities, rounded once to 18 decimals."""
    return {code: parse_quantity(value) for code, value in values.items()} if values else {}


@lru_cache(maxsize=4096)
def _organization_bytes(organization_id: str) -> tuple[bytes, int]:
    digest = xxhash.xxh3_128_digest(organization_id.encode())
    return digest[:4], int.from_bytes(digest[8:], "big")


def _digest(measurement: Measurement, ts: datetime, ets: datetime | None) -> bytes:
    content = (
        measurement.account,
        measurement.meter,
        (ts - EARLIEST) // MICROSECOND,
        None if ets is None else (ets - EARLIEST) // MICROSECOND,
        measurement.who or None,
        measurement.what or None,
        measurement.where or None,
        measurement.other or None,
        measurement.metadata or None,
        _plain_numbers(measurement.measure),
        _plain_numbers(measurement.income),
        _plain_numbers(measurement.cost),
    )
    return xxhash.xxh3_128_digest(_CONTENT.encode(content))


def _plain_numbers(values: Mapping[str, Any] | None) -> dict[str, int | str] | None:
    """Numbers in one spelling each: small whole ones as integers, all others as plain text."""
    if not values:
        return None
    return {
        code: value if type(value) is int and abs(value) < SAFE_INTEGER else _plain_number(value)
        for code, value in values.items()
    }


def _plain_number(value: int | Decimal) -> int | str:
    number = parse_quantity(value)
    whole = int(number)
    return whole if number == whole and abs(whole) < SAFE_INTEGER else plain(number)


class _WithUid(msgspec.Struct, frozen=True):
    uid: str | None = None


_MEASUREMENT = msgspec.json.Decoder(Measurement, float_hook=Decimal)
_HAS_UID = msgspec.json.Decoder(_WithUid)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONAL_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_TEXT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str)
_OPTIONAL_TEXT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | None)
_ANY = msgspec.json.Decoder(float_hook=Decimal)
_CONTENT = msgspec.json.Encoder(order="deterministic")
_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(JournalEntry)
