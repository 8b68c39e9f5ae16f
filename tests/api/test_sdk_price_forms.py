"""Forms of price that m3ter does not have, through its own client: sent as extra fields, answered beside its own."""

from __future__ import annotations

from typing import Any

import pytest
from m3ter import BadRequestError, M3ter

BANDS = [{"lower_limit": 0, "fixed_price": 0, "unit_price": 0.5}]


class Shop:
    """A plan, an aggregation by model and region, and a compound one."""

    def __init__(self, client: M3ter) -> None:
        self.client = client
        product = client.products.create(name="Models", code="models")
        fields = [
            {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "tokens"},
            {"code": "model", "name": "Model", "category": "WHAT"},
            {"code": "region", "name": "Region", "category": "WHERE"},
        ]
        meter = client.meters.create(
            name="Calls",
            code="calls",
            product_id=product.id,
            data_fields=fields,  # type: ignore[arg-type]  # plain dicts are what people send
            derived_fields=[],
        )
        self.aggregation = client.aggregations.create(
            name="Tokens",
            code="tokens",
            meter_id=meter.id,
            target_field="tokens",
            aggregation="SUM",
            quantity_per_unit=1,
            rounding="NONE",
            unit="tokens",
            segmented_fields=["model", "region"],
            segments=[{"model": "*", "region": "*"}],
        ).id
        self.compound = client.compound_aggregations.create(
            name="Double",
            calculation="aggregation.tokens * 2",
            quantity_per_unit=1,
            rounding="NONE",
            unit="tokens",
        ).id
        template = client.plan_templates.create(
            name="Monthly",
            product_id=product.id,
            currency="USD",
            bill_frequency="MONTHLY",
            standing_charge=0,
        )
        self.plan = client.plans.create(name="Basic", code="basic", plan_template_id=template.id).id

    def price(self, extra: dict[str, Any], bands: list[dict[str, float]] | None = None, **given: Any) -> Any:
        if "compound_aggregation_id" not in given:
            given.setdefault("aggregation_id", self.aggregation)
        return self.client.pricings.create(
            plan_id=self.plan,
            pricing_bands=bands or [],  # type: ignore[arg-type]  # plain dicts are what people send
            extra_body=extra,
            **({"start_date": "2025-01-01T00:00:00Z"} | given),
        )


@pytest.fixture
def shop(client: M3ter) -> Shop:
    return Shop(client)


RATE = {"dimensions": {"model": "large", "region": "eu"}, "unitPrice": 0.03}


@pytest.mark.parametrize(
    "extra",
    [
        {"percent": 2.9, "freeUnits": 100, "maximumSpend": 1000.5},
        {"percent": 2.9, "fixedPerEvent": 0.1, "minimumPerEvent": 0.3, "maximumPerEvent": 5},
        {"package": {"size": 500, "price": 0.25}, "freeUnits": 0.5},
        {"rates": [RATE], "defaultUnitPrice": 0.01},
    ],
)
def test_form_is_kept_and_answered(shop: Shop, extra: dict[str, Any]) -> None:
    made = shop.price(extra)
    assert made.pricing_bands == []
    for answer in (made, shop.client.pricings.retrieve(made.id), next(iter(shop.client.pricings.list()))):
        assert {name: answer.model_extra[name] for name in extra} == extra
    changed = shop.client.pricings.update(
        made.id,
        plan_id=shop.plan,
        aggregation_id=shop.aggregation,
        pricing_bands=BANDS,  # type: ignore[arg-type]  # plain dicts are what people send
        start_date="2025-01-01T00:00:00Z",
    )
    assert not changed.model_extra or not extra.keys() & changed.model_extra.keys()


def test_bands_may_have_an_allowance_and_a_maximum(shop: Shop) -> None:
    made = shop.price({"freeUnits": 10, "maximumSpend": 20}, BANDS, compound_aggregation_id=shop.compound)
    assert (made.model_extra["freeUnits"], made.model_extra["maximumSpend"]) == (10, 20)


