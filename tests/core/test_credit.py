"""What credit pays of a bill: stories with amounts reckoned by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from billing_world import Event, World, always, at, bands, by_field, id_of, summing
from credit_world import balance, bill, commitment, drawn, drawn_of, due, metered, rated, terms_on
from tallystick.core.account import CreditType
from tallystick.core.bill import LineItemType
from tallystick.core.credit_types import CreditLine
from tallystick.core.lines import RatedLine
from tallystick.core.organization import CurrencyConversion
from tallystick.errors import Refusal


def test_a_year_of_commitment_with_a_surcharge_beyond_it() -> None:
    """15,000 a year billed 1,250 a month; 20,000 transactions a month at 0.46; 1% on what is beyond."""
    world = metered("0.46")
    plan = next(iter(world.entities[key].id for key in world.entities if key[0] == "plan"))
    commitment(world, billing_plan_id=plan, overage_surcharge_percent=Decimal(1))
    left, year = Decimal(15_000), []
    for month in range(1, 13):
        outcome = drawn(terms_on(world, f"2023-{month:02}-10"), always(20_000), commitment=left)
        left -= sum((draw.amount for draw in outcome.draws), Decimal(0))
        year.append(due(outcome))
    assert [f"{each:.2f}" for each in year] == ["1250.00", "4684.00", *["10542.00"] * 10]
    assert f"{sum(year):.2f}" == "111354.00"
    assert left == 0


def test_second_month_line_by_line() -> None:
    world = metered("0.46")
    plan = next(iter(world.entities[key].id for key in world.entities if key[0] == "plan"))
    commitment(world, billing_plan_id=plan, overage_surcharge_percent=Decimal(1))
    assert bill(drawn(terms_on(world, "2023-02-10"), always(20_000), commitment=5_800)) == [
        ("USAGE", "9200.00"),
        ("COMMITMENT_FEE", "1250.00"),
        ("COMMITMENT_CONSUMED", "-5800.00"),
        ("OVERAGE_SURCHARGE", "34.00"),
    ]


@pytest.mark.parametrize(
    ("there", "used", "pays", "rest"),
    [(500, 200, "200", "0.00"), (500, 500, "500", "0.00"), (500, 700, "500", "200.00"), (0, 700, "0", "700.00")],
)
def test_a_wallet_stops_at_zero(there: int, used: int, pays: str, rest: str) -> None:
    world = metered(1)
    balance(world)
    outcome = drawn(terms_on(world, "2023-03-10"), always(used), wallet=there)
    assert sum(draw.amount for draw in outcome.draws) == Decimal(pays)
    assert f"{due(outcome):.2f}" == rest


def test_overdraft_pays_for_everything() -> None:
    world = metered(1)
    balance(world, allow_overdraft=True)
    outcome = drawn(terms_on(world, "2023-03-10"), always(700), wallet=500)
    assert bill(outcome) == [("USAGE", "700.00"), ("BALANCE_CONSUMED", "-700.00")]


def test_usage_beyond_a_quarter_of_credit_costs_a_fifth_more() -> None:
    """50,000 of credit, 1.00 a unit; beyond it 1.20: 60,000 units are 50,000 of credit and 10,000 at 1.20."""
    world = metered(price_bands=bands((0, 1)), cumulative=True, overage_pricing_bands=bands((0, "1.2")))
    balance(world)
    outcome = drawn(terms_on(world, "2023-03-10"), always(60_000), wallet=50_000)
    assert bill(outcome) == [
        ("USAGE", "50000.00"),
        ("BALANCE_CONSUMED", "-50000.00"),
        ("OVERAGE_USAGE", "12000.00"),
    ]
    usage, _, beyond = (line.item for line in outcome.lines)
    assert (usage.units, beyond.units) == (50_000, 10_000)


def test_units_beyond_are_found_through_tiers() -> None:
    """100 units at 2, then 1 each: 250 of credit buys 100 + 50 units, so 350 more are beyond and cost 3 each."""
    world = metered(price_bands=bands((0, 2), (100, 1)), cumulative=True, overage_pricing_bands=bands((0, 3)))
    balance(world)
    outcome = drawn(terms_on(world, "2023-03-10"), always(500), wallet=250)
    assert bill(outcome) == [("USAGE", "250.00"), ("BALANCE_CONSUMED", "-250.00"), ("OVERAGE_USAGE", "1050.00")]
    usage = outcome.lines[0].item
    assert usage.units == 150
    assert usage.usage_per_pricing_band is not None
    assert [band.band_units for band in usage.usage_per_pricing_band] == [100, 50]


@pytest.mark.parametrize(
    ("used", "there", "amount"),
    [
        (14, "0", "14.00"),  # of 0.014, which rounds to 0.01, nothing is paid: all 14 units are beyond
        (1234, "0", "1234.00"),
        (1234, "1", "234.00"),  # 1.00 buys 1,000 units
        (1236, "1", "236.00"),
    ],
)
def test_units_beyond_are_those_that_no_money_bought(used: int, there: str, amount: str) -> None:
    """0.001 a unit, and 1.00 beyond: what is lost in rounding the line is not paid for."""
    world = metered(price_bands=bands((0, "0.001")), cumulative=True, overage_pricing_bands=bands((0, 1)))
    commitment(world)
    outcome = drawn(terms_on(world, "2023-03-10"), always(used), commitment=there)
    assert [amount for kind, amount in bill(outcome) if kind == "OVERAGE_USAGE"] == [amount]


def test_a_surcharge_takes_the_place_of_overage_prices() -> None:
    world = metered(price_bands=bands((0, 1)), cumulative=True, overage_pricing_bands=bands((0, 5)))
    balance(world, overage_surcharge_percent=Decimal(10))
    outcome = drawn(terms_on(world, "2023-03-10"), always(110), wallet=100)
    assert bill(outcome) == [("USAGE", "110.00"), ("BALANCE_CONSUMED", "-100.00"), ("OVERAGE_SURCHARGE", "1.00")]


def test_a_negative_surcharge_is_a_discount() -> None:
    world = metered(1)
    commitment(world, overage_surcharge_percent=Decimal(-20))
    outcome = drawn(terms_on(world, "2023-03-10"), always(1_000), commitment=600)
    assert bill(outcome)[-1] == ("OVERAGE_SURCHARGE", "-80.00")
    assert due(outcome) == Decimal("320.00")


@pytest.mark.parametrize(
    ("there", "lines"),
    [
        (600, [("USAGE", "600.00"), ("COMMITMENT_CONSUMED", "-600.00"), ("OVERAGE_USAGE", "400.00")]),
        (0, [("OVERAGE_USAGE", "1000.00")]),
        (1000, [("USAGE", "1000.00"), ("COMMITMENT_CONSUMED", "-1000.00")]),
    ],
)
def test_overage_on_a_line_of_its_own(there: int, lines: list[tuple[str, str]]) -> None:
    world = metered(1)
    commitment(world, separate_overage_usage=True)
    assert bill(drawn(terms_on(world, "2023-03-10"), always(1_000), commitment=there)) == lines


def credits_world(**given: Any) -> World:
    """Calls at 1 and exports at 5, priced in credits, billed in USD at 0.01."""
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
    balance(world, currency="CRD", **given)
    return world


def test_credits_of_our_own() -> None:
    """10,000 credits less 5,000 calls at 1 and 200 exports at 5 leave 4,000."""
    terms = terms_on(credits_world(), "2023-03-10")
    outcome = drawn(terms, by_field(calls=5_000, exports=200), wallet=10_000)
    (draw,) = outcome.draws
    assert (draw.currency, Decimal(10_000) - draw.amount) == ("CRD", Decimal(4_000))
    consumed = outcome.lines[-1].item
    assert (consumed.subtotal, consumed.converted_subtotal) == (Decimal(-6_000), Decimal("-60.00"))
    assert due(outcome) == 0


def test_credits_that_run_out_leave_money_to_pay() -> None:
    outcome = drawn(terms_on(credits_world(), "2023-03-10"), by_field(calls=5_000, exports=200), wallet=5_500)
    assert outcome.draws[0].amount == 5_500
    assert due(outcome) == Decimal("5.00")


def test_a_wallet_may_be_for_one_aggregation_only() -> None:
    world = credits_world(aggregation_ids=(id_of("aggregation", "Exports"),))
    outcome = drawn(terms_on(world, "2023-03-10"), by_field(calls=5_000, exports=200), wallet=10_000)
    assert outcome.draws[0].amount == 1_000


def test_a_wallet_in_a_third_currency_needs_its_rate() -> None:
    world = metered(1)
    world.currency("EUR", 2)
    balance(world, currency="EUR")
    with pytest.raises(Refusal) as refusal:
        drawn(terms_on(world, "2023-03-10"), always(100), wallet=100)
    assert refusal.value.code.name == "missing_conversion_rate"
    world.config(currency_conversions=(CurrencyConversion(from_="EUR", to="USD", multiplier=Decimal("1.25")),))
    outcome = drawn(terms_on(world, "2023-03-10"), always(200), wallet=100)
    assert outcome.draws[0].amount == 100
    assert bill(outcome) == [("USAGE", "200.00"), ("BALANCE_CONSUMED", "-125.00")]


ORDER = (CreditType.BALANCE, CreditType.PREPAYMENT)


@pytest.mark.parametrize(
    ("order", "types"),
    [
        (None, ["COMMITMENT_CONSUMED", "BALANCE_CONSUMED"]),
        (ORDER, ["BALANCE_CONSUMED"]),
        ((CreditType.PREPAYMENT,), ["COMMITMENT_CONSUMED"]),
    ],
)
def test_order_of_kinds(order: tuple[CreditType, ...] | None, types: list[str]) -> None:
    world = metered(1)
    commitment(world)
    balance(world)
    world.account(credit_application_order=order)
    terms = terms_on(world, "2023-03-10")
    there = {each.id: Decimal(100 if each.commitment else 1000) for each in terms.credits}
    outcome = drawn_of(terms, rated(terms, always(500)), there)
    assert [kind for kind, _ in bill(outcome)][1:] == types


def test_what_ends_first_is_drawn_first_unless_priorities_say_otherwise() -> None:
    world = metered(1)
    late = balance(world, "late", end_date=at("2024-06-01"))
    soon = balance(world, "soon", end_date=at("2023-12-01"))
    assert [each.id for each in terms_on(world, "2023-03-10").credits] == [soon.id, late.id]
    late = balance(world, "late", end_date=at("2024-06-01"), priority=3)
    assert [each.id for each in terms_on(world, "2023-03-10").credits] == [late.id, soon.id]


def test_trial_credit_for_one_product_then_the_paid_wallet() -> None:
    world = metered(1)
    balance(world, "trial", end_date=at("2023-01-31"), product_ids=(id_of("product", "API"),))
    balance(world, "paid")
    terms = terms_on(world, "2023-01-10")
    assert [each.name for each in terms.credits] == ["trial", "paid"]


def test_commitment_of_a_contract_draws_only_lines_of_the_contract() -> None:
    world = metered(1)
    commitment(world, contract_id=id_of("contract", "one"))
    assert bill(drawn(terms_on(world, "2023-03-10"), always(500), commitment=1_000)) == [("USAGE", "500.00")]


def test_what_is_given_back_is_not_paid_for_by_credit() -> None:
    """A minimum of 1,000 paid in advance is given back as far as there were charges: credit pays none of these."""
    world = World()
    world.template(minimum_spend=Decimal(1_000), minimum_spend_bill_in_advance=True)
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, 1)))
    world.account()
    world.account_plan()
    balance(world, line_item_types=(CreditLine.USAGE,))
    outcome = drawn(terms_on(world, "2023-03-10"), always(400), wallet=1_000)
    assert outcome.draws == ()
    assert due(outcome) == Decimal("1000.00")


def test_credit_that_ends_before_the_period_pays_nothing() -> None:
    world = metered(1)
    balance(world, end_date=at("2023-03-01"))
    assert terms_on(world, "2023-03-10").credits == ()


def test_only_what_was_used_meanwhile_is_paid_for() -> None:
    """The commitment starts on 10 March: the 100 calls of the 5th are not its business."""
    world = metered(1)
    commitment(world, start_date=date(2023, 3, 10))
    used = [Event(at("2023-03-05"), Decimal(100)), Event(at("2023-03-15"), Decimal(210))]
    outcome = drawn(terms_on(world, "2023-03-20"), summing(used), commitment=1_000)
    assert bill(outcome) == [("USAGE", "310.00"), ("COMMITMENT_CONSUMED", "-210.00")]
    assert [line.item.sequence_number for line in outcome.lines] == [1, 2]


def test_a_standing_charge_is_cut_by_days() -> None:
    """310 for March; the wallet starts on the 22nd and pays for 10 of 31 days."""
    world = World()
    world.template(standing_charge=Decimal(310))
    world.plan()
    world.account()
    world.account_plan()
    balance(world, start_date=at("2023-03-22"))
    outcome = drawn(terms_on(world, "2023-03-20"), wallet=1_000)
    assert bill(outcome) == [("STANDING_CHARGE", "310.00"), ("BALANCE_CONSUMED", "-100.00")]


def test_what_is_carried_over_is_limited() -> None:
    """The wallet ends on 16 March; of what is left then at most 50 may be used until the end of the month."""
    world = metered(1)
    balance(world, end_date=at("2023-03-16"), rollover_end_date=at("2023-04-01"), rollover_amount=Decimal(50))
    used = [Event(at("2023-03-05"), Decimal(100)), Event(at("2023-03-20"), Decimal(80))]
    outcome = drawn(terms_on(world, "2023-03-20"), summing(used), wallet=1_000)
    assert [(draw.amount, draw.from_rollover) for draw in outcome.draws] == [(100, False), (50, True)]
    assert due(outcome) == Decimal("30.00")


def test_a_credit_memo_is_not_taken_off_the_charges() -> None:
    """What people give back stays given: the wallet pays for all of the usage, and 30 are owed to the customer."""
    world = metered(1)
    balance(world)
    terms = terms_on(world, "2023-03-10")
    (usage,) = rated(terms, always(100))
    item = msgspec.structs.replace(
        usage.item,
        id=id_of("line", "memo"),
        line_item_type=LineItemType.CREDIT_MEMO,
        subtotal=Decimal("-30.00"),
        converted_subtotal=Decimal("-30.00"),
    )
    outcome = drawn_of(terms, [usage, RatedLine(item=item, working=())], {terms.credits[0].id: Decimal(500)})
    assert [draw.amount for draw in outcome.draws] == [100]
    assert due(outcome) == Decimal("-30.00")


# ------------------------------------------------------------------------------------------------ usage for nothing

FREE = {"cumulative": True, "overage_pricing_bands": bands((0, "0.5"))}


@pytest.mark.parametrize(
    ("price", "rule", "used", "there", "lines"),
    [
        (0, {}, 40, 0, [("OVERAGE_USAGE", "20.00")]),  # 40 at 0.5: what is beyond counts by units
        (0, {}, 40, 1, [("USAGE", "0.00")]),  # there is credit left, and nothing to pay
        ("0.001", {}, 3, 0, [("OVERAGE_USAGE", "1.50")]),  # 0.003 is no money
        (0, {"overage_surcharge_percent": Decimal(10)}, 40, 0, [("USAGE", "0.00")]),  # 10% of nothing
    ],
)
def test_usage_for_nothing_beyond_credit(
    price: object, rule: dict[str, Decimal], used: int, there: int, lines: list[tuple[str, str]]
) -> None:
    world = metered(price_bands=bands((0, price)), **FREE)
    commitment(world, **rule)
    assert bill(drawn(terms_on(world, "2023-03-10"), always(used), commitment=there)) == lines


def test_usage_for_nothing_has_a_line_of_its_own_where_that_is_agreed() -> None:
    world = metered(0)
    commitment(world, separate_overage_usage=True)
    (line,) = drawn(terms_on(world, "2023-03-10"), always(40), commitment=0).lines
    assert (str(line.item.line_item_type), line.item.units, str(line.item.subtotal)) == ("OVERAGE_USAGE", 40, "0.00")
    (line,) = drawn(terms_on(world, "2023-03-10"), always(40), commitment=9).lines
    assert line.item.line_item_type is LineItemType.USAGE


@pytest.mark.parametrize("cut", [True, False])
def test_units_that_are_free_come_first_however_the_period_is_cut(*, cut: bool) -> None:
    """100 free and 100 at 1, of which 50 are paid for: 50 are beyond, at 3 each; 150 are not."""
    world = metered(price_bands=bands((0, 0), (100, 1)), cumulative=True, overage_pricing_bands=bands((0, 3)))
    commitment(world)
    if cut:
        balance(world, start_date=at("2023-03-10"))
    used = [Event(at("2023-03-05"), Decimal(100)), Event(at("2023-03-20"), Decimal(100))]
    outcome = drawn(terms_on(world, "2023-03-20"), summing(used), commitment=50)
    assert bill(outcome) == [("USAGE", "50.00"), ("COMMITMENT_CONSUMED", "-50.00"), ("OVERAGE_USAGE", "150.00")]
    assert [line.item.units for line in outcome.lines] == [150, 1, 50]


def test_usage_for_nothing_needs_no_rate() -> None:
    world = metered(0)
    world.currency("EUR", 2)
    balance(world, currency="EUR")
    assert bill(drawn(terms_on(world, "2023-03-10"), always(100), wallet=100)) == [("USAGE", "0.00")]
