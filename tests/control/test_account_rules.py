"""What is refused of accounts, of the plans they have, of currencies and of settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import NOWHERE, Shop, account_body, refused, template_body

from tallystick.control import organization_config
from tallystick.control.account_plans import ACCOUNT_PLANS, overlap
from tallystick.control.accounts import ACCOUNTS, MAX_CHILDREN, children
from tallystick.control.currencies import CURRENCIES, preset
from tallystick.control.desk import Desk, Noun
from tallystick.control.plan_group_links import PLAN_GROUP_LINKS
from tallystick.control.plan_groups import PLAN_GROUPS
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.products import PRODUCTS
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.organization import Currency, OrganizationConfig
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Document, Page, Where
from tallystick.ports.founded import config_of


@pytest.mark.parametrize("address", ["a@b", "a.b+c@mail.example.com", "büro@müller.example"])
def test_a_plausible_address_is_accepted(shop: Shop, address: str) -> None:
    shop.change(ACCOUNTS, shop.account, emailAddress=address)


@pytest.mark.parametrize(
    "address", ["", "acme", "@acme", "acme@", "a b@c", "a@b@c", "a@.b", "a@b.", "x" * 251 + "@b.c"]
)
def test_an_implausible_address_is_refused(shop: Shop, address: str) -> None:
    refusal = refused(lambda: shop.change(ACCOUNTS, shop.account, emailAddress=address))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "emailAddress")


def test_a_hierarchy_has_two_levels(shop: Shop) -> None:
    child = shop.make(ACCOUNTS, **account_body("child", parentAccountId=shop.account))
    refusal = refused(lambda: shop.make(ACCOUNTS, **account_body("grandchild", parentAccountId=child)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "parentAccountId")
    assert f"{child} is itself a child (of {shop.account})" in refusal.message
    refusal = refused(lambda: shop.change(ACCOUNTS, shop.account, parentAccountId=shop.account))
    assert "its own parent" in refusal.message
    top = shop.make(ACCOUNTS, **account_body("top"))
    refusal = refused(lambda: shop.change(ACCOUNTS, shop.account, parentAccountId=top))
    assert "has children of its own" in refusal.message
    shop.change(ACCOUNTS, child, parentAccountId=top)
    found = children(shop.desk.records, top, Page())
    assert [each.id for each in found.rows] == [child]
    assert refused(lambda: children(shop.desk.records, NOWHERE, Page())).code.name == "not_found"


def test_two_accounts_cannot_be_each_others_parents(shop: Shop) -> None:
    child = shop.make(ACCOUNTS, **account_body("child", parentAccountId=shop.account))
    assert refused(lambda: shop.change(ACCOUNTS, shop.account, parentAccountId=child)).field == "parentAccountId"


def test_a_parent_has_at_most_999_children(shop: Shop) -> None:
    with shop.desk.records.transaction() as write:
        for number in range(MAX_CHILDREN):
            value: Account = Shop.read(ACCOUNTS, account_body(f"child{number}", parentAccountId=shop.account))
            # Past the rule, which is asked once below: a thousand lists of up to a thousand would be slow.
            Noun(of=Account).create_within(shop.desk, write, value, shop.desk.new_id())
    refusal = refused(lambda: shop.make(ACCOUNTS, **account_body("one-more", parentAccountId=shop.account)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "parentAccountId")
    assert "999" in refusal.message
    last = shop.desk.records.by_code(Account, "child998")
    assert last is not None
    shop.change(ACCOUNTS, last.id, name="Renamed")


def test_an_account_with_bills_stays(shop: Shop) -> None:
    keys = {"account_id": shop.account, "status": "PENDING", "period_key": "p"}
    with shop.desk.records.transaction() as write:
        write.put_documents("bill", [Document(id=NOWHERE, sort="2025", keys=keys, body=b"{}")])
    refusal = refused(lambda: ACCOUNTS.delete(shop.desk, shop.account))
    assert (refusal.code.name, refusal.field) == ("in_use", "id")
    assert f"bill {NOWHERE}" in refusal.message


# -- account plans

JANUARY = {"startDate": "2025-01-01", "endDate": "2025-02-01"}

# Beside a plan in January: (start, end, whether it shares an instant with it).
NEIGHBOURS = (
    ("2024-12-01", "2025-01-01", False),
    ("2024-12-01", "2025-01-01T00:00:00.001Z", True),
    ("2024-12-01", None, True),
    ("2025-01-10", "2025-01-11", True),
    ("2025-01-31T23:59:59Z", None, True),
    ("2025-02-01", None, False),
    ("2025-02-01T00:00:00+01:00", None, True),
)


@pytest.mark.parametrize(("start", "end", "shares"), NEIGHBOURS)
def test_an_account_has_one_plan_of_a_product_at_a_time(shop: Shop, start: str, end: str | None, shares: bool) -> None:
    first = shop.attach(**JANUARY)
    second = shop.make(PLANS, name="Pro", code="pro", planTemplateId=shop.template)
    if not shares:
        shop.attach(planId=second, startDate=start, endDate=end)
        return
    refusal = refused(lambda: shop.attach(planId=second, startDate=start, endDate=end))
    assert (refusal.code.name, refusal.field) == ("overlapping_plan", "startDate")
    assert first in refusal.message
    assert "from 2025-01-01T00:00:00.000Z to 2025-02-01T00:00:00.000Z" in refusal.message


@pytest.mark.parametrize("frequency", ["AD_HOC", "MIXED"])
def test_what_no_bill_would_ever_show_is_not_sold(shop: Shop, frequency: str) -> None:
    rare = shop.make(PLAN_TEMPLATES, **template_body(code="rare", productId=shop.product, billFrequency=frequency))
    plan = shop.make(PLANS, name="Rare", code="rare", planTemplateId=rare)
    group = shop.make(PLAN_GROUPS, name="Group", currency="USD")
    refusals = [
        refused(lambda: shop.attach(planId=plan)),
        refused(lambda: shop.make(PLAN_GROUP_LINKS, planGroupId=group, planId=plan)),
    ]
    shop.attach()
    refusals += [
        refused(lambda: shop.change(PLAN_TEMPLATES, shop.template, billFrequency=frequency)),
        refused(lambda: shop.change(PLANS, shop.plan, planTemplateId=rare)),
    ]
    assert [each.field for each in refusals] == ["planId", "planId", "billFrequency", "planTemplateId"]
    assert f"is billed {frequency}, which has no billing periods" in refusals[0].message


def test_plans_of_other_products_and_accounts_may_overlap(shop: Shop) -> None:
    shop.attach()
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    template = shop.make(PLAN_TEMPLATES, **template_body(code="compute", productId=other))
    shop.attach(planId=shop.make(PLANS, name="Compute", code="compute", planTemplateId=template))
    shop.attach(accountId=shop.make(ACCOUNTS, **account_body("zenith")))


def test_an_update_may_not_overlap_either_but_does_not_overlap_itself(shop: Shop) -> None:
    first = shop.attach(**JANUARY)
    shop.attach(startDate="2025-02-01")
    shop.change(ACCOUNT_PLANS, first, startDate="2025-01-15")
    refusal = refused(lambda: shop.change(ACCOUNT_PLANS, first, endDate="2025-02-02"))
    assert refusal.code.name == "overlapping_plan"


def test_many_at_once_get_one_plan_of_a_product(shop: Shop) -> None:
    def attach(_: int) -> str:
        try:
            shop.attach()
        except Refusal as refusal:
            return refusal.code.name
        return "attached"

    with ThreadPoolExecutor(max_workers=8) as pool:
        results = sorted(pool.map(attach, range(8)))
    assert results == ["attached"] + ["overlapping_plan"] * 7


MOMENTS = st.integers(min_value=0, max_value=12)
STRETCHES = st.tuples(MOMENTS, st.none() | MOMENTS).filter(lambda each: each[1] is None or each[0] < each[1])


@given(one=STRETCHES, other=STRETCHES)
@settings(max_examples=100, deadline=None)
def test_two_stretches_overlap_when_they_share_an_hour(
    one: tuple[int, int | None], other: tuple[int, int | None]
) -> None:
    def hours(stretch: tuple[int, int | None]) -> set[int]:
        return set(range(stretch[0], 99 if stretch[1] is None else stretch[1]))

    def at(hour: int) -> Instant:
        return Instant.parse(f"2025-01-01T{hour:02d}:00:00Z")

    ends = [None if end is None else at(end) for _, end in (one, other)]
    shared = bool(hours(one) & hours(other))
    assert overlap(at(one[0]), ends[0], at(other[0]), ends[1]) == shared


def test_an_organization_may_allow_overlaps(shop: Shop) -> None:
    shop.attach()
    organization_config.update(shop.desk, OrganizationConfig(allow_overlapping_plans=True), None)
    shop.attach()


def test_an_account_plan_names_a_plan_that_exists(shop: Shop) -> None:
    for change, field in (
        ({"planId": NOWHERE}, "planId"),
        ({"accountId": NOWHERE}, "accountId"),
        ({"planId": None, "planGroupId": NOWHERE}, "planGroupId"),
        ({"contractId": NOWHERE}, "contractId"),
    ):
        refusal = refused(lambda change=change: shop.attach(**change))
        assert (refusal.code.name, refusal.field) == ("unknown_reference", field)
    with pytest.raises(msgspec.ValidationError, match="planId: give exactly one"):
        shop.attach(planGroupId=NOWHERE)
    with pytest.raises(msgspec.ValidationError, match="endDate: must be after startDate"):
        shop.attach(endDate="2025-01-01")


# -- currencies and settings


def usd(desk: Desk) -> str:
    entity = desk.records.by_code(Currency, "USD")
    assert entity is not None
    return entity.id


def euro(shop: Shop) -> str:
    return shop.make(CURRENCIES, name="Euro", code="EUR", maxDecimalPlaces=2, roundingMode="HALF_EVEN")


def test_dollars_are_always_there(desk: Desk) -> None:
    for act in (
        lambda: CURRENCIES.delete(desk, usd(desk)),
        lambda: CURRENCIES.update(desk, usd(desk), Currency(name="Dollar", code="DOLLAR"), None),
    ):
        refusal = refused(act)
        assert refusal.code.name == "rule_broken"
        assert "every organisation has USD" in refusal.message
    CURRENCIES.update(desk, usd(desk), Currency(name="Dollar", code="USD", max_decimal_places=4), None)


def test_a_currency_in_use_stays(shop: Shop) -> None:
    currency = euro(shop)
    shop.change(ACCOUNTS, shop.account, currency="EUR")
    shop.change(PLAN_TEMPLATES, shop.template, currency="EUR")
    for act in (
        lambda: CURRENCIES.delete(shop.desk, currency),
        lambda: shop.change(CURRENCIES, currency, code="EURO"),
    ):
        refusal = refused(act)
        assert refusal.code.name == "in_use"
        assert f"plan template {shop.template}" in refusal.message
        assert f"account {shop.account}" in refusal.message
    shop.change(CURRENCIES, currency, name="Euros", archived=True)
    shop.change(ACCOUNTS, shop.account, currency=None)
    shop.change(PLAN_TEMPLATES, shop.template, currency="USD")
    shop.change(CURRENCIES, currency, code="EURO")
    CURRENCIES.delete(shop.desk, currency)


def test_the_organizations_own_currency_stays(shop: Shop) -> None:
    currency = euro(shop)
    organization_config.update(shop.desk, OrganizationConfig(currency="EUR"), None)
    assert refused(lambda: CURRENCIES.delete(shop.desk, currency)).code.name == "in_use"


@pytest.mark.parametrize("code", ["EUR", "usd", "US\x00D"])
def test_a_currency_that_is_named_exists_exactly_so(shop: Shop, code: str) -> None:
    for act in (
        lambda: shop.change(ACCOUNTS, shop.account, currency=code),
        lambda: organization_config.update(shop.desk, OrganizationConfig(currency=code), None),
    ):
        refusal = refused(act)
        assert (refusal.code.name, refusal.field) == ("unknown_reference", "currency")


def test_archived_currencies_can_be_told_apart(shop: Shop) -> None:
    old = shop.make(CURRENCIES, name="Mark", code="DEM", archived=True)
    archived = CURRENCIES.find(shop.desk.records, Where(equal={"archived": ("true",)}), Page())
    assert [each.id for each in archived.rows] == [old]
    current = CURRENCIES.find(shop.desk.records, Where(equal={"archived": ("false",)}), Page())
    assert [each.value.code for each in current.rows] == ["USD"]


@pytest.mark.parametrize(("code", "decimals"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3)])
def test_a_new_organization_has_its_currency_with_its_decimals(code: str, decimals: int) -> None:
    assert preset(code).max_decimal_places == decimals


def test_settings_begin_with_the_defaults_of_the_reference(desk: Desk) -> None:
    config = config_of(desk.records)
    assert (config.id, config.version) == (desk.records.organization_id, 1)
    shown: dict[str, Any] = wire.decode(dict[str, Any], wire.encode(config.value))
    assert {name: shown[name] for name in ("currency", "timezone", "dayEpoch", "weekEpoch", "monthEpoch")} == {
        "currency": "USD",
        "timezone": "UTC",
        "dayEpoch": "2022-01-01",
        "weekEpoch": "2022-01-04",
        "monthEpoch": "2022-01-01",
    }


def test_settings_are_locked_by_their_version(desk: Desk) -> None:
    assert organization_config.update(desk, OrganizationConfig(timezone="Europe/Berlin"), 1).version == 2
    refusal = refused(lambda: organization_config.update(desk, OrganizationConfig(), 1))
    assert refusal.code.name == "version_mismatch"
    assert config_of(desk.records).value.timezone == "Europe/Berlin"


SETTINGS: tuple[tuple[dict[str, object], str], ...] = (
    ({"timezone": "Mars/Olympus"}, "timezone: unknown time zone"),
    ({"daysBeforeBillDue": 0}, "$.daysBeforeBillDue"),
    ({"daysBeforeBillDue": 36_501}, "$.daysBeforeBillDue"),
    ({"sequenceStartNumber": 2**31}, "$.sequenceStartNumber"),
    ({"scheduledBillInterval": 5}, "scheduledBillInterval: must be one of 0, 0.25"),
    ({"scheduledBillInterval": 12, "scheduledBillOffset": 3}, "scheduledBillOffset: only with"),
    ({"scheduledBillInterval": 24, "scheduledBillOffset": 24}, "$.scheduledBillOffset"),
    ({"autoApproveBillsGracePeriod": 3}, "autoApproveBillsGracePeriod: give it together"),
    ({"creditApplicationOrder": ["BALANCE", "BALANCE"]}, "creditApplicationOrder: each"),
    ({"currencyConversions": [{"from": "EUR", "to": "EUR", "multiplier": 1}]}, "to: must be another"),
    ({"currencyConversions": [{"from": "EUR", "to": "USD", "multiplier": 0}]}, "multiplier: must be above 0"),
    ({"currencyConversions": [{"from": "EUR", "to": "USD", "multiplier": 1}] * 2}, "EUR to USD is given twice"),
    ({"futureToleranceSeconds": -1}, "$.futureToleranceSeconds"),
    ({"unknownAccounts": "IGNORE"}, "$.unknownAccounts"),
)


@pytest.mark.parametrize(("changes", "says"), SETTINGS)
def test_settings_out_of_bounds_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        wire.decode(OrganizationConfig, wire.encode(changes))
    assert says in str(caught.value)


def test_a_statement_definition_cannot_be_named_as_there_are_none(desk: Desk) -> None:
    config = OrganizationConfig(default_statement_definition_id=NOWHERE)
    refusal = refused(lambda: organization_config.update(desk, config, None))
    assert (refusal.code.name, refusal.field) == ("unknown_reference", "defaultStatementDefinitionId")


@pytest.mark.parametrize("code", ["", "usd", "DOLLAR", "U$D", "ÄÖÜ"])
def test_an_organization_begins_with_a_currency_code_of_iso_4217(code: str) -> None:
    refusal = refused(lambda: organization_config.require_currency_code(code))
    assert (refusal.code.name, refusal.field) == ("invalid_request", "currency")