@pytest.mark.parametrize(
    ("extra", "given", "message"),
    [
        ({}, {}, "pricingBands"),
        ({"percent": 1, "package": {"size": 1, "price": 1}}, {}, "give only one of percent, package, rates"),
        ({"rates": [{"dimensions": {"tier": "x"}, "unitPrice": 1}]}, {}, "'tier' is no segmented field"),
        (
            {"rates": [{"dimensions": {"tier": "x"}, "unitPrice": 1}]},
            {"compound": True},
            "'tier' is no segmented field",
        ),
        ({"percent": 1, "segment": {"model": "a", "region": "b"}}, {"compound": True}, "no segment of the compound"),
        ({"rates": [RATE, RATE]}, {}, "there is a rate for large, eu already"),
        ({"percent": "1e400"}, {}, "percent"),
        ({"percent": "1e-29"}, {}, "percent: at most 28 decimal places"),
        ({"percent": 1, "minimumPerEvent": 1}, {"compound": True}, "a compound aggregation has no events"),
    ],
)
def test_what_cannot_hold_is_refused(shop: Shop, extra: dict[str, Any], given: dict[str, Any], message: str) -> None:
    compound = {"compound_aggregation_id": shop.compound} if given else {}
    with pytest.raises(BadRequestError, match=message):
        shop.price(extra, **compound)


def test_compound_aggregation_has_the_segments_that_its_aggregations_share(shop: Shop) -> None:
    assert shop.client.compound_aggregations.retrieve(shop.compound).segments == [{"model": "*", "region": "*"}]
    made = shop.price({}, BANDS, compound_aggregation_id=shop.compound, segment={"region": "*", "model": "*"})
    assert (made.segment, made.segment_string) == ({"model": "*", "region": "*"}, "*, *")
    with pytest.raises(BadRequestError, match="is for the same usage"):
        shop.price({}, BANDS, compound_aggregation_id=shop.compound)
    shop.price({"rates": [RATE]}, compound_aggregation_id=shop.compound, start_date="2020-01-01", end_date="2021-01-01")
    found = shop.client.aggregations.retrieve(shop.aggregation)
    body: dict[str, Any] = {
        "name": "Tokens",
        "code": "tokens",
        "meter_id": found.meter_id or "",
        "target_field": "tokens",
        "aggregation": "SUM",
        "quantity_per_unit": 1,
        "rounding": "NONE",
        "unit": "tokens",
    }
    with pytest.raises(BadRequestError, match=r"segments: the pricing .* would no longer hold"):
        shop.client.aggregations.update(shop.aggregation, **body, segmented_fields=["model", "region"])
    other = {key: value for key, value in body.items() if key not in {"code", "name"}}
    shop.client.aggregations.create(name="Plain", code="plain", **other)
    with pytest.raises(BadRequestError, match=r"calculation: the pricing .* must be segmented by the same fields"):
        shop.client.compound_aggregations.update(
            shop.compound,
            name="Double",
            calculation="aggregation.tokens + aggregation.plain",
            quantity_per_unit=1,
            rounding="NONE",
            unit="tokens",
        )


