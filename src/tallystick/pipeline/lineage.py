"""From a bill line to the usage behind it: days, accounts, and the very measurements.

Everything is read as the bill read it: the terms at their recorded versions, usage up to the recorded journal position
(docs/decisions/0285-lineage.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.account import Account
from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.bill import BillRecord, LineItem, LineItemType
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.entity import Entity, Used
from tallystick.core.lineage import Source, days_that_decide, sought, sources_of
from tallystick.core.period import Instant, Period, local_day
from tallystick.core.statement import stretches
from tallystick.core.statement_types import StatementFrequency
from tallystick.errors import Refusal
from tallystick.pipeline.replay import at_version, terms_of_earlier, terms_then
from tallystick.ports import Behind, Found, OrganizationRecords, OrganizationUsage, Page, UsageRow


class Origin(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A configured thing that a line was made of, as it was then."""

    kind: str
    id: str
    version: int
    name: str


class UsageDay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One day of a line's usage, in the bill's time zone; `end_date` does not belong to it.

    `total` and `value` are of this day by itself (of UNIQUE: the values that are new on it); null where nothing was
    measured. `deciding` is how many of its measurements decide the number, where the days do not add up to it.
    """

    day: date
    start_date: Instant
    end_date: Instant
    total: Decimal | None
    value: Decimal | None
    measurements: int
    deciding: int = 0


class UsageOfAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one account of a family has used by itself, in the whole period."""

    account_id: str
    account_code: str
    total: Decimal
    value: Decimal
    measurements: int


class UsageInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One number that a line was made of: what was measured, over which measurements.

    Those are the measurements of the meter that have `field`, of the accounts, with a timestamp from `start_date` to
    before `end_date`, in the segment, for which the filter is true, at journal positions above `above` up to `up_to`.
    `total` over `measurements` is what the bill measured, `value` the number it stands for. `adds_up` says whether the
    totals of `days` add up to `total`, `rule` how they make it otherwise.
    """

    number: int
    name: str
    aggregation_id: str
    meter_id: str
    meter_code: str
    field: str
    method: Method
    unit: str
    start_date: Instant
    end_date: Instant
    above: int
    up_to: int
    filter: str | None
    segment: dict[str, str] | None
    total: Decimal | None
    value: Decimal | None
    measurements: int
    adds_up: bool
    rule: str
    days: tuple[UsageDay, ...]
    accounts: tuple[UsageOfAccount, ...]


class LineUsage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The usage behind a line, day by day; for a line without usage only what it comes from."""

    bill_id: str
    line_item_id: str
    sequence_number: int
    timezone: str
    up_to: int
    digest: str
    quantity: Decimal
    unit: str
    inputs: tuple[UsageInput, ...]
    origins: tuple[Origin, ...]


