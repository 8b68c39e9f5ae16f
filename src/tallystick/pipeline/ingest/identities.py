"""Measurements that name an identity instead of an account: whose it is at their time is looked up first of all.

Where it is nobody's, the measurement waits: it is on disk before the answer, claims no uid, and is sent through the
door again by a chore once the identity is somebody's (docs/decisions/0522-identities.md). The value of an identity goes
no further than here: what is written down has its keyed hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.identity import (
    FIELD,
    GROUP,
    KIND,
    Identity,
    SentIdentity,
    UnmappedIdentity,
    UnmappedUsage,
    decisive,
    fingerprint,
    group_id,
    hash_of,
    kept,
    map_of_field,
    names_identity,
    waiting_id,
    with_waiting,
)
from tallystick.core.measurement import Measurement, Schema, read_time
from tallystick.core.measurement_reading import given_uid, read_measurement
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.failures import Failed
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Records, Transaction, Where

MARK = b'"identity"'  # what has no such name in it names no identity
AT_ONCE = 500  # identities or waiting measurements that are asked for in one question
WAITING, CODE = "waiting", "unmapped_identity"
Parts = dict[str, msgspec.Raw]
Check = Callable[[Measurement], Rejection | str]
"""Why a measurement could not count whosever it is; or the digest of what it says."""


class _Named(NamedTuple):
    """A member that names an identity: what it says besides, and when, if that can be read."""

    place: int
    parts: Parts
    sent: SentIdentity
    ts: Instant | None


class Waiter(NamedTuple):
    """A member whose identity is nobody's."""

    place: int
    usage: UnmappedUsage
    sent: SentIdentity
    generated: bool  # its uid

    @property
    def conflict(self) -> Failed:
        """What is written down of it where other content waits under its uid."""
        return Failed(self.place, self.usage.original.encode(), self.usage.uid, None, self.usage.meter)


@dataclass(slots=True)
class Attributed:
    """The members of a request: those that have an account now, by their places, and those that cannot go on."""

    members: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)
    bad: list[Failed] = field(default_factory=list)
    generated: set[int] = field(default_factory=set)  # places of bad ones that were given a uid


class _Snapshot(NamedTuple):
    """What was looked up while the records stood at a revision."""

    revision: int
    by_hash: dict[str, list[Entity[Identity]]]
    codes: dict[str, str]  # of accounts, by their ids


