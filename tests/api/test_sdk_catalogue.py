"""Every noun of the catalogue through the official client, unmodified, which checks each answer against its types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from m3ter import BadRequestError, M3ter, NotFoundError

NOWHERE = "00000000-0000-4000-8000-000000000000"
BANDS = [
    {"lower_limit": 0, "fixed_price": 0, "unit_price": 0.02},
    {"lower_limit": 5000, "fixed_price": 1.5, "unit_price": 0.00001},
]


class Catalogue:
    """What most nouns need to exist first, made through the client on demand and once."""

    def __init__(self, client: M3ter) -> None:
        self.client = client
        self._made: dict[str, str] = {}

    def _once(self, name: str, make: Callable[[], Any]) -> str:
        if name not in self._made:
            self._made[name] = make().id
        return self._made[name]

    @property
    def product(self) -> str:
        return self._once("product", lambda: self.client.products.create(name="Storage", code="storage"))

    @property
    def meter(self) -> str:
        return self._once("meter", lambda: self.client.meters.create(**meter("base"), product_id=self.product))

    @property
    def aggregation(self) -> str:
        return self._once(
            "aggregation", lambda: self.client.aggregations.create(**aggregation("base"), meter_id=self.meter)
        )

    @property
    def template(self) -> str:
        return self._once(
            "template", lambda: self.client.plan_templates.create(**template("base"), product_id=self.product)
        )

    @property
    def plan(self) -> str:
        return self._once(
            "plan", lambda: self.client.plans.create(name="Base", code="base", plan_template_id=self.template)
        )

    @property
    def account(self) -> str:
        return self._once("account", lambda: self.client.accounts.create(**account("base")))


def meter(code: str) -> dict[str, Any]:
    return {
        "name": "Traffic",
        "code": code,
        "data_fields": [
            {"code": "bytes", "name": "Bytes", "category": "MEASURE", "unit": "By"},
            {"code": "region", "name": "Region", "category": "WHERE"},
            {"code": "file", "name": "File", "category": "METADATA"},
        ],
        "derived_fields": [
            {"code": "mb", "name": "MB", "category": "MEASURE", "unit": "MB", "calculation": "bytes / 1000000"}
        ],
    }


def aggregation(code: str) -> dict[str, Any]:
    return {
        "name": "Bytes",
        "code": code,
        "target_field": "bytes",
        "aggregation": "SUM",
        "quantity_per_unit": 1000,
        "rounding": "UP",
        "unit": "kB",
        "default_value": 0,
        "segmented_fields": ["region"],
        "segments": [{"region": "eu"}, {"region": "us"}],
    }


def template(code: str) -> dict[str, Any]:
    return {
        "name": "Monthly",
        "code": code,
        "currency": "USD",
        "bill_frequency": "MONTHLY",
        "bill_frequency_interval": 1,
        "standing_charge": 20.5,
        "standing_charge_interval": 1,
        "standing_charge_offset": 0,
        "standing_charge_bill_in_advance": True,
        "standing_charge_description": "Platform fee",
        "minimum_spend": 100,
        "minimum_spend_bill_in_advance": False,
        "minimum_spend_description": "Minimum",
    }


def account(code: str) -> dict[str, Any]:
    return {
        "name": "Acme",
        "code": code,
        "email_address": "billing@acme.example",
        "address": {"address_line1": "1 Main Street", "locality": "Springfield", "post_code": "12345"},
        "bill_epoch": "2025-01-15",
        "currency": "USD",
        "days_before_bill_due": 14,
        "purchase_order_number": "PO-1",
        "credit_application_order": ["BALANCE", "PREPAYMENT"],
        "auto_generate_statement_mode": "JSON",
    }


@dataclass(frozen=True)
class Noun:
    """One resource of the client: how one is made, and what an update changes."""

    resource: str
    body: Callable[[Catalogue], dict[str, Any]]
    change: dict[str, Any]
    custom_fields: bool = True


NOUNS = (
    Noun("products", lambda _: {"name": "Compute", "code": "compute"}, {"name": "Compute hours"}),
    Noun("meters", lambda made: {**meter("traffic"), "product_id": made.product}, {"name": "Bandwidth"}),
    Noun("aggregations", lambda made: {**aggregation("sum"), "meter_id": made.meter}, {"rounding": "NEAREST"}),
    Noun("plan_templates", lambda made: {**template("t"), "product_id": made.product}, {"standing_charge": 0}),
    Noun(
        "plans",
        lambda made: {
            "name": "Bespoke",
            "code": "bespoke",
            "plan_template_id": made.template,
            "bespoke": True,
            "account_id": made.account,
            "standing_charge": 10,
            "standing_charge_accounting_product_id": made.product,
            "minimum_spend_accounting_product_id": made.product,
        },
        {"minimum_spend": 7.25},
    ),
    Noun(
        "pricings",
        lambda made: {
            "plan_id": made.plan,
            "aggregation_id": made.aggregation,
            "pricing_bands": BANDS,
            "overage_pricing_bands": BANDS,
            "start_date": datetime(2025, 1, 1, tzinfo=UTC),
            "end_date": "2026-01-01",
            "cumulative": True,
            "segment": {"region": "eu"},
            "minimum_spend": 5,
            "description": "Bytes in Europe",
            "code": "eu",
        },
        {"minimum_spend": 6},
        custom_fields=False,
    ),
    Noun("accounts", lambda _: account("acme"), {"name": "Acme Limited"}),
    Noun(
        "account_plans",
        lambda made: {
            "account_id": made.account,
            "plan_id": made.plan,
            "start_date": "2025-01-01T00:00:00",
            "end_date": "2026-01-01T00:00:00+02:00",
            "bill_epoch": "2025-01-01",
            "child_billing_mode": "PARENT_SUMMARY",
            "code": "acme-base",
        },
        {"end_date": "2027-01-01T00:00:00Z"},
    ),
    Noun(
        "currencies",
        lambda _: {"name": "Euro", "code": "EUR", "max_decimal_places": 2, "rounding_mode": "HALF_EVEN"},
        {"archived": True},
        custom_fields=False,
    ),
)


@pytest.fixture
def made(client: M3ter) -> Catalogue:
    return Catalogue(client)


@pytest.fixture(params=NOUNS, ids=lambda noun: noun.resource)
def noun(request: pytest.FixtureRequest) -> Noun:
    found: Noun = request.param
    return found


def includes(answer: Any, sent: Any, path: str = "") -> None:
    """Everything that was sent is in the answer, dates compared as dates."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            found = answer[name] if isinstance(answer, dict) else getattr(answer, name)
            includes(found, value, f"{path}.{name}")
    elif isinstance(sent, list):
        assert len(answer) == len(sent), path
        for index, value in enumerate(sent):
            includes(answer[index], value, f"{path}[{index}]")
    elif isinstance(answer, datetime):
        wanted = sent if isinstance(sent, datetime) else datetime.fromisoformat(sent)
        assert answer == (wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)), path
    elif hasattr(answer, "isoformat"):
        assert answer.isoformat() == sent, path
    else:
        assert answer == sent, path


