"""Discounts on a bill: percentages and amounts, for a time, off everything or a part. Amounts are reckoned by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import Event, World, always, amounts, at, bands, id_of, lines_of, summing
from tallystick.core.catalog import PricingType
from tallystick.core.discount import Discount, DiscountType
from tallystick.core.explain import explain_line
from tallystick.core.organization import CurrencyConversion
from tallystick.core.portion import portions_of
from tallystick.core.quantity import total
from tallystick.core.uses import uses_of


def shop(fee: object = 100, price: str = "0.10") -> World:
    """A fee of 100 and calls at 0.10."""
    world = World()
    world.template(standing_charge=Decimal(str(fee)))
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, price)))
    world.account()
    world.account_plan()
    return world


def off(world: World, used: object = 1000, day: str = "2023-03-10") -> list[tuple[str, str]]:
    """(description, amount) of the discount lines."""
    found = amounts(lines_of(world.terms(day), used if callable(used) else always(used)))
    return [(text, amount) for kind, text, amount in found if kind == "CREDIT_DEDUCTION"]


@pytest.mark.parametrize(
    ("discount", "amount"),
    [
        ({"percent": Decimal(20)}, "-40.00"),
        ({"percent": Decimal(100)}, "-200.00"),
        ({"percent": Decimal("12.5")}, "-25.00"),
        ({"amount": Decimal(30)}, "-30.00"),
        ({"amount": Decimal(500)}, "-200.00"),  # no more than there is
    ],
)
def test_discount_is_a_line_of_its_own(discount: dict[str, Any], amount: str) -> None:
    world = shop()
    world.discount("Founders", **discount)
    assert off(world) == [("Founders", amount)]


@pytest.mark.parametrize(
    ("discount", "start", "end", "amount"),
    [
        # Half of the fee of 100; of the calls 30.00 on the 1st, 20.00 on the 16th at noon, 50.00 on the 25th.
        ({"percent": Decimal(20)}, "2023-04-16", None, "-24.00"),  # 20% of 50 and 70
        ({"percent": Decimal(20)}, "2023-01-01", "2023-04-16", "-16.00"),  # 20% of 50 and 30
        ({"percent": Decimal(20)}, "2023-04-16T12:00:01Z", None, "-20.00"),  # calls by the moment, fees by the day
        ({"percent": Decimal(20)}, "2023-01-01", "2023-04-16T12:00:01Z", "-20.00"),
        ({"percent": Decimal(50)}, "2023-04-16T11:00:00Z", "2023-04-16T13:00:00Z", "-10.00"),
        ({"amount": Decimal(30)}, "2023-04-16", None, "-15.00"),
        ({"amount": Decimal(30)}, "2023-04-11", "2023-04-21", "-10.00"),
    ],
)
def test_discount_of_part_of_a_period_is_off_what_is_used_and_served_in_it(
    discount: dict[str, Any], start: str, end: str | None, amount: str
) -> None:
    world = shop()
    world.discount("Founders", start_date=at(start), end_date=at(end) if end else None, **discount)
    assert off(world, CALLS, day="2023-04-10") == [("Founders", amount)]


CALLS = summing(
    [
        Event(at(when), Decimal(calls))
        for when, calls in (("2023-04-01", 300), ("2023-04-16T12:00:00Z", 200), ("2023-04-25", 500))
    ]
)


def test_discount_of_part_of_a_period_counts_bands_from_the_start_of_the_period() -> None:
    """300 calls at 0.10 before the 16th; of the 700 after it 200 at 0.10 and 500 at 0.02: half of 30.00 is off."""
    world = shop(0)
    world.pricing("price", bands((0, "0.10"), (500, "0.02")), cumulative=True)
    world.discount("Late", percent=Decimal(50), start_date=at("2023-04-16"))
    world.discount("Early", percent=Decimal(50), end_date=at("2023-04-16"))
    assert off(world, CALLS, day="2023-04-10") == [("Early", "-15.00"), ("Late", "-15.00")]


def test_each_stretch_is_discounted_by_what_those_before_left_of_it() -> None:
    """70.00 are from the 16th on; of those 50.00 are from the 20th on, of which a quarter is left for C."""
    world = shop(0)
    world.discount("A", percent=Decimal(50), start_date=at("2023-04-16"))
    world.discount("B", percent=Decimal(50), start_date=at("2023-04-16"))
    world.discount("C", percent=Decimal(50), start_date=at("2023-04-20"))
    assert off(world, CALLS, day="2023-04-10") == [("A", "-35.00"), ("B", "-17.50"), ("C", "-6.25")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(-500, 900)), max_size=6), st.integers(2, 30))
def test_halves_of_a_period_make_a_whole(used: list[tuple[int, int]], day: int) -> None:
    """A discount until a moment and one from it on come to what one over all of the time comes to."""
    events = summing([Event(at(f"2023-04-{on:02}T05:00:00Z"), Decimal(calls)) for on, calls in used])

    def taken(*stretches: dict[str, Any]) -> Decimal:
        world = shop()
        world.pricing("price", bands((0, "0.10"), (500, "0.02")), cumulative=True)
        for index, each in enumerate(stretches):
            world.discount(str(index), percent=Decimal(20), **each)
        return total(Decimal(amount) for _, amount in off(world, events, day="2023-04-10"))

    middle = at(f"2023-04-{day:02}T05:00:00Z")
    assert abs(taken({}) - taken({"end_date": middle}, {"start_date": middle})) <= Decimal("0.01")


def test_what_is_charged_in_advance_is_discounted_by_the_time_that_it_is_for() -> None:
    """The fee for February stands on the bill of January, and is less by half of 18 days' 180; an amount is for the
    bill's own period."""
    world = shop(280)
    world.template(standing_charge=Decimal(280), standing_charge_bill_in_advance=True)
    february = {"start_date": at("2023-02-01"), "end_date": at("2023-03-01")}
    world.discount("A", percent=Decimal(50), **(february | {"end_date": at("2023-02-19")}))
    world.discount("B", amount=Decimal(1), **february)
    lines = {month: lines_of(world.terms(f"2023-{month:02}-10"), always(0)) for month in (1, 2, 3)}
    found = {month: [each[2] for each in amounts(of) if each[0] == "CREDIT_DEDUCTION"] for month, of in lines.items()}
    assert found == {1: ["-90.00"], 2: ["-1.00"], 3: []}
    (line,) = (line.item for line in lines[1] if line.item.line_item_type == "CREDIT_DEDUCTION")
    assert (line.service_period_start_date, line.service_period_end_date) == (at("2023-02-01"), at("2023-02-19"))
    assert [each.kind for each in uses_of(world.terms("2023-01-10"))].count("discount") == 1


