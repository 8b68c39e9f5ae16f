"""What came after the periods of bills, and where it was billed: a page of bills by few grouped questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tallystick.core import wire
from tallystick.core.adjustment import KIND as ADJUSTMENT
from tallystick.core.adjustment import Adjustment
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.late_policy import AdjustedOn, LateOutcome, LatePolicies, LateUsageEntry, OnClosedBill
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.quantity import total
from tallystick.pipeline.late_usage import read_late_policies
from tallystick.pipeline.ledger import every_document
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage
from tallystick.ports.usage import Arrival, ArrivalQuery

_Window = tuple[Instant, Instant, int]  # the period of bills and the journal position they were calculated from


def late_usage_of(
    records: OrganizationRecords, usage: OrganizationUsage, bills: Sequence[BillRecord]
) -> list[LateUsageEntry]:
    """The late usage of these bills, bill by bill and meter by meter; bills without any are left out."""
    if not bills:
        return []
    report = _Report(records, bills)
    arrived = {
        allowance: _arrivals(usage, bills, report.policies, allowance)
        for allowance in {report.policies.of(each).allowance_minutes for each in _meters(bills)}
    }
    found = []
    for record in bills:
        for meter_id in sorted(_meters([record])):
            own = arrived[report.policies.of(meter_id).allowance_minutes].get((record.bill.id, meter_id), [])
            line = report.line(record, meter_id, own)
            if line is not None:
                found.append(line)
    return found


def _meters(bills: Sequence[BillRecord]) -> set[str]:
    return {answer.question.meter_id for record in bills for answer in record.evidence.answers}


def _accounts(record: BillRecord) -> set[str]:
    """Whose usage is on a bill."""
    members = {id_ for answer in record.evidence.answers for id_ in answer.question.accounts or ()}
    return {record.bill.account_id, *members}


def _arrivals(
    usage: OrganizationUsage, bills: Sequence[BillRecord], policies: LatePolicies, allowance: int
) -> dict[tuple[str, str], list[Arrival]]:
    """What arrived for each bill and meter of an allowance: a question for each period, not for each bill."""
    windows: defaultdict[_Window, list[BillRecord]] = defaultdict(list)
    for record in bills:
        bill = record.bill
        windows[bill.start_date_time_utc, bill.end_date_time_utc, record.evidence.up_to].append(record)
    found: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for (start, end, up_to), some in windows.items():
        meters = sorted(each for each in _meters(some) if policies.of(each).allowance_minutes == allowance)
        if not meters:
            continue
        bills_of: defaultdict[str, list[str]] = defaultdict(list)
        for record in some:
            for account_id in _accounts(record):
                bills_of[account_id].append(record.bill.id)
        query = ArrivalQuery(
            start=start,
            end=end,
            late_from=policies.late_from(meters[0], end),
            after=up_to,
            meter_ids=tuple(meters),
            account_ids=tuple(sorted(bills_of)),
            by_account=True,
        )
        for each in usage.arrivals(query):
            for bill_id in bills_of[each.account_id or ""]:
                found[bill_id, each.meter_id].append(each)
    return found


class _Report:
    """What is known of the bills of a page besides their usage."""

    def __init__(self, records: OrganizationRecords, bills: Sequence[BillRecord]) -> None:
        self.policies = read_late_policies(records)
        config = records.get(OrganizationConfig, records.organization_id)
        self._adjusts = config is not None and config.value.adjusts_next_bill
        where = DocumentWhere(equal={"adjusted_bill_id": sorted(each.bill.id for each in bills)})
        self._adjustments: defaultdict[str, list[Adjustment]] = defaultdict(list)
        for document in every_document(records, ADJUSTMENT, where):
            adjustment = wire.decode(Adjustment, document.body)
            self._adjustments[adjustment.adjusted_bill_id].append(adjustment)

    def line(self, record: BillRecord, meter_id: str, arrived: Sequence[Arrival]) -> LateUsageEntry | None:
        """What came late for a bill of a meter; None where nothing did."""
        late, after = sum(each.late for each in arrived), sum(each.after for each in arrived)
        if not late and not after:
            return None
        bill = record.bill
        adjusted = tuple(self._adjusted(record, meter_id))
        return LateUsageEntry(
            bill_id=bill.id,
            account_id=bill.account_id,
            account_code=bill.account_code,
            start_date=bill.start_date_time_utc,
            end_date=bill.end_date_time_utc,
            meter_id=meter_id,
            late=late,
            after_bill=after,
            last_received=max(each.last_received for each in arrived),
            outcome=self._outcome(record, meter_id, after, adjusted),
            adjusted_on=adjusted,
        )

    def _outcome(self, record: BillRecord, meter_id: str, after: int, adjusted: Sequence[AdjustedOn]) -> LateOutcome:
        if adjusted:
            return LateOutcome.ADJUSTED
        if not after:
            return LateOutcome.ON_THE_BILL
        bill = record.bill
        if not bill.locked and not (bill.status is BillStatus.APPROVED and self._adjusts):
            return LateOutcome.NEXT_CALCULATION
        if self.policies.of(meter_id).on_closed_bill is OnClosedBill.REPORT:
            return LateOutcome.REPORTED
        return LateOutcome.NEXT_BILL

    def _adjusted(self, record: BillRecord, meter_id: str) -> Iterator[AdjustedOn]:
        """What other bills charge for late usage of the meter; a line that the bill did not have counts for each."""
        meters = {line.id: line.meter_id for line in record.bill.line_items}
        for each in self._adjustments[record.bill.id]:
            amounts = [amount for line, amount in each.amounts.items() if meters.get(line, meter_id) == meter_id]
            if amounts:
                yield AdjustedOn(bill_id=each.bill_id, amount=total(amounts))
