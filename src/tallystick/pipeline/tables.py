"""Read lookup tables for formulas: every revision that was ever published, with its rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tallystick.core.entity import Entity
from tallystick.core.lookup_types import LookupData, LookupTable, LookupTableRevision
from tallystick.ports import OrganizationRecords, Where


def read_tables(records: OrganizationRecords, codes: Collection[str]) -> list[Entity[Any]]:
    """The tables with these codes, as far as they exist, their published revisions, and the rows of those."""
    found = [records.by_code(LookupTable, code) for code in sorted(set(codes))]
    tables = [each for each in found if each is not None]
    if not tables:
        return []
    of_tables = Where(equal={"lookup_table_id": [each.id for each in tables]})
    revisions = [each for each in records.every(LookupTableRevision, of_tables) if each.value.published_at is not None]
    ids = [each.id for each in revisions]
    data = list(records.every(LookupData, Where(equal={"lookup_table_revision_id": ids}))) if ids else []
    return [*tables, *revisions, *data]