def test_a_noun_is_created_read_listed_updated_and_deleted(client: M3ter, made: Catalogue, noun: Noun) -> None:
    resource = getattr(client, noun.resource)
    extra = {"custom_fields": {"team": "core", "weight": 2.5, "rank": 3}} if noun.custom_fields else {}
    body = {**noun.body(made), **extra}

    created = resource.create(**body)
    assert created.version == 1
    assert len(created.id) == 36
    assert created.created_by == created.last_modified_by
    assert created.dt_created == created.dt_last_modified
    includes(created, body)
    assert resource.retrieve(created.id) == created

    listed = list(resource.list(ids=[created.id, NOWHERE]))
    assert listed == [created]
    assert created in list(resource.list(page_size=1)), "every page is walked"

    changed = resource.update(created.id, **{**body, **noun.change}, version=1)
    assert (changed.id, changed.version) == (created.id, 2)
    assert changed.dt_created == created.dt_created
    assert changed.dt_last_modified >= created.dt_last_modified
    includes(changed, {**body, **noun.change})

    with pytest.raises(BadRequestError, match="version 2"):
        resource.update(created.id, **body, version=1)
    assert resource.retrieve(created.id) == changed

    bare = resource.update(created.id, **noun.body(made))
    assert bare.version == 3
    if noun.custom_fields:
        assert bare.custom_fields is None, "an update replaces everything"

    assert resource.delete(created.id) == bare
    for act in (resource.retrieve, resource.delete, partial(resource.update, **body)):
        with pytest.raises(NotFoundError, match="there is no"):
            act(created.id)
    assert list(resource.list(ids=[created.id])) == []