class Attributor:
    """Finds the accounts of identities, for all organisations. Any thread may ask."""

    def __init__(self, records: Records, key: bytes, new_id: Callable[[], str]) -> None:
        self._records = records
        self._key = key
        self._new_id = new_id
        self._seen: dict[str, _Snapshot] = {}

    def attribute(
        self,
        organization_id: str,
        members: Sequence[bytes | msgspec.Raw],
        schemas: Mapping[str, Schema],
        check: Check,
        received: Instant,
    ) -> Attributed:
        """Sort the members out. What names an account is passed on as it is."""
        found = Attributed()
        named: dict[int, _Named] = {}
        for place, member in enumerate(members):
            sent = self._read(organization_id, place, bytes(member))
            if isinstance(sent, _Named):
                named[place] = sent
            elif sent is not None:
                self._reject(found, place, *sent)
        snapshot = self._snapshot(organization_id, {each.sent.hash or "" for each in named.values()})
        refused = {each.place for each in found.bad}
        for place, member in enumerate(members):
            each = named.get(place)
            if place in refused:
                continue
            code = None if each is None else _account_of(each, snapshot)
            if each is not None and code is None:
                self._set_aside(found, each, schemas, check, received)
                continue
            found.places.append(place)
            found.members.append(bytes(member) if each is None else _with_account(each, code or "", schemas))
        return found

    def keep(self, organization_id: str, waiters: Sequence[Waiter]) -> dict[int, bool] | None:
        """Write down what waits. By place: whether it waits; if not, other content waits under its uid. None, and
        nothing is written, where the identity of one became somebody's in between."""
        if not waiters:
            return {}
        records = self._records.organization(organization_id)
        with records.transaction() as write:
            hashes = {each.usage.identity_hash for each in waiters}
            identities = _by_hash(write, hashes)
            for each in waiters:
                moment = each.usage.ts
                if decisive(identities.get(each.usage.identity_hash, ()), moment) is not None:
                    return None
            return _keep(write, waiters)

    def _read(self, organization_id: str, place: int, member: bytes) -> _Named | tuple[bytes, Rejection] | None:
        """A member that names an identity; what to keep of one that does so unreadably, and why; else None."""
        if MARK not in member or not names_identity(member):
            return None
        try:
            parts = _PARTS.decode(member)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        parts.pop("account", None)
        try:
            sent = _IDENTITY.decode(parts[FIELD])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            return _unreadable(parts, f"identity: must be a type and a value: {problem}")
        if (sent.value is None) == (sent.hash is None):
            return _unreadable(parts, "identity.value: is missing; say whose usage it is, or name an account")
        if sent.value is not None:
            sent = kept(sent, hash_of(self._key, organization_id, sent.type, sent.value))
        parts[FIELD] = msgspec.Raw(wire.encode(sent))
        return _Named(place, parts, sent, _time_of(parts.get("ts")))

    def _reject(self, found: Attributed, place: int, member: bytes, why: Rejection) -> None:
        uid = given_uid(member)
        if uid is None:
            uid = self._new_id()
            found.generated.add(place)
        found.bad.append(Failed(place, member, uid, why))

    def _set_aside(
        self, found: Attributed, named: _Named, schemas: Mapping[str, Schema], check: Check, received: Instant
    ) -> None:
        """Let a member wait if it could count as soon as somebody has its identity; else it is bad."""
        member = msgspec.json.encode(named.parts)
        # In the place of the account: part of what it says, so that another identity under the same uid is a conflict.
        measurement = read_measurement(_with_account(named, named.sent.hash or "", schemas))
        told = measurement if isinstance(measurement, Rejection) else check(measurement)
        if isinstance(told, Rejection):
            self._reject(found, named.place, member, told)
            return
        assert isinstance(measurement, Measurement), "it was read"
        assert named.ts is not None, "its time was checked"
        uid = measurement.uid or self._new_id()
        usage = UnmappedUsage(
            id=waiting_id(uid),
            uid=uid,
            identity_type=named.sent.type,
            identity_hash=named.sent.hash or "",
            meter=measurement.meter,
            ts=named.ts,
            received=received,
            original=msgspec.json.encode({**named.parts, "uid": uid}).decode(),
            content=told,
        )
        found.waiters.append(Waiter(named.place, usage, named.sent, not measurement.uid))

    def _snapshot(self, organization_id: str, hashes: set[str]) -> _Snapshot:
        """What is known of these identities, with the codes of their accounts."""
        records = self._records.organization(organization_id)
        revision = records.revision  # read first: what is committed meanwhile makes the snapshot stale, not wrong
        seen = self._seen.get(organization_id)
        if seen is None or seen.revision != revision or len(seen.by_hash) > MOST_REMEMBERED:
            seen = self._seen[organization_id] = _Snapshot(revision, {}, {})
        fresh = [each for each in hashes if each not in seen.by_hash]
        if fresh:
            found = _by_hash(records, fresh)
            accounts = {each.value.account_id for many in found.values() for each in many} - seen.codes.keys()
            seen.codes.update(records.codes(Account, accounts))
            seen.by_hash.update({each: found.get(each, []) for each in fresh})
        return seen


def any_named(members: Iterable[bytes | msgspec.Raw]) -> bool:
    """Whether one of the members names an identity and no account. A field may be called so, too."""
    return any(MARK in text and names_identity(text) for text in map(bytes, members))


def describe(waiter: Waiter) -> str:
    """Why a member waits, as its sender is told."""
    sent = waiter.sent
    shown = repr(sent.value) if sent.value else f"with the fingerprint {fingerprint(sent.hash or '')}"
    return (
        f"identity: nobody has the {sent.type} {shown} at {waiter.usage.ts.wire()}; the measurement waits and "
        "counts as soon as an account has it"
    )


