"""Previews of what is configured, before it is saved: what an aggregation or a meter makes of recent measurements.

Nothing is written. Aggregations are asked about by the same questions as for a bill, and become units by the same
rules; derived fields are computed by the same code as when measurements are mediated. The work is bounded: by a stretch
of time that does not hold too many measurements, and by how many accounts and measurements are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation, Measured, Question
from tallystick.core.asking import question_about
from tallystick.core.attributes import custom_in, custom_values, measurement_values
from tallystick.core.catalog import Product
from tallystick.core.compound import PREFIX, CompoundAggregation, codes_in
from tallystick.core.entity import Entity
from tallystick.core.expression import FUNCTIONS, Scalar
from tallystick.core.formula import base_value, computed
from tallystick.core.ingest_failure import FailedMeasurement
from tallystick.core.lookup import NO_TABLES, Tables, codes_of, tables_of
from tallystick.core.measurement import Measurement, category_map, fields_of, read_time, validate
from tallystick.core.measurement import Schema as MeterSchema
from tallystick.core.measurement_reading import read_measurement
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationCustomFields
from tallystick.core.period import Instant, Period, day_start, local_day
from tallystick.core.quantity import to_units
from tallystick.core.usage_filters import narrowed
from tallystick.core.working import NamedValue
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest.failures import FAILED
from tallystick.pipeline.mediate import Reader, read_fields, reader_of
from tallystick.pipeline.tables import read_tables
from tallystick.ports import (
    DocumentWhere,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UsageColumn,
    UsageGroup,
    UsageQuery,
    UsageRow,
)
from tallystick.ports.founded import founded

MOST = 5_000_000  # measurements that one preview of an aggregation may look at
LOOKED_AT = 100  # accounts that a preview measures: those with most measurements
ANY_TIME = timedelta(days=365_000)  # whether a measurement is too far in the future is not looked at again


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRow:
    """What an account (and segment) comes to: the exact value, that value in units, and of how many measurements."""

    account_id: str
    segment: tuple[str, ...]
    value: Decimal
    units: Decimal
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPreview:
    """What would be counted in a stretch of time, for the accounts that have most measurements in it: the greatest
    rows, how many rows and accounts were looked at, and whether there are more accounts. `measurements` are those of
    the meter, of all accounts. `problem` says why a formula had no value for some."""

    period: Period
    rows: tuple[CountedRow, ...]
    found: int
    accounts: int
    measurements: int
    more: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """What a meter would make of a measurement: the values of all fields by code, why derived fields have none, and
    why it would be rejected, if it would."""

    uid: str
    account: str
    ts: str
    values: Mapping[str, Decimal | str]
    failures: Mapping[str, str]
    rejection: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterPreview:
    """Recent measurements as a meter would read them; `failed` are those that wait in the queue for such a meter."""

    rows: tuple[ReadRow, ...]
    failed: tuple[ReadRow, ...]


def recent_period(usage: OrganizationUsage, meter_ids: Sequence[str], now: Instant, zone: str) -> Period:
    """The last calendar month, or this one where that has nothing; its last days where it has too much to look at."""
    today = local_day(now, zone)
    first = today.replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    last_month = Period(day_start(before, zone), day_start(first, zone))
    found = _count(usage, meter_ids, last_month)
    if found == 0:
        last_month = Period(day_start(first, zone), day_start(today + timedelta(days=1), zone))
        found = _count(usage, meter_ids, last_month)
    if found <= MOST:
        return last_month
    last_day = local_day(Instant.of(last_month.end - timedelta(microseconds=1)), zone)
    for days in (7, 1):
        part = Period(day_start(last_day - timedelta(days=days - 1), zone), last_month.end)
        if _count(usage, meter_ids, part) <= MOST:
            return part
    return Period(Instant.of(last_month.end - timedelta(hours=1)), last_month.end)


def require_bounded(usage: OrganizationUsage, meter_ids: Sequence[str], period: Period) -> int:
    """How many measurements of meters lie in a period; Refusal `rule_broken` if that is too many for a preview."""
    found = _count(usage, meter_ids, period)
    if found > MOST:
        message = f"startDate: the period has {found:,} measurements, a preview looks at {MOST:,} at most; shorten it"
        raise Refusal("rule_broken", message, field="startDate")
    return found


def preview_aggregation(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    aggregation: Aggregation,
    period: Period,
    up_to: int,
    most: int = 10,
) -> CountedPreview:
    """What an aggregation comes to for accounts in a period, as on a bill for that period; the greatest first."""
    counted = require_bounded(usage, [aggregation.meter_id], period)
    whole = _question(records, aggregation, period, up_to, aggregation.segmented_fields or ())
    accounts, more = _busiest(usage, [whole])
    question = msgspec.structs.replace(whole, accounts=accounts)
    rows = [
        CountedRow(
            account_id=each.account_id,
            segment=each.segment,
            value=value,
            units=to_units(value, aggregation.quantity_per_unit, aggregation.rounding),
            count=each.count,
        )
        for each in usage.measure(question)
        if (value := base_value(aggregation, each, question)) is not None
    ]
    rows.sort(key=lambda row: (-row.value, row.account_id, row.segment))
    return CountedPreview(
        period=period,
        rows=tuple(rows[:most]),
        found=len(rows),
        accounts=len({row.account_id for row in rows}),
        measurements=counted,
        more=more,
    )


def preview_compound(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    compound: CompoundAggregation,
    period: Period,
    up_to: int,
    most: int = 10,
) -> CountedPreview:
    """What a compound aggregation comes to in a period for the accounts that have used most of its first aggregation.

    Custom fields of plans are the organisation's defaults: an account may have several plans, or none.
    """
    inputs = {code: records.by_code(Aggregation, code) for code in codes_in(compound.calculation)}
    known = {code: entity.value for code, entity in inputs.items() if entity is not None}
    counted = require_bounded(usage, sorted({each.meter_id for each in known.values()}), period)
    questions = {code: _question(records, each, period, up_to, ()) for code, each in known.items()}
    accounts, more = _busiest(usage, list(questions.values()))
    answers = {code: _answers(usage, asked, accounts) for code, asked in questions.items()}
    tables = _tables(records, codes_of(compound.calculation))
    custom = _custom_of_accounts(records, custom_in(compound.calculation), compound.product_id, accounts)
    rows, problem = [], None
    for account_id in accounts:
        rows_of = {code: answers[code].get(account_id) for code in known}
        named = [
            NamedValue(
                name=f"{PREFIX}{code}",
                value=base_value(known[code], row, questions[code]),
                count=row.count if row else 0,
            )
            for code, row in sorted(rows_of.items())
        ]
        try:
            value = computed(compound, named, tables, period.start, custom[account_id])
        except Refusal as refusal:
            problem = problem or refusal.message
            continue
        if value is not None:
            units = to_units(value, compound.quantity_per_unit, compound.rounding)
            used = sum(each.count for each in named)
            rows.append(CountedRow(account_id=account_id, segment=(), value=value, units=units, count=used))
    rows.sort(key=lambda row: (-row.value, row.account_id))
    return CountedPreview(
        period=period,
        rows=tuple(rows[:most]),
        found=len(rows),
        accounts=len(accounts),
        measurements=counted,
        more=more,
        problem=problem,
    )


def preview_meter(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    meter: Meter,
    before: Entity[Meter] | None,
    now: Instant,
    most: int = 10,
) -> MeterPreview:
    """What a meter would make of the latest measurements of the one it takes the place of, and of those that failed."""
    reader = reader_of(meter)
    tables = _tables(records, reader.tables)
    found = usage.raw(_rows_of(before.id, most)) if before is not None else []
    codes = records.codes(Account, {row.account_id for row in found})
    custom = _custom_of_accounts(records, reader.custom, meter.product_id, [row.account_id for row in found], meter)
    rows = [
        _read(
            _as_sent(row, before.value, meter.code, codes.get(row.account_id, row.account_id)),
            reader,
            tables,
            row.received,
            custom[row.account_id],
        )
        for row in found[:most]
        if before is not None
    ]
    where = DocumentWhere(equal={"meter": (meter.code,)})
    failed = []
    nobody = _custom_of_accounts(records, reader.custom, meter.product_id, [""], meter)[""]
    for document in records.documents(FAILED, where, Page(size=most)).rows:
        waiting = wire.decode(FailedMeasurement, document.body)
        sent = read_measurement(waiting.sent)
        if not isinstance(sent, Rejection):
            failed.append(_read(sent, reader, tables, now, nobody, waiting.uid))
    return MeterPreview(rows=tuple(rows), failed=tuple(failed))


def _read(
    sent: Measurement,
    reader: Reader,
    tables: Tables,
    received: Instant,
    custom: Mapping[str, Scalar],
    uid: str | None = None,
) -> ReadRow:
    found = validate(sent, MeterSchema("", 0, fields_of(reader.meter)), received, ANY_TIME)
    shown = sent.uid or uid or ""
    if isinstance(found, Rejection):
        reason = found.reason
        return ReadRow(uid=shown, account=sent.account, ts=sent.ts, values={}, failures={}, rejection=reason)
    ts = Instant.of(read_time(sent.ts))
    functions = tables.functions(ts, received) if reader.tables else FUNCTIONS
    more = {**(measurement_values(sent, ts, received) if reader.timed else {}), **custom}
    numbers, texts, failures = read_fields(sent, reader, functions, more)
    return ReadRow(uid=shown, account=sent.account, ts=ts.wire(), values={**texts, **numbers}, failures=dict(failures))


def _as_sent(row: UsageRow, meter: Meter, code: str, account: str) -> Measurement:
    """A kept measurement as it may have been sent: the fields that its meter declares, in their maps, and the rest."""
    maps: dict[str, dict[str, Any]] = {}
    if row.extra is not None:
        maps = wire.decode(dict[str, dict[str, Any]], row.extra.encode())
    held: dict[str, Decimal | str] = {**row.texts, **row.numbers}
    for field in meter.data_fields:
        if field.code in held:
            maps.setdefault(category_map(field.category), {})[field.code] = held[field.code]
    ets = None if row.ets is None else row.ets.wire()
    body = {"uid": row.uid, "meter": code, "account": account, "ts": row.ts.wire(), "ets": ets, **maps}
    return wire.decode(Measurement, wire.encode(body))


def _question(
    records: OrganizationRecords, aggregation: Aggregation, period: Period, up_to: int, split: Sequence[str]
) -> Question:
    meter = records.get(Meter, aggregation.meter_id)
    filter_ = aggregation.filter if meter is None else narrowed(aggregation.filter, (), meter.value)
    return question_about(aggregation, period, up_to, whole=period, filter=filter_, split=tuple(split))


def _answers(usage: OrganizationUsage, asked: Question, accounts: tuple[str, ...]) -> dict[str, Measured]:
    return {row.account_id: row for row in usage.measure(msgspec.structs.replace(asked, accounts=accounts))}


def _busiest(usage: OrganizationUsage, questions: Sequence[Question]) -> tuple[tuple[str, ...], bool]:
    """The accounts that have most measurements with what is asked about, and whether there are more accounts."""
    found: dict[str, None] = {}
    more = False
    for asked in questions:
        query = replace(
            _query((asked.meter_id,), asked.period, LOOKED_AT),
            start=None if asked.reaches_back else asked.period.start,
            columns=(UsageColumn(meter_id=asked.meter_id, field=asked.field, function="COUNT"),),
            groups=(UsageGroup(by="ACCOUNT"),),
            greatest_first=True,
        )
        answers = usage.query(query)
        more = more or len(answers) > LOOKED_AT
        found |= dict.fromkeys(str(each.groups[0]) for each in answers[:LOOKED_AT])
    return tuple(found), more


def _tables(records: OrganizationRecords, codes: Sequence[str]) -> Tables:
    return tables_of(read_tables(records, codes)) if codes else NO_TABLES


def _custom_of_accounts(
    records: OrganizationRecords,
    names: Sequence[str],
    product_id: str | None,
    account_ids: Sequence[str],
    meter: Meter | None = None,
) -> dict[str, dict[str, Scalar]]:
    """The custom fields that a formula refers to, as they are now, for each account."""
    if not names:
        return {each: {} for each in account_ids}
    defaults = founded(records, OrganizationCustomFields)
    product = records.get(Product, product_id) if product_id else None
    accounts = records.get_many(Account, set(account_ids) - {""})
    shared = {
        "product": product.value.custom_fields if product else None,
        "meter": meter.custom_fields if meter else None,
    }
    return {
        each: custom_values(
            names,
            defaults.value,
            {**shared, "account": accounts[each].value.custom_fields if each in accounts else None},
        )
        for each in account_ids
    }


def _rows_of(meter_id: str, most: int) -> UsageQuery:
    return _query((meter_id,), None, most)


def _count(usage: OrganizationUsage, meter_ids: Sequence[str], period: Period) -> int:
    return usage.count(_query(tuple(meter_ids), period, 0))


def _query(meter_ids: tuple[str, ...], period: Period | None, limit: int) -> UsageQuery:
    return UsageQuery(
        start=period.start if period else None,
        end=period.end if period else None,
        meter_ids=meter_ids,
        account_ids=None,
        filters=(),
        columns=(),
        groups=(),
        limit=limit,
        zone="UTC",
    )
