"""Forms of price beside bands: a percentage, a price per started package, rates by dimensions. An extension of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from tallystick.core.entity import MAX_DECIMALS, FieldCode, Value, require_not_negative
from tallystick.core.quantity import EXACT, ONE, multiply

MOST_DIMENSIONS = 3
MOST_RATES = 10_000
_PERCENT_STEPS = Decimal(10 ** (MAX_DECIMALS - 2))


class Package(Value, frozen=True, kw_only=True):
    """A price for each package of `size` units that was started."""

    size: Decimal
    price: Decimal

    def check(self) -> None:
        if self.size <= 0:
            raise ValueError("size: must be above 0")
        require_not_negative(self.price, "price")


class Rate(Value, frozen=True, kw_only=True):
    """The unit price of one combination of dimensions: of values of segmented fields, by field code."""

    dimensions: dict[FieldCode, Annotated[str, msgspec.Meta(min_length=1, max_length=256)]]
    unit_price: Decimal

    def check(self) -> None:
        if not 1 <= len(self.dimensions) <= MOST_DIMENSIONS:
            raise ValueError(f"dimensions: 1 to {MOST_DIMENSIONS} of them, got {len(self.dimensions)}")


def require_one_form(bands: Sequence[object], forms: Mapping[str, object]) -> None:
    """A pricing has bands, or one of the other forms (by wire name) and an empty list of bands."""
    given = [name for name, value in forms.items() if value is not None]
    if not given and not bands:
        raise ValueError(f"pricingBands: at least one band, or one of {', '.join(forms)}")
    if len(given) > 1:
        raise ValueError(f"{given[1]}: give only one of {', '.join(forms)}; this has {given[0]} too")
    if given and bands:
        raise ValueError(f"pricingBands: must be empty beside {given[0]}, which is the price")


def require_percent(percent: Decimal | None) -> None:
    """A percentage is 0 or more, and a hundredth of it is a price."""
    require_not_negative(percent, "percent")
    if percent is not None and EXACT.remainder(multiply(percent, _PERCENT_STEPS), ONE):
        raise ValueError(f"percent: at most {MAX_DECIMALS - 2} decimal places")


def require_rates(rates: Sequence[Rate]) -> None:
    """Rates are for the same dimensions, each combination once."""
    if not rates:
        raise ValueError("rates: at least one rate")
    seen: set[tuple[str, ...]] = set()
    names = sorted(rates[0].dimensions)
    for index, rate in enumerate(rates):
        if sorted(rate.dimensions) != names:
            raise ValueError(f"rates[{index}].dimensions: must be the same in every rate ({', '.join(names)})")
        values = tuple(rate.dimensions[name] for name in names)
        if values in seen:
            raise ValueError(f"rates[{index}].dimensions: there is a rate for {', '.join(values)} already")
        seen.add(values)
