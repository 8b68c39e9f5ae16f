"""One price of one quantity, with its working: tiered, volume and stairstep bands (source: reference 3.2).

A band reaches from its own lower limit (exclusive) to the next band's (inclusive): a quantity equal to a limit belongs
to the lower band. Everything is exact; rounding happens later, when a line becomes money.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallystick.core.catalog import PricingBand
from tallystick.core.quantity import ZERO, add, multiply, negate, subtract, tidy, total


class BandShare(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one band contributed: `subtotal` = `fixed_subtotal` + `unit_subtotal`.

    `band` is its index in the price list; `lower_limit`, `fixed_price` and `unit_price` are copied from there.
    `quantity` is in units; `unit_subtotal` = quantity × unit price; `fixed_subtotal` is what was charged of the fixed
    price (all, nothing, or minus it in a credit). Amounts are exact and in the pricing's currency.
    """

    band: int
    lower_limit: Decimal
    fixed_price: Decimal
    unit_price: Decimal
    quantity: Decimal
    fixed_subtotal: Decimal
    unit_subtotal: Decimal
    subtotal: Decimal


class Priced(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The price of a quantity, and the bands it was made of, in rising order: their subtotals add up to it."""

    subtotal: Decimal
    bands: tuple[BandShare, ...]


def price_bands(quantity: Decimal, bands: Sequence[PricingBand], cumulative: bool) -> Priced:
    """The price of `quantity` units.

    Cumulative (tiered): each band reached gives its fixed price plus its unit price for the units inside it. Otherwise
    (volume, stairstep): the highest band reached gives its fixed price plus its unit price for all units. A quantity
    of 0 is in the first band if that starts at 0, and pays its fixed price; at or below a first limit above 0 nothing
    is due. A negative quantity is a credit: price(−q) = −price(q). `bands` must rise, as a Pricing's do.
    """
    assert bands, "a price list has at least one band"
    if quantity < 0:
        return _mirrored(price_bands(quantity.copy_negate(), bands, cumulative))
    reached = _reached(quantity, bands)
    if reached == 0:
        return Priced(subtotal=ZERO, bands=())
    if not cumulative:
        share = _share(reached - 1, bands, quantity, bands[reached - 1].fixed_price)
        return Priced(subtotal=share.subtotal, bands=(share,))
    shares = []
    for index in range(reached):
        top = quantity if index == reached - 1 else bands[index + 1].lower_limit
        shares.append(_share(index, bands, subtract(top, bands[index].lower_limit), bands[index].fixed_price))
    return _priced(shares)


def price_span(before: Decimal | None, after: Decimal, bands: Sequence[PricingBand], cumulative: bool) -> Priced:
    """What growing from `before` to `after` units costs: price(after) − price(before), band by band.

    Used where bands span the life of a plan (tiersSpanPlan). `before` is None as long as nothing was priced, which
    costs nothing; a `before` of 0 was priced, and has paid the first band's fixed price. So the spans of any split add
    up to the price of the whole. Bands without a difference are left out; leaving a volume band gives back what it
    had charged.
    """
    new = price_bands(after, bands, cumulative)
    if before is None:
        return new
    old = {share.band: share for share in price_bands(before, bands, cumulative).bands}
    now = {share.band: share for share in new.bands}
    shares = []
    for index in sorted(old.keys() | now.keys()):
        quantity = subtract(_quantity(now.get(index)), _quantity(old.get(index)))
        fixed = subtract(_fixed(now.get(index)), _fixed(old.get(index)))
        if quantity or fixed:
            shares.append(_share(index, bands, quantity, fixed))
    return _priced(shares)


def _reached(quantity: Decimal, bands: Sequence[PricingBand]) -> int:
    """How many bands a quantity of 0 or more reaches into."""
    reached = 0
    for band in bands:
        if band.lower_limit >= quantity:
            break
        reached += 1
    if reached == 0 and not quantity and not bands[0].lower_limit:
        return 1
    return reached


def _share(index: int, bands: Sequence[PricingBand], quantity: Decimal, fixed: Decimal) -> BandShare:
    band = bands[index]
    units = multiply(quantity, band.unit_price)
    return BandShare(
        band=index,
        lower_limit=band.lower_limit,
        fixed_price=band.fixed_price,
        unit_price=band.unit_price,
        quantity=tidy(quantity),
        fixed_subtotal=tidy(fixed),
        unit_subtotal=tidy(units),
        subtotal=tidy(add(fixed, units)),
    )


def _priced(shares: Sequence[BandShare]) -> Priced:
    return Priced(subtotal=tidy(total(share.subtotal for share in shares)), bands=tuple(shares))


def _mirrored(priced: Priced) -> Priced:
    return Priced(
        subtotal=negate(priced.subtotal),
        bands=tuple(
            msgspec.structs.replace(
                share,
                quantity=negate(share.quantity),
                fixed_subtotal=negate(share.fixed_subtotal),
                unit_subtotal=negate(share.unit_subtotal),
                subtotal=negate(share.subtotal),
            )
            for share in priced.bands
        ),
    )


def _quantity(share: BandShare | None) -> Decimal:
    return share.quantity if share else ZERO


def _fixed(share: BandShare | None) -> Decimal:
    return share.fixed_subtotal if share else ZERO
