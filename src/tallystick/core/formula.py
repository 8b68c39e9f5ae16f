"""Calculations over aggregations: on their exact base values, before any quantityPerUnit or rounding.

Source: reference 2.2, 3.1: an aggregation without a value is null unless it has a default; with a null among what the
calculation names there is no result, unless the compound aggregation says to compute with null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

from tallystick.core.aggregation import Aggregation, Measured, Method, Question
from tallystick.core.compound import CompoundAggregation
from tallystick.core.expression import FUNCTIONS, CalculationError, Expression, Function, Scalar, evaluate, parse
from tallystick.core.lookup import WITH_LOOKUPS, Tables
from tallystick.core.period import Instant
from tallystick.core.quantity import divide, tidy
from tallystick.core.working import NamedValue
from tallystick.errors import Refusal


@lru_cache(maxsize=1024)
def _parsed(calculation: str) -> Expression:
    return parse(calculation, WITH_LOOKUPS)


def base_value(aggregation: Aggregation, row: Measured | None, question: Question) -> Decimal | None:
    """The aggregation's value: what was measured in answer to a question, else its default, else None."""
    if row is None:
        return None if aggregation.default_value is None else tidy(aggregation.default_value)
    if question.time_unit is not None:
        return divide(row.total, Decimal(question.time_unit))
    return divide(row.total, Decimal(row.count)) if aggregation.aggregation is Method.MEAN else tidy(row.total)


def computed(
    compound: CompoundAggregation,
    inputs: Iterable[NamedValue],
    tables: Tables,
    at: Instant,
    custom: Mapping[str, Scalar] = MappingProxyType({}),
) -> Decimal | None:
    """The value of a compound aggregation, exact to 50 digits; None when there is none. Lookup tables are read as they
    hold at a moment; `custom` are the custom fields that the calculation refers to.

    Refusal `calculation_failed` where the calculation has no result for these values (a division by zero, say).
    """
    known = tuple(inputs)
    if not compound.evaluate_null_aggregations and any(each.value is None for each in known):
        return None
    functions = tables.functions(at) if tables else FUNCTIONS
    result = _result(compound.calculation, known, f"the compound aggregation {compound.name!r}", functions, custom)
    if result is not None and not isinstance(result, Decimal):
        raise _failed(f"the compound aggregation {compound.name!r}", known, f"it gives {result!r}, which is no number")
    return None if result is None else tidy(result)


def holds(condition: str, inputs: Iterable[NamedValue], of: str) -> bool:
    """Whether a condition is true; null is not. Refusal `calculation_failed` as for `computed`."""
    known = tuple(inputs)
    result = _result(condition, known, of)
    if result is not None and not isinstance(result, bool):
        raise _failed(of, known, f"it gives {result!r}, which is neither true nor false")
    return bool(result)


def _result(
    calculation: str,
    inputs: tuple[NamedValue, ...],
    of: str,
    functions: Mapping[str, Function] = FUNCTIONS,
    custom: Mapping[str, Scalar] = MappingProxyType({}),
) -> Scalar:
    try:
        return evaluate(_parsed(calculation), {**custom, **{each.name: each.value for each in inputs}}, functions)
    except CalculationError as error:
        raise _failed(of, inputs, str(error)) from error


def _failed(of: str, inputs: tuple[NamedValue, ...], why: str) -> Refusal:
    values = ", ".join(f"{each.name} = {'null' if each.value is None else f'{each.value:f}'}" for each in inputs)
    return Refusal("calculation_failed", f"{of} cannot be computed with {values}: {why}", field="calculation")
