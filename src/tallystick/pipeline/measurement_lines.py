"""From a measurement to the lines of bills that it is on, or to why it is on none (docs/decisions/0451-reasons.md).

Nothing is kept for each measurement: the bills of its account and time say which measurements each line was made of, as
they did when they were made (`lineage.trace`), and the usage store says whether this is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import StrEnum

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation, Method, Question
from tallystick.core.bill import BillRecord, LineItem, LineItemType
from tallystick.core.catalog import Plan, Pricing
from tallystick.core.compound import CompoundAggregation, codes_in
from tallystick.core.entity import Entity
from tallystick.core.lineage import Source
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, Period
from tallystick.core.plan_group import PlanGroupLink
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.lineage import trace
from tallystick.pipeline.suppressed import empty_bills
from tallystick.ports import Behind, DocumentWhere, OrganizationRecords, OrganizationUsage, UsageRow, Where

MOMENT = timedelta(microseconds=1)
ADJUSTMENTS = "billadjustment"


class Reason(StrEnum):
    """Why a measurement is on no line for an aggregation of its meter."""

    REJECTED = "REJECTED"  # it waits in the queue of failed measurements, or was dismissed
    NOT_COUNTED_YET = "NOT_COUNTED_YET"  # it is in the journal; the usage store takes it in within moments
    WITHDRAWN = "WITHDRAWN"  # it was withdrawn: bills that were made before keep it, others never had it
    NO_AGGREGATION = "NO_AGGREGATION"  # nothing is counted of its meter
    NO_FIELD = "NO_FIELD"  # it has no value of the field that is counted
    EXCLUDED = "EXCLUDED"  # the rule of the meter excludes it, such as test traffic
    FILTERED = "FILTERED"  # the filter of the aggregation is not true of it
    NO_SEGMENT = "NO_SEGMENT"  # it is in none of the aggregation's segments
    NO_PLAN = "NO_PLAN"  # its account had no plan then
    NOT_PRICED = "NOT_PRICED"  # no price of the plans of its account is for the aggregation
    NOT_YET_BILLED = "NOT_YET_BILLED"  # no bill covers its time yet
    TOO_LATE = "TOO_LATE"  # it came after the bill of its time was made, and no bill has adjusted it yet
    SUPPRESSED = "SUPPRESSED"  # the bill of its time came to nothing and was not kept
    NOT_CHARGED = "NOT_CHARGED"  # the bill of its time has no line for it: another price charged it, or none


_SENTENCES = {
    Reason.NOT_COUNTED_YET: "It is in the journal, and the usage store takes it in within moments.",
    Reason.WITHDRAWN: "It was withdrawn, so that no bill made since counts it.",
    Reason.NO_AGGREGATION: "No aggregation counts anything of its meter.",
    Reason.NO_FIELD: "It has no value of the field {field}.",
    Reason.EXCLUDED: "The rule of its meter excludes it: it is kept, and counts nowhere.",
    Reason.FILTERED: "The filter of {name} is not true of it: {filter}",
    Reason.NO_SEGMENT: "It is in none of the segments of {name}.",
    Reason.NO_PLAN: "Its account had no plan at that time.",
    Reason.NOT_PRICED: "No price of the plans that its account had then is for {name}.",
    Reason.NOT_YET_BILLED: "No bill covers its time yet: it is on the next.",
    Reason.TOO_LATE: "It came after the bill of its time was made, and no later bill has adjusted for it yet.",
    Reason.SUPPRESSED: "The bill of its time came to nothing and was not kept.",
    Reason.NOT_CHARGED: "The bill of its time has no line that {name} is behind.",
}


class OnLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line that a measurement is behind; `adjusts`: one that puts right an earlier bill, it being late."""

    bill_id: str
    line_item_id: str
    sequence_number: int
    description: str
    input: int
    aggregation_id: str
    aggregation_name: str
    start_date: Instant
    end_date: Instant
    locked: bool
    adjusts: bool


class NotOnLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a measurement is on no line for an aggregation."""

    reason: Reason
    sentence: str
    aggregation_id: str = ""
    aggregation_name: str = ""
    bill_id: str = ""


class MeasurementLines(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The lines that a measurement is on, and for every other aggregation of its meter why it is on none for it."""

    uid: str
    position: int
    account_id: str
    lines: tuple[OnLine, ...]
    others: tuple[NotOnLine, ...]


