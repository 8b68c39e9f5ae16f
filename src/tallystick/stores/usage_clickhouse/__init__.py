"""The usage store on the ClickHouse engine: in this process (chDB), and later on a server, with the same SQL.

Open it only in the server's worker process and never fork afterwards: the engine owns its directory and its threads.
"""

from tallystick.stores.usage_clickhouse.store import ClickHouseUsage

__all__ = ["ClickHouseUsage"]
