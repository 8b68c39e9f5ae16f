"""Simulate bills: make those of a period as a run would now, and as it would under a candidate. Nothing is written.

Both sides come from the one calculation, with the usage up to one journal position, asked for once: what is measured
does not depend on what it costs. For the candidate the terms are read through an overlay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import Bill, bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.catalog import Plan
from tallystick.core.earned import NOTHING, Earned
from tallystick.core.period import Instant, local_day
from tallystick.core.plan_group import PlanGroupLink
from tallystick.core.quantity import ZERO, subtract
from tallystick.core.segments import segment_of
from tallystick.core.simulated_bill import NOTHING_BESIDES, Besides, Outcome, SimulatedBill, outcome_of, pairs_of
from tallystick.core.simulation import Changes, SimulationRequest
from tallystick.core.spend_alert import charged
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, bare_bill
from tallystick.pipeline.earned import earned_by
from tallystick.pipeline.late_usage import looks_of, with_adjustments
from tallystick.pipeline.ledger import entries_of, read_book
from tallystick.pipeline.overlay import Overlay
from tallystick.pipeline.periods import Also, account_periods, ending_on
from tallystick.pipeline.rate import Rated, failure_of, load_terms, rate_terms, with_draws
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where
from tallystick.ports.founded import config_of

NO_JOB = ""
NAMED = 500  # accounts of a plan: more are looked for among all

Side = Bill | BillFailure


def simulate(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    periods: Sequence[AccountPeriod],
    changes: Changes,
    *,
    as_of: Instant,
    up_to: int,
    besides: Besides = NOTHING_BESIDES,
) -> list[SimulatedBill]:
    """The bills of these account periods as they are and as they would be, in their order.

    Whose credit is shared must be in it together: bills draw in the order of a run, from what the others leave. A bill
    that cannot be made says so in its place. The usage store must hold the journal up to `up_to`.
    """
    run = Run(job_id=NO_JOB, as_of=as_of, up_to=up_to, actor_id="")
    overlay = Overlay(records, changes, at=as_of)
    sides: tuple[OrganizationRecords, OrganizationRecords] = (records, overlay)
    terms = [load_terms(side, periods) for side in sides]
    loaded = [each for of_side in terms for each in of_side if isinstance(each, Terms)]
    rated = iter(rate_terms(usage, loaded, up_to=up_to))
    results = [[next(rated) if isinstance(each, Terms) else each for each in of_side] for of_side in terms]
    own = {each.bill_id: each for each in reversed(loaded)}  # as it is, where it is
    looks = looks_of(records, usage, own.values(), up_to=up_to)
    bills = [
        drawn_bills(side, with_adjustments(side, usage, of_side, up_to=up_to, looks=looks), run)
        for side, of_side in zip(sides, results, strict=True)
    ]
    codes = records.codes(Account, {each.account_id for each in periods})
    money = earned_by(records, usage, list(own.values()), up_to=up_to)
    made = []
    for of, old, new in zip(periods, *bills, strict=True):
        bill = _compared(of, codes.get(of.account_id, ""), old, new, with_lines=besides.with_lines)
        its = own.get(bill_id(records.organization_id, of.key))
        made.append(bill if its is None else _told(bill, its, money.get(its.bill_id, NOTHING), besides))
    return made


def beside(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    periods: Sequence[AccountPeriod],
    bills: Sequence[Bill],
    changes: Changes,
    *,
    as_of: Instant,
    up_to: int,
) -> list[SimulatedBill]:
    """What bills that are made would be, beside them as they stand, in their order."""
    overlay = Overlay(records, changes, at=as_of)
    terms = load_terms(overlay, periods)
    rated = iter(rate_terms(usage, [each for each in terms if isinstance(each, Terms)], up_to=up_to))
    results = [next(rated) if isinstance(each, Terms) else each for each in terms]
    run = Run(job_id=NO_JOB, as_of=as_of, up_to=up_to, actor_id="")
    new = drawn_bills(overlay, with_adjustments(overlay, usage, results, up_to=up_to), run)
    own = {each.bill_id: each for each in terms if isinstance(each, Terms)}
    money = earned_by(records, usage, list(own.values()), up_to=up_to)
    return [
        msgspec.structs.replace(
            _compared(of, real.account_code, real, made, with_lines=True),
            income=money.get(real.id, NOTHING).income,
            cost=money.get(real.id, NOTHING).cost,
        )
        for of, real, made in zip(periods, bills, new, strict=True)
    ]


def _told(bill: SimulatedBill, terms: Terms, money: Earned, besides: Besides) -> SimulatedBill:
    """What is asked about a bill besides: whose it is, what it earns, and what a cap would make of it."""
    segments = {by: segment_of(by, terms) for by in besides.segment_by} or None
    bill = msgspec.structs.replace(bill, income=money.income, cost=money.cost, segments=segments)
    cap = besides.cap
    if cap is None or bill.old_total is None or bill.new_total is None or bill.outcome is not Outcome.RISES:
        return bill
    capped = cap.on(bill.old_total, bill.new_total, terms.rounding(bill.currency))
    if capped == bill.new_total:
        return bill
    return msgspec.structs.replace(bill, capped_total=capped, cap_cost=subtract(bill.new_total, capped))


def drawn_bills(records: OrganizationRecords, results: Sequence[Rated | BillFailure], run: Run) -> list[Side]:
    """The bills after their credit is drawn, each from what those before it leave."""
    owners = {
        credit.id: credit.entity.value.account_id
        for each in results
        if isinstance(each, Rated)
        for credit in each.terms.credits
    }
    book = read_book(records, owners.keys())
    done: dict[int, Side] = {index: each for index, each in enumerate(results) if isinstance(each, BillFailure)}

    def place(index: int) -> tuple[Instant, str]:
        each = results[index]
        assert isinstance(each, Rated), "only what is rated is drawn"
        return each.terms.period.end, each.terms.bill_id

    for index in sorted((one for one, each in enumerate(results) if isinstance(each, Rated)), key=place):
        rated = results[index]
        assert isinstance(rated, Rated), "only what is rated is drawn"
        try:
            drawn = with_draws(rated, book.openings(rated.terms))
        except Refusal as refusal:
            done[index] = failure_of(rated.terms.of, refusal)
            continue
        bill = bare_bill(drawn, run)
        if rated.terms.credits:
            book.book(bill.id, entries_of(bill, drawn.draws, owners))
        done[index] = bill
    return [done[index] for index in range(len(results))]


def _compared(of: AccountPeriod, code: str, old: Side, new: Side, *, with_lines: bool) -> SimulatedBill:
    either = next((each for each in (old, new) if isinstance(each, Bill)), None)
    made = SimulatedBill(
        account_id=of.account_id,
        account_code=code,
        billing_frequency=of.frequency,
        start_date_time_utc=of.period.start,
        end_date_time_utc=of.period.end,
        currency=either.currency if either else "",
        outcome=Outcome.FAILS,
        difference=ZERO,
        old_total=old.bill_total if isinstance(old, Bill) else None,
        new_total=new.bill_total if isinstance(new, Bill) else None,
        old_charges=charged(old) if isinstance(old, Bill) else None,
        new_charges=charged(new) if isinstance(new, Bill) else None,
    )
    if isinstance(old, BillFailure) or isinstance(new, BillFailure):
        why = new.message if isinstance(new, BillFailure) else f"as it is: {_message(old)}"
        return msgspec.structs.replace(made, failure=why)
    if old.currency != new.currency:
        message = f"the bill is in {old.currency} and would be in {new.currency}"
        return msgspec.structs.replace(made, failure=message)
    return msgspec.structs.replace(
        made,
        outcome=outcome_of(old.bill_total, new.bill_total),
        difference=subtract(new.bill_total, old.bill_total),
        lines=pairs_of(old.line_items, new.line_items) if with_lines else None,
    )


def _message(side: Side) -> str:
    assert isinstance(side, BillFailure), "the other side failed"
    return side.message


# ------------------------------------------------------------------------------------------------------ periods


def periods_of(records: OrganizationRecords, request: SimulationRequest) -> list[AccountPeriod]:
    """The bills that a simulation is of: those of a run for the same day, of the accounts that are asked for.

    Refusal `unknown_reference` for an account or a plan that does not exist.
    """
    wanted = _accounts(records, request)
    named = sorted(wanted) if wanted is not None and len(wanted) <= NAMED else None
    found = account_periods(
        records,
        ending_on(request.last_date_in_billing_period),
        account_ids=named,
        frequency=request.billing_frequency,
        also=Also.ENDED_PLANS,
    )
    config = config_of(records)
    end = request.last_date_in_billing_period + timedelta(days=1)
    zone = config.value.timezone
    # What a run makes again of an earlier period, because a plan has ended, is no bill of this one.
    return [
        each
        for each in found
        if local_day(each.period.end, zone) == end and (wanted is None or each.account_id in wanted)
    ]


def _accounts(records: OrganizationRecords, request: SimulationRequest) -> set[str] | None:
    """The accounts (ids) that are asked for; None for all."""
    if request.account_ids is not None:
        there = records.get_many(Account, request.account_ids)
        for each in request.account_ids:
            if each not in there:
                raise Refusal("unknown_reference", f"accountIds: there is no account {each}", field="accountIds")
        return set(there)
    if request.plan_id is None:
        return None
    if records.get(Plan, request.plan_id) is None:
        raise Refusal("unknown_reference", f"planId: there is no plan {request.plan_id}", field="planId")
    links = records.every(PlanGroupLink, Where(equal={"plan_id": (request.plan_id,)}))
    groups = sorted({each.value.plan_group_id for each in links})
    wheres = [Where(equal={"plan_id": (request.plan_id,)})]
    wheres += [Where(equal={"plan_group_id": groups})] if groups else []
    return {each.value.account_id for where in wheres for each in records.every(AccountPlan, where)}


def in_chunks(
    records: OrganizationRecords, periods: Sequence[AccountPeriod], size: int
) -> Iterator[list[AccountPeriod]]:
    """Account periods in parts of about this size, in which accounts that may share credit are together."""
    ids = sorted({each.account_id for each in periods})
    parents: dict[str, str] = {}
    for first in range(0, len(ids), size):
        for id_, account in records.get_many(Account, ids[first : first + size]).items():
            parents[id_] = account.value.parent_account_id or id_
    chunk: list[AccountPeriod] = []
    before = ""
    for each in sorted(periods, key=lambda of: parents.get(of.account_id, of.account_id)):
        family = parents.get(each.account_id, each.account_id)
        if len(chunk) >= size and family != before:
            yield chunk
            chunk = []
        chunk.append(each)
        before = family
    if chunk:
        yield chunk
