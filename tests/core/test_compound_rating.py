"""Compound aggregations on a bill: a formula over exact base values. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing_world import Answerer, Event, World, amounts, at, bands, by_field, lines_of, measured, number, summing
from tallystick.core.aggregation import Measured, Method, Question, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.explain import explain_line
from tallystick.core.price_forms import Rate
from tallystick.core.rating import questions
from tallystick.core.scope import shared_segments
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


# ------------------------------------------------------------------------------------------------------ segments


def by_region(fields: dict[str, tuple[str, ...]] | None = None, **pricings: dict[str, Any]) -> World:
    """Requests less 100 free per application, in each region, with prices by segment."""
    world = World()
    meter = world.meter("hosting", ("requests", "apps"), ("region", "tier"))
    split = fields or {"requests": ("region",), "apps": ("region",)}
    world.aggregation("requests", meter, target_field="requests", segmented_fields=split["requests"])
    world.aggregation(
        "apps",
        meter,
        target_field="apps",
        aggregation=Method.MAX,
        segmented_fields=split["apps"],
        default_value=Decimal(0),
    )
    found = world.compound("Billable", FREE)
    world.plan()
    for name, given in pricings.items():
        own = given.pop("pricing_bands", bands((0, given.pop("price"))) if "price" in given else ())
        world.pricing(name, own, compound_aggregation_id=found.id, **given)
    world.account()
    world.account_plan()
    return world


def in_regions(**used: dict[str, object]) -> Answerer:
    """Values of each field by segment, written `EU` or `EU/pro`; where all are asked as one, their sum."""

    def answer(question: Question) -> list[Measured]:
        values = {tuple(segment.split("/")): number(value) for segment, value in used.get(question.field, {}).items()}
        if not question.segmented_fields:
            return [measured(question, sum(values.values()), count=len(values))] if values else []
        return [measured(question, value, segment=segment) for segment, value in values.items()]

    return answer


USED = in_regions(requests={"EU": 1000, "US": 800, "BR": 50}, apps={"EU": 3, "US": 1})


@pytest.mark.parametrize(
    ("pricings", "expected"),
    [
        # EU 1000 - 300, US 800 - 100, BR 50 - 0.
        ({"eu": {"segment": {"region": "EU"}, "price": 1}}, [("Billable (EU)", "700.00")]),
        (
            {"eu": {"segment": {"region": "EU"}, "price": 1}, "any": {"segment": {"region": "*"}, "price": 2}},
            [("Billable (BR)", "100.00"), ("Billable (EU)", "700.00"), ("Billable (US)", "1400.00")],
        ),
        (
            {"eu": {"segment": {"region": "EU"}, "price": 1}, "rest": {"price": 3}},
            [("Billable (BR)", "150.00"), ("Billable (EU)", "700.00"), ("Billable (US)", "2100.00")],
        ),
        ({"all": {"price": 1}}, [("Billable", "1450.00")]),  # 1850 - 100 × 4: as one, with all that is MAX of all
        (
            {
                "rates": {
                    "rates": (Rate(dimensions={"region": "EU"}, unit_price=Decimal(2)),),
                    "default_unit_price": Decimal(1),
                }
            },
            [("Billable (BR)", "50.00"), ("Billable (EU)", "1400.00"), ("Billable (US)", "700.00")],
        ),
        # The default of apps stands in for a segment that is named; without requests there is nothing to compute.
        ({"cn": {"segment": {"region": "CN"}, "price": 1}}, []),
    ],
)
def test_prices_by_segment(pricings: dict[str, dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    world = by_region(**{name: dict(given) for name, given in pricings.items()})
    lines = lines_of(world.terms("2023-03-05"), USED)
    assert [(line.item.description, str(line.item.subtotal)) for line in lines] == expected


def test_a_line_of_a_segment_names_it_and_explains_itself() -> None:
    world = by_region(eu={"segment": {"region": "EU"}, "price": "0.01"})
    (line,) = lines_of(world.terms("2023-03-05"), USED)
    assert line.item.segment == {"region": "EU"}
    assert explain_line(line.item, line.working).steps[0] == (
        f"{FREE} where region = EU from 2023-03-01 up to 2023-04-01, "
        "with aggregation.apps = 3, aggregation.requests = 1,000: 700."
    )


def test_segments_are_the_same_whatever_the_order_of_the_fields() -> None:
    fields = {"requests": ("region", "tier"), "apps": ("tier", "region")}
    world = by_region(fields, pro={"segment": {"region": "EU", "tier": "pro"}, "price": 1}, rest={"price": 2})
    asked = questions(world.terms("2023-03-05"), 7)
    # The first aggregation by code says the order, in which all are asked.
    assert {each.segmented_fields for each in asked} == {("tier", "region")}
    used = in_regions(requests={"pro/EU": 1000, "free/EU": 500}, apps={"pro/EU": 2})
    assert [each[1:] for each in amounts(lines_of(world.terms("2023-03-05"), used))] == [
        ("Billable (free, EU)", "1000.00"),
        ("Billable (pro, EU)", "800.00"),
    ]


def test_bands_that_span_the_plan_count_each_segment_on_its_own() -> None:
    tiers = {"pricing_bands": bands((0, 1), (1000, "0.5")), "cumulative": True, "tiers_span_plan": True}
    world = by_region(any={**tiers, "segment": {"region": "*"}})
    # Each month EU comes to 700 and US to 700: in February 300 are left at 1.00, then 400 at 0.50.
    lines = lines_of(world.terms("2023-02-05"), USED)
    assert [str(line.item.subtotal) for line in lines] == ["50.00", "500.00", "500.00"]


@pytest.mark.parametrize(
    ("split", "segments", "shared"),
    [
        ((("r",), ("r",)), (({"r": "a"}, {"r": "*"}), ({"r": "*"},)), ({"r": "a"}, {"r": "*"})),
        ((("r",), ("r",)), (({"r": "a"}, {"r": "b"}), ({"r": "b"},)), ({"r": "b"},)),
        ((("r", "t"), ("t", "r")), (({"r": "a", "t": "x"},), ({"t": "x", "r": "*"},)), ({"r": "a", "t": "x"},)),
        ((("r",), ("r", "t")), (({"r": "a"},), ({"r": "a", "t": "x"},)), ()),
        ((("r",), None), (({"r": "a"},), ()), ()),
    ],
)
def test_segments_that_aggregations_share(split: Any, segments: Any, shared: Any) -> None:
    world = World()
    meter = world.meter("m", ("calls",), ("r", "t"))
    both = [
        world.aggregation(name, meter, segmented_fields=split[place], segments=segments[place]).value
        for place, name in enumerate(("one", "two"))
    ]
    assert shared_segments(both) == shared
