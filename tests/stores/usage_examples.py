"""Measurements and questions for the tests of the usage stores, in one line each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
import pyarrow as pa

from tallystick.core.aggregation import Correlation, EventBounds, Measured, Method, Question
from tallystick.core.period import Instant, stretch
from tallystick.ports import (
    UsageAnswer,
    UsageBlock,
    UsageColumn,
    UsageCondition,
    UsageFilter,
    UsageGroup,
    UsagePlace,
    UsageQuery,
    UsageRow,
    UsageStore,
)
from tallystick.ports.usage import UsageRun

EVERYTHING = 2**63  # a journal position above all
D = Decimal
MONTHS = [f"2025-{month:02}-15T00:00:00Z" for month in range(1, 13)]
at = Instant.parse

Values = Mapping[str, Decimal | int | str]


def usage(
    values: Values,
    *,
    ts: str = "2025-06-15T12:00:00Z",
    account: str = "ada",
    meter: str = "storage",
    uid: str | None = None,
) -> UsageRow:
    """A measurement: numbers (int or Decimal) and texts (str) by field code. It gets its position when it is added."""
    return UsageRow(
        position=0,
        organization_id="",
        meter_id=meter,
        account_id=account,
        uid=uuid.uuid4().hex if uid is None else uid,
        ts=at(ts),
        ets=None,
        received=at("2025-07-01T00:00:00Z"),
        numbers={code: Decimal(value) for code, value in values.items() if not isinstance(value, str)},
        texts={code: value for code, value in values.items() if isinstance(value, str)},
    )


def numbers(*values: Decimal | int | str, account: str = "ada") -> list[UsageRow]:
    """Measurements of `bytes`, a minute apart."""
    return [
        usage({"bytes": D(value)}, ts=f"2025-06-15T{place // 60:02}:{place % 60:02}:00Z", account=account)
        for place, value in enumerate(values)
    ]


@dataclass
class Tenant:
    """One organisation of a store, fresh for each test."""

    store: UsageStore
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def add(self, *rows: UsageRow) -> list[UsageRow]:
        """Keep measurements at the next journal positions; answers them as they were kept."""
        first = self.store.mark + 1
        kept = [replace(row, organization_id=self.id, position=first + place) for place, row in enumerate(rows)]
        self.store.add(kept, self.store.mark + len(kept))
        return kept

    def measure(
        self,
        method: Method | str,
        target: str = "bytes",
        *,
        start: str | None = None,
        end: str | None = None,
        meter: str = "storage",
        accounts: Sequence[str] | None = None,
        up_to: int = EVERYTHING,
        percentile: str | None = None,
        where: str | None = None,
        by: tuple[str, ...] = (),
        pooled: bool = False,
        gauge: bool = False,
        of: str | None = None,
        correlation: Correlation | None = None,
        bounds: EventBounds | None = None,
    ) -> list[Measured]:
        question = Question(
            meter_id=meter,
            method=Method(method),
            field=target,
            period=stretch(None if start is None else at(start), None if end is None else at(end)),
            up_to=up_to,
            accounts=None if accounts is None else tuple(accounts),
            percentile=None if percentile is None else D(percentile),
            filter=where,
            segmented_fields=by,
            pooled=pooled,
            gauge=gauge,
            gauge_field=of,
            correlation=correlation,
            event_bounds=bounds,
        )
        return list(self.store.organization(self.id).measure(question))

    def one(self, method: Method | str, target: str = "bytes", *, percentile: str | None = None) -> tuple[Decimal, int]:
        """Total and count of the only answer."""
        (answer,) = self.measure(method, target, percentile=percentile)
        return answer.total, answer.count

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        return self.store.organization(self.id).query(query)

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        return self.store.organization(self.id).raw(query)

    def count(self, query: UsageQuery) -> int:
        return self.store.organization(self.id).count(query)

    def meters(self) -> list[str]:
        return self.store.organization(self.id).meters()

    def columns(self, run: UsageRun) -> pa.Table:
        return self.store.organization(self.id).columns(run)


ACCOUNT = UsageGroup(by="ACCOUNT")


def time_group(frequency: str) -> UsageGroup:
    return UsageGroup(by="TIME", frequency=frequency)


def dimension(code: str, meter: str = "storage") -> UsageGroup:
    return UsageGroup(by="DIMENSION", meter_id=meter, field=code)


def column(function: str, code: str = "bytes", meter: str = "storage") -> UsageColumn:
    return UsageColumn(meter_id=meter, field=code, function=function)


def ask(
    *columns: UsageColumn,
    by: tuple[UsageGroup, ...] = (),
    start: str | None = None,
    end: str | None = None,
    meters: tuple[str, ...] | None = None,
    accounts: tuple[str, ...] | None = None,
    filters: tuple[UsageFilter, ...] = (),
    conditions: tuple[UsageCondition, ...] = (),
    positions: tuple[int, ...] | None = None,
    before: UsagePlace | None = None,
    greatest_first: bool = False,
    limit: int = 20_000,
    zone: str = "UTC",
) -> UsageQuery:
    """A usage query that is wide open where nothing is said."""
    return UsageQuery(
        start=None if start is None else at(start),
        end=None if end is None else at(end),
        meter_ids=meters,
        account_ids=accounts,
        filters=filters,
        conditions=conditions,
        positions=positions,
        before=before,
        greatest_first=greatest_first,
        columns=columns,
        groups=by,
        limit=limit,
        zone=zone,
    )


def block(positions: range, organization: str = "reed") -> list[UsageRow]:
    """A measurement of 1 at each journal position, spread over the months of a year."""
    return [
        replace(
            usage({"bytes": 1, "region": f"r{place % 3}"}, ts=MONTHS[place % 12], uid=str(place)),
            organization_id=organization,
            position=place,
        )
        for place in positions
    ]


def as_block(rows: Sequence[UsageRow]) -> UsageBlock:
    """Measurements of one meter that have the same fields, as columns."""
    number = pa.decimal128(38, 18)
    first = rows[0]
    return UsageBlock(
        organization_id=first.organization_id,
        meter_id=first.meter_id,
        received=first.received,
        positions=np.array([row.position for row in rows], np.int64),
        account_ids=pa.array([row.account_id for row in rows], pa.string()),
        uids=pa.array([row.uid for row in rows], pa.string()),
        ts=pa.array([row.ts for row in rows], pa.timestamp("us", tz="UTC")),
        numbers={code: pa.array([row.numbers[code] for row in rows], number) for code in first.numbers},
        texts={code: pa.array([row.texts[code] for row in rows], pa.string()) for code in first.texts},
    )


def stored(store: UsageStore, organization: str = "reed") -> int:
    found = store.organization(organization).measure(
        Question(meter_id="storage", method=Method.COUNT, field="bytes", period=stretch(None, None), up_to=EVERYTHING)
    )
    return sum(answer.count for answer in found)
