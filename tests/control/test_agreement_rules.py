"""What is refused of compound aggregations, counters, plan groups, contracts and charges, and what is accepted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from shop import NOWHERE, Shop, account_body, aggregation_body, meter_body, pricing_body, refused, template_body

from tallystick.control.account_plans import ACCOUNT_PLANS
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.bill_memos import BILL_MEMOS
from tallystick.control.charges import CHARGES
from tallystick.control.compound_aggregations import COMPOUND_AGGREGATIONS
from tallystick.control.contracts import CONTRACTS
from tallystick.control.counter_adjustments import COUNTER_ADJUSTMENTS
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.control.counters import COUNTERS
from tallystick.control.currencies import CURRENCIES
from tallystick.control.desk import Noun
from tallystick.control.meters import METERS
from tallystick.control.organization_config import CONFIG
from tallystick.control.picklists import BILL_GROUPING_KEYS, CREDIT_REASONS
from tallystick.control.plan_group_links import PLAN_GROUP_LINKS
from tallystick.control.plan_groups import PLAN_GROUPS
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS
from tallystick.control.products import PRODUCTS
from tallystick.core.charge import Charge, exact_amount
from tallystick.ports.founded import config_of

CONTRACT: dict[str, object] = {"name": "Year", "startDate": "2025-01-01", "endDate": "2026-01-01"}


def compound_body(**changes: object) -> dict[str, object]:
    body = {"name": "Ratio", "calculation": "aggregation.bytes_stored / 2", "quantityPerUnit": 1}
    return {**body, "rounding": "NONE", "unit": "1", **changes}


def charge_body(**changes: object) -> dict[str, object]:
    body = {
        "accountId": NOWHERE,
        "code": "setup",
        "name": "Set-up",
        "currency": "USD",
        "entityType": "AD_HOC",
        "lineItemType": "AD_HOC",
        "servicePeriodStartDate": "2025-01-01T00:00:00Z",
        "servicePeriodEndDate": "2025-02-01T00:00:00Z",
        "amount": 10,
    }
    return {**body, **changes}


def memo_body(**changes: object) -> dict[str, object]:
    body = {
        "billId": NOWHERE,
        "lineItemType": "CREDIT_MEMO",
        "productId": NOWHERE,
        "accountingProductId": NOWHERE,
        "amount": 10,
        "description": "Outage",
        "referencedBillId": NOWHERE,
        "referencedLineItemId": NOWHERE,
        "servicePeriodStartDate": "2025-01-01T00:00:00Z",
        "servicePeriodEndDate": "2025-02-01T00:00:00Z",
    }
    return {**body, **changes}


def counter_pricing_body(**changes: object) -> dict[str, object]:
    return pricing_body(counterId=NOWHERE, planId=NOWHERE, **changes)


MALFORMED: tuple[tuple[Noun[Any], dict[str, object], str], ...] = (
    (COMPOUND_AGGREGATIONS, compound_body(calculation=""), "$.calculation"),
    (COMPOUND_AGGREGATIONS, compound_body(calculation="1" * 5001), "$.calculation"),
    (COMPOUND_AGGREGATIONS, compound_body(quantityPerUnit=0), "quantityPerUnit: must be above 0"),
    (COMPOUND_AGGREGATIONS, compound_body(code="1st"), "$.code"),
    (COMPOUND_AGGREGATIONS, compound_body(rounding="SOME"), "$.rounding"),
    (COUNTERS, {"name": "Seats", "unit": ""}, "$.unit"),
    (COUNTER_PRICINGS, counter_pricing_body(planTemplateId=NOWHERE), "planId: give exactly one"),
    (COUNTER_PRICINGS, counter_pricing_body(pricingBands=[]), "pricingBands: at least one"),
    (COUNTER_PRICINGS, counter_pricing_body(endDate="2025-01-01"), "endDate: must be after startDate"),
    (COUNTER_ADJUSTMENTS, {"accountId": NOWHERE, "counterId": NOWHERE, "date": "2025-01-01", "value": -1}, "$.value"),
    (COUNTER_ADJUSTMENTS, {"accountId": NOWHERE, "counterId": NOWHERE, "date": "2025-01-01", "value": 1.5}, "$.value"),
    (COUNTER_ADJUSTMENTS, {"accountId": NOWHERE, "counterId": NOWHERE, "date": "today", "value": 1}, "$.date"),
    (PLAN_GROUPS, {"name": "All", "currency": "DOLLAR"}, "$.currency"),
    (PLAN_GROUPS, {"name": "All", "currency": "USD", "standingCharge": -1}, "standingCharge: must be 0 or more"),
    (PLAN_GROUPS, {"name": "All", "currency": "USD", "minimumSpend": -1}, "minimumSpend: must be 0 or more"),
    (CONTRACTS, {"accountId": NOWHERE, **CONTRACT, "endDate": "2025-01-01"}, "endDate: must be after startDate"),
    (CONTRACTS, {"accountId": NOWHERE, **CONTRACT, "description": "x" * 501}, "$.description"),
    (CONTRACTS, {"accountId": NOWHERE, **CONTRACT, "usageFilters": [{"mode": "INCLUDE"}]}, "$.usageFilters[0]"),
    (BILL_GROUPING_KEYS, {"name": "Apart"}, "exclusive"),
    (CREDIT_REASONS, {"name": "Outage", "code": "an outage"}, "$.code"),
    (CHARGES, charge_body(amount=None), "amount: give amount, or both units and unitPrice"),
    (CHARGES, charge_body(amount=None, units=1), "amount: give amount, or both units and unitPrice"),
    (CHARGES, charge_body(units=1), "not both"),
    (CHARGES, charge_body(unitPrice=1), "not both"),
    (CHARGES, charge_body(lineItemType="BALANCE_FEE"), "lineItemType: BALANCE_FEE goes with"),
    (CHARGES, charge_body(lineItemType="BALANCE_FEE", entityType="BALANCE"), "entityId: the balance"),
    (CHARGES, charge_body(entityId=NOWHERE), "entityId: the balance"),
    (CHARGES, charge_body(servicePeriodEndDate="2024-12-31"), "servicePeriodEndDate: must not be before"),
    (BILL_MEMOS, memo_body(amount=0), "amount: must be above 0"),
    (BILL_MEMOS, memo_body(amount=-5), "amount: must be above 0"),
    (BILL_MEMOS, memo_body(amountToApplyOnBill=11), "amountToApplyOnBill: must be above 0 and at most amount"),
    (BILL_MEMOS, memo_body(servicePeriodEndDate="2024-12-31"), "servicePeriodEndDate: must not be before"),
)


@pytest.mark.parametrize(("noun", "body", "says"), MALFORMED)
def test_a_value_that_makes_no_sense_alone_is_refused_when_read(
    noun: Noun[Any], body: dict[str, object], says: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        Shop.read(noun, body)
    assert says in str(caught.value)


# --------------------------------------------------------------------------------------------- compound aggregations

CALCULATIONS: tuple[tuple[str, str], ...] = (
    ("aggregation.bytes_stored +", "expected a value"),
    ("aggregation.bites / 2", "no aggregation with the code 'bites'"),
    ("bytes_stored / 2", "unknown field 'bytes_stored'"),
    ("aggregation.bytes_stored > 2", "must give a number; it gives a boolean"),
    ("'many'", "must give a number; it gives a text"),
    ("aggregation.bytes_stored AND true", "AND needs a boolean"),
    ("1 + 1", "must use at least one aggregation"),
)


@pytest.mark.parametrize(("calculation", "says"), CALCULATIONS)
def test_a_calculation_gives_a_number_from_aggregations(shop: Shop, calculation: str, says: str) -> None:
    refusal = refused(lambda: shop.make(COMPOUND_AGGREGATIONS, **compound_body(calculation=calculation)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "calculation")
    assert says in refusal.message


def test_formulas_of_the_language_are_accepted(shop: Shop) -> None:
    """Requests less what is free per application, after the reference's worked example 2."""
    for code in ("requests", "applications"):
        shop.make(AGGREGATIONS, **aggregation_body(code=code, meterId=shop.meter))
    for number, calculation in enumerate(
        (
            "Math.max(aggregation.requests - 100 * aggregation.applications, 0)",
            "aggregation.requests + aggregation.applications + aggregation.bytes_stored / 60",
            "aggregation.applications > 5 ? aggregation.requests : isnull(aggregation.requests, 0) / 2",
            "-aggregation.requests ^ 2 % 7",
        )
    ):
        shop.make(COMPOUND_AGGREGATIONS, **compound_body(code=f"c{number}", calculation=calculation))