def test_credit_may_be_for_a_segment_of_a_compound_aggregation(shop: Shop) -> None:
    account = shop.client.accounts.create(name="Acme", code="acme", email_address="billing@acme.example").id

    def wallet(code: str, segment: dict[str, str]) -> None:
        shop.client.balances.create(
            account_id=account,
            name=code,
            code=code,
            currency="USD",
            start_date="2025-01-01T00:00:00Z",
            end_date="2026-01-01T00:00:00Z",
            extra_body={"aggregationIds": [shop.compound], "segments": [segment]},
        )

    wallet("large", {"model": "large"})
    with pytest.raises(BadRequestError, match="none of the aggregations is segmented by tier"):
        wallet("tier", {"tier": "x"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"aggregation": "MAX"}, "needs the method SUM; the aggregation's is MAX"),
        ({"rounding": "UP"}, "needs the rounding NONE; the aggregation's is UP"),
        ({"default_value": 5}, "without a defaultValue"),
    ],
)
def test_percentage_of_each_event_needs_the_sum_of_them(shop: Shop, changed: dict[str, Any], message: str) -> None:
    found = shop.client.aggregations.retrieve(shop.aggregation)
    body: dict[str, Any] = {
        "name": "Tokens",
        "meter_id": found.meter_id or "",
        "target_field": "tokens",
        "aggregation": "SUM",
        "quantity_per_unit": 1,
        "rounding": "NONE",
        "unit": "tokens",
    }
    other = shop.client.aggregations.create(**(body | changed), code="other").id
    with pytest.raises(BadRequestError, match=message):
        shop.price({"percent": 1, "minimumPerEvent": 1}, aggregation_id=other)
    shop.price({"percent": 1, "minimumPerEvent": 1})
    with pytest.raises(BadRequestError, match=f"would no longer hold.*{message}"):
        shop.client.aggregations.update(shop.aggregation, **(body | changed), code="tokens")


def test_dimension_that_a_rate_needs_stays(shop: Shop) -> None:
    shop.price({"rates": [RATE]})
    found = shop.client.aggregations.retrieve(shop.aggregation)
    with pytest.raises(BadRequestError, match=r"segmentedFields.*would no longer hold"):
        shop.client.aggregations.update(
            shop.aggregation,
            name="Tokens",
            meter_id=found.meter_id or "",
            target_field="tokens",
            aggregation="SUM",
            quantity_per_unit=1,
            rounding="NONE",
            unit="tokens",
            segmented_fields=["model"],
            segments=[{"model": "*"}],
        )


LARGE = {"condition": "aggregation.tokens > 1000", "conditionOrder": 1}


