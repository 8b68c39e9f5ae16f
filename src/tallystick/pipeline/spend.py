"""How accounts stand now: what their present bills charge, by the very calculation of a bill run. Nothing is written.

What spend alerts are held against and what the portal shows as the estimate are the same bills.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tallystick.core.bill import Bill, BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add
from tallystick.core.spend_alert import Standing, charged, charged_for
from tallystick.pipeline.bill import Run, preview
from tallystick.pipeline.periods import account_periods, holding
from tallystick.pipeline.watch import live_values
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where

NO_JOB = ""  # what is looked at is of no job


def present_bills(
    records: OrganizationRecords, usage: OrganizationUsage, account_ids: Sequence[str], *, now: Instant, up_to: int
) -> dict[str, list[BillRecord | BillFailure]]:
    """The bills of the billing periods that are open now, as they would be made now, by account; a failure where one
    cannot be made. An account with no plan in force has none."""
    found: dict[str, list[BillRecord | BillFailure]] = {id_: [] for id_ in account_ids}
    periods = account_periods(records, holding(now), account_ids=account_ids) if account_ids else []
    made = preview(records, usage, periods, Run(job_id=NO_JOB, as_of=now, up_to=up_to, actor_id=""))
    for of, each in zip(periods, made, strict=True):
        found[of.account_id].append(each)
    return found


def standings(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    last_bills: dict[str, Bill | None],
    *,
    now: Instant,
    up_to: int,
) -> dict[str, Standing]:
    """How accounts stand, by id, given the last approved bill of each. One of which a bill cannot be made is left out:
    nothing true can be said of its spend."""
    account_ids = sorted(last_bills)
    bills = present_bills(records, usage, account_ids, now=now, up_to=up_to)
    balances = _balances(records, usage, account_ids, now=now, up_to=up_to)
    found = {}
    for account_id in account_ids:
        made = [each.bill for each in bills[account_id] if isinstance(each, BillRecord)]
        last = last_bills[account_id]
        if len(made) == len(bills[account_id]):
            found[account_id] = Standing(
                spend=spend_of(made),
                periods=tuple(sorted({each.start_date_time_utc for each in made})),
                last_bill=None if last is None else (last.currency, charged(last)),
                balances=balances.get(account_id, {}),
                usage=charged_for(made),
            )
    return found


def spend_of(bills: Sequence[Bill]) -> dict[str, Decimal]:
    """What bills charge before credit pays its part, by currency."""
    spend: dict[str, Decimal] = {}
    for each in bills:
        spend[each.currency] = add(spend.get(each.currency, ZERO), charged(each))
    return spend


def _balances(
    records: OrganizationRecords, usage: OrganizationUsage, account_ids: Sequence[str], *, now: Instant, up_to: int
) -> dict[str, dict[str, tuple[str, Decimal]]]:
    """What the balances that can be drawn from now are worth, by account and balance."""
    every = records.every(Balance, Where(equal={"account_id": account_ids})) if account_ids else ()
    usable: list[Entity[Balance]] = [each for each in every if each.value.start_date <= now < each.value.last_end]
    found: dict[str, dict[str, tuple[str, Decimal]]] = {}
    for balance, worth in zip(usable, live_values(records, usage, usable, now=now, up_to=up_to), strict=True):
        if not isinstance(worth, BillFailure):
            found.setdefault(balance.value.account_id, {})[balance.id] = (worth.currency, worth.value)
    return found
