"""The portions of bill lines that credit can pay for: cut where a credit begins or ends, less what is given back.

Usage is cut by when it happened, all else by days. Portions of a line add up to the line to the cent, as each is the
difference of amounts that were rounded from the start of the line (docs/decisions/0121-portions-of-lines.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tallystick.core.bill import LineItemType
from tallystick.core.credit import cuts_of
from tallystick.core.credit_types import CreditLine
from tallystick.core.lines import RatedLine, UpTo, rising
from tallystick.core.money import Rounding, round_money
from tallystick.core.period import Instant, Period, local_day
from tallystick.core.quantity import ZERO, divide, multiply, negate, subtract
from tallystick.core.terms import Terms

PAYABLE = frozenset(each.value for each in CreditLine)
APART = frozenset({LineItemType.CREDIT_MEMO})  # what people give back stays given, whatever credit there is


@dataclass(slots=True, kw_only=True)
class Portion:
    """A stretch of a line's service: what is left to pay of it, in the line's currency and in the bill's.

    `money` is what it comes to, in the line's currency, before anything is paid. `before` and `after` are the exact
    amount and units of the line up to its start and its end.
    """

    line: RatedLine
    start: Instant
    end: Instant
    money: Decimal
    left: Decimal
    billed: Decimal
    rounding: Rounding  # of the line's currency
    before: UpTo
    after: UpTo
    held: bool = False  # it comes to no money, and there was credit left for it when its turn came

    @property
    def type(self) -> LineItemType:
        """The type of line that it counts as: an adjustment is for what the line that it adjusts is for."""
        return self.line.counts_as or self.line.item.line_item_type

    @property
    def free(self) -> bool:
        """Whether it is usage at no price, or at so low a one that it comes to no money."""
        used = self.line.item.line_item_type is LineItemType.USAGE and self.after.units > self.before.units
        return used and not self.money

    @property
    def currency(self) -> str:
        """The line's currency."""
        return self.line.item.currency

    @property
    def rate(self) -> Decimal:
        """From the line's currency to the bill's."""
        return self.line.item.conversion_rate


def portions_of(lines: Sequence[RatedLine], terms: Terms) -> list[Portion]:
    """The portions of every line, in the order of the lines and of time."""
    return [portion for line in lines for portion in _portions(line, terms)]


def _portions(line: RatedLine, terms: Terms) -> list[Portion]:
    item = line.item
    start, end = item.service_period_start_date, item.service_period_end_date
    assert start is not None, "what is rated has a service period"
    assert end is not None, "what is rated has a service period"
    cuts = cuts_of(terms.credits, Period(start, end))
    marks = [each for each in line.parts if each.until in cuts] or _by_days(line, Period(start, end), cuts, terms.zone)
    exact = item.subtotal if line.exact is None else line.exact
    conversion = terms.conversion(item.currency)
    found: list[Portion] = []
    before = UpTo(until=start, exact=ZERO, quantity=ZERO, units=ZERO)
    paid = billed = ZERO
    for mark in (*rising(marks, exact), UpTo(until=end, exact=exact, quantity=item.quantity, units=item.units)):
        last = mark.until == end
        so_far = item.subtotal if last else conversion.money(mark.exact)
        billed_so_far = item.converted_subtotal if last else conversion.converted(mark.exact)
        found.append(
            Portion(
                line=line,
                start=before.until,
                end=mark.until,
                money=subtract(so_far, paid),
                left=subtract(so_far, paid),
                billed=subtract(billed_so_far, billed),
                rounding=conversion.from_rounding,
                before=before,
                after=mark,
            )
        )
        before, paid, billed = mark, so_far, billed_so_far
    return found


def _by_days(line: RatedLine, service: Period, cuts: Sequence[Instant], zone: str) -> list[UpTo]:
    """What a line that is no usage comes to up to each cut: its share of the days of its service."""
    exact = line.item.subtotal if line.exact is None else line.exact
    whole = _days(service, zone)

    def share(of: Decimal, days: int) -> Decimal:
        return divide(multiply(of, Decimal(days)), Decimal(whole)) if whole else ZERO

    return [
        UpTo(until=cut, exact=share(exact, days), quantity=ZERO, units=share(line.item.units, days))
        for cut in cuts
        for days in [_days(Period(service.start, cut), zone)]
    ]


def _days(period: Period, zone: str) -> int:
    return (local_day(period.end, zone) - local_day(period.start, zone)).days


# ------------------------------------------------------------------------------------------------------ netting


def net(portions: Sequence[Portion]) -> None:
    """Take what lines give back (credits, refunds, discounts) off the charges, so that no credit pays for it.

    It is taken off charges of the same pricing, then of the same product, then of the whole bill (the last only where
    it is not a refund of a minimum): those of the same time first.
    """
    charges = [each for each in portions if each.billed > 0 and each.type in PAYABLE]
    for gift in (each for each in portions if each.billed < 0 and each.type not in APART):
        for charge in sorted(charges, key=lambda each: _distance(gift, each)):
            if gift.billed >= 0 or not _concerns(gift, charge):
                break
            given = min(negate(gift.billed), charge.billed)
            own = charge.left
            if given < charge.billed:
                own = min(round_money(divide(given, charge.rate), charge.rounding), charge.left)
            charge.left, charge.billed = subtract(charge.left, own), subtract(charge.billed, given)
            gift.billed = subtract(gift.billed, negate(given))


def _distance(gift: Portion, charge: Portion) -> tuple[int, bool]:
    """How far a charge is from what is given back: by what it is for, then by time."""
    mine, its = gift.line.item, charge.line.item
    if mine.pricing_id is not None and mine.pricing_id == its.pricing_id:
        place = 0
    elif mine.product_id is not None and mine.product_id == its.product_id:
        place = 1
    else:
        place = 2
    return place, not (gift.start < charge.end and charge.start < gift.end)


def _concerns(gift: Portion, charge: Portion) -> bool:
    product = gift.line.item.product_id
    if gift.line.item.line_item_type is not LineItemType.MINIMUM_SPEND_REFUND or product is None:
        return True
    return product == charge.line.item.product_id
