"""Numbers, amounts and moments as people read them, with nothing rounded away."""

from __future__ import annotations

from decimal import Decimal

from tallystick.core.period import Instant
from tallystick.core.quantity import plain

LONGEST_DECIMALS = 36  # what quantities (18 decimals) times prices may have; more comes from a division
SHOWN_DECIMALS = 12


def number(value: Decimal) -> str:
    """An exact number with thousands separated: 18,059,974 or 0.000001. Of a quotient that goes on beyond any use the
    first decimals are shown, and that they are not all: 258.064516129032…"""
    text = plain(value)
    whole, point, decimals = text.partition(".")
    if len(decimals) > LONGEST_DECIMALS:
        decimals = decimals[:SHOWN_DECIMALS] + "…"
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}"


def money(value: Decimal) -> str:
    """An exact amount or price: as a number, but with two decimals at least."""
    text = number(value)
    missing = 2 - len(text.partition(".")[2])
    return text + ("." if "." not in text else "") + "0" * missing if missing > 0 else text


def instant(moment: Instant) -> str:
    """Without what is zero: 2023-11-01, or 2023-11-01T09:00:00Z."""
    text = moment.wire().removesuffix("Z").removesuffix(".000")
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else text + "Z"