def test_a_noun_of_another_organization_is_not_there(
    client: M3ter, made: Catalogue, noun: Noun, new_organization: Callable[[], Any]
) -> None:
    resource = getattr(client, noun.resource)
    body = noun.body(made)
    created = resource.create(**body)
    with new_organization().sdk() as other:
        foreign = getattr(other, noun.resource)
        for act in (foreign.retrieve, foreign.delete, partial(foreign.update, **body, version=1)):
            with pytest.raises(NotFoundError):
                act(created.id)
        assert list(foreign.list(ids=[created.id])) == []
        assert created.id not in [each.id for each in foreign.list()]
    assert resource.retrieve(created.id) == created


def test_an_unknown_reference_is_refused_by_name(client: M3ter, made: Catalogue, noun: Noun) -> None:
    body = noun.body(made)
    for name in [name for name in body if name.endswith("_id")]:
        wire = "".join(part.title() if index else part for index, part in enumerate(name.split("_")))
        with pytest.raises(BadRequestError, match=f"{wire}: there is no") as caught:
            getattr(client, noun.resource).create(**{**body, name: NOWHERE})
        assert caught.value.body["code"] == "unknown_reference"  # type: ignore[index]  # the SDK types it as object
        assert caught.value.body["field"] == wire  # type: ignore[index]  # the SDK types it as object


def ids(page: Any) -> list[str]:
    return [each.id for each in page]


def test_meters_and_aggregations_are_filtered_by_codes_and_product(client: M3ter, made: Catalogue) -> None:
    of_product = made.meter
    anywhere = client.meters.create(**meter("global"))
    other = client.products.create(name="Compute", code="compute").id
    assert ids(client.meters.list(codes=["global"])) == [anywhere.id]
    assert ids(client.meters.list(product_id=[made.product])) == [of_product]
    assert ids(client.meters.list(product_id=[made.product, other], codes=["global"])) == []
    assert ids(client.meters.list()) == [anywhere.id, of_product]
    free = client.aggregations.create(**aggregation("free"), meter_id=anywhere.id)
    assert ids(client.aggregations.list(codes=["free", "base"])) == [free.id]
    priced = made.aggregation
    assert ids(client.aggregations.list(product_id=[made.product])) == [priced]
    assert ids(client.aggregations.list(product_id=[other])) == []


def test_templates_and_plans_are_filtered_by_product_and_account(client: M3ter, made: Catalogue) -> None:
    other = client.products.create(name="Compute", code="compute").id
    second = client.plan_templates.create(**template("second"), product_id=other).id
    compute = client.plans.create(name="Compute", code="compute", plan_template_id=second)
    assert compute.product_id == other
    bespoke = client.plans.create(
        name="Acme's", code="acmes", plan_template_id=second, bespoke=True, account_id=made.account
    ).id
    assert ids(client.plan_templates.list(product_id=other)) == [second]
    assert ids(client.plans.list(product_id=other)) == [bespoke, compute.id]
    assert ids(client.plans.list(account_id=[made.account])) == [bespoke]
    assert ids(client.plans.list(product_id=made.product)) == []
    assert client.plans.retrieve(made.plan).product_id == made.product


def test_pricings_are_filtered_by_plan_aggregation_and_date(client: M3ter, made: Catalogue) -> None:
    common: dict[str, Any] = {"aggregation_id": made.aggregation, "pricing_bands": BANDS}
    old = client.pricings.create(
        plan_id=made.plan, start_date="2024-01-01", end_date="2025-01-01", segment={"region": "eu"}, **common
    )
    new = client.pricings.create(plan_id=made.plan, start_date="2025-01-01", segment={"region": "eu"}, **common)
    of_template = client.pricings.create(plan_template_id=made.template, start_date="2025-01-01", **common)
    assert (new.aggregation_type, new.segment_string, new.type) == ("SIMPLE", "eu", "DEBIT")
    assert new.pricing_bands is not None
    assert all(band.id for band in new.pricing_bands)
    assert of_template.segment_string is None
    assert ids(client.pricings.list(plan_id=made.plan)) == [new.id, old.id]
    assert ids(client.pricings.list(plan_template_id=made.template)) == [of_template.id]
    assert ids(client.pricings.list(aggregation_id=made.aggregation)) == [of_template.id, new.id, old.id]
    assert ids(client.pricings.list(plan_id=made.plan, date="2024-12-31")) == [old.id]
    assert ids(client.pricings.list(plan_id=made.plan, date="2024-12-31T23:59:59Z")) == [old.id]
    assert ids(client.pricings.list(date="2025-01-01")) == [of_template.id, new.id]
    with pytest.raises(BadRequestError, match=old.id):
        client.pricings.create(plan_id=made.plan, start_date="2024-06-01", segment={"region": "eu"}, **common)


