"""Prepaid credit through the official client, unmodified: commitments, balances, transactions and schedules."""

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
from storefront import NOWHERE, read, send
from test_sdk_catalogue import Catalogue, account, includes, template


@dataclass(frozen=True)
class World:
    """An account with a contract, a product, a transaction type, and the clients to do more with."""

    client: M3ter
    http: httpx.Client
    made: Catalogue
    kind: str
    contract: str

    @property
    def account(self) -> str:
        return self.made.account

    @property
    def product(self) -> str:
        return self.made.product

    def commitment(self, **changes: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "account_id": self.account,
            "amount": 15000,
            "currency": "USD",
            "start_date": "2025-01-01",
            "end_date": "2026-01-01",
        }
        return {**body, **changes}

    def balance(self, code: str = "wallet", **changes: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "account_id": self.account,
            "code": code,
            "name": "Wallet",
            "currency": "USD",
            "start_date": "2025-01-01T00:00:00Z",
            "end_date": "2026-01-01T00:00:00Z",
        }
        return {**body, **changes}


@pytest.fixture
def world(client: M3ter, http: httpx.Client) -> World:
    made = Catalogue(client)
    kind = client.transaction_types.create(name="Top-up", code="top_up").id
    client.currencies.create(name="Tokens", code="TOK")
    year = {"start_date": "2025-01-01", "end_date": "2026-01-01"}
    contract = client.contracts.create(account_id=made.account, name="Year", **year).id
    return World(client, http, made, kind, contract)


def ids(page: Any) -> list[str]:
    return [each.id for each in page]


# ------------------------------------------------------------------------------------------------ created and changed


def commitment_in_full(world: World) -> dict[str, Any]:
    return world.commitment(
        amount_pre_paid=3000,
        amount_first_bill=1000.5,
        billing_plan_id=world.made.plan,
        billing_interval=2,
        billing_offset=1,
        bill_epoch="2025-01-15",
        commitment_fee_bill_in_advance=True,
        line_item_types=["USAGE", "STANDING_CHARGE", "COUNTER_ADJUSTMENT_DEBIT"],
        product_ids=[world.product],
        contract_id=world.contract,
        overage_surcharge_percent=-2.5,
        separate_overage_usage=False,
        child_billing_mode="PARENT_SUMMARY",
        commitment_fee_description="Fee",
        commitment_usage_description="Used",
        overage_description="Over",
        accounting_product_id=world.product,
        fees_accounting_product_id=world.product,
        drawdowns_accounting_product_id=world.product,
    )


def commitment_by_dates(world: World) -> dict[str, Any]:
    fee = {"service_period_start_date": datetime(2025, 1, 1, tzinfo=UTC), "amount": 7500}
    same = {"service_period_end_date": datetime(2025, 1, 1, tzinfo=UTC)}
    return world.commitment(
        separate_overage_usage=True,
        overage_surcharge_percent=0,
        fee_dates=[{**fee, **same, "date": "2025-01-01"}, {**fee, **same, "date": "2025-07-01"}],
    )


def balance_in_full(world: World) -> dict[str, Any]:
    return world.balance(
        description="For everything",
        line_item_types=["USAGE", "AD_HOC"],
        product_ids=[world.product],
        contract_id=world.contract,
        rollover_end_date="2026-04-01T00:00:00Z",
        rollover_amount=25.5,
        overage_surcharge_percent=10,
        overage_description="Over",
        balance_draw_down_description="Paid from the wallet",
        consumptions_accounting_product_id=world.product,
        fees_accounting_product_id=world.product,
        allow_overdraft=True,
        custom_fields={"team": "core", "rank": 3},
    )


NOUNS: tuple[tuple[str, Callable[[World], dict[str, Any]], dict[str, Any]], ...] = (
    ("commitments", commitment_in_full, {"amount": 20000}),
    ("commitments", commitment_by_dates, {"overage_description": "More"}),
    ("balances", balance_in_full, {"name": "Purse"}),
)


