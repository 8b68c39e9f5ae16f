"""A bill line in plain English: one sentence, and the steps one by one, with the exact numbers that were calculated.

Everything said here is read from the line's working; nothing is calculated again (promise 8).
"""

from __future__ import annotations

from decimal import Decimal
from functools import singledispatch

import msgspec

from tallystick.core import explain_agreed, explain_credit, explain_forms
from tallystick.core.aggregation import Method, TimeUnit, UnitRounding
from tallystick.core.bill import BillRecord, LineItem, LineItemType
from tallystick.core.catalog import PricingType
from tallystick.core.wording import instant, money, number
from tallystick.core.working import (
    Adjusted,
    Apportioned,
    Computed,
    Converted,
    Counted,
    Credited,
    Divided,
    Priced,
    PricedBand,
    Prorated,
    Refunded,
    Rounded,
    Spanned,
    Steps,
    ToppedUp,
    Working,
)


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line explained. The wire shows it as it is."""

    line_item_id: str
    sequence_number: int
    line_item_type: LineItemType
    description: str
    sentence: str
    steps: tuple[str, ...]


def explain_bill(record: BillRecord) -> tuple[Explanation, ...]:
    """Every line of a bill, in their order."""
    return tuple(explain_line(line, record.working(line.id)) for line in record.bill.line_items)


def explain_line(item: LineItem, working: Working) -> Explanation:
    """One line with its working."""
    clauses = [clause for step in working if (clause := _clause(step))]
    subject = _subject(item, working)
    return Explanation(
        line_item_id=item.id,
        sequence_number=item.sequence_number,
        line_item_type=item.line_item_type,
        description=item.description,
        sentence=f"{subject}: {', '.join(clauses)}",
        steps=tuple(_step(step) for step in working),
    )


# ------------------------------------------------------------------------------------------------------ sentence


def _subject(item: LineItem, working: Working) -> str:
    """What the line is about."""
    counted = next((step for step in working if isinstance(step, Counted | Computed)), None)
    if counted is None:
        return item.description
    divided = next(step for step in working if isinstance(step, Divided))
    spans = any(isinstance(step, Spanned) for step in working)
    how = "" if spans else _division(divided)
    defaulted = isinstance(counted, Counted) and not counted.count
    default = ", the default, as nothing was measured" if defaulted else ""
    of = f"{number(divided.units)} units of {item.description}"
    notes = (how + default).removeprefix(", ")
    return f"{of} ({notes})" if notes else of


def _division(step: Divided) -> str:
    """value ÷ quantityPerUnit, where there is something to divide or to round."""
    if step.value == step.units:
        return ""
    quotient = f"{number(step.value)} ÷ {number(step.quantity_per_unit)}"
    return quotient if step.rounding is UnitRounding.NONE else f"{quotient}, rounded {step.rounding}"


@singledispatch
def _clause(step: Steps) -> str:
    """The part of the sentence that a step adds; nothing for those that the subject has told."""
    assert isinstance(step, Counted | Computed | Divided), f"a step that cannot be told: {step}"
    return ""


@_clause.register
def _(step: Priced) -> str:
    if not step.bands:
        return "in no band, which is 0.00"
    parts = ", ".join(_band(band) for band in step.bands)
    return parts if len(step.bands) == 1 else f"{parts}, together {money(step.amount)}"


@_clause.register
def _(step: Spanned) -> str:
    return f"on top of {number(step.units_before)} units since {instant(step.start)}"


@_clause.register
def _(step: Credited) -> str:
    capped = f", of which {money(step.cap)} can be given back" if step.credit > step.cap else ""
    return f"credited{capped}"


@_clause.register
def _(step: Prorated) -> str:
    if step.days == step.of_days:
        return f"{money(step.full)} for {instant(step.start)} to {instant(step.end)}"
    return f"{money(step.full)} × {step.days}/{step.of_days} days = {money(step.amount)}"


@_clause.register
def _(step: ToppedUp) -> str:
    return f"less {money(step.charges)} of charges leaves {money(step.amount)}"


@_clause.register
def _(step: Refunded) -> str:
    return f"paid in advance and refunded up to the charges of {money(step.charges)}: {money(step.amount)}"


@_clause.register
def _(step: Apportioned) -> str:
    if step.fee is not None and step.of_fees is not None:
        fees = f"{money(step.fee)} of {money(step.of_fees)}"
        return f"of which events of {step.account} come to {fees}: {money(step.amount)}"
    return f"of which {step.account} has {number(step.units)} of {number(step.of_units)} units: {money(step.amount)}"


@_clause.register
def _(step: Adjusted) -> str:
    elsewhere = f" and {money(step.elsewhere)} adjusted before" if step.elsewhere else ""
    period = f"{instant(step.start)} to {instant(step.end)}"
    return f"{period} comes to {money(step.now)} now, less {money(step.billed)} billed{elsewhere}"


@_clause.register
def _(step: Converted) -> str:
    into = f"{money(step.amount)} {step.to_currency}"
    return f"before rounding converted at {number(step.rate)} {step.to_currency} per {step.from_currency} to {into}"


@_clause.register
def _(step: Rounded) -> str:
    amount = f"{step.amount:,f} {step.currency}"
    return f"which is {amount}" if step.exact == step.amount else f"rounded {step.mode} to {amount}"


def _band(band: PricedBand) -> str:
    """10 × 3.00 = 30.00, with the fixed price where one is charged."""
    units = f"{number(band.units)} × {money(band.unit_price)}"
    if not band.fixed:
        return f"{units} = {money(band.amount)}"
    if not band.unit_price:
        return f"{money(band.fixed)} fixed for {number(band.units)} units"
    return f"{units} + {money(band.fixed)} fixed = {money(band.amount)}"


# ------------------------------------------------------------------------------------------------------ steps


@singledispatch
def _step(step: Steps) -> str:
    """One step as a sentence of its own."""
    raise AssertionError(f"a step that cannot be told: {step}")


for _of, _tell in (explain_agreed.CLAUSES | explain_credit.CLAUSES | explain_forms.CLAUSES).items():
    _clause.register(_of, _tell)
for _of, _tell in (explain_agreed.STEPS | explain_credit.STEPS | explain_forms.STEPS).items():
    _step.register(_of, _tell)


@_step.register
def _(step: Counted) -> str:
    where = ", ".join(f"{name} = {value}" for name, value in (step.segment or {}).items())
    of = f"{step.field} of the meter {step.meter}" + (f" where {where}" if where else "")
    window = f"from {instant(step.start)} up to {instant(step.end)}"
    unit = f" {step.unit}" if step.unit else ""
    if not step.count:
        return f"Nothing was measured of {of} {window}: the default value {number(step.value)} stands in."
    times = "1 measurement" if step.count == 1 else f"{step.count:,} measurements"
    if step.correlation_field:
        return f"{step.method} of {of}, {times} {window}, {_correlated(step)}: {number(step.value)}."
    if step.gauge:
        return f"{step.method} of {of}, {times} {window}, {_held(step)}: {number(step.value)}{_held_unit(step, unit)}."
    method = f"{step.method} {number(step.percentile)}" if step.percentile is not None else str(step.method)
    if step.method is Method.MEAN:
        quotient = f"{number(step.total)} ÷ {step.count:,} = {number(step.value)}"
        return f"{method} of {of}, {times} {window}: {quotient}{unit}."
    return f"{method} of {of}, {times} {window}: {number(step.value)}{'' if step.method is Method.COUNT else unit}."


def _correlated(step: Counted) -> str:
    """What makes many measurements one unit."""
    within = f" within {number(Decimal(step.window_seconds))} seconds" if step.window_seconds else ""
    return f"those of the same {step.correlation_field}{within} as one, if one of them has {step.success_filter}"


def _held(step: Counted) -> str:
    """How long the values of a gauge count."""
    each = f" of the same {step.gauge_field}" if step.gauge_field else ""
    return f"with what held at its start, each until the next one{each}"


def _held_unit(step: Counted, unit: str) -> str:
    if step.method is Method.TIME_WEIGHTED_MEAN:
        return f"{unit} on average"
    times = {TimeUnit.HOUR: "hours", TimeUnit.DAY: "days", TimeUnit.PERIOD: "billing periods"}
    return f"{unit} × {times[step.time_unit]}" if step.time_unit else unit


@_step.register
def _(step: Computed) -> str:
    values = ", ".join(f"{each.name} = {_value(each.value)}" for each in step.inputs)
    values += "".join(f", {name} = {value}" for name, value in (step.custom or {}).items())
    window = f"from {instant(step.start)} up to {instant(step.end)}"
    tables = "".join(f", the lookup table {code} as in {name!r}" for code, name in (step.lookups or {}).items())
    where = ", ".join(f"{name} = {value}" for name, value in (step.segment or {}).items())
    where = f" where {where}" if where else ""
    return f"{step.calculation}{where} {window}, with {values}{tables}: {number(step.value)}."


def _value(value: Decimal | None) -> str:
    return "null" if value is None else number(value)


@_step.register
def _(step: Divided) -> str:
    if step.quantity_per_unit == 1 and step.value == step.units:
        return f"Counted one by one: {number(step.units)} units of {step.unit}."
    quotient = f"{number(step.value)} ÷ {number(step.quantity_per_unit)}"
    if step.rounding is UnitRounding.NONE:
        return f"{quotient} per unit = {number(step.units)} units of {step.unit}."
    return f"{quotient} per unit, rounded {step.rounding} to whole units = {number(step.units)} units of {step.unit}."


@_step.register
def _(step: Priced) -> str:
    if not step.bands:
        return f"{number(step.units)} units reach no band: nothing is due."
    how = "each band charges the units inside it" if step.cumulative else "the highest band reached charges all units"
    parts = "; ".join(f"above {number(band.lower_limit)}: {_band(band)}" for band in step.bands)
    together = f"; together {money(step.amount)}" if len(step.bands) > 1 else ""
    return f"{number(step.units)} units, {how}: {parts}{together}."


@_step.register
def _(step: Spanned) -> str:
    before = f"{number(step.units_before)} units ({money(step.amount_before)})"
    after = f"{number(step.units_after)} units ({money(step.amount_after)})"
    return f"The bands count on since {instant(step.start)}: from {before} to {after}; the difference is charged."


@_step.register
def _(step: Credited) -> str:
    what = "the lines of its product" if step.type is PricingType.PRODUCT_CREDIT else "the rest of the bill"
    room = f"{what} come to {money(step.cap)}"
    return f"A credit of {money(step.credit)}; {room}, so {money(step.amount)} is charged."


@_step.register
def _(step: Prorated) -> str:
    window = f"{instant(step.start)} up to {instant(step.end)}"
    if step.days == step.of_days:
        return f"{money(step.full)} for the whole billing period, {window}."
    share = f"{step.days} of the {step.of_days} days of the billing period"
    product = f"{money(step.full)} × {step.days}/{step.of_days} = {money(step.amount)}"
    return f"{money(step.full)} for {share} ({window}): {product}."


@_step.register
def _(step: ToppedUp) -> str:
    return f"Minimum {money(step.minimum)}, charges {money(step.charges)}: {money(step.amount)} is missing."


@_step.register
def _(step: Refunded) -> str:
    return (
        f"The minimum of {money(step.minimum)} was paid in advance; charges came to {money(step.charges)}, "
        f"and the smaller of the two is given back: {money(step.amount)}."
    )


@_step.register
def _(step: Apportioned) -> str:
    share = f"{step.account} used {number(step.units)} of {number(step.of_units)} units"
    if step.fee is not None and step.of_fees is not None:
        share = f"the events of {step.account} come to {money(step.fee)} of {money(step.of_fees)}"
    amount = f"{money(step.amount)} of {money(step.of_amount)}"
    return f"The accounts are charged as one; {share}: {amount}."


@_step.register
def _(step: Adjusted) -> str:
    period = f"{instant(step.start)} up to {instant(step.end)}"
    elsewhere = f" and {money(step.elsewhere)} was adjusted on other bills" if step.elsewhere else ""
    return (
        f"Usage came late for {period}: the line would be {money(step.now)} now, {money(step.billed)} was billed on "
        f"the bill {step.bill_id}{elsewhere}; the difference is {money(step.amount)}."
    )


@_step.register
def _(step: Converted) -> str:
    amount = f"{money(step.exact)} {step.from_currency} × {number(step.rate)}"
    return f"Converted before rounding: {amount} = {money(step.amount)} {step.to_currency}."


@_step.register
def _(step: Rounded) -> str:
    if step.exact == step.amount:
        return f"Nothing to round: {step.amount:,f} {step.currency}."
    decimals = "1 decimal" if step.decimals == 1 else f"{step.decimals} decimals"
    return f"{money(step.exact)} rounded {step.mode} to {decimals}: {step.amount:,f} {step.currency}."
