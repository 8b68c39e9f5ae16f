"""The audit trail of an organisation: what a transaction changes is gathered, and written at its end, within it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from tallystick.core import wire
from tallystick.core.audit_chain import START, Link, content_digest, link_digest
from tallystick.core.difference import differences
from tallystick.core.entity import Entity
from tallystick.ports import Actor, AuditEntry, AuditWhere, Document, DocumentWhere, FilledDocument, Found, Page
from tallystick.ports.audit import ORIGIN
from tallystick.stores.records_sql import documents as stored
from tallystick.stores.records_sql.entities import Run
from tallystick.stores.records_sql.paging import EntityPlace, read_token, write_token
from tallystick.stores.records_sql.schema import audit_entry, entity_version, sequence_number
from tallystick.stores.records_sql.texts import moment, stamp, storable

# Documents whose changes are told; the others are the server's own notes, or are kept for ever by themselves.
AUDITED = frozenset(
    {
        *(
            "bill",
            "billhold",
            "billjob",
            "ledgerentry",
            "failedmeasurement",
            "replayjob",
            "statementjob",
            "portalsession",
        ),
        *("usagecorrection", "correctionmemo"),
        *("sourceupload", "reconciliationrun", "measurementfile", "exportjob"),
    }
)
# Of these, changes by the server itself too, many at once as one entry.
AUDITED_ALWAYS = frozenset({"bill", "usagecorrection", "correctionmemo"})
AT_ONCE = 200  # documents that are read together to tell what changed of them
SEQUENCE = "audit"
SERVER = Actor(id="server", kind="SERVER")

ADD = insert(audit_entry)
# All that an entry says, in the order in which its digest covers it.
FACTS = tuple(column.name for column in audit_entry.c if column.name != "digest")
DIGEST = select(audit_entry.c.digest).where(
    audit_entry.c.organization_id == bindparam("organization_id"), audit_entry.c.number == bindparam("number")
)
WRITTEN = select(sequence_number.c.last).where(
    sequence_number.c.organization_id == bindparam("organization_id"), sequence_number.c.name == bindparam("name")
)
# Entries, oldest first, and of each the version of an entity that it tells of.
LINKS = (
    select(audit_entry, entity_version.c.body)
    .outerjoin(
        entity_version,
        and_(
            audit_entry.c.content != "",
            *(entity_version.c[name] == audit_entry.c[name] for name in ("organization_id", "kind", "id", "version")),
        ),
    )
    .where(audit_entry.c.organization_id == bindparam("organization_id"), audit_entry.c.number > bindparam("after"))
    .order_by(audit_entry.c.number)
    .limit(bindparam("size"))
)


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
        made = (version, content_digest(wire.encode(changed.value)))
        self._add(action, changed.value.kind, changed.id, made=made, at=at, by=actor)

    def act(self, action: str, kind: str, id: str, at: datetime, by: Actor) -> None:
        """Something was done that changes no entity, such as signing in."""
        self._add(action, kind, id, at=at, by=by)

    def documents(self, connection: Connection, kind: str, written: Sequence[Document | FilledDocument]) -> None:
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
        """Write what was gathered, numbered without gaps and chained to the entry before."""
        rows = [*self._rows, *self._many.values()]
        if not rows:
            return
        parameters = {"organization_id": self._organization_id, "name": SEQUENCE, "last": len(rows)}
        last = connection.execute(_NEXT_NUMBERS[connection.dialect.name], parameters).scalar_one()
        first = last - len(rows) + 1
        before = _digest_of(connection, self._organization_id, first - 1)
        for number, row in enumerate(rows, start=first):
            row["number"] = number
            row["digest"] = before = link_digest(before, tuple(row[name] for name in FACTS))
        connection.execute(ADD, rows)

    def _count(self, kind: str, written: Sequence[Document | FilledDocument]) -> None:
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
        made: tuple[int | None, str] = (None, ""),
        at: datetime | None = None,
        by: Actor = SERVER,
        change: bytes = b"[]",
    ) -> None:
        """`made`: the version of an entity that it made, and the digest of what stands there."""
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
                "version": made[0],
                "count": 1,
                "change": change.decode(),
                "content": made[1],
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


def links(run: Run, organization_id: str, after: int, size: int) -> list[Link]:
    """Entries behind a number, oldest first, as they stand."""
    rows = run(LINKS, {"organization_id": organization_id, "after": after, "size": size})
    return [
        Link(
            number=row.number,
            facts=tuple(getattr(row, name) for name in FACTS),
            digest=row.digest,
            content=row.content,
            found=None if row.body is None else content_digest(row.body.encode()),
        )
        for row in rows
    ]


def written(run: Run, organization_id: str) -> int:
    """The number of the last entry that was written."""
    rows = run(WRITTEN, {"organization_id": organization_id, "name": SEQUENCE})
    return int(rows[0].last) if rows else 0


def _digest_of(connection: Connection, organization_id: str, number: int) -> str:
    """What the next entry is chained to. Where somebody took it out of the database, to nothing: the audit's check
    says so, and what people do goes on."""
    if number == 0:
        return START
    found = connection.execute(DIGEST, {"organization_id": organization_id, "number": number}).scalar_one_or_none()
    return START if found is None else str(found)


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