def test_what_is_given_back_is_the_mirror_of_what_was_discounted() -> None:
    """500 calls are taken back: for 50.00 at list price, of which 10.00 were never paid."""
    world = shop(0)
    world.discount("Founders", percent=Decimal(20))
    lines = lines_of(world.terms("2023-03-10"), always(-500))
    assert [str(line.item.subtotal) for line in lines] == ["-50.00", "10.00"]
    assert explain_line(lines[1].item, lines[1].working).sentence == "Founders: 20% of -50.00 off, which is 10.00 USD"


def test_credit_for_part_of_a_period_beside_a_discount_for_another() -> None:
    """What a discount is for does not split what a credit pays: calls are drawn once."""
    world = shop()
    world.discount("Late", percent=Decimal(50), start_date=at("2023-04-16"))
    lines = lines_of(world.terms("2023-04-10"), CALLS)
    assert [len(portions_of([line], world.terms("2023-04-10"))) for line in lines] == [1, 1, 1]


@pytest.mark.parametrize("day", ["2023-02-10", "2023-05-10"])
def test_discount_out_of_its_time_is_none(day: str) -> None:
    world = shop()
    world.discount("Spring", percent=Decimal(20), start_date=at("2023-03-01"), end_date=at("2023-05-01"))
    assert off(world, day=day) == []


def test_percentages_go_before_amounts_and_each_is_of_what_is_left() -> None:
    """200: 50% off leaves 100, 10% of that leaves 90, 60 off leaves 30, of which 30 is all there is."""
    world = shop()
    world.discount("D", amount=Decimal(70), start_date=at("2023-01-03"))
    world.discount("C", amount=Decimal(60), start_date=at("2023-01-02"))
    world.discount("B", percent=Decimal(10), start_date=at("2023-01-02"))
    world.discount("A", percent=Decimal(50), start_date=at("2023-01-01"))
    assert off(world) == [("A", "-100.00"), ("B", "-10.00"), ("C", "-60.00"), ("D", "-30.00")]


def two_products() -> World:
    world = shop()
    other = world.template("other", world.product("Storage"), standing_charge=Decimal(50))
    plan = world.plan("storage", other)
    world.account_plan(plan)
    return world


def test_discount_of_a_product_or_a_plan_is_off_its_lines_only() -> None:
    world = two_products()
    world.discount("Storage off", percent=Decimal(10), product_id=id_of("product", "Storage"))
    world.discount("Calls off", percent=Decimal(10), plan_id=id_of("plan", "plan"))
    world.discount("All off", percent=Decimal(10))
    lines = lines_of(world.terms("2023-03-10"), always(1000))
    found = {line.item.description: line.item for line in lines if line.item.line_item_type == "CREDIT_DEDUCTION"}
    assert {name: str(item.subtotal) for name, item in found.items()} == {
        "All off": "-25.00",
        "Calls off": "-18.00",
        "Storage off": "-4.50",
    }
    assert (found["Storage off"].product_code, found["Calls off"].product_code) == ("storage", "api")
    assert (found["Calls off"].plan_id, found["All off"].product_id) == (id_of("plan", "plan"), None)


