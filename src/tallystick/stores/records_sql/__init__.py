"""Records in a SQL database: SQLite by default, PostgreSQL at scale, one schema for both."""

from tallystick.stores.records_sql.records import SqlRecords, open_reading, open_records

__all__ = ["SqlRecords", "open_reading", "open_records"]