def test_account_plans_are_listed_as_they_are_active(client: M3ter, made: Catalogue) -> None:
    common = {"account_id": made.account, "plan_id": made.plan}
    past = client.account_plans.create(**common, start_date="2020-01-01", end_date="2021-01-01")
    now = client.account_plans.create(**common, start_date="2021-01-01", end_date="2090-01-01")
    future = client.account_plans.create(**common, start_date="2090-01-01")
    assert now.product_id == made.product
    every = [future.id, now.id, past.id]
    listed = client.account_plans.list
    assert ids(listed()) == every
    assert ids(listed(account=made.account)) == [now.id]
    assert ids(listed(plan=made.plan)) == [now.id]
    assert ids(listed(account=made.account, includeall=True)) == every
    assert ids(listed(account=made.account, product=made.product, includeall=True)) == every
    assert ids(listed(account=made.account, product=NOWHERE, includeall=True)) == []
    assert ids(listed(account=made.account, plan=made.plan, product=made.product)) == [now.id]
    assert ids(listed(account=made.account, date="2020-06-01")) == [past.id]
    assert ids(listed(date="2021-01-01")) == [now.id]
    assert ids(listed(contract=NOWHERE, includeall=True)) == []
    with pytest.raises(BadRequestError, match="product: give it together with account"):
        listed(product=made.product)
    with pytest.raises(BadRequestError, match=now.id) as caught:
        client.account_plans.create(**common, start_date="2025-01-01")
    assert caught.value.body["code"] == "overlapping_plan"  # type: ignore[index]  # the SDK types it as object


def test_accounts_are_filtered_searched_and_have_children(client: M3ter, made: Catalogue) -> None:
    child = client.accounts.create(**account("acme-labs"), parent_account_id=made.account)
    assert ids(client.accounts.list(codes=["acme-labs", "nobody"])) == [child.id]
    assert ids(client.accounts.list_children(made.account)) == [child.id]
    assert ids(client.accounts.list_children(child.id)) == []
    with pytest.raises(NotFoundError):
        client.accounts.list_children(NOWHERE)
    found = client.accounts.search(search_query="code~acme$currency:USD", operator="AND", page_size=5)
    assert ids(found.data) == [child.id]
    found = client.accounts.search(search_query="code~acme$code:base", operator="OR", sort_by="code", sort_order="DESC")
    assert ids(found.data) == [made.account, child.id]
    assert client.accounts.search(search_query="name~Nobody").data == []
    for query in ({"search_query": "planet:mars"}, {"sort_by": "planet"}, {"from_document": -1}, {"page_size": 101}):
        with pytest.raises(BadRequestError):
            client.accounts.search(**query)


def test_currencies_are_filtered_and_dollars_stay(client: M3ter) -> None:
    dollars = list(client.currencies.list(codes=["USD"]))
    assert [each.code for each in dollars] == ["USD"]
    mark = client.currencies.create(name="Mark", code="DEM", archived=True)
    assert ids(client.currencies.list(archived=True)) == [mark.id]
    assert ids(client.currencies.list(archived=False)) == ids(dollars)
    with pytest.raises(BadRequestError, match="every organisation has USD"):
        client.currencies.delete(dollars[0].id)


