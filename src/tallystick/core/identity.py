"""Identities: by what usage names who used it where it does not name the account, and whose they are from when to when.

An API key, a workspace, a wallet address. Its value may be a secret, so it is known by a keyed hash, and kept in words
only where somebody says that it is none (docs/decisions/0522-identities.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Entity, EntityCode, Id, Name, Value
from tallystick.core.event import sort_stamp
from tallystick.core.ids import named_id
from tallystick.core.measurement import MAPS, TEXT_MAPS
from tallystick.core.period import Instant

KIND = "unmappedusage"  # the kind of document that usage waits as
GROUP = "unmappedidentity"  # the kind of document that says how much waits for an identity
WAITING = "5be0a8a1-4a0c-44d2-a30e-3a3c52f5a0d7"  # the namespace of the ids of both
FIELD = "identity"  # a text field of a meter by this code is filled with the identity that a measurement came by
HASH_BYTES = 16
FINGERPRINT = 12  # characters of a hash that people tell identities apart by
HINT = 4  # the last characters of a secret that are kept in words …
LONG_ENOUGH = 16  # … where it has at least this many
MAX_PRIORITY = 1_000_000

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
IdentityValue = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Identity(Value, frozen=True, kw_only=True):
    """Usage of this identity is the account's from `start_date` until before `end_date`. Of several that hold
    at a time the highest `priority` decides.

    `hash` is what its value is known by; `value` stands here only where it is not `sensitive`, else `hint` ends it.
    """

    kind: ClassVar[str] = "identity"
    references: ClassVar[tuple[str, ...]] = ("account_id",)
    filters: ClassVar[tuple[str, ...]] = ("type", "hash")

    type: EntityCode
    hash: Hash
    account_id: Id
    hint: str | None = None
    value: IdentityValue | None = None
    sensitive: bool = True
    start_date: Instant | None = None
    end_date: Instant | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)] = 0
    name: Name | None = None

    def check(self) -> None:
        if self.start_date is not None and self.end_date is not None and self.end_date <= self.start_date:
            raise ValueError("endDate: must be after startDate")

    def holds_at(self, moment: Instant) -> bool:
        """Whether usage at this time is the account's."""
        if self.start_date is not None and moment < self.start_date:
            return False
        return self.end_date is None or moment < self.end_date

    def overlaps(self, other: Identity) -> bool:
        """Whether there is a time at which both hold."""
        starts = other.end_date is None or self.start_date is None or self.start_date < other.end_date
        ends = self.end_date is None or other.start_date is None or other.start_date < self.end_date
        return starts and ends


class SentIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The identity of a measurement that names no account: with its `value` as it is sent, with its `hash` as it is
    kept. `sensitive: false` lets the value be kept in words."""

    type: EntityCode
    value: IdentityValue | None = None
    hash: Hash | None = None
    hint: str | None = None
    sensitive: bool = True

    @property
    def shown(self) -> str:
        """How people see it."""
        return self.value or fingerprint(self.hash or "")


class UnmappedUsage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A measurement whose identity is nobody's yet. It has not claimed its uid; `original` has the identity by hash."""

    id: str
    uid: str
    identity_type: str
    identity_hash: str
    meter: str
    ts: Instant
    received: Instant
    original: str
    content: str  # the digest of what it says

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return sort_stamp(self.received)

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"identity": self.identity_hash, "meter": self.meter}

    @property
    def dismissed_id(self) -> str:
        """The id of the failed measurement that it becomes when somebody decides that it shall never count."""
        return named_id(self.id, f"dismissed/{self.received.wire()}/{self.content}")


