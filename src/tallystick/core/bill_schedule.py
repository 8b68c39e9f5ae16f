"""What is due by the clock: scheduled bill runs, and the approval of bills after a grace period.

Pure functions of the organisation's settings and the time (source: reference 2.9, 3.11;
docs/decisions/0151-scheduled-bills.md).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import msgspec

from tallystick.core.bill import NAMESPACE, Bill, BillStatus
from tallystick.core.ids import named_id
from tallystick.core.organization import GracePeriodUnit, OrganizationConfig
from tallystick.core.period import Grid, Instant, Period, day_start, local_day, require_zone

DAY = timedelta(hours=24)
# How long after the end of a period its bill is made again for usage that arrives late (source: reference 3.11).
REFRESHED = timedelta(hours=24)


class Slot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One run by the clock: its moment, and the moment of the run before it (or, at first, of the slot before it)."""

    at: Instant
    after: Instant


def due_slot(config: OrganizationConfig, last: Instant | None, now: Instant) -> Slot | None:
    """The run that is due: the latest slot that has begun, unless `last`, the slot that ran last, is that one already.

    Slots follow each other every `scheduledBillInterval` hours from the beginning of each local day; with 24 hours
    there is one, at the local hour `scheduledBillOffset`. Slots that were missed are made up for by one run.
    """
    hours = config.scheduled_bill_interval
    if not hours:
        return None
    interval = timedelta(minutes=int(hours * 60))
    at = _latest_slot(config, interval, now)
    if last is not None and last >= at:
        return None
    return Slot(at=at, after=Instant.of(at - interval) if last is None else last)


def _latest_slot(config: OrganizationConfig, interval: timedelta, now: Instant) -> Instant:
    today = local_day(now, config.timezone)
    if interval == DAY:
        hour = time(config.scheduled_bill_offset or 0, tzinfo=require_zone(config.timezone))
        days = (today, today - timedelta(days=1))
        slots = (Instant.of(datetime.combine(day, hour).astimezone(UTC)) for day in days)
        return next(slot for slot in slots if slot <= now)
    midnight = day_start(today, config.timezone)
    return Instant.of(midnight + interval * ((now - midnight) // interval))


def job_id_of(organization_id: str, slot: Slot) -> str:
    """The id of the bill job of a slot: the same for whoever comes to run it, and whenever."""
    return named_id(NAMESPACE, f"scheduled/{organization_id}/{slot.at.wire()}")


def periods_of(grid: Grid, slot: Slot) -> list[Period]:
    """The periods of a billing grid that a slot bills, latest first: those that have ended by it and not so long before
    the last run that their time for late usage was over then."""
    since = Instant.of(slot.after - REFRESHED)
    period = grid.previous(grid.period_at(slot.at))
    found = []
    while period.end > since:
        found.append(period)
        period = grid.previous(period)
    return found


def approved_from(config: OrganizationConfig, bill: Bill) -> Instant | None:
    """From when on a bill counts as approved by itself: after the grace period from its bill date, or, where somebody
    has changed it since it was calculated, from that change. None when nothing is approved automatically."""
    grace, unit = config.auto_approve_bills_grace_period, config.auto_approve_bills_grace_period_unit
    if grace is None or unit is None or bill.locked or bill.status is not BillStatus.PENDING:
        return None
    touched = bill.dt_last_modified > bill.last_calculated_date
    if unit is not GracePeriodUnit.DAYS:
        begun = day_start(bill.bill_date, bill.timezone)
        begun = max(begun, bill.dt_last_modified) if touched else begun
        return Instant.of(
            begun + (timedelta(hours=grace) if unit is GracePeriodUnit.HOURS else timedelta(minutes=grace))
        )
    day = bill.bill_date
    if touched:
        day = max(day, local_day(bill.dt_last_modified, bill.timezone))
    return day_start(day + timedelta(days=grace), bill.timezone)
