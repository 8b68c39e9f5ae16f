"""The audit trail of an organisation: what a transaction changes is gathered, and written at its end, within it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from tallystick.core import wire
from tallystick.core.difference import differences
from tallystick.core.entity import Entity
from tallystick.ports import Actor, AuditEntry, AuditWhere, Document, DocumentWhere, Found, Page
from tallystick.ports.audit import ORIGIN
from tallystick.stores.records_sql import documents as stored
from tallystick.stores.records_sql.entities import Run
from tallystick.stores.records_sql.paging import EntityPlace, read_token, write_token
from tallystick.stores.records_sql.schema import audit_entry, entity_version, sequence_number
from tallystick.stores.records_sql.texts import moment, stamp, storable

# Documents whose changes are told; the others are the server's own notes, or are kept for ever by themselves.
AUDITED = frozenset(
    {"bill", "billjob", "ledgerentry", "failedmeasurement", "replayjob", "statementjob", "portalsession"}
)
# Of these, changes by the server itself too, many at once as one entry.
AUDITED_ALWAYS = frozenset({"bill"})
AT_ONCE = 200  # documents that are read together to tell what changed of them
SEQUENCE = "audit"
SERVER = Actor(id="server", kind="SERVER")

ADD = insert(audit_entry)


class Trail:
    """What one transaction changed so far."""

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id
        self._rows: list[dict[str, Any]] = []
        self._many: dict[str, dict[str, Any]] = {}

    def entity(self, action: str, changed: Entity[Any], version: int, at: datetime, by: str) -> None:
        """An entity was added, replaced or removed."""
        # Of what is written on nobody's request: the operator's own commands, or the server itself.
        actor = Actor(id=by, kind="OPERATOR") if by == "operator" else Actor(id=by, kind="SERVER")
        self._add(action, changed.value.kind, changed.id, version=version, at=at, by=actor)

    def act(self, action: str, kind: str, id: str, at: datetime, by: Actor) -> None:
        """Something was done that changes no entity, such as signing in."""
        self._add(action, kind, id, at=at, by=by)

    def documents(self, connection: Connection, kind: str, written: Sequence[Document]) -> None:
        """Documents are about to be written."""
        if kind not in AUDITED or not written:
            return
        if ORIGIN.get() is None:
            if kind in AUDITED_ALWAYS:
                self._count(kind, written)
            return

        def run(statement: Select[Any], parameters: Any) -> Sequence[Any]:
            return connection.execute(statement, parameters).all()

        for start in range(0, len(written), AT_ONCE):
            part = written[start : start + AT_ONCE]
            where = DocumentWhere(equal={"id": [new.id for new in part]})
            found = stored.documents(run, self._organization_id, kind, where, Page(size=AT_ONCE)).rows
            before = {each.id: each.body for each in found}
            for new in part:
                change = wire.encode(differences(before.get(new.id), new.body, shallow=True))
                self._add("UPDATE" if new.id in before else "CREATE", kind, new.id, change=change)

    def removed_documents(self, kind: str, ids: Sequence[str]) -> None:
        """Documents are about to be deleted."""
        if kind in AUDITED and ORIGIN.get() is not None:
            for each in ids:
                self._add("DELETE", kind, each)

    def write(self, connection: Connection) -> None:
        """Write what was gathered, numbered without gaps."""
        rows = [*self._rows, *self._many.values()]
        if not rows:
            return
        parameters = {"organization_id": self._organization_id, "name": SEQUENCE, "last": len(rows)}
        last = connection.execute(_NEXT_NUMBERS[connection.dialect.name], parameters).scalar_one()
        for number, row in enumerate(rows, start=last - len(rows) + 1):
            row["number"] = number
        connection.execute(ADD, rows)

    def _count(self, kind: str, written: Sequence[Document]) -> None:
        if kind not in self._many:
            job = written[0].keys.get("job_id") or written[0].id
            self._add("CALCULATE" if written[0].keys.get("job_id") else "UPDATE", kind, job)
            self._many[kind] = {**self._rows.pop(), "count": 0}
        self._many[kind]["count"] += len(written)

    def _add(
        self,
        action: str,
        kind: str,
        id: str,
        *,
        version: int | None = None,
        at: datetime | None = None,
        by: Actor = SERVER,
        change: bytes = b"[]",
    ) -> None:
        origin = ORIGIN.get()
        actor = by if origin is None else origin.actor
        self._rows.append(
            {
                "organization_id": self._organization_id,
                "at": stamp(at or (origin.at if origin else datetime.now(UTC))),
                "actor_id": actor.id,
                "actor_kind": actor.kind,
                "request_id": "" if origin is None else origin.request_id,
                "action": action,
                "kind": kind,
                "id": id,
                "version": version,
                "count": 1,
                "change": change.decode(),
            }
        )


def entries(run: Run, organization_id: str, where: AuditWhere, page: Page) -> Found[AuditEntry]:
    """One page of the entries that match, latest first."""
    assert page.size > 0, "a page has at least one row"
    parameters: dict[str, Any] = {"organization_id": organization_id, "size": page.size + 1}
    if page.token:
        parameters["below"] = read_token(page.token, EntityPlace).sequence
    equal = []
    for name in ("actor_id", "kind", "id", "action"):
        wanted = getattr(where, name)
        if wanted is not None:
            if not storable(wanted):
                return Found(())
            parameters[f"equal_{name}"] = wanted
            equal.append(name)
    if where.since is not None:
        parameters["since"] = stamp(where.since)
    if where.until is not None:
        parameters["until"] = stamp(where.until)
    statement = _listing(tuple(equal), where.since is not None, where.until is not None, "below" in parameters)
    rows = run(statement, parameters)
    shown = tuple(_entry(row) for row in rows[: page.size])
    more = len(rows) > page.size
    return Found(shown, write_token(EntityPlace(shown[-1].number)) if more else None)


def body(run: Run, organization_id: str, kind: str, id: str, version: int) -> bytes | None:
    """The JSON of an entity as it stood at a version; None for the version that its removal is, and unknown ones."""
    if not (storable(kind) and storable(id)):
        return None
    rows = run(BODY, {"organization_id": organization_id, "kind": kind, "id": id, "version": version})
    return str(rows[0].body).encode() if rows else None


# An entity of any kind as it stood at a version.
BODY = select(entity_version.c.body).where(
    entity_version.c.organization_id == bindparam("organization_id"),
    entity_version.c.kind == bindparam("kind"),
    entity_version.c.id == bindparam("id"),
    entity_version.c.version == bindparam("version"),
    entity_version.c.removed == 0,
)


@cache
def _listing(equal: tuple[str, ...], since: bool, until: bool, goes_on: bool) -> Select[Any]:
    """Entries that have the wanted texts and lie in the wanted time, from the place of the page on."""
    table = audit_entry
    statement = select(table).where(table.c.organization_id == bindparam("organization_id"))
    for name in equal:
        statement = statement.where(table.c[name] == bindparam(f"equal_{name}"))
    if since:
        statement = statement.where(table.c.at >= bindparam("since"))
    if until:
        statement = statement.where(table.c.at < bindparam("until"))
    if goes_on:
        statement = statement.where(table.c.number < bindparam("below"))
    return statement.order_by(table.c.number.desc()).limit(bindparam("size"))


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at=moment(row.at),
        actor_id=row.actor_id,
        actor_kind=row.actor_kind,
        request_id=row.request_id,
        action=row.action,
        kind=row.kind,
        id=row.id,
        version=row.version,
        count=row.count,
        change=row.change.encode(),
    )


def _next_numbers(build: Any) -> Any:
    """Move the sequence on by as many as there are, and give the last."""
    statement = build(sequence_number)
    moved: Any = sequence_number.c.last + statement.excluded.last
    return statement.on_conflict_do_update(index_elements=["organization_id", "name"], set_={"last": moved}).returning(
        sequence_number.c.last
    )


_NEXT_NUMBERS = {"sqlite": _next_numbers(sqlite.insert), "postgresql": _next_numbers(postgresql.insert)}
