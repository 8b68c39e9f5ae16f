"""Functions on texts and times, held to what Python's own say, and to their bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.expression import FUNCTIONS, CalculationError, Function, Scalar, Type, evaluate, parse, type_of

zones = st.sampled_from(["UTC", "Europe/Paris", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.integers(-62_135_000_000_000_000, 253_402_000_000_000_000).map(
    lambda us: EPOCH + timedelta(microseconds=us)
)


def value_of(formula: str, **values: Scalar) -> Scalar:
    return evaluate(parse(formula), values)


@given(moments, zones)
@settings(max_examples=100, deadline=None)
def test_a_time_is_written_read_and_taken_apart_as_by_the_calendar(moment: datetime, zone: str) -> None:
    time = value_of("DateTime.parse(text)", text=moment.isoformat())
    assert time == Decimal((moment - EPOCH) // timedelta(microseconds=1)) / 1000
    there = moment.astimezone(ZoneInfo(zone))
    for part in ("year", "month", "day", "hour", "minute", "second"):
        assert value_of(f"DateTime.{part}(t, zone)", t=time, zone=zone) == getattr(there, part)
    assert value_of("DateTime.dayOfWeek(t, zone)", t=time, zone=zone) == there.isoweekday()
    pattern = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSX"
    written = value_of("DateTime.format(t, pattern)", t=time, pattern=pattern)
    assert value_of("DateTime.parse(text, pattern)", text=written, pattern=pattern) == time


def outcome(formula: str, values: dict[str, Scalar]) -> Scalar | CalculationError:
    try:
        return value_of(formula, **values)
    except CalculationError as problem:
        return problem


VALUES: dict[Type, st.SearchStrategy[Scalar]] = {
    Type.NUMBER: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
    | st.integers(-5, 50).map(Decimal),
    Type.TEXT: st.text(max_size=30) | zones | st.sampled_from(["yyyy", "MM-dd", "-", "a", "1.5", "2025-01-31"]),
}
VALUES[Type.ANY] = VALUES[Type.NUMBER] | VALUES[Type.TEXT] | st.booleans()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_function_gives_what_it_promises_or_says_why_not(function: Function, data: st.DataObject) -> None:
    given_ = [data.draw(VALUES[function.parameter(index)]) for index in range(function.minimum)]
    names = [f"v{index}" for index in range(len(given_))]
    formula = f"{function.name}({', '.join(names)})"
    result = outcome(formula, dict(zip(names, given_, strict=True)))
    if isinstance(result, CalculationError):
        assert (result.operation, result.position) == (function.name, 1)
    else:
        assert result is None or function.result in {type_of(result), Type.ANY}
        assert not isinstance(result, str) or len(result) <= 4096


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("String.replace(long, 'a', long)", "the text has 16000000 characters; at most 4096"),
        ("String.upper(sharp)", "the text has 6000 characters; at most 4096"),
        ("String.replace('a', '', 'b')", "must not be empty"),
        ("String.split('a', '', 0)", "must not be empty"),
        ("String.substring('abc', 1.5)", "a place must be a whole number from 0, got 1.5"),
        ("String.substring('abc', -1)", "a place must be a whole number from 0, got -1"),
        ("Number.of('1_000')", "is no number"),
        ("Number.of('Infinity')", "is no number"),
        ("Number.of('1e999')", "the number is too large"),
        ("DateTime.parse('31.02.2025', 'dd.MM.yyyy')", "there is no time '31.02.2025'"),
        ("DateTime.parse('1.2', 'dd.MM')", "is not of the form 'dd.MM'"),
        ("DateTime.parse('0101', 'MMMM')", "the pattern has a part twice"),
        ("DateTime.year(10 ^ 99)", "not within the years 1 to 9999"),
        ("DateTime.year(-10 ^ 99)", "not within the years 1 to 9999"),
    ],
)
def test_what_has_no_result_says_why(formula: str, says: str) -> None:
    with pytest.raises(CalculationError, match=says):
        value_of(formula, long="a" * 4000, sharp="ß" * 3000)
