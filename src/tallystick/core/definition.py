"""What a meter, an aggregation or a compound aggregation counts, as one sentence in plain English.

Made from the configuration and from nothing else, so that it cannot say anything that is not so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core.aggregation import Aggregation, Method, TimeUnit, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.meter import DataField, Meter
from tallystick.core.wording import number

WILDCARD = "*"

_UNITS_OF_TIME = {TimeUnit.HOUR: "an hour", TimeUnit.DAY: "24 hours", TimeUnit.PERIOD: "the whole billing period"}
_ROUNDINGS = {
    UnitRounding.UP: "rounded up to whole ones",
    UnitRounding.DOWN: "rounded down to whole ones",
    UnitRounding.NEAREST: "rounded to the nearest whole one",
    UnitRounding.NONE: "with all decimals",
}


_PLAIN = {
    Method.SUM: "The sum of",
    Method.MIN: "The least",
    Method.MAX: "The greatest",
    Method.MEAN: "The average of",
    Method.UNIQUE: "The number of different values of",
}


def meter_sentence(meter: Meter) -> str:
    """Such as: Takes measurements with the numbers Tokens ({token}) and the texts Model and Region, and computes Cost
    (USD) from them."""
    numbers = [_with_unit(each) for each in meter.data_fields if each.category.numeric]
    texts = [each.name for each in meter.data_fields if not each.category.numeric]
    parts = [_kind("number", numbers), _kind("text", texts)]
    taken = _and([each for each in parts if each])
    derived = _and([_with_unit(each) for each in meter.derived_fields])
    computed = f", and computes {derived} from {'it' if len(numbers + texts) == 1 else 'them'}" if derived else ""
    return f"Takes measurements with {taken}{computed}{_but(meter)}."


def aggregation_sentence(aggregation: Aggregation, meter: Meter) -> str:
    """Such as: The sum of Tokens over all measurements of the meter llm where region == 'eu', separately for each
    Model, in units of 1,000 ({token}), rounded up to whole ones."""
    target = meter.field(aggregation.target_field)
    name = aggregation.target_field if target is None else target.name
    where = (f" where {aggregation.filter}" if aggregation.filter else "") + _but(meter)
    split = ""
    if aggregation.segmented_fields:
        fields = [_name(meter, code) for code in aggregation.segmented_fields]
        split = f", separately for each {_and(fields)}{_of_segments(aggregation)}"
    default = ""
    if aggregation.default_value is not None:
        default = f"; {number(aggregation.default_value)} where there is none"
    counted = _counted(aggregation, meter, name, where)
    return f"{counted}{split}, {_in_units(aggregation)}{default}."


def _but(meter: Meter) -> str:
    return f", without those where {meter.exclude_filter}" if meter.exclude_filter else ""


def compound_sentence(compound: CompoundAggregation) -> str:
    """Such as: aggregation.tokens / 1000 + aggregation.calls, in units of 1 credit, with all decimals."""
    nulls = "as null" if compound.evaluate_null_aggregations else "as no usage at all"
    missing = f"; an aggregation that has no value counts {nulls}"
    return f"The result of {compound.calculation}, {_in_units(compound)}{missing}."


def _counted(aggregation: Aggregation, meter: Meter, name: str, where: str) -> str:
    of_all = f"over all measurements of the meter {meter.code}{where}"
    streams = ""
    if aggregation.gauge_field is not None:
        streams = f", each {_name(meter, aggregation.gauge_field)} by itself and added up"
    method = aggregation.aggregation
    if method is Method.COUNT:
        return f"The number of measurements of the meter {meter.code} that have {name}{where}"
    if method is Method.CORRELATED_COUNT:
        return _correlated(aggregation, meter, where)
    if method is Method.LATEST:
        carried = f", which holds until the next one, into later periods too{streams}"
        return f"The latest {name} {of_all}{carried if aggregation.carry_forward else ''}"
    if method is Method.PERCENTILE:
        assert aggregation.percentile is not None, "PERCENTILE has a rank"
        return f"The value that {number(aggregation.percentile)} % of {name} do not exceed, {of_all}"
    if method is Method.TIME_WEIGHTED_SUM:
        assert aggregation.time_unit is not None, "TIME_WEIGHTED_SUM has a unit of time"
        unit = _UNITS_OF_TIME[aggregation.time_unit]
        return f"{name} times how long it holds, where 1 held for {unit} counts 1, {of_all}{streams}"
    if method is Method.TIME_WEIGHTED_MEAN:
        return f"The average of {name} over time, each value for as long as it holds, {of_all}{streams}"
    return f"{_PLAIN[method]} {name} {of_all}"


def _correlated(aggregation: Aggregation, meter: Meter, where: str) -> str:
    field = _name(meter, aggregation.correlation_field or "")
    window = "a billing period"
    if aggregation.window_seconds is not None:
        window = f"{_length(aggregation.window_seconds)} of its first"
    return (
        f"The number of different {field} of which, within {window}, a measurement of the meter {meter.code}{where}"
        f" meets {aggregation.success_filter}"
    )


def _length(seconds: int) -> str:
    """A length of time in its largest whole unit: 2 hours, 90 seconds."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    raise AssertionError("every whole number of seconds is one of seconds")


def _of_segments(aggregation: Aggregation) -> str:
    """The segments that have a name of their own, if they are few enough to say."""
    named = [
        "/".join("any" if each[field] == WILDCARD else each[field] for field in aggregation.segmented_fields or ())
        for each in aggregation.segments or ()
    ]
    return f" ({', '.join(named[:5])}{', …' if len(named) > 5 else ''})" if named else ""


def _in_units(counted: Aggregation | CompoundAggregation) -> str:
    size, unit = counted.quantity_per_unit, counted.unit
    units = unit if size == 1 else f"{number(size)} ({unit})"
    return f"in units of {units}, {_ROUNDINGS[counted.rounding]}"


def _with_unit(field: DataField) -> str:
    return field.name if field.unit is None else f"{field.name} ({field.unit})"


def _name(meter: Meter, code: str) -> str:
    field = meter.field(code)
    return code if field is None else field.name


def _kind(what: str, names: Sequence[str]) -> str:
    return f"the {what}{'' if len(names) == 1 else 's'} {_and(names)}" if names else ""


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
