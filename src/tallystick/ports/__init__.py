"""What the product needs from the outside world, as small protocols. `app.py` chooses who fulfils them.

Everything that a request touches is bound to one organisation before the request sees it: `Records.organization`
and `UsageStore.organization` give views that have no way to name another one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from tallystick.core.audit_chain import Link
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.ports.audit import AuditEntry, AuditWhere
from tallystick.ports.documents import Document, DocumentWhere, FilledDocument, Kept
from tallystick.ports.texts import Texts
from tallystick.ports.usage import (
    Behind,
    OrganizationUsage,
    UsageAnswer,
    UsageBlock,
    UsageColumn,
    UsageCondition,
    UsageFilter,
    UsageGroup,
    UsagePlace,
    UsageQuery,
    UsageRow,
    UsageStore,
    Withdrawn,
)

__all__ = [
    "Actor",
    "AuditEntry",
    "AuditWhere",
    "Behind",
    "Block",
    "Claim",
    "Clock",
    "Credential",
    "Document",
    "DocumentWhere",
    "FilledDocument",
    "Found",
    "Journal",
    "Kept",
    "Organization",
    "OrganizationRecords",
    "OrganizationUsage",
    "Page",
    "Records",
    "ServiceUser",
    "Transaction",
    "UidIndex",
    "UsageAnswer",
    "UsageBlock",
    "UsageColumn",
    "UsageCondition",
    "UsageFilter",
    "UsageGroup",
    "UsagePlace",
    "UsageQuery",
    "UsageRow",
    "UsageStore",
    "Where",
    "Withdrawn",
]

V = TypeVar("V", bound=Value)
T = TypeVar("T")


class Clock(Protocol):
    """The only source of the present. Tests turn it by hand."""

    def now(self) -> Instant: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a service user, or the operator who holds the data directory."""

    id: str
    kind: str  # "SERVICE_USER" or "OPERATOR"
    scopes: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: `size` rows at most, after the one that `token` names; or `oldest_first`."""

    size: int = 100
    token: str | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """One page of a list, and the token of the next (None when there is none)."""

    rows: tuple[T, ...]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """A filter of a list of entities. Every part that is given must hold.

    `equal` maps a field of `references` or `filters` (Python name), or "id" or "code", to the values it may have.
    `active_on` keeps what has started at or before the instant and has not ended by it (`start_date`, `end_date`)."""

    equal: Mapping[str, Collection[str]] | None = None
    active_on: Instant | None = None


class OrganizationRecords(Texts, Protocol):
    """Configuration, bills, jobs, events and failed measurements of one organisation: reading."""

    @property
    def organization_id(self) -> str: ...

    @property
    def revision(self) -> int:
        """Rises with every committed write of an entity in this organisation: a cache that saw another must forget."""

    def once(self) -> OrganizationRecords:
        """The same records for a single look: what is asked again is answered as it was at first."""

    def documents_written(self, kind: str) -> int:
        """Rises with every committed write of documents of a kind in this organisation, by this process."""

    def get(self, of: type[V], id: str) -> Entity[V] | None:
        """The entity as it stands."""

    def get_many(self, of: type[V], ids: Collection[str]) -> dict[str, Entity[V]]:
        """Those of the ids that exist, by id."""

    def codes(self, of: type[Value], ids: Collection[str]) -> dict[str, str]:
        """The codes of those of the ids that exist and have one, by id. For many: no entity is read for it."""

    def at_version(self, of: type[V], id: str, version: int) -> Entity[V] | None:
        """The entity as it stood at a version, deleted ones too: nothing that was ever in force is forgotten."""

    def versions(self, of: type[V], id: str) -> list[Entity[V]]:
        """Every version that the entity ever had, oldest first, of a deleted one too."""

    def changed_since(self, of: type[V], moment: datetime) -> dict[str, Entity[V] | None]:
        """The entities of a kind that were written after a moment, by id, as they stood at it; None if they did not."""

    def by_code(self, of: type[V], code: str) -> Entity[V] | None:
        """The entity with this code, compared exactly."""

    def find(self, of: type[V], where: Where, page: Page) -> Found[Entity[V]]:
        """One page of the entities that match, newest first."""

    def every(self, of: type[V], where: Where = Where()) -> Iterator[Entity[V]]:
        """All entities that match, oldest first."""

    def users_of(self, id: str) -> list[tuple[str, str]]:
        """(kind, id) of the entities that refer to this id: at most 10 of them."""

    def document(self, kind: str, id: str) -> Document | None:
        """One stored document."""

    def documents(self, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
        """One page of the documents that match, in falling order of sort; of equal sort the latest added first."""

    def keys_of(
        self, kind: str, where: DocumentWhere, names: tuple[str, ...], most: int
    ) -> list[tuple[str | None, ...]]:
        """The named keys of the documents that match, at most `most + 1` (one more says that there are more)."""

    def kept(self, kind: str, where: DocumentWhere, names: tuple[str, ...]) -> list[Kept]:
        """The bodies of the documents that match as they are kept, for those who need little of very many, with the
        named keys. In no certain order."""

    def remembered(
        self, key: Hashable, make: Callable[[OrganizationRecords], T], holds: Callable[[T], bool] = ...
    ) -> T:
        """What `make` comes to, which reads the records that it is given and nothing else that changes. It is kept
        under the key, as a value that several threads share, until something is committed of a kind (of entity, of
        document) that was read for it, or `holds` says no to it. Inside a transaction it is made anew."""

    def audit(self, where: AuditWhere, page: Page) -> Found[AuditEntry]:
        """One page of who did what, latest first."""

    def audit_chain(self, after: int, size: int) -> list[Link]:
        """At most `size` entries behind a number, oldest first, as they stand in the store."""

    def audit_written(self) -> int:
        """How many entries were ever written: the number of the last."""

    def credentials(self, user_id: str, purposes: Collection[str]) -> list[Credential]:
        """What a user of this organisation has for the purposes, expired ones too."""

    def body(self, kind: str, id: str, version: int) -> bytes | None:
        """The JSON of an entity of whatever kind as it stood at a version, if it stood at all."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Write: all or nothing, one writer at a time in an organisation; what is read inside stays true."""


