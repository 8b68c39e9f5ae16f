"""What every configured thing shares: bounded numbers, custom fields, codes, and names on the wire."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, ClassVar

import msgspec
import pytest

from tallystick.core import wire
from tallystick.core.entity import CustomFields, EntityCode, FieldCode, Value, require_custom_fields, wire_name


class Thing(Value, frozen=True, kw_only=True):
    kind: ClassVar[str] = "thing"

    unit_price: Decimal = Decimal(0)
    code: EntityCode = "code"
    field_code: FieldCode = "field"
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_custom_fields(self.custom_fields)


@pytest.mark.parametrize(
    "text", ["0", "-0.0", "1e-30", "99999999999999999999", "-99999999999999999999.9", "0." + "1" * 30, "1.0e19"]
)
def test_numbers_within_bounds_are_kept_as_they_are(text: str) -> None:
    assert wire.decode(Thing, f'{{"unitPrice":{text}}}').unit_price == Decimal(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1e20", "must be a finite number below 10^20"),
        ("-1e20", "must be a finite number below 10^20"),
        ("1e400", "must be a finite number below 10^20"),
        ("1E+999999", "must be a finite number below 10^20"),
        ("9" * 5000, "must be a finite number below 10^20"),
        ('"NaN"', "must be a finite number below 10^20"),
        ('"sNaN"', "must be a finite number below 10^20"),
        ('"Infinity"', "must be a finite number below 10^20"),
        ("1e-31", "at most 30 decimal places"),
        ("1e-999999", "at most 30 decimal places"),
        ("0." + "1" * 31, "at most 30 decimal places"),
    ],
)
def test_absurd_numbers_are_refused_and_named(text: str, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unitPrice: ") as caught:
        wire.decode(Thing, f'{{"unitPrice":{text}}}')
    assert problem in str(caught.value)


def test_the_bounds_do_not_depend_on_a_threads_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 3
        assert wire.decode(Thing, b'{"unitPrice":12345678.123456789}').unit_price == Decimal("12345678.123456789")


CUSTOM: list[tuple[str, str | None]] = [
    ('{"a":"text","b":1,"c":0.1,"d":-5}', None),
    ("{}", None),
    ("null", None),
    ('{"a":true}', "customFields.a: must be a text or a number"),
    ('{"a":null}', "customFields.a: must be a text or a number"),
    ('{"a":[1]}', "customFields.a: must be a text or a number"),
    ('{"a":{"b":1}}', "customFields.a: must be a text or a number"),
    ('{"a":1e20}', "customFields.a: must be a finite number below 10^20"),
    ("{" + ",".join(f'"f{n}":1' for n in range(101)) + "}", "customFields: at most 100 fields"),
    ("[]", "Expected `object | null`, got `array`"),
]


@pytest.mark.parametrize(("text", "problem"), CUSTOM, ids=[text[:24] for text, _ in CUSTOM])
def test_custom_fields_are_texts_and_exact_numbers(text: str, problem: str | None) -> None:
    body = f'{{"customFields":{text}}}'
    if problem is None:
        given = wire.decode(dict[str, Any], body)["customFields"]
        assert wire.decode(Thing, body).custom_fields == given
        return
    with pytest.raises(msgspec.ValidationError) as caught:
        wire.decode(Thing, body)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("code", "entity", "field"),
    [
        ("plain", True, True),
        ("with space", True, False),
        ("_under$dollar9", True, True),
        ("9lives", True, False),
        ("a/b:c-d", True, False),
        ("tüv", True, False),
        ("名前", True, False),
        (" lead", False, False),
        ("trail ", False, False),
        ("", False, False),
        ("tab\tinside", False, False),
        ("line\n", False, False),
        ("nul\x00", False, False),
        ("c1\x85", False, False),
        ("x" * 80, True, True),
        ("x" * 81, False, False),
    ],
)
def test_which_codes_are_codes(code: str, entity: bool, field: bool) -> None:
    for name, allowed in (("code", entity), ("fieldCode", field)):
        body = wire.encode({name: code})
        if allowed:
            wire.decode(Thing, body)
        else:
            with pytest.raises(msgspec.ValidationError, match=rf"\$\.{name}"):
                wire.decode(Thing, body)


def test_names_on_the_wire_are_camel_case() -> None:
    assert wire_name(Thing, "unit_price") == "unitPrice"
    assert wire_name(Thing, "code") == "code"
