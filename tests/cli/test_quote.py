"""`tallystick quote`: price lists against quantities, one JSON line each."""

from __future__ import annotations

import io
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tallystick.cli.quote import quote_command, quote_line, run

D = Decimal
CALLS = [("0", "0", "0.02"), ("5000", "0", "0.015"), ("20000", "0", "0.01")]
UNITS = [("0", "0", "1.00"), ("1000", "0", "0.50"), ("5000", "0", "0.25")]
STAIRS = [("0", "50", "0"), ("1000", "100", "0"), ("5000", "200", "0"), ("10000", "300", "0")]
PENNIES = [("0", "0", "0.333")]


def asked(bands: list[tuple[str, str, str]], cumulative: bool, quantity: str, **more: object) -> str:
    price_list = [{"lowerLimit": limit, "fixedPrice": fixed, "unitPrice": unit} for limit, fixed, unit in bands]
    return json.dumps({"id": "q", "pricingBands": price_list, "cumulative": cumulative, "quantity": quantity, **more})


def answered(text: str | bytes) -> dict[str, Any]:
    answer = json.loads(quote_line(text), parse_float=Decimal, parse_int=Decimal)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("line", "subtotal"),
    [
        (asked(CALLS, True, "15000"), "250"),
        (asked(CALLS, False, "15000"), "225"),
        (asked(UNITS, True, "10000"), "4250"),
        (asked(STAIRS, False, "7500"), "200"),
        (asked([("0", "0", "0.25")], False, "98"), "24.5"),
        (asked(CALLS, True, "-15000"), "-250"),
        (asked(PENNIES, True, "1.001"), "0.333333"),  # without a currency nothing is rounded
        (asked(PENNIES, True, "1", currency={"code": "USD"}), "0.33"),
        (asked(PENNIES, True, "1", currency={"code": "USD", "roundingMode": "UP"}), "0.34"),
        (asked(PENNIES, True, "1", currency={"maxDecimalPlaces": 0, "roundingMode": "CEILING"}), "1"),
        (asked(PENNIES, True, "1", currency={"maxDecimalPlaces": "5", "roundingMode": "UNNECESSARY"}), "0.333"),
        (asked(PENNIES, True, "1", currency=None), "0.333"),
        (asked(PENNIES, True, "30", minimumSpend="9.99"), "9.99"),
        (asked(PENNIES, True, "30", minimumSpend=10), "10"),
        (asked(PENNIES, True, "30", minimumSpend=5), "9.99"),
        (asked(PENNIES, True, "0", minimumSpend=0), "0"),
        (asked(PENNIES, True, "-3", minimumSpend=5), "5"),
        (asked(PENNIES, True, "99999999999999999999"), "33299999999999999999.667"),
    ],
)
def test_subtotals(line: str, subtotal: str) -> None:
    assert answered(line)["subtotal"] == D(subtotal)


def test_the_whole_answer_in_plain_numbers() -> None:
    line = (
        '{"id":7,"pricingBands":[{"lowerLimit":0,"fixedPrice":"1E+2","unitPrice":2e-8},'
        '{"lowerLimit":1e3,"fixedPrice":0,"unitPrice":0.10}],"cumulative":true,"quantity":"1500.00","note":"unknown"}'
    )
    assert quote_line(line) == (
        b'{"id":7,"subtotal":150.00002,"bands":['
        b'{"lowerLimit":0,"fixedPrice":100,"unitPrice":0.00000002,"bandQuantity":1000,"bandSubtotal":100.00002},'
        b'{"lowerLimit":1000,"fixedPrice":0,"unitPrice":0.1,"bandQuantity":500,"bandSubtotal":50}]}'
    )


def test_what_a_minimum_spend_adds_is_shown_when_it_acts() -> None:
    assert "minimumSpendAdjustment" not in answered(asked(PENNIES, True, "30", minimumSpend="9.99"))
    answer = answered(asked(PENNIES, True, "29", minimumSpend=10, currency={"code": "USD"}))
    assert (answer["subtotal"], answer["minimumSpendAdjustment"]) == (D(10), D("0.34"))  # 9.657 is 9.66
    assert answer["bands"][0]["bandSubtotal"] == D("9.657")


@pytest.mark.parametrize("number", ["0.1", "1e-05", "1234567890123456789", '"1e-05"', "0.3333333333333333333333"])
def test_numbers_are_never_binary(number: str) -> None:
    line = f'{{"id":1,"pricingBands":[{{"lowerLimit":0,"fixedPrice":{number},"unitPrice":0}}],"quantity":1}}'
    assert answered(line)["subtotal"] == D(number.strip('"'))


@pytest.mark.parametrize("id", ['"a \\u00e9 é"', "12345678901234567890", "null", "true", '{"line": [1, 2]}', "1.50"])
def test_the_id_comes_back_as_it_stands(id: str) -> None:
    good = f'{{"quantity":1,"id":{id},"pricingBands":[{{"lowerLimit":0,"fixedPrice":1,"unitPrice":0}}]}}'
    bad = f'{{"quantity":"x","id":{id}}}'
    assert quote_line(good).startswith(f'{{"id":{id},"subtotal":1,'.encode())
    assert quote_line(bad).startswith(f'{{"id":{id},"error":"'.encode())


