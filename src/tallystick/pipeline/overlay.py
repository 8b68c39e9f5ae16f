"""The records of an organisation with some of the catalogue changed, which is nowhere kept: what a candidate is rated
from. Whatever reads records can be handed these, and does with them what it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar, cast

from tallystick.core import wire
from tallystick.core.audit_chain import Link
from tallystick.core.catalog import Plan, Pricing
from tallystick.core.entity import Entity, Text, Value
from tallystick.core.simulation import SUPPOSABLE, Changes
from tallystick.ports import (
    AuditEntry,
    AuditWhere,
    Credential,
    Document,
    DocumentWhere,
    Found,
    Kept,
    OrganizationRecords,
    Page,
    Transaction,
    Where,
)

V = TypeVar("V", bound=Value)
T = TypeVar("T")
EVERYTHING = Where()
NOBODY = "simulation"


class Overlay:
    """Records as they would be with some changes. Reading only; versions and documents are those that are kept."""

    def __init__(self, records: OrganizationRecords, changes: Changes, *, at: datetime) -> None:
        self._records = records
        # By kind and id, what stands there instead; None for what is taken away.
        self._changed: dict[str, dict[str, Entity[Any] | None]] = {
            Plan.kind: {each.id: _entity(records, Plan, each.id, each.value, at) for each in changes.plans},
            Pricing.kind: {
                **{each.id: _entity(records, Pricing, each.id, each.value, at) for each in changes.pricings},
                **dict.fromkeys(changes.removed_pricing_ids),
            },
        }
        for each in changes.others:
            value = each.value
            entity = None if value is None else _entity(records, SUPPOSABLE[each.kind], each.id, value, at)
            self._changed.setdefault(each.kind, {})[each.id] = entity

    @classmethod
    def showing(cls, records: OrganizationRecords, changed: Mapping[str, Mapping[str, Entity[Any] | None]]) -> Overlay:
        """Records in which these entities, by kind and id, stand as they are given; None for one that does not."""
        made = cls.__new__(cls)
        made._records = records
        made._changed = {kind: dict(entities) for kind, entities in changed.items()}
        return made

    @property
    def organization_id(self) -> str:
        return self._records.organization_id

    @property
    def revision(self) -> int:
        return self._records.revision

    def once(self) -> OrganizationRecords:
        return Overlay.showing(self._records.once(), self._changed)

    def documents_written(self, kind: str) -> int:
        return self._records.documents_written(kind)

    def get(self, of: type[V], id: str) -> Entity[V] | None:
        changed = self._of(of)
        return changed[id] if id in changed else self._records.get(of, id)

    def get_many(self, of: type[V], ids: Collection[str]) -> dict[str, Entity[V]]:
        changed = self._of(of)
        found = self._records.get_many(of, [id_ for id_ in ids if id_ not in changed])
        return found | {id_: each for id_ in ids if (each := changed.get(id_)) is not None}

    def codes(self, of: type[Value], ids: Collection[str]) -> dict[str, str]:
        return self._records.codes(of, ids)

    def at_version(self, of: type[V], id: str, version: int) -> Entity[V] | None:
        return self._records.at_version(of, id, version)

    def versions(self, of: type[V], id: str) -> list[Entity[V]]:
        return self._records.versions(of, id)

    def changed_since(self, of: type[V], moment: datetime) -> dict[str, Entity[V] | None]:
        return self._records.changed_since(of, moment)

    def by_code(self, of: type[V], code: str) -> Entity[V] | None:
        changed = self._of(of).values()
        other = next((each for each in changed if each and getattr(each.value, "code", None) == code), None)
        if other is not None:
            return other
        found = self._records.by_code(of, code)
        return None if found is None or found.id in self._of(of) else found

    def find(self, of: type[V], where: Where, page: Page) -> Found[Entity[V]]:
        assert not self._of(of), f"a page of kind {of.kind} would not show what is changed"
        return self._records.find(of, where, page)

    def every(self, of: type[V], where: Where = EVERYTHING) -> Iterator[Entity[V]]:
        changed = self._of(of)
        yield from (each for each in self._records.every(of, where) if each.id not in changed)
        yield from (each for each in changed.values() if each is not None and _matches(each, where))

    def texts(self, of: type[Value], name: str = "", among: Collection[str] = ()) -> Iterator[Text]:
        found = self.every(of, Where(equal={name: among}) if name else EVERYTHING)
        return ((each.id, each.version, wire.encode(each.value).decode()) for each in found)

    def referred_to(self, besides: Collection[type[Value]], among: Collection[str] | None = None) -> set[str]:
        changed = {kind for kind, entities in self._changed.items() if entities}
        assert changed <= {each.kind for each in besides}, "what is only supposed may refer to others, too"
        return self._records.referred_to(besides, among)

    def users_of(self, id: str) -> list[tuple[str, str]]:
        return self._records.users_of(id)

    def document(self, kind: str, id: str) -> Document | None:
        return self._records.document(kind, id)

    def documents(self, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
        return self._records.documents(kind, where, page)

    def keys_of(
        self, kind: str, where: DocumentWhere, names: tuple[str, ...], most: int
    ) -> list[tuple[str | None, ...]]:
        return self._records.keys_of(kind, where, names, most)

    def kept(self, kind: str, where: DocumentWhere, names: tuple[str, ...]) -> list[Kept]:
        return self._records.kept(kind, where, names)

    def remembered(
        self, key: Hashable, make: Callable[[OrganizationRecords], T], holds: Callable[[T], bool] = lambda _: True
    ) -> T:
        """Made anew: what is remembered is of what is kept."""
        return make(self)

    def audit(self, where: AuditWhere, page: Page) -> Found[AuditEntry]:
        return self._records.audit(where, page)

    def audit_chain(self, after: int, size: int) -> list[Link]:
        return self._records.audit_chain(after, size)

    def audit_written(self) -> int:
        return self._records.audit_written()

    def credentials(self, user_id: str, purposes: Collection[str]) -> list[Credential]:
        return self._records.credentials(user_id, purposes)

    def body(self, kind: str, id: str, version: int) -> bytes | None:
        return self._records.body(kind, id, version)

    def transaction(self) -> AbstractContextManager[Transaction]:
        raise AssertionError("nothing is written through what is only supposed")

    def _of(self, of: type[V]) -> Mapping[str, Entity[V] | None]:
        return cast("Mapping[str, Entity[V] | None]", self._changed.get(of.kind, {}))


def _entity(records: OrganizationRecords, of: type[V], id: str, value: V, at: datetime) -> Entity[V]:
    """What would be kept: the next version of what there is, or the first."""
    before = records.get(of, id)
    return Entity(
        id=id,
        version=before.version + 1 if before else 1,
        value=value,
        created=before.created if before else at,
        created_by=before.created_by if before else NOBODY,
        modified=at,
        modified_by=NOBODY,
    )


def _matches(entity: Entity[Any], where: Where) -> bool:
    assert where.active_on is None, "prices are read for their whole time"
    for name, wanted in (where.equal or {}).items():
        own = entity.id if name == "id" else getattr(entity.value, name)
        if own not in wanted:
            return False
    return True
