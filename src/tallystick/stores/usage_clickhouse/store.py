"""The usage store: what is kept, up to which journal position, and how it recovers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tallystick.core.aggregation import Measured, Question
from tallystick.core.period import Instant
from tallystick.core.running import Collected
from tallystick.core.set_hash import SetHash
from tallystick.failpoints import reached
from tallystick.ports import Behind, UsageAnswer, UsageBlock, UsageQuery, UsageRow, Withdrawn
from tallystick.ports.usage import Arrival, ArrivalQuery, Undeclared, UsageRun
from tallystick.stores.usage_clickhouse import (
    arrivals,
    collecting,
    explorer,
    exporting,
    lineage,
    questions,
    supposing,
    together,
)
from tallystick.stores.usage_clickhouse.block import block, joined, undeclared, undeclared_of_blocks, withdrawals
from tallystick.stores.usage_clickhouse.connection import DATABASE, Bindings, Connection
from tallystick.stores.usage_clickhouse.digest import digest
from tallystick.stores.usage_clickhouse.schema import Fields, Schema

_ROWS_AT_ONCE = 100_000


class ClickHouseUsage:
    """A UsageStore in a directory of its own, with the engine in this process.

    Rows are written first and the mark after them. An insert that touches several months may be cut short between two
    of them, so what lies above the mark is remembered on opening (and after a failed insert) and is not added again.
    """

    def __init__(self, directory: Path) -> None:
        """Open the store, creating it if need be; a process can have one such directory open.

        ValueError for a path that the engine would read as another one.
        """
        if "?" in str(directory.resolve()):
            raise ValueError(f"{directory}: the path of the data directory cannot have a ? in it")
        directory.mkdir(parents=True, exist_ok=True)
        self._connection = Connection(directory)
        self._arrived: dict[str, int] = {}  # by organisation, the mark of what came last
        try:
            self._schema = Schema(self._connection)
            self._mark = self._stored_mark()
            self._ahead: frozenset[int] | None = self._stored_above(self._mark)
            block([], self._schema.fields)  # loads libraries that the first measurement would wait half a second for
        except BaseException:
            self._connection.close()
            raise

    def organization(self, id: str) -> ClickHouseOrganizationUsage:
        """The view bound to one organisation."""
        return ClickHouseOrganizationUsage(self._connection, self._schema, id, lambda: self._mark)

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        """Keep rows up to the journal position `mark`: on disk, once each, when this returns. Called by one thread.

        Rows at or below the present mark are known already. After an error the same rows may be added again.
        """
        if mark <= self._mark:
            return
        assert all(row.position <= mark for row in rows), f"a row lies above the mark {mark}"
        if self._ahead is None:
            self._ahead = self._stored_above(self._mark)
        ahead, self._ahead = self._ahead, None
        fresh = [row for row in rows if row.position > self._mark and row.position not in ahead]
        for first in range(0, len(fresh), _ROWS_AT_ONCE):
            self._insert(fresh[first : first + _ROWS_AT_ONCE])
        unknown = [each for each in (_above(each, self._mark, ahead) for each in blocks) if len(each)]
        if unknown:
            self._schema.declare(undeclared_of_blocks(unknown, self._schema.fields))
            self._connection.insert("measurement", joined(unknown, self._schema.fields))
        out = [each for each in withdrawn if each.position > self._mark and each.position not in ahead]
        if out:
            self._schema.note_withdrawn({(each.organization_id, each.meter_id) for each in out})
            self._connection.insert("withdrawn", withdrawals(out))
        reached("projection.inserted")
        self._keep_mark(mark)
        self._mark = mark
        for added in (rows, blocks, withdrawn):
            self._arrived |= dict.fromkeys({each.organization_id for each in added}, mark)
        self._ahead = frozenset(position for position in ahead if position > mark)
        reached("projection.marked")

    def arrived(self, organization_id: str) -> int:
        """See ports.UsageStore."""
        return self._arrived.get(organization_id, 0)

    def position_by(self, moment: Instant) -> int:
        """See ports.UsageStore."""
        return lineage.position_by(self._connection, moment)

    @property
    def mark(self) -> int:
        """The journal position up to which the store is complete."""
        return self._mark

    def digest(self) -> str:
        """What is kept, as one text: equal for equal measurements, however they came in."""
        return digest(self._connection, self._schema.every())

    def close(self) -> None:
        """Close the handles of all threads and stop the engine."""
        self._connection.close()

    def _insert(self, rows: Sequence[UsageRow]) -> None:
        self._schema.declare(undeclared(rows, self._schema.fields))
        self._connection.insert("measurement", block(rows, self._schema.fields))

    def _keep_mark(self, mark: int) -> None:
        self._connection.insert("mark", pa.table({"position": pa.array([mark], pa.uint64())}))

    def _stored_mark(self) -> int:
        """The greatest mark ever kept; 0 in a new store."""
        return int(self._connection.rows(f"SELECT max(position) FROM {DATABASE}.mark")[0][0])

    def _stored_above(self, mark: int) -> frozenset[int]:
        """Positions that are stored although the mark does not say so."""
        bindings = Bindings()
        above = bindings.bind(mark, "UInt64")
        statement = f"""SELECT position FROM {DATABASE}.measurement WHERE position > {above}
            UNION ALL SELECT at FROM {DATABASE}.withdrawn WHERE at > {above}"""
        return frozenset(position for (position,) in self._connection.rows(statement, bindings))


def _above(block: UsageBlock, mark: int, ahead: frozenset[int]) -> UsageBlock:
    """Those of a block's measurements that are not stored yet."""
    if not ahead and np.array_equal(block.positions > mark, block.positions > 0):
        return block
    return block.taking((block.positions > mark) & ~np.isin(block.positions, list(ahead)))