def test_a_compound_aggregation_of_a_product_uses_its_own_and_global_aggregations(shop: Shop) -> None:
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    refusal = refused(lambda: shop.make(COMPOUND_AGGREGATIONS, **compound_body(productId=other)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "calculation")
    assert f"aggregation.bytes_stored counts the product {shop.product}" in refusal.message
    everywhere = shop.make(METERS, **meter_body(code="everywhere"))
    shop.make(AGGREGATIONS, **aggregation_body(code="global", meterId=everywhere))
    shop.make(COMPOUND_AGGREGATIONS, **compound_body(productId=other, calculation="aggregation.global"))
    both = "aggregation.global + aggregation.bytes_stored"
    shop.make(COMPOUND_AGGREGATIONS, **compound_body(productId=shop.product, calculation=both))
    shop.make(COMPOUND_AGGREGATIONS, **compound_body(calculation=both))


def test_what_a_calculation_names_stays(shop: Shop) -> None:
    compound = shop.make(COMPOUND_AGGREGATIONS, **compound_body(productId=shop.product))
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    for act, code, field in (
        (lambda: AGGREGATIONS.delete(shop.desk, shop.aggregation), "in_use", "id"),
        (lambda: shop.change(AGGREGATIONS, shop.aggregation, code="other"), "in_use", "code"),
        (lambda: shop.change(AGGREGATIONS, shop.aggregation, code=None), "in_use", "code"),
        (lambda: shop.change(METERS, shop.meter, productId=other), "rule_broken", "productId"),
    ):
        refusal = refused(act)
        assert (refusal.code.name, refusal.field) == (code, field)
        assert compound in refusal.message
    shop.change(METERS, shop.meter, productId=None)
    moved = shop.make(METERS, **meter_body(code="moved", productId=other))
    refusal = refused(lambda: shop.change(AGGREGATIONS, shop.aggregation, meterId=moved))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "meterId")
    shop.change(AGGREGATIONS, shop.aggregation, name="Another name")
    COMPOUND_AGGREGATIONS.delete(shop.desk, compound)
    AGGREGATIONS.delete(shop.desk, shop.aggregation)


