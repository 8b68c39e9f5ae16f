"""What is counted, in one sentence: a table of configurations and what they say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tallystick.core.aggregation import Aggregation, Method, TimeUnit, UnitRounding
from tallystick.core.compound import CompoundAggregation
from tallystick.core.definition import aggregation_sentence, compound_sentence, meter_sentence
from tallystick.core.meter import Category, DataField, DerivedField, Meter

TOKENS = DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="{token}")
MODEL = DataField(code="model", name="Model", category=Category.WHAT)
REGION = DataField(code="region", name="Region", category=Category.WHERE)
COST = DerivedField(code="cost", name="Cost", category=Category.COST, unit="USD", calculation="tokens / 1000")
LLM = Meter(name="LLM", code="llm", data_fields=(TOKENS, MODEL, REGION), derived_fields=(COST,))


@pytest.mark.parametrize(
    ("fields", "derived", "sentence"),
    [
        ((TOKENS,), (), "Takes measurements with the number Tokens ({token})."),
        ((MODEL,), (COST,), "Takes measurements with the text Model, and computes Cost (USD) from it."),
        (
            (TOKENS, MODEL, REGION),
            (COST,),
            (
                "Takes measurements with the number Tokens ({token}) and the texts Model and Region, "
                "and computes Cost (USD) from them."
            ),
        ),
    ],
)
def test_meters(fields: tuple[DataField, ...], derived: tuple[DerivedField, ...], sentence: str) -> None:
    assert meter_sentence(Meter(name="LLM", code="llm", data_fields=fields, derived_fields=derived)) == sentence


OVER = "over all measurements of the meter llm"
IN = "in units of {token}, with all decimals."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"aggregation": "SUM"}, f"The sum of Tokens {OVER}, {IN}"),
        ({"aggregation": "MIN"}, f"The least Tokens {OVER}, {IN}"),
        ({"aggregation": "MAX", "filter": "region == 'eu'"}, f"The greatest Tokens {OVER} where region == 'eu', {IN}"),
        ({"aggregation": "COUNT"}, f"The number of measurements of the meter llm that have Tokens, {IN}"),
        ({"aggregation": "MEAN", "target_field": "cost"}, f"The average of Cost {OVER}, {IN}"),
        (
            {"aggregation": "UNIQUE", "target_field": "model"},
            f"The number of different values of Model {OVER}, {IN}",
        ),
        ({"aggregation": "LATEST"}, f"The latest Tokens {OVER}, {IN}"),
        (
            {"aggregation": "LATEST", "carry_forward": True, "gauge_field": "model"},
            (
                f"The latest Tokens {OVER}, which holds until the next one, into later periods too, "
                f"each Model by itself and added up, {IN}"
            ),
        ),
        (
            {"aggregation": "PERCENTILE", "percentile": Decimal(95)},
            f"The value that 95 % of Tokens do not exceed, {OVER}, {IN}",
        ),
        (
            {"aggregation": "TIME_WEIGHTED_SUM", "time_unit": TimeUnit.HOUR},
            f"Tokens times how long it holds, where 1 held for an hour counts 1, {OVER}, {IN}",
        ),
        (
            {"aggregation": "TIME_WEIGHTED_MEAN"},
            f"The average of Tokens over time, each value for as long as it holds, {OVER}, {IN}",
        ),
        (
            {
                "aggregation": "CORRELATED_COUNT",
                "correlation_field": "model",
                "success_filter": "tokens > 0",
                "window_seconds": 7200,
            },
            (
                "The number of different Model of which, within 2 hours of its first, "
                f"a measurement of the meter llm meets tokens > 0, {IN}"
            ),
        ),
        (
            {
                "aggregation": "SUM",
                "quantity_per_unit": Decimal(1000),
                "rounding": UnitRounding.UP,
                "default_value": Decimal(0),
                "segmented_fields": ("model", "region"),
                "segments": ({"model": "x", "region": "eu"}, {"model": "*", "region": "us"}),
            },
            (
                f"The sum of Tokens {OVER}, separately for each Model and Region (x/eu, any/us), "
                "in units of 1,000 ({token}), rounded up to whole ones; 0 where there is none."
            ),
        ),
    ],
)
def test_aggregations(given: dict[str, Any], sentence: str) -> None:
    values = {
        "name": "Tokens",
        "code": "tokens",
        "meter_id": "0" * 36,
        "target_field": "tokens",
        "quantity_per_unit": Decimal(1),
        "rounding": UnitRounding.NONE,
        "unit": "{token}",
    } | given
    made = Aggregation(**{**values, "aggregation": Method(given["aggregation"])})
    assert aggregation_sentence(made, LLM) == sentence


def test_compounds() -> None:
    made = CompoundAggregation(
        name="Ratio",
        calculation="aggregation.a / aggregation.b",
        quantity_per_unit=Decimal(1),
        rounding=UnitRounding.DOWN,
        unit="credit",
    )
    assert compound_sentence(made) == (
        "The result of aggregation.a / aggregation.b, in units of credit, rounded down to whole ones; "
        "an aggregation that has no value counts as no usage at all."
    )
