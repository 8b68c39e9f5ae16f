"""What customers agree to, through the official client, unmodified: formulas, seats, bundles, contracts, charges."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from m3ter.types import BillResponse
from storefront import NOWHERE, Storefront, read, refused, send
from test_sdk_catalogue import BANDS, account, ids, includes


@dataclass(frozen=True)
class Noun:
    """One resource of the client: how one is made, what an update changes, and what its list needs."""

    resource: str
    body: Callable[[Storefront], dict[str, Any]]
    change: dict[str, Any]
    custom_fields: bool = False
    listed_by: tuple[str, ...] = ()


def picked(code: str) -> Callable[[Storefront], dict[str, Any]]:
    return lambda _: {"name": "Service outage", "code": code, "archived": False}


def seat_prices(shop: Storefront) -> dict[str, Any]:
    return {
        "counter_id": shop.ids["/counters"],
        "plan_template_id": shop.ids["/plantemplates"],
        "pricing_bands": BANDS,
        "start_date": datetime(2025, 1, 1, tzinfo=UTC),
        "end_date": "2026-01-01",
        "cumulative": True,
        "pro_rate_running_total": False,
        "pro_rate_adjustment_debit": False,
        "pro_rate_adjustment_credit": False,
        "running_total_bill_in_advance": False,
        "description": "Seats",
        "code": "seat_prices",
        "accounting_product_id": shop.ids["/products"],
    }


def bundle(shop: Storefront) -> dict[str, Any]:
    return {
        "name": "Everything",
        "code": "everything",
        "currency": "USD",
        "account_id": shop.ids["/accounts"],
        "standing_charge": 100.5,
        "standing_charge_bill_in_advance": True,
        "standing_charge_description": "Bundle",
        "standing_charge_accounting_product_id": shop.ids["/products"],
        "minimum_spend": 1000,
        "minimum_spend_bill_in_advance": False,
        "minimum_spend_description": "Bundle minimum",
        "minimum_spend_accounting_product_id": shop.ids["/products"],
    }


def agreement(shop: Storefront) -> dict[str, Any]:
    return {
        "account_id": shop.ids["/accounts"],
        "name": "Two years",
        "code": "two_years",
        "start_date": "2025-01-01",
        "end_date": "2027-01-01",
        "description": "Signed on paper",
        "purchase_order_number": "PO-77",
        "apply_contract_period_limits": True,
        "bill_grouping_key_id": shop.ids["/picklists/billgroupingkeys"],
        "usage_filters": [
            {"dimension_code": "region", "mode": "INCLUDE", "value": "eu"},
            {"dimension_code": "file", "mode": "EXCLUDE", "value": "test"},
        ],
    }


def fee(shop: Storefront) -> dict[str, Any]:
    return {
        "account_id": shop.ids["/accounts"],
        "contract_id": shop.ids["/contracts"],
        "accounting_product_id": shop.ids["/products"],
        "code": "training",
        "name": "Training",
        "currency": "USD",
        "entity_type": "AD_HOC",
        "line_item_type": "AD_HOC",
        "service_period_start_date": "2090-01-01T00:00:00Z",
        "service_period_end_date": "2090-01-02T00:00:00Z",
        "bill_date": "2090-01-15",
        "units": 3,
        "unit_price": 250.25,
        "description": "Training on site",
        "notes": "Agreed by telephone",
    }


NOUNS = (
    Noun(
        "compound_aggregations",
        lambda shop: {
            "name": "Per seat",
            "code": "per_seat",
            "product_id": shop.ids["/products"],
            "calculation": "Math.max(aggregation.bytes_stored - 100, 0) / 3",
            "quantity_per_unit": 0.5,
            "rounding": "UP",
            "unit": "B/seat",
            "evaluate_null_aggregations": True,
            "accounting_product_id": shop.ids["/products"],
        },
        {"rounding": "NONE"},
        custom_fields=True,
    ),
    Noun(
        "counters",
        lambda shop: {"name": "Desks", "code": "desks", "unit": "desk", "product_id": shop.ids["/products"]},
        {"unit": "place"},
    ),
    Noun("counter_pricings", seat_prices, {"running_total_bill_in_advance": True}),
    Noun(
        "counter_adjustments",
        lambda shop: {
            "account_id": shop.ids["/accounts"],
            "counter_id": shop.ids["/counters"],
            "date": "2090-06-01",
            "value": 15,
            "purchase_order_number": "PO-78",
        },
        {"value": 18},
        listed_by=("counter_id",),
    ),
    Noun("plan_groups", bundle, {"minimum_spend": 250}, custom_fields=True),
    Noun(
        "plan_group_links",
        lambda shop: {
            "plan_group_id": shop.make("/plangroups", code=None)["id"],
            "plan_id": shop.ids["/plans"],
        },
        {},
    ),
    Noun("contracts", agreement, {"end_date": "2028-01-01"}, custom_fields=True),
    Noun("credit_reasons", picked("service_outage"), {"archived": True}),
    Noun("debit_reasons", picked("service_outage"), {"archived": True}),
    Noun("transaction_types", picked("service_outage"), {"archived": True}),
    Noun("charges", fee, {"units": None, "unit_price": None, "amount": -20}),
)


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    return Storefront(http)


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.resource)
def test_a_noun_is_created_read_listed_updated_and_deleted(client: M3ter, shop: Storefront, noun: Noun) -> None:
    resource = getattr(client, noun.resource)
    extra = {"custom_fields": {"team": "core", "rank": 3}} if noun.custom_fields else {}
    body = {**noun.body(shop), **extra}
    every = partial(resource.list, **{name: body[name] for name in noun.listed_by})

    created = resource.create(**body)
    assert created.version == 1
    assert created.created_by == created.last_modified_by
    stored = resource.retrieve(created.id)
    includes(stored, body)
    assert stored.to_dict() == created.to_dict()
    assert [each.to_dict() for each in every(extra_query={"ids": f"{created.id},{NOWHERE}"})] == [created.to_dict()]
    assert created.id in ids(every(page_size=1)), "every page is walked"

    changed_body = {name: value for name, value in {**body, **noun.change}.items() if value is not None}
    changed = resource.update(created.id, **changed_body, version=1)
    assert (changed.id, changed.version) == (created.id, 2)
    includes(resource.retrieve(created.id), changed_body)
    with pytest.raises(BadRequestError, match="version 2"):
        resource.update(created.id, **body, version=1)

    assert resource.delete(created.id).id == created.id
    for act in (resource.retrieve, resource.delete, partial(resource.update, **body)):
        with pytest.raises(NotFoundError, match="there is no"):
            act(created.id)
    assert created.id not in ids(every())


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.resource)
def test_an_unknown_reference_is_refused_by_name(client: M3ter, shop: Storefront, noun: Noun) -> None:
    body = noun.body(shop)
    for name in [name for name in body if name.endswith("_id")]:
        wire = "".join(part.title() if index else part for index, part in enumerate(name.split("_")))
        with pytest.raises(BadRequestError, match=f"{wire}: there is no") as caught:
            getattr(client, noun.resource).create(**{**body, name: NOWHERE})
        assert caught.value.body["code"] == "unknown_reference"  # type: ignore[index]  # the SDK types it as object


DEFAULTS: tuple[tuple[str, tuple[str, ...], dict[str, object]], ...] = (
    (
        "counter_pricings",
        ("code", "description", "end_date", "accounting_product_id"),
        {
            "cumulative": False,
            "pro_rate_running_total": True,
            "pro_rate_adjustment_debit": True,
            "pro_rate_adjustment_credit": True,
            "running_total_bill_in_advance": True,
        },
    ),
    ("contracts", ("description",), {"apply_contract_period_limits": False}),
    ("compound_aggregations", ("product_id",), {"evaluate_null_aggregations": False}),
    ("credit_reasons", (), {"archived": False}),
)


@pytest.mark.parametrize(("resource", "without", "wanted"), DEFAULTS, ids=[name for name, _, _ in DEFAULTS])
def test_what_is_left_out_has_the_documented_default(
    client: M3ter, shop: Storefront, resource: str, without: tuple[str, ...], wanted: dict[str, object]
) -> None:
    noun = next(noun for noun in NOUNS if noun.resource == resource)
    left_out = {*without, *wanted}
    body = {name: value for name, value in noun.body(shop).items() if name not in left_out}
    made = getattr(client, resource).create(**body)
    includes(getattr(client, resource).retrieve(made.id), wanted)


# ----------------------------------------------------------------------------------------------------------- lists


def test_formulas_and_counters_are_filtered_by_codes_and_product(client: M3ter, shop: Storefront) -> None:
    product = shop.ids["/products"]
    anywhere = shop.make("/compoundaggregations", code="anywhere", productId=None)["id"]
    places = shop.make("/counters", code="places", productId=None)["id"]
    assert ids(client.compound_aggregations.list(codes=["anywhere"])) == [anywhere]
    assert ids(client.compound_aggregations.list(product_id=[product])) == [shop.ids["/compoundaggregations"]]
    assert ids(client.counters.list(codes=["places", "seats"])) == [places, shop.ids["/counters"]]
    assert ids(client.counters.list(product_id=[product])) == [shop.ids["/counters"]]


def test_prices_of_formulas_and_counters_are_filtered(client: M3ter, shop: Storefront) -> None:
    compound = shop.ids["/compoundaggregations"]
    priced = client.pricings.create(
        plan_id=shop.ids["/plans"], compound_aggregation_id=compound, start_date="2025-01-01", pricing_bands=BANDS
    )
    assert (priced.aggregation_type, priced.compound_aggregation_id) == ("COMPOUND", compound)
    assert ids(client.pricings.list(aggregation_id=compound)) == [priced.id]
    assert ids(client.pricings.list(aggregation_id=shop.ids["/aggregations"])) == [shop.ids["/pricings"]]
    seats = shop.ids["/counterpricings"]
    of_template = shop.make("/counterpricings", planId=None, planTemplateId=shop.ids["/plantemplates"])["id"]
    listed = client.counter_pricings.list
    assert ids(listed(plan_id=shop.ids["/plans"])) == [seats]
    assert ids(listed(plan_template_id=shop.ids["/plantemplates"])) == [of_template]
    assert ids(listed(date="2024-12-31")) == []
    assert ids(listed(date="2025-01-01")) == [of_template, seats]


def test_groups_links_and_contracts_are_filtered(client: M3ter, shop: Storefront) -> None:
    acme = shop.ids["/accounts"]
    bespoke = shop.make("/plangroups", code="acmes", accountId=acme)["id"]
    joined = shop.make("/plangrouplinks", planGroupId=bespoke)["id"]
    assert ids(client.plan_groups.list(account_id=[acme])) == [bespoke]
    assert ids(client.plan_group_links.list(plan_group=bespoke)) == [joined]
    assert ids(client.plan_group_links.list(plan=shop.ids["/plans"])) == [joined, shop.ids["/plangrouplinks"]]
    other = client.accounts.create(**account("zenith")).id
    theirs = shop.make("/contracts", code="theirs", accountId=other)["id"]
    assert ids(client.contracts.list(account_id=other)) == [theirs]
    assert ids(client.contracts.list(codes=["theirs", "year"])) == [theirs, shop.ids["/contracts"]]


def test_pick_lists_are_filtered_by_code_and_archive(client: M3ter, shop: Storefront, http: httpx.Client) -> None:
    for path, listed in (
        ("/picklists/creditreasons", client.credit_reasons.list),
        ("/picklists/debitreasons", client.debit_reasons.list),
        ("/picklists/transactiontypes", client.transaction_types.list),
    ):
        old = shop.make(path, code="old", archived=True)["id"]
        assert ids(listed(archived=True)) == [old]
        assert ids(listed(archived=False)) == [shop.ids[path]]
        assert ids(listed(codes=["old", "nothing"])) == [old]
    path = "/picklists/billgroupingkeys"
    shared = shop.make(path, code="shared", exclusive=False)
    assert (shared["exclusive"], shared["archived"]) == (False, False)
    assert [row["id"] for row in read(http.get(path, params={"codes": "shared"}))["data"]] == [shared["id"]]
    assert read(http.get(path, params={"archived": "true"})) == {"data": []}


def test_charges_are_filtered_by_everything_documented(client: M3ter, shop: Storefront) -> None:
    setup, acme = shop.ids["/charges"], shop.ids["/accounts"]
    wallet = shop.ids["/balances"]
    body = {**fee(shop), "code": "wallet_fee", "entity_type": "BALANCE", "line_item_type": "BALANCE_FEE"}
    with pytest.raises(BadRequestError, match="entityId"):
        client.charges.create(**body)
    of_wallet = client.charges.create(**body, entity_id=wallet, extra_body={"scheduleId": NOWHERE})
    assert of_wallet.schedule_id is None, "only a schedule makes charges of a schedule"
    listed = client.charges.list
    assert ids(listed(account_id=acme)) == [of_wallet.id, setup]
    assert ids(listed(entity_type="AD_HOC")) == [setup]
    assert ids(listed(entity_type="BALANCE", entity_id=wallet)) == [of_wallet.id]
    assert ids(listed(bill_date="2090-01-31")) == [setup]
    assert ids(listed(ids=[of_wallet.id])) == [of_wallet.id]
    assert ids(listed(schedule_id=NOWHERE)) == []
    assert ids(listed(account_id=NOWHERE)) == []
    with pytest.raises(BadRequestError, match=f"is used by .*charge {of_wallet.id}"):
        client.balances.delete(wallet)
    other = client.accounts.create(**account("zenith")).id
    with pytest.raises(BadRequestError, match="entityId: the balance"):
        client.charges.create(
            **{**body, "code": "theirs", "account_id": other, "entity_id": wallet, "contract_id": None}
        )


def test_adjustments_are_listed_by_counter_and_day(client: M3ter, shop: Storefront) -> None:
    counter, acme = shop.ids["/counters"], shop.ids["/accounts"]
    other = client.accounts.create(**account("zenith")).id
    listed = partial(client.counter_adjustments.list, counter_id=counter)
    make = client.counter_adjustments.create
    late = shop.ids["/counteradjustments"]
    june = make(account_id=acme, counter_id=counter, date="2024-06-15", value=18).id
    start = make(account_id=acme, counter_id=counter, date="2024-06-01", value=15).id
    theirs = make(account_id=other, counter_id=counter, date="2024-06-01", value=1).id
    assert ids(listed()) == [theirs, start, june, late]
    assert ids(listed(account_id=acme, sort_order="ASC")) == [start, june, late]
    assert ids(listed(account_id=acme, sort_order="DESC", page_size=1)) == [late, june, start]
    assert ids(listed(account_id=acme, date="2024-06-01")) == [start]
    assert ids(listed(account_id=acme, date_start="2024-06-02", date_end="2024-06-15")) == [june]
    assert ids(listed(account_id=acme, date="2024-06-01", date_start="2024-06-02")) == []
    # What lasts from 1 June ends on 15 June, and the last one does not end.
    assert ids(listed(account_id=acme, end_date_start="2024-06-15", end_date_end="2024-06-16")) == [start]
    assert ids(listed(account_id=acme, end_date_start="2024-06-16")) == [june, late]
    assert ids(listed(end_date_end="2024-06-16")) == [start]
    for query, says in (
        ({"counter_id": None}, "counterId: name the counter"),
        ({"date": "2024-06-01"}, "date: give it together with accountId"),
        ({"date_end": "2024-06-01"}, "dateEnd: give it together with accountId"),
        ({"sort_order": "UP"}, "sortOrder: must be ASC or DESC"),
        ({"next_token": "somewhere"}, "nextToken"),
    ):
        wanted = {name: value for name, value in {"counter_id": counter, **query}.items() if value is not None}
        with pytest.raises(BadRequestError, match=says):
            client.counter_adjustments.list(**wanted)
    with pytest.raises(BadRequestError, match="same account, counter and day"):
        make(account_id=acme, counter_id=counter, date="2024-06-01", value=3)


def test_a_charge_says_on_which_bill_it_is_and_stays_there_once_that_is_locked(client: M3ter, shop: Storefront) -> None:
    january = {"service_period_start_date": "2025-01-06T00:00:00Z", "service_period_end_date": "2025-01-08T00:00:00Z"}
    body = {**fee(shop), **january, "bill_date": "2025-01-10"}
    del body["contract_id"]
    made = client.charges.create(**body)
    assert made.bill_id is None
    bill = billed(client, "2025-01-31")
    assert bill.line_items is not None
    (line,) = [each for each in bill.line_items if each.line_item_type == "AD_HOC"]
    assert (line.subtotal, line.description) == (750.75, "Training on site")
    assert client.charges.retrieve(made.id).bill_id == bill.id
    listed = {each.id: each.bill_id for each in client.charges.list(account_id=shop.ids["/accounts"])}
    assert listed == {made.id: bill.id, shop.ids["/charges"]: None}
    dearer = client.charges.update(made.id, **{**body, "unit_price": 300})
    assert dearer.bill_id == bill.id
    client.bills.approve(bill_ids=[bill.id])
    client.bills.lock(bill.id)
    for act in (partial(client.charges.update, made.id, **body), partial(client.charges.delete, made.id)):
        with pytest.raises(BadRequestError, match=f"on the locked bill {bill.id}"):
            act()


# ----------------------------------------------------------------------------------- account plans: groups, replacing


def test_a_group_is_attached_and_found_by_its_products(client: M3ter, shop: Storefront) -> None:
    other = client.accounts.create(**account("zenith")).id
    attached = client.account_plans.create(
        account_id=other, plan_group_id=shop.ids["/plangroups"], start_date="2025-01-01", code="bundle"
    )
    assert (attached.plan_group_id, attached.plan_id, attached.product_id) == (shop.ids["/plangroups"], None, None)
    listed = client.account_plans.list
    assert ids(listed(account=other, product=shop.ids["/products"])) == [attached.id]
    assert ids(listed(account=other, product=NOWHERE)) == []
    with pytest.raises(BadRequestError, match=f"a plan of the product {shop.ids['/products']}"):
        client.account_plans.create(account_id=other, plan_id=shop.ids["/plans"], start_date="2025-06-01")


def test_account_plans_of_a_contract_are_listed(client: M3ter, shop: Storefront) -> None:
    old = shop.ids["/accountplans"]
    contract = shop.ids["/contracts"]
    client.account_plans.update(
        old,
        account_id=shop.ids["/accounts"],
        plan_id=shop.ids["/plans"],
        start_date="2025-01-01",
        contract_id=contract,
        child_billing_mode="CHILD",
    )
    assert ids(client.account_plans.list(contract=contract)) == [old]
    assert client.account_plans.retrieve(old).child_billing_mode == "CHILD"
    with pytest.raises(BadRequestError, match="is used by account plan"):
        client.contracts.delete(contract)


def test_an_account_plan_is_replaced_in_one_step(client: M3ter, shop: Storefront, http: httpx.Client) -> None:
    old = shop.ids["/accountplans"]
    path = f"/accountplans/{old}/replace"
    pro = shop.make("/plans", code="pro")["id"]
    body = shop.body("/accountplans", planId=pro, startDate="2025-06-16T00:00:00Z", code="upgraded")
    both = read(send(http, "POST", path, {**body, "version": 1}))
    original, new = both["originalAccountPlan"], both["newAccountPlan"]
    assert (original["id"], original["version"], original["endDate"]) == (old, 2, "2025-06-16T00:00:00.000Z")
    assert (new["planId"], new["version"], "endDate" in new) == (pro, 1, False)
    assert new["productId"] == original["productId"] == shop.ids["/products"]
    assert ids(client.account_plans.list(account=shop.ids["/accounts"], includeall=True)) == [new["id"], old]

    for changes, field in (
        ({"startDate": "2025-06-16T00:00:00Z"}, "startDate"),  # the old one has ended by then
        ({"startDate": "2025-01-01T00:00:00Z"}, "startDate"),  # nothing of the old one would be left
        ({"startDate": "2025-02-01T00:00:00Z"}, "startDate"),  # the new one overlaps the one after it
        ({"accountId": client.accounts.create(**account("zenith")).id}, "accountId"),
        ({"startDate": "2025-02-01T00:00:00Z", "version": 1}, "version"),
        ({"startDate": "2025-02-01T00:00:00Z", "planId": NOWHERE}, "planId"),
    ):
        reply = refused(send(http, "POST", path, {**body, "code": "again", **changes}))
        assert reply["field"] == field, reply
    stored = client.account_plans.retrieve(old)
    assert (stored.version, stored.end_date) == (2, datetime(2025, 6, 16, tzinfo=UTC)), "a refusal changes nothing"
    between = {"startDate": "2025-02-01T00:00:00Z", "endDate": "2025-06-16T00:00:00Z", "code": "between"}
    read(send(http, "POST", path, {**body, **between}))


# -------------------------------------------------------------------------------------------------------- end dating

EVERYTHING: Any = ["CONTRACT", "ACCOUNTPLAN", "PREPAYMENT", "PRICINGS", "COUNTER_PRICINGS"]


def test_the_billing_of_an_account_is_ended_at_once(client: M3ter, shop: Storefront) -> None:
    acme = shop.ids["/accounts"]
    child = client.accounts.create(**account("labs"), parent_account_id=acme).id
    of_child = shop.make("/accountplans", accountId=child)["id"]
    own = shop.make("/plans", code="acmes", bespoke=True, accountId=acme)["id"]
    own_price = shop.make("/pricings", planId=own)["id"]
    seats = shop.make("/counterpricings", planId=own, endDate="2025-03-01T00:00:00Z")["id"]
    done = client.accounts.end_date_billing_entities(acme, billing_entities=EVERYTHING, end_date="2025-07-01T00:00:00Z")
    assert done.updated_entities is not None
    assert done.updated_entities.accountplan is not None
    assert done.updated_entities.accountplan.to_dict() == {"empty": False, "ids": [shop.ids["/accountplans"]]}
    assert done.to_dict()["updatedEntities"] == {
        "PRICINGS": {"empty": False, "ids": [own_price]},
        "ACCOUNTPLAN": {"empty": False, "ids": [shop.ids["/accountplans"]]},
        "CONTRACT": {"empty": False, "ids": [shop.ids["/contracts"]]},
    }
    # The commitment starts in 2090, and the plan of the storefront is not of this account alone.
    assert done.to_dict()["failedEntities"] == {
        "PRICINGS": {"empty": False, "ids": [shop.ids["/pricings"]]},
        "COUNTER_PRICINGS": {"empty": False, "ids": [shop.ids["/counterpricings"]]},
        "PREPAYMENT": {"empty": False, "ids": [shop.ids["/commitments"]]},
    }
    assert done.status_message is not None
    assert done.status_message.startswith("3 ended at 2025-07-01T00:00:00.000Z; 3 could not: the pricing")
    ended = client.account_plans.retrieve(shop.ids["/accountplans"])
    assert (ended.version, ended.end_date) == (2, datetime(2025, 7, 1, tzinfo=UTC))
    assert str(client.contracts.retrieve(shop.ids["/contracts"]).end_date) == "2025-07-01"
    assert client.counter_pricings.retrieve(seats).version == 1, "it ends earlier already"
    assert client.account_plans.retrieve(of_child).end_date is None

    again = client.accounts.end_date_billing_entities(
        acme, billing_entities=["ACCOUNTPLAN"], end_date="2025-07-01T00:00:00Z", apply_to_children=True
    )
    assert again.to_dict()["updatedEntities"] == {"ACCOUNTPLAN": {"empty": False, "ids": [of_child]}}
    assert again.to_dict()["failedEntities"] == {}
    with pytest.raises(NotFoundError):
        client.accounts.end_date_billing_entities(NOWHERE, billing_entities=["CONTRACT"], end_date="2025-07-01")


def test_what_hangs_on_a_contract_is_ended_at_once(client: M3ter, shop: Storefront) -> None:
    acme, contract = shop.ids["/accounts"], shop.ids["/contracts"]
    product = client.products.create(name="Compute", code="compute").id
    template = shop.make("/plantemplates", code="compute", productId=product)["id"]
    plan = shop.make("/plans", code="compute", planTemplateId=template)["id"]
    linked = shop.make("/accountplans", planId=plan, contractId=contract)["id"]
    child = client.accounts.create(**account("labs"), parent_account_id=acme).id
    of_child = shop.make("/accountplans", accountId=child, contractId=contract)["id"]
    prepaid = shop.make("/commitments", startDate="2025-01-01", endDate="2026-01-01")["id"]
    end = client.contracts.end_date_billing_entities
    done = end(contract, billing_entities=["ACCOUNTPLAN", "PREPAYMENT"], end_date="2025-06-01T00:00:00Z")
    assert done.to_dict()["updatedEntities"] == {
        "ACCOUNTPLAN": {"empty": False, "ids": [linked]},
        "PREPAYMENT": {"empty": False, "ids": [prepaid]},
    }
    assert client.contracts.retrieve(contract).version == 1, "CONTRACT was not named"
    assert client.account_plans.retrieve(shop.ids["/accountplans"]).version == 1, "it is not linked"
    assert str(client.commitments.retrieve(prepaid).end_date) == "2025-06-01"
    done = end(contract, billing_entities=["ACCOUNTPLAN", "CONTRACT"], end_date="2025-06-01", apply_to_children=True)
    assert done.to_dict()["updatedEntities"] == {
        "ACCOUNTPLAN": {"empty": False, "ids": [of_child]},
        "CONTRACT": {"empty": False, "ids": [contract]},
    }
    with pytest.raises(BadRequestError):
        end(contract, billing_entities=[], end_date="2025-06-01")


# ----------------------------------------------------------------------------------- credits and debits on a bill


def billed(client: M3ter, last_day: str) -> BillResponse:
    """The bill of a run."""
    job = client.bill_jobs.create(last_date_in_billing_period=last_day)
    until = time.monotonic() + 30
    while job.status not in {"COMPLETE", "CANCELLED"}:
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = client.bill_jobs.retrieve(job.id)
    (bill,) = client.bills.list(bill_job_id=job.id)
    return bill


def memo(shop: Storefront, bill: BillResponse, **changes: Any) -> dict[str, Any]:
    assert bill.line_items is not None
    line = bill.line_items[0].to_dict()["id"]
    body: dict[str, Any] = {
        "product_id": shop.ids["/products"],
        "accounting_product_id": shop.ids["/products"],
        "amount": 12.5,
        "description": "For the outage of 3 January",
        "referenced_bill_id": bill.id,
        "referenced_line_item_id": line,
        "service_period_start_date": "2025-01-03T00:00:00Z",
        "service_period_end_date": "2025-01-04T00:00:00Z",
    }
    return {**body, **changes}


@pytest.mark.parametrize("kind", ["credit", "debit"])
def test_a_bill_is_credited_and_debited_with_a_reason(client: M3ter, shop: Storefront, kind: str) -> None:
    bill = billed(client, "2025-01-31")
    memos = getattr(client.bills, f"{kind}_line_items")
    reason = {f"{kind}_reason_id": shop.ids[f"/picklists/{kind}reasons"]}
    made = memos.create(bill.id, **memo(shop, bill, **reason, amount_to_apply_on_bill=10))
    assert (made.version, made.line_item_type) == (1, f"{kind.upper()}_MEMO")
    shown = {name: value for name, value in memo(shop, bill, **reason).items() if name != "accounting_product_id"}
    includes(made, shown)
    assert made.to_dict()["accountingProductId"] == shop.ids["/products"], "which the client's type leaves out"
    assert memos.retrieve(made.id, bill_id=bill.id) == made
    assert ids(memos.list(bill.id)) == [made.id]
    with pytest.raises(BadRequestError, match=f"is used by credit or debit line item {made.id}"):
        getattr(client, f"{kind}_reasons").delete(shop.ids[f"/picklists/{kind}reasons"])
    by_other_name = {"reason_id": shop.ids[f"/picklists/{kind}reasons"], "line_item_type": f"{kind.upper()}_MEMO"}
    changed = memos.update(made.id, bill_id=bill.id, **memo(shop, bill, amount=20, **by_other_name), version=1)
    includes(changed, {**shown, "amount": 20})
    assert changed.version == 2
    other = "debit" if kind == "credit" else "credit"
    with pytest.raises(NotFoundError):
        getattr(client.bills, f"{other}_line_items").retrieve(made.id, bill_id=bill.id)
    assert memos.delete(made.id, bill_id=bill.id) == changed
    assert ids(memos.list(bill.id)) == []


def test_what_cannot_be_put_on_a_bill_is_refused_by_name(client: M3ter, shop: Storefront) -> None:
    bill = billed(client, "2025-01-31")
    credits_of = client.bills.credit_line_items
    for changes, says in (
        ({"amount": 0}, "amount: must be above 0"),
        ({"amount_to_apply_on_bill": 13}, "amountToApplyOnBill"),
        ({"description": ""}, "description"),
        ({"product_id": NOWHERE}, "productId: there is no product"),
        ({"credit_reason_id": NOWHERE}, "creditReasonId: there is no credit reason"),
        ({"reason_id": shop.ids["/picklists/debitreasons"]}, "creditReasonId: there is no credit reason"),
        ({"referenced_bill_id": NOWHERE}, "referencedBillId: there is no bill"),
        ({"referenced_line_item_id": NOWHERE}, "referencedLineItemId"),
        ({"line_item_type": "USAGE"}, "lineItemType: a credit line item is a CREDIT_MEMO"),
        (
            {"reason_id": NOWHERE, "credit_reason_id": shop.ids["/picklists/creditreasons"]},
            "reasonId: names another reason",
        ),
    ):
        with pytest.raises(BadRequestError, match=says):
            credits_of.create(bill.id, **memo(shop, bill, **changes))
    with pytest.raises(NotFoundError, match="there is no bill"):
        credits_of.create(NOWHERE, **memo(shop, bill))
    assert ids(credits_of.list(bill.id)) == []


def test_a_locked_bill_keeps_its_credits_and_takes_no_more(client: M3ter, shop: Storefront) -> None:
    bill = billed(client, "2025-01-31")
    credits_of = client.bills.credit_line_items
    kept = credits_of.create(bill.id, **memo(shop, bill)).id
    client.bills.approve(bill_ids=[bill.id])
    client.bills.lock(bill.id)
    for act in (
        partial(credits_of.create, bill.id, **memo(shop, bill)),
        partial(credits_of.update, kept, bill_id=bill.id, **memo(shop, bill)),
        partial(credits_of.delete, kept, bill_id=bill.id),
        partial(client.bills.debit_line_items.create, bill.id, **memo(shop, bill)),
    ):
        with pytest.raises(BadRequestError, match="is locked") as caught:
            act()
        assert caught.value.body["code"] == "bill_locked"  # type: ignore[index]  # the SDK types it as object
    assert ids(credits_of.list(bill.id)) == [kept]
