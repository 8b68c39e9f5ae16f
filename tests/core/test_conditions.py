"""Prices that hold on a condition: one meter's price by another meter's usage. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Event, World, amounts, at, bands, by_field, lines_of, summing
from tallystick.core.catalog import Pricing
from tallystick.core.explain import explain_line
from tallystick.core.rating import questions
from tallystick.core.scope import Piece
from tallystick.errors import Refusal

LARGE = "aggregation.storage > 100"


def cloud(**first: Any) -> World:
    """Compute at 2.00 an hour, at 1.50 when storage exceeds 100; storage itself costs nothing here."""
    world = World()
    meter = world.meter("cloud", ("compute", "storage"))
    compute = world.aggregation("compute", meter, target_field="compute")
    world.aggregation("storage", meter, target_field="storage")
    world.plan()
    world.pricing("list", bands((0, 2)), aggregation_id=compute.id)
    world.pricing("large", bands((0, "1.50")), aggregation_id=compute.id, **({"condition": LARGE} | first))
    world.account()
    world.account_plan()
    return world


def bill(world: World, **used: object) -> list[str]:
    return [each[2] for each in amounts(lines_of(world.terms("2023-03-10"), by_field(**used)))]


@pytest.mark.parametrize(
    ("storage", "amount"), [(99, "20.00"), (100, "20.00"), ("100.000001", "15.00"), (500, "15.00")]
)
def test_lower_price_when_storage_exceeds_a_threshold(storage: object, amount: str) -> None:
    assert bill(cloud(), compute=10, storage=storage) == [amount]


def test_what_was_not_measured_is_not_above_anything() -> None:
    assert bill(cloud(), compute=10) == ["20.00"]
    assert bill(cloud(), storage=500) == []


def test_first_condition_that_holds_by_order_charges() -> None:
    world = cloud(condition_order=2)
    (compute,) = {each.value.aggregation_id for each in world.of(Pricing).values()}
    huge = {"condition": "aggregation.storage > 1000", "condition_order": 1, "aggregation_id": compute}
    world.pricing("huge", bands((0, 1)), **huge)
    world.pricing(
        "never", bands((0, 9)), **{**huge, "condition": "1 > 2 AND aggregation.storage > 0", "condition_order": 0}
    )
    found = [bill(world, compute=10, storage=storage) for storage in (100, 101, 1000, 1001)]
    assert found == [["20.00"], ["15.00"], ["15.00"], ["10.00"]]


def test_without_an_unconditional_price_nothing_is_charged() -> None:
    world = cloud()
    (listed,) = [key for key in world.entities if key[0] == "pricing" and world.entities[key].value.condition is None]
    del world.entities[listed]
    assert [bill(world, compute=10, storage=storage) for storage in (100, 101)] == [[], ["15.00"]]


def test_condition_is_decided_for_the_whole_period_though_the_price_changes_inside_it() -> None:
    world = cloud(start_date=at("2023-03-11"))
    used = [("compute", "2023-03-05", 10), ("compute", "2023-03-20", 10)]
    events = {"compute": [Event(at(day), Decimal(value)) for _, day, value in used]}
    events["storage"] = [Event(at("2023-03-02"), Decimal(101))]
    found = lines_of(world.terms("2023-03-10"), lambda asked: summing(events[asked.field])(asked))
    assert [each[2] for each in amounts(found)] == ["20.00", "15.00"]
    asked = {(each.field, each.period.start.wire()[:10]) for each in questions(world.terms("2023-03-10"), 7)}
    assert ("storage", "2023-03-01") in asked


def test_segment_named_without_a_condition_wins_over_a_condition_for_all() -> None:
    world = World()
    meter = world.meter("cloud", ("compute", "storage"), ("region",))
    segments = ({"region": "EU"}, {"region": "*"})
    fields = {"segmented_fields": ("region",), "segments": segments}
    compute = world.aggregation("compute", meter, target_field="compute", **fields)
    world.aggregation("storage", meter, target_field="storage")
    world.plan()
    world.pricing("all", bands((0, 2)), aggregation_id=compute.id)
    world.pricing("eu", bands((0, 3)), aggregation_id=compute.id, segment=segments[0])
    world.pricing("large", bands((0, 1)), aggregation_id=compute.id, condition=LARGE)
    world.account()
    world.account_plan()
    events = {"compute": [Event(at("2023-03-05"), Decimal(10), (region,)) for region in ("EU", "US")]}
    for storage, expected in ((100, ["30.00", "20.00"]), (101, ["30.00", "10.00"])):
        events["storage"] = [Event(at("2023-03-05"), Decimal(storage))]
        lines = lines_of(world.terms("2023-03-10"), lambda asked: summing(events[asked.field])(asked))
        assert [each[2] for each in amounts(lines)] == expected


def test_condition_for_one_segment_leaves_the_others_to_the_price_for_all() -> None:
    world = World()
    meter = world.meter("cloud", ("compute", "storage"), ("region",))
    segments = ({"region": "EU"},)
    compute = world.aggregation(
        "compute", meter, target_field="compute", segmented_fields=("region",), segments=segments
    )
    world.aggregation("storage", meter, target_field="storage")
    world.plan()
    world.pricing("all", bands((0, 2)), aggregation_id=compute.id)
    world.pricing("eu", bands((0, 1)), aggregation_id=compute.id, segment=segments[0], condition=LARGE)
    world.account()
    world.account_plan()
    events = {"compute": [Event(at("2023-03-05"), Decimal(10), (region,)) for region in ("EU", "US")]}
    for storage, expected in ((100, ["20.00", "20.00"]), (101, ["10.00", "20.00"])):
        events["storage"] = [Event(at("2023-03-05"), Decimal(storage))]
        lines = lines_of(world.terms("2023-03-10"), lambda asked: summing(events[asked.field])(asked))
        assert [each[2] for each in amounts(lines)] == expected


def test_default_value_is_charged_once_at_the_price_that_holds() -> None:
    world = cloud()
    meter = world.meter("cloud", ("compute", "storage"))
    world.aggregation("compute", meter, target_field="compute", default_value=Decimal(4))
    assert [bill(world, storage=storage) for storage in (100, 101)] == [["8.00"], ["6.00"]]


def test_line_says_why_its_price_holds() -> None:
    (line,) = lines_of(cloud().terms("2023-03-10"), by_field(compute=10, storage=120))
    explained = explain_line(line.item, line.working)
    assert explained.sentence == (
        "10 units of compute: as aggregation.storage > 100, 10 × 1.50 = 15.00, which is 15.00 USD"
    )
    assert explained.steps[2] == (
        "This price holds as aggregation.storage > 100, from 2023-03-01 up to 2023-04-01, "
        "with aggregation.storage = 120."
    )


def test_condition_without_a_result_fails_the_bill() -> None:
    with pytest.raises(Refusal, match=r"aggregation.storage = 0.*division by zero") as caught:
        bill(cloud(condition="1 / aggregation.storage > 1"), compute=1, storage=0)
    assert caught.value.code.name == "calculation_failed"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=4))
def test_exactly_one_price_charges(storage: int, conditions: list[tuple[int, int]]) -> None:
    """However conditions overlap, the compute of 10 is charged once: by the first that holds, else the list price."""
    world = World()
    meter = world.meter("cloud", ("compute", "storage"))
    compute = world.aggregation("compute", meter, target_field="compute")
    world.aggregation("storage", meter, target_field="storage")
    world.plan()
    world.pricing("list", bands((0, 99)), aggregation_id=compute.id)
    for order, (threshold, price) in enumerate(conditions):
        condition = {"condition": f"aggregation.storage >= {threshold}", "condition_order": order}
        world.pricing(f"{order}", bands((0, price)), aggregation_id=compute.id, **condition)
    world.account()
    world.account_plan()
    expected = next((price for threshold, price in conditions if storage >= threshold), 99)
    assert bill(world, compute=10, storage=storage) == [f"{expected * 10}.00"]


def test_pieces_name_what_conditions_contest() -> None:
    world = cloud(start_date=at("2023-03-11"), end_date=at("2023-03-21"))
    prices = world.terms("2023-03-10").account_plans[0].plan.prices
    listed = next(each for each in prices if each.condition is None)
    assert [(piece.window.start.wire()[:10], len(piece.contested)) for piece in listed.pieces] == [
        ("2020-01-01", 0),
        ("2023-03-11", 1),
        ("2023-03-21", 0),
    ]
    assert all(isinstance(piece, Piece) and not piece.taken for piece in listed.pieces)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"condition_order": 1}, "conditionOrder: only with a condition"),
        ({"condition": LARGE, "minimum_spend": Decimal(1)}, "minimumSpend: not with a condition"),
        ({"condition": LARGE, "tiers_span_plan": True}, "tiersSpanPlan: not with a condition"),
    ],
)
def test_rules_of_one_pricing(given: dict[str, Any], rule: str) -> None:
    body = {
        "plan_id": "p" * 36,
        "aggregation_id": "a" * 36,
        "pricing_bands": bands((0, 1)),
        "start_date": at("2023-01-01"),
    }
    with pytest.raises(ValueError, match=rule):
        Pricing(**(body | given))
