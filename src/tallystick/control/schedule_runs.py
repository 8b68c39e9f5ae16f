"""What runs by itself on balances: schedules that are due, and top-ups. Running it again makes nothing again.

Each schedule is a transaction of its own. Ids are made from what they are for, so nothing is made twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice, takewhile

from tallystick.control.balance_schedules import (
    charge_schedule_runs,
    last_transaction,
    transaction_schedule_runs,
    unmade_charges,
)
from tallystick.control.charges import CHARGES
from tallystick.control.desk import Desk
from tallystick.control.ledger import entries_of, keep
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import LedgerEntry
from tallystick.core.period import Instant
from tallystick.core.schedule import (
    Runs,
    charge_run,
    run_id,
    scheduled_charge,
    scheduled_entry,
    transaction_runs,
)
from tallystick.core.schedule_types import ChargeSchedule, TransactionSchedule
from tallystick.core.top_up import top_ups_due
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Page, Transaction, Where
from tallystick.ports.founded import config_of

MOST = 1000  # runs of one schedule that are made at a time; the rest comes next time


def has_schedules(records: OrganizationRecords) -> bool:
    """Whether there is any schedule, whatever it says."""
    first = Page(size=1)
    return any(records.find(of, Where(), first).rows for of in (TransactionSchedule, ChargeSchedule))


def run_schedules(desk: Desk) -> tuple[int, list[str]]:
    """Make every transaction and charge that is due at the desk's moment and not made yet.

    Returns how many were made, and what could not be (a message each): the others go on.
    """
    made, problems = 0, list[str]()
    for transactions in list(desk.records.every(TransactionSchedule)):
        if _is_due(transaction_schedule_runs(desk.records, transactions), desk.now):
            made += _run_transactions(desk, transactions.id)
    for charges in list(desk.records.every(ChargeSchedule)):
        try:
            if _is_due(charge_schedule_runs(desk.records, charges), desk.now):
                made += _run_charges(desk, charges.id)
        except Refusal as refusal:
            problems.append(f"charge schedule {charges.id}: {refusal.message}")
    return made, problems


def _is_due(runs: Runs, now: Instant) -> bool:
    return runs.next is not None and runs.next <= now


def _run_transactions(desk: Desk, schedule_id: str) -> int:
    with desk.records.transaction() as write:
        schedule = write.get(TransactionSchedule, schedule_id)
        if schedule is None:
            return 0  # deleted since it was listed
        balance = _balance(write, schedule.value.balance_id)
        zone, last = config_of(write).value.timezone, last_transaction(write, schedule_id)
        runs = takewhile(lambda run: run <= desk.now, transaction_runs(schedule.value, zone, after=last))
        entries = [scheduled_entry(schedule_id, schedule.value, balance, run, desk.now) for run in islice(runs, MOST)]
        keep(write, entries)
        return len(entries)


def _run_charges(desk: Desk, schedule_id: str) -> int:
    made = 0
    with desk.records.transaction() as write:
        schedule = write.get(ChargeSchedule, schedule_id)
        if schedule is None:
            return 0  # deleted since it was listed
        balance, zone = _balance(write, schedule.value.balance_id), config_of(write).value.timezone
        due = takewhile(lambda period: charge_run(schedule.value, period) <= desk.now, unmade_charges(write, schedule))
        for period in list(islice(due, MOST)):
            charge = scheduled_charge(schedule_id, schedule.value, balance, period, zone)
            CHARGES.create_within(desk, write, charge, run_id(schedule_id, period.start))
            made += 1
    return made


def _balance(read: Transaction, balance_id: str) -> Entity[Balance]:
    balance = read.get(Balance, balance_id)
    assert balance is not None, f"a schedule is kept, so its balance {balance_id} is too"
    return balance


def balances_to_top_up(records: OrganizationRecords) -> list[Entity[Balance]]:
    """The balances that have a top-up rule."""
    return list(records.every(Balance, Where(equal={"tops_up": ("true",)})))


def top_up(desk: Desk, balance_id: str, left: Decimal, entries: Sequence[LedgerEntry]) -> int:
    """Fill a balance up by its rule, given what of it can still be drawn and the entries that this was found from.

    Returns how many top-ups were made; none when the ledger has changed meanwhile, because `left` is then out of date.
    """
    with desk.records.transaction() as write:
        balance = write.get(Balance, balance_id)
        now_there = entries_of(write, (balance_id,))[balance_id]
        if balance is None or {each.id: each.amount for each in now_there} != {
            each.id: each.amount for each in entries
        }:
            return 0
        due = top_ups_due(balance, left, now_there, desk.now, config_of(write).value.timezone)
        keep(write, [each.entry for each in due])
        for each in due:
            CHARGES.create_within(desk, write, each.charge, each.charge_id)
        return len(due)
