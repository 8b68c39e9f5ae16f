"""Run bill jobs in chunks that survive a crash (source: reference 2.10, 3.11).

First the account periods that the job covers are listed and kept, in order, in chunks. Then each chunk is rated and
settled in one transaction together with its mark of completion. Killed at any step and run again, a job goes on where
it stopped and makes the same bills, byte for byte.

Which periods a job covers (docs/decisions/0073-periods-of-a-bill-job.md): with `lastDateInBillingPeriod` every billing
period that ends with that day; without it, of each billing grid the latest period that has ended by the start of
`billDate`, or by the moment of the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from tallystick.core.bill import bill_id
from tallystick.core.bill_job import BillFailure, BillJob, BillJobRequest, BillJobStatus, BillJobType
from tallystick.core.bill_schedule import Slot, periods_of
from tallystick.core.cast import Cast
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Grid, Instant, Period, day_start
from tallystick.core.terms import AccountPeriod, period_of
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.anomalies import read_policies
from tallystick.pipeline.bill import Run, read_bills
from tallystick.pipeline.bill_gate import reconciled
from tallystick.pipeline.bill_hold import hold_bills, look_behind
from tallystick.pipeline.bill_job import (
    CHUNK_KIND,
    JobChunk,
    KeptJob,
    chunk_document,
    put_job,
    read_chunk,
    read_kept,
    whole_job,
)
from tallystick.pipeline.casting import rate_for_bills
from tallystick.pipeline.late_usage import was_overtaken
from tallystick.pipeline.many_periods import ManyBillable
from tallystick.pipeline.periods import NOTHING_ELSE, Also, Choice, ended_by, ending_on
from tallystick.pipeline.rate import edition
from tallystick.pipeline.settle import DrawnMeanwhile, Settled, settle, was_stored
from tallystick.ports import OrganizationRecords, OrganizationUsage, Transaction
from tallystick.ports.founded import config_of

CHUNK = 2_000  # account periods that are settled in one transaction, in some tenths of a second
AHEAD = 2  # chunks that a foundry may have beyond the one that is being settled
EVENT_NAME = "billing.bill.failed"
EVENT_TYPE = "BillingFailure"
COMPLETED = "billing.billjob.completed"
JOB_TYPE = "BillJob"

Failpoint = Callable[[str], None]  # told each step by name; a test raises in it


class Foundry(Protocol):
    """Casts bills of a chunk (`pipeline.casting.cast_bills`) while the chunk before it is settled here.

    What it gives may be less than could be cast, and is nothing where it fails: what is missing is rated here. It is
    not worth its start for fewer bills than `fewest`.
    """

    @property
    def fewest(self) -> int: ...

    def order(self, job_id: str, number: int, run: Run, edition: object) -> None:
        """Have a chunk of a job cast after those that were ordered before, unless it was, too. Accounts of chunks
        before it that are not settled by then are left alone, as their bills may depend on those. `edition` is that of
        settings and catalogue now."""

    def take(self, chunk: JobChunk, edition: Callable[[], object]) -> Mapping[int, Cast]:
        """The bills of a chunk by their places in it, once they are there; none where they were not ordered, or where
        the edition is another by then."""


def run_job(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    id: str,
    *,
    failpoint: Failpoint = lambda step: None,
    stopping: Callable[[], bool] = lambda: False,
    chunk_size: int = CHUNK,
    foundry: Foundry | None = None,
) -> BillJob:
    """Run a job to its end, from wherever it stands; returns it as it then is. Safe to call again at any time.

    When `stopping` says so, it ends after the chunk at hand. A `foundry` casts bills ahead: they come out the same.

    The usage store must hold the journal up to the job's `up_to`. An account that cannot be billed is recorded on the
    job and as an event, and the others go on.
    """
    kept = read_kept(records, id)
    if kept.job.status in {BillJobStatus.PENDING, BillJobStatus.INITIALIZING}:
        kept = _initialise(records, kept, failpoint, chunk_size)
    if foundry is not None and kept.job.pending < foundry.fewest:
        foundry = None
    while kept.job.status is BillJobStatus.RUNNING and not stopping():
        with suppress(DrawnMeanwhile):  # the chunk is rated anew: what was made ahead of it is used up
            kept = _advance(records, usage, kept, failpoint, foundry)
    return whole_job(records, kept)


def _initialise(records: OrganizationRecords, kept: KeptJob, failpoint: Failpoint, chunk_size: int) -> KeptJob:
    """List the account periods of the job and keep them as chunks."""
    with records.transaction() as write:
        kept = read_kept(write, kept.job.id)
        if not kept.job.status.active:
            return kept
        if kept.job.status is BillJobStatus.PENDING:
            kept = put_job(write, kept, status=BillJobStatus.INITIALIZING)
    failpoint("initialising")
    periods, failures = _periods(records, kept)
    periods, held = reconciled(records, periods)
    failures += held
    with records.transaction() as write:
        kept = read_kept(write, kept.job.id)
        if kept.job.status is not BillJobStatus.INITIALIZING:
            return kept
        parts = [periods[first : first + chunk_size] for first in range(0, len(periods), chunk_size)]
        chunks = [JobChunk(job_id=kept.job.id, number=number, periods=tuple(part)) for number, part in enumerate(parts)]
        write.put_documents(CHUNK_KIND, [chunk_document(chunk) for chunk in chunks])
        _put_events(write, kept.job, failures)
        kept = msgspec.structs.replace(kept, chunks=len(chunks), failures=tuple(failures))
        status = BillJobStatus.RUNNING if chunks else BillJobStatus.COMPLETE
        kept = put_job(write, kept, status=status, total=len(periods), pending=len(periods))
        _tell_of_end(write, kept.job, len(failures))
        failpoint("initialised, not committed")
    failpoint("initialised")
    return kept


def _advance(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    kept: KeptJob,
    failpoint: Failpoint,
    foundry: Foundry | None,
) -> KeptJob:
    """Rate and settle the next chunk."""
    job = kept.job
    chunk = read_chunk(records, job.id, kept.done)
    run = Run(
        job_id=job.id,
        as_of=job.as_of,
        up_to=job.up_to,
        actor_id=job.created_by,
        reopen=job.type is BillJobType.RECALCULATE,
    )
    policies = read_policies(records)
    # Where bills may be held, the terms of each are looked behind: all are read here. Made again, none is cast.
    ahead = {} if foundry is None or policies.hold or run.reopen else _ahead(foundry, records, kept, chunk, run)
    results = rate_for_bills(records, usage, chunk.periods, run, ahead, with_terms=policies.hold)
    terms = [each.terms for each in results if not isinstance(each, BillFailure) and each.terms is not None]
    suspicions = look_behind(records, usage, policies, terms, run)
    failpoint("rated")
    with records.transaction() as write:
        now = read_kept(write, job.id)
        if now.job.status is not BillJobStatus.RUNNING or now.done != kept.done:
            return now  # cancelled, or settled by another run, in the meantime
        if was_overtaken(write, results) or was_stored(write, results):
            return now  # the chunk is rated anew
        settled = settle(write, results, run)
        hold_bills(write, settled.bill_ids, suspicions, run)
        failpoint("bills written, not committed")
        _put_events(write, job, settled.failures)
        write.put_documents(CHUNK_KIND, [chunk_document(_settled(chunk, settled))])
        kept = msgspec.structs.replace(now, done=now.done + 1)
        status = BillJobStatus.COMPLETE if kept.done == kept.chunks else BillJobStatus.RUNNING
        kept = put_job(write, kept, status=status, pending=kept.job.pending - len(chunk.periods))
        if not kept.job.status.active:
            _tell_of_end(write, kept.job, len(whole_job(write, kept).failures))
        failpoint("progress written, not committed")
    failpoint("committed")
    return kept


def _ahead(
    foundry: Foundry, records: OrganizationRecords, kept: KeptJob, chunk: JobChunk, run: Run
) -> Mapping[int, Cast]:
    """What was cast ahead of this chunk, while the next ones are begun: so many that nobody waits for the other. What
    was cast with prices that are others by now is cast anew."""
    cast = foundry.take(chunk, lambda: edition(records))
    for number in range(chunk.number + 1, min(chunk.number + 1 + AHEAD, kept.chunks)):
        foundry.order(kept.job.id, number, run, edition(records))
    return cast


def _settled(chunk: JobChunk, settled: Settled) -> JobChunk:
    """What became of a chunk, in its place: the periods have served."""
    return msgspec.structs.replace(
        chunk, periods=(), settled=True, bill_ids=settled.bill_ids, failures=settled.failures
    )


# ------------------------------------------------------------------------------------------------------ periods


def _periods(records: OrganizationRecords, kept: KeptJob) -> tuple[list[AccountPeriod], list[BillFailure]]:
    """The account periods a job covers, and the accounts that it names in vain."""
    job = kept.job
    if job.type is BillJobType.RECALCULATE:
        stored = read_bills(records, kept.recalculate)
        gone = [each for each in kept.recalculate if each not in stored]
        return [period_of(stored[each]) for each in kept.recalculate if each in stored], [
            _deleted(each) for each in gone
        ]
    if kept.slot is not None:
        return _scheduled(records, kept.slot), []
    request = BillJobRequest(**{name: getattr(job, name) for name in BillJobRequest.__struct_fields__})
    periods = ManyBillable(records, job.account_ids, request.parameters).periods(
        _choice(records, request, job.as_of),
        frequency=job.billing_frequency,
        interval=job.bill_frequency_interval,
        also=Also.ENDED_PLANS | (Also.EARLIER_DAYS if request.last_date_in_billing_period is None else NOTHING_ELSE),
    )
    found = {each.account_id for each in periods}
    named = dict.fromkeys(job.account_ids or ())
    return periods, [_in_vain(each, request, job.as_of) for each in named if each not in found]


def _scheduled(records: OrganizationRecords, slot: Slot) -> list[AccountPeriod]:
    """The account periods of a run by the clock, earliest end first; those that have a bill as it was asked for."""
    found: dict[str, AccountPeriod] = {}
    back = 0

    def nth(grid: Grid) -> Period | None:
        periods = periods_of(grid, slot)
        return periods[back] if back < len(periods) else None

    billable = ManyBillable(records)
    while more := billable.periods(nth, also=Also.ENDED_PLANS):
        found |= {bill_id(records.organization_id, each.key): each for each in more}
        back += 1
    for first in range(0, len(found), CHUNK):
        stored = read_bills(records, list(found)[first : first + CHUNK])
        found |= {id_: period_of(record) for id_, record in stored.items()}
    return sorted(found.values(), key=lambda of: of.period.end)


def _choice(records: OrganizationRecords, request: BillJobRequest, as_of: Instant) -> Choice:
    if request.last_date_in_billing_period is not None:
        return ending_on(request.last_date_in_billing_period)
    if request.bill_date is None:
        return ended_by(as_of)
    config = config_of(records)
    return ended_by(day_start(request.bill_date, request.timezone or config.value.timezone))


def _deleted(id: str) -> BillFailure:
    message = f"the bill {id} was deleted before it could be calculated again"
    return BillFailure(account_id="", code="not_found", message=message, period_key=id)


def _in_vain(account_id: str, request: BillJobRequest, as_of: Instant) -> BillFailure:
    """An account that the job names and that has nothing to bill: said aloud, for it is rarely what was meant."""
    what = f"{request.billing_frequency} billing period" if request.billing_frequency else "billing period"
    if request.last_date_in_billing_period is not None:
        when = f"ends on {request.last_date_in_billing_period}"
    else:
        when = f"was the latest to end by {request.bill_date or as_of.wire()}"
    message = f"account {account_id} has no plan in force in a {what} that {when}"
    return BillFailure(account_id=account_id, code="no_billing_period", message=message, period_key="")


def _tell_of_end(write: Transaction, job: BillJob, failures: int) -> None:
    """Tell that a job has done all that it covers."""
    if job.status is not BillJobStatus.COMPLETE:
        return
    details = {
        "eventName": COMPLETED,
        "billJobId": job.id,
        "type": job.type,
        "total": job.total,
        "failures": failures,
    }
    event = Event(id=named_id(job.id, "completed"), event_name=COMPLETED, event_time=job.as_of, m3ter_event=details)
    put_events(write, [event_document(event, event_type=JOB_TYPE, resource_id=job.id)])


def _put_events(write: Transaction, job: BillJob, failures: Sequence[BillFailure]) -> None:
    """Tell of each account period that could not be billed, once per job, whatever is run again."""
    events = []
    for failure in failures:
        id_ = named_id(job.id, f"failure/{failure.account_id}/{failure.period_key}")
        details = {
            "eventName": EVENT_NAME,
            "billJobId": job.id,
            "accountId": failure.account_id,
            "code": failure.code,
            "reason": failure.message,
            "periodKey": failure.period_key,
        }
        event = Event(id=id_, event_name=EVENT_NAME, event_time=job.as_of, m3ter_event=details)
        events.append(event_document(event, event_type=EVENT_TYPE, account_id=failure.account_id, resource_id=job.id))
    put_events(write, events)
