"""What is asked of the usage store about an aggregation over a window, and whether windows can be asked as one."""

from __future__ import annotations

from tallystick.core.aggregation import Aggregation, Correlation, Method, Question, TimeUnit
from tallystick.core.period import Period, microseconds
from tallystick.core.plan_terms import Input
from tallystick.core.scope import Priceable
from tallystick.core.terms import AccountPlanTerms
from tallystick.core.usage_filters import narrowed

# Methods whose values over two windows add up to the value over both.
_ADDITIVE = frozenset({Method.SUM, Method.COUNT})
# Units of time that are equally long in every window: sums over them add up as well.
_MICROSECONDS = {TimeUnit.HOUR: 3_600_000_000, TimeUnit.DAY: 86_400_000_000}


def question_of(
    account_plan: AccountPlanTerms, measured: Input, window: Period, up_to: int, split: tuple[str, ...] = ()
) -> Question:
    """What is asked about an aggregation over a window, split by fields or as one."""
    aggregation, members = measured.aggregation.value, account_plan.members_at(window.start)
    whole = account_plan.grid.period_at(window.start) if aggregation.time_unit is TimeUnit.PERIOD else window
    return question_about(
        aggregation,
        window,
        up_to,
        whole=whole,
        accounts=tuple(each.id for each in members) or None,
        filter=narrowed(aggregation.filter, account_plan.usage_filters, measured.meter.value),
        split=split,
    )


def question_about(
    aggregation: Aggregation,
    window: Period,
    up_to: int,
    *,
    whole: Period,
    accounts: tuple[str, ...] | None = None,
    filter: str | None = None,
    split: tuple[str, ...] = (),
) -> Question:
    """What is asked about an aggregation whatever plan prices it. `whole` is the billing period that the window is in;
    `accounts` are measured as one."""
    return Question(
        accounts=accounts,
        pooled=bool(accounts),
        meter_id=aggregation.meter_id,
        method=aggregation.aggregation,
        field=aggregation.target_field,
        period=window,
        up_to=up_to,
        percentile=aggregation.percentile,
        filter=filter,
        segmented_fields=split,
        gauge=aggregation.gauge,
        gauge_field=aggregation.gauge_field,
        time_unit=_time_unit(aggregation, window, whole),
        correlation=_correlation(aggregation),
    )


def _correlation(aggregation: Aggregation) -> Correlation | None:
    if aggregation.correlation_field is None or aggregation.success_filter is None:
        return None
    seconds = aggregation.window_seconds
    return Correlation(
        field=aggregation.correlation_field,
        success=aggregation.success_filter,
        window=None if seconds is None else seconds * 1_000_000,
    )


def _time_unit(aggregation: Aggregation, window: Period, whole: Period) -> int | None:
    """How many microseconds a value of 1 must hold to be 1 in the answer; None where time plays no part."""
    if aggregation.aggregation is Method.TIME_WEIGHTED_MEAN:
        return microseconds(window)
    if aggregation.time_unit is TimeUnit.PERIOD:
        return microseconds(whole)
    return None if aggregation.time_unit is None else _MICROSECONDS[aggregation.time_unit]


def adds_up(priced: Priceable) -> bool:
    """Whether the time before a window can be asked about as one: a default value counts in every period anew, and
    so may whatever a calculation adds."""
    if not isinstance(priced, Aggregation) or priced.default_value is not None:
        return False
    if priced.aggregation is Method.CORRELATED_COUNT:  # a unit that may go on from one window to the next counts once
        return priced.window_seconds is not None
    return priced.aggregation in _ADDITIVE or priced.time_unit in _MICROSECONDS
