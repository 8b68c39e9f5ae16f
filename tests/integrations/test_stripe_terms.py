"""Bills in Stripe's words: exact minor units, or a refusal; never a rounded amount, never a lost line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stripe_world import bill, credit, line
from tallystick.core.stripe_settings import StripeTerms, read_terms
from tallystick.integrations.stripe_terms import (
    MOST_LINES,
    ZERO_DECIMALS,
    Unexpressible,
    invoice_of,
    major_units,
    minor_units,
)

ORGANIZATION = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "USD", 1234),
        ("12.3", "eur", 1230),
        ("0", "USD", 0),
        ("-0.05", "USD", -5),
        ("1234567890.12", "USD", 123456789012),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("-7", "KRW", -7),
        ("5.12", "KWD", 5120),
        ("5.120", "BHD", 5120),
        ("40", "ISK", 4000),
    ],
)
def test_amounts_become_minor_units(amount: str, currency: str, minor: int) -> None:
    assert minor_units(Decimal(amount), currency) == minor
    assert major_units(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [
        ("12.345", "USD", "12.345 USD cannot be charged by Stripe, which takes multiples of 0.01 USD"),
        ("0.5", "JPY", "multiples of 1 JPY"),
        ("5.124", "KWD", "multiples of 0.01 KWD"),  # the last of three decimals must be 0
        ("40.10", "ISK", "multiples of 1 ISK"),
        ("5", "UGX", "is not clear"),
        ("5", "TOKENS", "no currency that Stripe has"),
        ("5", "€UR", "no currency that Stripe has"),
    ],
)
def test_what_would_need_rounding_is_refused_with_a_reason(amount: str, currency: str, why: str) -> None:
    with pytest.raises(Unexpressible, match=why):
        minor_units(Decimal(amount), currency)


@given(minor=some.integers(-(10**14), 10**14), currency=some.sampled_from(["USD", "EUR", *sorted(ZERO_DECIMALS)]))
def test_no_amount_changes_on_the_way_there_and_back(minor: int, currency: str) -> None:
    assert minor_units(major_units(minor, currency), currency) == minor


def test_a_bill_becomes_an_invoice_of_the_same_total() -> None:
    """7 calls for 70.15, a fee of 29.90 and a credit of 5.05: 95.00."""
    fee = line("Fee", "29.90", unit="")
    made = invoice_of(bill("a", line("Calls", "70.15"), fee, credit("Sorry", "5.05")), "d" * 64, ORGANIZATION)
    assert (made.total, made.currency, made.revision) == (9500, "usd", "d" * 32)
    assert [(each.description, each.amount, each.credit) for each in made.lines] == [
        ("Calls (7 call)", 7015, False),
        ("Fee", 2990, False),
        ("Sorry", -505, True),
    ]
    january = (1735689600, 1738367999)  # 2025-01-01T00:00:00Z to 2025-01-31T23:59:59Z
    assert {each.period for each in made.lines} == {january}
    assert made.lines[0].metadata["tallystick_line"] == made.lines[0].id
    assert made.description == "2025-01-01 to 2025-01-31"


def test_lines_that_do_not_make_up_the_total_are_refused() -> None:
    with pytest.raises(Unexpressible, match=r"the lines come to 70.15 USD, the bill to 70.16"):
        invoice_of(bill("a", line("Calls", "70.15"), total="70.16"), "d", ORGANIZATION)
    with pytest.raises(Unexpressible, match=r"multiples of 0.01 USD"):
        invoice_of(bill("a", line("Calls", "0.005"), line("More", "0.005"), total="0.01"), "d", ORGANIZATION)


@pytest.mark.parametrize("count", [249, 250, 251, 1000])
def test_lines_beyond_the_most_that_stripe_has_are_put_together(count: int) -> None:
    many = [line(f"Line {number}", f"{number}.01") for number in range(count)]
    made = invoice_of(bill("a", *many), "d", ORGANIZATION)
    assert len(made.lines) == min(count, MOST_LINES)
    assert sum(each.amount for each in made.lines) == made.total == 100 * count * (count - 1) // 2 + count
    if count > MOST_LINES:
        assert made.lines[-1].description == f"{count - 249} further lines, see the bill"


def test_settings_are_read_and_what_is_none_is_named() -> None:
    assert read_terms({}) == StripeTerms()
    assert read_terms({"autoAdvance": True, "collectionMethod": "charge_automatically"}).auto_advance
    with pytest.raises(ValueError, match="colectionMethod"):
        read_terms({"colectionMethod": "send_invoice"})
    with pytest.raises(ValueError, match=r"configData\.usageAs"):
        read_terms({"usageAs": "MAGIC"})
