"""Find what bills charged in advance for the periods at hand, where plans have ended or were prolonged since.

A closed bill stays as it is, and the bill of the period itself puts it right; one that is still open is made again
(docs/decisions/0144-paid-in-advance.md). A consolidated bill has several periods, each with a closed bill before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.account import AccountPlan
from tallystick.core.bill import BillBefore, BillParameters, BillRecord, BillStatus, bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.entity import Used
from tallystick.core.organization import OrganizationConfig
from tallystick.core.paid_ahead import owner, paid_ahead, with_before
from tallystick.core.period import Frequency, Instant, Period, intersect, local_day
from tallystick.core.terms import AccountPeriod, Terms, billed_in
from tallystick.pipeline.agreements import read_agreements
from tallystick.pipeline.family import inherited_plans
from tallystick.pipeline.grids import Billed, billed_plans, consolidated, period_on
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.placing import is_closed, stored_bills
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Where

READ_AT_ONCE = 1_000  # bills before
Place = tuple[str, str, str]  # of a bill: account, grouping, and where it ends


class _Uses(msgspec.Struct, frozen=True):
    uses: tuple[Used, ...]


class _Made(msgspec.Struct, frozen=True):
    """A stored bill read without its lines: what it was made of."""

    evidence: _Uses


class Owner(NamedTuple):
    """A billing period of a plan: where it begins, and the id of the plan, or of its group."""

    start: Instant
    id: str
    frequency: Frequency
    interval: int


def with_bills_before(
    records: OrganizationRecords, results: Sequence[Terms | BillFailure], config: OrganizationConfig
) -> list[Terms | BillFailure]:
    """Terms with the closed bills that end where their periods begin, and what those charged in advance."""
    wanted = [each for each in results if isinstance(each, Terms) and each.of.frequency is not Frequency.AD_HOC]
    owners = _owners(records, [each for each in wanted if _is_mixed(each.of.frequency)], config)
    starts = {
        each.bill_id: {each.period.start, *(own.start for own in owners.get(each.bill_id, ()))} for each in wanted
    }
    closed: dict[Place, list[BillRecord]] = {}
    for record in _closed_bills(records, wanted, starts, config):
        closed.setdefault(_place(record), []).append(record)
    switched = [each for each in wanted if not _is_mixed(each.of.frequency) and _after_mixed(each, closed)]
    owners |= _owners(records, switched, config)
    return [
        _with_before(each, starts.get(each.bill_id, ()), closed, owners.get(each.bill_id, ()))
        if isinstance(each, Terms)
        else each
        for each in results
    ]


def periods_to_revisit(
    records: OrganizationRecords,
    periods: Iterable[tuple[Billed, Period]],
    plans: Iterable[Billed],
    config: OrganizationConfig,
    parameters: BillParameters,
) -> Iterator[AccountPeriod]:
    """Bills that have to do with what changed after the bill before was made, which charges these periods in advance:
    that bill itself where it is open, else the bill of the period, also where no plan is in force in it any more.
    `plans` are all there are.
    """
    of_account: dict[str, list[Billed]] = {}
    for plan in plans:
        of_account.setdefault(plan.account.id, []).append(plan)

    def on(plan: Billed, period: Period, *, mixed: bool = config.consolidate_bills) -> AccountPeriod:
        of = period_on(plan, period, parameters)
        return consolidated(of, of_account[plan.account.id]) if mixed else of

    forms = [form for form in (True, False) if form == config.consolidate_bills or _has_bills(records, mixed=form)]
    asked: dict[str, list[tuple[Billed, Period, AccountPeriod]]] = {}
    for plan, period in periods:
        previous = plan.grid.previous(period)
        if plan.life.start < period.start and plan.bills(previous):
            for before in (on(plan, previous, mixed=form) for form in forms):
                asked.setdefault(bill_id(records.organization_id, before.key), []).append((plan, period, before))
    for first in range(0, len(asked), READ_AT_ONCE):
        ids = list(asked)[first : first + READ_AT_ONCE]
        stored = stored_bills(records, ids)
        for each in (*stored.values(), *every_document(records, EMPTY, DocumentWhere(equal={"id": ids}))):
            is_open = each.id not in stored or not is_closed(each, config)
            uses = frozenset(wire.decode(_Made, each.body).evidence.uses) if is_open else None
            for plan, period, before in asked[each.id]:
                if _is_paid_too_far(each, plan, period) or (uses is not None and _has_changed(plan, period, uses)):
                    yield before if is_open else on(plan, period)


def _has_bills(records: OrganizationRecords, *, mixed: bool) -> bool:
    """Whether there are bills of a form, consolidated or not: the setting may have been the other one."""
    frequencies = [each.value for each in Frequency if each is not Frequency.AD_HOC and _is_mixed(each) == mixed]
    where = DocumentWhere(equal={"billing_frequency": frequencies})
    return any(records.documents(kind, where, Page(size=1)).rows for kind in ("bill", EMPTY))


def _is_paid_too_far(bill: Document, plan: Billed, period: Period) -> bool:
    """Whether a bill charges a period in advance for a plan that ends in it, or has ended before."""
    if plan.life.end > period.end:
        return False
    found = wire.decode(BillRecord, bill.body).bill
    ahead = paid_ahead(found.line_items, found.end_date_time_utc)
    return any(owner(line) in {plan.plan_id, plan.plan_group_id} for line in ahead)


def _has_changed(plan: Billed, period: Period, uses: frozenset[Used]) -> bool:
    """Whether a plan that is in force before a period and in it was another, or unknown, when the bill before was made
    of these: it may have been charged in advance for less than its days, or not at all."""
    lasts = plan.life.end > period.start and intersect(plan.life, plan.grid.previous(period)) is not None
    return lasts and not plan.uses <= uses


def _is_mixed(frequency: Frequency) -> bool:
    return frequency is Frequency.MIXED


def _after_mixed(terms: Terms, closed: Mapping[Place, Sequence[BillRecord]]) -> bool:
    """Whether bills were consolidated until where these terms begin."""
    place = (terms.of.account_id, terms.of.grouping, terms.of.period.start.wire())
    return any(_is_mixed(each.bill.billing_frequency) for each in closed.get(place, ()))


def _with_before(
    terms: Terms,
    starts: Collection[Instant],
    closed: Mapping[Place, Sequence[BillRecord]],
    owners: Collection[Owner],
) -> Terms:
    of = terms.of
    found: list[BillBefore] = []
    for start in sorted(starts):
        for record in closed.get((of.account_id, of.grouping, start.wire()), ()):
            bill = record.bill
            ahead = paid_ahead(bill.line_items, bill.end_date_time_utc)
            same = (bill.billing_frequency, bill.bill_frequency_interval)
            whose = None
            if _is_mixed(of.frequency) or _is_mixed(bill.billing_frequency):
                here = (each for each in owners if each.start == start)
                whose = {each.id for each in here if _is_mixed(same[0]) or same == (each.frequency, each.interval)}
                ahead = tuple(line for line in ahead if owner(line) in whose)
            elif same != (of.frequency, of.interval):
                continue
            if whose is None or whose:
                names = None if whose is None else tuple(sorted(whose))
                found.append(BillBefore(bill_id=bill.id, end=bill.end_date_time_utc, lines=ahead, of=names))
    return with_before(terms, tuple(found)) if found else terms


def _owners(records: OrganizationRecords, wanted: Sequence[Terms], config: OrganizationConfig) -> dict[str, set[Owner]]:
    """By the ids of bills, the periods that they bill and whose: also of plans that are no more in force."""
    if not wanted:
        return {}
    account_ids = sorted({each.account.id for each in wanted})
    account_plans = list(records.every(AccountPlan, Where(equal={"account_id": account_ids})))
    agreements = read_agreements(records, account_plans)
    found: dict[str, set[Owner]] = {}
    for parameters in {each.parameters: None for each in wanted}:
        plans = billed_plans(records, account_plans, agreements, config, parameters)
        plans += inherited_plans(records, account_ids, account_plans, config, parameters)
        for each in (one for one in wanted if one.parameters == parameters):
            found[each.bill_id] = {
                Owner(period.start, id_, plan.grid.frequency, plan.grid.interval)
                for plan in plans
                if (plan.account.id, plan.grouping) == (each.account.id, each.of.grouping)
                if (period := billed_in(plan.grid, each.of))
                for id_ in (plan.plan_id, plan.plan_group_id)
                if id_
            }
    return found


def _place(record: BillRecord) -> Place:
    return record.bill.account_id, record.evidence.grouping, record.bill.end_date_time_utc.wire()


def _closed_bills(
    records: OrganizationRecords,
    terms: Sequence[Terms],
    starts: Mapping[str, Collection[Instant]],
    config: OrganizationConfig,
) -> Iterator[BillRecord]:
    """The closed bills of these accounts that end on a day on which one of their periods begins."""
    if not terms:
        return
    days = {local_day(start, each.zone).isoformat() for each in terms for start in starts[each.bill_id]}
    equal = {"account_id": sorted({each.account.id for each in terms}), "end_date": sorted(days)}
    closed = [{"locked": ["true"]}]
    if config.adjusts_next_bill:
        closed.append({"locked": ["false"], "status": [BillStatus.APPROVED.value]})
    for more in closed:
        found = every_document(records, "bill", DocumentWhere(equal=equal | more))
        yield from (wire.decode(BillRecord, each.body) for each in found)
