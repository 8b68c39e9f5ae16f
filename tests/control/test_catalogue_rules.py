"""What is refused in the catalogue, as a table each: what is asked, which field is at fault, what the message says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from shop import NOWHERE, Shop, account_body, aggregation_body, meter_body, pricing_body, refused, template_body

from tallystick.control.accounts import ACCOUNTS
from tallystick.control.aggregations import AGGREGATIONS
from tallystick.control.desk import Noun
from tallystick.control.meters import METERS
from tallystick.control.plan_templates import PLAN_TEMPLATES
from tallystick.control.plans import PLANS
from tallystick.control.pricings import PRICINGS, segment_string
from tallystick.control.products import PRODUCTS

GIGABYTES = {"code": "gb", "name": "GB", "category": "MEASURE", "unit": "GB", "calculation": "bytes / 1000000000"}
PLACE = {"code": "place", "name": "Place", "category": "WHERE", "calculation": "region + '/' + tier"}
ABC = {"segmentedFields": ["region"], "segments": [{"region": "eu"}, {"region": "us"}]}


def derived(**changes: object) -> dict[str, object]:
    return {"derivedFields": [{**GIGABYTES, **changes}]}


def test_derived_fields_are_calculated_from_data_fields(shop: Shop) -> None:
    shop.make(METERS, **meter_body(code="derived", derivedFields=[GIGABYTES, PLACE]))


METER_REFUSALS: tuple[tuple[dict[str, object], str], ...] = (
    (derived(calculation="bytes +"), "expected a value"),
    (derived(calculation="byts / 2"), "did you mean bytes?"),
    (derived(calculation="region * 2"), "needs a number"),
    (derived(calculation="region"), "gives a text"),
    (derived(calculation="bytes > 1"), "gives a boolean"),
    (derived(calculation="gb"), "unknown field 'gb'"),
    ({"derivedFields": [{**PLACE, "calculation": "bytes"}]}, "gives a number"),
)


@pytest.mark.parametrize(("changes", "says"), METER_REFUSALS)
def test_a_calculation_must_make_sense(shop: Shop, changes: dict[str, object], says: str) -> None:
    refusal = refused(lambda: shop.make(METERS, **meter_body(code="derived", **changes)))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "derivedFields")
    assert refusal.message.startswith("derivedFields[0].calculation: ")
    assert says in refusal.message


MALFORMED: tuple[tuple[Noun[Any], dict[str, object], str], ...] = (
    (PRODUCTS, {"name": "", "code": "p"}, "$.name"),
    (PRODUCTS, {"name": "x" * 201, "code": "p"}, "$.name"),
    (PRODUCTS, {"name": "P", "code": " p"}, "$.code"),
    (PRODUCTS, {"name": "P", "code": "p\n"}, "$.code"),
    (PRODUCTS, {"name": "P", "code": "p" * 81}, "$.code"),
    (PRODUCTS, {"name": "P", "code": "p", "customFields": {"a": True}}, "customFields.a"),
    (PRODUCTS, {"name": "P", "code": "p", "customFields": {str(n): n for n in range(101)}}, "at most 100"),
    (METERS, meter_body(dataFields=[]), "$.dataFields"),
    (METERS, meter_body(derivedFields=None), "$.derivedFields"),
    (METERS, meter_body(dataFields=[{"code": "1st", "name": "N", "category": "WHO"}]), "$.dataFields[0].code"),
    (METERS, meter_body(dataFields=[{"code": "n", "name": "N", "category": "MEASURE"}]), "needs a unit"),
    (METERS, meter_body(dataFields=[{"code": "n", "name": "N", "category": "SIZE"}]), "$.dataFields[0].category"),
    (METERS, meter_body(dataFields=[{"code": "n", "name": "N", "category": "WHO"}] * 2), "declared twice"),
    (METERS, meter_body(dataFields=[{"code": f"n{n}", "name": "N", "category": "WHO"} for n in range(16)]), "15"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, quantityPerUnit=0), "quantityPerUnit: must be above 0"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, defaultValue=-1), "defaultValue"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, code=""), "$.code"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, customSql="select 1"), "customSql: custom SQL is not supported"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, percentile=95), "percentile"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, aggregation="PERCENTILE"), "percentile"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, aggregation="PERCENTILE", percentile=101), "at most 100"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, timeUnit="HOUR"), "timeUnit: give it with"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, aggregation="TIME_WEIGHTED_SUM"), "timeUnit: give it with"),
    (
        AGGREGATIONS,
        aggregation_body(meterId=NOWHERE, aggregation="TIME_WEIGHTED_MEAN", timeUnit="DAY"),
        "timeUnit: give it with",
    ),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, carryForward=True), "carryForward: is for LATEST"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, gaugeField="a"), "gaugeField: is for TIME_WEIGHTED_SUM"),
    (
        AGGREGATIONS,
        aggregation_body(
            meterId=NOWHERE, aggregation="LATEST", carryForward=True, gaugeField="a", segmentedFields=["a"]
        ),
        "gaugeField: is one of segmentedFields",
    ),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, aggregation="CORRELATED_COUNT"), "correlationField: give it with"),
    (
        AGGREGATIONS,
        aggregation_body(meterId=NOWHERE, aggregation="CORRELATED_COUNT", correlationField="a"),
        "successFilter: give it with",
    ),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, successFilter="true"), "successFilter: give it with"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, windowSeconds=60), "windowSeconds: is for"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, windowSeconds=0), "$.windowSeconds"),
    (
        AGGREGATIONS,
        aggregation_body(
            meterId=NOWHERE,
            aggregation="CORRELATED_COUNT",
            correlationField="a",
            successFilter="true",
            segmentedFields=["a"],
        ),
        "correlationField: is one of segmentedFields",
    ),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, segmentedFields=["a", "a"]), "each field once"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, segments=[{"a": "b"}]), "segments[0]"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, segmentedFields=["a"], segments=[{"a": ""}]), "not be empty"),
    (AGGREGATIONS, aggregation_body(meterId=NOWHERE, segmentedFields=["a"], segments=[{"a": "1"}] * 2), "twice"),
    (PLAN_TEMPLATES, template_body(productId=NOWHERE, currency="DOLLAR"), "$.currency"),
    (PLAN_TEMPLATES, template_body(productId=NOWHERE, standingCharge=-1), "standingCharge: must be 0 or more"),
    (PLAN_TEMPLATES, template_body(productId=NOWHERE, billFrequency="HOURLY"), "$.billFrequency"),
    (PLAN_TEMPLATES, template_body(productId=NOWHERE, billFrequencyInterval=366), "$.billFrequencyInterval"),
    (PLAN_TEMPLATES, template_body(productId=NOWHERE, standingChargeOffset=365), "$.standingChargeOffset"),
    (PRICINGS, pricing_body(planId=NOWHERE), "aggregationId: give exactly one"),
    (PRICINGS, pricing_body(aggregationId=NOWHERE), "planId: give exactly one"),
    (PRICINGS, pricing_body(aggregationId=NOWHERE, planId=NOWHERE, planTemplateId=NOWHERE), "planId: give exactly"),
    (PRICINGS, pricing_body(aggregationId=NOWHERE, planId=NOWHERE, pricingBands=[]), "pricingBands: at least one"),
    (PRICINGS, pricing_body(aggregationId=NOWHERE, planId=NOWHERE, endDate="2025-01-01"), "endDate: must be after"),
)


@pytest.mark.parametrize(("noun", "body", "says"), MALFORMED)
def test_a_body_that_breaks_a_rule_of_its_own_names_the_field(
    noun: Noun[Any], body: dict[str, object], says: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        Shop.read(noun, body)
    assert says in str(caught.value)


def bands(*limits: float) -> list[dict[str, float]]:
    return [{"lowerLimit": limit, "fixedPrice": 0, "unitPrice": 1} for limit in limits]


@pytest.mark.parametrize("limits", [(0, 0), (10, 0), (0, 10, 10), (0, 20, 10)])
def test_bands_rise(limits: tuple[float, ...]) -> None:
    body = pricing_body(planId=NOWHERE, aggregationId=NOWHERE, pricingBands=bands(*limits))
    with pytest.raises(msgspec.ValidationError, match=r"pricingBands\[\d\]\.lowerLimit: must be above"):
        Shop.read(PRICINGS, body)


def test_a_negative_limit_is_refused() -> None:
    body = pricing_body(planId=NOWHERE, aggregationId=NOWHERE, pricingBands=bands(-1))
    with pytest.raises(msgspec.ValidationError, match="lowerLimit: must be 0 or more"):
        Shop.read(PRICINGS, body)


RETRIES: dict[str, object] = {
    "aggregation": "CORRELATED_COUNT",
    "correlationField": "file",
    "successFilter": "tier == 'hot'",
}
AGGREGATION_REFUSALS: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"targetField": "nothing"}, "targetField", "has no field 'nothing'; it has bytes, region, tier, file"),
    *(
        ({"aggregation": method, "targetField": "region"}, "targetField", f"{method} needs a numeric field")
        for method in ("SUM", "MIN", "MAX", "LATEST", "MEAN", "TIME_WEIGHTED_MEAN")
    ),
    ({"aggregation": "TIME_WEIGHTED_MEAN", "gaugeField": "bucket"}, "gaugeField", "has no field 'bucket'"),
    ({"aggregation": "TIME_WEIGHTED_MEAN", "gaugeField": "bytes"}, "gaugeField", "must be a text field"),
    ({**RETRIES, "correlationField": "bytes"}, "correlationField", "must be a text field"),
    ({**RETRIES, "correlationField": "payment"}, "correlationField", "has no field 'payment'"),
    ({**RETRIES, "successFilter": "tier"}, "successFilter", "must be true or false"),
    ({**RETRIES, "successFilter": "bytes / 2 > 1"}, "successFilter", "put anything else into a derived field"),
    ({"aggregation": "PERCENTILE", "percentile": 95, "targetField": "file"}, "targetField", "'file' is METADATA"),
    ({"aggregation": "UNIQUE"}, "targetField", "UNIQUE counts the values of a text field"),
    ({"segmentedFields": ["planet"]}, "segmentedFields", "segmentedFields[0]: the meter traffic has no field"),
    ({"segmentedFields": ["region", "bytes"]}, "segmentedFields", "segmentedFields[1]: only text fields"),
    ({"segmentedFields": ["file"]}, "segmentedFields", "other than METADATA"),
    ({"filter": "region =="}, "filter", "expected a value"),
    ({"filter": "regoin == 'eu'"}, "filter", "did you mean region?"),
    ({"filter": "region"}, "filter", "must be true or false"),
    ({"filter": "region > 1"}, "filter", "of one type"),
    ({"filter": "bytes / 2 > 1"}, "filter", "put anything else into a derived field"),
)


@pytest.mark.parametrize(("changes", "field", "says"), AGGREGATION_REFUSALS)
def test_an_aggregation_fits_its_meter(shop: Shop, changes: dict[str, object], field: str, says: str) -> None:
    body = aggregation_body(code="another", meterId=shop.meter, **changes)
    refusal = refused(lambda: shop.make(AGGREGATIONS, **body))
    assert (refusal.code.name, refusal.field) == ("rule_broken", field)
    assert says in refusal.message


ALLOWED: tuple[dict[str, object], ...] = (
    *({"aggregation": method} for method in ("SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN")),
    {"aggregation": "PERCENTILE", "percentile": 99.9},
    {"aggregation": "TIME_WEIGHTED_SUM", "timeUnit": "HOUR", "gaugeField": "file"},
    {"aggregation": "TIME_WEIGHTED_SUM", "timeUnit": "PERIOD"},
    {"aggregation": "TIME_WEIGHTED_MEAN", "gaugeField": "region"},
    {"aggregation": "LATEST", "carryForward": True, "gaugeField": "region"},
    RETRIES,
    {**RETRIES, "windowSeconds": 3600, "targetField": "region"},
    {"aggregation": "COUNT", "targetField": "file"},
    {"aggregation": "UNIQUE", "targetField": "file"},
    {"aggregation": "UNIQUE", "targetField": "region"},
    {"filter": "region == 'eu' AND bytes * 2 > 10"},
    {
        "segmentedFields": ["region", "tier"],
        "segments": [{"tier": "hot", "region": "eu"}, {"tier": "*", "region": "*"}],
    },
    {"segmentedFields": ["region"]},
    {"code": None},
)


@pytest.mark.parametrize("changes", ALLOWED)
def test_every_method_has_fields_it_counts(shop: Shop, changes: dict[str, object]) -> None:
    shop.make(AGGREGATIONS, **{**aggregation_body(code="another", meterId=shop.meter), **changes})


def without(code: str) -> list[dict[str, object]]:
    fields: Any = meter_body()["dataFields"]
    return [field for field in fields if field["code"] != code]


def test_a_field_that_an_aggregation_stands_on_stays(shop: Shop) -> None:
    shop.change(AGGREGATIONS, shop.aggregation, filter="tier == 'hot'", **ABC)
    breaking: tuple[tuple[list[dict[str, object]], str], ...] = (
        ([*without("bytes"), {"code": "b", "name": "B", "category": "COST", "unit": "USD"}], "no field 'bytes'"),
        ([*without("bytes"), {"code": "bytes", "name": "B", "category": "OTHER"}], "SUM needs a numeric field"),
        (without("region"), "no field 'region'"),
        ([*without("region"), {"code": "region", "name": "R", "category": "METADATA"}], "other than METADATA"),
        ([*without("region"), {"code": "region", "name": "R", "category": "COST", "unit": "1"}], "only text fields"),
        (without("tier"), "unknown field 'tier'"),
        ([*without("tier"), {"code": "tier", "name": "T", "category": "COST", "unit": "1"}], "of one type"),
    )
    for fields, says in breaking:
        refusal = refused(lambda fields=fields: shop.change(METERS, shop.meter, dataFields=fields))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "dataFields")
        assert f"the aggregation bytes_stored ({shop.aggregation}) stands on it" in refusal.message
        assert says in refusal.message


def test_a_meter_may_change_where_nothing_stands_on_it(shop: Shop) -> None:
    more = [*without("file"), {"code": "host", "name": "Host", "category": "WHO"}]
    recategorised = [{**field, "category": "WHO"} if field["code"] == "region" else field for field in more]
    shop.change(METERS, shop.meter, dataFields=recategorised)


def test_a_meter_keeps_its_product_while_it_is_priced_there(shop: Shop) -> None:
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    shop.change(METERS, shop.meter, productId=other)
    shop.change(METERS, shop.meter, productId=shop.product)
    pricing = shop.price()
    refusal = refused(lambda: shop.change(METERS, shop.meter, productId=other))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "productId")
    assert pricing in refusal.message
    shop.change(METERS, shop.meter, productId=None)


def test_a_product_meter_prices_its_product_only_and_a_global_one_any(shop: Shop) -> None:
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    template = shop.make(PLAN_TEMPLATES, **template_body(code="compute", productId=other))
    plan = shop.make(PLANS, name="Compute", code="compute", planTemplateId=template)
    for home in ({"planId": plan}, {"planId": None, "planTemplateId": template}):
        refusal = refused(lambda home=home: shop.price(**home))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "aggregationId")
        assert shop.product in refusal.message
        assert other in refusal.message
    shop.change(METERS, shop.meter, productId=None)
    shop.price(planId=plan)


def test_pricings_of_the_same_usage_do_not_overlap(shop: Shop) -> None:
    first = shop.price(endDate="2025-04-01T00:00:00Z")
    refusal = refused(lambda: shop.price(startDate="2025-03-31T23:59:59Z"))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "startDate")
    assert first in refusal.message
    assert "from 2025-01-01T00:00:00.000Z to 2025-04-01T00:00:00.000Z" in refusal.message
    second = shop.price(startDate="2025-04-01T00:00:00Z")
    shop.price(type="GLOBAL_CREDIT")
    shop.price(planId=None, planTemplateId=shop.template)
    other_plan = shop.make(PLANS, name="Pro", code="pro", planTemplateId=shop.template)
    shop.price(planId=other_plan)
    assert refused(lambda: shop.change(PRICINGS, first, endDate=None)).code.name == "rule_broken"
    shop.change(PRICINGS, second, endDate="2026-01-01T00:00:00Z")
    shop.price(startDate="2026-01-01T00:00:00Z")


def test_each_segment_has_its_own_pricing(shop: Shop) -> None:
    shop.change(AGGREGATIONS, shop.aggregation, **ABC)
    shop.price(segment={"region": "eu"})
    us = shop.price(segment={"region": "us"})
    for segment in ({"region": "asia"}, {"planet": "eu"}, {}, {"region": "eu", "tier": "hot"}):
        refusal = refused(lambda segment=segment: shop.price(segment=segment))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "segment")
        assert "which has: {region: eu}, {region: us}" in refusal.message
    assert "same usage" in refused(lambda: shop.price(segment={"region": "eu"})).message
    refusal = refused(lambda: shop.change(AGGREGATIONS, shop.aggregation, segments=[{"region": "eu"}]))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "segments")
    assert us in refusal.message


def test_a_pricing_for_the_rest_stands_beside_those_of_segments_once(shop: Shop) -> None:
    segments = [{"region": "eu"}, {"region": "*"}]
    shop.change(AGGREGATIONS, shop.aggregation, segmentedFields=["region"], segments=segments)
    shop.price(segment={"region": "eu"})
    rest = shop.price()
    assert rest in refused(lambda: shop.price(segment={"region": "*"})).message
    assert rest in refused(shop.price).message


def test_a_segment_reads_in_the_order_of_the_fields(shop: Shop) -> None:
    segments = [{"tier": "hot", "region": "eu"}]
    shop.change(AGGREGATIONS, shop.aggregation, segmentedFields=["region", "tier"], segments=segments)
    pricing = shop.price(segment={"tier": "hot", "region": "eu"})
    assert segment_string(PRICINGS.retrieve(shop.desk.records, pricing).value) == "eu, hot"


def test_bands_get_ids_and_keep_them(shop: Shop) -> None:
    pricing = shop.price(pricingBands=[{**band, "id": "mine"} for band in bands(0, 10, 20)])
    first = [band.id for band in PRICINGS.retrieve(shop.desk.records, pricing).value.pricing_bands]
    assert len(set(first)) == 3
    assert "mine" not in first, "ids of bands are the server's"
    shop.change(PRICINGS, pricing, pricingBands=bands(0, 15, 20))
    second = [band.id for band in PRICINGS.retrieve(shop.desk.records, pricing).value.pricing_bands]
    assert (second[0], second[2]) == (first[0], first[2])
    assert second[1] not in first


def test_what_does_not_exist_cannot_be_named(shop: Shop) -> None:
    for body, field in (
        ({"aggregationId": None, "compoundAggregationId": NOWHERE}, "compoundAggregationId"),
        ({"accountingProductId": NOWHERE}, "accountingProductId"),
    ):
        refusal = refused(lambda body=body: shop.price(**body))
        assert (refusal.code.name, refusal.field) == ("unknown_reference", field)


def test_a_bespoke_plan_belongs_to_one_account(shop: Shop) -> None:
    bespoke = {"name": "Acme's", "code": "acmes", "planTemplateId": shop.template, "bespoke": True}
    refusal = refused(lambda: shop.make(PLANS, **bespoke))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "accountId")
    refusal = refused(lambda: shop.make(PLANS, **{**bespoke, "bespoke": False, "accountId": shop.account}))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "accountId")
    plan = shop.make(PLANS, **bespoke, accountId=shop.account)
    other = shop.make(ACCOUNTS, **account_body("zenith"))
    for change in ({"accountId": other}, {"accountId": None, "bespoke": False}):
        refusal = refused(lambda change=change: shop.change(PLANS, plan, **change))
        assert (refusal.code.name, refusal.field) == ("rule_broken", "accountId")
        assert "cannot change" in refusal.message
    refusal = refused(lambda: shop.attach(planId=plan, accountId=other))
    assert (refusal.code.name, refusal.field) == ("rule_broken", "planId")
    assert shop.account in refusal.message
    shop.attach(planId=plan)


def test_a_plan_becomes_bespoke_only_for_the_account_that_has_it(shop: Shop) -> None:
    other = shop.make(ACCOUNTS, **account_body("zenith"))
    attached = shop.attach()
    refusal = refused(lambda: shop.change(PLANS, shop.plan, bespoke=True, accountId=other))
    assert (refusal.code.name, refusal.field) == ("in_use", "accountId")
    assert attached in refusal.message
    shop.change(PLANS, shop.plan, bespoke=True, accountId=shop.account)


def test_a_plan_in_use_keeps_its_product(shop: Shop) -> None:
    other = shop.make(PRODUCTS, name="Compute", code="compute")
    template = shop.make(PLAN_TEMPLATES, **template_body(code="compute", productId=other))
    shop.attach()
    refusal = refused(lambda: shop.change(PLANS, shop.plan, planTemplateId=template))
    assert (refusal.code.name, refusal.field) == ("in_use", "planTemplateId")
    refusal = refused(lambda: shop.change(PLAN_TEMPLATES, shop.template, productId=other))
    assert (refusal.code.name, refusal.field) == ("in_use", "productId")
    sibling = shop.make(PLAN_TEMPLATES, **template_body(code="sibling", productId=shop.product))
    shop.change(PLANS, shop.plan, planTemplateId=sibling)


def test_a_template_is_priced_in_a_currency_that_exists(shop: Shop) -> None:
    refusal = refused(lambda: shop.change(PLAN_TEMPLATES, shop.template, currency="EUR"))
    assert (refusal.code.name, refusal.field) == ("unknown_reference", "currency")
    assert "create it under picklists/currency" in refusal.message