def test_a_compound_aggregation_is_priced_like_another(shop: Shop) -> None:
    compound = shop.make(COMPOUND_AGGREGATIONS, **compound_body(productId=shop.product))
    priced: dict[str, object] = {"aggregationId": None, "compoundAggregationId": compound}
    pricing = shop.price(**priced)
    assert PRICINGS.retrieve(shop.desk.records, pricing).value.pricing_bands[0].id is not None
    refusal = refused(lambda: shop.price(**priced))
    assert pricing in refusal.message
    refusal = refused(lambda: shop.price(**priced, segment={"region": "eu"}, startDate="2030-01-01"))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "segment")
    refusal = refused(lambda: COMPOUND_AGGREGATIONS.delete(shop.desk, compound))
    assert (refusal.code.name, pricing in refusal.message) == ("in_use", True)
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    template = shop.make(PLAN_TEMPLATES, **template_body(code="compute", productId=other))
    refusal = refused(lambda: shop.price(**priced, planId=None, planTemplateId=template))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "compoundAggregationId")
    shop.change(COMPOUND_AGGREGATIONS, compound, productId=None)
    shop.price(**priced, planId=None, planTemplateId=template)
    refusal = refused(lambda: shop.change(COMPOUND_AGGREGATIONS, compound, productId=shop.product))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "productId")


