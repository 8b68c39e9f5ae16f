"""The port `Records` on a SQL database: `open_records(url)`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select

from tallystick.errors import Refusal
from tallystick.ports import Actor, Credential, Organization, ServiceUser
from tallystick.ports.changes import Witness
from tallystick.stores.records_sql import credentials
from tallystick.stores.records_sql import organizations as statements
from tallystick.stores.records_sql.audit import Trail
from tallystick.stores.records_sql.engine import Database, connect, connect_reading
from tallystick.stores.records_sql.entities import Parameters
from tallystick.stores.records_sql.migrate import migrate
from tallystick.stores.records_sql.remembered import ENTITIES, Memory
from tallystick.stores.records_sql.texts import storable
from tallystick.stores.records_sql.view import SqlOrganization, SqlTransaction


def open_records(url: str, witness: Witness | None = None) -> SqlRecords:
    """Open the records at `sqlite:////absolute/path` or `postgresql+psycopg://…`, and bring them to the present
    schema; `witness` sees every change. Raises ValueError for another URL, Refusal `busy` when another process has the
    SQLite file open, and RuntimeError when a newer version of the program wrote them."""
    database = connect(url)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return SqlRecords(database, witness)


def open_reading(url: str) -> SqlRecords:
    """The records of a process that has them open, for another one that only reads."""
    return SqlRecords(connect_reading(url))


class SqlRecords:
    """All organisations. May be used from many threads.

    `revision` of an organisation counts the commits of this process; several processes on one PostgreSQL would
    need to tell each other, which is left to the day when they exist.
    """

    def __init__(self, database: Database, witness: Witness | None = None) -> None:
        self._database = database
        self._witness = witness
        self._revisions: defaultdict[str, int] = defaultdict(int)
        self._guard = threading.Lock()
        self._memory = Memory()

    def organization(self, id: str) -> SqlOrganization:
        """The view bound to one organisation; nothing is asked of the database yet."""
        return SqlOrganization(
            id, self._database.read, lambda: self._revisions.get(id, 0), lambda: self._transaction(id), self._memory
        )

    @contextmanager
    def still(self, id: str) -> Iterator[SqlOrganization]:
        """See ports.exports.Snapshots."""
        with self._database.still() as connection:

            def run(statement: Select[Any], parameters: Parameters) -> Sequence[Any]:
                return connection.execute(statement, parameters).all()

            yield SqlOrganization(id, run, lambda: 0, _only_reading, Memory())

    def organizations(self) -> list[Organization]:
        """All organisations, oldest first."""
        return [statements.read_organization(row) for row in self._database.read(statements.ORGANIZATIONS, {})]

    def written(self, after: int) -> tuple[int, list[str]]:
        """See ports.Records."""
        return self._memory.written(after)

    def add_organization(self, organization: Organization) -> None:
        """Keep a new organisation."""
        with self._database.writing(organization.id) as connection:
            connection.execute(statements.ADD_ORGANIZATION, statements.organization_row(organization))
        self._memory.forget(organization.id, (ENTITIES,))

    def find_organization(self, id: str) -> Organization | None:
        """The organisation with this id."""
        rows = self._database.read(statements.ORGANIZATION_BY_ID, {"id": id}) if storable(id) else ()
        return statements.read_organization(rows[0]) if rows else None

    def add_service_user(self, user: ServiceUser) -> None:
        """Keep a new service user of an organisation that exists."""
        with self._database.writing(user.organization_id) as connection:
            connection.execute(statements.ADD_USER, statements.user_row(user))
            _tell(connection, "CREATE", user, user.created)

    def replace_service_user(self, user: ServiceUser) -> None:
        """Overwrite a service user; only `created` and the organisation stay. Refusal `not_found` without one."""
        row = statements.user_row(user)
        with self._database.writing(user.organization_id) as connection:
            parameters = {**row, "of_id": row.pop("id"), "of_organization": row.pop("organization_id")}
            if connection.execute(statements.REPLACE_USER, parameters).rowcount == 0:
                raise Refusal("not_found", f"service user {user.id} does not exist")
            _tell(connection, "UPDATE" if user.revoked is None else "REVOKE", user, user.revoked or user.created)

    def service_user(self, id: str) -> ServiceUser | None:
        """The service user with this id."""
        rows = self._database.read(statements.USER_BY_ID, {"id": id}) if storable(id) else ()
        return statements.read_user(rows[0]) if rows else None

    def service_user_by_key(self, access_key: str) -> ServiceUser | None:
        """The service user that signs in with this key, revoked ones too."""
        rows = self._database.read(statements.USER_BY_KEY, {"access_key": access_key}) if storable(access_key) else ()
        return statements.read_user(rows[0]) if rows else None

    def service_users(self, organization_id: str) -> list[ServiceUser]:
        """The service users of an organisation, oldest first."""
        if not storable(organization_id):
            return []
        return [
            statements.read_user(row)
            for row in self._database.read(statements.USERS, {"organization_id": organization_id})
        ]

    def credential(self, purpose: str, id: str) -> Credential | None:
        """What lets somebody in for this purpose by this id, expired ones too."""
        return credentials.credential(self._database.read, purpose, id)

    def close(self) -> None:
        """Close the database. Nothing may be using it."""
        self._database.close()

    @contextmanager
    def _transaction(self, organization_id: str) -> Iterator[SqlTransaction]:
        written: set[str] = set()
        try:
            with self._database.writing(organization_id) as connection:
                revision = self._revisions.get(organization_id, 0)
                transaction = SqlTransaction(organization_id, connection, revision, self._memory, self._witness)
                try:
                    yield transaction
                    transaction.finish()
                    written = transaction.written  # what raises is rolled back
                finally:
                    transaction.end()
        finally:
            # Also when the commit raises: it may have happened all the same.
            if ENTITIES in written:
                with self._guard:
                    self._revisions[organization_id] += 1
            self._memory.forget(organization_id, written)  # last, for the revision may be remembered as well


def _only_reading() -> AbstractContextManager[SqlTransaction]:
    raise AssertionError("what is held still is only read")


OPERATOR = Actor(id="operator", kind="OPERATOR")


def _tell(connection: Connection, action: str, user: ServiceUser, at: datetime) -> None:
    trail = Trail(user.organization_id)
    trail.act(action, "serviceuser", user.id, at, OPERATOR)
    trail.write(connection)
