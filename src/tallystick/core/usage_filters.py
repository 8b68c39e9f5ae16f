"""The usage that is charged, as a filter of what is measured: what a contract is about (source: reference 3.8), and
what the meter does not exclude.

Values that are included for one dimension are alternatives; different dimensions, and what is excluded, all hold
together. A measurement without the dimension is not included by any value, and not excluded by any
(docs/decisions/0140-contracts-on-bills.md).
"""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.core.contract import UsageFilter, UsageFilterMode
from tallystick.core.expression import MAX_LENGTH, Text, render
from tallystick.core.meter import Meter
from tallystick.errors import Refusal


def narrowed(filter: str | None, by: Iterable[UsageFilter], meter: Meter) -> str | None:
    """The filter of an aggregation, narrowed to the usage of a contract and to what the meter does not exclude; None
    when everything counts.

    Refusal `rule_broken` when they are together longer than a filter may be.
    """
    conditions = [] if filter is None else [f"({filter})"]
    if meter.exclude_filter is not None:
        conditions.append(not_excluded(meter.exclude_filter))
    included: dict[str, list[str]] = {}
    excluded: dict[str, list[str]] = {}
    for each in by:
        values = included if each.mode is UsageFilterMode.INCLUDE else excluded
        values.setdefault(each.dimension_code, []).append(each.value)
    for code, values_ in included.items():
        conditions.append(_one_of(code, values_) if _has(meter, code) else "false")
    for code, values_ in excluded.items():
        if _has(meter, code):
            conditions.append(f"NOT {_one_of(code, values_)}")
    if len(conditions) == (0 if filter is None else 1):
        return filter
    text = " AND ".join(conditions)
    if len(text) > MAX_LENGTH:
        raise Refusal(
            "rule_broken",
            "usageFilters: with the filter of the aggregation and the rule of the meter they make "
            f"{len(text)} characters; at most {MAX_LENGTH}",
            field="usageFilters",
        )
    return text


def not_excluded(rule: str) -> str:
    """The condition that an exclusion rule is not true of a measurement. A comparison with a field that
    is missing is false, as everywhere in the language."""
    return f"NOT ({rule})"


def _has(meter: Meter, code: str) -> bool:
    field = meter.field(code)
    return field is not None and not field.category.numeric


def _one_of(code: str, values: list[str]) -> str:
    texts = [_quoted(value) for value in dict.fromkeys(values)]
    return f"{code} == {texts[0]}" if len(texts) == 1 else f"IN({code}, {', '.join(texts)})"


def _quoted(value: str) -> str:
    return render(Text(value))