def test_discount_counts_minimum_spend_and_gives_back_no_refund_twice() -> None:
    world = shop()
    world.template(minimum_spend=Decimal(400))
    world.discount("Half", percent=Decimal(50))
    assert off(world) == [("Half", "-200.00")]


def test_amount_in_another_currency_and_bill_in_a_third() -> None:
    world = shop()
    world.currency("EUR", 2)
    world.currency("GBP", 2)
    rates = (("USD", "EUR", "0.9"), ("GBP", "EUR", "1.2"))
    world.config(
        currency_conversions=tuple(
            CurrencyConversion(from_=one, to=other, multiplier=Decimal(rate)) for one, other, rate in rates
        )
    )
    world.account(currency="EUR")
    world.discount("Voucher", amount=Decimal(10), currency="GBP")
    assert off(world) == [("Voucher", "-12.00")]
    assert [each.from_ for each in world.terms("2023-03-10").conversions_used()] == ["GBP", "USD"]


def test_credits_give_back_no_more_than_the_discount_left() -> None:
    """Calls for 100 and a fee of 100, 10% off; the credit of 300 gives back the 180 that are left."""
    world = shop()
    failed = world.aggregation("failed")
    world.pricing("credit", bands((0, "0.30")), aggregation_id=failed.id, type=PricingType.PRODUCT_CREDIT)
    world.discount("Tenth", percent=Decimal(10))
    lines = lines_of(world.terms("2023-03-10"), always(1000))
    assert {line.item.description: str(line.item.subtotal) for line in lines} == {
        "Standing Charge": "100.00",
        "calls": "100.00",
        "failed": "-180.00",
        "Tenth": "-20.00",
    }


def test_discount_of_another_account_is_not_taken() -> None:
    world = shop()
    world.account("globex")
    world.discount("Theirs", "globex", percent=Decimal(50))
    assert off(world) == []


def test_explanations() -> None:
    world = shop()
    world.discount("A", percent=Decimal(20))
    world.discount("B", amount=Decimal(31), start_date=at("2023-03-17"))
    *_, percent, amount = lines_of(world.terms("2023-03-10"), always(1000))
    assert explain_line(percent.item, percent.working).sentence == "A: 20% of 200.00 off, which is -40.00 USD"
    assert explain_line(amount.item, amount.working).sentence == (
        "B: 31.00 for 15/31 days off charges of 160.00, which is -15.00 USD"
    )
    assert explain_line(amount.item, amount.working).steps[0] == (
        "31.00 off for 15 of 31 days, at most the charges of 160.00: 15.00 off."
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5_000),
    st.lists(st.tuples(st.booleans(), st.integers(1, 100), st.integers(0, 40)), max_size=4),
)
def test_discounts_never_give_more_than_the_charges(used: int, discounts: list[tuple[bool, int, int]]) -> None:
    world = shop()
    for index, (percent, size, day) in enumerate(discounts):
        value = {"percent": Decimal(size)} if percent else {"amount": Decimal(size) * 3}
        start = at(f"2023-0{2 + day // 28}-{1 + day % 28:02}")
        world.discount(f"{index}", start_date=start, end_date=at("2023-03-25"), **value)
    lines = lines_of(world.terms("2023-03-10"), always(used))
    assert total(line.item.subtotal for line in lines) >= 0
    assert all(line.item.subtotal <= 0 for line in lines if line.item.line_item_type == "CREDIT_DEDUCTION")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"type": DiscountType.PERCENT}, "percent: a discount of type PERCENT has one"),
        ({"type": DiscountType.PERCENT, "percent": Decimal(0)}, "percent"),
        ({"type": DiscountType.PERCENT, "percent": Decimal(101)}, "percent"),
        ({"type": DiscountType.PERCENT, "percent": Decimal(1), "amount": Decimal(1)}, "amount: only with type AMOUNT"),
        ({"type": DiscountType.AMOUNT, "currency": "USD"}, "amount: a discount of type AMOUNT has one"),
        ({"type": DiscountType.AMOUNT, "amount": Decimal(1)}, "currency"),
        (
            {"type": DiscountType.AMOUNT, "amount": Decimal(1), "currency": "USD", "percent": Decimal(1)},
            "percent: only with type PERCENT",
        ),
        ({"type": DiscountType.PERCENT, "percent": Decimal(1), "end_date": at("2023-01-01")}, "endDate"),
        (
            {"type": DiscountType.PERCENT, "percent": Decimal(1), "product_id": "p" * 36, "plan_id": "q" * 36},
            "planId: give productId or planId",
        ),
    ],
)
def test_rules(given: dict[str, Any], rule: str) -> None:
    body = {"account_id": "a" * 36, "name": "Off", "start_date": at("2023-01-01")}
    with pytest.raises(ValueError, match=rule):
        Discount(**(body | given))
