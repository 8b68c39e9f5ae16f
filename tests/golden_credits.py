"""Bills of accounts that hold credit, kept as text files in tests/golden beside those of tests/golden_bills.py.

Each story says what was there of each credit before the bill, and states its total, reckoned by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from billing_world import Answerer, Event, World, always, at, bands, by_field, summing
from credit_world import balance, commitment, drawn, metered, terms_on
from tallystick.core.lines import RatedLine
from tallystick.core.organization import CurrencyConversion
from tallystick.core.terms import Terms

Built = tuple[World, str, Answerer, Mapping[str, Any]]


@dataclass(frozen=True)
class CreditStory:
    """One bill: what was used, what there was of each credit, what it comes to."""

    name: str
    told: str
    total: str
    build: Callable[[], Built]

    def bill(self) -> tuple[Terms, tuple[RatedLine, ...]]:
        world, day, answer, there = self.build()
        terms = terms_on(world, day)
        return terms, drawn(terms, answer, **there).lines


def _transactions(month: int, left: int) -> Callable[[], Built]:
    def build() -> Built:
        world = metered("0.46")
        plan = next(id_ for kind, id_ in world.entities if kind == "plan")
        commitment(world, billing_plan_id=plan, overage_surcharge_percent=Decimal(1))
        return world, f"2023-{month:02}-10", always(20_000), {"commitment": left}

    return build


def _prepaid() -> Built:
    world = metered("0.05")
    balance(world, "Wallet")
    return world, "2023-03-10", always(12_000), {"Wallet": 500}


def _quarterly() -> Built:
    world = World()
    world.aggregation("calls")
    world.template(bill_frequency_interval=3)
    world.plan()
    world.pricing("price", bands((0, "0.50")), cumulative=True, overage_pricing_bands=bands((0, "0.60")))
    world.account()
    world.account_plan()
    balance(world, "Quarterly credit", end_date=at("2023-04-01"), overage_description="Calls beyond the credit")
    return world, "2023-02-10", always(120_000), {"Quarterly credit": 50_000}


def _units() -> Built:
    world = World()
    world.currency("CRD", 0)
    world.config(currency_conversions=(CurrencyConversion(from_="CRD", to="USD", multiplier=Decimal("0.01")),))
    meter = world.meter("use", ("calls", "exports"))
    calls = world.aggregation("Calls", meter)
    exports = world.aggregation("Exports", meter, target_field="exports")
    world.template(currency="CRD")
    world.plan()
    world.pricing("calls", bands((0, 1)), aggregation_id=calls.id)
    world.pricing("exports", bands((0, 5)), aggregation_id=exports.id)
    world.account()
    world.account_plan()
    balance(world, "Credits", currency="CRD")
    return world, "2023-03-10", by_field(calls=5_000, exports=200), {"Credits": 10_000}


def _trial() -> Built:
    world = World()
    meter = world.meter("use", ("search", "archive"))
    archive = world.aggregation("Archive calls", meter, target_field="archive")
    search = world.aggregation("Search calls", meter, target_field="search")
    world.plan()
    world.pricing("archive", bands((0, "0.10")), aggregation_id=archive.id)
    world.pricing("search", bands((0, "0.02")), aggregation_id=search.id)
    world.account()
    world.account_plan()
    trial = {"start_date": at("2023-03-01"), "end_date": at("2023-03-31"), "aggregation_ids": (archive.id,)}
    balance(world, "Trial credit", **trial)
    balance(world, "Paid wallet")
    return world, "2023-03-10", by_field(archive=1_500, search=2_000), {"Trial credit": 100, "Paid wallet": 500}


def _carried() -> Built:
    world = metered("0.25")
    balance(
        world, "Travel data", end_date=at("2023-03-16"), rollover_end_date=at("2023-05-01"), rollover_amount=Decimal(20)
    )
    used = [Event(at("2023-03-08"), Decimal(100)), Event(at("2023-03-20"), Decimal(120))]
    return world, "2023-03-10", summing(used), {"Travel data": 60}


def _separate() -> Built:
    world = metered(price_bands=bands((0, "2.00"), (1_000, "1.50")), cumulative=True)
    commitment(
        world, separate_overage_usage=True, start_date=date(2023, 1, 1), overage_description="Beyond the commitment"
    )
    return world, "2023-03-10", always(2_000), {"commitment": 2_750}


CREDIT_STORIES = (
    CreditStory(
        "commitment_first_month",
        "15,000 a year billed 1,250 a month, 0.46 a transaction, 1% on what is beyond: the first month of 20,000.",
        "1250.00",
        _transactions(1, 15_000),
    ),
    CreditStory(
        "commitment_second_month",
        "The second month of 20,000 transactions: 5,800 are left, 3,400 are beyond.",
        "4684.00",
        _transactions(2, 5_800),
    ),
    CreditStory(
        "commitment_third_month",
        "The third month of 20,000 transactions: nothing is left.",
        "10542.00",
        _transactions(3, 0),
    ),
    CreditStory("wallet_stops_at_zero", "A wallet of 500; calls for 600.", "100.00", _prepaid),
    CreditStory(
        "quarterly_credit",
        "50,000 of credit a quarter at 0.50 a call; beyond it 1.2 times the rate: 120,000 calls.",
        "12000.00",
        _quarterly,
    ),
    CreditStory("credit_units", "10,000 credits; 5,000 calls at 1 and 200 exports at 5 leave 4,000.", "0.00", _units),
    CreditStory(
        "trial_then_wallet",
        "100 of trial credit for archive calls only, then the paid wallet: archive for 150, search for 40.",
        "0.00",
        _trial,
    ),
    CreditStory(
        "carried_over",
        "60 of travel data until the 15th, of which 20 may be carried over: 25 used before, 30 after.",
        "10.00",
        _carried,
    ),
    CreditStory(
        "overage_apart",
        "2,000 calls, 2.00 up to 1,000, then 1.50; 2,750 of commitment buy 1,500 of them.",
        "750.00",
        _separate,
    ),
)