@pytest.mark.parametrize(("resource", "body", "change"), NOUNS, ids=("commitment", "by dates", "balance"))
def test_credit_is_created_read_listed_updated_and_deleted(
    client: M3ter,
    world: World,
    resource: str,
    body: Callable[[World], dict[str, Any]],
    change: dict[str, Any],
    new_organization: Callable[[], Any],
) -> None:
    api, sent = getattr(client, resource), body(world)
    created = api.create(**sent)
    assert created.version == 1
    includes(created, sent)
    assert api.retrieve(created.id) == created
    assert list(api.list(ids=[created.id, NOWHERE])) == [created]
    changed = api.update(created.id, **{**sent, **change}, version=1)
    assert changed.version == 2
    includes(changed, {**sent, **change})
    with pytest.raises(BadRequestError, match="version 2"):
        api.update(created.id, **sent, version=1)
    with new_organization().sdk() as other, pytest.raises(NotFoundError):
        getattr(other, resource).retrieve(created.id)
    for name in [name for name in sent if name.endswith("_id")]:
        wire = "".join(part.title() if index else part for index, part in enumerate(name.split("_")))
        with pytest.raises(BadRequestError, match=f"{wire}: there is no"):
            api.create(**{**sent, name: NOWHERE})
    assert api.delete(created.id) == changed
    for act in (api.retrieve, api.delete, partial(api.update, **sent)):
        with pytest.raises(NotFoundError, match="there is no"):
            act(created.id)


def test_our_terms_of_a_balance_travel_beside_the_clients(http: httpx.Client, world: World) -> None:
    """Priority, aggregations, segments and the top-up rule are extensions: the client passes them through."""
    rule = {
        "threshold": 10,
        "amount": 50,
        "monthlyMaximum": 100,
        "transactionTypeId": world.kind,
        "chargeDescription": "Topped up",
    }
    of_europe = {"aggregationIds": [world.made.aggregation], "segments": [{"region": "eu"}]}
    more: dict[str, Any] = {"priority": 2, **of_europe, "topUp": rule}
    create = world.client.balances.create
    made = create(**world.balance(), extra_body=more)
    shown = read(http.get(f"/balances/{made.id}"))
    assert {name: shown[name] for name in more} == more
    with pytest.raises(BadRequestError, match=made.id):
        world.client.transaction_types.delete(world.kind)
    for wrong, says in (
        ({"topUp": {**rule, "transactionTypeId": NOWHERE}}, "topUp.transactionTypeId: there is no transaction type"),
        ({"segments": [{"planet": "mars"}]}, "none of the aggregations is segmented by planet"),
    ):
        with pytest.raises(BadRequestError, match=says):
            create(**world.balance("other"), extra_body={**more, **wrong})


# ------------------------------------------------------------------------------------------------------------- lists


def unlinked(world: World, path: str, name: str) -> list[str]:
    """What of the account belongs to no contract. (The client leaves empty texts out of its queries.)"""
    rows = read(world.http.get(path, params={"accountId": world.account, name: ""}))["data"]
    return [row["id"] for row in rows]


