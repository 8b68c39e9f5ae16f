"""Catalogues and customers drawn at random, with some of everything that can stand on a bill."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from billing_desk import Desk
from ledger_desk import top_up

from billing_world import World, at, bands, id_of
from credit_world import balance, commitment
from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.core.catalog import PricingType
from tallystick.core.organization import CurrencyConversion
from tallystick.core.period import Frequency
from tallystick.core.price_forms import Package, Rate

D = Decimal
MONTHLY, WEEKLY = Frequency.MONTHLY, Frequency.WEEKLY
PRICES = ("0", "0.1", "0.333333333", "1E-7", "12", "-0.5")
USED = ("0", "0.5", "3", "39.99", "-7", "1000", "12345678901.123")
CODES = [f"a{number}" for number in range(14)]
PLANS = ("first", "second", "third")
AGGREGATIONS = ("calls", "hours", "regions")


def mixed_world(chance: Random) -> World:
    """Three plans, and customers most of whom have the first one and nothing else."""
    world = World()
    config(world, chance)
    world.currency("EUR", chance.choice([None, 0, 3]))
    meter = world.meter(fields=("calls", "hours"), texts=("region",))
    for name in AGGREGATIONS:
        world.aggregation(
            name,
            meter,
            aggregation=chance.choice([Method.SUM, Method.SUM, Method.MAX, Method.MEAN, Method.LATEST, Method.COUNT]),
            target_field=chance.choice(["calls", "hours"]),
            quantity_per_unit=D(chance.choice(["1", "7", "0.001"])),
            rounding=chance.choice([UnitRounding.NONE, UnitRounding.UP]),
            default_value=chance.choice([None, None, D(3)]),
            segmented_fields=("region",) if name == "regions" else None,
        )
    world.compound("both", "aggregation.calls * 2 + aggregation.hours", evaluate_null_aggregations=False)
    world.counter()
    for name in PLANS:
        _plan(world, chance, name)
    world.plan_group(*[world.entities["plan", id_of("plan", name)] for name in PLANS[:2]], minimum_spend=D(40))
    for code in CODES:
        _account(world, chance, code)
    return world


def config(world: World, chance: Random) -> None:
    world.config(
        bill_prefix=chance.choice([None, "IN-"]),
        standing_charge_bill_in_advance=chance.random() < 0.3,
        minimum_spend_bill_in_advance=chance.random() < 0.3,
        suppressed_empty_bills=chance.random() < 0.3,
        consolidate_bills=chance.random() < 0.1,
        timezone=chance.choice(["UTC", "Europe/Berlin", "Pacific/Auckland"]),
        currency_conversions=(
            CurrencyConversion(from_="USD", to="EUR", multiplier=D("0.912345")),
            CurrencyConversion(from_="EUR", to="USD", multiplier=D("1.1")),
        ),
    )


def _plan(world: World, chance: Random, name: str) -> None:
    """The first plan is plain more often than not."""
    template = world.template(
        f"template of {name}",
        currency=chance.choice(["USD", "USD", "EUR"]) if name == "third" else "USD",
        bill_frequency=chance.choice([MONTHLY, WEEKLY]) if name == "third" else MONTHLY,
        standing_charge=D(chance.choice([0, 5])),
        standing_charge_interval=chance.choice([1, 1, 1, 2]),
    )
    limits: dict[str, Any] = {}
    plain = name == "first" and chance.random() < 0.85
    if not plain and chance.random() < 0.5:
        limits = chance.choice([{"minimum_spend": D(100)}, {"maximum_spend": D(300)}])
    plan = world.plan(name, template, **limits)
    for priced in chance.sample(AGGREGATIONS[:2] if plain else [*AGGREGATIONS, "both"], chance.randint(1, 2)):
        own = {"plan_id": plan.id} if chance.random() < 0.8 else {"plan_template_id": template.id}
        of = "compound_aggregation_id" if priced == "both" else "aggregation_id"
        own[of] = id_of("compoundaggregation" if priced == "both" else "aggregation", priced)
        form = _bands(chance) if plain else chance.choice([_bands, _bands, _other_form])(chance)
        if priced == "regions" and not plain and chance.random() < 0.5:
            rates = (Rate(dimensions={"region": "EU"}, unit_price=D("0.5")),)
            form = {"price_bands": (), "rates": rates, "default_unit_price": D("0.25")}
        more = {} if plain else _more(chance)
        world.pricing(f"{name}/{priced}", **form, **own, **more)
    if not plain and chance.random() < 0.4:
        world.counter_pricing(f"seats of {name}", bands((0, 2)), plan_id=plan.id)


def _bands(chance: Random) -> dict[str, Any]:
    limits = sorted({0, *(chance.choice([1, 5, 40, 100, 250]) for _ in range(chance.randint(0, 3)))})
    rows = [(limit, chance.choice(PRICES), chance.choice([0, 9])) for limit in limits]
    return {"price_bands": bands(*rows), "cumulative": chance.random() < 0.5}


def _other_form(chance: Random) -> dict[str, Any]:
    forms: tuple[dict[str, Any], ...] = ({"percent": D("2.5")}, {"package": Package(size=D(70), price=D(3))})
    return {"price_bands": (), **chance.choice(forms)}


def _more(chance: Random) -> dict[str, Any]:
    """What a price may have besides."""
    return chance.choice(
        [
            {},
            {},
            {"free_units": D(10)},
            {"minimum_spend": D(20)},
            {"maximum_spend": D(80)},
            {"type": PricingType.GLOBAL_CREDIT},
            {"start_date": at("2023-10-12")},
            {"end_date": at("2023-11-12")},
        ]
    )


def _account(world: World, chance: Random, code: str) -> None:
    of, luck = {"account_id": id_of("account", code)}, chance.random
    child = {"parent_account_id": id_of("account", CODES[0])} if code != CODES[0] and luck() < 0.15 else {}
    world.account(
        code,
        currency=chance.choice([*[None] * 6, "EUR"]),
        days_before_bill_due=chance.choice([*[None] * 6, 10]),
        purchase_order_number=chance.choice([*[None] * 6, 'PO "1" %s']),
        **child,
    )
    contract = (
        world.contract(f"contract of {code}", code, apply_contract_period_limits=luck() < 0.5) if luck() < 0.1 else None
    )
    plan = world.entities["plan", id_of("plan", chance.choice([*["first"] * 6, *PLANS]))]
    if luck() < 0.05:
        plan = next(each for (kind, _), each in world.entities.items() if kind == "plangroup")
    start = chance.choice([*["2023-01-01"] * 3, "2022-02-01", "2023-10-01", "2023-10-20T13:00:00Z"])
    ends = {"end_date": "2023-11-10"} if luck() < 0.1 else {}
    mode = {"child_billing_mode": chance.choice(list(ChildBillingMode))} if code == CODES[0] and luck() < 0.5 else {}
    if not child or luck() < 0.7:
        world.account_plan(plan, code, start, contract_id=contract.id if contract else None, **ends, **mode)
    if luck() < 0.1:
        world.discount(f"discount {code}", code, percent=D(10))
    if luck() < 0.1:
        world.charge(f"charge {code}", "12.5", code, day=chance.choice(["2023-10-15", "2023-11-15"]))
    if luck() < 0.1:
        world.level("2023-10-05", chance.randint(1, 9), code)
    if luck() < 0.07:
        commitment(world, f"commitment {code}", amount=D(60), overage_surcharge_percent=D(10), **of)
    if luck() < 0.07:
        balance(world, f"wallet {code}", start_date=at("2023-10-10"), **of)


def filled_up(desk: Desk, chance: Random) -> None:
    """Some money in every balance."""
    for kind, id_ in desk.world.entities:
        if kind == "balance":
            owner = desk.world.entities[kind, id_].value.account_id
            code = next(each for each in CODES if id_of("account", each) == owner)
            top_up(desk, chance.randint(1, 300), "2023-10-11", id_, code)


def used(chance: Random, month: int) -> list[tuple[str, str, str, str]]:
    """(account, when, amount, region) of usage in a month of 2023."""
    return [
        (
            code,
            f"2023-{month}-{chance.randint(1, 30):02}T{chance.choice(['00:00:00', '07:30:00', '23:59:59'])}Z",
            chance.choice(USED),
            chance.choice(["EU", "US"]),
        )
        for code in CODES
        if chance.random() < 0.6
        for _ in range(chance.randint(1, 3))
    ]