class Transaction(OrganizationRecords, Protocol):
    """Writing, inside `with records.transaction() as write:`. Reads see the writes made so far."""

    def insert(self, entity: Entity[V]) -> None:
        """Keep a new entity. Refusal `code_in_use` when its kind already has the code."""

    def replace(self, entity: Entity[V]) -> None:
        """Keep the next version of an entity: `version - 1` must be the stored one, else Refusal `version_mismatch`."""

    def remove(self, entity: Entity[V], *, at: datetime, by: str) -> None:
        """Take an entity out of use; its versions stay readable through `at_version`."""

    def put_documents(self, kind: str, documents: Sequence[Document | FilledDocument]) -> None:
        """Insert or overwrite documents by id, in one statement."""

    def remove_document(self, kind: str, id: str) -> None:
        """Delete one document."""

    def remove_documents(self, kind: str, ids: Collection[str]) -> None:
        """Delete documents by id, in one statement; what is not there is passed over."""

    def note(self, action: str, kind: str, id: str, *, at: datetime, by: Actor) -> None:
        """Tell the audit of something that changes no entity, such as a sign-in. Changes tell it by themselves."""

    def put_credential(self, credential: Credential) -> None:
        """Insert or overwrite a credential. Refusal `rule_broken` where another organisation has its id and purpose."""

    def remove_credential(self, purpose: str, id: str) -> None:
        """Delete one credential of this organisation, if it exists."""

    def remove_credentials(self, user_id: str, purposes: Collection[str]) -> None:
        """Delete all credentials that a user has for the purposes."""

    def remove_expired_credentials(self, by: datetime) -> None:
        """Delete the credentials of this organisation that have expired by an instant."""

    def next_number(self, sequence: str, start: int) -> int:
        """The next number of a named sequence: one above the last, without gaps, or `start` where that is higher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """One tenant."""

    id: str
    name: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """An API identity of an organisation. Only a digest of its secret is kept."""

    id: str
    organization_id: str
    name: str
    access_key: str
    secret_digest: str
    scopes: tuple[str, ...]
    created: datetime
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What lets somebody in who does not say which organisation: a password, a session, a link.

    `purpose` says which; `id` is what is found by (an address, the digest of a token), once for each purpose in all
    organisations. `secret` is what it is checked against, where the id alone does not prove anything."""

    purpose: str
    id: str
    organization_id: str
    user_id: str
    created: datetime
    secret: str = ""
    used: datetime | None = None
    expires: datetime | None = None