def test_settings_are_read_and_replaced(client: M3ter) -> None:
    config = client.organization_config.retrieve()
    assert (config.version, config.currency, config.timezone, config.week_epoch) == (1, "USD", "UTC", "2022-01-04")
    wanted: dict[str, Any] = {
        "currency": "USD",
        "timezone": "Europe/Berlin",
        "day_epoch": "2024-01-01",
        "week_epoch": "2024-01-01",
        "month_epoch": "2024-01-15",
        "year_epoch": "2024-04-06",
        "days_before_bill_due": 14,
        "currency_conversions": [{"from": "EUR", "to": "USD", "multiplier": 1.12}],
        "scheduled_bill_interval": 0.25,
        "auto_approve_bills_grace_period": 3,
        "auto_approve_bills_grace_period_unit": "HOURS",
        "credit_application_order": ["BALANCE"],
        "external_invoice_date": "LAST_DAY_OF_ARREARS",
        "bill_prefix": "INVOICE-",
        "sequence_start_number": 100,
        "allow_overlapping_plans": True,
    }
    changed = client.organization_config.update(**wanted, version=1)
    assert changed.version == 2
    rates = wanted.pop("currency_conversions")
    includes(changed, wanted)
    assert changed.currency_conversions is not None
    assert [(each.from_, each.to, each.multiplier) for each in changed.currency_conversions] == [
        (each["from"], each["to"], each["multiplier"]) for each in rates
    ]
    assert client.organization_config.retrieve() == changed
    with pytest.raises(BadRequestError, match="version"):
        client.organization_config.update(**wanted, version=1)
    with pytest.raises(BadRequestError, match="timezone: unknown time zone"):
        client.organization_config.update(**{**wanted, "timezone": "Mars/Olympus"})


def test_custom_fields_of_the_organization_are_read_and_replaced(client: M3ter) -> None:
    empty = client.custom_fields.retrieve()
    assert (empty.version, empty.account, empty.plan_template) == (1, None, None)
    changed = client.custom_fields.update(account={"tier": "gold", "weight": 2.5}, plan_template={"a": "b"}, version=1)
    assert (changed.version, changed.account, changed.plan_template) == (2, {"tier": "gold", "weight": 2.5}, {"a": "b"})
    assert client.custom_fields.retrieve() == changed
    assert client.custom_fields.update(account={"tier": "gold"}).plan_template is None
    with pytest.raises(BadRequestError, match="version 3"):
        client.custom_fields.update(version=1)
    with pytest.raises(BadRequestError, match="account: at most 25 fields"):
        client.custom_fields.update(account={f"field{number}": number for number in range(26)})


def test_what_is_in_use_says_by_whom(client: M3ter, made: Catalogue) -> None:
    pricing = client.pricings.create(
        plan_id=made.plan, aggregation_id=made.aggregation, pricing_bands=BANDS, start_date="2025-01-01"
    )
    attached = client.account_plans.create(account_id=made.account, plan_id=made.plan, start_date="2025-01-01")
    for resource, held, user in (
        (client.products, made.product, made.meter),
        (client.meters, made.meter, made.aggregation),
        (client.aggregations, made.aggregation, pricing.id),
        (client.plan_templates, made.template, made.plan),
        (client.plans, made.plan, attached.id),
        (client.accounts, made.account, attached.id),
    ):
        with pytest.raises(BadRequestError, match=user) as caught:
            resource.delete(held)  # type: ignore[attr-defined]  # the resources share no base
        assert caught.value.body["code"] == "in_use"  # type: ignore[index]  # the SDK types it as object


@pytest.mark.parametrize("more", [{}, {"custom_sql": "select 1"}])
def test_custom_sql_is_refused_with_what_to_do_instead(client: M3ter, made: Catalogue, more: dict[str, str]) -> None:
    body = {**aggregation("sql"), "aggregation": "CUSTOM_SQL", **more}
    with pytest.raises(BadRequestError, match=r"(?i)custom.sql is not supported; use"):
        client.aggregations.create(**body, meter_id=made.meter)


def test_a_percentile_is_kept(client: M3ter, made: Catalogue) -> None:
    """Our extension travels beside m3ter's fields; the client's own types do not know its method in answers."""
    body = {**aggregation("p95"), "aggregation": "PERCENTILE"}
    reply = client.aggregations.with_raw_response.create(
        **body, meter_id=made.meter, extra_body={"percentile": 95}
    ).http_response.json()
    assert (reply["aggregation"], reply["percentile"]) == ("PERCENTILE", 95)


def test_a_gauge_is_kept(client: M3ter, made: Catalogue) -> None:
    more = {"timeUnit": "HOUR", "gaugeField": "file"}
    body = {**aggregation("held"), "aggregation": "TIME_WEIGHTED_SUM"}
    create = client.aggregations.with_raw_response.create
    reply = create(**body, meter_id=made.meter, extra_body=more).http_response.json()
    assert {name: reply[name] for name in ("aggregation", *more)} == {"aggregation": "TIME_WEIGHTED_SUM", **more}
    latest = create(
        **{**aggregation("seats"), "aggregation": "LATEST"}, meter_id=made.meter, extra_body={"carryForward": True}
    ).http_response.json()
    assert latest["carryForward"] is True
