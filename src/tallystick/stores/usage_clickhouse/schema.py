"""The tables of the usage store, and which physical column holds which field of a meter.

A meter's fields live in slots: columns `n0, n1, …` for numbers and `t0, t1, …` for texts that all meters share. The
table `slot` keeps the map; callers speak field codes only. A field that changes from number to text gets another slot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from tallystick.stores.usage_clickhouse.connection import DATABASE, Connection

NUMBER = "n"
TEXT = "t"
_TYPES = {NUMBER: "Nullable(Decimal(38, 18))", TEXT: "Nullable(String)"}
_SLOTS_AT_ONCE = 4  # columns are added in small groups, so that most meters need no change of the table

# A part is on disk, and so is its name in the directory, before an insert or a merge says so.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1"


def _settings(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


# How measurements are laid out in parts (docs/decisions/0557-parts-of-measurements.md). Tables of before are given the
# same on opening; the parts that they have stay as they are.
_LAYOUT = {
    # One file for all columns of what is inserted, and a file for each of what is merged: an insert costs half as much.
    "min_bytes_for_wide_part": "33554432",
    # Eight parts of like size become one, instead of five: each measurement is written again less often.
    "merge_selector_base": "8",
    # No question is answered any sooner for the statistics that the engine would keep of each column.
    "auto_statistics_types": "''",
}

_TABLES = (
    # Measurements. Months keep a bill's question to its own parts, by the least and greatest ts of each part; years
    # outside of the present decades keep stray timestamps from making thousands of partitions. `position` is indexed so
    # that what lies above the mark is found at once. Granules are small, for what is read of each part for a question
    # about one account is whole granules (docs/decisions/0253-small-granules.md).
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.measurement (
        organization LowCardinality(String),
        meter LowCardinality(String),
        account String,
        uid String,
        position UInt64,
        ts DateTime64(6, 'UTC'),
        ets Nullable(DateTime64(6, 'UTC')),
        received DateTime64(6, 'UTC'),
        extra Nullable(String),
        INDEX by_position position TYPE minmax GRANULARITY 1
    ) ENGINE = MergeTree
    PARTITION BY if(toYear(ts) BETWEEN 2015 AND 2050, toYear(ts) * 100 + toMonth(ts), toYear(ts) * 100)
    ORDER BY (organization, meter, account, ts)
    SETTINGS index_granularity = 1024, {_DURABLE}, {_settings(_LAYOUT)}""",
    # What was withdrawn: each row names a measurement by its `position` and is in force from the position `at` on. It
    # has what the measurement is asked for by, so that a question reads no more of it than of the measurements.
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.withdrawn (
        organization LowCardinality(String),
        meter LowCardinality(String),
        account String,
        ts DateTime64(6, 'UTC'),
        position UInt64,
        at UInt64
    ) ENGINE = MergeTree ORDER BY (organization, meter, account, ts)
    SETTINGS {_DURABLE}""",
    # Which column holds a field: one row per organisation, meter, field code and kind ("n" or "t").
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.slot (
        organization String, meter String, field String, kind String, number UInt32
    ) ENGINE = MergeTree ORDER BY (organization, meter, kind, number)
    SETTINGS {_DURABLE}""",
    # The journal position up to which measurements are complete: the greatest counts, merges drop the others.
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.mark (position UInt64)
    ENGINE = ReplacingMergeTree(position) ORDER BY tuple()
    SETTINGS {_DURABLE}""",
)


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of one meter's fields, by field code; and whether any of its measurements was ever withdrawn."""

    numbers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    withdrawn: bool = False

    def columns(self, kind: str) -> Mapping[str, str]:
        """The columns of one kind."""
        return self.numbers if kind == NUMBER else self.texts

    def having(self, kind: str, code: str, column: str) -> Fields:
        """These and one more."""
        if kind == NUMBER:
            return replace(self, numbers={**self.numbers, code: column})
        return replace(self, texts={**self.texts, code: column})


NO_FIELDS = Fields()