def test_commitments_are_filtered_and_searched(client: M3ter, world: World) -> None:
    other = client.accounts.create(name="Other", code="other", email_address="a@b.example").id
    old = client.commitments.create(**world.commitment(amount=900, start_date="2023-01-01", end_date="2024-01-01")).id
    new = client.commitments.create(**world.commitment(product_ids=[world.product], contract_id=world.contract)).id
    theirs = client.commitments.create(**world.commitment(amount=1000, account_id=other, end_date="2027-01-01")).id
    listed = client.commitments.list
    assert ids(listed()) == [theirs, new, old]
    assert ids(listed(page_size=1)) == [theirs, new, old]
    assert ids(listed(account_id=world.account)) == [new, old]
    assert ids(listed(product_id=world.product)) == [new]
    assert ids(listed(contract_id=world.contract)) == [new]
    assert unlinked(world, "/commitments", "contractId") == [old]
    assert ids(listed(date="2023-06-01")) == [old]
    assert ids(listed(date="2024-01-01")) == [], "the end is exclusive"
    assert ids(listed(end_date_start="2026-01-01", page_size=1)) == [theirs, new]
    assert ids(listed(end_date_end="2026-01-01")) == [old]

    def search(query: str, **more: Any) -> list[str]:
        return ids(client.commitments.search(search_query=query, **more).data)

    assert search(f"startDate>2023-01-01$accountId:{world.account}") == [new]
    assert search("endDate<=2026-01-01", sort_by="endDate", sort_order="ASC") == [old, new]
    assert search("", sort_by="amount", sort_order="DESC") == [new, theirs, old]
    assert search(f"productId:{world.product}") == [new]
    assert search(f"productIds:{NOWHERE},{world.product}") == [new]
    assert search(f"id:{old}$accountId:{other}", operator="OR") == [theirs, old]
    assert search(f"ids:{old},{new}", page_size=1, from_document=1) == [old]
    for query in ("planet:mars", "startDate:soon", "startDate~2023"):
        with pytest.raises(BadRequestError, match="searchQuery"):
            search(query)


def test_balances_are_filtered(client: M3ter, world: World) -> None:
    other = client.accounts.create(name="Other", code="other", email_address="a@b.example").id
    linked = client.balances.create(**world.balance("linked", contract_id=world.contract)).id
    rolling = client.balances.create(**world.balance("rolling", rollover_end_date="2026-04-01T00:00:00Z")).id
    theirs = client.balances.create(**world.balance("theirs", account_id=other)).id
    listed = client.balances.list
    assert ids(listed()) == [theirs, rolling, linked]
    assert ids(listed(account_id=world.account)) == [rolling, linked]
    assert ids(listed(contract_id=world.contract)) == [linked]
    assert ids(listed(contract=world.contract)) == [linked]
    assert unlinked(world, "/balances", "contractId") == unlinked(world, "/balances", "contract") == [rolling]
    assert ids(listed(end_date_start="2026-01-02", page_size=1)) == [rolling], "the end of a rollover counts"
    assert ids(listed(end_date_end="2026-04-01")) == [theirs, linked]
    assert ids(listed(end_date_end="2026-01-01")) == [], "before, not on it"


# ------------------------------------------------------------------------------------------------------ transactions


def test_a_balance_holds_what_is_added_less_what_is_taken(client: M3ter, world: World) -> None:
    wallet = client.balances.create(**world.balance())
    assert wallet.amount == 0
    add = partial(client.balances.transactions.create, wallet.id)
    first = add(
        amount=100.25,
        transaction_type_id=world.kind,
        description="Paid in advance",
        applied_date="2025-02-01T00:00:00Z",
        transaction_date="2025-01-30T12:00:00Z",
        paid=90,
        currency_paid="EUR",
    )
    assert (first.amount, first.paid, first.currency_paid) == (100.25, 90, "EUR")
    assert (first.entity_type, first.entity_id) == ("SERVICE_USER", first.created_by)
    assert first.applied_date == datetime(2025, 2, 1, tzinfo=UTC)
    second = add(amount=-0.25)
    assert second.applied_date == datetime(2025, 1, 1, tzinfo=UTC), "without a date it counts from the start"
    assert client.balances.retrieve(wallet.id).amount == 100
    with pytest.raises(BadRequestError, match=r"holds 100 USD, -100\.01 would overdraw it"):
        add(amount=-100.01)
    assert client.balances.retrieve(wallet.id).amount == 100

    listed = partial(client.balances.transactions.list, wallet.id)
    assert ids(listed()) == [second.id, first.id], "latest first"
    assert ids(listed(page_size=1)) == [second.id, first.id]
    assert ids(listed(transaction_type_id=world.kind)) == [first.id]
    assert ids(listed(entity_type="BILL")) == []
    assert ids(listed(entity_type="SERVICE_USER", entity_id=first.entity_id)) == [second.id, first.id]
    summary = client.balances.transactions.summary(wallet.id)
    assert (summary.total_credit_amount, summary.total_debit_amount) == (100.25, 0.25)
    assert (summary.initial_credit_amount, summary.balance_consumed, summary.rollover_consumed) == (100.25, 0, 0)
    assert summary.expired_balance_amount == 100, "the year it was for is over"

    with pytest.raises(BadRequestError, match="currency: there are transactions with USD"):
        client.balances.update(wallet.id, **world.balance(currency="TOK"))
    for amount, more in ((0, {}), (1, {"paid": 1}), (1, {"transaction_type_id": NOWHERE})):
        with pytest.raises(BadRequestError):
            add(amount=amount, **more)
    with pytest.raises(NotFoundError, match="there is no balance"):
        client.balances.transactions.create(NOWHERE, amount=1)
    with pytest.raises(NotFoundError, match="there is no balance"):
        client.balances.transactions.summary(NOWHERE)