class UnmappedIdentity(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An identity that usage waits for: how much, of which times."""

    id: str
    type: str
    hash: str
    value: str | None = None
    hint: str | None = None
    count: int
    first_ts: Instant
    last_ts: Instant
    first_received: Instant
    last_received: Instant

    @property
    def sort(self) -> str:
        """Its place in lists, which fall: what most waits for first."""
        return f"{self.count:012d}"

    @property
    def fingerprint(self) -> str:
        """What people tell it apart by."""
        return fingerprint(self.hash)


def hash_of(key: bytes, organization_id: str, type: str, value: str) -> str:
    """What an identity is known by: nobody without the key can try values against it."""
    text = wire.encode([organization_id, type, value])
    return hmac.new(key, text, hashlib.sha256).hexdigest()[: 2 * HASH_BYTES]


def hint_of(value: str) -> str | None:
    """The end of a secret, by which its owner recognises it; of a short one nothing."""
    return value[-HINT:] if len(value) >= LONG_ENOUGH and value[-HINT:].isprintable() else None


def fingerprint(hash: str) -> str:
    """The start of a hash."""
    return hash[:FINGERPRINT]


def kept(sent: SentIdentity, hash: str) -> SentIdentity:
    """The identity as it may be written down: by its hash, and in words only where it is no secret."""
    assert sent.value is not None, "it has its value as it was sent"
    value = None if sent.sensitive else sent.value
    hint = hint_of(sent.value) if sent.sensitive else None
    return SentIdentity(type=sent.type, value=value, hash=hash, hint=hint, sensitive=sent.sensitive)


def decisive(identities: Iterable[Entity[Identity]], moment: Instant) -> Entity[Identity] | None:
    """Which of the entries for one identity decides at a time."""
    holding = [each for each in identities if each.value.holds_at(moment)]
    # Of equal priority no two hold at once; by id, should two ever.
    return max(holding, key=lambda each: (each.value.priority, each.id), default=None)


def map_of_field(fields: Iterable[tuple[str, int]]) -> str | None:
    """The map that measurements of a meter carry their identity in, where a field of it asks for that. `fields` as in
    `measurement.Schema`."""
    return next((MAPS[place] for code, place in fields if code == FIELD and place < len(TEXT_MAPS)), None)


def waiting_id(uid: str) -> str:
    """The id of what waits under a uid: it waits once."""
    return named_id(WAITING, f"usage/{uid}")


def group_id(hash: str) -> str:
    """The id of what is kept of an identity that is nobody's."""
    return named_id(WAITING, f"identity/{hash}")


class _Whose(msgspec.Struct, frozen=True):
    """The parts of a measurement that say whose it is, unread."""

    identity: msgspec.Raw = msgspec.Raw(b"null")
    account: msgspec.Raw = msgspec.Raw(b"null")


def names_identity(member: bytes | msgspec.Raw) -> bool:
    """Whether a measurement names an identity and no account."""
    try:
        whose = _WHOSE.decode(member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bytes(whose.identity) != b"null" and bytes(whose.account) == b"null"


def with_placeholder(member: bytes) -> bytes:
    """A measurement that names an identity, as if some account had it: for holding it against its meter."""
    parts: dict[str, object] = {**_PARTS.decode(member)}
    return msgspec.json.encode({**parts, "account": FIELD})


def with_waiting(groups: Mapping[str, UnmappedIdentity], usage: UnmappedUsage, sent: SentIdentity) -> UnmappedIdentity:
    """The group of one more that waits."""
    before = groups.get(group_id(usage.identity_hash))
    if before is None:
        return UnmappedIdentity(
            id=group_id(usage.identity_hash),
            type=usage.identity_type,
            hash=usage.identity_hash,
            value=sent.value,
            hint=sent.hint,
            count=1,
            first_ts=usage.ts,
            last_ts=usage.ts,
            first_received=usage.received,
            last_received=usage.received,
        )
    return msgspec.structs.replace(
        before,
        count=before.count + 1,
        first_ts=min(before.first_ts, usage.ts),
        last_ts=max(before.last_ts, usage.ts),
        last_received=max(before.last_received, usage.received),
    )


_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WHOSE = msgspec.json.Decoder(_Whose)
