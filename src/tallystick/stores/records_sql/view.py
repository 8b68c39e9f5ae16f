"""One organisation: the reading view, and the transaction that also writes.

Every statement binds the organisation's id, so that an id of another organisation is simply not found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, case
from sqlalchemy.dialects import postgresql, sqlite

from tallystick.core.audit_chain import Link
from tallystick.core.entity import Entity, Text, Value
from tallystick.ports import (
    Actor,
    AuditEntry,
    AuditWhere,
    Credential,
    Document,
    DocumentWhere,
    FilledDocument,
    Found,
    Kept,
    OrganizationRecords,
    Page,
    Where,
)
from tallystick.ports.changes import Action, Change, Witness
from tallystick.stores.records_sql import audit, credentials, documents, entities, entity_texts, entity_writes
from tallystick.stores.records_sql.entities import Parameters, Run
from tallystick.stores.records_sql.remembered import ENTITIES, Memory, Reading, of_documents
from tallystick.stores.records_sql.schema import sequence_number
from tallystick.stores.records_sql.texts import require_storable

V = TypeVar("V", bound=Value)
T = TypeVar("T")
EVERYTHING = Where()
_UNSTAMPED = "what is made of the audit is not remembered: nothing says when to forget it"


def always(_: object) -> bool:
    """Whatever was remembered holds for as long as nothing is written."""
    return True


class SqlOrganization:
    """What one organisation holds, as it is committed."""

    def __init__(
        self,
        organization_id: str,
        run: Run,
        revision: Callable[[], int],
        transaction: Callable[[], AbstractContextManager[SqlTransaction]],
        memory: Memory,
        reading: Reading | None = None,
    ) -> None:
        self._organization_id = organization_id
        self._run = run
        self._revision = revision
        self._transaction = transaction
        self._memory = memory
        self._reading = reading

    @property
    def organization_id(self) -> str:
        return self._organization_id

    @property
    def revision(self) -> int:
        """The number of transactions of this process that wrote an entity here."""
        if self._reading is not None:
            self._reading.note(ENTITIES)
        return self._revision()

    def once(self) -> SqlOrganization:
        """See ports.OrganizationRecords."""
        known: dict[Hashable, tuple[Select[Any], Sequence[Any]]] = {}

        def run(statement: Select[Any], parameters: Parameters) -> Sequence[Any]:
            values = (tuple(each) if isinstance(each, list) else each for each in parameters.values())
            key = (id(statement), *parameters, *values)
            if key not in known:
                known[key] = statement, self._run(statement, parameters)  # held, so that its id stays its own
            return known[key][1]

        return SqlOrganization(
            self._organization_id, run, self._revision, self._transaction, self._memory, self._reading
        )

    def documents_written(self, kind: str) -> int:
        return self._memory.stamp(self._organization_id, of_documents(kind))

    def get(self, of: type[V], id: str) -> Entity[V] | None:
        return entities.get(self._about(of.kind), self._organization_id, of, id)

    def get_many(self, of: type[V], ids: Collection[str]) -> dict[str, Entity[V]]:
        return entities.get_many(self._about(of.kind), self._organization_id, of, ids)

    def codes(self, of: type[Value], ids: Collection[str]) -> dict[str, str]:
        return entities.codes(self._about(of.kind), self._organization_id, of, ids)

    def at_version(self, of: type[V], id: str, version: int) -> Entity[V] | None:
        return entities.at_version(self._about(of.kind), self._organization_id, of, id, version)

    def versions(self, of: type[V], id: str) -> list[Entity[V]]:
        return entities.versions(self._about(of.kind), self._organization_id, of, id)

    def changed_since(self, of: type[V], moment: datetime) -> dict[str, Entity[V] | None]:
        return entities.changed_since(self._about(of.kind), self._organization_id, of, moment)

    def by_code(self, of: type[V], code: str) -> Entity[V] | None:
        return entities.by_code(self._about(of.kind), self._organization_id, of, code)

    def find(self, of: type[V], where: Where, page: Page) -> Found[Entity[V]]:
        return entities.find(self._about(of.kind), self._organization_id, of, where, page)

    def every(self, of: type[V], where: Where = EVERYTHING) -> Iterator[Entity[V]]:
        return entities.every(self._about(of.kind), self._organization_id, of, where)

    def texts(self, of: type[Value], name: str = "", among: Collection[str] = ()) -> Iterator[Text]:
        return entity_texts.texts(self._about(of.kind), self._organization_id, of, name, among)

    def referred_to(self, besides: Collection[type[Value]], among: Collection[str] | None = None) -> set[str]:
        return entity_texts.referred_to(self._about(ENTITIES), self._organization_id, besides, among)

    def users_of(self, id: str) -> list[tuple[str, str]]:
        return entities.users_of(self._about(ENTITIES), self._organization_id, id)

    def document(self, kind: str, id: str) -> Document | None:
        return documents.document(self._about(of_documents(kind)), self._organization_id, kind, id)

    def documents(self, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
        return documents.documents(self._about(of_documents(kind)), self._organization_id, kind, where, page)

    def keys_of(
        self, kind: str, where: DocumentWhere, names: tuple[str, ...], most: int
    ) -> list[tuple[str | None, ...]]:
        return documents.keys_of(self._about(of_documents(kind)), self._organization_id, kind, where, names, most)

    def kept(self, kind: str, where: DocumentWhere, names: tuple[str, ...]) -> list[Kept]:
        return documents.kept(self._about(of_documents(kind)), self._organization_id, kind, where, names)

    def audit(self, where: AuditWhere, page: Page) -> Found[AuditEntry]:
        assert self._reading is None, _UNSTAMPED
        return audit.entries(self._run, self._organization_id, where, page)

    def audit_chain(self, after: int, size: int) -> list[Link]:
        return audit.links(self._run, self._organization_id, after, size)

    def audit_written(self) -> int:
        return audit.written(self._run, self._organization_id)

    def credentials(self, user_id: str, purposes: Collection[str]) -> list[Credential]:
        return credentials.of_user(self._run, self._organization_id, user_id, purposes)

    def body(self, kind: str, id: str, version: int) -> bytes | None:
        assert self._reading is None, _UNSTAMPED
        return audit.body(self._run, self._organization_id, kind, id, version)

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        assert self._reading is None, "what is remembered is made by reading"
        return self._transaction()

    def remembered(
        self, key: Hashable, make: Callable[[OrganizationRecords], T], holds: Callable[[T], bool] = always
    ) -> T:
        """See ports.OrganizationRecords."""

        def made(reading: Reading) -> T:
            return make(
                SqlOrganization(
                    self._organization_id, self._run, self._revision, self._transaction, self._memory, reading
                )
            )

        return self._memory.recall(self._organization_id, key, made, holds, self._reading)

    def _about(self, kind: str) -> Run:
        """How something of a kind is read; what is being remembered takes note of it."""
        if self._reading is not None:
            self._reading.note(kind)
        return self._run


class SqlTransaction(SqlOrganization):
    """The same view inside a transaction, which sees its own writes, and the writes.

    It is a kind of view because the port says so: whatever reads an organisation can be handed a transaction.
    """

    def __init__(
        self,
        organization_id: str,
        connection: Connection,
        revision: int,
        memory: Memory,
        witness: Witness | None = None,
    ) -> None:
        super().__init__(organization_id, self._read, lambda: revision, _never_nested, memory)
        self._connection: Connection | None = connection
        self._witness = witness
        self._changes: list[Change] = []
        self.written: set[str] = set()  # kinds, see `remembered.py`
        self._trail = audit.Trail(organization_id)

    def remembered(
        self, key: Hashable, make: Callable[[OrganizationRecords], T], holds: Callable[[T], bool] = always
    ) -> T:
        """Made anew, for it sees the writes made so far."""
        return make(self)

    def insert(self, entity: Entity[Any]) -> None:
        entity_writes.insert_entity(self._open(), self._organization_id, entity)
        self._trail.entity("CREATE", entity, entity.version, entity.modified, entity.modified_by)
        self._changes.append(Change(action=Action.CREATED, entity=entity, at=entity.modified))
        self.written |= {ENTITIES, type(entity.value).kind}

    def replace(self, entity: Entity[Any]) -> None:
        entity_writes.replace_entity(self._open(), self._organization_id, entity)
        self._trail.entity("UPDATE", entity, entity.version, entity.modified, entity.modified_by)
        self._changes.append(Change(action=Action.UPDATED, entity=entity, at=entity.modified))
        self.written |= {ENTITIES, type(entity.value).kind}

    def remove(self, entity: Entity[Any], *, at: datetime, by: str) -> None:
        entity_writes.remove_entity(self._open(), self._organization_id, entity, at=at, by=by)
        self._trail.entity("DELETE", entity, entity.version + 1, at, by)
        self._changes.append(Change(action=Action.DELETED, entity=entity, at=at))
        self.written |= {ENTITIES, type(entity.value).kind}

    def put_documents(self, kind: str, documents: Sequence[Document | FilledDocument]) -> None:
        if self._witness is not None:
            self._witness.documents(self, kind, documents)
        self.written.add(of_documents(kind))
        self._trail.documents(self._open(), kind, documents)
        _put(self._open(), self._organization_id, kind, documents)

    def remove_document(self, kind: str, id: str) -> None:
        if self._witness is not None:
            self._witness.removal(self, kind, (id,))
        self.written.add(of_documents(kind))
        self._trail.removed_documents(kind, (id,))
        _remove(self._open(), self._organization_id, kind, id)

    def remove_documents(self, kind: str, ids: Collection[str]) -> None:
        if self._witness is not None:
            self._witness.removal(self, kind, ids)
        self.written.add(of_documents(kind))
        self._trail.removed_documents(kind, tuple(ids))
        _remove_all(self._open(), self._organization_id, kind, ids)

    def note(self, action: str, kind: str, id: str, *, at: datetime, by: Actor) -> None:
        self._trail.act(action, kind, id, at, by)

    def finish(self) -> None:
        """Have the changes told, and write who did what, as the last of the transaction."""
        if self._witness is not None and self._changes:
            self._witness.entities(self, tuple(self._changes))
        self._trail.write(self._open())

    def put_credential(self, credential: Credential) -> None:
        credentials.put_credential(self._open(), self._organization_id, credential)

    def remove_credential(self, purpose: str, id: str) -> None:
        credentials.remove_credential(self._open(), self._organization_id, purpose, id)

    def remove_credentials(self, user_id: str, purposes: Collection[str]) -> None:
        credentials.remove_credentials(self._open(), self._organization_id, user_id, purposes)

    def remove_expired_credentials(self, by: datetime) -> None:
        credentials.remove_expired(self._open(), self._organization_id, by)

    def next_number(self, sequence: str, start: int) -> int:
        """Given back when the transaction is rolled back, so that numbers have no gaps."""
        parameters = {
            "organization_id": self._organization_id,
            "name": require_storable(sequence, "sequence"),
            "last": start,
        }
        connection = self._open()
        number: int = connection.execute(NEXT_NUMBER[connection.dialect.name], parameters).scalar_one()
        return number

    def end(self) -> None:
        """Forget the connection: a transaction that was kept beyond its block is a bug."""
        self._connection = None

    def _open(self) -> Connection:
        assert self._connection is not None, "the transaction has ended"
        return self._connection

    def _read(self, statement: Select[Any], parameters: Parameters) -> Sequence[Any]:
        return self._open().execute(statement, parameters).all()


def _next_number(build: Callable[[Table], Any]) -> Any:
    """Start a sequence of numbers, or move it on by one or to a start above that, and give the number."""
    statement = build(sequence_number)
    following, start = sequence_number.c.last + 1, statement.excluded.last
    return statement.on_conflict_do_update(
        index_elements=["organization_id", "name"], set_={"last": case((following < start, start), else_=following)}
    ).returning(sequence_number.c.last)


NEXT_NUMBER = {"sqlite": _next_number(sqlite.insert), "postgresql": _next_number(postgresql.insert)}
_put = documents.put_documents
_remove = documents.remove_document
_remove_all = documents.remove_documents


def _never_nested() -> AbstractContextManager[SqlTransaction]:
    raise AssertionError("a transaction inside a transaction")