def test_an_overdraft_is_allowed_by_the_balance_or_by_the_organization(client: M3ter, world: World) -> None:
    allowed = client.balances.create(**world.balance("allowed", allow_overdraft=True)).id
    client.balances.transactions.create(allowed, amount=-5)
    assert client.balances.retrieve(allowed).amount == -5
    other = client.balances.create(**world.balance("other")).id
    with pytest.raises(BadRequestError, match="overdraw"):
        client.balances.transactions.create(other, amount=-5)
    config = client.organization_config.retrieve()
    client.organization_config.update(
        currency="USD",
        timezone="UTC",
        day_epoch="2022-01-01",
        week_epoch="2022-01-04",
        month_epoch="2022-01-01",
        year_epoch="2022-01-01",
        days_before_bill_due=30,
        allow_negative_balances=True,
        version=config.version or 1,
    )
    client.balances.transactions.create(other, amount=-5)
    assert client.balances.retrieve(other).amount == -5


# --------------------------------------------------------------------------------------------------------- schedules


def top_ups(world: World, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": "Monthly credit",
        "code": "monthly",
        "amount": 20,
        "transaction_type_id": world.kind,
        "transaction_description": "Credit of the month",
        "frequency": "MONTHLY",
        "frequency_interval": 1,
        "start_date": "2090-01-31T00:00:00Z",
        "end_date": "2090-05-01T00:00:00Z",
        "paid": 18,
        "currency_paid": "EUR",
        "custom_fields": {"team": "core"},
    }
    return {**body, **changes}


def fees(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": "Keeping fee",
        "code": "fee",
        "currency": "USD",
        "charge_description": "For keeping it",
        "bill_frequency": "MONTHLY",
        "bill_frequency_interval": 1,
        "bill_in_advance": False,
        "bill_epoch": "2090-01-01",
        "service_period_start_date": "2090-01-10T00:00:00Z",
        "service_period_end_date": "2090-04-01T00:00:00Z",
        "units": 2,
        "unit_price": 1.5,
    }
    return {**body, **changes}


