"""Look for usage out of the ordinary: of many accounts in one grouped question, by the one rule of `core.unusual`.

What is found is the same whoever looks: the chore that looks every hour, and the bill run that looks before it settles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from tallystick.core import wire
from tallystick.core.aggregation import Aggregation
from tallystick.core.anomaly import (
    DEFAULT,
    FOUND_TYPE,
    KIND,
    Anomaly,
    AnomalyKind,
    AnomalyPolicy,
    Policies,
    anomaly_id,
    found_event,
)
from tallystick.core.entity import Entity
from tallystick.core.intake_tally import KIND as TALLY
from tallystick.core.intake_tally import NO_METER, IntakeTally
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.quantity import ZERO, divide
from tallystick.core.unusual import NOTHING, TRAILING, Day, Turn, Unusual, jump, unusual
from tallystick.outbox import event_document, put_events
from tallystick.ports import (
    Document,
    DocumentWhere,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    Transaction,
    UsageColumn,
    UsageGroup,
    UsageQuery,
)

ROWS = 60_000  # of an answer: accounts × days
COLUMNS = 16  # of one question
TALLIES = 1_000  # that are read at once
# Methods that the usage of a day can be asked by, for many accounts at once. Of all others it is how many there were.
_BY_DAY = frozenset({"SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN", "UNIQUE"})


class Column(NamedTuple):
    """What is watched: a field of a meter by a method, and the first aggregation that counts it so."""

    meter_id: str
    field: str
    method: str
    aggregation_id: str


class Look(NamedTuple):
    """What a look is for: from which day to which, in days of a zone, at what moment, by whose policies, reading the
    journal up to a position. Days before `over` are over: of these it can be said that nothing came."""

    organization_id: str
    first: date
    last: date
    over: date
    zone: str
    at: Instant
    up_to: int
    policies: Policies

    @property
    def days(self) -> list[date]:
        """The days that are looked at, behind those that they are held against."""
        start = self.first - timedelta(days=TRAILING)
        return [start + timedelta(days=each) for each in range((self.last - start).days + 1)]


def read_policies(records: OrganizationRecords) -> Policies:
    """What an organisation wants done about anomalies."""
    return records.remembered("anomaly policies", _policies)


def _policies(records: OrganizationRecords) -> Policies:
    every = [each.value for each in records.every(AnomalyPolicy)]
    own = next((each for each in every if each.account_id is None), DEFAULT)
    return Policies(own=own, accounts={each.account_id: each for each in every if each.account_id is not None})


def columns_of(aggregations: Iterable[Entity[Aggregation]]) -> list[Column]:
    """What is watched for aggregations: those that count the same are watched once, without their filters."""
    found: dict[tuple[str, str, str], Column] = {}
    for each in aggregations:
        value = each.value
        method = value.aggregation.value if value.aggregation.value in _BY_DAY else "COUNT"
        what = (value.meter_id, value.target_field, method)
        found.setdefault(what, Column(*what, each.id))
    return list(found.values())


# ------------------------------------------------------------------------------------------------ of accounts


def of_accounts(
    usage: OrganizationUsage, columns: Sequence[Column], account_ids: Sequence[str], look: Look
) -> list[Anomaly]:
    """The spikes of accounts and their drops to zero, by account and day."""
    size = max(1, ROWS // len(look.days))
    found: list[Anomaly] = []
    for start in range(0, len(account_ids), size):
        for first in range(0, len(columns), COLUMNS):
            some = columns[first : first + COLUMNS]
            series = _series(usage, some, account_ids[start : start + size], look)
            for (account_id, place), days in series.items():
                found += _of_account(days, account_id, some[place], look)
    return found


def _series(
    usage: OrganizationUsage, columns: Sequence[Column], account_ids: Sequence[str], look: Look
) -> dict[tuple[str, int], list[Day]]:
    """What each account used of each column on each day of a look; those without any are left out."""
    days = look.days
    at = {day: place for place, day in enumerate(days)}
    query = UsageQuery(
        start=day_start(days[0], look.zone),
        end=day_start(days[-1] + timedelta(days=1), look.zone),
        meter_ids=tuple({each.meter_id for each in columns}),
        account_ids=tuple(account_ids),
        filters=(),
        columns=tuple(UsageColumn(meter_id=each.meter_id, field=each.field, function=each.method) for each in columns),
        groups=(UsageGroup(by="ACCOUNT"), UsageGroup(by="TIME", frequency="DAY")),
        limit=len(days) * len(account_ids),
        zone=look.zone,
        up_to=look.up_to,
    )
    found: dict[tuple[str, int], list[Day]] = {}
    for answer in usage.query(query):
        account_id, start = answer.groups
        assert isinstance(account_id, str), "grouped by account"
        assert isinstance(start, Instant), "grouped by time"
        for place, value in enumerate(answer.values):
            if value is not None:
                own = found.get((account_id, place))
                if own is None:
                    own = found[account_id, place] = [NOTHING] * len(days)
                own[at[local_day(start, look.zone)]] = _day(columns[place], *value)
    return found


def _day(column: Column, total: Decimal, count: int) -> Day:
    return Day(divide(total, Decimal(count)) if column.method == "MEAN" else total, count)


def _of_account(days: Sequence[Day], account_id: str, column: Column, look: Look) -> Iterator[Anomaly]:
    policy = look.policies.of(account_id)
    for day, turn in _unusual_days(days, policy, look):
        kind = AnomalyKind.SPIKE if turn.turn is Turn.SPIKE else AnomalyKind.DROP_TO_ZERO
        if kind in policy.looks_for:
            yield Anomaly(
                id=anomaly_id(look.organization_id, kind, day, account_id, *column[:3]),
                kind=kind,
                day=day,
                measured=turn.measured,
                usual=turn.usual,
                found=look.at,
                account_id=account_id,
                aggregation_id=column.aggregation_id,
                meter_id=column.meter_id,
                field=column.field,
                method=column.method,
            )


def _unusual_days(days: Sequence[Day], policy: AnomalyPolicy, look: Look) -> Iterator[tuple[date, Unusual]]:
    for place, day in enumerate(look.days[TRAILING:], TRAILING):
        found = unusual(
            days[place],
            days[place - TRAILING : place],
            times=policy.times,
            least=policy.least_measurements,
            over=day < look.over,
        )
        if found is not None:
            yield day, found


# -------------------------------------------------------------------------------------------------- of meters


def of_meters(
    records: OrganizationRecords, usage: OrganizationUsage, meters: Mapping[str, Entity[Meter]], look: Look
) -> list[Anomaly]:
    """The meters that fell silent, and those of which far more than usual was sent again or failed; `meters` by id."""
    return [*_silent(usage, list(meters.values()), look), *_jumps(records, meters, look)]


def _silent(usage: OrganizationUsage, meters: Sequence[Entity[Meter]], look: Look) -> Iterator[Anomaly]:
    policy, days = look.policies.own, look.days
    if AnomalyKind.SILENT_METER not in policy.looks_for:
        return
    counted = [each for each in meters if each.value.data_fields]
    for first in range(0, len(counted), COLUMNS):
        some = counted[first : first + COLUMNS]
        counts = counts_by_day(usage, some, days, look.zone, look.up_to)
        for meter, of_days in zip(some, counts, strict=True):
            series = [Day(Decimal(each), each) for each in of_days]
            for day, turn in _unusual_days(series, policy, look):
                if turn.turn is Turn.DROP_TO_ZERO:
                    yield _of_meter(AnomalyKind.SILENT_METER, day, meter, ZERO, turn.usual, look)


def counts_by_day(
    usage: OrganizationUsage, meters: Sequence[Entity[Meter]], days: Sequence[date], zone: str, up_to: int | None
) -> list[list[int]]:
    """How many measurements each meter had on each of some days in a row. Each meter has a data field."""
    query = UsageQuery(
        start=day_start(days[0], zone),
        end=day_start(days[-1] + timedelta(days=1), zone),
        meter_ids=tuple(each.id for each in meters),
        account_ids=None,
        filters=(),
        columns=tuple(
            UsageColumn(meter_id=each.id, field=each.value.data_fields[0].code, function="COUNT") for each in meters
        ),
        groups=(UsageGroup(by="TIME", frequency="DAY"),),
        limit=len(days) + 1,
        zone=zone,
        up_to=up_to,
    )
    at = {day: place for place, day in enumerate(days)}
    counts = [[0] * len(days) for _ in meters]
    for answer in usage.query(query):
        start = answer.groups[0]
        assert isinstance(start, Instant), "grouped by time"
        for place, value in enumerate(answer.values):
            if value is not None:
                counts[place][at[local_day(start, zone)]] = int(value[0])
    return counts


def _jumps(records: OrganizationRecords, meters: Mapping[str, Entity[Meter]], look: Look) -> Iterator[Anomaly]:
    policy, days = look.policies.own, look.days
    if not {AnomalyKind.DUPLICATES, AnomalyKind.FAILURES} & policy.looks_for:
        return
    by_code = {each.value.code: each for each in meters.values()}
    at = {day: place for place, day in enumerate(days)}
    again: dict[str, list[int]] = {}
    failed: dict[str, list[int]] = {}
    for tally in read_tallies(records, days[0], days[-1]):
        if tally.meter in by_code or tally.meter == NO_METER:
            again.setdefault(tally.meter, [0] * len(days))[at[tally.day]] = tally.duplicates + tally.conflicts
            failed.setdefault(tally.meter, [0] * len(days))[at[tally.day]] = tally.failures
    for kind, series in ((AnomalyKind.DUPLICATES, again), (AnomalyKind.FAILURES, failed)):
        for code, counts in series.items() if kind in policy.looks_for else ():
            for place in range(TRAILING, len(days)):
                before = counts[place - TRAILING : place]
                usual = jump(counts[place], before, times=policy.times, least=policy.least_measurements)
                if usual is not None:
                    measured = Decimal(counts[place])
                    yield _of_meter(kind, days[place], by_code.get(code), measured, Decimal(usual), look)


def read_tallies(records: OrganizationRecords, first: date, last: date) -> Iterator[IntakeTally]:
    """What did not count between two days, both included."""
    where = DocumentWhere(between={"day": (first.isoformat(), last.isoformat())})
    page: Page | None = Page(size=TALLIES)
    while page is not None:
        found = records.documents(TALLY, where, page)
        yield from (wire.decode(IntakeTally, each.body) for each in found.rows)
        page = Page(size=TALLIES, token=found.next_token) if found.next_token else None


def _of_meter(
    kind: AnomalyKind, day: date, meter: Entity[Meter] | None, measured: Decimal, usual: Decimal, look: Look
) -> Anomaly:
    return Anomaly(
        id=anomaly_id(look.organization_id, kind, day, meter.id if meter else None),
        kind=kind,
        day=day,
        measured=measured,
        usual=usual,
        found=look.at,
        meter_id=meter.id if meter else None,
        meter_code=meter.value.code if meter else None,
    )


# --------------------------------------------------------------------------------------------------- keeping


def keep(write: Transaction, found: Collection[Anomaly], policies: Policies) -> int:
    """Keep what was found, and tell of what is new by an event, as the policies have it. Returns how many are new."""
    kept = _kept(write, [each.id for each in found])
    changed = [each for each in found if each.id not in kept or kept[each.id].measured != each.measured]
    documents = []
    events = []
    for each in changed:
        before = kept.get(each.id)
        if before is None and each.kind in policies.of(each.account_id).alert_for:
            event = found_event(each)
            events.append(event_document(event, event_type=FOUND_TYPE, account_id=each.account_id, resource_id=each.id))
        documents.append(Document(id=each.id, sort=_sort(each), keys=each.keys, body=wire.encode(each)))
    write.put_documents(KIND, documents)
    put_events(write, events)
    return len([each for each in changed if each.id not in kept])


def changes(records: OrganizationRecords, found: Collection[Anomaly]) -> bool:
    """Whether any of what was found is not kept yet as it is."""
    kept = _kept(records, [each.id for each in found])
    return any(each.id not in kept or kept[each.id].measured != each.measured for each in found)


def _kept(records: OrganizationRecords, ids: Sequence[str]) -> dict[str, Anomaly]:
    found: dict[str, Anomaly] = {}
    for start in range(0, len(ids), TALLIES):
        where = DocumentWhere(equal={"id": ids[start : start + TALLIES]})
        rows = records.documents(KIND, where, Page(size=TALLIES)).rows
        found |= {each.id: wire.decode(Anomaly, each.body) for each in rows}
    return found


def _sort(anomaly: Anomaly) -> str:
    return f"{anomaly.day.isoformat()}/{anomaly.found.stamp()}"


def watched(records: OrganizationRecords) -> tuple[Column, ...]:
    """What is watched in an organisation: whatever any of its aggregations counts."""
    return records.remembered("watched columns", lambda read: tuple(columns_of(read.every(Aggregation))))
