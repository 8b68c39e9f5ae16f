"""JSON in and out: the same decimal comes back, instants are read leniently, and nothing is guessed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core import wire
from tallystick.core.period import Instant


class Reading(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    amount: Decimal
    at: Instant | None = None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1e-05", "0.00001"),
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("1", "1"),
        ("-0.0", "-0.0"),
        ("1234567890123456789", "1234567890123456789"),
        ("1234567890123456789.123456789", "1234567890123456789.123456789"),
        ("123456789012345678901234567890.123456789012345678901234567890", None),
        ("3.3333333333333335e-07", "3.3333333333333335E-7"),
        ("1E+3", None),
        ('"0.1"', "0.1"),  # a decimal may be sent as text, which JavaScript clients do
    ],
)
def test_a_number_comes_back_as_the_same_decimal(text: str, written: str | None) -> None:
    read = wire.decode(Reading, f'{{"amount":{text}}}').amount
    assert read == Decimal(text.strip('"'))
    again = json.loads(wire.encode(Reading(amount=read)), parse_float=Decimal, parse_int=Decimal)["amount"]
    assert again == read
    if written is not None:
        assert wire.encode({"amount": read}) == f'{{"amount":{written}}}'.encode()


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_every_bounded_decimal_survives_the_round_trip(amount: Decimal) -> None:
    assert wire.decode(Reading, wire.encode(Reading(amount=amount))).amount == amount


def test_untyped_numbers_are_exact_too() -> None:
    read = wire.decode(dict[str, Any], b'{"x":0.1,"y":12345678901234567890123}')
    assert read == {"x": Decimal("0.1"), "y": 12345678901234567890123}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "0x10", "1_000", "١", "+1", "{"])
def test_what_is_no_json_number_is_not_read(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        wire.decode(Reading, f'{{"amount":{text}}}')


@pytest.mark.parametrize("text", ["1E+99999999999999999999", "1E-99999999999999999999", "[0.5, 1e9999999999999999999]"])
def test_an_exponent_beyond_every_decimal_is_refused_where_any_value_may_stand(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="number out of range"):
        wire.decode(dict[str, Any], f'{{"x":{text}}}')


@pytest.mark.parametrize("text", ["true", "[]", "{}", "null", '"ten"', '""'])
def test_what_is_no_number_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.amount"):
        wire.decode(Reading, f'{{"amount":{text}}}')


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2025-01-31T00:00:00Z", "2025-01-31T00:00:00.000Z"),
        ("2025-01-31", "2025-01-31T00:00:00.000Z"),
        ("2025-01-31T01:00:00+01:00", "2025-01-31T00:00:00.000Z"),
        ("2025-01-31T00:00:00", "2025-01-31T00:00:00.000Z"),
        ("2025-01-31T00:00:00.123456Z", "2025-01-31T00:00:00.123456Z"),
    ],
)
def test_an_instant_is_read_leniently_and_written_one_way(text: str, written: str) -> None:
    read = wire.decode(Reading, f'{{"amount":1,"at":"{text}"}}')
    assert json.loads(wire.encode(read))["at"] == written


@pytest.mark.parametrize("text", ['"yesterday"', '""', "5", "[]", '"2025-02-30"', '"9999-12-31T23:00:00-05:00"'])
def test_what_is_no_instant_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.at"):
        wire.decode(Reading, f'{{"amount":1,"at":{text}}}')


def test_equal_values_have_one_canonical_form() -> None:
    one = {"b": Decimal(1), "a": [{"d": 1, "c": 2}]}
    other = {"a": [{"c": 2, "d": 1}], "b": Decimal(1)}
    assert wire.canonical(one) == wire.canonical(other) == b'{"a":[{"c":2,"d":1}],"b":1}'
    assert wire.encode(one) != wire.encode(other)


def test_what_has_no_json_form_is_a_bug_not_a_guess() -> None:
    with pytest.raises(TypeError, match="cannot encode object"):
        wire.encode({"x": object()})


@pytest.mark.parametrize("text", ["1.5", "-0", "+1", ".5", "5.", "1e-05", "1E+3", "0" * 40])
def test_a_number_may_be_sent_as_text(text: str) -> None:
    assert wire.decode_sent(Reading, wire.encode({"amount": text})).amount == Decimal(text)


@pytest.mark.parametrize("text", ["1_000", "1__0", " 1", "1\n", "１２", "١", "NaN", "Infinity", "1E99999999"])
def test_what_only_python_reads_as_a_number_is_refused_by_place(text: str) -> None:
    for of, sent, path in (
        (Reading, {"amount": text}, "$.amount"),
        (list[Reading], [{"amount": 1}, {"amount": text}], "$[1].amount"),
        (dict[str, Decimal], {"a": 1, "b": text}, "$.b"),
        (tuple[Decimal | None, ...], [None, text], "$[1]"),
    ):
        with pytest.raises(msgspec.ValidationError) as problem:
            wire.decode_sent(of, wire.encode(sent))  # type: ignore[arg-type]  # a tuple of unlike types
        assert str(problem.value).endswith(f"at `{path}`")


def test_texts_that_are_no_numbers_may_look_like_any() -> None:
    assert wire.decode_sent(dict[str, Any], '{"code":"1_000","name":"１２"}') == {"code": "1_000", "name": "１２"}
