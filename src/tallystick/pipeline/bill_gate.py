"""What bills wait for: a reconciliation that passed for each day that they bill, where the organisation asks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from tallystick.core.bill_job import BillFailure
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Period, local_days
from tallystick.core.reconciliation import Reconciliation, ReconciliationGate
from tallystick.core.reconciliation_run import ReconciliationRun
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.reconciliation_runs import days_not_passed, zone_of
from tallystick.ports import OrganizationRecords

CODE = "reconciliation_required"
NAMED_DAYS = 3


def reconciled(
    records: OrganizationRecords, periods: Sequence[AccountPeriod]
) -> tuple[list[AccountPeriod], list[BillFailure]]:
    """The account periods that may be billed, and of the others what they wait for and what to do about it."""
    config = records.get(OrganizationConfig, records.organization_id)
    gate = None if config is None else config.value.bill_requires
    if gate is None:
        return list(periods), []
    asked = records.get(Reconciliation, gate.reconciliation_id)
    assert asked is not None, "what settings refer to cannot be deleted"
    zone = zone_of(records, asked.value)
    told: dict[Period, str | None] = {}
    free: list[AccountPeriod] = []
    held: list[BillFailure] = []
    for each in periods:
        if each.period not in told:
            first, last = local_days(each.period, zone)
            end = last + timedelta(days=1)
            missing, short = days_not_passed(records, gate.reconciliation_id, gate.level, first, end)
            told[each.period] = _told(asked.value.name, gate, missing, short) if missing else None
        message = told[each.period]
        if message is None:
            free.append(each)
        else:
            held.append(BillFailure(account_id=each.account_id, code=CODE, message=message, period_key=each.key))
    return free, held


def _told(name: str, gate: ReconciliationGate, missing: Sequence[date], short: ReconciliationRun | None) -> str:
    """Which days are not reconciled well enough, and what to run."""
    days = ", ".join(each.isoformat() for each in missing[:NAMED_DAYS])
    more = len(missing) - NAMED_DAYS
    days += f" and {more} more day{'s' if more > 1 else ''}" if more > 0 else ""
    reached = "" if short is None else f" (run {short.id} reached {short.accuracy}%, {short.level})"
    return (
        f"the reconciliation {name!r} has not reached {gate.level} for {days}{reached}; mend what it found, run it "
        f"again (tallystick reconcile run {gate.reconciliation_id}), and then the bills"
    )