class Schema:
    """Creates the tables, and gives out slots. Any thread may ask for fields; one thread declares them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: dict[tuple[str, str], Fields] = {}
        self._slots = {NUMBER: 0, TEXT: 0}
        connection.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        for table in _TABLES:
            connection.command(table)
        self._lay_out()
        for organization, meter, code, kind, number in connection.rows(
            f"SELECT organization, meter, field, kind, number FROM {DATABASE}.slot ORDER BY kind, number"
        ):
            self._keep(organization, meter, kind, code, number)
        found = connection.rows(f"SELECT DISTINCT organization, meter FROM {DATABASE}.withdrawn")
        self.note_withdrawn((organization, meter) for organization, meter in found)
        # After a power loss a column may be gone from the table's definition while its values are in the parts.
        for kind in (NUMBER, TEXT):
            used = max((len(fields.columns(kind)) for fields in self._fields.values()), default=0)
            self._widen(kind, max(used, _SLOTS_AT_ONCE))
        _sync_definitions(connection.directory)

    def fields(self, organization: str, meter: str) -> Fields:
        """The columns of a meter's fields, as far as any measurement had them."""
        return self._fields.get((organization, meter), NO_FIELDS)

    def meters(self, organization: str) -> dict[str, Fields]:
        """The meters of an organisation that measurements have had fields of."""
        return {meter: fields for (owner, meter), fields in list(self._fields.items()) if owner == organization}

    def every(self) -> dict[tuple[str, str], Fields]:
        """The columns of every (organization, meter)."""
        return dict(self._fields)

    def declare(self, fields: Iterable[tuple[str, str, str, str]]) -> None:
        """Give each field (organization, meter, kind, code) that has none a slot: durable before a row uses it."""
        new: list[tuple[str, str, str, str, int]] = []
        for organization, meter, kind, code in fields:
            known = self.fields(organization, meter).columns(kind)
            assert code not in known, f"{code} has a slot"
            number = len(known) + sum(each[:3] == (organization, meter, kind) for each in new)
            new.append((organization, meter, kind, code, number))
        if not new:
            return
        for kind in (NUMBER, TEXT):
            self._widen(kind, 1 + max((number for _, _, each, _, number in new if each == kind), default=-1))
        organizations, meters, kinds, codes, numbers = zip(*new, strict=True)
        self._connection.insert(
            "slot",
            pa.table(
                {
                    "organization": pa.array(organizations, pa.string()),
                    "meter": pa.array(meters, pa.string()),
                    "field": pa.array(codes, pa.string()),
                    "kind": pa.array(kinds, pa.string()),
                    "number": pa.array(numbers, pa.uint32()),
                }
            ),
        )
        for organization, meter, kind, code, number in new:
            self._keep(organization, meter, kind, code, number)

    def note_withdrawn(self, meters: Iterable[tuple[str, str]]) -> None:
        """From now on questions about these (organization, meter) leave out what was withdrawn."""
        for organization, meter in meters:
            self._fields[organization, meter] = replace(self.fields(organization, meter), withdrawn=True)

    def _keep(self, organization: str, meter: str, kind: str, code: str, number: int) -> None:
        fields = self.fields(organization, meter)
        # Replaced, never changed: a reader in another thread holds a whole map.
        self._fields[organization, meter] = fields.having(kind, code, f"{kind}{number}")

    def _lay_out(self) -> None:
        """Have the table of measurements, which may be of before, write its parts as it is to be written now."""
        said = str(
            self._connection.rows(
                f"SELECT engine_full FROM system.tables WHERE database = '{DATABASE}' AND name = 'measurement'"
            )[0][0]
        )
        missing = {name: value for name, value in _LAYOUT.items() if f"{name} = {value}" not in said}
        if missing:
            self._connection.command(f"ALTER TABLE {DATABASE}.measurement MODIFY SETTING {_settings(missing)}")

    def _widen(self, kind: str, slots: int) -> None:
        if slots <= self._slots[kind]:
            return
        wanted = -(-slots // _SLOTS_AT_ONCE) * _SLOTS_AT_ONCE
        added = ", ".join(
            f"ADD COLUMN IF NOT EXISTS {kind}{number} {_TYPES[kind]}" for number in range(self._slots[kind], wanted)
        )
        self._connection.command(f"ALTER TABLE {DATABASE}.measurement {added}")
        self._slots[kind] = wanted


def _sync_definitions(directory: Path) -> None:
    """Make the names of the tables' definition files durable: the engine syncs the files, not always their names."""
    store = directory / "store"
    for each in (directory, directory / "metadata", store, *store.glob("*"), *store.glob("*/*")):
        if each.is_dir():
            descriptor = os.open(each, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
