"""Prepaid credit pays for what forms of price, limits, discounts and promises left to pay. Reckoned by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from billing_world import Answerer, Event, World, always, at, bands, summing
from credit_world import balance, drawn, metered, terms_on
from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.contract import PriceProtection
from tallystick.core.drawing import Outcome
from tallystick.core.price_forms import Package
from tallystick.core.quantity import negate, total

MARCH = "2023-03-10"
USED = summing([Event(at("2023-03-05"), Decimal(100)), Event(at("2023-03-20"), Decimal(200))])


def paid(world: World, answer: Answerer, there: object = 10_000) -> tuple[str, str]:
    """What the wallet pays, and what is left to pay."""
    outcome: Outcome = drawn(terms_on(world, MARCH), answer, wallet=there)
    lines = [line.item for line in outcome.lines]
    by_wallet = total(item.converted_subtotal for item in lines if item.line_item_type == "BALANCE_CONSUMED")
    return str(negate(by_wallet)), str(total(item.converted_subtotal for item in lines))


def test_protected_bill_draws_600() -> None:
    world = metered("0.05")
    year = {"start_date": date(2023, 1, 1), "end_date": date(2024, 1, 1)}
    promise = PriceProtection(baseline=Decimal(500), maximum_increase_percent=Decimal(20), **year)
    world.account_plan(contract_id=world.contract(price_protection=promise).id)
    balance(world)
    assert paid(world, always(14_628)) == ("600.00", "0.00")
    assert paid(world, always(14_628), 450) == ("450.00", "150.00")


def test_discounted_bill_draws_what_is_left() -> None:
    world = metered()
    world.discount("Fifth", percent=Decimal(20))
    world.discount("Voucher", amount=Decimal(30))
    balance(world)
    assert paid(world, always(200)) == ("130.00", "0.00")


def test_maximum_of_a_plan_limits_the_draw() -> None:
    world = metered()
    world.template(maximum_spend=Decimal(90))
    balance(world)
    assert paid(world, always(200)) == ("90.00", "0.00")


def from_16_march(world: World) -> World:
    """A wallet that pays from 16 March."""
    balance(world, start_date=at("2023-03-16"))
    return world


def test_maximum_of_a_pricing_is_reached_before_the_wallet_begins() -> None:
    assert paid(from_16_march(metered(maximum_spend=Decimal(90))), USED) == ("0", "90.00")
    assert paid(from_16_march(metered(maximum_spend=Decimal(250))), USED) == ("150.00", "100.00")


def test_free_units_are_used_up_in_order_of_time() -> None:
    """150 free: the 100 of 5 March and 50 of those of 20 March; 150 remain, all paid by the wallet."""
    assert paid(from_16_march(metered(free_units=Decimal(150))), USED) == ("150.00", "0.00")
    assert paid(from_16_march(metered(free_units=Decimal(40))), USED) == ("200.00", "60.00")


def form(**pricing: Any) -> World:
    world = metered()
    world.pricing("price", (), **pricing)
    return from_16_march(world)


def test_packages_are_paid_when_they_are_started() -> None:
    """7 packages of 45 at 3.00 for 300; 3 of them were started by 16 March."""
    assert paid(form(package=Package(size=Decimal(45), price=Decimal(3))), USED) == ("12.00", "9.00")


def test_percentage_is_paid_by_when_it_arose() -> None:
    assert paid(form(percent=Decimal(10)), USED) == ("20.00", "10.00")


def by_name(**events: list[Event]) -> Answerer:
    """Sums of one field, the greatest value of another."""

    def answer(question: Question) -> list[Measured]:
        inside = [each for each in events[question.field] if question.period.start <= each.when < question.period.end]
        if question.method is Method.MAX:
            inside = sorted(inside, key=lambda each: each.value)[-1:]
        return list(summing(inside)(question))

    return answer


def test_compound_aggregation_is_paid_by_what_it_came_to_until_then() -> None:
    """600 in all; by 16 March it was 500 less 100 for one application, so 200 fall to the wallet."""
    world = metered()
    meter = world.meter("hosting", ("requests", "apps"))
    world.aggregation("requests", meter, target_field="requests")
    world.aggregation("apps", meter, target_field="apps", aggregation=Method.MAX)
    billable = world.compound("billable", "aggregation.requests - 100 * aggregation.apps")
    world.pricing("price", bands((0, "0.01")), compound_aggregation_id=billable.id)
    requests = [Event(at("2023-03-05"), Decimal(500)), Event(at("2023-03-20"), Decimal(300))]
    apps = [Event(at("2023-03-05"), Decimal(1)), Event(at("2023-03-20"), Decimal(2))]
    assert paid(from_16_march(world), by_name(requests=requests, apps=apps)) == ("2.00", "4.00")


def test_condition_is_decided_for_the_period_also_where_the_wallet_cuts_it() -> None:
    world = metered()
    meter = world.meter("requests", ("calls", "storage"))
    world.aggregation("storage", meter, target_field="storage", aggregation=Method.MAX)
    world.pricing("large", bands((0, "0.50")), condition="aggregation.storage > 100")
    calls = [Event(at("2023-03-05"), Decimal(100)), Event(at("2023-03-20"), Decimal(200))]
    storage = [Event(at("2023-03-20"), Decimal(120))]
    assert paid(from_16_march(world), by_name(calls=calls, storage=storage)) == ("100.00", "50.00")
