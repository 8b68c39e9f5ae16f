"""What insights are asked about: the months before a day, and the commitments that are offered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from tallystick.core.insight import Offer
from tallystick.errors import Refusal

DISCOUNT = Decimal(10)
MOST_OFFERS = 20


def months_before(last: date, months: int) -> date:
    """The day after the one so many months before."""
    place = last.year * 12 + last.month - 1 - months
    day = date(place // 12, place % 12 + 1, 1)
    return day.replace(day=min(last.day, 28)) + timedelta(days=1)


def offers_of(text: Callable[[str], str | None]) -> tuple[Offer, ...]:
    """The offers of a query: `offers` as amount:percent, comma-joined, or one fitted to each account."""
    given = text("offers")
    if given is None:
        return (Offer(discount_percent=_percent(text("discountPercent"), "discountPercent")),)
    offers: list[Offer] = []
    for each in given.split(","):
        amount, _, percent = each.partition(":")
        try:
            yearly = Decimal(amount.strip())
        except InvalidOperation:
            yearly = Decimal(0)
        if not yearly.is_finite() or yearly <= 0 or len(offers) == MOST_OFFERS:
            message = f"offers: give at most {MOST_OFFERS} of a yearly amount and a percentage such as 12000:10"
            raise Refusal("invalid_request", f"{message}, got {each[:40]!r}", field="offers")
        offers.append(Offer(yearly_amount=yearly, discount_percent=_percent(percent, "offers")))
    return tuple(offers)


def _percent(text: str | None, field: str) -> Decimal:
    try:
        percent = DISCOUNT if text is None else Decimal(text.strip())
    except InvalidOperation:
        percent = Decimal(-1)
    if not percent.is_finite() or not 0 < percent < 100:
        raise Refusal("invalid_request", f"{field}: a percentage above 0 and below 100", field=field)
    return percent