class ClickHouseOrganizationUsage:
    """Measurements of one organisation. Any thread may ask."""

    def __init__(self, connection: Connection, schema: Schema, organization_id: str, mark: Callable[[], int]) -> None:
        self._connection = connection
        self._schema = schema
        self._organization_id = organization_id
        self._mark = mark

    def measure(self, question: Question) -> list[Measured]:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, question.meter_id)
        return questions.measure(self._connection, self._organization_id, fields, question)

    def measure_many(self, asked: Sequence[Question]) -> list[Iterable[Measured]]:
        """See ports.OrganizationUsage."""
        return together.measure_many(self._connection, self._organization_id, self._schema.fields, asked)

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> list[Measured]:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, question.meter_id)
        return supposing.measure_as_if(self._connection, self._organization_id, fields, question, without, added)

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, question.meter_id)
        return collecting.collect(self._connection, self._organization_id, fields, question, after, most)

    def by_stretch(self, behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, behind.question.meter_id)
        return lineage.by_stretch(self._connection, self._organization_id, fields, behind, starts)

    def behind(self, behind: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, behind.question.meter_id)
        return lineage.behind(self._connection, self._organization_id, fields, behind, after, limit)

    def set_of(self, behind: Behind) -> SetHash:
        """See ports.OrganizationUsage."""
        fields = self._schema.fields(self._organization_id, behind.question.meter_id)
        return lineage.set_of(self._connection, self._organization_id, fields, behind)

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        """See ports.OrganizationUsage."""
        came, withdrawn = (before, after, up_to), any(each.withdrawn for each in self._meters().values())
        return questions.late_accounts(self._connection, self._organization_id, accounts, came, withdrawn=withdrawn)

    def arrivals(self, query: ArrivalQuery) -> list[Arrival]:
        """See ports.OrganizationUsage."""
        return arrivals.arrivals(self._connection, self._organization_id, query, self._mark())

    def undeclared(self, meter_ids: Sequence[str], start: Instant, end: Instant, most: int) -> list[Undeclared]:
        """See ports.OrganizationUsage."""
        return arrivals.undeclared(self._connection, self._organization_id, meter_ids, (start, end), most, self._mark())

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        """See ports.OrganizationUsage."""
        return explorer.query(self._connection, self._organization_id, self._meters(), query, self._mark())

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        return explorer.raw(self._connection, self._organization_id, self._meters(), query, self._mark())

    def count(self, query: UsageQuery) -> int:
        """See ports.OrganizationUsage."""
        return explorer.count(self._connection, self._organization_id, self._meters(), query, self._mark())

    def meters(self) -> list[str]:
        """See ports.OrganizationUsage."""
        return sorted(self._meters())

    def columns(self, run: UsageRun) -> pa.Table:
        """See ports.OrganizationUsage."""
        return exporting.columns(self._connection, self._organization_id, self._meters(), run, self._mark())

    def _meters(self) -> dict[str, Fields]:
        return self._schema.meters(self._organization_id)
