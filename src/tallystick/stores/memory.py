"""Usage kept in lists: the reference that every usage store must agree with, and the store of quick tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import pyarrow as pa

from tallystick.core import wire
from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.field_condition import holds
from tallystick.core.period import Instant, stretch
from tallystick.core.quantity import plain
from tallystick.core.running import VALUE_BYTES, Collected
from tallystick.core.set_hash import SetHash
from tallystick.core.time_group import TimeFrequency, group_start
from tallystick.ports import (
    Behind,
    UsageAnswer,
    UsageBlock,
    UsageColumn,
    UsageCondition,
    UsageGroup,
    UsageQuery,
    UsageRow,
    Withdrawn,
)
from tallystick.ports.usage import Arrival, ArrivalQuery, Undeclared, UsageRun
from tallystick.stores import plain_aggregation, plain_lineage

GroupValue = str | Instant | None


_TIME = pa.timestamp("us", "UTC")
_NUMBER = pa.decimal128(38, 18)


class MemoryUsage:
    """A UsageStore that forgets everything when it is closed."""

    def __init__(self) -> None:
        self._rows: dict[int, UsageRow] = {}
        self._withdrawn: dict[int, Withdrawn] = {}  # by the position of what they take out
        self._mark = 0
        self._arrived: dict[str, int] = {}

    def organization(self, id: str) -> MemoryOrganizationUsage:
        """The view bound to one organisation."""
        return MemoryOrganizationUsage(self, id)

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        """Keep rows up to the journal position `mark`; rows at or below the present mark are known already."""
        rows = [*rows, *(row for block in blocks for row in block.rows())]
        self._rows |= {row.position: row for row in rows if row.position > self._mark}
        for each in sorted(withdrawn, key=lambda one: one.position):
            if each.position > self._mark:
                self._withdrawn.setdefault(each.of, each)
        self._mark = max(self._mark, mark)
        self._arrived |= {each.organization_id: mark for each in rows}
        self._arrived |= {each.organization_id: mark for each in withdrawn}

    def arrived(self, organization_id: str) -> int:
        """See ports.UsageStore."""
        return self._arrived.get(organization_id, 0)

    def position_by(self, moment: Instant) -> int:
        """See ports.UsageStore."""
        return max((row.position for row in list(self._rows.values()) if row.received <= moment), default=0)

    @property
    def mark(self) -> int:
        """The journal position up to which the store is complete."""
        return self._mark

    def rows(self, organization_id: str) -> Iterator[UsageRow]:
        """Every measurement of an organisation, with where it was withdrawn."""
        own = [row for row in list(self._rows.values()) if row.organization_id == organization_id]
        out = self._withdrawn
        return (replace(row, withdrawn=out[row.position].position) if row.position in out else row for row in own)

    def withdrawn(self, organization_id: str) -> list[Withdrawn]:
        """Every withdrawal of an organisation."""
        return [each for each in self._withdrawn.values() if each.organization_id == organization_id]

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryOrganizationUsage:
    """Measurements of one organisation."""

    def __init__(self, store: MemoryUsage, organization_id: str) -> None:
        self._store = store
        self._organization_id = organization_id

    def measure(self, question: Question) -> list[Measured]:
        """See ports.OrganizationUsage."""
        return plain_aggregation.measure(self._store.rows(self._organization_id), question)

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        """See ports.OrganizationUsage."""
        return [self.measure(each) for each in questions]

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> list[Measured]:
        """See ports.OrganizationUsage."""
        out = set(without)
        rows = (row for row in self._store.rows(self._organization_id) if row.position not in out)
        return plain_aggregation.measure(plain_aggregation.and_added(rows, added), question)

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        """See ports.OrganizationUsage."""
        rows = (row for row in self._store.rows(self._organization_id) if row.position > after)
        found = plain_aggregation.collect(rows, question)
        return found if sum(len(each.values) for each in found) <= most * VALUE_BYTES else None

    def by_stretch(self, behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
        """See ports.OrganizationUsage."""
        return plain_lineage.by_stretch(self._store.rows(self._organization_id), behind, starts)

    def behind(self, behind: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        return plain_lineage.behind(self._store.rows(self._organization_id), behind, after, limit)

    def set_of(self, behind: Behind) -> SetHash:
        """See ports.OrganizationUsage."""
        return plain_lineage.set_of(self._store.rows(self._organization_id), behind)

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        """See ports.OrganizationUsage."""
        wanted, earliest = set(accounts), dict[str, Instant]()
        came = [(row.position, row.account_id, row.ts) for row in self._store.rows(self._organization_id)]
        came += [(each.position, each.account_id, each.ts) for each in self._store.withdrawn(self._organization_id)]
        for position, account_id, ts in came:
            if account_id in wanted and ts < before and after < position <= up_to:
                earliest[account_id] = min(ts, earliest.get(account_id, ts))
        return earliest

    def arrivals(self, query: ArrivalQuery) -> list[Arrival]:
        """See ports.OrganizationUsage."""
        groups: dict[tuple[str, str | None], list[UsageRow]] = defaultdict(list)
        for row in self._store.rows(self._organization_id):
            wanted = query.start <= row.ts < query.end
            wanted = wanted and (query.meter_ids is None or row.meter_id in query.meter_ids)
            if wanted and (query.account_ids is None or row.account_id in query.account_ids):
                groups[row.meter_id, row.account_id if query.by_account else None].append(row)
        return [_arrival(*group, rows, query) for group, rows in sorted(groups.items())]

    def undeclared(self, meter_ids: Sequence[str], start: Instant, end: Instant, most: int) -> list[Undeclared]:
        """See ports.OrganizationUsage."""
        found: dict[tuple[str, str], list[Instant]] = defaultdict(list)
        for row in self._store.rows(self._organization_id):
            if row.extra is not None and row.meter_id in meter_ids and start <= row.ts < end:
                for codes in wire.decode(dict[str, dict[str, Any]], row.extra.encode()).values():
                    for code in codes:
                        found[row.meter_id, code].append(row.ts)
        every = [
            Undeclared(meter_id=meter_id, code=code, count=len(ts), first_ts=min(ts), last_ts=max(ts))
            for (meter_id, code), ts in found.items()
        ]
        return sorted(every, key=lambda each: (-each.count, each.meter_id, each.code))[:most]

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        """See ports.OrganizationUsage."""
        groups: dict[tuple[GroupValue, ...], list[UsageRow]] = defaultdict(list)
        for row in self._found(query):
            groups[tuple(_group_value(row, group, query.zone) for group in query.groups)].append(row)
        answers = [
            UsageAnswer(key, tuple(_column_value(members, column) for column in query.columns))
            for key, members in groups.items()
        ]
        measured = [answer for answer in answers if any(value is not None for value in answer.values)]
        measured.sort(key=cmp_to_key(lambda left, right: _order(query.groups, left.groups, right.groups)))
        if query.greatest_first:
            measured.sort(
                key=lambda answer: answer.values[0][0] if answer.values[0] else Decimal("-Infinity"), reverse=True
            )
        return measured[: query.limit + 1]

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        """See ports.OrganizationUsage."""
        latest_first = sorted(self._found(query), key=lambda row: (row.ts, row.position), reverse=True)
        return latest_first[: query.limit + 1]

    def count(self, query: UsageQuery) -> int:
        """See ports.OrganizationUsage."""
        return sum(1 for _ in self._found(query))

    def meters(self) -> list[str]:
        """See ports.OrganizationUsage."""
        return sorted({row.meter_id for row in self._store.rows(self._organization_id) if row.numbers or row.texts})

    def columns(self, run: UsageRun) -> pa.Table:
        """See ports.OrganizationUsage."""
        own = [row for row in self._store.rows(self._organization_id) if row.meter_id == run.meter_id]
        found = sorted((row for row in self._found(run.query) if row.meter_id == run.meter_id), key=_in_order)
        rows = [row for row in found if run.after is None or _in_order(row) > run.after][: run.most]
        table: dict[str, pa.Array] = {
            "account": pa.array([row.account_id for row in rows], pa.string()),
            "uid": pa.array([row.uid for row in rows], pa.string()),
            "position": pa.array([row.position for row in rows], pa.uint64()),
            "ts": pa.array([row.ts for row in rows], _TIME),
            "ets": pa.array([row.ets for row in rows], _TIME),
            "received": pa.array([row.received for row in rows], _TIME),
            "extra": pa.array([row.extra for row in rows], pa.string()),
        }
        for code in dict.fromkeys(code for row in own for code in row.numbers):
            numbers = [row.numbers.get(code) for row in rows]
            texts = [None if number is None else plain(number) for number in numbers]
            table[f"n.{code}"] = pa.array(texts, pa.string()) if run.as_text else pa.array(numbers, _NUMBER)
        for code in dict.fromkeys(code for row in own for code in row.texts):
            table[f"t.{code}"] = pa.array([row.texts.get(code) for row in rows], pa.string())
        return pa.table(table)

    def _found(self, query: UsageQuery) -> Iterator[UsageRow]:
        period = stretch(query.start, query.end)
        return (
            row
            for row in self._store.rows(self._organization_id)
            if period.start <= row.ts < period.end
            and (query.meter_ids is None or row.meter_id in query.meter_ids)
            and (query.account_ids is None or row.account_id in query.account_ids)
            and (query.accounts_from is None or row.account_id >= query.accounts_from)
            and (query.accounts_until is None or row.account_id < query.accounts_until)
            and (query.up_to is None or row.position <= query.up_to)
            and query.withdrawn in {None, _is_out(row, query.up_to)}
            and (query.positions is None or row.position in query.positions)
            and (query.before is None or (row.ts, row.position) < (query.before.ts, query.before.position))
            and all(row.texts.get(each.field) in each.values for each in query.filters if each.meter_id == row.meter_id)
            and all(_meets(row, each) for each in query.conditions if each.meter_id == row.meter_id)
        )


def _in_order(row: UsageRow) -> tuple[str, Instant, int]:
    return (row.account_id, row.ts, row.position)


def _is_out(row: UsageRow, up_to: int | None) -> bool:
    return row.withdrawn is not None and (up_to is None or row.withdrawn <= up_to)


def _meets(row: UsageRow, asked: UsageCondition) -> bool:
    found = row.texts.get(asked.field) if isinstance(asked.value, str) else row.numbers.get(asked.field)
    return holds(asked.comparator, found, asked.value)


def _group_value(row: UsageRow, group: UsageGroup, zone: str) -> GroupValue:
    if group.by == "ACCOUNT":
        return row.account_id
    if group.by == "TIME":
        assert group.frequency is not None, "a time group has a frequency"
        return group_start(row.ts, TimeFrequency(group.frequency), zone)
    assert group.field is not None, "a dimension group has a field"
    return row.texts.get(group.field) if row.meter_id == group.meter_id else None


def _column_value(rows: Sequence[UsageRow], column: UsageColumn) -> tuple[Decimal, int] | None:
    method = Method(column.function)
    members = [
        row
        for row in rows
        if row.meter_id == column.meter_id and plain_aggregation.field_value(row, column.field, method) is not None
    ]
    return (plain_aggregation.aggregate(members, column.field, method), len(members)) if members else None


def _order(groups: Sequence[UsageGroup], left: Sequence[GroupValue], right: Sequence[GroupValue]) -> int:
    """Time groups first, the latest first; then the others, rising, what has no such field last."""
    times = [index for index, group in enumerate(groups) if group.by == "TIME"]
    others = [index for index, group in enumerate(groups) if group.by != "TIME"]
    for index in times:
        if left[index] != right[index]:
            return 1 if str(left[index]) < str(right[index]) else -1
    for index in others:
        one, other = left[index], right[index]
        if one != other:
            return -1 if other is None or (one is not None and str(one) < str(other)) else 1
    return 0


def _arrival(meter_id: str, account_id: str | None, rows: Sequence[UsageRow], query: ArrivalQuery) -> Arrival:
    lags = sorted((row.received - row.ts) // timedelta(microseconds=1) for row in rows)
    return Arrival(
        meter_id=meter_id,
        account_id=account_id,
        count=len(rows),
        late=sum(row.received >= query.late_from for row in rows),
        after=sum(row.position > query.after for row in rows),
        last_received=max(row.received for row in rows),
        last_ts=max(row.ts for row in rows),
        drift=None if account_id else (lags[0], lags[len(lags) // 2], lags[len(lags) * 95 // 100], lags[-1]),
    )
