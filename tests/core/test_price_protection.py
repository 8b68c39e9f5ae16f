"""Price protection of a contract: what the charges of a period may come to. Amounts are reckoned by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import World, always, amounts, bands, lines_of
from tallystick.core.catalog import PricingType
from tallystick.core.contract import PriceProtection
from tallystick.core.explain import explain_line
from tallystick.core.organization import CurrencyConversion
from tallystick.core.quantity import total


def protection(
    baseline: object = 500, percent: object = 20, start: str = "2023-01-01", end: str = "2024-01-01", **given: Any
) -> PriceProtection:
    return PriceProtection(
        baseline=Decimal(str(baseline)),
        maximum_increase_percent=Decimal(str(percent)),
        start_date=date.fromisoformat(start),
        end_date=date.fromisoformat(end),
        **given,
    )


def protected(price: str = "0.05", start: str = "2023-01-01", **given: Any) -> World:
    """One price per call, under a contract with price protection."""
    world = World()
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, price)))
    world.account()
    contract = world.contract(price_protection=protection(**given))
    world.account_plan(start=start, contract_id=contract.id)
    return world


def bill(world: World, used: object, day: str = "2023-03-10") -> list[tuple[str, str, str]]:
    return amounts(lines_of(world.terms(day), always(used)))


def test_bill_that_would_be_731_40_is_600() -> None:
    assert bill(protected(), 14_628) == [
        ("USAGE", "calls", "731.40"),
        ("CREDIT_DEDUCTION", "Price Protection", "-131.40"),
    ]


def test_explanation_names_baseline_limit_and_charges() -> None:
    line = lines_of(protected().terms("2023-03-10"), always(14_628))[1]
    explained = explain_line(line.item, line.working)
    assert explained.sentence == (
        "Price Protection: charges of 731.40 may be 600.00 at most, 20% above a baseline, which is -131.40 USD"
    )
    assert explained.steps[0] == (
        "At most 600.00, 20% above the baseline of 500.00 USD; charges are 731.40: 131.40 is taken off."
    )
    assert (line.item.contract_id, line.item.product_id) == (line.item.contract_id or "none", None)
    assert line.item.accounting_product_code == "api"


@pytest.mark.parametrize(
    ("used", "expected"),
    [(12_000, ["600.00"]), (11_999, ["599.95"]), (12_001, ["600.05", "-0.05"]), (None, [])],
)
def test_only_what_is_above_the_limit_is_taken_off(used: object, expected: list[str]) -> None:
    assert [each[2] for each in bill(protected(), used)] == expected


@pytest.mark.parametrize("day", ["2022-12-10", "2023-06-10"])
def test_protection_has_its_time(day: str) -> None:
    world = protected(start="2022-01-01", end="2023-06-01")
    assert [each[2] for each in bill(world, 14_628, day)] == ["731.40"]


def test_protection_that_ends_inside_a_period_protects_its_days() -> None:
    """15 of April's 30 days: half the charges, 365.70, may be half of 600."""
    assert [each[2] for each in bill(protected(end="2023-04-16"), 14_628, "2023-04-10")] == ["731.40", "-65.70"]


def test_plan_that_starts_inside_a_period_has_the_limit_of_its_days() -> None:
    """From 16 April, 15 of 30 days: 731.40 may be 300."""
    assert [each[2] for each in bill(protected(start="2023-04-16"), 14_628, "2023-04-20")] == ["731.40", "-431.40"]


def test_standing_charge_and_minimum_count_whichever_bill_they_stand_on() -> None:
    """The fee of 400 for March was paid in February; with calls for 250 the period comes to 650."""
    world = protected()
    world.template(standing_charge=Decimal(400), standing_charge_bill_in_advance=True)
    assert [each[2] for each in bill(world, 5_000)] == ["400.00", "250.00", "-50.00"]


def test_minimum_spend_is_protected_too() -> None:
    world = protected()
    world.template(minimum_spend=Decimal(1000))
    assert [each[2] for each in bill(world, 2_000)] == ["100.00", "900.00", "-400.00"]


def grouped(**group: Any) -> World:
    """A plan with calls at 0.05, in a group of its own, under a contract that allows 100."""
    world = World()
    world.aggregation("calls")
    plan = world.plan()
    world.pricing("price", bands((0, "0.05")))
    world.account()
    contract = world.contract(price_protection=protection(100, 0))
    world.account_plan(world.plan_group(plan, **group), contract_id=contract.id)
    return world


@pytest.mark.parametrize("in_advance", [False, True])
@pytest.mark.parametrize(
    ("group", "flag"),
    [
        ({"standing_charge": Decimal(150)}, "standing_charge_bill_in_advance"),
        ({"minimum_spend": Decimal(170)}, "minimum_spend_bill_in_advance"),
    ],
)
def test_charges_of_a_group_count_in_the_period_that_they_are_for(
    group: dict[str, Any], flag: str, in_advance: bool
) -> None:
    """20 of usage and 150 of a group are 170, of which 70 is too much, whichever bill has the 150."""
    world = grouped(**group, **{flag: in_advance})
    for day in ("2023-01-10", "2023-03-10"):
        assert bill(world, 400, day=day)[-1] == ("CREDIT_DEDUCTION", "Price Protection", "-70.00")


def test_plans_outside_the_contract_do_not_count() -> None:
    world = protected()
    other = world.plan("other")
    world.pricing("other", bands((0, "0.10")), plan_id=other.id)
    world.account_plan(other)
    assert sorted(each[2] for each in bill(world, 14_628)) == ["-131.40", "1462.80", "731.40"]


def test_baseline_of_another_currency_is_converted() -> None:
    world = protected(currency="EUR")
    world.currency("EUR", 2)
    world.config(currency_conversions=(CurrencyConversion(from_="EUR", to="USD", multiplier=Decimal("1.1")),))
    assert [each[2] for each in bill(world, 14_628)] == ["731.40", "-71.40"]  # at most 660


def test_usage_credit_comes_after_the_protection() -> None:
    world = protected()
    failures = world.aggregation("failures")
    credit = {"aggregation_id": failures.id, "type": PricingType.GLOBAL_CREDIT}
    world.pricing("credit", bands((0, 1)), **credit)
    found = bill(world, 14_628)
    assert sorted(each[2] for each in found) == ["-131.40", "-600.00", "731.40"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 3_000), st.integers(0, 100), st.integers(0, 1_000))
def test_protected_charges_are_the_lesser_of_the_two(used: int, baseline: int, percent: int, fee: int) -> None:
    world = protected(baseline=baseline, percent=percent)
    world.template(standing_charge=Decimal(fee))
    lines = lines_of(world.terms("2023-03-10"), always(used))
    full = Decimal(used) * 5 / 100 + fee
    limit = Decimal(baseline) * (100 + percent) / 100
    assert total(line.item.subtotal for line in lines) == min(full, limit)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"baseline": -1}, "baseline: must be 0 or more"),
        ({"percent": -1}, "maximumIncreasePercent: must be 0 or more"),
        ({"end": "2023-01-01"}, "endDate: must be after startDate"),
    ],
)
def test_rules(given: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        protection(**given)
