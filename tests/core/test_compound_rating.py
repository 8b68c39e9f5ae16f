"""Compound aggregations on a bill: a formula over exact base values. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_world import Answerer, Event, World, amounts, at, bands, by_field, lines_of, measured, summing
from tallystick.core.aggregation import Measured, Method, Question, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.explain import explain_line
from tallystick.core.rating import questions
from tallystick.core.working import Computed
from tallystick.errors import Refusal

FREE = "aggregation.requests - 100 * aggregation.apps"


def hosting(calculation: str = FREE, price: str = "0.01", **compound: object) -> World:
    """Requests and the most applications that were hosted at a time, priced by a formula over both."""
    world = World()
    meter = world.meter("hosting", ("requests", "apps"))
    world.aggregation("requests", meter, target_field="requests", quantity_per_unit=Decimal(1000))
    world.aggregation("apps", meter, target_field="apps", aggregation=Method.MAX, rounding=UnitRounding.UP)
    found = world.compound("Billable requests", calculation, **compound)
    world.plan()
    world.pricing("price", bands((0, price)), compound_aggregation_id=found.id)
    world.account()
    world.account_plan()
    return world


@pytest.mark.parametrize(
    ("requests", "apps", "quantity", "amount"),
    [
        (1000, 3, "700", "7.00"),  # 3 apps give 300 free
        (1000, 5, "500", "5.00"),  # a peak of 5 gives 500 free
        (300, 3, "0", "0.00"),
        (200, 3, "-100", "-1.00"),  # what is below zero is a credit: price(-q) = -price(q)
    ],
)
def test_requests_less_100_free_per_hosted_application(requests: int, apps: int, quantity: str, amount: str) -> None:
    (line,) = lines_of(hosting().terms("2023-03-05"), by_field(requests=requests, apps=apps))
    assert (line.item.quantity, str(line.item.subtotal)) == (Decimal(quantity), amount)


def test_formula_may_stop_at_zero() -> None:
    world = hosting(f"Math.max({FREE}, 0)")
    (line,) = lines_of(world.terms("2023-03-05"), by_field(requests=200, apps=3))
    assert (line.item.quantity, str(line.item.subtotal)) == (Decimal(0), "0.00")


def test_inputs_count_with_their_exact_values_not_with_their_units() -> None:
    """The aggregation divides by 1,000; the formula does not see that. The compound's own unit and rounding count."""
    world = hosting("aggregation.requests", price="1", quantity_per_unit=Decimal(400), rounding=UnitRounding.UP)
    (line,) = lines_of(world.terms("2023-03-05"), by_field(requests=1001))
    assert (line.item.quantity, line.item.units, str(line.item.subtotal)) == (Decimal(1001), Decimal(3), "3.00")


def test_line_names_the_compound_aggregation_and_no_simple_one() -> None:
    world = hosting()
    (line,) = lines_of(world.terms("2023-03-05"), by_field(requests=1000, apps=3))
    (compound,) = world.of(CompoundAggregation)
    item = line.item
    assert (item.compound_aggregation_id, item.aggregation_id, item.meter_id) == (compound, None, None)
    assert item.description == "Billable requests"


@pytest.mark.parametrize(
    ("null", "default", "used", "expected"),
    [
        (False, None, {"requests": 1000}, None),  # no application: no value, no line
        (False, None, {}, None),
        (False, 0, {"requests": 1000}, "10.00"),
        (False, 2, {"requests": 1000}, "8.00"),
        (True, None, {"requests": 1000}, None),  # 1000 - 100 x null is null
        (True, 0, {"requests": 1000}, "10.00"),
    ],
)
def test_null_rules(null: bool, default: int | None, used: dict[str, int], expected: str | None) -> None:
    world = hosting(evaluate_null_aggregations=null)
    if default is not None:
        world.aggregation("apps", target_field="apps", aggregation=Method.MAX, default_value=Decimal(default))
    lines = lines_of(world.terms("2023-03-05"), by_field(**used))
    assert [str(line.item.subtotal) for line in lines] == ([] if expected is None else [expected])


def test_calculation_may_deal_with_null_itself() -> None:
    world = hosting("aggregation.requests - 100 * isnull(aggregation.apps, 1)", evaluate_null_aggregations=True)
    assert amounts(lines_of(world.terms("2023-03-05"), by_field(requests=1000))) == [
        ("USAGE", "Billable requests", "9.00")
    ]


def test_calculation_without_a_result_fails_the_bill_and_says_why() -> None:
    world = hosting("aggregation.requests / aggregation.apps")
    with pytest.raises(Refusal, match=r"'Billable requests'.*apps = 0, aggregation.requests = 7.*division") as caught:
        lines_of(world.terms("2023-03-05"), by_field(requests=7, apps=0))
    assert caught.value.code.name == "calculation_failed"


def test_each_input_is_asked_as_one_over_the_window() -> None:
    asked = questions(hosting().terms("2023-03-05"), 7)
    assert [(each.field, each.method, each.segmented_fields) for each in asked] == [
        ("apps", Method.MAX, ()),
        ("requests", Method.SUM, ()),
    ]


def test_bands_that_span_the_plan_count_the_results_of_the_periods_before() -> None:
    """January gives 800 - 100 = 700, February 900 - 200 = 700: of 1,000 at 1.00, 300 are left; then 0.50."""
    world = hosting()
    (compound,) = world.of(CompoundAggregation)
    tiers = bands((0, "1.00"), (1000, "0.50"))
    world.pricing("price", tiers, compound_aggregation_id=compound, cumulative=True, tiers_span_plan=True)
    used = {"requests": {1: 800, 2: 900}, "apps": {1: 1, 2: 2}}

    def answer(question: Question) -> list[Measured]:
        (value,) = [used[question.field][month] for month in (1, 2) if month == question.period.start.month]
        return [measured(question, value)]

    (line,) = lines_of(world.terms("2023-02-05"), answer)
    assert (line.item.units, str(line.item.subtotal)) == (Decimal(700), "500.00")


def test_price_change_splits_the_window_of_every_input() -> None:
    world = hosting("aggregation.requests")
    (compound,) = world.of(CompoundAggregation)
    world.pricing("price", bands((0, "1")), compound_aggregation_id=compound, end_date=at("2023-03-11"))
    world.pricing("new", bands((0, "2")), compound_aggregation_id=compound, start_date=at("2023-03-11"))
    used: Answerer = summing([Event(at("2023-03-10"), Decimal(3)), Event(at("2023-03-11"), Decimal(5))])
    assert [each[2] for each in amounts(lines_of(world.terms("2023-03-05"), used))] == ["3.00", "10.00"]


def test_explanation_shows_the_formula_and_its_values() -> None:
    (line,) = lines_of(hosting().terms("2023-03-05"), by_field(requests=1000, apps=3))
    assert isinstance(line.working[0], Computed)
    explained = explain_line(line.item, line.working)
    assert explained.sentence == "700 units of Billable requests: 700 × 0.01 = 7.00, which is 7.00 USD"
    assert explained.steps[0] == (
        "aggregation.requests - 100 * aggregation.apps from 2023-03-01 up to 2023-04-01, "
        "with aggregation.apps = 3, aggregation.requests = 1,000: 700."
    )
