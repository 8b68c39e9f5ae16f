"""From the currency of a price list to that of the bill, and the money of both."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tallystick.core.money import Rounding, round_money
from tallystick.core.quantity import multiply
from tallystick.errors import Refusal


class Conversion(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How amounts of a plan become amounts of the bill."""

    from_currency: str
    to_currency: str
    rate: Decimal
    from_rounding: Rounding
    to_rounding: Rounding

    @property
    def is_none(self) -> bool:
        """Whether nothing is converted: the plan is in the currency of the bill."""
        return self.from_currency == self.to_currency

    def money(self, exact: Decimal) -> Decimal:
        """An exact amount as money in the currency of the plan. Refusal `rounding_forbidden`."""
        return money(exact, self.from_rounding, self.from_currency)

    def converted(self, exact: Decimal) -> Decimal:
        """An exact amount of the plan's currency as money in the currency of the bill. Refusal `rounding_forbidden`."""
        if self.is_none:
            return self.money(exact)
        return money(multiply(exact, self.rate), self.to_rounding, self.to_currency)


def money(exact: Decimal, rounding: Rounding, currency: str) -> Decimal:
    """An exact amount as money of a currency. Refusal `rounding_forbidden`."""
    try:
        return round_money(exact, rounding)
    except ValueError as error:
        raise Refusal("rounding_forbidden", f"currency {currency}: {error}", field="roundingMode") from error
