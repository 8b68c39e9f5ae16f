"""The acts that every noun shares, told with products, accounts and the things that stand on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from shop import NOWHERE, Shop, account_body, aggregation_body, meter_body, refused, template_body

from tallystick.control.account_plans import ACCOUNT_PLANS
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.desk import LABELS, REFERENCED, Desk, Noun
from tallystick.control.meters import METERS
from tallystick.control.organization_config import CONFIG
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS
from tallystick.control.products import PRODUCTS
from tallystick.core.catalog import Product
from tallystick.core.period import Instant
from tallystick.ports import Page, Where

CATALOGUE: tuple[Noun[Any], ...] = (
    PRODUCTS,
    METERS,
    AGGREGATIONS,
    PLAN_TEMPLATES,
    PLANS,
    PRICINGS,
    ACCOUNTS,
    ACCOUNT_PLANS,
    CONFIG,
)


def test_a_new_entity_is_at_version_1_and_says_who_made_it_when(desk: Desk) -> None:
    made = PRODUCTS.create(desk, Product(name="Storage", code="storage"))
    assert (made.version, made.created_by, made.modified_by) == (1, "someone", "someone")
    assert made.created == made.modified == desk.now
    assert PRODUCTS.retrieve(desk.records, made.id) == made


def test_an_update_replaces_everything_and_raises_the_version(desk: Desk) -> None:
    made = PRODUCTS.create(desk, Product(name="Storage", code="storage", custom_fields={"team": "core"}))
    later = replace(desk, now=Instant.parse("2025-06-16T00:00:00Z"))
    changed = PRODUCTS.update(later, made.id, Product(name="Object storage", code="objects"), 1)
    assert changed.version == 2
    assert changed.value == Product(name="Object storage", code="objects"), "custom fields that are left out are gone"
    assert (changed.created, changed.modified) == (desk.now, later.now)
    assert PRODUCTS.retrieve(desk.records, made.id) == changed
    before = desk.records.at_version(Product, made.id, 1)
    assert before is not None
    assert before.value.name == "Storage", "what was once in force can be read again"


def test_a_stale_version_is_refused_and_names_both(desk: Desk) -> None:
    made = PRODUCTS.create(desk, Product(name="Storage", code="storage"))
    PRODUCTS.update(desk, made.id, Product(name="Objects", code="storage"), 1)
    refusal = refused(lambda: PRODUCTS.update(desk, made.id, Product(name="Blobs", code="storage"), 1))
    assert (refusal.code.name, refusal.field) == ("version_mismatch", "version")
    assert "version 2" in refusal.message
    assert "names 1" in refusal.message
    assert PRODUCTS.retrieve(desk.records, made.id).value.name == "Objects"


def test_without_a_version_the_last_write_wins(desk: Desk) -> None:
    made = PRODUCTS.create(desk, Product(name="Storage", code="storage"))
    assert PRODUCTS.update(desk, made.id, Product(name="Blobs", code="storage"), None).version == 2


@pytest.mark.parametrize("id", [NOWHERE, "", "x", "../products", "a" * 36, NOWHERE + "\n", "\x00" * 36])
def test_an_unknown_id_is_not_found(desk: Desk, id: str) -> None:
    value = Product(name="Storage", code="storage")
    for refusal in (
        refused(lambda: PRODUCTS.retrieve(desk.records, id)),
        refused(lambda: PRODUCTS.update(desk, id, value, None)),
        refused(lambda: PRODUCTS.delete(desk, id)),
    ):
        assert refusal.code.name == "not_found"


def test_what_belongs_to_another_organization_is_not_found(shop: Shop, other_desk: Desk) -> None:
    assert refused(lambda: PRODUCTS.retrieve(other_desk.records, shop.product)).code.name == "not_found"
    assert refused(lambda: PRODUCTS.delete(other_desk, shop.product)).code.name == "not_found"
    meter = Shop.read(METERS, meter_body(productId=shop.product))
    assert refused(lambda: METERS.create(other_desk, meter)).code.name == "unknown_reference"


def test_a_code_is_taken_once_in_an_organization(shop: Shop, other_desk: Desk) -> None:
    refusal = refused(lambda: shop.make(PRODUCTS, name="Another", code="storage"))
    assert (refusal.code.name, refusal.field) == ("code_in_use", "code")
    assert "storage" in refusal.message
    second = shop.make(PRODUCTS, name="Second", code="second")
    assert refused(lambda: shop.change(PRODUCTS, second, code="storage")).code.name == "code_in_use"
    PRODUCTS.create(other_desk, Product(name="Storage", code="storage"))


def test_a_code_is_free_again_after_a_delete(desk: Desk) -> None:
    made = PRODUCTS.create(desk, Product(name="Storage", code="storage"))
    assert PRODUCTS.delete(desk, made.id) == made
    assert refused(lambda: PRODUCTS.retrieve(desk.records, made.id)).code.name == "not_found"
    assert PRODUCTS.create(desk, Product(name="Storage", code="storage")).id != made.id


def test_pages_come_newest_first(desk: Desk) -> None:
    ids = [PRODUCTS.create(desk, Product(name=code, code=code)).id for code in ("a", "b", "c")]
    first = PRODUCTS.find(desk.records, Where(), Page(size=2))
    assert [each.id for each in first.rows] == [ids[2], ids[1]]
    second = PRODUCTS.find(desk.records, Where(), Page(size=2, token=first.next_token))
    assert [each.id for each in second.rows] == [ids[0]]
    assert second.next_token is None


def test_what_others_refer_to_cannot_be_deleted(shop: Shop) -> None:
    shop.price()
    shop.attach()
    held: tuple[tuple[Noun[Any], str, str], ...] = (
        (PRODUCTS, shop.product, "meter"),
        (METERS, shop.meter, "aggregation"),
        (AGGREGATIONS, shop.aggregation, "pricing"),
        (PLAN_TEMPLATES, shop.template, "plan"),
        (PLANS, shop.plan, "account plan"),
        (ACCOUNTS, shop.account, "account plan"),
    )
    for noun, held_id, user in held:
        refusal = refused(partial(noun.delete, shop.desk, held_id))
        assert (refusal.code.name, refusal.field) == ("in_use", "id")
        assert f"the {noun.label} {held_id} is used by" in refusal.message
        assert user in refusal.message


def test_everything_can_be_deleted_from_the_leaves_on(shop: Shop) -> None:
    pricing, attached = shop.price(), shop.attach()
    for noun, leaf in (
        (ACCOUNT_PLANS, attached),
        (PRICINGS, pricing),
        (ACCOUNTS, shop.account),
        (PLANS, shop.plan),
        (PLAN_TEMPLATES, shop.template),
        (AGGREGATIONS, shop.aggregation),
        (METERS, shop.meter),
        (PRODUCTS, shop.product),
    ):
        assert noun.delete(shop.desk, leaf).id == leaf


UNKNOWN: tuple[tuple[Noun[Any], dict[str, object], str], ...] = (
    (METERS, meter_body(code="m", productId=NOWHERE), "productId"),
    (AGGREGATIONS, aggregation_body(code="a", meterId=NOWHERE), "meterId"),
    (AGGREGATIONS, aggregation_body(code="a", meterId="meter", accountingProductId=NOWHERE), "accountingProductId"),
    (PLAN_TEMPLATES, template_body(code="t", productId=NOWHERE), "productId"),
    (PLANS, {"name": "P", "code": "p", "planTemplateId": NOWHERE}, "planTemplateId"),
    (PLANS, {"name": "P", "code": "p", "planTemplateId": "template", "accountId": NOWHERE}, "accountId"),
    (ACCOUNTS, account_body("child", parentAccountId=NOWHERE), "parentAccountId"),
    (ACCOUNTS, account_body("child", statementDefinitionId=NOWHERE), "statementDefinitionId"),
)


@pytest.mark.parametrize(("noun", "body", "field"), UNKNOWN)
def test_a_reference_to_nothing_is_refused(shop: Shop, noun: Noun[Any], body: dict[str, object], field: str) -> None:
    known = {"meter": shop.meter, "template": shop.template}
    full = {name: known.get(str(value), value) if name.endswith("Id") else value for name, value in body.items()}
    refusal = refused(lambda: shop.make(noun, **full))
    assert (refusal.code.name, refusal.field) == ("unknown_reference", field)
    assert NOWHERE in refusal.message


def test_a_reference_to_an_entity_of_another_kind_is_refused(shop: Shop) -> None:
    refusal = refused(lambda: shop.make(METERS, **meter_body(code="m", productId=shop.plan)))
    assert refusal.code.name == "unknown_reference"


def test_a_refused_act_leaves_nothing_behind(shop: Shop) -> None:
    before = shop.desk.records.revision
    refused(lambda: shop.make(METERS, **meter_body(code="m", productId=NOWHERE)))
    refused(lambda: shop.make(PRODUCTS, name="Another", code="storage"))
    assert shop.desk.records.revision == before
    assert shop.desk.records.by_code(METERS.of, "m") is None


def test_every_reference_of_every_noun_is_checked() -> None:
    for noun in CATALOGUE:
        assert set(noun.of.references) <= set(REFERENCED), noun.of
        assert noun.of.kind in LABELS
