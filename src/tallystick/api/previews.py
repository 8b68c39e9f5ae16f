"""Previews over HTTP: what a meter, an aggregation or a compound aggregation would make of recent measurements."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.api.aggregations import AggregationRequest, read_aggregation
from tallystick.api.crud import request_type, value_of
from tallystick.api.routing import Call, Route
from tallystick.control.aggregations import require_countable
from tallystick.control.compound_aggregations import require_computable
from tallystick.control.desk import require_references, the
from tallystick.control.meters import METERS, require_calculable
from tallystick.core.account import Account
from tallystick.core.aggregation import Aggregation
from tallystick.core.compound import CompoundAggregation, codes_in
from tallystick.core.definition import aggregation_sentence, compound_sentence, meter_sentence
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, Period
from tallystick.errors import Refusal
from tallystick.pipeline.sample import (
    CountedPreview,
    ReadRow,
    preview_aggregation,
    preview_compound,
    preview_meter,
    recent_period,
)
from tallystick.ports.founded import config_of


class CountedRowReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an account (and segment, by field) would be billed for: the exact value, and that in units."""

    account_id: str
    account_code: str | None
    segment: dict[str, str]
    value: Decimal
    units: Decimal
    count: int


class CountedPreviewReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What would be counted in a period: the definition in a sentence, the greatest rows, and how many there are of
    rows, of accounts (those with most measurements, and whether there are more) and of measurements. `problem`: why a
    formula has no value for some."""

    definition: str
    start_date: Instant
    end_date: Instant
    rows: list[CountedRowReply]
    rows_found: int
    accounts: int
    measurements: int
    more_accounts: bool
    problem: str | None


class ReadRowReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A measurement as the meter would read it: values by field code, why derived fields have none, and why it would be
    rejected."""

    uid: str
    account: str
    ts: str
    values: dict[str, Any]
    failures: dict[str, str]
    rejection: str | None


class MeterPreviewReply(msgspec.Struct, frozen=True, kw_only=True):
    """The definition in a sentence, the latest measurements of the meter, and those that failed and wait for it."""

    definition: str
    measurements: list[ReadRowReply]
    failed: list[ReadRowReply]


def of_aggregation(call: Call, body: Any) -> CountedPreviewReply:
    """Preview an aggregation."""
    aggregation: Aggregation = read_aggregation(body)
    require_references(call.records, aggregation)
    meter = the(call.records, Meter, aggregation.meter_id)
    require_countable(aggregation, meter)
    period = _period(call, [aggregation.meter_id])
    found = preview_aggregation(call.records, call.usage, aggregation, period, call.app.usage.mark, _most(call))
    return _counted(call, aggregation_sentence(aggregation, meter), found, aggregation.segmented_fields or ())


def of_compound(call: Call, body: Any) -> CountedPreviewReply:
    """Preview a compound aggregation."""
    compound = value_of(CompoundAggregation, body)
    require_references(call.records, compound)
    require_computable(call.records, compound)
    inputs = [call.records.by_code(Aggregation, code) for code in codes_in(compound.calculation)]
    period = _period(call, sorted({each.value.meter_id for each in inputs if each is not None}))
    found = preview_compound(call.records, call.usage, compound, period, call.app.usage.mark, _most(call))
    return _counted(call, compound_sentence(compound), found, ())


def of_meter(call: Call, body: Any) -> MeterPreviewReply:
    """Preview a meter."""
    meter = value_of(Meter, body)
    require_references(call.records, meter)
    require_calculable(call.records, meter)
    id_ = call.query.text("meterId")
    before = METERS.retrieve(call.records, id_) if id_ else call.records.by_code(Meter, meter.code)
    found = preview_meter(call.records, call.usage, meter, before, call.now, _most(call))
    return MeterPreviewReply(
        definition=meter_sentence(meter),
        measurements=[_read(each) for each in found.rows],
        failed=[_read(each) for each in found.failed],
    )


def _counted(call: Call, definition: str, found: CountedPreview, fields: Sequence[str]) -> CountedPreviewReply:
    codes = call.records.codes(Account, {row.account_id for row in found.rows})
    return CountedPreviewReply(
        definition=definition,
        start_date=found.period.start,
        end_date=found.period.end,
        rows=[
            CountedRowReply(
                account_id=row.account_id,
                account_code=codes.get(row.account_id),
                segment=dict(zip(fields, row.segment, strict=True)),
                value=row.value,
                units=row.units,
                count=row.count,
            )
            for row in found.rows
        ],
        rows_found=found.found,
        accounts=found.accounts,
        measurements=found.measurements,
        more_accounts=found.more,
        problem=found.problem,
    )


def _read(row: ReadRow) -> ReadRowReply:
    return ReadRowReply(
        uid=row.uid,
        account=row.account,
        ts=row.ts,
        values=dict(row.values),
        failures=dict(row.failures),
        rejection=row.rejection,
    )


def _period(call: Call, meter_ids: Sequence[str]) -> Period:
    start, end = call.query.instant("startDate"), call.query.instant("endDate")
    if (start is None) != (end is None):
        raise Refusal("invalid_request", "endDate: give both startDate and endDate, or neither", field="endDate")
    if start is None or end is None:
        config = config_of(call.records)
        return recent_period(call.usage, meter_ids, call.now, config.value.timezone)
    if end <= start:
        raise Refusal("invalid_request", "endDate: must be after startDate", field="endDate")
    return Period(start, end)


def _most(call: Call) -> int:
    return call.query.number("rows", lowest=1, highest=100) or 10


_PERIOD = {
    "startDate": "From when on; left out, a recent month or, of many measurements, its last days.",
    "endDate": "Up to when, exclusive.",
    "rows": "How many rows are shown, 1 to 100; 10 if left out.",
}

ROUTES = (
    Route(
        method="POST",
        path="/aggregations/preview",
        run=of_aggregation,
        summary="See what an aggregation would count for each account, before it is kept",
        tag="Aggregations",
        scope="analytics:query",
        body=AggregationRequest,
        reply=CountedPreviewReply,
        query=_PERIOD,
    ),
    Route(
        method="POST",
        path="/compoundaggregations/preview",
        run=of_compound,
        summary="See what a compound aggregation would come to for each account, before it is kept",
        tag="Compound aggregations",
        scope="analytics:query",
        body=request_type(CompoundAggregation),
        reply=CountedPreviewReply,
        query=_PERIOD,
    ),
    Route(
        method="POST",
        path="/meters/preview",
        run=of_meter,
        summary="See what a meter would make of recent measurements, before it is kept",
        tag="Meters",
        scope="analytics:query",
        body=request_type(Meter),
        reply=MeterPreviewReply,
        query={
            "meterId": "The meter whose measurements are read; left out, the one with the same code.",
            "rows": "How many measurements are shown of each kind, 1 to 100; 10 if left out.",
        },
    ),
)