def lines_of(records: OrganizationRecords, usage: OrganizationUsage, row: UsageRow) -> MeasurementLines:
    """The lines that a measurement is on, and why it is on no others."""
    bills = _bills(records, row)
    lines = tuple(found for record in bills for found in _on(records, usage, record, row))
    counted = {each.aggregation_id for each in lines}
    aggregations = list(records.every(Aggregation, Where(equal={"meter_id": (row.meter_id,)})))
    others = [_why(records, usage, each, bills, row) for each in aggregations if each.id not in counted]
    if not aggregations and not lines:
        others = [_because(Reason.NO_AGGREGATION)]
    return MeasurementLines(
        uid=row.uid, position=row.position, account_id=row.account_id, lines=lines, others=tuple(others)
    )


def not_counted_yet(uid: str, position: int, account_id: str) -> MeasurementLines:
    """What is said of a measurement that the usage store does not have yet."""
    others = (_because(Reason.NOT_COUNTED_YET),)
    return MeasurementLines(uid=uid, position=position, account_id=account_id, lines=(), others=others)


def rejected(uid: str, why: str) -> MeasurementLines:
    """What is said of a measurement that was never accepted."""
    others = (NotOnLine(reason=Reason.REJECTED, sentence=f"It was not accepted: {why}"),)
    return MeasurementLines(uid=uid, position=0, account_id="", lines=(), others=others)


# ------------------------------------------------------------------------------------------------------ lines


def _payers(records: OrganizationRecords, row: UsageRow) -> list[str]:
    """The accounts whose bills may have it: its own, and the parent whose plan may pool it."""
    account = records.get(Account, row.account_id)
    parent = account.value.parent_account_id if account else None
    return [row.account_id, *([parent] if parent else [])]


def _bills(records: OrganizationRecords, row: UsageRow) -> list[BillRecord]:
    """The bills of its payers that are of its time, and those that adjust these. Days are those of some time zone, so
    that one more on each side is looked at."""
    near = row.ts.date()
    between = {
        "start_date": (None, (near + timedelta(days=1)).isoformat()),
        "end_date": ((near - timedelta(days=1)).isoformat(), None),
    }
    own = DocumentWhere(equal={"account_id": _payers(records, row)}, between=between)
    found = [wire.decode(BillRecord, each.body) for each in every_document(records, "bill", own)]
    of = {each.bill.id: each for each in found if _covers(each, row)}
    adjusting = {}
    if of:
        where = DocumentWhere(equal={"adjusted_bill_id": sorted(of)})
        for each in every_document(records, ADJUSTMENTS, where):
            document = records.document("bill", each.keys["bill_id"])
            if document is not None:
                adjusting[document.id] = wire.decode(BillRecord, document.body)
    return list((of | adjusting).values())


def _covers(record: BillRecord, row: UsageRow) -> bool:
    bill = record.bill
    return bill.start_date_time_utc <= row.ts < bill.end_date_time_utc


def _on(records: OrganizationRecords, usage: OrganizationUsage, record: BillRecord, row: UsageRow) -> Iterator[OnLine]:
    for line in record.bill.line_items:
        if line.pricing_id is None:
            continue
        for number, source in enumerate(trace(records, record, line), start=1):
            if _is_behind(usage, source, row):
                yield _line(record, line, number, source)


def _is_behind(usage: OrganizationUsage, source: Source, row: UsageRow) -> bool:
    question = source.question
    if question.meter_id != row.meter_id or row.account_id not in (question.accounts or ()):
        return False
    if not question.period.start <= row.ts < question.period.end or not source.above < row.position <= question.up_to:
        return False
    if not source.by_streams:
        question = msgspec.structs.replace(question, period=_moment(row))
    return _among(usage, Behind(question=question, segment=source.segment, above=source.above), row)


def _among(usage: OrganizationUsage, behind: Behind, row: UsageRow) -> bool:
    accounts = msgspec.structs.replace(behind.question, accounts=(row.account_id,))
    behind = Behind(question=accounts, segment=behind.segment, above=behind.above)
    found = usage.behind(behind, (row.ts, row.uid + "\x01"), 1)  # what comes next behind it is itself, if it is there
    return bool(found) and found[0].position == row.position


def _moment(row: UsageRow) -> Period:
    return Period(row.ts, Instant.of(row.ts + MOMENT))


def _line(record: BillRecord, line: LineItem, number: int, source: Source) -> OnLine:
    return OnLine(
        bill_id=record.bill.id,
        line_item_id=line.id,
        sequence_number=line.sequence_number,
        description=line.description,
        input=number,
        aggregation_id=source.aggregation.id,
        aggregation_name=source.aggregation.value.name,
        start_date=source.question.period.start,
        end_date=source.question.period.end,
        locked=record.bill.locked,
        adjusts=line.line_item_type is LineItemType.MANUAL_ADJUSTMENT,
    )