def test_prices_on_conditions_stand_beside_the_one_without(shop: Shop) -> None:
    shop.price({}, BANDS)
    made = shop.price(LARGE, BANDS)
    assert {name: made.model_extra[name] for name in LARGE} == LARGE
    shop.price({**LARGE, "conditionOrder": 2}, BANDS)
    with pytest.raises(BadRequestError, match="has a condition of the same order"):
        shop.price(LARGE, BANDS)
    with pytest.raises(BadRequestError, match="is for the same usage"):
        shop.price({}, BANDS)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("aggregation.tokens >", "condition"),
        ("aggregation.tokens + 1", "must be true or false"),
        ("aggregation.nothing > 1", "no aggregation with the code 'nothing'"),
        ("1 > 0", "must use at least one aggregation"),
        ("tokens > 0", "an aggregation is named aggregation.<code>"),
        ("aggregation.tokens > 'a'", "condition"),
    ],
)
def test_condition_that_cannot_be_decided_is_refused(shop: Shop, condition: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        shop.price({"condition": condition}, BANDS)


@pytest.mark.parametrize(
    ("lasting", "field"), [({"minimum_spend": 5}, "minimumSpend"), ({"tiers_span_plan": True}, "tiers")]
)
def test_condition_beside_what_must_last_is_refused(shop: Shop, lasting: dict[str, Any], field: str) -> None:
    shop.price({}, BANDS, **lasting)
    with pytest.raises(BadRequestError, match=field):
        shop.price(LARGE, BANDS)


BOTH = {"model": "*", "region": "*"}


@pytest.mark.parametrize("lasting_first", [True, False])
@pytest.mark.parametrize(
    ("lasting", "condition", "refused"),
    [
        # The template's pricing is displaced by the plan's, as often as the condition holds.
        ({"tiers_span_plan": True}, {}, True),
        ({"minimum_spend": 5}, {}, True),
        # One that names more of a segment takes a part of what is counted on.
        ({"tiers_span_plan": True}, {"segment": BOTH}, True),
        # It is the plan's that wins, so that the condition never decides.
        ({"tiers_span_plan": True}, {"home": "template"}, False),
        ({"tiers_span_plan": True, "end_date": "2024-01-01"}, {}, False),
        ({"tiers_span_plan": True}, {"type": "GLOBAL_CREDIT"}, False),
        ({}, {}, False),
    ],
)
def test_condition_of_a_plan_beside_what_must_last_of_its_template(
    shop: Shop, lasting: dict[str, Any], condition: dict[str, Any], refused: bool, lasting_first: bool
) -> None:
    template = shop.client.plans.retrieve(shop.plan).plan_template_id
    on_template = condition.get("home") == "template"
    of = {"aggregation_id": shop.aggregation, "pricing_bands": BANDS}
    lasting_home = {"plan_id": shop.plan} if on_template else {"plan_template_id": template}
    home = {"plan_template_id": template} if on_template else {"plan_id": shop.plan}
    given = {name: value for name, value in condition.items() if name != "home"}
    both: list[dict[str, Any]] = [
        {**of, "start_date": "2023-01-01", **lasting_home, **lasting},
        {**of, "start_date": "2025-01-01", **home, **given, "extra_body": LARGE},
    ]
    first, second = both if lasting_first else reversed(both)
    shop.client.pricings.create(**first)
    if not refused:
        shop.client.pricings.create(**second)
        return
    with pytest.raises(BadRequestError, match=r"tiersSpanPlan, the other a condition|minimumSpend, the other a cond"):
        shop.client.pricings.create(**second)


def test_plan_with_a_condition_does_not_move_to_a_template_whose_price_must_last(shop: Shop) -> None:
    shop.price(LARGE, BANDS)
    old = shop.client.plan_templates.retrieve(shop.client.plans.retrieve(shop.plan).plan_template_id or "")
    new = shop.client.plan_templates.create(
        name="Counting on", product_id=old.product_id or "", currency="USD", bill_frequency="MONTHLY", standing_charge=0
    )
    shop.client.pricings.create(
        plan_template_id=new.id,
        aggregation_id=shop.aggregation,
        start_date="2023-01-01",
        pricing_bands=BANDS,  # type: ignore[arg-type]  # plain dicts are what people send
        tiers_span_plan=True,
    )
    with pytest.raises(BadRequestError, match=r"planTemplateId: .*tiersSpanPlan, the other a condition"):
        shop.client.plans.update(shop.plan, name="Basic", code="basic", plan_template_id=new.id)


def test_aggregation_that_a_condition_names_keeps_its_code(shop: Shop) -> None:
    meter = shop.client.aggregations.retrieve(shop.aggregation).meter_id or ""
    spare: dict[str, Any] = {
        "name": "Calls",
        "meter_id": meter,
        "target_field": "tokens",
        "aggregation": "COUNT",
        "quantity_per_unit": 1,
        "rounding": "NONE",
        "unit": "calls",
    }
    counted = shop.client.aggregations.create(**spare, code="spare").id
    shop.price({"condition": "aggregation.spare > 5"}, BANDS)
    with pytest.raises(BadRequestError, match="in_use"):
        shop.client.aggregations.delete(counted)
    with pytest.raises(BadRequestError, match="in_use"):
        shop.client.aggregations.update(counted, **spare, code="other")


def test_plans_and_templates_have_a_maximum_spend(shop: Shop) -> None:
    common: dict[str, Any] = {"name": "Capped", "currency": "USD", "bill_frequency": "MONTHLY", "standing_charge": 0}
    product = shop.client.products.create(name="Capped", code="capped").id
    extra = {"maximumSpend": 500, "maximumSpendDescription": "Never more"}
    template = shop.client.plan_templates.create(**common, product_id=product, extra_body=extra)
    plan = shop.client.plans.create(name="C", code="c", plan_template_id=template.id, extra_body={"maximumSpend": 9.5})
    assert {name: template.model_extra[name] for name in extra} == extra  # type: ignore[index]  # it is there
    assert shop.client.plans.retrieve(plan.id).model_extra["maximumSpend"] == 9.5  # type: ignore[index]  # it is there
    with pytest.raises(BadRequestError, match="maximumSpend: must not be below minimumSpend, 501"):
        shop.client.plan_templates.create(**common, product_id=product, minimum_spend=501, extra_body=extra)
