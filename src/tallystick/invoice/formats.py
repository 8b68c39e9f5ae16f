"""Numbers, amounts and dates as readers of a language expect them, with nothing rounded away (Babel holds the tables).

Digits are 0 to 9 in every language: amounts must be found again by a search and typed into a banking form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, localcontext

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal

from tallystick.core.period import Instant, require_zone
from tallystick.core.quantity import EXACT_DIGITS, plain
from tallystick.core.wording import LONGEST_DECIMALS

_RIGHT_TO_LEFT = {"ar", "he", "fa", "ur", "yi", "ps", "sd", "ug", "dv", "ckb"}


def locale_of(name: str) -> Locale:
    """The locale of a name such as en-GB; raises ValueError that says what is wanted."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"locale: must be a language such as en-GB, de or zh-Hant-TW, got {name[:40]!r}") from None


# A currency without a sign of its own is written by its code, which must not touch the digits.
_TOUCHING = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
NEAR_DECIMALS, NEAR_DIGITS = 6, 4


@dataclass(frozen=True, slots=True)
class Formats:
    """How one language writes. Amounts have at least the decimals that are usual for their currency, and all theirs."""

    locale: Locale

    @property
    def language(self) -> str:
        """As HTML and PDF name it: zh-Hant-TW."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> str:
        """ltr or rtl."""
        return "rtl" if self.locale.language in _RIGHT_TO_LEFT else "ltr"

    def number(self, value: Decimal) -> str:
        """An exact number; of a quotient that goes on beyond any use the first decimals, and that they are not all."""
        shown, sign = near(value)
        with localcontext(_CONTEXT):
            return self._one_way(sign + str(format_decimal(shown, locale=self.locale, decimal_quantization=False)))

    def money(self, value: Decimal, currency: str) -> str:
        """An exact amount or price with its currency."""
        shown, sign = near(value)
        with localcontext(_CONTEXT):
            words = format_currency(shown, currency, locale=self.locale, decimal_quantization=False)
        return self._one_way(sign + _TOUCHING.sub("\xa0", str(words)))

    def _one_way(self, words: str) -> str:
        """Numbers are read from left to right in every language; where the text around them is not, they say so."""
        if self.direction == "ltr":
            return words
        return f"\u2066{words.replace(chr(0x200E), '').replace(chr(0x200F), '')}\u2069"

    def day(self, day: date) -> str:
        return str(format_date(day, "medium", locale=self.locale))

    def moment(self, instant: Instant, zone: str) -> str:
        return str(format_datetime(instant, "medium", tzinfo=require_zone(zone), locale=self.locale))


_CONTEXT = Context(prec=EXACT_DIGITS)


def near(value: Decimal) -> tuple[Decimal, str]:
    """A value as it is; or, of a quotient that goes on beyond any use, at least four digits and the sign of roughly."""
    if len(plain(value).partition(".")[2]) <= LONGEST_DECIMALS:
        return value, ""
    decimals = max(NEAR_DECIMALS, NEAR_DIGITS - 1 - value.adjusted())
    return value.quantize(Decimal(1).scaleb(-decimals), context=_CONTEXT), "≈ "
