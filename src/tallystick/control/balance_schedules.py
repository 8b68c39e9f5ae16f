"""Schedules of balances: what is added, or charged for, again and again (source: reference 2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from tallystick.control.balances import BALANCES
from tallystick.control.currencies import require_currency
from tallystick.control.desk import Desk, Draft, Noun, require_references
from tallystick.control.ledger import list_entries
from tallystick.core.charge import Charge
from tallystick.core.entity import Entity, Value
from tallystick.core.ledger import LedgerEntry
from tallystick.core.period import Instant, Period
from tallystick.core.schedule import (
    Runs,
    charge_periods,
    charge_run,
    run_id,
    scheduled_charge,
    scheduled_entry,
    transaction_runs,
)
from tallystick.core.schedule_types import ChargeSchedule, TransactionSchedule
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Found, OrganizationRecords, Page, Where
from tallystick.ports.founded import config_of

Row = TypeVar("Row")
V = TypeVar("V", bound=Value)
LONGEST_OFFSET = 5  # digits: nobody looks further into a preview
UNMADE = "00000000-0000-0000-0000-000000000000"  # the id of a schedule that is only previewed


def transaction_schedule_runs(records: OrganizationRecords, schedule: Entity[TransactionSchedule]) -> Runs:
    """The last run of a transaction schedule that was made, and the first one after it."""
    last = last_transaction(records, schedule.id)
    runs = transaction_runs(schedule.value, config_of(records).value.timezone, after=last)
    return Runs(previous=last, next=next(runs, None))


def charge_schedule_runs(records: OrganizationRecords, schedule: Entity[ChargeSchedule]) -> Runs:
    """The last run of a charge schedule that was made, and the first one after it."""
    following = next(unmade_charges(records, schedule), None)
    return Runs(
        previous=last_charge(records, schedule),
        next=None if following is None else charge_run(schedule.value, following),
    )


def unmade_charges(records: OrganizationRecords, schedule: Entity[ChargeSchedule]) -> Iterator[Period]:
    """The stretches of service, in order, that the schedule made no charge for. One that people deleted was made."""
    for period in charge_periods(schedule.value, config_of(records).value, after=last_charge(records, schedule)):
        if records.at_version(Charge, run_id(schedule.id, period.start), 1) is None:
            yield period


def last_transaction(records: OrganizationRecords, schedule_id: str) -> Instant | None:
    """The latest run of which there is a transaction."""
    found = list_entries(records, DocumentWhere(equal={"entity_id": (schedule_id,)}), Page(size=1))
    return found.rows[0].transaction_date if found.rows else None


def last_charge(records: OrganizationRecords, schedule: Entity[ChargeSchedule]) -> Instant | None:
    """The latest run of which there is a charge."""
    found = records.find(Charge, Where(equal={"schedule_id": (schedule.id,)}), Page(size=1)).rows
    if not found:
        return None
    charge = found[0].value
    return charge_run(schedule.value, Period(charge.service_period_start_date, charge.service_period_end_date))


def preview_transactions(desk: Desk, schedule: TransactionSchedule, page: Page) -> Found[LedgerEntry]:
    """The transactions that a schedule would make, first to last. Nothing is kept. The token is an offset."""
    balance = BALANCES.retrieve(desk.records, schedule.balance_id)
    require_references(desk.records, schedule)
    runs = transaction_runs(schedule, config_of(desk.records).value.timezone)
    return _page_of((scheduled_entry(UNMADE, schedule, balance, run, desk.now) for run in runs), page)


def preview_charges(desk: Desk, schedule: ChargeSchedule, page: Page) -> Found[Entity[Charge]]:
    """The charges that a schedule would make, first to last. Nothing is kept. The token is an offset."""
    balance = BALANCES.retrieve(desk.records, schedule.balance_id)
    require_currency(desk.records, schedule.currency)
    config = config_of(desk.records).value

    def charges() -> Iterator[Entity[Charge]]:
        for period in charge_periods(schedule, config):
            charge = scheduled_charge(UNMADE, schedule, balance, period, config.timezone)
            yield made(desk, run_id(UNMADE, period.start), charge)

    return _page_of(charges(), page)


def made(desk: Desk, entity_id: str, value: V) -> Entity[V]:
    """A value as an entity that is not kept."""
    by = desk.actor.id
    return Entity(
        id=entity_id, version=1, value=value, created=desk.now, created_by=by, modified=desk.now, modified_by=by
    )


def _page_of(rows: Iterator[Row], page: Page) -> Found[Row]:
    start = 0
    if page.token is not None:
        if not (page.token.isascii() and page.token.isdigit() and len(page.token) <= LONGEST_OFFSET):
            raise Refusal("invalid_page", f"nextToken: {page.token[:40]!r} is no token of this list", field="nextToken")
        start = int(page.token)
    found = tuple(islice(rows, start, start + page.size + 1))
    return Found(found[: page.size], str(start + page.size) if len(found) > page.size else None)


def _check_charges(draft: Draft[ChargeSchedule]) -> ChargeSchedule:
    require_currency(draft.read, draft.value.currency)
    return draft.value


TRANSACTION_SCHEDULES = Noun(of=TransactionSchedule)
CHARGE_SCHEDULES = Noun(of=ChargeSchedule, check=_check_charges)
