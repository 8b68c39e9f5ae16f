"""Groups of plans: their plans are billed, and a standing charge and a minimum are laid across them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_world import Answerer, World, always, amounts, bands, by_field, lines_of, number
from tallystick.core.catalog import Plan
from tallystick.core.entity import Entity
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency
from tallystick.core.uses import uses_of
from tallystick.errors import Refusal

NAME = "bundle"


def plan(world: World, name: str, **template: object) -> Entity[Plan]:
    """A plan with a product of its own, which prices a field of the same name at 1.00."""
    product = world.product(name)
    meter = world.meter(name, (name,))
    aggregation = world.aggregation(name, meter, target_field=name)
    made = world.plan(name, world.template(name, product, **template))
    world.pricing(name, bands((0, 1)), plan_id=made.id, aggregation_id=aggregation.id)
    return made


def bundled(*, start: str = "2023-01-01", minimum: object = None, **group: object) -> World:
    world = World()
    plans = [plan(world, "calls"), plan(world, "storage")]
    made = world.plan_group(*plans, name=NAME, minimum_spend=minimum and number(minimum), **group)
    world.account()
    world.account_plan(made, start=start)
    return world


def bill(world: World, answer: Answerer, day: str = "2023-04-10") -> list[tuple[str, str, str]]:
    return amounts(lines_of(world.terms(day), answer))


USED = by_field(calls=70, storage=20)


@pytest.mark.parametrize(("minimum", "topped_up"), [(None, None), (90, None), (250, "160.00"), (1000, "910.00")])
def test_minimum_spans_the_plans_of_the_group(minimum: object, topped_up: str | None) -> None:
    usage = [("USAGE", "calls", "70.00"), ("USAGE", "storage", "20.00")]
    expected = [("MINIMUM_SPEND", "bundle Minimum Spend Adjustment", topped_up)] if topped_up else []
    assert bill(bundled(minimum=minimum), USED) == [*usage, *expected]


def test_minimums_of_plans_count_towards_that_of_the_group() -> None:
    world = World()
    plans = [plan(world, "calls", minimum_spend=Decimal(100)), plan(world, "storage")]
    world.account()
    world.account_plan(world.plan_group(*plans, minimum_spend=Decimal(150)))
    assert bill(world, USED) == [
        ("USAGE", "calls", "70.00"),
        ("MINIMUM_SPEND", "calls Minimum Spend Adjustment", "30.00"),
        ("USAGE", "storage", "20.00"),
        ("MINIMUM_SPEND", "group Minimum Spend Adjustment", "30.00"),
    ]


def test_standing_charges_of_group_and_plans_count_towards_its_minimum() -> None:
    world = World()
    plans = [plan(world, "calls", standing_charge=Decimal(5)), plan(world, "storage", standing_charge=Decimal(7))]
    group = world.plan_group(*plans, standing_charge=Decimal(11), minimum_spend=Decimal(24))
    world.account()
    world.account_plan(group)
    assert bill(world, always(None)) == [
        ("STANDING_CHARGE", "Standing Charge", "5.00"),
        ("STANDING_CHARGE", "Standing Charge", "7.00"),
        ("STANDING_CHARGE", "Standing Charge", "11.00"),
        ("MINIMUM_SPEND", "group Minimum Spend Adjustment", "1.00"),
    ]


def test_charges_of_a_group_are_prorated_by_days() -> None:
    world = bundled(start="2023-04-16", minimum=300, standing_charge=Decimal(60), standing_charge_description="Bundle")
    assert bill(world, always(None)) == [
        ("STANDING_CHARGE", "Bundle", "30.00"),
        ("MINIMUM_SPEND", "bundle Minimum Spend Adjustment", "120.00"),
    ]


def test_charges_of_a_group_may_be_paid_in_advance() -> None:
    world = bundled(
        start="2023-04-16",
        minimum=300,
        minimum_spend_bill_in_advance=True,
        standing_charge=Decimal(60),
        standing_charge_bill_in_advance=True,
    )
    (april, may) = (lines_of(world.terms(day), USED) for day in ("2023-04-20", "2023-05-20"))
    assert [
        (str(each.item.service_period_start_date)[:10], *row) for each, row in zip(april, amounts(april), strict=True)
    ] == [
        ("2023-04-16", "USAGE", "calls", "70.00"),
        ("2023-04-16", "USAGE", "storage", "20.00"),
        ("2023-04-16", "STANDING_CHARGE", "Standing Charge", "30.00"),
        ("2023-05-01", "STANDING_CHARGE", "Standing Charge", "60.00"),
        ("2023-04-16", "MINIMUM_SPEND", "bundle Minimum Spend Adjustment", "150.00"),
        ("2023-05-01", "MINIMUM_SPEND", "bundle Minimum Spend Adjustment", "300.00"),
        ("2023-04-16", "MINIMUM_SPEND_REFUND", "bundle Minimum Spend Adjustment", "-120.00"),
    ]
    assert amounts(may)[2:] == [
        ("STANDING_CHARGE", "Standing Charge", "60.00"),
        ("MINIMUM_SPEND", "bundle Minimum Spend Adjustment", "300.00"),
        ("MINIMUM_SPEND_REFUND", "bundle Minimum Spend Adjustment", "-150.00"),
    ]


def test_plans_in_other_currencies_count_at_the_organizations_rate() -> None:
    world = World()
    world.currency("EUR", 2)
    world.config(
        currency_conversions=(
            CurrencyConversion(from_="EUR", to="USD", multiplier=Decimal("1.10")),
            CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.90")),
        )
    )
    plans = [plan(world, "calls"), plan(world, "storage", currency="EUR")]
    world.account(currency="EUR")
    world.account_plan(world.plan_group(*plans, minimum_spend=Decimal(100)))
    # 70.00 USD and 20.00 EUR = 22.00 USD leave 8.00 USD, which is 7.20 EUR.
    assert bill(world, USED) == [
        ("USAGE", "calls", "63.00"),
        ("USAGE", "storage", "20.00"),
        ("MINIMUM_SPEND", "group Minimum Spend Adjustment", "7.20"),
    ]
    assert {each.kind for each in uses_of(world.terms("2023-04-10"))} >= {"plangroup", "plangrouplink", "currency"}


def test_plans_of_several_frequencies_need_a_group_without_charges() -> None:
    world = World()
    plans = [plan(world, "calls"), plan(world, "storage", bill_frequency=Frequency.DAILY)]
    world.account()
    world.account_plan(world.plan_group(*plans))
    terms = world.terms("2023-04-10")
    assert len(terms.account_plans) == 1
    storage = next(each for each in world.of(Plan).values() if each.value.name == "storage")
    assert ("plan", storage.id, 1) in {(each.kind, each.id, each.version) for each in uses_of(terms)}
    world.plan_group(*plans, minimum_spend=Decimal(1))
    with pytest.raises(Refusal, match=r"'group'.*one billing frequency") as caught:
        world.terms("2023-04-10")
    assert caught.value.code.name == "rule_broken"


def test_lines_name_their_group_and_are_told_apart() -> None:
    world = World()
    plans = [plan(world, name, standing_charge=Decimal(1)) for name in ("calls", "storage")]
    group = world.plan_group(*plans, standing_charge=Decimal(1), minimum_spend=Decimal(100))
    world.account()
    contract = world.contract()
    world.account_plan(group, contract_id=contract.id)
    items = [line.item for line in lines_of(world.terms("2023-04-10"), USED)]
    assert {(item.plan_group_id, item.contract_id) for item in items} == {(group.id, contract.id)}
    assert len({item.id for item in items}) == len(items) == 6
    assert [item.plan_id is None for item in items] == [False, False, False, False, True, True]


def test_a_group_ends_with_its_account_plan() -> None:
    world = World()
    plans = [plan(world, "calls")]
    world.account()
    world.account_plan(world.plan_group(*plans, minimum_spend=Decimal(300)), end_date="2023-04-11")
    assert bill(world, always(None)) == [("MINIMUM_SPEND", "group Minimum Spend Adjustment", "100.00")]