def test_schedules_are_created_read_listed_updated_and_deleted(client: M3ter, world: World) -> None:
    wallet = client.balances.create(**world.balance()).id
    other = client.balances.create(**world.balance("other")).id
    cases: tuple[tuple[Any, dict[str, Any], str], ...] = (
        (client.balances.transaction_schedules, top_ups(world), "2090-01-31T00:00:00+00:00"),
        (client.balances.charge_schedules, fees(), "2090-02-01T00:00:00+00:00"),
    )
    for api, body, first_run in cases:
        created = api.create(wallet, **body)
        assert (created.version, created.balance_id, created.previous_run) == (1, wallet, None)
        assert created.next_run == datetime.fromisoformat(first_run)
        includes(created, body)
        assert api.retrieve(created.id, balance_id=wallet).id == created.id
        assert ids(api.list(wallet)) == [created.id]
        assert ids(api.list(wallet, ids=[NOWHERE])) == []
        assert ids(api.list(other)) == []
        with pytest.raises(NotFoundError, match="of this balance"):
            api.retrieve(created.id, balance_id=other)
        with pytest.raises(NotFoundError, match="there is no balance"):
            api.create(NOWHERE, **{**body, "code": "elsewhere"})
        with pytest.raises(BadRequestError, match=body["code"]):
            api.create(other, **body)
        changed = api.update(created.id, balance_id=wallet, **{**body, "name": "Renamed"}, version=1)
        assert (changed.version, changed.name) == (2, "Renamed")
        with pytest.raises(BadRequestError, match=created.id):
            client.balances.delete(wallet)
        assert api.delete(created.id, balance_id=wallet).id == created.id
        with pytest.raises(NotFoundError):
            api.delete(created.id, balance_id=wallet)
    client.balances.delete(wallet)


def test_a_preview_says_what_a_schedule_would_make(client: M3ter, http: httpx.Client, world: World) -> None:
    wallet = client.balances.create(**world.balance()).id
    preview = client.balances.transaction_schedules.preview(wallet, **top_ups(world))
    assert preview.next_run == datetime(2090, 1, 31, tzinfo=UTC)
    rows = preview.model_extra["data"] if preview.model_extra else []
    days = ["2090-01-31", "2090-02-28", "2090-03-31", "2090-04-30"]
    assert [(row["appliedDate"][:10], row["amount"]) for row in rows] == [(day, 20) for day in days]
    charges = client.balances.charge_schedules.preview(wallet, **fees())
    rows = charges.model_extra["data"] if charges.model_extra else []
    assert [(row["servicePeriodStartDate"][:10], row["billDate"]) for row in rows] == [
        ("2090-01-10", "2090-01-31"),
        ("2090-02-01", "2090-02-28"),
        ("2090-03-01", "2090-03-31"),
    ]
    assert rows[0]["lineItemType"] == "BALANCE_FEE"
    assert ids(client.balances.transaction_schedules.list(wallet)) == []
    path = f"/balances/{wallet}/balancetransactionschedules/preview"
    body = {
        "name": "Daily",
        "code": "daily",
        "amount": 1,
        "transactionTypeId": world.kind,
        "transactionDescription": "Daily",
        "frequency": "DAILY",
        "frequencyInterval": 1,
        "startDate": "2025-01-01T00:00:00Z",
        "endDate": "2026-01-01T00:00:00Z",
    }
    page = read(send(http, "POST", f"{path}?pageSize=200", body))
    assert (len(page["data"]), page["nextToken"]) == (200, "200")
    rest = read(send(http, "POST", f"{path}?pageSize=200&nextToken=200", body))
    assert (len(rest["data"]), "nextToken" in rest) == (165, False)


def test_schedules_run_by_themselves(client: M3ter, world: World) -> None:
    """Runs that lie in the past are made up for within moments, each once."""
    wallet = client.balances.create(**world.balance()).id
    past = {"start_date": "2025-01-31T00:00:00Z", "end_date": "2025-04-01T00:00:00Z"}
    adding = client.balances.transaction_schedules.create(wallet, **top_ups(world, **past)).id
    service = {"service_period_start_date": "2025-01-10T00:00:00Z", "service_period_end_date": "2025-03-01T00:00:00Z"}
    charging = client.balances.charge_schedules.create(wallet, **fees(**service)).id
    until = time.monotonic() + 30
    while client.balances.retrieve(wallet).amount != 60 or len(ids(client.charges.list(schedule_id=charging))) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    made = list(client.balances.transactions.list(wallet, entity_type="SCHEDULER"))
    assert [(str(each.applied_date)[:10], each.amount, each.entity_id) for each in made] == [
        ("2025-03-31", 20, adding),
        ("2025-02-28", 20, adding),
        ("2025-01-31", 20, adding),
    ]
    shown = client.balances.transaction_schedules.retrieve(adding, balance_id=wallet)
    assert (shown.previous_run, shown.next_run) == (datetime(2025, 3, 31, tzinfo=UTC), None)
    charges = list(client.charges.list(schedule_id=charging))
    assert [(each.entity_id, each.line_item_type, each.units) for each in charges] == [(wallet, "BALANCE_FEE", 2)] * 2


