"""m3ter's lookup functions: what they find, what they give otherwise, and keys that are named by their field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tallystick.core.entity import Entity
from tallystick.core.expression import CalculationError, Scalar, evaluate, parse
from tallystick.core.lookup import Tables, codes_of, tables_in, tables_of, with_named_keys
from tallystick.core.lookup_types import (
    FieldType,
    LookupData,
    LookupField,
    LookupTable,
    LookupTableRevision,
    RevisionStatus,
)
from tallystick.core.period import Instant

NOW = datetime(2025, 1, 1, tzinfo=UTC)
TABLE, REVISION, DATA = (f"00000000-0000-4000-8000-00000000000{each}" for each in "123")
FIELDS = (
    LookupField(type=FieldType.STRING, name="country"),
    LookupField(type=FieldType.NUMBER, name="tier"),
    LookupField(type=FieldType.NUMBER, name="rate"),
    LookupField(type=FieldType.STRING, name="label"),
)
VALUES: dict[str, Scalar] = {"country": "UK", "tier": Decimal("1.0"), "gone": None}


def kept(id: str, value: Any) -> Entity[Any]:
    return Entity(id=id, version=1, value=value, created=NOW, created_by="a", modified=NOW, modified_by="a")


def tables() -> Tables:
    revision = LookupTableRevision(
        name="First", lookup_table_id=TABLE, fields=FIELDS, keys=("country", "tier"),
        status=RevisionStatus.PUBLISHED, published_at=Instant.of(NOW),
    )  # fmt: skip
    rows = ({"country": "UK", "tier": 1, "rate": Decimal("0.8"), "label": "GB"}, {"country": "US", "tier": 1})
    data = LookupData(lookup_table_revision_id=REVISION, rows=rows)
    return tables_of([kept(TABLE, LookupTable(name="A", code="a")), kept(REVISION, revision), kept(DATA, data)])


def value_of(formula: str) -> Scalar:
    functions = tables().functions(Instant.of(NOW))
    return evaluate(with_named_keys(parse(formula, functions), VALUES), VALUES, functions)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("Lookup.findNumber('a', 'rate', 1, 'UK', 1)", Decimal("0.8")),
        ("Lookup.findNumber('a', 'rate', 1, 'country', 'tier') * 10", 8),  # m3ter names keys by their fields
        ("Lookup.findNumber('a', 'rate', 1, country, tier)", Decimal("0.8")),
        ("Lookup.findNumber('a', 'rate', 1, 'US', 1)", 1),  # a row without the field
        ("Lookup.findNumber('a', 'rate', 1, 'FR', 1)", 1),
        ("Lookup.findNumber('a', 'rate', null, 'FR', 1)", None),
        ("Lookup.findNumber('a', 'rate', 7, 'gone', 1)", 7),  # a measurement without the key
        ("Lookup.findString('a', 'label', 'none', 'UK', 1)", "GB"),
        ("Lookup.findString('a', 'label', 'none', 'US', 1)", "none"),
        ("Lookup.exists('a', 'country', 1) AND NOT Lookup.exists('a', 'UK', 2)", True),
        ("Lookup.exists('a', 'gone', 1)", False),
        ("lookupOrNull('a', 'rate', 'country', 1)", None),  # ours takes texts as they are
    ],
)
def test_rows_are_found(formula: str, value: Scalar) -> None:
    assert value_of(formula) == value


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("Lookup.findNumber('a', 'planet', 1, 'UK', 1)", "has no field 'planet'"),
        ("Lookup.findNumber('a', 'label', 1, 'UK', 1)", "the field label of 'a' is of another type"),
        ("Lookup.findNumber('a', 'rate', 1, 'UK')", "has 2 keys, not 1"),
        ("Lookup.exists('b', 'UK', 1)", "the lookup table 'b' has no revision in force at 2025"),
    ],
)
def test_what_cannot_be_looked_up_says_why(formula: str, says: str) -> None:
    with pytest.raises(CalculationError, match=says):
        value_of(formula)


def test_what_a_formula_reads_is_known_before() -> None:
    formula = "Lookup.findNumber('a', 'rate', 1, x) + (Lookup.exists('b', x, y) ? lookup('a', 'rate', x) : 0)"
    functions = tables().functions(Instant.of(NOW))
    assert tables_in(parse(formula, functions)) == {"a": ({"rate": FieldType.NUMBER}, {1}), "b": ({}, {2})}
    assert codes_of(formula) == ("a", "b")
    with pytest.raises(ValueError, match="names its table by texts"):
        tables_in(parse("Lookup.exists(x, 1)", functions))