class Records(Protocol):
    """All organisations: what the operator and the sign-in see."""

    def organization(self, id: str) -> OrganizationRecords:
        """The view bound to one organisation."""

    def organizations(self) -> list[Organization]: ...
    def written(self, after: int) -> tuple[int, list[str]]:
        """The organisations (ids) where this process has written since it said `after`, and what to say next time."""

    def add_organization(self, organization: Organization) -> None: ...
    def find_organization(self, id: str) -> Organization | None: ...
    def add_service_user(self, user: ServiceUser) -> None: ...
    def replace_service_user(self, user: ServiceUser) -> None: ...
    def service_user(self, id: str) -> ServiceUser | None: ...
    def service_user_by_key(self, access_key: str) -> ServiceUser | None: ...
    def service_users(self, organization_id: str) -> list[ServiceUser]: ...
    def credential(self, purpose: str, id: str) -> Credential | None: ...
    def close(self) -> None: ...


# ---------------------------------------------------------------------------------------------------- journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Entries of one organisation that are appended together: they become durable together.

    `kind` is what the entries are: "measurement", or "withdrawal" of measurements before it. Positions are given by the
    journal: entry i of the block has position `first + i`. They start at 1, rise by one per entry over all
    organisations, and are never given twice.
    """

    organization_id: str
    kind: str
    received: Instant
    entries: Sequence[bytes]
    first: int = 0

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1


class Journal(Protocol):
    """Every accepted measurement, in order: the truth for usage."""

    def append(self, blocks: Sequence[Block]) -> list[Block]:
        """Write the blocks and return them with their positions, once they are on disk. Called by one thread."""

    def read(self, after: int) -> Iterator[Block]:
        """The durable blocks that have entries with positions above `after`, in order, up to the present end."""

    @property
    def last(self) -> int:
        """The highest durable position; 0 when empty."""

    @property
    def damage(self) -> str | None:
        """What was found damaged of what was acknowledged, and what to do: from then on nothing is appended."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What the uid index holds of an accepted measurement: a digest of its content, and where it is."""

    content: bytes
    position: int


class UidIndex(Protocol):
    """uid → claim, for ever, per organisation. A projection of the journal: it can be rebuilt from it."""

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Claim]:
        """The claims on those of the keys (see `core.measurement.uid_key`) that have one. Refusal `busy` once the index
        is found damaged: then nobody can say that a uid is new."""

    def put(self, keys: Sequence[bytes], contents: Sequence[bytes], first: int, mark: int) -> None:
        """Add claims on keys, whose positions follow each other from `first` on, and note that the index holds the
        journal up to `mark`. They need not be written before `flush`; claims and mark are written together."""

    def flush(self) -> None:
        """Write what was put. Refusal `busy` when the disk does not take it; then nothing is forgotten."""

    @property
    def mark(self) -> int:
        """The journal position up to which the index is complete."""

    @property
    def damage(self) -> str | None:
        """What was found damaged, and what to do; None while all is well."""

    def close(self) -> None: ...
