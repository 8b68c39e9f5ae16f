"""Numbers, amounts and dates of each language, and the words around them. What is expected is what CLDR says."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from babel import Locale

from tallystick.core.quantity import divide
from tallystick.invoice.formats import Formats, locale_of
from tallystick.invoice.words import OWN, words_of

ENGLISH = tomllib.loads((OWN / "en.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("locale", "value", "currency", "expected"),
    [
        ("en-GB", "1234567.5", "GBP", "£1,234,567.50"),
        ("en-GB", "-40", "USD", "-US$40.00"),
        ("en-US", "0.000000125", "USD", "$0.000000125"),
        ("de-DE", "1234.5", "EUR", "1.234,50\xa0€"),
        ("fr-FR", "1234.5", "EUR", "1\u202f234,50\xa0€"),
        ("hi-IN", "1234567", "INR", "₹12,34,567.00"),
        ("ja-JP", "1234", "JPY", "￥1,234"),
        ("ja-JP", "1234.25", "JPY", "￥1,234.25"),
        ("en-GB", "7", "TOKENS", "TOKENS\xa07.00"),
        ("en-US", "5", "CHF", "CHF\xa05.00"),
        ("ar-EG", "-12.5", "EGP", "\u2066-12.50\xa0ج.م.\u2069"),
        ("he-IL", "-40", "USD", "\u2066-40.00\xa0$\u2069"),
        ("en", "99999999999999999999.999999999999999999", "USD", "$99,999,999,999,999,999,999.999999999999999999"),
    ],
)
def test_amounts_are_exact_and_as_the_language_writes_them(
    locale: str, value: str, currency: str, expected: str
) -> None:
    assert Formats(locale_of(locale)).money(Decimal(value), currency) == expected


@pytest.mark.parametrize(
    ("dividend", "divisor", "expected"),
    [(1, 3, "≈ 0.333333"), (2, 3, "≈ 0.666667"), (1, 3_000_000, "≈ 0.0000003333"), (1, 8, "0.125")],
)
def test_a_quotient_without_end_says_that_it_is_near(dividend: int, divisor: int, expected: str) -> None:
    assert Formats(locale_of("en")).number(divide(Decimal(dividend), Decimal(divisor))) == expected


@pytest.mark.parametrize(
    ("locale", "expected"), [("en-GB", "9 Mar 2023"), ("en-US", "Mar 9, 2023"), ("de", "09.03.2023")]
)
def test_days_are_as_the_language_writes_them(locale: str, expected: str) -> None:
    assert Formats(locale_of(locale)).day(date(2023, 3, 9)) == expected


@pytest.mark.parametrize("name", ["", "tlh-Klingon-x", "../../etc", "en GB", "xx_YY_zz"])
def test_an_unknown_language_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="locale: must be a language"):
        locale_of(name)


@pytest.mark.parametrize("path", sorted(OWN.glob("*.toml")), ids=lambda path: path.stem)
def test_each_language_has_every_word(path: Path) -> None:
    words = tomllib.loads(path.read_text(encoding="utf-8"))
    assert words.keys() == ENGLISH.keys()
    assert all(words.values())
    assert all(place in words["page"] for place in ("{page}", "{pages}"))


def test_an_operator_extends_and_changes_words(tmp_path: Path) -> None:
    (tmp_path / "pt.toml").write_text('invoice = "Fatura"\ntotal = "Total a pagar"\n', encoding="utf-8")
    (tmp_path / "pt_BR.toml").write_text('invoice = "Nota"\n', encoding="utf-8")
    (tmp_path / "en.toml").write_text('amount = "Net amount"\n', encoding="utf-8")
    words = words_of(Locale.parse("pt_BR"), tmp_path)
    assert (words["invoice"], words["total"], words["amount"]) == ("Nota", "Total a pagar", "Net amount")
    assert words_of(Locale.parse("pt_BR"))["invoice"] == "Invoice"
    assert words_of(Locale.parse("de_AT"), tmp_path)["amount"] == "Betrag"