# ------------------------------------------------------------------------------------------------------ reasons


def _because(reason: Reason, of: Entity[Aggregation] | None = None, bill_id: str = "") -> NotOnLine:
    if of is None:
        return NotOnLine(reason=reason, sentence=_SENTENCES[reason], bill_id=bill_id)
    value = of.value
    told = _SENTENCES[reason].format(name=value.name, field=value.target_field, filter=value.filter)
    return NotOnLine(reason=reason, sentence=told, aggregation_id=of.id, aggregation_name=value.name, bill_id=bill_id)


def _why(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    of: Entity[Aggregation],
    bills: Sequence[BillRecord],
    row: UsageRow,
) -> NotOnLine:
    """Why a measurement is on no line for an aggregation: the first reason that holds."""
    meter = records.get(Meter, row.meter_id)
    itself = _why_not_counted(usage, of.value, row, meter.value.exclude_filter if meter else None)
    if itself:
        return _because(itself, of)
    priced = _priced(records, of, row)
    if priced is not None:
        return _because(priced, of)
    if row.withdrawn is not None:
        return _because(Reason.WITHDRAWN, of)
    own = [each for each in bills if _covers(each, row)]
    if own:
        late = all(each.evidence.up_to < row.position for each in own)
        return _because(Reason.TOO_LATE if late else Reason.NOT_CHARGED, of, own[0].bill.id)
    empty = empty_bills(records, {"account_id": _payers(records, row)}, ())
    suppressed = any(_covers(each, row) and each.evidence.up_to >= row.position for each in empty)
    return _because(Reason.SUPPRESSED if suppressed else Reason.NOT_YET_BILLED, of)


def _why_not_counted(usage: OrganizationUsage, of: Aggregation, row: UsageRow, excluded: str | None) -> Reason | None:
    """Whether the measurement itself is none that the aggregation counts; `excluded` is the rule of its meter."""
    if of.target_field not in row.numbers and of.target_field not in row.texts:
        return Reason.NO_FIELD
    question = Question(
        accounts=(row.account_id,),
        meter_id=row.meter_id,
        method=Method.COUNT,
        field=of.target_field,
        period=_moment(row),
        up_to=row.position,  # as it was when it came, whatever was withdrawn since
        percentile=None,
        filter=of.filter,
        segmented_fields=(),
    )
    if excluded is not None:
        by_rule = msgspec.structs.replace(question, filter=excluded)
        if _among(usage, Behind(question=by_rule), row):
            return Reason.EXCLUDED
    if of.filter is not None and not _among(usage, Behind(question=question), row):
        return Reason.FILTERED
    values = {field: row.texts.get(field, "") for field in of.segmented_fields or ()}
    patterns = of.segments or ()
    if patterns and not any(all(want in {"*", values[name]} for name, want in each.items()) for each in patterns):
        return Reason.NO_SEGMENT
    return None


def _priced(records: OrganizationRecords, of: Entity[Aggregation], row: UsageRow) -> Reason | None:
    """Why no price was for the aggregation at that time; None where one was."""
    plans = records.every(AccountPlan, Where(equal={"account_id": _payers(records, row)}, active_on=row.ts))
    ids = set()
    for each in plans:
        ids |= {each.value.plan_id} if each.value.plan_id else set(_grouped(records, each.value.plan_group_id or ""))
    if not ids:
        return Reason.NO_PLAN
    found = records.get_many(Plan, ids)
    templates = {each.value.plan_template_id for each in found.values()}
    compounds = set(_compounds(records, of.value.code))
    for name, wanted in (("plan_id", ids), ("plan_template_id", templates)):
        for pricing in records.every(Pricing, Where(equal={name: sorted(wanted)}, active_on=row.ts)):
            if pricing.value.aggregation_id == of.id or pricing.value.compound_aggregation_id in compounds:
                return None
    return Reason.NOT_PRICED


def _grouped(records: OrganizationRecords, group_id: str) -> Iterator[str]:
    links = records.every(PlanGroupLink, Where(equal={"plan_group_id": (group_id,)}))
    return (each.value.plan_id for each in links)


def _compounds(records: OrganizationRecords, code: str | None) -> Iterator[str]:
    """The compound aggregations that are computed from an aggregation."""
    if code is not None:
        every = records.every(CompoundAggregation)
        yield from (each.id for each in every if code in codes_in(each.value.calculation))