# --------------------------------------------------------------------------------------------------------- counters


def test_a_counter_is_priced_in_its_product_once_at_a_time(shop: Shop) -> None:
    seats = shop.make(COUNTERS, name="Seats", unit="seat", productId=shop.product)
    first = shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planId=shop.plan, endDate="2025-07-01"))
    assert COUNTER_PRICINGS.retrieve(shop.desk.records, first).value.pricing_bands[0].id is not None
    refusal = refused(lambda: shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planId=shop.plan)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "startDate")
    assert first in refusal.message
    shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planId=shop.plan, startDate="2025-07-01"))
    shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planTemplateId=shop.template))
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    template = shop.make(PLAN_TEMPLATES, **template_body(code="compute", productId=other))
    refusal = refused(lambda: shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planTemplateId=template)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "counterId")
    refusal = refused(lambda: shop.change(COUNTERS, seats, productId=other))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "productId")
    assert first in refusal.message
    shop.change(COUNTERS, seats, productId=None)
    shop.make(COUNTER_PRICINGS, **pricing_body(counterId=seats, planTemplateId=template))
    assert refused(lambda: COUNTERS.delete(shop.desk, seats)).code.name == "in_use"


def test_a_counter_has_one_level_a_day_for_each_account(shop: Shop) -> None:
    seats = shop.make(COUNTERS, name="Seats", unit="seat")
    desks = shop.make(COUNTERS, name="Desks", unit="desk")
    other = shop.make(ACCOUNTS, **account_body("zenith"))
    day: dict[str, object] = {"accountId": shop.account, "counterId": seats, "date": "2024-06-01", "value": 15}
    first = shop.make(COUNTER_ADJUSTMENTS, **day)
    refusal = refused(lambda: shop.make(COUNTER_ADJUSTMENTS, **{**day, "value": 18}))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "date")
    assert first in refusal.message
    for change in ({"accountId": other}, {"counterId": desks}, {"date": "2024-06-15"}):
        shop.make(COUNTER_ADJUSTMENTS, **{**day, **change})
    shop.change(COUNTER_ADJUSTMENTS, first, value=0)
    assert refused(lambda: shop.change(COUNTER_ADJUSTMENTS, first, date="2024-06-15")).field == "date"


# ------------------------------------------------------------------------------------------------------ plan groups


def sibling(shop: Shop, code: str, **changes: object) -> str:
    """A plan of a product of its own."""
    product = shop.make(PRODUCTS, name=code.title(), code=code)
    template = shop.make(PLAN_TEMPLATES, **template_body(code=code, productId=product, **changes))
    return shop.make(PLANS, name=code.title(), code=code, planTemplateId=template)


def link(shop: Shop, group: str, plan: str) -> str:
    return shop.make(PLAN_GROUP_LINKS, planGroupId=group, planId=plan)


def test_a_group_has_one_plan_of_each_product(shop: Shop) -> None:
    group = shop.make(PLAN_GROUPS, name="All", currency="USD")
    first = link(shop, group, shop.plan)
    pro = shop.make(PLANS, name="Pro", code="pro", planTemplateId=shop.template)
    for plan in (shop.plan, pro):
        refusal = refused(lambda plan=plan: link(shop, group, plan))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "planId")
        assert shop.product in refusal.message
    shop.change(PLAN_GROUP_LINKS, first, planId=pro)
    link(shop, group, sibling(shop, "compute"))
    another = shop.make(PLAN_GROUPS, name="Another", currency="USD")
    link(shop, another, shop.plan)