class MeasurementBehind(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One measurement behind a line, as it was accepted. `position` is its place in the journal."""

    uid: str
    position: int
    meter_code: str
    account_id: str
    account_code: str
    ts: Instant
    dt_received: Instant
    fields: dict[str, Any]  # an exact number or a text
    ets: Instant | None = None
    undeclared: msgspec.Raw | None = None


# ------------------------------------------------------------------------------------------------------ tracing


def trace(records: OrganizationRecords, record: BillRecord, line: LineItem) -> tuple[Source, ...]:
    """What the quantity of a line was made of; nothing for a line that charges no usage.

    Refusal `not_found` for a version of something configured that is not there any more.
    """
    bill, evidence = record.bill, record.evidence
    wanted = sought(line, record.working(line.id), bill.account_id)
    if wanted is None:
        return ()
    if line.line_item_type is LineItemType.MANUAL_ADJUSTMENT:
        earlier = next((each for each in evidence.earlier if each.bill_id == line.referenced_bill_id), None)
        if earlier is None:
            return ()
        terms = terms_of_earlier(records, bill.account_id, earlier)
        answers = {each.question: each.rows for each in earlier.now}
        return sources_of(terms, answers, evidence.up_to, wanted, above=earlier.up_to)
    answers = {each.question: each.rows for each in evidence.answers}
    return sources_of(terms_then(records, record), answers, evidence.up_to, wanted)


def line_usage(records: OrganizationRecords, usage: OrganizationUsage, record: BillRecord, line: LineItem) -> LineUsage:
    """The usage behind a line, day by day and account by account. Refusal as `trace`."""
    sources = trace(records, record, line)
    return LineUsage(
        bill_id=record.bill.id,
        line_item_id=line.id,
        sequence_number=line.sequence_number,
        timezone=record.bill.timezone,
        up_to=record.evidence.up_to,
        digest=record.evidence.digest,
        quantity=line.quantity,
        unit=line.unit,
        inputs=tuple(
            _input(records, usage, number, source, record.bill.timezone)
            for number, source in enumerate(sources, start=1)
        ),
        origins=origins(records, record, line),
    )


def _input(
    records: OrganizationRecords, usage: OrganizationUsage, number: int, source: Source, zone: str
) -> UsageInput:
    question, aggregation, measured = source.question, source.aggregation.value, source.measured
    field = source.meter.value.field(question.field)
    return UsageInput(
        number=number,
        name=aggregation.name,
        aggregation_id=source.aggregation.id,
        meter_id=question.meter_id,
        meter_code=source.meter.value.code,
        field=question.field,
        method=question.method,
        unit=(field.unit if field else None) or "",
        start_date=question.period.start,
        end_date=question.period.end,
        above=source.above,
        up_to=question.up_to,
        filter=question.filter,
        segment=dict(zip(question.segmented_fields, source.segment, strict=True)) or None,
        total=measured.total if measured else None,
        value=source.value(measured) if measured else None,
        measurements=measured.count if measured else 0,
        adds_up=source.adds_up,
        rule=source.rule,
        days=tuple(_days(usage, source, zone)),
        accounts=tuple(_accounts(records, usage, source)),
    )


# ------------------------------------------------------------------------------------------------------ days


def _days(usage: OrganizationUsage, source: Source, zone: str) -> Iterator[UsageDay]:
    parts = stretches(source.question.period, StatementFrequency.DAY, zone)
    starts = [start for start, _ in parts]
    if source.by_streams and not source.above:
        measured = [_measured(usage, source, part) for _, part in parts]
    else:
        by_day = usage.by_stretch(_plainly(source), starts)
        measured = [by_day.get(start) for start in starts]
    picked = source.deciding()
    same = usage.by_stretch(_behind(source, picked), starts) if picked else {}
    counts = [same[start].count if start in same else 0 for start in starts]
    deciding = days_that_decide(source, measured, counts)
    for (_, part), own, decides in zip(parts, measured, deciding, strict=True):
        yield UsageDay(
            day=local_day(part.start, zone),
            start_date=part.start,
            end_date=part.end,
            total=own.total if own else None,
            value=source.value(own) if own else None,
            measurements=own.count if own else 0,
            deciding=decides,
        )


def _measured(usage: OrganizationUsage, source: Source, part: Period) -> Measured | None:
    """What a day comes to, where streams are looked at in order of time."""
    question = msgspec.structs.replace(source.question, period=part)
    return next((each for each in usage.measure(question) if each.segment == source.segment), None)


def _plainly(source: Source) -> Behind:
    """What is asked about days: of streams of which only the late measurements are meant, how many there are."""
    question = source.question
    if source.by_streams:
        question = msgspec.structs.replace(
            question, method=Method.COUNT, gauge=False, gauge_field=None, time_unit=None, correlation=None
        )
    return _behind(source, question)


def _behind(source: Source, question: Question) -> Behind:
    return Behind(question=question, segment=source.segment, above=source.above)


def _accounts(records: OrganizationRecords, usage: OrganizationUsage, source: Source) -> list[UsageOfAccount]:
    """What each account of a pool has used by itself; nothing where one account stands alone."""
    if not source.question.pooled or source.above:
        return []
    question = msgspec.structs.replace(source.question, pooled=False)
    found = [each for each in usage.measure(question) if each.segment == source.segment]
    codes = records.codes(Account, {each.account_id for each in found})
    rows = [
        UsageOfAccount(
            account_id=each.account_id,
            account_code=codes.get(each.account_id, ""),
            total=each.total,
            value=source.value(each),
            measurements=each.count,
        )
        for each in found
    ]
    return sorted(rows, key=lambda row: (row.account_code, row.account_id))


# ------------------------------------------------------------------------------------------------------ measurements


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the measurements behind a line are wanted: of which number (from 1), of a day in the bill's time zone,
    of an account of the family, or only those that have the picked value."""

    input: int = 1
    day: date | None = None
    account_id: str | None = None
    deciding: bool = False


def line_measurements(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    record: BillRecord,
    line: LineItem,
    which: Which,
    page: Page,
) -> Found[MeasurementBehind]:
    """One page of the measurements behind a line, the latest first.

    Refusals: `not_found` for a number that the line does not have, and as `trace`; `invalid_page`.
    """
    sources = trace(records, record, line)
    if not 1 <= which.input <= len(sources):
        has = f"has {len(sources)}" if sources else "charges no usage"
        raise Refusal("not_found", f"input: there is no number {which.input}: the line {has}", field="input")
    source = sources[which.input - 1]
    question = source.question
    if which.deciding:
        question = source.deciding() or question
    if which.account_id is not None:
        kept = which.account_id in (question.accounts or ())
        question = msgspec.structs.replace(question, accounts=(which.account_id,) if kept else (), pooled=False)
    if which.day is not None:
        part = _of_day(question.period, which.day, record.bill.timezone)
        if part is None:
            return Found(())
        question = msgspec.structs.replace(question, period=part)
    rows = usage.behind(_behind(source, question), _place(page.token), page.size)
    shown = rows[: page.size]
    more = f"{shown[-1].ts.isoformat()} {shown[-1].uid}" if len(rows) > page.size else None
    return Found(tuple(_shown(records, source, shown)), more)


def _of_day(period: Period, day: date, zone: str) -> Period | None:
    found = (part for _, part in stretches(period, StatementFrequency.DAY, zone) if local_day(part.start, zone) == day)
    return next(found, None)


def _place(token: str | None) -> tuple[Instant, str] | None:
    if token is None:
        return None
    moment, _, uid = token.partition(" ")
    try:
        return Instant.parse(moment), uid
    except ValueError:
        message = f"nextToken: {token[:40]!r} is no token of this list"
        raise Refusal("invalid_page", message, field="nextToken") from None


def _shown(records: OrganizationRecords, source: Source, rows: Sequence[UsageRow]) -> Iterator[MeasurementBehind]:
    codes = records.codes(Account, {row.account_id for row in rows})
    for row in rows:
        yield MeasurementBehind(
            uid=row.uid,
            position=row.position,
            meter_code=source.meter.value.code,
            account_id=row.account_id,
            account_code=codes.get(row.account_id, ""),
            ts=row.ts,
            dt_received=row.received,
            fields={**row.texts, **row.numbers},
            ets=row.ets,
            undeclared=None if row.extra is None else msgspec.Raw(row.extra.encode()),
        )


# ------------------------------------------------------------------------------------------------------ origins


def origins(records: OrganizationRecords, record: BillRecord, line: LineItem) -> tuple[Origin, ...]:
    """What was configured that a line names, at the versions that the bill used; with a counter, its levels."""
    named = {value for name in LineItem.__struct_fields__ if name.endswith("_id") and (value := getattr(line, name))}
    uses = record.evidence.uses
    found = [_origin(used, entity) for used in uses if used.id in named and (entity := at_version(records, used))]
    if line.counter_id is not None:
        levels = (at_version(records, used) for used in uses if used.kind == CounterAdjustment.kind)
        own = (each for each in levels if each.value.counter_id == line.counter_id)
        found += [_origin(Used(CounterAdjustment.kind, each.id, each.version), each) for each in own]
    return tuple(found)


def _origin(used: Used, entity: Entity[Any]) -> Origin:
    value = entity.value
    names = (getattr(value, each, None) for each in ("name", "description", "code"))
    name = next((each for each in names if each), used.kind)
    if isinstance(value, CounterAdjustment):
        name = f"{value.value} from {value.date}"
    return Origin(kind=used.kind, id=used.id, version=used.version, name=name)
