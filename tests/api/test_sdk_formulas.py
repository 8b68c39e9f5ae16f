"""Formulas that refer to custom fields and times, saved through m3ter's own client, whose types check every answer."""

from __future__ import annotations

from typing import Any

import pytest
from m3ter import BadRequestError, M3ter


def derive(client: M3ter, calculation: str, category: str = "MEASURE", **meter: Any) -> str:
    field = {"code": "derived", "name": "Derived", "category": category, "unit": "x", "calculation": calculation}
    calls = {"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "calls"}
    body: Any = {"name": "Calls", "code": "calls", "data_fields": [calls], "derived_fields": [field], **meter}
    return client.meters.create(**body).id


@pytest.fixture(autouse=True)
def defaults(client: M3ter) -> None:
    client.custom_fields.update(account={"rate": 1.5, "tier": "basic"}, organization={"region": "eu"})


@pytest.mark.parametrize(
    ("calculation", "category"),
    [
        ("account.rate * calls", "MEASURE"),
        ("organization.region + account.tier + account", "WHAT"),
        ("(timestamp.ets - timestamp.ts) / 1000", "MEASURE"),
        ("DateTime.format(timestamp.ts, 'yyyy-MM')", "WHAT"),
    ],
)
def test_a_formula_with_more_than_fields_is_kept(client: M3ter, calculation: str, category: str) -> None:
    meter = client.meters.retrieve(id=derive(client, calculation, category))
    assert [each.calculation for each in meter.derived_fields or ()] == [calculation]


@pytest.mark.parametrize(
    ("calculation", "says"),
    [
        ("account.speed * calls", "there is no custom field 'speed' of the account: give it a default"),
        ("product.rate", "there are only custom fields of organization, account, meter here"),
        ("account.tier * calls", r"character 1: \* needs a number; account.tier is a text"),
        ("timestamp.now", "unknown field 'timestamp.now'"),
        ("DateTime.now() - timestamp.ts", "a formula has no clock"),
    ],
)
def test_a_formula_is_checked_when_it_is_saved(client: M3ter, calculation: str, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        derive(client, calculation)


def test_a_default_that_a_formula_refers_to_stays(client: M3ter) -> None:
    meter = derive(client, "account.rate * calls")
    for account in ({"tier": "basic"}, {"rate": "1.5", "tier": "basic"}):
        with pytest.raises(BadRequestError, match=f"the default of account.rate is used by meter {meter}"):
            client.custom_fields.update(account=account)
    assert client.custom_fields.update(account={"rate": 2}).account == {"rate": 2}
    client.meters.delete(id=meter)
    assert not client.custom_fields.update().account


def test_a_compound_aggregation_refers_to_custom_fields(client: M3ter) -> None:
    meter = derive(client, "calls")
    body: Any = {"quantity_per_unit": 1, "rounding": "NONE", "unit": "calls"}
    client.aggregations.create(
        name="Calls", code="calls", meter_id=meter, target_field="calls", aggregation="SUM", **body
    )
    made = client.compound_aggregations.create(name="A", calculation="aggregation.calls * account.rate", **body)
    with pytest.raises(BadRequestError, match="there is no custom field 'rate' of the accountPlan"):
        client.compound_aggregations.create(name="B", calculation="aggregation.calls * accountPlan.rate", **body)
    with pytest.raises(BadRequestError, match=f"is used by compound aggregation {made.id}"):
        client.custom_fields.update(account={})
