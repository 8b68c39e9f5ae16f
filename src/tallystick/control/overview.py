"""What an operator should look at, and how things go: each part by a bounded question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import reduce

from tallystick.control.bill_lists import BillState, BillsWanted, StateTotal, totals
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.intake_tally import KIND as TALLY
from tallystick.core.intake_tally import IntakeTally
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.quantity import ZERO, add
from tallystick.core.unusual import TRAILING, Day, Unusual, unusual
from tallystick.ports import (
    DocumentWhere,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UsageColumn,
    UsageGroup,
    UsageQuery,
    Where,
)

DAYS = 30  # of the chart of usage
METERS = 8  # of the charts: the newest
MONTHS = 6  # of the chart of revenue
SOON = timedelta(days=30)
TALLIES = 1_000  # of a day and meter each, that are read at once
MOST = 20  # credits that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterUsage:
    """Measurements of a meter by day: `counts` are of `Usage.days`."""

    meter: Entity[Meter]
    counts: tuple[int, ...]
    spike: Unusual | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many measurements there were, day by day up to today."""

    days: tuple[date, ...]
    meters: tuple[MeterUsage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCounted:
    """How many measurements did not count, day by day up to today, by the day (in UTC) on which they came."""

    days: tuple[date, ...]
    failed: tuple[int, ...]
    repeated: tuple[int, ...]
    conflicting: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """Credit that ends soon: a commitment or a balance, of whom, and when."""

    account_id: str
    account_name: str
    what: str
    ends: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What was billed for a month in one currency; None where the bills are too many to add up at once."""

    first: date
    total: Decimal | None


def usage_by_day(records: OrganizationRecords, usage: OrganizationUsage, now: Instant, zone: str) -> Usage:
    """Measurements by day of the newest meters, and whether yesterday was out of the ordinary."""
    today = local_day(now, zone)
    days = tuple(today - timedelta(days=back) for back in range(TRAILING + 1, -1, -1))
    meters = [each for each in records.find(Meter, Where(), Page(size=METERS)).rows if each.value.data_fields]
    if not meters:
        return Usage(days=days, meters=())
    query = UsageQuery(
        start=day_start(days[0], zone),
        end=day_start(today + timedelta(days=1), zone),
        meter_ids=tuple(each.id for each in meters),
        account_ids=None,
        filters=(),
        columns=tuple(
            UsageColumn(meter_id=each.id, field=each.value.data_fields[0].code, function="COUNT") for each in meters
        ),
        groups=(UsageGroup(by="TIME", frequency="DAY"),),
        limit=len(days) + 1,
        zone=zone,
    )
    found: dict[date, list[int]] = {}
    for answer in usage.query(query):
        start = answer.groups[0]
        assert isinstance(start, Instant), "grouped by time"
        found[local_day(start, zone)] = [0 if value is None else int(value[0]) for value in answer.values]
    counts = [tuple(found[day][place] if day in found else 0 for day in days) for place in range(len(meters))]
    return Usage(
        days=days,
        meters=tuple(
            MeterUsage(meter=each, counts=of_days, spike=_spike(of_days))
            for each, of_days in zip(meters, counts, strict=True)
        ),
    )


def _spike(counts: tuple[int, ...]) -> Unusual | None:
    """Of yesterday, the last but one of the days."""
    days = [Day(Decimal(each), each) for each in counts]
    return unusual(days[-2], days[:-2])


def not_counted_by_day(records: OrganizationRecords, now: Instant) -> NotCounted:
    """What came and did not count, by the day on which it came."""
    today = now.astimezone(UTC).date()
    days = tuple(today - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
    found = {day: [0, 0, 0] for day in days}
    where = DocumentWhere(between={"day": (days[0].isoformat(), today.isoformat())})
    page: Page | None = Page(size=TALLIES)
    while page is not None:
        part = records.documents(TALLY, where, page)
        for each in part.rows:
            tally = wire.decode(IntakeTally, each.body)
            for place, number in enumerate((tally.failures, tally.duplicates, tally.conflicts)):
                found[tally.day][place] += number
        page = Page(size=TALLIES, token=part.next_token) if part.next_token else None
    failed, repeated, conflicting = zip(*found.values(), strict=True)
    return NotCounted(days=days, failed=failed, repeated=repeated, conflicting=conflicting)


def billed_by_month(records: OrganizationRecords, now: Instant, zone: str, currency: str) -> tuple[Month, ...]:
    """What bills of a currency come to by the month that their period ends in, up to the present one."""
    first = local_day(now, zone).replace(day=1)
    months = [first]
    while len(months) < MONTHS:
        months.insert(0, (months[0] - timedelta(days=1)).replace(day=1))
    return tuple(Month(first=each, total=_billed(records, each, currency)) for each in months)


def _billed(records: OrganizationRecords, first: date, currency: str) -> Decimal | None:
    found = totals(records, BillsWanted(month=first.isoformat()[:7]))
    if found is None:
        return None
    return reduce(add, (each.total for each in found if each.currency == currency), ZERO)


def pending_bills(records: OrganizationRecords) -> tuple[StateTotal, ...] | None:
    """Bills that wait for approval, by currency; None where they are too many to add up."""
    return totals(records, BillsWanted(state=BillState.PENDING))


def expiring_credit(records: OrganizationRecords, now: Instant, zone: str) -> tuple[Expiring, ...]:
    """Commitments and balances that end within thirty days, the earliest first."""
    today = local_day(now, zone)
    soon = records.remembered(("expiring credit", today), lambda read: _expiring(read, today))
    names = records.get_many(Account, {account for account, _, _ in soon})
    return tuple(
        Expiring(account_id=account, account_name=names[account].value.name, what=what, ends=ends)
        for account, what, ends in soon
        if account in names
    )


def _expiring(records: OrganizationRecords, today: date) -> list[tuple[str, str, date]]:
    """Made without accounts: a new one, which any measurement may bring, does not let go of it."""
    soon = (each for each in _credits(records, today) if today < each[2] <= today + SOON)
    return sorted(soon, key=lambda each: each[2])[:MOST]


def _credits(records: OrganizationRecords, today: date) -> Iterator[tuple[str, str, date]]:
    active = Where(active_on=Instant.midnight(today))
    for commitment in records.every(Commitment, active):
        yield commitment.value.account_id, "Commitment", commitment.value.end_date
    for balance in records.every(Balance, active):
        yield balance.value.account_id, balance.value.name, balance.value.end_date.date()
