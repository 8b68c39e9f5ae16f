"""From the bytes of a measurement to its parts, or to what is wrong with them; and the entries of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from itertools import repeat
from typing import Any

import msgspec

from tallystick.core.measurement import MAPS, NUMBER_MAPS, Measurement, uid_fault
from tallystick.errors import Rejection


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the journal keeps of an accepted measurement: to whom it was attributed, which version of the meter it was
    held against, its uid where the original has none, and the JSON that was sent."""

    account_id: str
    meter_id: str
    meter_version: int
    uid: str | None
    original: bytes


class WithdrawalEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the journal keeps of a withdrawal: the measurement that is taken out (its uid, its position `of`, and what
    usage is asked for by), and the correction that asked for it. `ts` is as `Instant.stamp` writes it."""

    uid: str
    of: int
    meter_id: str
    account_id: str
    ts: str
    correction_id: str


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
    return uid if uid and uid_fault(uid) is None else None


def pack(entry: JournalEntry) -> bytes:
    """A journal entry as the bytes that the journal keeps."""
    return _PACK.encode(entry)


def pack_many(account_ids: Iterable[str], meter_id: str, meter_version: int, originals: Iterable[bytes]) -> list[bytes]:
    """`pack` for measurements of one meter whose originals have their uids."""
    parts = zip(account_ids, repeat(meter_id), repeat(meter_version), repeat(None), originals, strict=False)
    return list(map(_PACK.encode, parts))


def unpack(entry: bytes) -> JournalEntry:
    """The journal entry that `pack` wrote."""
    return _UNPACK.decode(entry)


def pack_withdrawal(entry: WithdrawalEntry) -> bytes:
    """A withdrawal as the bytes that the journal keeps."""
    return _PACK.encode(entry)


def unpack_withdrawal(entry: bytes) -> WithdrawalEntry:
    """The withdrawal that `pack_withdrawal` wrote."""
    return _UNPACK_WITHDRAWAL.decode(entry)


def uid_of(entry: JournalEntry, measurement: Measurement) -> str:
    """The uid that a journaled measurement counts under."""
    uid = entry.uid or measurement.uid
    assert uid, "a journaled measurement has a uid"
    return uid


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


class _WithUid(msgspec.Struct, frozen=True):
    uid: str | None = None


_MEASUREMENT = msgspec.json.Decoder(Measurement, float_hook=Decimal)
_HAS_UID = msgspec.json.Decoder(_WithUid)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONAL_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_TEXT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str)
_OPTIONAL_TEXT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | None)
_ANY = msgspec.json.Decoder(float_hook=Decimal)
_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(JournalEntry)
_UNPACK_WITHDRAWAL = msgspec.msgpack.Decoder(WithdrawalEntry)
