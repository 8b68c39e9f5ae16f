"""Bringing a database to the present schema, when it is opened."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from tallystick.stores.records_sql.engine import Database
from tallystick.stores.records_sql.schema import SCHEMA_REVISION

MIGRATIONS = "tallystick.stores.records_sql:migrations"
_EVERYBODY = ""  # no organisation: the lock that keeps migrations of other processes apart


def migrate(database: Database) -> None:
    """Run the migrations that the database lacks: all of them, or none when one fails.

    Raises RuntimeError when the database was written by a newer version of the program.
    """
    with database.reading() as connection:
        if stored_revision(connection) == SCHEMA_REVISION:
            return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    with database.writing(_EVERYBODY) as connection:
        stored = stored_revision(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if stored is not None and stored not in known:
            raise RuntimeError(
                f"the records have schema {stored}, this version knows up to {SCHEMA_REVISION}: "
                "run the newer version of tallystick"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, SCHEMA_REVISION)


def stored_revision(connection: Connection) -> str | None:
    """The revision that the database has, None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
