"""What holds whenever credit is drawn, whatever is charged and held."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Event, World, at, bands, summing
from credit_world import balance, commitment, drawn_of, rated, terms_on
from tallystick.core.credit import cuts_of
from tallystick.core.lines import RatedLine
from tallystick.core.organization import CurrencyConversion
from tallystick.core.portion import net, portions_of
from tallystick.core.quantity import total
from tallystick.core.terms import Terms

moderate = settings(max_examples=60, deadline=None)

events = st.lists(
    st.builds(
        lambda hour, cents: Event(at(f"2023-02-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"), Decimal(cents) / 100),
        st.integers(0, 24 * 28 - 1),
        st.integers(0, 100_000),
    ),
    max_size=20,
)
days = st.integers(1, 27)
held = st.lists(
    st.tuples(
        days,
        days,
        st.integers(0, 40_000),
        st.sampled_from(["USD", "EUR", "CRD"]),
        st.sampled_from([None, -10, 5]),
        st.booleans(),
    ),
    max_size=4,
)


def world_of(credits_: Sequence[tuple[int, int, int, str, int | None, bool]], *, cumulative: bool = True) -> World:
    """A fee, tiered usage in USD billed in EUR, a minimum, and credit that covers parts of February."""
    world = World()
    world.currency("EUR", 2)
    world.currency("CRD", 0)
    rates = (("USD", "EUR", "0.913"), ("CRD", "EUR", "0.07"))
    world.config(
        currency_conversions=tuple(
            CurrencyConversion(from_=from_, to=to, multiplier=Decimal(rate)) for from_, to, rate in rates
        )
    )
    world.template(standing_charge=Decimal("19.99"), minimum_spend=Decimal(300))
    world.aggregation("calls", quantity_per_unit=Decimal(3))
    world.plan()
    overage = {"overage_pricing_bands": bands((0, "0.9"), (10, "0.7"))} if cumulative else {}
    world.pricing("price", bands((0, "0.50"), (50, "0.40", 2), (400, "0.3")), cumulative=cumulative, **overage)
    world.account(currency="EUR")
    world.account_plan(start="2023-02-03")
    for number, (start, length, _, currency, percent, separate) in enumerate(credits_):
        surcharge = None if percent is None else Decimal(percent)
        if separate and surcharge is None:
            commitment(world, f"c{number}", amount=Decimal(40_000), currency=currency, separate_overage_usage=True)
            continue
        end = min(start + length, 28)
        balance(
            world,
            f"b{number}",
            currency=currency,
            start_date=at(f"2023-02-{start:02}T05:00:00Z"),
            end_date=at(f"2023-02-{end:02}T17:00:00Z"),
            overage_surcharge_percent=surcharge,
            rollover_end_date=at("2023-03-01") if separate else None,
            rollover_amount=Decimal(20) if separate else None,
        )
    return world


def there(terms: Terms, credits_: Sequence[tuple[int, int, int, str, int | None, bool]]) -> dict[str, Decimal]:
    """What there is of each credit, in the order they were made."""
    made = sorted(terms.credits, key=lambda each: each.id)
    return {each.id: Decimal(credits_[number % len(credits_)][2]) / 10 for number, each in enumerate(made)}


def billed(lines: Sequence[RatedLine]) -> Decimal:
    return total(line.item.converted_subtotal for line in lines)


@moderate
@given(events, held)
def test_portions_of_a_line_add_up_to_it_to_the_cent(
    used: list[Event], credits_: list[tuple[int, int, int, str, int | None, bool]]
) -> None:
    terms = terms_on(world_of(credits_), "2023-02-05")
    lines = rated(terms, summing(used))
    portions = portions_of(lines, terms)
    for line in lines:
        mine = [each for each in portions if each.line is line]
        assert total(each.left for each in mine) == line.item.subtotal
        assert total(each.billed for each in mine) == line.item.converted_subtotal
        assert [each.start for each in mine[1:]] == [each.end for each in mine[:-1]]
        assert all(each.billed >= 0 for each in mine) or line.item.converted_subtotal < 0
    edges = cuts_of(terms.credits, terms.period)
    assert all(not each.start < edge < each.end for each in portions for edge in edges if each.line.parts)


@moderate
@given(events, held, st.booleans())
def test_no_credit_pays_more_than_there_is_or_than_is_charged(
    used: list[Event], credits_: list[tuple[int, int, int, str, int | None, bool]], cumulative: bool
) -> None:
    terms = terms_on(world_of(credits_, cumulative=cumulative), "2023-02-05")
    lines = rated(terms, summing(used))
    openings = there(terms, credits_)
    outcome = drawn_of(terms, lines, openings)
    for credit in terms.credits:
        taken = total(draw.amount for draw in outcome.draws if draw.credit_id == credit.id)
        rolled = total(draw.amount for draw in outcome.draws if draw.credit_id == credit.id and draw.from_rollover)
        assert 0 <= taken <= openings[credit.id]
        assert rolled <= 20
    consumed = [line for line in outcome.lines if line.item.line_item_type.endswith("_CONSUMED")]
    assert -billed(consumed) <= billed([line for line in lines if line.item.converted_subtotal > 0])
    assert len({line.item.id for line in outcome.lines}) == len(outcome.lines)
    assert [line.item.sequence_number for line in outcome.lines] == list(range(1, len(outcome.lines) + 1))


@moderate
@given(events, held)
def test_without_overage_rules_credit_only_moves_who_pays(
    used: list[Event], credits_: list[tuple[int, int, int, str, int | None, bool]]
) -> None:
    """What is charged is what credit pays and what is left to pay, to the cent."""
    plain = [
        (start, length, amount, currency, 0, separate) for start, length, amount, currency, _, separate in credits_
    ]
    terms = terms_on(world_of(plain, cumulative=False), "2023-02-05")
    lines = rated(terms, summing(used))
    outcome = drawn_of(terms, lines, there(terms, plain))
    consumed = [line for line in outcome.lines if line.item.line_item_type.endswith("_CONSUMED")]
    assert billed(lines) == billed(outcome.lines) - billed(consumed)
    assert billed(outcome.lines) >= 0


@moderate
@given(events, held)
def test_drawing_twice_gives_the_same(
    used: list[Event], credits_: list[tuple[int, int, int, str, int | None, bool]]
) -> None:
    terms = terms_on(world_of(credits_), "2023-02-05")
    lines = rated(terms, summing(used))
    once, again = (drawn_of(terms, lines, there(terms, credits_)) for _ in range(2))
    assert once == again


@moderate
@given(st.lists(st.integers(-5_000, 5_000), min_size=2, max_size=6))
def test_what_is_given_back_comes_off_the_charges_first(cents: list[int]) -> None:
    """Charges and gifts of one product: credit finds what is left of the charges, never less than nothing."""
    world = World()
    world.aggregation("calls")
    world.plan()
    for number, each in enumerate(cents):
        aggregation = world.aggregation(f"calls {number}", target_field="calls")
        world.pricing(f"price {number}", bands((0, Decimal(each) / 100)), aggregation_id=aggregation.id)
    world.account()
    world.account_plan()
    balance(world)
    terms = terms_on(world, "2023-02-05")
    portions = portions_of(rated(terms, summing([Event(at("2023-02-03"), Decimal(1))])), terms)
    net(portions)
    left = total(each.billed for each in portions if each.billed > 0)
    assert left == max(Decimal(sum(cents)) / 100, Decimal(0))
    assert all(each.left == each.billed for each in portions if each.billed > 0)
