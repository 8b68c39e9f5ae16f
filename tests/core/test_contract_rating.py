"""Contracts on bills: what they limit, which usage they are about, whose number the bill shows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing_world import World, always, amounts, bands, lines_of
from tallystick.core.contract import UsageFilter, UsageFilterMode
from tallystick.core.entity import Entity
from tallystick.core.expression import evaluate, parse
from tallystick.core.meter import Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.usage import questions
from tallystick.core.usage_filters import narrowed
from tallystick.core.uses import uses_of
from tallystick.errors import Refusal

INCLUDE, EXCLUDE = UsageFilterMode.INCLUDE, UsageFilterMode.EXCLUDE


def by(mode: UsageFilterMode, code: str, value: str) -> UsageFilter:
    return UsageFilter(dimension_code=code, mode=mode, value=value)


def meter(*texts: str) -> Meter:
    return World().meter("requests", ("calls",), texts).value


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ((), {"eu/a", "us/a", "eu/b", "-/a"}),
        ((by(INCLUDE, "region", "eu"),), {"eu/a", "eu/b"}),
        ((by(INCLUDE, "region", "eu"), by(INCLUDE, "region", "us")), {"eu/a", "us/a", "eu/b"}),
        ((by(INCLUDE, "region", "eu"), by(INCLUDE, "team", "a")), {"eu/a"}),
        ((by(EXCLUDE, "region", "eu"),), {"us/a", "-/a"}),
        ((by(EXCLUDE, "region", "eu"), by(EXCLUDE, "region", "us")), {"-/a"}),
        ((by(INCLUDE, "team", "a"), by(EXCLUDE, "region", "us")), {"eu/a", "-/a"}),
        ((by(INCLUDE, "planet", "mars"),), set()),
        ((by(EXCLUDE, "planet", "mars"),), {"eu/a", "us/a", "eu/b", "-/a"}),
        ((by(INCLUDE, "calls", "1"),), set()),  # a number is no dimension
    ],
)
def test_usage_that_a_contract_is_about(filters: tuple[UsageFilter, ...], kept: set[str]) -> None:
    text = narrowed(None, filters, meter("region", "team"))
    events = [("eu", "a"), ("us", "a"), ("eu", "b"), (None, "a")]
    found = {
        f"{region or '-'}/{team}"
        for region, team in events
        if text is None or evaluate(parse(text), {"region": region, "team": team}) is True
    }
    assert found == kept


def test_filter_of_the_aggregation_holds_too() -> None:
    text = narrowed("calls > 1 OR calls < 0", (by(INCLUDE, "region", "eu"),), meter("region"))
    assert text == "(calls > 1 OR calls < 0) AND region == 'eu'"


@pytest.mark.parametrize("value", ["it's", 'a "b"', "back\\slash", "line\nfeed", "true", "' OR true OR region == '"])
def test_values_are_texts_whatever_they_hold(value: str) -> None:
    text = narrowed(None, (by(INCLUDE, "region", value),), meter("region"))
    assert text is not None
    assert evaluate(parse(text), {"region": value}) is True
    assert evaluate(parse(text), {"region": value + "x"}) is False


def test_more_values_than_a_filter_holds_are_refused() -> None:
    many = tuple(by(INCLUDE, "region", f"{index:0256}") for index in range(30))
    with pytest.raises(Refusal, match="usageFilters") as caught:
        narrowed(None, many, meter("region"))
    assert caught.value.code.name == "rule_broken"


def agreed(**contract: object) -> tuple[World, Entity[OrganizationConfig]]:
    world = World()
    world.template(standing_charge=Decimal(300), minimum_spend=Decimal(0))
    world.aggregation("calls", world.meter("requests", ("calls",), ("region",)))
    world.plan()
    world.pricing("price", bands((0, "0.10")))
    world.account(purchase_order_number="PO-ACCOUNT")
    made = world.contract(**contract)  # type: ignore[arg-type]  # passed on as they are
    world.account_plan(contract_id=made.id)
    return world, world.config()


@pytest.mark.parametrize(
    ("limits", "first", "days", "fee"), [(True, "2023-04-11", 20, "200.00"), (False, "2023-04-01", 30, "300.00")]
)
def test_only_what_lies_inside_the_contract_is_charged_where_it_limits(
    limits: bool, first: str, days: int, fee: str
) -> None:
    world, _ = agreed(start="2023-04-11", end="2023-05-11", apply_contract_period_limits=limits)
    terms = world.terms("2023-04-15")
    assert [str(each.period.start.date()) for each in questions(terms, 7)] == [first]
    lines = lines_of(terms, always(1000))
    assert amounts(lines) == [("STANDING_CHARGE", "Standing Charge", fee), ("USAGE", "calls", "100.00")]
    assert {line.item.contract_id for line in lines} == {terms.account_plans[0].account_plan.value.contract_id}
    after = world.terms("2023-05-15")
    assert [str(each.period.end.date()) for each in questions(after, 7)] == ["2023-05-11" if limits else "2023-06-01"]
    assert bool(world.terms("2023-06-15").account_plans) is not limits


def test_days_of_a_contract_are_of_the_organizations_time_zone() -> None:
    world, _ = agreed(start="2023-04-11", end="2024-01-01", apply_contract_period_limits=True)
    world.config(timezone="America/New_York")
    (question,) = questions(world.terms("2023-04-15"), 7)
    assert question.period.start.wire() == "2023-04-11T04:00:00.000Z"


def test_questions_carry_the_usage_filters() -> None:
    world, _ = agreed(usage_filters=(by(INCLUDE, "region", "eu"),))
    assert {each.filter for each in questions(world.terms("2023-04-15"), 7)} == {"region == 'eu'"}


def test_purchase_order_of_the_contract_goes_before_the_accounts() -> None:
    world, _ = agreed(purchase_order_number="PO-7")
    assert world.terms("2023-04-15").purchase_order_number == "PO-7"
    world, _ = agreed()
    assert world.terms("2023-04-15").purchase_order_number == "PO-ACCOUNT"


def test_a_bill_of_two_contracts_shows_the_accounts_purchase_order() -> None:
    world, _ = agreed(purchase_order_number="PO-7")
    other = world.product("Storage")
    plan = world.plan("storage", world.template("storage", other, standing_charge=Decimal(1)))
    world.account_plan(plan, contract_id=world.contract("second", purchase_order_number="PO-8").id)
    assert world.terms("2023-04-15").purchase_order_number == "PO-ACCOUNT"


def test_contracts_with_a_grouping_key_leave_the_accounts_bill() -> None:
    world, _ = agreed()
    key, shared = world.grouping_key("own", exclusive=True), world.grouping_key("shared", exclusive=False)
    contracts = [
        world.contract(name, bill_grouping_key_id=group.id)
        for name, group in (("one", key), ("two", key), ("three", shared), ("four", shared))
    ]
    for contract in contracts:
        product = world.product(contract.value.name)
        plan = world.plan(contract.value.name, world.template(contract.value.name, product, standing_charge=Decimal(1)))
        world.account_plan(plan, contract_id=contract.id)
    groupings = ["", contracts[0].id, contracts[1].id, shared.id]
    names = [
        [each.plan.product.value.name for each in world.terms("2023-04-15", grouping=grouping).account_plans]
        for grouping in groupings
    ]
    assert names == [["API"], ["one"], ["two"], ["four", "three"]]
    assert len({world.terms("2023-04-15", grouping=grouping).bill_id for grouping in groupings}) == 4


def test_uses_name_the_contract_and_its_key() -> None:
    world = World()
    world.template(standing_charge=Decimal(1))
    world.plan()
    world.account()
    key = world.grouping_key(exclusive=True)
    contract = world.contract(bill_grouping_key_id=key.id)
    world.account_plan(contract_id=contract.id)
    uses = {(each.kind, each.id) for each in uses_of(world.terms("2023-04-15", grouping=contract.id))}
    assert {("contract", contract.id), ("billgroupingkey", key.id)} <= uses
