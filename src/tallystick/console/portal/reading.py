"""How a customer reads amounts, numbers and times: in the locale and the zone of the visit, with nothing rounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from markupsafe import Markup

from tallystick.core.period import Instant
from tallystick.core.quantity import plain

DIGITS = 120  # more than any amount has: Babel computes in the thread's context, which would round
LEAST_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Writes values for people. Each text with an exact value behind it carries that value in `data-value`."""

    locale: Locale
    zone: ZoneInfo

    @classmethod
    def of(cls, locale: str, zone: str) -> Reading:
        return cls(Locale.parse(locale.replace("-", "_")), ZoneInfo(zone))

    @property
    def language(self) -> str:
        """As `lang` of a page."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> str:
        """As `dir` of a page: ltr or rtl."""
        return str(self.locale.text_direction)

    def money_text(self, amount: Decimal, currency: str) -> str:
        """An amount with its currency, with as many decimals as it has: as the bill says it."""
        symbol = get_currency_symbol(currency, self.locale)
        decimals = "0" * max(_decimals(amount), 0)
        pattern = re.sub(
            r"0\.0+", f"0.{decimals}" if decimals else "0", self.locale.currency_formats["standard"].pattern
        )
        if symbol[-1:].isalpha():
            pattern = pattern.replace("¤#", "¤\u00a0#")
        with localcontext(prec=DIGITS):
            return str(
                format_currency(
                    amount, currency, pattern, self.locale, currency_digits=False, decimal_quantization=False
                )
            )

    def number_text(self, value: Decimal) -> str:
        """A number, with as many decimals as it has."""
        with localcontext(prec=DIGITS):
            return str(format_decimal(Decimal(plain(value)), locale=self.locale, decimal_quantization=False))

    def money(self, amount: Decimal, currency: str) -> Markup:
        """An amount for a page."""
        return _exact(amount, self.money_text(amount, currency), "money")

    def number(self, value: Decimal) -> Markup:
        """A number for a page."""
        return _exact(value, self.number_text(value), "number")

    def day(self, day: date) -> str:
        """A calendar day."""
        return str(format_date(day, "medium", self.locale))

    def short_day(self, day: date) -> str:
        """A calendar day of this year or so, for charts."""
        return str(format_date(day, "d MMM", self.locale))

    def moment(self, at: Instant) -> str:
        """A moment in the customer's zone, to the minute."""
        return f"{format_date(at.astimezone(self.zone), 'medium', self.locale)}, {self.clock(at)}"

    def clock(self, at: Instant) -> str:
        """The time of day in the customer's zone."""
        return str(format_time(at, "short", self.zone, self.locale))

    def span(self, first: date, end: date) -> str:
        """A period of days whose end does not belong to it: its first and its last day."""
        last = end - timedelta(days=1)
        return self.day(first) if last <= first else f"{self.day(first)} – {self.day(last)}"


def _decimals(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), f"{amount} is no amount"
    return -exponent if exponent < 0 else LEAST_DECIMALS if exponent > 0 else 0


def _exact(value: Decimal, shown: str, how: str) -> Markup:
    sign = " negative" if value < 0 else ""
    return Markup('<data class="{}{}" value="{}" data-value="{}">{}</data>').format(
        how, sign, plain(value), plain(value), shown
    )
