"""How prepaid credit burns down: what was left of it day by day, and when it runs out at the present rate."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tallystick.core.ledger import LedgerEntry, value_of
from tallystick.core.period import Instant, Period, day_start, local_day, microseconds
from tallystick.core.quantity import divide, multiply, subtract

_DAY = timedelta(days=1)
_FURTHEST = 3_660  # days; what lasts longer runs out at no time worth naming


class BurnDown(msgspec.Struct, frozen=True, kw_only=True):
    """What is left at the end of each day, None for days to come, and what is expected to be left, None before today.

    `per_day` is the present rate; `runs_out` the day on which nothing is left by it, None when it lasts for long.
    """

    days: tuple[date, ...]
    left: tuple[Decimal | None, ...]
    expected: tuple[Decimal | None, ...]
    per_day: Decimal
    runs_out: date | None


def burn_down(
    entries: Collection[LedgerEntry], live: Decimal, rate: Decimal, *, now: Instant, zone: str, back: int, ahead: int
) -> BurnDown:
    """From `back` days ago until `ahead` days from now, in days of a zone. `live` is what is left now, with the usage
    that no bill has drawn yet; `rate` what is drawn a day. All in the currency of the credit."""
    today = local_day(now, zone)
    days = tuple(today + timedelta(days=each) for each in range(-back, ahead + 1))
    left: list[Decimal | None] = [
        None if day > today else live if day == today else _held(entries, day_start(day + _DAY, zone)) for day in days
    ]
    expected = [None if day < today else _after(live, rate, (day - today).days) for day in days]
    lasts = _lasts(live, rate)
    return BurnDown(
        days=days,
        left=tuple(left),
        expected=tuple(expected) if rate > 0 and live > 0 else (None,) * len(days),
        per_day=rate,
        runs_out=None if lasts is None else today + timedelta(days=lasts),
    )


def daily_rate(drawn: Decimal, period: Period, now: Instant) -> Decimal:
    """What is drawn a day, given what was drawn since a period began; of its first day, as if it had been whole."""
    day = microseconds(Period(now, Instant.of(now + _DAY)))
    passed = max(microseconds(Period(period.start, now)), day) if now > period.start else day
    return divide(multiply(drawn, Decimal(day)), Decimal(passed))


def _held(entries: Collection[LedgerEntry], before: Instant) -> Decimal:
    return value_of([each for each in entries if each.applied_date < before])


def _after(live: Decimal, rate: Decimal, days: int) -> Decimal:
    return max(Decimal(0), subtract(live, multiply(rate, Decimal(days))))


def _lasts(live: Decimal, rate: Decimal) -> int | None:
    """In how many days nothing is left."""
    if live <= 0 or rate <= 0:
        return None
    whole, rest = divmod(divide(live, rate), 1)
    days = int(whole) + (1 if rest else 0)
    return days if days <= _FURTHEST else None
