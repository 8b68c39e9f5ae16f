"""How meters are: whether anything is missing, how fresh it is, how far behind, what changed, what did not count.

Days are those of the organisation's time zone, the last thirty and today. A day on which nothing came counts as missing
by the rule for silent meters (`core.unusual`): where each of the same weekdays had some.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Method, Question
from tallystick.core.definition import meter_sentence
from tallystick.core.entity import Entity
from tallystick.core.intake_tally import CONFLICT, DUPLICATE, UNKNOWN_ACCOUNT
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, Period, day_start, local_day
from tallystick.core.unusual import TRAILING, Day, unusual
from tallystick.pipeline.anomalies import counts_by_day, read_tallies
from tallystick.ports import OrganizationRecords, OrganizationUsage, UsageColumn, UsageGroup, UsageQuery, Where
from tallystick.ports.usage import Arrival, ArrivalQuery

DAYS = 30
MOST_UNDECLARED = 200
MOST_SOURCES = 100


class FieldChange(StrEnum):
    APPEARED = "APPEARED"  # measurements have it that came before it had not
    DISAPPEARED = "DISAPPEARED"  # measurements had it, and the latest have not


class SeenField(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A field of measurements that is not as it was, or that the meter does not declare."""

    code: str
    declared: bool
    first_day: date
    last_day: date
    change: FieldChange | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far arrival is behind the timestamps, in milliseconds; negative where a timestamp lies in the future. In
    order: the least, the middle, what 95 of a hundred do not exceed, the greatest."""

    least: int
    median: int
    p95: int
    greatest: int


class SourceHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One value of the field that says where measurements come from: how many, the last day, and days missing."""

    source: str
    measurements: int
    last_day: date
    missing_days: tuple[date, ...]


class MeterHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a meter is, over the days from `since` to today.

    `completeness` is the percentage (to a hundredth, rounded down) of the days since the first measurement, without
    today, on which nothing is missing; absent where nothing was measured. `excluded` are those that the meter's rule
    keeps from being counted, `unattributed` could not be attributed to an account, `unbilled` are of accounts that have
    no plan.
    """

    meter_id: str
    code: str
    name: str
    definition: str
    since: date
    measurements: int
    excluded: int
    duplicates: int
    conflicts: int
    failures: int
    unattributed: int
    missing_days: tuple[date, ...]
    completeness: Decimal | None = None
    last_received: Instant | None = None
    last_timestamp: Instant | None = None
    drift: Drift | None = None
    fields: tuple[SeenField, ...] = ()
    unbilled: int | None = None
    sources: tuple[SourceHealth, ...] | None = None


class Window(msgspec.Struct, frozen=True):
    """The days that are looked at, those before that they are held against, and in which zone they are."""

    days: list[date]
    zone: str
    now: Instant
    up_to: int

    @property
    def first(self) -> date:
        return self.days[TRAILING]

    @property
    def period(self) -> Period:
        end = day_start(self.days[-1] + timedelta(days=1), self.zone)
        return Period(day_start(self.first, self.zone), end)


def window_of(now: Instant, zone: str, up_to: int) -> Window:
    """The last thirty days and today."""
    today = local_day(now, zone)
    return Window([today - timedelta(days=back) for back in range(TRAILING + DAYS, -1, -1)], zone, now, up_to)


def health_of(
    records: OrganizationRecords, usage: OrganizationUsage, meters: Sequence[Entity[Meter]], window: Window
) -> list[MeterHealth]:
    """How these meters are, in their order: few questions for all of them, and one more for the fields of each."""
    period = window.period
    ids = tuple(each.id for each in meters)
    if not ids:
        return []
    query = ArrivalQuery(start=period.start, end=period.end, late_from=period.end, meter_ids=ids)
    arrived = {each.meter_id: each for each in usage.arrivals(query)}
    counted = dict(zip(ids, counts_by_day(usage, meters, window.days, window.zone, window.up_to), strict=True))
    tallies: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for tally in read_tallies(records, window.first, window.days[-1]):
        tallies[tally.meter].update(tally.counts)
    undeclared = _undeclared(usage, ids, window)
    found = []
    for meter in meters:
        own, counts = arrived.get(meter.id), counted[meter.id]
        fields = [*_declared(usage, meter, window), *undeclared.get(meter.id, ())] if own else []
        found.append(_health(usage, meter, window, own, counts, tallies[meter.value.code], fields))
    return found


def whole_health_of(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    meter: Entity[Meter],
    window: Window,
    source_field: str | None = None,
) -> MeterHealth:
    """How one meter is, with what takes a question of its own: usage of accounts without a plan, and, where a field
    says where measurements come from, each of its sources."""
    (health,) = health_of(records, usage, (meter,), window)
    period = window.period
    planned = records.remembered(("planned", window.days[-1]), lambda read: _planned(read, window.now))
    query = ArrivalQuery(
        start=period.start, end=period.end, late_from=period.end, meter_ids=(meter.id,), account_ids=planned
    )
    unbilled = health.measurements - sum(each.count for each in usage.arrivals(query))
    sources = None if source_field is None else tuple(_sources(usage, meter, source_field, window))
    return msgspec.structs.replace(health, unbilled=unbilled, sources=sources)


def _health(
    usage: OrganizationUsage,
    meter: Entity[Meter],
    window: Window,
    arrived: Arrival | None,
    counts: Sequence[int],
    tally: Mapping[str, int],
    fields: Sequence[SeenField],
) -> MeterHealth:
    missing, known = _missing(counts, window)
    again = tally.get(DUPLICATE, 0) + tally.get(CONFLICT, 0)
    drift = None
    if arrived is not None and arrived.drift is not None:
        least, median, p95, greatest = (each // 1000 for each in arrived.drift)
        drift = Drift(least=least, median=median, p95=p95, greatest=greatest)
    return MeterHealth(
        meter_id=meter.id,
        code=meter.value.code,
        name=meter.value.name,
        definition=meter_sentence(meter.value),
        since=window.first,
        measurements=arrived.count if arrived else 0,
        excluded=_excluded(usage, meter, window) if arrived else 0,
        duplicates=tally.get(DUPLICATE, 0),
        conflicts=tally.get(CONFLICT, 0),
        failures=sum(tally.values()) - again,
        unattributed=tally.get(UNKNOWN_ACCOUNT, 0),
        missing_days=missing,
        completeness=None if not known else Decimal(10_000 * (known - len(missing)) // known).scaleb(-2),
        last_received=arrived.last_received if arrived else None,
        last_timestamp=arrived.last_ts if arrived else None,
        drift=drift,
        fields=tuple(fields),
    )


def _missing(counts: Sequence[int], window: Window) -> tuple[tuple[date, ...], int]:
    """The days on which something is missing, of so many that are over since the first measurement."""
    days = [Day(Decimal(each), each) for each in counts]
    first = next((place for place, each in enumerate(counts) if each), len(counts))
    missing = [
        window.days[place]
        for place in range(TRAILING, len(days) - 1)
        if not counts[place] and unusual(days[place], days[place - TRAILING : place]) is not None
    ]
    return tuple(missing), max(0, len(days) - 1 - max(first, TRAILING))


def _excluded(usage: OrganizationUsage, meter: Entity[Meter], window: Window) -> int:
    """How many measurements the rule of the meter excludes."""
    if meter.value.exclude_filter is None:
        return 0
    question = Question(
        meter_id=meter.id,
        method=Method.COUNT,
        field=meter.value.data_fields[0].code,
        period=window.period,
        up_to=window.up_to,
        filter=meter.value.exclude_filter,
    )
    return sum(each.count for each in usage.measure(question))


def _declared(usage: OrganizationUsage, meter: Entity[Meter], window: Window) -> Iterator[SeenField]:
    """The declared fields that appeared or disappeared among the measurements of the window."""
    codes = [each.code for each in meter.value.fields]
    period = window.period
    query = UsageQuery(
        start=period.start,
        end=period.end,
        meter_ids=(meter.id,),
        account_ids=None,
        filters=(),
        columns=tuple(UsageColumn(meter_id=meter.id, field=code, function="COUNT") for code in codes),
        groups=(UsageGroup(by="TIME", frequency="DAY"),),
        limit=len(window.days) + 1,
        zone=window.zone,
        up_to=window.up_to,
    )
    seen: defaultdict[str, list[date]] = defaultdict(list)
    every: list[date] = []
    for answer in usage.query(query):
        start = answer.groups[0]
        assert isinstance(start, Instant), "grouped by time"
        day = local_day(start, window.zone)
        every.append(day)
        for code, value in zip(codes, answer.values, strict=True):
            if value is not None:
                seen[code].append(day)
    for code, days in seen.items():
        change = _change(min(days), max(days), min(every), max(every))
        if change is not None:
            yield SeenField(code=code, declared=True, first_day=min(days), last_day=max(days), change=change)


def _undeclared(
    usage: OrganizationUsage, meter_ids: Sequence[str], window: Window
) -> Mapping[str, Sequence[SeenField]]:
    """The fields that measurements carry and their meters do not declare, by meter."""
    period = window.period
    found: defaultdict[str, list[SeenField]] = defaultdict(list)
    for each in usage.undeclared(meter_ids, period.start, period.end, MOST_UNDECLARED):
        first, last = local_day(each.first_ts, window.zone), local_day(each.last_ts, window.zone)
        change = _change(first, last, window.first, window.days[-1] - timedelta(days=1))
        found[each.meter_id].append(
            SeenField(code=each.code, declared=False, first_day=first, last_day=last, change=change)
        )
    return found


def _change(first: date, last: date, since: date, until: date) -> FieldChange | None:
    """What became of a field that was seen from one day to another, among measurements of the days since then."""
    if last < until:
        return FieldChange.DISAPPEARED
    return FieldChange.APPEARED if first > since else None


def _planned(records: OrganizationRecords, now: Instant) -> tuple[str, ...]:
    """The accounts that are billed: those with a plan, and the children of such."""
    planned = {each.value.account_id for each in records.every(AccountPlan, Where(active_on=now))}
    children = (each for each in records.every(Account) if each.value.parent_account_id in planned)
    return tuple(sorted(planned | {each.id for each in children}))


def _sources(usage: OrganizationUsage, meter: Entity[Meter], field: str, window: Window) -> Iterator[SourceHealth]:
    """Each value of a text field, the one with most measurements first."""
    start, end = day_start(window.days[0], window.zone), window.period.end
    query = UsageQuery(
        start=start,
        end=end,
        meter_ids=(meter.id,),
        account_ids=None,
        filters=(),
        columns=(UsageColumn(meter_id=meter.id, field=field, function="COUNT"),),
        groups=(UsageGroup(by="DIMENSION", meter_id=meter.id, field=field), UsageGroup(by="TIME", frequency="DAY")),
        limit=MOST_SOURCES * len(window.days),
        zone=window.zone,
        up_to=window.up_to,
    )
    at = {day: place for place, day in enumerate(window.days)}
    found: dict[str, list[int]] = {}
    for answer in usage.query(query):
        source, day = answer.groups
        assert isinstance(day, Instant), "grouped by time"
        counts = found.setdefault(str(source), [0] * len(window.days))
        counts[at[local_day(day, window.zone)]] = answer.values[0][1] if answer.values[0] else 0
    for source, counts in sorted(found.items(), key=lambda each: (-sum(each[1]), each[0]))[:MOST_SOURCES]:
        last = max(place for place, count in enumerate(counts) if count)
        missing, _ = _missing(counts, window)
        yield SourceHealth(
            source=source,
            measurements=sum(counts[TRAILING:]),
            last_day=window.days[last],
            missing_days=missing,
        )