def test_the_plans_of_a_group_are_billed_as_one(shop: Shop) -> None:
    shop.make(CURRENCIES, name="Euro", code="EUR")
    group = shop.make(PLAN_GROUPS, name="All", currency="USD")
    in_group = link(shop, group, shop.plan)
    for code, change, says in (
        ("euro", {"currency": "EUR"}, "priced in EUR"),
        ("yearly", {"billFrequency": "ANNUALLY"}, "billed MONTHLY every 1, this one ANNUALLY every 1"),
        ("quarterly", {"billFrequencyInterval": 3}, "this one MONTHLY every 3"),
    ):
        refusal = refused(lambda code=code, change=change: link(shop, group, sibling(shop, code, **change)))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "planId")
        assert says in refusal.message
    refusal = refused(lambda: shop.change(PLAN_GROUPS, group, currency="EUR"))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "currency")
    for change, field in (({"currency": "EUR"}, "currency"), ({"billFrequencyInterval": 3}, "billFrequency")):
        refusal = refused(lambda change=change: shop.change(PLAN_TEMPLATES, shop.template, **change))
        assert (refusal.code.name, refusal.field, in_group in refusal.message) == ("in_use", field, True)
    slow = template_body(code="slow", productId=shop.product, billFrequencyInterval=3)
    template = shop.make(PLAN_TEMPLATES, **slow)
    refusal = refused(lambda: shop.change(PLANS, shop.plan, planTemplateId=template))
    assert (refusal.code.name, refusal.field, in_group in refusal.message) == ("in_use", "planTemplateId", True)
    PLAN_GROUP_LINKS.delete(shop.desk, in_group)
    shop.change(PLANS, shop.plan, planTemplateId=template)


def test_a_bespoke_plan_is_only_in_groups_of_its_account(shop: Shop) -> None:
    zenith = shop.make(ACCOUNTS, **account_body("zenith"))
    bespoke = {"bespoke": True, "accountId": shop.account}
    plan = shop.make(PLANS, name="Acme's", code="acmes", planTemplateId=shop.template, **bespoke)
    for owner in (None, zenith):
        group = shop.make(PLAN_GROUPS, name="All", currency="USD", accountId=owner)
        refusal = refused(lambda group=group: link(shop, group, plan))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "planId")
    group = shop.make(PLAN_GROUPS, name="Acme's", currency="USD", accountId=shop.account)
    link(shop, group, plan)
    refusal = refused(lambda: shop.change(PLAN_GROUPS, group, accountId=None))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "accountId")
    common = shop.make(PLAN_GROUPS, name="Common", currency="USD")
    link(shop, common, shop.plan)
    refusal = refused(lambda: shop.change(PLANS, shop.plan, **bespoke))
    assert (refusal.code.name, refusal.field, common in refusal.message) == ("in_use", "accountId", True)


def test_a_group_is_attached_as_the_plans_in_it_are(shop: Shop) -> None:
    group = shop.make(PLAN_GROUPS, name="All", currency="USD")
    first = link(shop, group, shop.plan)
    attached = shop.attach(planId=None, planGroupId=group, endDate="2026-01-01T00:00:00Z")
    refusal = refused(shop.attach)
    assert (refusal.code.name, refusal.field) == ("overlapping_plan", "startDate")
    assert attached in refusal.message
    compute = sibling(shop, "compute")
    alone = shop.attach(planId=compute)
    refusal = refused(lambda: link(shop, group, compute))
    assert (refusal.code.name, refusal.field, alone in refusal.message) == ("overlapping_plan", "planId", True)
    assert refused(lambda: PLAN_GROUPS.delete(shop.desk, group)).code.name == "in_use"
    PLAN_GROUP_LINKS.delete(shop.desk, first)
    shop.attach()
    zenith = shop.make(ACCOUNTS, **account_body("zenith"))
    refusal = refused(lambda: shop.change(PLAN_GROUPS, group, accountId=zenith))
    assert (refusal.code.name, refusal.field, attached in refusal.message) == ("in_use", "accountId", True)
    made_for = shop.make(PLAN_GROUPS, name="Zenith's", currency="USD", accountId=zenith)
    refusal = refused(lambda: shop.attach(planId=None, planGroupId=made_for, startDate="2030-01-01"))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "planGroupId")


# -------------------------------------------------------------------------------------------- contracts and charges


