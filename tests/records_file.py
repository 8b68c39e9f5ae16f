"""Records of one's own for a test: a copy of an empty file that was migrated once, for migrating takes longer than most
tests. That migrating does what it should is proven by the tests of opening records."""

from __future__ import annotations

from pathlib import Path

from tallystick.ports.changes import Witness
from tallystick.stores.records_sql import SqlRecords, open_records

_migrated: list[bytes] = []


def new_records(path: Path, witness: Witness | None = None) -> SqlRecords:
    """Opens empty records in a new file."""
    assert not path.exists(), path
    url = f"sqlite:///{path}"
    if not _migrated:
        open_records(url).close()
        _migrated.append(path.read_bytes())
    assert _migrated[0].startswith(b"SQLite format 3")
    path.write_bytes(_migrated[0])
    return open_records(url, witness)