def _account_of(named: _Named, snapshot: _Snapshot) -> str | None:
    if named.ts is None:
        return None
    decides = decisive(snapshot.by_hash.get(named.sent.hash or "", ()), named.ts)
    return None if decides is None else snapshot.codes[decides.value.account_id]


def _with_account(named: _Named, code: str, schemas: Mapping[str, Schema]) -> bytes:
    """The member with an account, and with its identity only where its meter asks for it."""
    parts: dict[str, Any] = {"account": code, **{name: part for name, part in named.parts.items() if name != FIELD}}
    schema = schemas.get(_text(named.parts.get("meter")) or "")
    place = None if schema is None else map_of_field(schema.fields)
    if place is not None:
        try:
            values: dict[str, Any] = {**_PARTS.decode(parts.get(place, b"{}"))}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(parts)  # the map is none: it is refused as it stands
        values.setdefault(FIELD, f"{named.sent.type}:{named.sent.shown}")
        parts[place] = values
    return msgspec.json.encode(parts)


def _unreadable(parts: Parts, why: str) -> tuple[bytes, Rejection]:
    """A member whose identity cannot be read, without what may be a secret in it."""
    parts = {name: part for name, part in parts.items() if name != FIELD}
    member = msgspec.json.encode({**parts, FIELD: None})
    return member, Rejection("invalid_measurement", why, "identity.value" if "value" in why[:20] else FIELD)


def _time_of(part: msgspec.Raw | None) -> Instant | None:
    text = _text(part)
    try:
        return None if text is None else Instant.of(read_time(text))
    except ValueError:
        return None


def _text(part: msgspec.Raw | None) -> str | None:
    try:
        return None if part is None else _TEXT.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _by_hash(read: OrganizationRecords, hashes: Iterable[str]) -> dict[str, list[Entity[Identity]]]:
    asked, found = sorted(hashes), dict[str, list[Entity[Identity]]]()
    for first in range(0, len(asked), AT_ONCE):
        for each in read.every(Identity, Where(equal={"hash": asked[first : first + AT_ONCE]})):
            found.setdefault(each.value.hash, []).append(each)
    return found


def _keep(write: Transaction, waiters: Sequence[Waiter]) -> dict[int, bool]:
    waits = {each.id: each.content for each in _read_many(write, KIND, UnmappedUsage, [w.usage.id for w in waiters])}
    groups = {
        each.id: each
        for each in _read_many(write, GROUP, UnmappedIdentity, [group_id(w.usage.identity_hash) for w in waiters])
    }
    fresh: list[UnmappedUsage] = []
    told: dict[int, bool] = {}
    for place, usage, sent, _ in waiters:
        if usage.id not in waits:
            waits[usage.id] = usage.content
            fresh.append(usage)
            group = with_waiting(groups, usage, sent)
            groups[group.id] = group
        told[place] = waits[usage.id] == usage.content
    write.put_documents(
        KIND, [Document(id=each.id, sort=each.sort, keys=each.keys, body=wire.encode(each)) for each in fresh]
    )
    touched = {group_id(each.identity_hash) for each in fresh}
    write.put_documents(GROUP, [group_document(groups[each]) for each in sorted(touched)])
    return told


def group_document(group: UnmappedIdentity) -> Document:
    """What is kept of an identity that usage waits for: most waiting first."""
    return Document(id=group.id, sort=group.sort, keys={"type": group.type}, body=wire.encode(group))


def _read_many(write: Transaction, kind: str, of: type[Any], ids: Sequence[str]) -> list[Any]:
    asked, found = sorted(set(ids)), list[Any]()
    for first in range(0, len(asked), AT_ONCE):
        some = asked[first : first + AT_ONCE]
        page = write.documents(kind, DocumentWhere(equal={"id": some}), Page(size=len(some)))
        found += [wire.decode(of, each.body) for each in page.rows]
    return found


MOST_REMEMBERED = 100_000
_PARTS = msgspec.json.Decoder(Parts)
_TEXT = msgspec.json.Decoder(str)
_IDENTITY = msgspec.json.Decoder(SentIdentity)
