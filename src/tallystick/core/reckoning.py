"""A line of plain usage as the texts of its numbers, for bills that are written from a mould (`core.mould`).

What rating makes of the same usage (`core.rating`) is the rule; here it is done with what never differs worked out
once. How many bands are reached decides which numbers are always the same: those of all bands below the last, where
each pays for its own units. They are taken from what `price_bands` says of the first quantity that reaches as far;
after that only the last band is reckoned. Quantities that are not above 0 are left to `price_bands`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tallystick.core.aggregation import Aggregation, Measured, Question, UnitRounding
from tallystick.core.bands import BandShare, price_bands
from tallystick.core.catalog import Pricing
from tallystick.core.conversion import Conversion
from tallystick.core.formula import base_value
from tallystick.core.pricing import quantities_of
from tallystick.core.quantity import (
    DIVISION_DIGITS,
    ONE,
    ZERO,
    add,
    divide,
    multiply,
    subtract,
    tidy,
    tidy_text,
    total,
)
from tallystick.core.usage import units_of


class Reckoned(NamedTuple):
    """A line of usage: the bands it has, by place; the texts of the numbers of its item, of the bands there, and of its
    working; what it comes to in the currency of the bill, and before that is rounded, in its own."""

    bands: tuple[int, ...]
    numbers: tuple[str, ...]
    shown: tuple[str, ...]
    working: tuple[str, ...]
    amount: Decimal
    exact: Decimal


class _Reach(NamedTuple):
    """What is always the same of quantities that reach a band: the bands that they have, what the units of the last one
    are above, its prices, and, of those before it, the quantity, the money, and the texts of their numbers."""

    bands: tuple[int, ...]
    lower: Decimal
    fixed: Decimal
    fixed_text: str
    unit_price: Decimal
    quantity: Decimal
    money: Decimal
    shown: tuple[str, ...]
    steps: tuple[str, ...]


class Reckoning:
    """How the answer to a question becomes money by a price."""

    def __init__(self, asked: Question, aggregation: Aggregation, pricing: Pricing, conversion: Conversion) -> None:
        self._asked, self._aggregation, self._conversion = asked, aggregation, conversion
        self._bands, self._cumulative = pricing.pricing_bands, pricing.cumulative
        self._lowers = [each.lower_limit for each in self._bands]
        self._as_counted = aggregation.quantity_per_unit == ONE and aggregation.rounding is UnitRounding.NONE
        self._reaches: dict[int, _Reach] = {}

    def of(self, rows: Sequence[Measured]) -> Reckoned | None:
        """The line; None where nothing was measured and there is no default value. Refusal `rounding_forbidden`."""
        row = rows[0] if rows else None
        value = base_value(self._aggregation, row, self._asked)
        if value is None:
            return None
        value_text = str(value)
        if self._as_counted and len(value_text) <= DIVISION_DIGITS:
            units, units_text = value, value_text  # to divide by one would not round it
        else:
            units = units_of(self._aggregation, value)
            units_text = str(units)
        if row is None:
            counted = "0", "0", value_text
        else:
            counted = value_text if row.total is value else tidy_text(row.total), str(row.count), value_text
        texts = value_text, units_text
        reached = bisect_left(self._lowers, units)
        if reached and units > 0:
            return self._reached(value, units, texts, counted, self._reach(reached, value, units))
        return self._at_large(value, units, texts, counted)

    def _reached(
        self, value: Decimal, units: Decimal, texts: tuple[str, str], counted: tuple[str, ...], reach: _Reach
    ) -> Reckoned:
        """A quantity above 0 that reaches a band."""
        in_band = subtract(units, reach.lower)
        of_units = multiply(in_band, reach.unit_price)
        of_band = add(reach.fixed, of_units)
        exact = add(reach.money, of_band)
        in_band_text, of_band_text = tidy_text(in_band), tidy_text(of_band)
        last = (
            tidy_text(subtract(value, reach.quantity)),
            in_band_text,
            tidy_text(of_units),
            of_band_text,
            self._billed(of_band, of_band_text),
        )
        shown, steps = (*reach.shown, *last), (*reach.steps, in_band_text, reach.fixed_text, of_band_text)
        return self._made(reach.bands, exact, units, texts, counted, (shown, steps))

    def _at_large(self, value: Decimal, units: Decimal, texts: tuple[str, str], counted: tuple[str, ...]) -> Reckoned:
        """Any quantity."""
        priced = price_bands(units, self._bands, self._cumulative)
        quantities = quantities_of(priced.bands, value, self._aggregation.quantity_per_unit)
        bands = tuple(share.band for share in priced.bands)
        return self._made(bands, priced.subtotal, units, texts, counted, self._texts(priced.bands, quantities))

    def _made(
        self,
        bands: tuple[int, ...],
        exact: Decimal,
        units: Decimal,
        texts: tuple[str, str],
        counted: tuple[str, ...],
        of_bands: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> Reckoned:
        """The line whose bands come to an exact amount: here it becomes money."""
        conversion, exact_text = self._conversion, tidy_text(exact)
        value_text, units_text = texts
        subtotal = conversion.money(exact)
        subtotal_text = str(subtotal)
        average = str(divide(subtotal, units)) if units else "0"
        working = (*counted, value_text, units_text, units_text, *of_bands[1], exact_text, exact_text, subtotal_text)
        if conversion.is_none:
            numbers = value_text, units_text, subtotal_text, average, subtotal_text
            return Reckoned(bands, numbers, of_bands[0], working, subtotal, exact)
        converted = conversion.converted(exact)
        payable, converted_text = tidy_text(multiply(exact, conversion.rate)), str(converted)
        numbers = value_text, units_text, subtotal_text, average, converted_text
        working = (*working, exact_text, payable, payable, converted_text)
        return Reckoned(bands, numbers, of_bands[0], working, converted, exact)

    def _texts(
        self, shares: Sequence[BandShare], quantities: Sequence[Decimal]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The texts of the numbers of bands: as they are shown on the line, and as steps of its working."""
        shown: list[str] = []
        steps: list[str] = []
        for share, quantity in zip(shares, quantities, strict=True):
            amount = str(share.subtotal)
            shown += str(quantity), str(share.quantity), str(share.unit_subtotal), amount
            shown.append(self._billed(share.subtotal, amount))
            steps += str(share.quantity), str(share.fixed_subtotal), amount
        return tuple(shown), tuple(steps)

    def _billed(self, amount: Decimal, text: str) -> str:
        """The amount of a band in the currency of the bill."""
        rate = self._conversion.rate
        return text if rate == ONE else tidy_text(multiply(amount, rate))

    def _reach(self, reached: int, value: Decimal, units: Decimal) -> _Reach:
        if reached in self._reaches:
            return self._reaches[reached]
        shares = price_bands(units, self._bands, self._cumulative).bands
        quantities = quantities_of(shares, value, self._aggregation.quantity_per_unit)[:-1]
        before, last = shares[:-1], shares[-1]
        shown, steps = self._texts(before, quantities)
        found = self._reaches[reached] = _Reach(
            bands=tuple(share.band for share in shares),
            lower=last.lower_limit if self._cumulative else ZERO,
            fixed=last.fixed_price,
            fixed_text=str(tidy(last.fixed_price)),
            unit_price=last.unit_price,
            quantity=total(quantities),
            money=total(share.subtotal for share in before),
            shown=shown,
            steps=steps,
        )
        return found