def metered(world: World, *, usage: float) -> str:
    """The account pays 0.02 a call this month and has made some; gives its wallet, which holds 100."""
    client, year = world.client, datetime.now(UTC).year
    plan = client.plan_templates.create(
        **{**template("calls"), "standing_charge": 0, "minimum_spend": 0}, product_id=world.product
    )
    plan_id = client.plans.create(name="Calls", code="calls", plan_template_id=plan.id).id
    bands = [{"lower_limit": 0, "fixed_price": 0, "unit_price": 0.02}]
    start: dict[str, Any] = {"start_date": f"{year - 1}-01-01T00:00:00Z"}
    client.pricings.create(plan_id=plan_id, aggregation_id=world.made.aggregation, pricing_bands=bands, **start)
    client.account_plans.create(account_id=world.account, plan_id=plan_id, start_date=datetime.now(UTC).replace(day=1))
    wallet = world.balance(start_date=f"{year - 1}-01-01T00:00:00Z", end_date=f"{year + 2}-01-01T00:00:00Z")
    wallet_id = client.balances.create(**wallet).id
    client.balances.transactions.create(wallet_id, amount=100)
    body = {"uid": "one", "meter": "base", "account": "base", "ts": datetime.now(UTC), "measure": {"bytes": usage}}
    client.usage.submit(measurements=[{**body, "where": {"region": "eu"}, "metadata": {"file": "f"}}])
    return wallet_id


def test_a_live_value_counts_usage_that_no_bill_has_drawn(http: httpx.Client, world: World) -> None:
    """2,400,000 bytes are 2,400 kB at 0.02: 48."""
    wallet = metered(world, usage=2_400_000)
    live = read(http.get(f"/balances/{wallet}/live"))
    assert (live["balanceId"], live["currency"], live["ledgerValue"], live["expired"]) == (wallet, "USD", 100, 0)
    assert (live["value"], live["complete"]) == (52, True)
    assert [(each["accountId"], each["amount"]) for each in live["openDraws"]] == [(world.account, 48)]
    at_once = read(http.get(f"/balances/{wallet}/live", params={"wait": "false"}))
    assert (at_once["value"], at_once["upTo"], at_once["complete"]) == (52, live["upTo"], True)
    assert world.client.balances.retrieve(wallet).amount == 100
    assert http.get(f"/balances/{NOWHERE}/live").status_code == 404


def test_a_balance_fills_itself_up(http: httpx.Client, world: World) -> None:
    """Of 100 only 52 are left: below 60, so 25 are added, once a month at most."""
    wallet = metered(world, usage=2_400_000)
    kept = world.client.balances.retrieve(wallet)
    rule = {"threshold": 60, "amount": 25, "monthlyMaximum": 25, "transactionTypeId": world.kind}
    body = {
        name: read(http.get(f"/balances/{wallet}"))[name]
        for name in ("accountId", "code", "name", "currency", "startDate", "endDate")
    }
    read(send(http, "PUT", f"/balances/{wallet}", {**body, "topUp": rule, "version": kept.version}))
    until = time.monotonic() + 30
    while world.client.balances.retrieve(wallet).amount != 125:
        assert time.monotonic() < until
        time.sleep(0.1)
    (made,) = world.client.balances.transactions.list(wallet, entity_type="SCHEDULER")
    assert (made.amount, made.entity_id, made.transaction_type_id) == (25, wallet, world.kind)
    (charge,) = world.client.charges.list(entity_id=wallet)
    assert (charge.amount, charge.line_item_type, charge.account_id) == (25, "BALANCE_FEE", world.account)
    assert read(http.get(f"/balances/{wallet}/live"))["value"] == 77


