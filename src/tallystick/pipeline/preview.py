"""Preview the bill of one account: what a bill job would make now, kept nowhere (source: reference 2.10, 1.7).

It is the very calculation of a bill run, also for a period that has not ended yet
(docs/decisions/0150-previews.md).
"""

from __future__ import annotations

from datetime import datetime

from tallystick.core.account import Account
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure, BillJobRequest
from tallystick.core.period import Instant, day_start
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, preview
from tallystick.pipeline.periods import Choice, account_periods, ended_by, ending_on, holding
from tallystick.ports import Actor, OrganizationRecords, OrganizationUsage
from tallystick.ports.founded import config_of

NO_JOB = ""  # a preview is of no job


def preview_bill(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    request: BillJobRequest,
    *,
    actor: Actor,
    now: datetime,
    up_to: int,
) -> BillRecord:
    """The bill that the request describes, with the usage up to a journal position. Nothing is written.

    Without a date it is the bill of the period that is open now. Refusals: `invalid_request` unless the request names
    exactly one account and one billing frequency that it has, `unknown_reference` for an account that does not exist,
    `no_billing_period` when it has nothing to bill then, and what a bill run would report as the account's failure.
    """
    moment = Instant.of(now)
    of = _period(records, request, moment)
    run = Run(job_id=NO_JOB, as_of=moment, up_to=up_to, actor_id=actor.id)
    (made,) = preview(records, usage, [of], run)
    if isinstance(made, BillFailure):
        raise Refusal(made.code, made.message)
    return made


def _period(records: OrganizationRecords, request: BillJobRequest, now: Instant) -> AccountPeriod:
    wanted = request.account_ids or ()
    if len(wanted) != 1:
        message = f"accountIds: a preview is of exactly one account, got {len(wanted)}"
        raise Refusal("invalid_request", message, field="accountIds")
    account = records.get(Account, wanted[0])
    if account is None:
        raise Refusal("unknown_reference", f"accountIds: there is no account {wanted[0]}", field="accountIds")
    found = account_periods(
        records,
        _choice(records, request, now),
        account_ids=wanted,
        frequency=request.billing_frequency,
        interval=request.bill_frequency_interval,
        parameters=request.parameters,
    )
    if not found:
        message = f"accountIds: the account {account.value.code!r} has no plan in force in such a billing period"
        raise Refusal("no_billing_period", message, field="accountIds")
    if len(found) > 1:
        each = ", ".join(f"{of.frequency} every {of.interval} from {of.period.start.wire()}" for of in found)
        message = f"billingFrequency: the account {account.value.code!r} has several bills, name one of: {each}"
        raise Refusal("invalid_request", message, field="billingFrequency")
    return found[0]


def _choice(records: OrganizationRecords, request: BillJobRequest, now: Instant) -> Choice:
    if request.last_date_in_billing_period is not None:
        return ending_on(request.last_date_in_billing_period)
    if request.bill_date is None:
        return holding(now)
    config = config_of(records)
    return ended_by(day_start(request.bill_date, request.timezone or config.value.timezone))
