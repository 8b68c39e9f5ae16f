"""Opening the records: new, again, twice at once, from an older or a newer version; and who may sign in."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from records_examples import entity, keep, product
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from conftest import Server
from tallystick.core.catalog import Product
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Document, Organization, Records, ServiceUser
from tallystick.stores import records_sql
from tallystick.stores.records_sql import SqlRecords, open_records
from tallystick.stores.records_sql.migrate import MIGRATIONS
from tallystick.stores.records_sql.schema import SCHEMA_REVISION, metadata
from tallystick.stores.records_sql.view import SqlOrganization

CREATED = Instant.parse("2023-01-02T03:04:05.678901Z")


def new_organization(name: str = "Reed & Sons") -> Organization:
    return Organization(id=str(uuid.uuid4()), name=name, created=CREATED)


@pytest.fixture
def records_url(own_url: str) -> str:
    return own_url


def test_a_new_database_is_set_up_and_keeps_what_it_is_given(empty_url: str) -> None:
    tenant, kept = new_organization(), entity(product("p"))
    for opening in range(3):  # the migrations run once, and an existing database is as it was
        records = open_records(empty_url)
        organization = records.organization(tenant.id)
        if opening == 0:
            records.add_organization(tenant)
            with organization.transaction() as write:
                write.insert(kept)
        assert records.organizations() == [tenant]
        assert organization.get(Product, kept.id) == kept
        records.close()


def test_the_migrations_make_the_tables_that_the_schema_declares(empty_url: str) -> None:
    open_records(empty_url).close()
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_bills_of_the_first_schema_are_read_as_they_are(empty_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    tenant = new_organization()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        add = "INSERT INTO organization (id, name, created) VALUES (:id, 'x', '2023-01-02T03:04:05.678901Z')"
        connection.execute(text(add), {"id": tenant.id})
        add = "INSERT INTO bill (organization_id, id, sort, period_key, body) VALUES (:id, 'a', '1', 'p', :body)"
        connection.execute(text(add), {"id": tenant.id, "body": '{"whole": "ü"}'})
    engine.dispose()
    records = open_records(empty_url)
    assert records.organization(tenant.id).document("bill", "a") == Document(
        id="a", sort="1", keys={"period_key": "p"}, body='{"whole": "ü"}'.encode()
    )
    records.close()


def test_the_schema_names_the_newest_migration() -> None:
    migrations = Path(records_sql.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations)).get_heads() == [SCHEMA_REVISION]


def test_tables_are_strict_and_texts_compare_by_bytes(engine: str, records_url: str) -> None:
    opened = create_engine(records_url)
    with opened.connect() as connection:
        if engine == "sqlite":
            lax = "SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT strict AND name NOT LIKE 'sqlite_%'"
            assert connection.execute(text(lax)).scalars().all() == ["alembic_version"]
        else:
            linguistic = (
                "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' "
                "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
            )
            assert connection.execute(text(linguistic)).scalars().all() == []
    opened.dispose()


def test_a_newer_database_is_left_alone(records_url: str) -> None:
    engine = create_engine(records_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="schema 9999, this version knows up to"):
            open_records(records_url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE event (id INTEGER)"))  # in the way of the last tables
    with pytest.raises(Exception, match="event"):
        open_records(empty_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE event"))
    engine.dispose()
    open_records(empty_url).close()


@pytest.mark.parametrize(
    "url",
    ["mysql://host/db", "sqlite://", "sqlite:///relative.sqlite", "postgresql://host/db", "sqlite+aiosqlite:////x"],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="records: "):
        open_records(url)


class TestSqlite:
    """What holds for the embedded database only."""

    @pytest.fixture
    def engine(self) -> str:
        return "sqlite"

    def test_it_is_open_once(self, records_url: str, records: SqlRecords) -> None:
        path = records_url.removeprefix("sqlite:///")
        with pytest.raises(Refusal, match=f"{path} are open already") as refused:
            open_records(records_url)
        assert refused.value.code.name == "busy"
        script = f"from tallystick.stores.records_sql import open_records; open_records({records_url!r})"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert "are open already" in other.stderr
        records.close()
        open_records(records_url).close()

    def test_a_killed_process_leaves_it_whole_and_free(self, records_url: str) -> None:
        tenant = new_organization()
        script = (
            "import os; from datetime import *; from tallystick.ports import Organization\n"
            "from tallystick.stores.records_sql import open_records\n"
            f"records = open_records({records_url!r})\n"
            f"records.add_organization(Organization(id={tenant.id!r}, name='n', created=datetime.now(UTC)))\n"
            f"with records.organization({tenant.id!r}).transaction() as write:\n"
            "    write.next_number('invoice', 1)\n"
            "    os._exit(9)\n"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
        records = open_records(records_url)
        assert [each.id for each in records.organizations()] == [tenant.id]
        with records.organization(tenant.id).transaction() as write:
            assert write.next_number("invoice", 1) == 1
        records.close()

    def test_its_directory_is_made(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "a b?c#d%e" / "records.sqlite"
        records = open_records(f"sqlite:///{str(path).replace('?', '%3F').replace('%e', '%25e')}")
        records.add_organization(new_organization())
        assert len(records.organizations()) == 1
        records.close()

    def test_closing_folds_the_log_into_the_file(self, records_url: str, tmp_path: Path) -> None:
        records = open_records(records_url)
        records.add_organization(tenant := new_organization())
        keep(records.organization(tenant.id), product("p"))
        assert (tmp_path / "records.sqlite-wal").stat().st_size > 0
        records.close()
        assert sorted(os.listdir(tmp_path)) == ["records.sqlite", "records.sqlite.lock"]

    def test_settings_of_the_connections(self, records: SqlRecords) -> None:
        with records._database.writing("") as writer, records._database.reading() as reader:
            wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
            assert {name: writer.execute(text(f"PRAGMA {name}")).scalar() for name in wanted} == wanted
            assert reader.execute(text("PRAGMA wal_autocheckpoint")).scalar() == 0
            with pytest.raises(OperationalError, match="readonly database"):
                reader.execute(text("DELETE FROM organization"))


class TestPostgresql:
    """What holds for a server only."""

    @pytest.fixture
    def engine(self) -> str:
        return "postgresql"

    def test_a_server_that_comes_back_is_used_again(
        self, postgresql_server: Server, records: SqlRecords, organization: SqlOrganization
    ) -> None:
        (kept,) = keep(organization, product("p"))
        assert organization.get(Product, kept.id) == kept
        postgresql_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert organization.get(Product, kept.id) == kept
        with organization.transaction() as write:
            assert write.next_number("invoice", 1) == 1


def test_organizations_are_kept_in_order_of_creation(records: SqlRecords) -> None:
    port: Records = records  # the whole port is there, for the type checker to see
    first, second = (
        new_organization("\U0001f9fe 計量"),
        replace(new_organization(), created=datetime(2024, 1, 1, tzinfo=UTC)),
    )
    port.add_organization(second)
    port.add_organization(first)
    assert port.organizations() == [first, second]
    assert port.find_organization(first.id) == first
    assert port.find_organization(str(uuid.uuid4())) is None
    assert port.find_organization("\0") is None
    with pytest.raises(Refusal, match="name"):
        port.add_organization(new_organization("a\0b"))
    with pytest.raises(IntegrityError):  # an id given twice is a bug
        port.add_organization(first)


def test_service_users_are_found_by_id_key_and_organization(records: SqlRecords, organization: SqlOrganization) -> None:
    user = ServiceUser(
        id=str(uuid.uuid4()),
        organization_id=organization.organization_id,
        name="Robot",
        access_key="key",
        secret_digest="digest",
        scopes=("a", "b"),
        created=CREATED,
    )
    other = replace(user, id=str(uuid.uuid4()), access_key="KEY", created=datetime(2024, 1, 1, tzinfo=UTC))
    records.add_service_user(other)
    records.add_service_user(user)
    assert records.service_user(user.id) == user
    assert records.service_user_by_key("key") == user
    assert records.service_user_by_key("KEY") == other
    assert records.service_users(organization.organization_id) == [user, other]
    revoked = replace(user, secret_digest="new", scopes=(), revoked=CREATED)
    records.replace_service_user(revoked)
    assert records.service_user_by_key("key") == revoked
    for nothing in ("", "ke", "key\0", "\ud800"):
        assert records.service_user_by_key(nothing) is None
        assert records.service_user(nothing) is None
        assert records.service_users(nothing) == []
    with pytest.raises(Refusal, match="does not exist"):
        records.replace_service_user(replace(user, id=str(uuid.uuid4())))
    with pytest.raises(Refusal, match="does not exist"):
        records.replace_service_user(replace(user, organization_id=str(uuid.uuid4())))
    with pytest.raises(IntegrityError):  # a key given twice is a bug
        records.add_service_user(replace(user, id=str(uuid.uuid4())))