@pytest.mark.parametrize(
    ("line", "id", "field"),
    [
        ("nope", None, "malformed"),
        ('{"id":1', None, "truncated"),
        ("[1]", None, "object"),
        ("1", None, "object"),
        (b'{"id":"\xff"}', None, "UTF-8"),
        ('{"id":"q"}', "q", "pricingBands"),
        (asked([], True, "1"), "q", "pricingBands"),
        (asked([("5", "0", "1"), ("5", "0", "1")], True, "1"), "q", "pricingBands[1].lowerLimit"),
        (asked([("9", "0", "1"), ("5", "0", "1")], True, "1"), "q", "pricingBands[1].lowerLimit"),
        (asked([("-1", "0", "1")], True, "1"), "q", "lowerLimit"),
        (asked([("0", "0", "NaN")], True, "1"), "q", "unitPrice"),
        (asked(CALLS, True, "NaN"), "q", "quantity"),
        (asked(CALLS, True, "Infinity"), "q", "quantity"),
        (asked(CALLS, True, "1E+999999"), "q", "quantity"),
        (asked(CALLS, True, "1E-999999"), "q", "quantity"),
        (asked(CALLS, True, "1E+99999999999999999999"), "q", "quantity"),
        (asked(CALLS, True, "9" * 5000), "q", "quantity"),
        (asked(CALLS, True, "many"), "q", "quantity"),
        (asked(CALLS, True, "1").replace('"quantity": "1"', '"quantity": null'), "q", "quantity"),
        (asked(CALLS, True, "1").replace('"quantity": "1"', '"quantity": NaN'), "q", "malformed"),
        ('{"id": {"a": 1}, "quantity": Infinity}', None, "malformed"),
        (asked(CALLS, True, "1").replace("true", '"yes"'), "q", "cumulative"),
        (asked(CALLS, True, "1", minimumSpend=-1), "q", "minimumSpend"),
        (asked(CALLS, True, "1", currency={"maxDecimalPlaces": 6}), "q", "maxDecimalPlaces"),
        (asked(CALLS, True, "1", currency={"maxDecimalPlaces": True}), "q", "maxDecimalPlaces"),
        (asked(CALLS, True, "1", currency={"roundingMode": "SIDEWAYS"}), "q", "roundingMode"),
        (asked(PENNIES, True, "1", currency={"roundingMode": "UNNECESSARY"}), "q", "UNNECESSARY"),
        ('{"id":' + "[" * 100_000 + "}", None, "nested too deeply"),
    ],
)
def test_a_bad_line_is_answered_with_an_error_that_names_the_field(
    line: str | bytes, id: str | None, field: str
) -> None:
    answer = answered(line)
    assert set(answer) == {"id", "error"}
    assert answer["id"] == id
    assert field in answer["error"]
    assert len(answer["error"]) < 300


def test_a_bad_line_stops_nothing_and_empty_lines_are_skipped() -> None:
    good = asked(CALLS, True, "15000").encode()
    output = io.BytesIO()
    run([b"\xef\xbb\xbf" + good + b"\r\n", b"\n", b"  \n", b"oops\n", good], output.write)
    answers = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [answer.get("subtotal") for answer in answers] == [250, None, 250]
    assert output.getvalue().endswith(b"\n")


def test_the_command_reads_a_file_or_standard_input(tmp_path: Path) -> None:
    program = typer.Typer()
    program.command()(quote_command)
    lines = f"{asked(CALLS, True, '15000')}\n\nnope\n{asked(CALLS, False, '15000')}\n"
    path = tmp_path / "prices.jsonl"
    path.write_text(lines)
    from_file = CliRunner().invoke(program, [str(path)])
    from_input = CliRunner().invoke(program, [], input=lines)
    assert from_file.exit_code == from_input.exit_code == 0
    assert from_file.stdout == from_input.stdout
    assert [json.loads(line).get("subtotal") for line in from_file.stdout.splitlines()] == [250, None, 225]
    absent = CliRunner().invoke(program, [str(tmp_path / "absent.jsonl")])
    assert absent.exit_code == 2
    assert "cannot read" in absent.stderr


def test_ten_thousand_lines_take_no_second() -> None:
    line = asked(CALLS, True, "15000").encode()
    started = time.process_time()
    run([line] * 10_000, lambda _: None)
    assert time.process_time() - started < 2  # 0.2 s on a quiet machine


NUMBERS = st.decimals(min_value=-(10**6), max_value=10**6, places=6)


@given(
    limits=st.sets(st.decimals(min_value=0, max_value=10**6, places=3), min_size=1, max_size=4),
    prices=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=4, max_size=4),
    cumulative=st.booleans(),
    quantity=NUMBERS,
)
@settings(max_examples=60, deadline=None)
def test_the_bands_of_every_answer_add_up_to_its_subtotal(
    limits: set[Decimal], prices: list[tuple[Decimal, Decimal]], cumulative: bool, quantity: Decimal
) -> None:
    bands = [(str(limit), str(fixed), str(unit)) for limit, (fixed, unit) in zip(sorted(limits), prices, strict=False)]
    answer = answered(asked(bands, cumulative, str(quantity)))
    assert sum(band["bandSubtotal"] for band in answer["bands"]) == answer["subtotal"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: json.dumps(text).encode()))
@settings(max_examples=60, deadline=None)
def test_no_input_breaks_it(text: bytes) -> None:
    assert "error" in msgspec.json.decode(quote_line(text))


def test_text_that_is_no_unicode_is_an_error_too() -> None:
    assert "error" in answered('{"id":"\ud800"}')
