"""How many measurements are small or large, and what they add up to: on every store as reckoned one by one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from usage_examples import D, Tenant, numbers, usage

from tallystick.core.aggregation import EventBounds, EventTally, Measured
from tallystick.core.quantity import subtract, tidy, total

STEP = D("0.000000000000000001")
TOP = D("99999999999999999999.999999999999999999")
BOUNDS = EventBounds(low=D(10), high=D(100))


def tally(events: int, small: tuple[int, object], large: tuple[int, object]) -> EventTally:
    return EventTally(
        events=events, small=small[0], small_total=D(str(small[1])), large=large[0], large_total=D(str(large[1]))
    )


@pytest.mark.parametrize(
    ("values", "bounds", "found"),
    [
        ((5, 10, 50, 100, 200), BOUNDS, tally(5, (1, 5), (1, 200))),
        ((10 - STEP, 10, 100, 100 + STEP), BOUNDS, tally(4, (1, 10 - STEP), (1, 100 + STEP))),
        ((5, -5, 7), BOUNDS, tally(1, (1, 7), (0, 0))),  # one below zero takes one back
        ((-5, -50, -200), BOUNDS, tally(-3, (-1, -5), (-1, -200))),
        ((0,), BOUNDS, tally(1, (1, 0), (0, 0))),
        ((1, 1000), EventBounds(low=None, high=None), tally(2, (0, 0), (0, 0))),
        ((TOP, TOP, TOP.copy_negate()), EventBounds(low=None, high=subtract(TOP, STEP)), tally(1, (0, 0), (1, TOP))),
        ((TOP,), EventBounds(low=D("1E20"), high=D("1E20")), tally(1, (1, TOP), (0, 0))),
    ],
)
def test_small_and_large_measurements(
    tenant: Tenant, values: tuple[Decimal, ...], bounds: EventBounds, found: EventTally
) -> None:
    tenant.add(*numbers(*values))
    (answer,) = tenant.measure("SUM", bounds=bounds)
    added = tidy(total(D(value) for value in values))
    assert answer == Measured(account_id="ada", total=added, count=len(values), tally=found)


def test_tally_of_each_segment_and_of_a_pool(tenant: Tenant) -> None:
    for account, region, value in (("ada", "eu", 5), ("bob", "eu", 500), ("bob", "us", 50)):
        tenant.add(usage({"bytes": value, "region": region}, account=account))
    by_segment = tenant.measure("SUM", by=("region",), accounts=("ada", "bob"), pooled=True, bounds=BOUNDS)
    assert [(each.account_id, each.segment, each.total, each.tally) for each in by_segment] == [
        ("ada", ("eu",), 505, tally(2, (1, 5), (1, 500))),
        ("ada", ("us",), 50, tally(1, (0, 0), (0, 0))),
    ]


def test_tally_where_only_python_can_compute_the_filter(tenant: Tenant) -> None:
    tenant.add(*numbers(5, 50, 500))
    filter_ = "bytes * 0.00000000000000000000000001 > 0 AND bytes > 5"
    (answer,) = tenant.measure("SUM", where=filter_, bounds=BOUNDS)
    assert answer.tally == tally(2, (0, 0), (1, 500))


sizes = st.decimals(-2000, 2000, places=18) | st.sampled_from([D(10), D(-10), D(100), D(-100), 10 - STEP, 100 + STEP])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(sizes, min_size=1, max_size=8), st.data())
def test_tally_is_as_reckoned_one_by_one(tenant: Tenant, values: list[Decimal], data: st.DataObject) -> None:
    low, high = sorted((data.draw(sizes).copy_abs(), data.draw(sizes).copy_abs()))
    fresh = Tenant(tenant.store)
    fresh.add(*numbers(*values))
    (answer,) = fresh.measure("SUM", bounds=EventBounds(low=low, high=high))
    sign = [1 if value >= 0 else -1 for value in values]
    small = [index for index, value in enumerate(values) if -low < value < low]
    large = [index for index, value in enumerate(values) if value > high or value < -high]
    assert answer.tally == EventTally(
        events=sum(sign),
        small=sum(sign[index] for index in small),
        small_total=sum((values[index] for index in small), D(0)),
        large=sum(sign[index] for index in large),
        large_total=sum((values[index] for index in large), D(0)),
    )
