"""Find what bills charged in advance for the periods at hand, where plans have ended since.

A closed bill stays as it is, and the bill of the period itself puts it right; one that is still open is made again
(docs/decisions/0144-paid-in-advance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tallystick.core import wire
from tallystick.core.bill import BillBefore, BillParameters, BillRecord, BillStatus, bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.organization import OrganizationConfig
from tallystick.core.paid_ahead import paid_ahead, with_before
from tallystick.core.period import Frequency, Period, intersect, local_day
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.pipeline.grids import Billed, period_on
from tallystick.pipeline.placing import is_closed, stored_bills
from tallystick.ports import DocumentWhere, OrganizationRecords, Page

_GRIDLESS = frozenset({Frequency.AD_HOC, Frequency.MIXED})


def with_bills_before(
    records: OrganizationRecords, results: Sequence[Terms | BillFailure], config: OrganizationConfig
) -> list[Terms | BillFailure]:
    """Terms with the closed bills that end where theirs begins, and what those charged in advance."""
    wanted = [each for each in results if isinstance(each, Terms) and each.of.frequency not in _GRIDLESS]
    closed = {_place(record): record for record in _closed_bills(records, wanted, config)}
    return [_with_before(each, closed) if isinstance(each, Terms) else each for each in results]


def periods_to_revisit(
    records: OrganizationRecords,
    periods: Iterable[tuple[Billed, Period]],
    config: OrganizationConfig,
    parameters: BillParameters,
) -> Iterator[AccountPeriod]:
    """Bills that have to do with plans that ended after the bill before had charged in advance: that bill itself where
    it is open, else the bill of the period, also where no plan is in force in it any more."""
    ended: dict[str, tuple[AccountPeriod, AccountPeriod]] = {}
    for plan, period in periods:
        previous = plan.grid.previous(period)
        if plan.life.end <= period.end and intersect(plan.life, previous):
            pair = period_on(plan, previous, parameters), period_on(plan, period, parameters)
            ended[bill_id(records.organization_id, pair[0].key)] = pair
    for id_, document in stored_bills(records, ended).items():
        bill = wire.decode(BillRecord, document.body).bill
        if paid_ahead(bill.line_items, bill.end_date_time_utc):
            before, own = ended[id_]
            yield own if is_closed(document, config) else before


Place = tuple[str, str, int, str, str]  # of a bill: account, frequency, interval, grouping, and where it ends


def _with_before(terms: Terms, closed: Mapping[Place, BillRecord]) -> Terms:
    of = terms.of
    before = closed.get((of.account_id, of.frequency, of.interval, of.grouping, of.period.start.wire()))
    if before is None or of.frequency in _GRIDLESS:
        return terms
    lines = paid_ahead(before.bill.line_items, before.bill.end_date_time_utc)
    return with_before(terms, (BillBefore(bill_id=before.bill.id, lines=lines),))


def _place(record: BillRecord) -> Place:
    bill = record.bill
    end = bill.end_date_time_utc.wire()
    return bill.account_id, bill.billing_frequency, bill.bill_frequency_interval, record.evidence.grouping, end


def _closed_bills(
    records: OrganizationRecords, terms: Sequence[Terms], config: OrganizationConfig
) -> Iterator[BillRecord]:
    """The closed bills of these accounts that end on a day on which one of these periods begins."""
    if not terms:
        return
    equal = {
        "account_id": sorted({each.account.id for each in terms}),
        "end_date": sorted({local_day(each.period.start, each.zone).isoformat() for each in terms}),
    }
    closed = [{"locked": ["true"]}]
    if config.adjusts_next_bill:
        closed.append({"locked": ["false"], "status": [BillStatus.APPROVED.value]})
    for more in closed:
        page: Page | None = Page(size=1_000)
        while page is not None:
            found = records.documents("bill", DocumentWhere(equal=equal | more), page)
            yield from (wire.decode(BillRecord, each.body) for each in found.rows)
            page = Page(size=1_000, token=found.next_token) if found.next_token else None