def test_a_contract_is_named_by_its_account_and_that_ones_children(shop: Shop) -> None:
    contract = shop.make(CONTRACTS, accountId=shop.account, **CONTRACT)
    child = shop.make(ACCOUNTS, **account_body("labs", parentAccountId=shop.account))
    stranger = shop.make(ACCOUNTS, **account_body("zenith"))
    attached = shop.attach(contractId=contract)
    shop.attach(contractId=contract, accountId=child)
    for act in (
        lambda: shop.attach(contractId=contract, accountId=stranger),
        lambda: shop.make(CHARGES, **charge_body(contractId=contract, accountId=stranger)),
    ):
        refusal = refused(act)
        assert (refusal.code.name, refusal.field) == ("rule_broken", "contractId")
    refusal = refused(lambda: shop.change(CONTRACTS, contract, accountId=stranger))
    assert (refusal.code.name, refusal.field) == ("in_use", "accountId")
    shop.change(CONTRACTS, contract, endDate="2027-01-01")
    refusal = refused(lambda: CONTRACTS.delete(shop.desk, contract))
    assert (refusal.code.name, f"account plan {attached}" in refusal.message) == ("in_use", True)


def test_a_grouping_key_and_a_currency_in_use_stay(shop: Shop) -> None:
    key = shop.make(BILL_GROUPING_KEYS, name="Apart", exclusive=True)
    shop.make(CONTRACTS, accountId=shop.account, **CONTRACT, billGroupingKeyId=key)
    assert refused(lambda: BILL_GROUPING_KEYS.delete(shop.desk, key)).code.name == "in_use"
    for noun, body in (
        (PLAN_GROUPS, {"name": "All", "currency": "EUR"}),
        (CHARGES, charge_body(accountId=shop.account, currency="EUR")),
    ):
        refusal = refused(lambda noun=noun, body=body: shop.make(noun, **body))
        assert (refusal.code.name, refusal.field) == ("unknown_reference", "currency")
    euro = shop.make(CURRENCIES, name="Euro", code="EUR")
    charge = shop.make(CHARGES, **charge_body(accountId=shop.account, currency="EUR"))
    refusal = refused(lambda: CURRENCIES.delete(shop.desk, euro))
    assert (refusal.code.name, charge in refusal.message) == ("in_use", True)


AMOUNTS: tuple[tuple[dict[str, object], str], ...] = (
    ({"amount": Decimal("-12.345")}, "-12.345"),
    ({"amount": None, "units": 3, "unitPrice": Decimal("0.1")}, "0.3"),
    ({"amount": None, "units": Decimal("1E-15"), "unitPrice": Decimal("12345678901234567.8")}, "12.3456789012345678"),
)


@pytest.mark.parametrize(("changes", "amount"), AMOUNTS)
def test_a_charge_is_an_amount_or_units_at_a_price(changes: dict[str, object], amount: str) -> None:
    charge: Charge = Shop.read(CHARGES, charge_body(**changes))
    assert exact_amount(charge) == Decimal(amount)


DAYS: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"billDate": "2025-03-09"}, "UTC", "2025-03-09"),
    ({}, "UTC", "2025-01-31"),
    ({}, "America/New_York", "2025-01-31"),
    ({}, "Asia/Tokyo", "2025-02-01"),
    ({"servicePeriodEndDate": "2025-01-01T00:00:00Z"}, "UTC", "2025-01-01"),
    ({"servicePeriodEndDate": "2025-01-01T00:00:00Z"}, "America/New_York", "2024-12-31"),
)


@pytest.mark.parametrize(("changes", "zone", "day"), DAYS)
def test_a_charge_without_a_bill_date_is_billed_with_its_last_day(
    changes: dict[str, object], zone: str, day: str
) -> None:
    charge: Charge = Shop.read(CHARGES, charge_body(**changes))
    assert charge.billed_on(zone).isoformat() == day


def test_overlaps_that_the_organization_allows(shop: Shop) -> None:
    group = shop.make(PLAN_GROUPS, name="All", currency="USD")
    link(shop, group, shop.plan)
    shop.change(CONFIG, config_of(shop.desk.records).id, allowOverlappingPlans=True)
    shop.attach()
    shop.attach(planId=None, planGroupId=group)
    assert len(list(shop.desk.records.every(ACCOUNT_PLANS.of))) == 2
