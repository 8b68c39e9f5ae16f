"""How a customer reads amounts, numbers and times: in the locale and the zone of the visit, with nothing rounded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from markupsafe import Markup

from tallystick.core.period import Instant
from tallystick.core.quantity import plain
from tallystick.invoice.formats import Formats, locale_of


@dataclass(frozen=True, slots=True)
class Reading:
    """Writes values for people; the words of the portal are English. Each text with an exact value behind it carries
    that value in `data-value`."""

    formats: Formats
    zone: ZoneInfo

    @classmethod
    def of(cls, locale: str, zone: str) -> Reading:
        return cls(Formats(locale_of(locale)), ZoneInfo(zone))

    @property
    def locale(self) -> Locale:
        return self.formats.locale

    def money_text(self, amount: Decimal, currency: str) -> str:
        """An exact amount with its currency."""
        return self.formats.money(amount, currency)

    def number_text(self, value: Decimal) -> str:
        """An exact number."""
        return self.formats.number(value)

    def money(self, amount: Decimal, currency: str) -> Markup:
        """An amount for a page."""
        return _exact(amount, self.money_text(amount, currency), "money")

    def number(self, value: Decimal) -> Markup:
        """A number for a page."""
        return _exact(value, self.number_text(value), "number")

    def day(self, day: date) -> str:
        """A calendar day."""
        return self._apart(self.formats.day(day))

    def short_day(self, day: date) -> str:
        """A calendar day of this year or so, for charts."""
        return self._apart(str(format_date(day, "d MMM", self.locale)))

    def moment(self, at: Instant) -> str:
        """A moment in the customer's zone, to the minute."""
        return f"{self.day(at.astimezone(self.zone))}, {self.clock(at)}"

    def clock(self, at: Instant) -> str:
        """The time of day in the customer's zone."""
        return self._apart(str(format_time(at, "short", self.zone, self.locale)))

    def _apart(self, text: str) -> str:
        """The words around are English and go from left to right, whatever the locale's go."""
        return f"\u2068{text}\u2069" if self.formats.direction == "rtl" else text

    def span(self, first: date, end: date) -> str:
        """A period of days whose end does not belong to it: its first and its last day."""
        last = end - timedelta(days=1)
        return self.day(first) if last <= first else f"{self.day(first)} – {self.day(last)}"


def _exact(value: Decimal, shown: str, how: str) -> Markup:
    sign = " negative" if value < 0 else ""
    return Markup('<data class="{}{}" value="{}" data-value="{}">{}</data>').format(
        how, sign, plain(value), plain(value), shown
    )
