"""A line in words, with the very numbers that were calculated."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_world import World, always, at, bands, lines_of, measured
from golden_bills import STORIES, Story
from tallystick.core import wire
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.core.bill import LineItem
from tallystick.core.explain import explain_line, money, number
from tallystick.core.quantity import plain
from tallystick.core.working import Working


@pytest.mark.parametrize(
    ("value", "as_number", "as_money"),
    [
        ("18059974", "18,059,974", "18,059,974.00"),
        ("0.000001", "0.000001", "0.000001"),
        ("-1234.5", "-1,234.5", "-1,234.50"),
        ("-0.5", "-0.5", "-0.50"),
        ("1E+3", "1,000", "1,000.00"),
        ("250.00", "250", "250.00"),
        ("0." + "3" * 50, "0.333333333333…", "0.333333333333…"),
    ],
)
def test_numbers_are_written_out(value: str, as_number: str, as_money: str) -> None:
    assert (number(Decimal(value)), money(Decimal(value))) == (as_number, as_money)


def sentence_of(story_name: str, line: int = 0) -> str:
    story = next(each for each in STORIES if each.name == story_name)
    rated = story.bill()[1][line]
    return explain_line(rated.item, rated.working).sentence


def test_sentence_of_a_tiered_line() -> None:
    assert sentence_of("tokens_code", 1) == (
        "18.059974 units of Input tokens (18,059,974 ÷ 1,000,000): 10 × 3.00 = 30.00, 8.059974 × 2.50 = 20.149935, "
        "together 50.149935, rounded HALF_UP to 50.15 USD"
    )


def test_sentences_of_charges() -> None:
    assert sentence_of("fee_april") == "Standing Charge: 500.00 × 15/30 days = 250.00, which is 250.00 USD"
    assert sentence_of("minimum_missed", 1) == (
        "API Minimum Spend Adjustment: 10,000.00 for 2023-03-01 to 2023-04-01, less 7,500.00 of charges leaves "
        "2,500.00, which is 2,500.00 USD"
    )


def test_mean_default_and_segment_are_told() -> None:
    world = World()
    meter = world.meter("requests", ("calls",), ("region",))
    world.aggregation(
        "calls",
        meter,
        aggregation=Method.MEAN,
        segmented_fields=("region",),
        default_value=Decimal(2),
        rounding=UnitRounding.UP,
    )
    world.plan()
    world.pricing("price", bands((0, 1)), segment={"region": "EU"})
    world.account()
    world.account_plan()
    terms = world.terms("2023-03-05")
    (told,) = lines_of(terms, lambda asked: [measured(asked, 10, count=4, segment=("EU",))])
    assert explain_line(told.item, told.working).steps[0] == (
        "MEAN of calls of the meter requests where region = EU, 4 measurements from 2023-03-01 up to 2023-04-01: "
        "10 ÷ 4 = 2.5 calls."
    )
    (default,) = lines_of(terms, always(None))
    explained = explain_line(default.item, default.working)
    assert explained.sentence.startswith("2 units of calls (EU) (the default, as nothing was measured): 2 × 1.00")
    assert "the default value 2 stands in" in explained.steps[0]


def test_time_of_day_is_told_where_there_is_one() -> None:
    world = World()
    world.template(standing_charge=Decimal(31))
    world.plan()
    world.account()
    world.account_plan(start="2023-03-11T09:30:00Z")
    (line,) = lines_of(world.terms("2023-03-15"), always(None))
    assert "(2023-03-11T09:30:00Z up to 2023-04-01)" in explain_line(line.item, line.working).steps[0]
    assert line.item.service_period_start_date == at("2023-03-11T09:30:00Z")


@pytest.mark.parametrize("story", [pytest.param(story, id=story.name) for story in STORIES])
def test_explanation_of_a_stored_line_is_that_of_the_fresh_one_and_ends_with_its_amount(story: Story) -> None:
    for line in story.bill()[1]:
        item = wire.decode(LineItem, wire.encode(line.item))
        working = wire.decode(Working, wire.encode(line.working))
        explanation = explain_line(item, working)
        assert explanation == explain_line(line.item, line.working)
        assert explanation.sentence.endswith(f"{line.item.converted_subtotal:,f} {explanation.sentence.split()[-1]}")
        assert len(explanation.steps) == len(line.working)
        assert plain(line.item.converted_subtotal) in explanation.steps[-1].replace(",", "")
