"""YAML of the catalogue: exact numbers, texts that stay texts, a line for every fault, the same bytes for the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tallystick.cli.catalog_files import Loaded, load, save, schema_text
from tallystick.cli.catalog_form import Band, Catalog, Meter, Plan, Pricing, Product, number, start, write
from tallystick.cli.catalog_yaml import read_yaml, write_yaml
from tallystick.cli.failure import Failure
from tallystick.core import wire

# ------------------------------------------------------------------------------------------------------ one file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.10", Decimal("0.10")),
        ("1234567890123456789.123456789", Decimal("1234567890123456789.123456789")),
        ("1e-05", Decimal("0.00001")),
        ("012", 12),
        ("-3", -3),
        ("'012'", "012"),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("12:30:00", "12:30:00"),
        ("2025-07-01", "2025-07-01"),
        (".inf", ".inf"),
        ("true", True),
        ("~", None),
        ("", None),
        ("[1, {a: 2}]", [1, {"a": 2}]),
    ],
)
def test_a_value_is_what_yaml_1_2_says(text: str, value: object) -> None:
    read = read_yaml(f"it: {text}\n")
    assert (read.value, read.faults) == ({"it": value}, ())
    assert type(read.value["it"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: is there twice, first on line 1"),
        ("a:\n  - b: 1\n    c: 2\n    b: 1\n", 4, "b: is there twice, first on line 2"),
        ("a: 1\nb: [1\n", 3, "is no YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "has a type that is not read here"),
        ("a: 1\nb: !!binary aGk=\n", 2, "has a type that is not read here"),
        ("a: 1\n? [x]\n: 2\n", 2, "has a key that is no text"),
        ("a: 1\n---\nb: 2\n", 2, "is no YAML"),
        ("a: *b\n", 1, "is no YAML"),
        ("a: &a [*a]\n", 1, "has more than is read: 50 levels"),
        ("a: 1\nb: 2\x01\n", 2, "has a character that YAML does not allow, U+0001"),
        ("a: 1e99999999999999999999\n", 1, "number out of range"),
        ("[" * 1200, 1, "is nested deeper than 50 levels"),
    ],
)
def test_a_fault_says_its_line(text: str, line: int, said: str) -> None:
    (fault,) = read_yaml(text).faults
    assert (fault.line, said in fault.message) == (line, True), fault


def test_few_bytes_do_not_become_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.cli.catalog_yaml.MOST_VALUES", 5_000)
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 12)]
    (fault,) = read_yaml("\n".join(lines)).faults
    assert fault.message == "has more than is read: more than 5,000 values"


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12) | st.sampled_from(
    [
        "yes",
        "no",
        "null",
        "1",
        "0.1",
        "1e5",
        "-",
        "- a",
        "a: b",
        "#",
        "'",
        '"',
        "|",
        "a\nb\n",
        " a",
        "2025-01-01",
        "=",
        "<<",
    ]
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)
PLAIN: Any = st.recursive(
    TEXTS | NUMBERS | st.integers(-(10**19), 10**19) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS | st.just("pricingBands"), PLAIN, max_size=4))
def test_what_is_written_is_read_and_written_the_same(value: dict[str, Any]) -> None:
    text = write_yaml(value)
    read = read_yaml(text)
    assert (read.value, read.faults) == (value, ())
    assert write_yaml(read.value) == text


@given(st.dictionaries(TEXTS, TEXTS | st.integers(-99, 99), max_size=4))
def test_readers_of_older_yaml_take_texts_for_texts(value: dict[str, Any]) -> None:
    assert yaml.safe_load(write_yaml(value)) == value


# ------------------------------------------------------------------------------------------------------ a directory

PRODUCTS = "products:\n- code: a\n  name: A\n"


def loaded(directory: Path, **files: str) -> Loaded:
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load(directory)


def test_files_are_read_together_whatever_file_has_what(tmp_path: Path) -> None:
    found = loaded(tmp_path, one=PRODUCTS, more__two="products:\n- name: B\n  code: b\ncounters: []\n")
    assert found.problems == ()
    assert [each["code"] for each in found.catalog["products"]] == ["b", "a"], "in the order of their paths"
    assert found.where("products[1].name") == f"{tmp_path / 'one.yaml'}:3"
    assert found.where("products[0].nothing") == f"{tmp_path / 'more' / 'two.yaml'}:2"


def test_every_problem_has_its_file_and_its_line(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        one=PRODUCTS + "- code: 007\n  name: No\n- code: c\n  name: C\n  colour: red\n",
        two="plans:\n- code: p\n  name: P\n  planTemplate: t\n  pricings:\n  - aggregation: x\n    startDate: soon\n",
    )
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    quotes = "(a text that looks like a number or a word of YAML needs quotes)"
    assert list(found.problems) == [
        f"{one}:4: products[1].code: Expected `str`, got `int` {quotes}",
        f"{one}:8: products[2].colour: is no field here",
        f"{two}:7: plans[0].pricings[0].startDate: must be an ISO 8601 date and time, got 'soon'",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"one": "settings: {}\n", "two": "settings: {}\n"}, "two.yaml:1: settings: is there already, in"),
        ({"one": "- a\n"}, "one.yaml:1: must be a mapping of sections"),
        ({"one": "a: [\n"}, "one.yaml:2: is no YAML"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path: Path, files: dict[str, str], said: str) -> None:
    (problem,) = loaded(tmp_path, **files).problems
    assert said in problem


def test_what_is_no_text_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no YAML files"):
        load(tmp_path)
    (tmp_path / "one.yaml").write_bytes(b"\xff\xfe")
    (problem,) = load(tmp_path).problems
    assert "cannot be read as UTF-8" in problem


def test_files_that_would_be_read_with_them_are_not_written_beside(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PRODUCTS)
    with pytest.raises(Failure, match="is none of the files that are written here"):
        save(tmp_path, {"products": []})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.yaml"]


# ------------------------------------------------------------------------------------------------------ in Python


def catalog(price: Decimal | float) -> Catalog:
    bands = (Band(lower_limit=number("0"), unit_price=price),)  # type: ignore[arg-type]  # a float is what is tried
    pricing = Pricing(aggregation="calls", start_date=start("2025-07-01"), pricing_bands=bands)
    return Catalog(
        products=(Product(code="api", name="API"),),
        plans=(Plan(code="basic", name="Basic", plan_template="monthly", pricings=(pricing,)),),
    )


def test_the_typed_form_writes_the_same_files(tmp_path: Path) -> None:
    written = write(tmp_path, catalog(number("0.10")))
    assert sorted(each.name for each in written) == ["catalog.schema.json", "plans.yaml", "products.yaml"]
    assert (tmp_path / "plans.yaml").read_text() == (
        "# yaml-language-server: $schema=./catalog.schema.json\n"
        "plans:\n"
        "  - code: basic\n"
        "    name: Basic\n"
        "    planTemplate: monthly\n"
        "    pricings:\n"
        "      - aggregation: calls\n"
        "        startDate: '2025-07-01T00:00:00Z'\n"
        "        pricingBands:\n"
        "          - {lowerLimit: 0, unitPrice: 0.1}\n"
    )
    assert load(tmp_path).problems == ()
    assert write(tmp_path, catalog(number("0.1"))) == [], "the same bytes"


def test_the_typed_form_refuses_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"plans\[0\].pricings\[0\].pricingBands\[0\].unitPrice: 0.1 is a float"):
        write(tmp_path, catalog(0.1))
    with pytest.raises(ValueError, match=r"meters\[0\].dataFields: Expected `array` of length >= 1"):
        write(tmp_path, Catalog(meters=(Meter(code="m", name="M", data_fields=()),)))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------ the schema


def test_the_schema_takes_what_is_right_and_refuses_what_is_not() -> None:
    schema = wire.decode(dict[str, Any], schema_text())
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    price = {"aggregation": "x", "startDate": "2025-07-01", "pricingBands": [{"lowerLimit": 0, "unitPrice": "0.1"}]}
    plan = {"code": "p", "name": "P", "planTemplate": "t", "pricings": [price]}
    assert list(check.iter_errors({"plans": [plan], "settings": {"timezone": "UTC"}})) == []
    for wrong in (
        {"plan": []},
        {"plans": [{**plan, "price": 1}]},
        {"plans": [{"code": "p"}]},
        {"plans": [{**plan, "code": " p"}]},
        {"plans": [{**plan, "pricings": [{**price, "type": "FREE"}]}]},
    ):
        assert list(check.iter_errors(wrong)), wrong
