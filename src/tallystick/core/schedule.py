"""When schedules of a balance are due, and what they make: a pure function of the schedule and the time.

Every id is made from the schedule and the moment, so that running twice makes nothing twice (source: reference 2.7;
docs/decisions/0111-schedules.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import msgspec

from tallystick.core.charge import Charge, ChargeEntityType, ChargeLineItemType
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect, local_days, require_zone
from tallystick.core.schedule_types import ChargeSchedule, TransactionSchedule


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of a schedule that was made, and the first one after it."""

    previous: Instant | None
    next: Instant | None


def transaction_runs(schedule: TransactionSchedule, zone: str, after: Instant | None = None) -> Iterator[Instant]:
    """The moments at which a transaction schedule runs, in order: its start, then every so many days, weeks, months or
    years later at the same time of the clock in the zone. Only those after a moment, when one is given."""
    tz = require_zone(zone)
    local = schedule.start_date.astimezone(tz)
    grid = Grid(frequency=schedule.frequency, interval=schedule.frequency_interval, epoch=local.date(), zone=zone)
    number = 0 if after is None else max(0, grid.index_of(after) - 1)
    while (run := _at(grid.first_day(number), local.time(), tz)) < schedule.end_date:
        if after is None or run > after:
            yield run
        number += 1


def _at(day: date, clock: time, zone: ZoneInfo) -> Instant:
    """A time of the clock on a day; where the clocks skip it, as long after the gap as it lies inside."""
    return Instant.of(datetime.combine(day, clock, tzinfo=zone))


def charge_periods(
    schedule: ChargeSchedule, config: OrganizationConfig, after: Instant | None = None
) -> Iterator[Period]:
    """The stretches of service that a charge schedule charges for, in order: the billing periods of its grid, the first
    and the last cut to the service. Each costs the full amount. Only those whose run is after a moment, when one is
    given."""
    grid = Grid(
        frequency=schedule.bill_frequency,
        interval=schedule.bill_frequency_interval,
        epoch=schedule.bill_epoch or epoch_of(config, schedule.bill_frequency),
        zone=config.timezone,
    )
    service = Period(schedule.service_period_start_date, schedule.service_period_end_date)
    first = service.start
    if after is not None and after > first:
        first = max(first, grid.previous(grid.period_at(after)).start)
    for period in grid.between(first, service.end):
        served = intersect(period, service)
        assert served is not None, "the grid gives only periods that have an instant of the service"
        if after is None or charge_run(schedule, served) > after:
            yield served


def charge_run(schedule: ChargeSchedule, period: Period) -> Instant:
    """When the charge of a period is made: at its start in advance, at its end in arrears."""
    return period.start if schedule.bill_in_advance else period.end


def epoch_of(config: OrganizationConfig, frequency: Frequency) -> date:
    """The organisation's first day of billing periods of a frequency."""
    return {
        Frequency.DAILY: config.day_epoch,
        Frequency.WEEKLY: config.week_epoch,
        Frequency.MONTHLY: config.month_epoch,
        Frequency.ANNUALLY: config.year_epoch,
    }[frequency]


def scheduled_entry(
    schedule_id: str, schedule: TransactionSchedule, balance: Entity[Balance], run: Instant, now: Instant
) -> LedgerEntry:
    """What one run of a transaction schedule adds to its balance."""
    return LedgerEntry(
        id=run_id(schedule_id, run),
        credit_kind=CreditKind.BALANCE,
        credit_id=balance.id,
        account_id=balance.value.account_id,
        amount=schedule.amount,
        currency=balance.value.currency,
        applied_date=run,
        transaction_date=run,
        entity_type=LedgerCause.SCHEDULER,
        entity_id=schedule_id,
        created=now,
        created_by=schedule_id,
        description=schedule.transaction_description,
        transaction_type_id=schedule.transaction_type_id,
        paid=schedule.paid,
        currency_paid=schedule.currency_paid,
    )


def scheduled_charge(
    schedule_id: str, schedule: ChargeSchedule, balance: Entity[Balance], period: Period, zone: str
) -> Charge:
    """What a charge schedule charges for one period. It is on the bill of the first day of the period in advance, of
    its last day in arrears."""
    first_day, last_day = local_days(period, zone)
    return Charge(
        account_id=balance.value.account_id,
        code=f"{schedule.code[:60]}-{first_day:%Y%m%d}-{run_id(schedule_id, period.start)[:8]}",
        name=schedule.name,
        currency=schedule.currency,
        entity_type=ChargeEntityType.BALANCE,
        line_item_type=ChargeLineItemType.BALANCE_FEE,
        entity_id=balance.id,
        service_period_start_date=period.start,
        service_period_end_date=period.end,
        bill_date=first_day if schedule.bill_in_advance else last_day,
        amount=schedule.amount,
        units=schedule.units,
        unit_price=schedule.unit_price,
        description=schedule.charge_description,
        contract_id=balance.value.contract_id,
        accounting_product_id=balance.value.fees_accounting_product_id,
        schedule_id=schedule_id,
    )


def run_id(schedule_id: str, run: Instant) -> str:
    """The id of what a schedule makes at a moment: always the same."""
    return named_id(schedule_id, run.wire())