def test_what_bills_draw_is_in_the_ledger(client: M3ter, http: httpx.Client, world: World) -> None:
    """January 2025: 100 calls of kB at 0.02 are 2.00; the commitment pays 1.50 of it, the wallet 0.50."""
    plan_id, bands = world.made.plan, [{"lower_limit": 0, "fixed_price": 0, "unit_price": 0.02}]
    client.plans.update(
        plan_id, name="Base", code="base", plan_template_id=world.made.template, minimum_spend=0, standing_charge=0
    )
    year: dict[str, Any] = {"start_date": "2025-01-15T00:00:00Z"}
    client.pricings.create(plan_id=plan_id, aggregation_id=world.made.aggregation, pricing_bands=bands, **year)
    client.account_plans.create(account_id=world.account, plan_id=plan_id, **year)
    promise = client.commitments.create(**world.commitment(amount=1.5)).id
    wallet = client.balances.create(**world.balance()).id
    added = client.balances.transactions.create(wallet, amount=10).id
    config = client.accounts.retrieve(world.account)
    assert config.credit_application_order == ["BALANCE", "PREPAYMENT"]
    client.accounts.update(world.account, **{**account("base"), "credit_application_order": ["PREPAYMENT", "BALANCE"]})
    body = {
        "uid": "one",
        "meter": "base",
        "account": "base",
        "ts": "2025-01-20T00:00:00Z",
        "measure": {"bytes": 100_000},
    }
    client.usage.submit(measurements=[{**body, "where": {"region": "eu"}, "metadata": {"file": "f"}}])
    job = client.bill_jobs.create(account_ids=[world.account], last_date_in_billing_period="2025-02-14")
    until = time.monotonic() + 30
    while client.bill_jobs.retrieve(job.id).status != "COMPLETE":
        assert time.monotonic() < until
        time.sleep(0.05)
    (bill,) = client.bills.list(account_id=world.account)
    paid = {line.line_item_type: line.converted_subtotal for line in bill.line_items or []}
    assert (paid["USAGE"], paid["COMMITMENT_CONSUMED"], paid["BALANCE_CONSUMED"]) == (2, -1.5, -0.5)
    assert client.commitments.retrieve(promise).amount_spent == 1.5
    assert client.balances.retrieve(wallet).amount == 9.5
    (drawn,) = client.balances.transactions.list(wallet, entity_type="BILL", entity_id=bill.id)
    assert (drawn.amount, drawn.entity_type, drawn.entity_id) == (-0.5, "BILL", bill.id)
    assert ids(client.balances.transactions.list(wallet)) == [added, drawn.id]
    told = client.balances.transactions.summary(wallet)
    assert (told.total_credit_amount, told.total_debit_amount, told.balance_consumed) == (10, 0.5, 0.5)
    for resource, id_ in ((client.balances, wallet), (client.commitments, promise)):
        with pytest.raises(BadRequestError, match=bill.id):
            resource.delete(id_)  # type: ignore[attr-defined]  # the resources share no base
    with pytest.raises(BadRequestError, match=r"bills have drawn 1\.5"):
        client.commitments.update(promise, **world.commitment(amount=1))
    client.bills.delete(bill.id)
    assert client.commitments.retrieve(promise).amount_spent == 0
    assert client.balances.retrieve(wallet).amount == 10
    client.balances.delete(wallet)
