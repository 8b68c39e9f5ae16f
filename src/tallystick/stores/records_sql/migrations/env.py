"""Runs the migrations on the connection, and inside the transaction, that `migrate` hands over."""

from alembic import context

from tallystick.stores.records_sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
