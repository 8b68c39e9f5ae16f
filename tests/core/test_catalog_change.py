"""Changes of prices that are dated: before the moment what was, from it on what is wanted; again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from effort import drawing
from tallystick.core.aggregation import Method
from tallystick.core.catalog_change import Action, brought_forward, changes_of, dated, digest_of
from tallystick.core.catalog_entries import (
    AggregationEntry,
    BandEntry,
    CatalogEntries,
    MeterEntry,
    PlanEntry,
    PricingEntry,
)
from tallystick.core.catalog_parts import Key, put_together, taken_apart
from tallystick.core.entity import Value
from tallystick.core.period import Instant

Prices = list[tuple[int, int | None, int]]  # from a month, until a month, at so many cents


def month(number: int) -> Instant:
    return Instant.parse(f"{2020 + number // 12}-{number % 12 + 1:02}-01")


def price(start: int, end: int | None, cents: int, **more: Any) -> PricingEntry:
    bands = (BandEntry(lower_limit=Decimal(0), unit_price=Decimal(cents)),)
    until = None if end is None else month(end)
    return PricingEntry(aggregation="calls", start_date=month(start), end_date=until, pricing_bands=bands, **more)


def entries(prices: Prices, code: str = "basic", price_code: str | None = None) -> dict[Key, Value]:
    """A plan with these prices, taken apart."""
    pricings = tuple(price(*each, code=price_code) for each in prices)
    plan = PlanEntry(code=code, name=code, plan_template="t", pricings=pricings)
    return {each.key: each.entry for each in taken_apart(CatalogEntries(plans=(plan,)))}


def prices_of(of: Mapping[Key, Value]) -> Prices:
    found = []
    for each in of.values():
        if isinstance(each, PricingEntry):
            start, end = ((None if at is None else (at.year - 2020) * 12 + at.month - 1) for at in _span(each))
            assert start is not None
            found.append((start, end, int(each.pricing_bands[0].unit_price)))
    return sorted(found)


def _span(of: PricingEntry) -> tuple[Instant, Instant | None]:
    return of.start_date, of.end_date


def in_force(prices: Prices, at: int) -> int | None:
    """The price that holds in a month."""
    (found,) = [cents for start, end, cents in prices if start <= at and (end is None or at < end)] or [None]
    return found


CASES: dict[str, tuple[Prices, Prices, Prices]] = {
    # what there is, what is wanted, and what becomes of it in month 12
    "another price": ([(0, None, 10)], [(0, None, 15)], [(0, 12, 10), (12, None, 15)]),
    "the same": ([(0, None, 10)], [(0, None, 10)], [(0, None, 10)]),
    "no price": ([(0, None, 10)], [], [(0, 12, 10)]),
    "a first price": ([], [(0, None, 15)], [(12, None, 15)]),
    "over before": ([(0, 6, 10)], [], [(0, 6, 10)]),
    "back, before its day": ([(0, 12, 10), (12, None, 15)], [(0, None, 10)], [(0, None, 10)]),
    "a later one is let be": ([(0, None, 10)], [(0, 20, 10), (20, None, 15)], [(0, 20, 10), (20, None, 15)]),
    "a scheduled one is taken back": ([(0, 20, 10), (20, None, 15)], [(0, None, 12)], [(0, 12, 10), (12, None, 12)]),
    "the past is let be": ([(0, 6, 9), (6, None, 10)], [(0, None, 10)], [(0, 6, 9), (6, None, 10)]),
}


def test_prices_are_dated_as_worked_out_by_hand() -> None:
    for name, (current, wanted, expected) in CASES.items():
        assert prices_of(dated(entries(current), entries(wanted), month(12))) == expected, name


def test_the_prices_of_a_new_plan_are_as_they_are_written_and_those_of_a_plan_that_goes_go() -> None:
    new, old = entries([(0, None, 15)], "new"), entries([(0, None, 10)])
    assert dated(old, new, month(12)) == new


def test_what_the_prices_before_are_of_stays() -> None:
    """Nobody wants calls any more, nor what they are counted from; the price that holds until then is of them."""
    counted = AggregationEntry(
        code="calls", name="Calls", meter="m", target_field="x", aggregation=Method.SUM, unit="u"
    )
    meters = [MeterEntry(code=code, name=code, data_fields=()) for code in ("m", "n")]
    named: dict[Key, Value] = {Key("aggregations", ("calls",)): counted}
    named |= {Key("meters", (each.code,)): each for each in meters}
    made = dated({**entries([(0, None, 10)]), **named}, entries([]), month(12))
    assert sorted(str(key) for key in made if key.section in {"aggregations", "meters"}) == [
        "aggregations calls",
        "meters m",
    ]


def test_a_price_that_is_followed_keeps_its_code_and_the_next_has_none() -> None:
    made = dated(entries([(0, None, 10)], price_code="p"), entries([(0, None, 15)], price_code="p"), month(12))
    codes = {each.start_date: each.code for each in made.values() if isinstance(each, PricingEntry)}
    assert codes == {month(0): "p", month(12): None}


def test_what_follows_tells_what_it_has_other_than_the_one_before() -> None:
    current = entries([(0, None, 10)])
    end, begin = changes_of(current, dated(current, entries([(0, None, 15)]), month(12)), is_dated=True)
    assert (end.action, [(each.field, each.after) for each in end.fields]) == (
        Action.UPDATE,
        [("endDate", "2021-01-01T00:00:00Z")],
    )
    assert (begin.action, begin.succeeds) == (Action.CREATE, True)
    assert [(each.field, each.before, each.after) for each in begin.fields] == [
        ("pricingBands[0].unitPrice", "10", "15")
    ]


def test_what_is_announced_is_simulated_as_though_it_held() -> None:
    current = entries([(0, None, 10)])
    for wanted, expected in (
        ([(0, 20, 10), (20, None, 15)], [(0, None, 15)]),
        ([(0, 20, 10), (20, 30, 15), (30, None, 20)], [(0, None, 15)]),  # the next of them
        ([(0, None, 12)], [(0, None, 12)]),
        ([(0, 6, 10), (6, None, 12)], [(0, 6, 10), (6, None, 12)]),  # it held in the period as it is
    ):
        assert prices_of(brought_forward(current, entries(wanted), month(12))) == expected
    scheduled = entries([(0, 20, 10), (20, None, 15)])
    assert brought_forward(scheduled, scheduled, month(12)) == scheduled, "what is there already is no news"


@st.composite
def timelines(draw: st.DrawFn) -> Prices:
    """Prices that follow one another, with gaps, in two years."""
    edges = draw(st.lists(st.integers(0, 24), max_size=5, unique=True).map(sorted))
    made: Prices = [(start, end, draw(st.integers(1, 3))) for start, end in pairwise(edges) if draw(st.integers(0, 3))]
    if edges and draw(st.booleans()):
        made.append((edges[-1], None, draw(st.integers(1, 3))))
    return made


@settings(**drawing(60))
@given(timelines(), timelines(), st.integers(0, 24))
def test_before_the_moment_what_was_and_after_it_what_is_wanted(current: Prices, wanted: Prices, at: int) -> None:
    before, after = entries(current), entries(wanted)
    made = dated(before, after, month(at))
    found = prices_of(made)
    assert all(end is not None and end <= start for (_, end, _), (start, _, _) in pairwise(found)), "none overlap"
    for each in range(30):
        assert in_force(found, each) == in_force(current if each < at else wanted, each), each
    assert dated(made, after, month(at)) == made, "to do it again changes nothing"
    assert dated(made, before, month(at)) == dated(before, before, month(at)), "and it can be taken back"


@settings(**drawing(30))
@given(timelines(), timelines())
def test_a_catalogue_is_put_together_of_what_it_is_taken_apart_into(one: Prices, other: Prices) -> None:
    made = entries(one) | entries(other, "other")
    again = {each.key: each.entry for each in taken_apart(put_together(made))}
    assert (again, digest_of(again)) == (made, digest_of(made))
    assert changes_of(made, again) == ()
    assert bool(changes_of(entries(one), entries(other))) == (entries(one) != entries(other))
