"""Who charges what, and when: pricings of one aggregation share its usage without charging any of it twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, at, bands
from tallystick.core.catalog import Pricing, PricingType
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.scope import Piece, charges, matches, named, pattern_of, pieces_of

FIELDS = ("region", "level")


def two_fields(
    *prices: tuple[str, dict[str, str] | None, str, str | None, bool],
) -> tuple[list[Entity[Pricing]], tuple[str, ...]]:
    """(name, segment, start, end, on the plan?) of each pricing."""
    world = World()
    meter = world.meter("checks", ("calls",), FIELDS)
    world.aggregation("checks", meter, segmented_fields=FIELDS)
    template, plan = world.template(), world.plan()
    made = []
    for name, segment, start, end, on_plan in prices:
        owner: dict[str, Any] = {"plan_id": plan.id} if on_plan else {"plan_template_id": template.id}
        dates: dict[str, Any] = {"start_date": at(start), "end_date": at(end) if end else None}
        made.append(world.pricing(name, bands((0, 1)), segment=segment, **owner, **dates))
    return made, FIELDS


def shown(pieces: tuple[Piece, ...]) -> list[tuple[str, str, int]]:
    return [(piece.window.start.wire()[:10], piece.window.end.wire()[:10], len(piece.taken)) for piece in pieces]


@pytest.mark.parametrize(
    ("segment", "pattern", "found"),
    [
        ({"region": "EU", "level": "1"}, ("EU", "1"), ("EU", "1")),
        ({"region": "EU", "level": "*"}, ("EU", None), None),
        ({"region": "EU"}, ("EU", None), None),
        (None, (None, None), None),
    ],
)
def test_pattern_of_a_pricing(segment: dict[str, str] | None, pattern: tuple[str | None, ...], found: object) -> None:
    (pricing,), fields = two_fields(("p", segment, "2023-01-01", None, True))
    assert pattern_of(pricing.value, fields) == pattern
    assert named(pattern) == found


def test_what_names_more_goes_before_what_names_less() -> None:
    (every, europe, exact), fields = two_fields(
        ("every", None, "2023-01-01", None, True),
        ("europe", {"region": "EU", "level": "*"}, "2023-01-01", None, True),
        ("exact", {"region": "EU", "level": "1"}, "2023-01-01", None, True),
    )
    among = [every, europe, exact]
    assert shown(pieces_of(every, among, fields)) == [("2023-01-01", "9999-12-31", 2)]
    assert shown(pieces_of(europe, among, fields)) == [("2023-01-01", "9999-12-31", 1)]
    assert shown(pieces_of(exact, among, fields)) == [("2023-01-01", "9999-12-31", 0)]
    (piece,) = pieces_of(europe, among, fields)
    assert charges(piece, ("EU", None), ("EU", "2"))
    assert not charges(piece, ("EU", None), ("EU", "1"))
    assert not charges(piece, ("EU", None), ("US", "2"))


def test_wildcard_steps_back_only_while_the_named_segment_has_its_price() -> None:
    (every, exact), fields = two_fields(
        ("every", None, "2023-01-01", "2024-01-01", True),
        ("exact", {"region": "EU", "level": "1"}, "2023-03-01", "2023-06-01", True),
    )
    assert shown(pieces_of(every, [every, exact], fields)) == [
        ("2023-01-01", "2023-03-01", 0),
        ("2023-03-01", "2023-06-01", 1),
        ("2023-06-01", "2024-01-01", 0),
    ]


def test_change_of_a_named_price_does_not_cut_the_wildcard() -> None:
    segment = {"region": "EU", "level": "1"}
    (every, old, new), fields = two_fields(
        ("every", None, "2023-01-01", "2024-01-01", True),
        ("old", segment, "2023-01-01", "2023-06-01", True),
        ("new", segment, "2023-06-01", None, True),
    )
    assert shown(pieces_of(every, [every, old, new], fields)) == [("2023-01-01", "2024-01-01", 1)]


def test_plan_goes_before_template_and_the_later_start_before_the_earlier() -> None:
    (template, plan, later), fields = two_fields(
        ("template", None, "2023-01-01", None, False),
        ("plan", None, "2023-03-01", None, True),
        ("later", None, "2023-05-01", "2023-06-01", True),
    )
    among = [template, plan, later]
    assert shown(pieces_of(template, among, fields)) == [("2023-01-01", "2023-03-01", 0)]
    assert shown(pieces_of(plan, among, fields)) == [
        ("2023-03-01", "2023-05-01", 0),
        ("2023-06-01", "9999-12-31", 0),
    ]


def test_credits_do_not_compete_with_charges() -> None:
    world = World()
    world.aggregation("calls")
    world.plan()
    charge = world.pricing("charge", bands((0, 1)))
    credit = world.pricing("credit", bands((0, 1)), type=PricingType.PRODUCT_CREDIT)
    for each in (charge, credit):
        assert len(pieces_of(each, [charge, credit], ())) == 1


MONTHS = st.integers(1, 12)
WORDS = st.sampled_from(["a", "b", "*"])
RANDOM_PRICES = st.lists(
    st.tuples(
        st.none() | st.fixed_dictionaries({"region": WORDS, "level": WORDS}), MONTHS, st.none() | MONTHS, st.booleans()
    ),
    min_size=1,
    max_size=6,
)


def month(number: int) -> Instant:
    return at(f"2023-{number:02}-01")


@settings(max_examples=80, deadline=None)
@given(RANDOM_PRICES, MONTHS, st.sampled_from("ab"), st.sampled_from("abc"))
def test_each_segment_is_charged_once_wherever_some_pricing_stands_for_it(
    prices: list[tuple[dict[str, str] | None, int, int | None, bool]], when: int, region: str, level: str
) -> None:
    made, fields = two_fields(
        *(
            (str(index), segment, month(first).wire(), month(last).wire() if last and last > first else None, on_plan)
            for index, (segment, first, last, on_plan) in enumerate(prices)
        )
    )
    moment, segment = month(when), (region, level)

    def holds(window: tuple[Instant, Instant]) -> bool:
        return window[0] <= moment < window[1]

    charging = [
        pricing
        for pricing in made
        for piece in pieces_of(pricing, made, fields)
        if holds(piece.window) and charges(piece, pattern_of(pricing.value, fields), segment)
    ]
    standing = [
        pricing
        for pricing in made
        if pricing.value.start_date <= moment
        and (pricing.value.end_date is None or moment < pricing.value.end_date)
        and matches(pattern_of(pricing.value, fields), segment)
    ]
    assert len(charging) == (1 if standing else 0)
