"""Usage beyond credit: a surcharge on it, other prices for it, or a line of its own for it.

Source: reference 3.6, 3.7. A surcharge takes the place of other prices; which credit's rule holds where several ran
out is docs/decisions/0122-usage-beyond-credit.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.bands import BandShare, price_bands, price_span
from tallystick.core.bill import BandUsage, LineItem, LineItemType, line_id
from tallystick.core.catalog import PricingBand
from tallystick.core.credit import Credit, pays_for
from tallystick.core.lines import RatedLine, money_steps, product_fields
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.portion import Portion
from tallystick.core.quantity import ONE, ZERO, add, divide, multiply, subtract, tidy, total
from tallystick.core.terms import Terms
from tallystick.core.wire import encode
from tallystick.core.working import Exceeded, Priced, PricedBand, Steps, Surcharged

HUNDRED = Decimal(100)
Span = tuple[Decimal, Decimal]  # of units of a line, from and to


@dataclass(slots=True)
class _Beyond:
    """The part of one usage line that goes beyond one credit: spans of its units, and what they cost at its rates."""

    line: RatedLine
    credit: Credit
    price: PriceTerms | None
    spans: list[Span]
    left: Decimal
    billed: Decimal

    @property
    def units(self) -> Decimal:
        return tidy(total(subtract(end, start) for start, end in self.spans))


def overage_lines(
    terms: Terms, lines: Sequence[RatedLine], portions: Sequence[Portion]
) -> tuple[list[RatedLine], list[RatedLine]]:
    """The lines without the usage that is charged on a line of its own; and the lines of what is beyond credit.

    `portions` say what no credit has paid for. Lines that move wholly are left out of the first list.
    """
    prices = {price.pricing.id: price for each in terms.account_plans for price in each.plan.prices}
    surcharged: dict[tuple[str, str], list[Portion]] = {}
    beyond: dict[tuple[str, str], _Beyond] = {}
    by_id = {credit.id: credit for credit in terms.credits}
    for portion in portions:
        item = portion.line.item
        price = prices.get(item.pricing_id or "")
        credit = _ruling(terms.credits, portion, price)
        if credit is None:
            continue
        if credit.surcharge:
            surcharged.setdefault((credit.id, item.currency), []).append(portion)
            continue
        found = beyond.setdefault((item.id, credit.id), _Beyond(portion.line, credit, price, [], ZERO, ZERO))
        found.spans.append(_span(portion, price))
        found.left, found.billed = add(found.left, portion.left), add(found.billed, portion.billed)
    kept = [each for line in lines if (each := _without(line, list(beyond.values()))) is not None]
    of_their_own = [_usage(terms, each) for each in beyond.values()]
    surcharges = [_surcharge(terms, by_id[id_], of) for (id_, _), of in surcharged.items()]
    return kept, [*of_their_own, *(line for line in surcharges if line is not None)]


def _ruling(credits: Sequence[Credit], portion: Portion, price: PriceTerms | None) -> Credit | None:
    """The credit whose rule holds for usage that is left to pay: the last one drawn that is for it and has a rule.

    Usage that comes to no money is left where no credit was, when its turn came; a surcharge on nothing is nothing.
    """
    free = portion.free and not portion.held
    if portion.line.item.line_item_type is not LineItemType.USAGE or not (portion.billed > 0 or free):
        return None
    for credit in reversed(credits):
        inside = credit.window.start <= portion.start < credit.window.end
        if inside and not credit.overdraft and pays_for(credit, portion.line.item, portion.type):
            separate = credit.commitment is not None and credit.commitment.separate_overage_usage
            if credit.surcharge or separate or _bands(price):
                return None if free and credit.surcharge else credit
    return None


def _bands(price: PriceTerms | None) -> tuple[PricingBand, ...]:
    """The prices of usage beyond credit, where a pricing has them."""
    return (price.pricing.value.overage_pricing_bands or ()) if price else ()


# ------------------------------------------------------------------------------------------------------ surcharge


def _surcharge(terms: Terms, credit: Credit, portions: Sequence[Portion]) -> RatedLine | None:
    """One line for all usage in one currency that is beyond a credit; None where it comes to nothing."""
    percent = credit.surcharge
    assert percent is not None, "a credit without a surcharge has no line for it"
    conversion = terms.conversion(portions[0].currency)
    base = tidy(total(each.left for each in portions))
    exact = divide(multiply(base, percent), HUNDRED)
    if not conversion.money(exact):
        return None
    items = [each.line.item for each in portions]
    accounting = credit.product(credit.commitment.accounting_product_id) if credit.commitment else None
    fields = _shared(items, "product") | _shared(items, "accounting_product")
    fields |= product_fields(accounting, "accounting_product")
    item = _item(
        terms,
        credit,
        LineItemType.OVERAGE_SURCHARGE,
        conversion.from_currency,
        description=_description(credit) or "Overage Surcharge",
        subtotal=conversion.money(exact),
        average_unit_price=tidy(conversion.money(exact)),
        converted_subtotal=conversion.converted(exact),
        conversion_rate=tidy(conversion.rate),
        service_period_start_date=min(each.start for each in portions),
        service_period_end_date=max(each.end for each in portions),
        **fields,
    )
    step = Surcharged(credit=credit.name, base=base, percent=tidy(percent), amount=tidy(exact))
    return RatedLine(item=item, working=(step, *money_steps(exact, conversion, item)), exact=exact)


def _description(credit: Credit) -> str | None:
    text: str | None = credit.entity.value.overage_description
    return text


def _shared(items: Sequence[LineItem], prefix: str) -> dict[str, Any]:
    """The product of the lines where they all have the same one."""
    names = [f"{prefix}_{each}" for each in ("id", "name", "code")]
    found = {tuple(getattr(item, name) for name in names) for item in items}
    return dict(zip(names, found.pop(), strict=True)) if len(found) == 1 else {}


def _item(terms: Terms, credit: Credit, type_: LineItemType, of: str, **fields: Any) -> LineItem:
    """A line item of usage beyond a credit; `of` makes it unique among those."""
    own = {"commitment_id": credit.id} if credit.commitment else {"balance_id": credit.id}
    values: dict[str, Any] = {"quantity": ONE, "units": ONE, "unit": "", "sequence_number": 0, "currency": of}
    id_ = line_id(terms.bill_id, encode((type_, credit.id, of)).decode())
    return LineItem(id=id_, line_item_type=type_, **(values | own | fields))


# ------------------------------------------------------------------------------------------------------ own lines


def _usage(terms: Terms, beyond: _Beyond) -> RatedLine:
    """The line of usage beyond a credit: at its own prices where the pricing has them, else at the same rates."""
    old, units, bands = beyond.line.item, beyond.units, _bands(beyond.price)
    conversion = terms.conversion(old.currency)
    quantity = _share(old.quantity, units, old.units)
    step = _exceeded(beyond)
    if bands:
        priced = price_bands(units, bands, cumulative=True)
        exact, shares = priced.subtotal, priced.bands
        subtotal, converted = conversion.money(exact), conversion.converted(exact)
    else:
        exact, shares = beyond.left, tuple(_shares(beyond))
        subtotal, converted = beyond.left, beyond.billed
    of = bands or (beyond.price.pricing.value.pricing_bands if beyond.price else ())
    item = msgspec.structs.replace(
        old,
        id=line_id(terms.bill_id, encode((LineItemType.OVERAGE_USAGE, beyond.credit.id, old.id)).decode()),
        line_item_type=LineItemType.OVERAGE_USAGE,
        description=_description(beyond.credit) or f"{old.description} (overage)",
        quantity=quantity,
        units=units,
        subtotal=subtotal,
        average_unit_price=divide(subtotal, units) if units else ZERO,
        converted_subtotal=converted,
        commitment_id=beyond.credit.id if beyond.credit.commitment else None,
        balance_id=beyond.credit.id if beyond.credit.balance else None,
        usage_per_pricing_band=_usage_of(shares, of, old, quantity, units) if shares else None,
    )
    working: tuple[Steps, ...] = (step,)
    if bands:
        working = (step, _priced(shares, units), *money_steps(exact, conversion, item))
    return RatedLine(item=item, working=working, exact=exact)


def _without(line: RatedLine, beyond: Sequence[_Beyond]) -> RatedLine | None:
    """A usage line without what goes beyond credit; None when nothing is left of it."""
    mine = [each for each in beyond if each.line is line]
    if not mine:
        return line
    old = line.item
    units = tidy(subtract(old.units, total(each.units for each in mine)))
    subtotal = subtract(old.subtotal, total(each.left for each in mine))
    converted = subtract(old.converted_subtotal, total(each.billed for each in mine))
    if not subtotal and not converted and not units:
        return None
    item = msgspec.structs.replace(
        old,
        quantity=tidy(subtract(old.quantity, total(_share(old.quantity, each.units, old.units) for each in mine))),
        units=units,
        subtotal=subtotal,
        converted_subtotal=converted,
        average_unit_price=divide(subtotal, units) if units else ZERO,
        usage_per_pricing_band=_bands_left(old, mine, subtotal),
    )
    return RatedLine(item=item, working=(*line.working, *map(_exceeded, mine)), exact=subtotal)


def _exceeded(beyond: _Beyond) -> Exceeded:
    item = beyond.line.item
    return Exceeded(
        credit=beyond.credit.name,
        amount=item.subtotal,
        covered=subtract(item.subtotal, beyond.left),
        beyond=beyond.left,
        units=item.units,
        units_beyond=beyond.units,
    )


def _share(of: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    if part == whole:
        return of
    return divide(multiply(of, part), whole) if whole else ZERO


# ------------------------------------------------------------------------------------------------------ units


def _span(portion: Portion, price: PriceTerms | None) -> Span:
    """The units of a portion that no credit has paid for: its last ones.

    What is paid is money, so what rounding took off the exact amount is nobody's payment.
    """
    before, after = portion.before, portion.after
    whole = subtract(after.exact, before.exact)
    covered = max(min(subtract(portion.money, portion.left), whole), ZERO)
    if not covered or not whole:
        return before.units, after.units
    if _tiered(price, after.units, after.exact) and price is not None:
        found = _units_for(add(before.exact, covered), price.pricing.value.pricing_bands)
        return tidy(min(max(found, before.units), after.units)), after.units
    units = subtract(after.units, before.units)
    return tidy(add(before.units, divide(multiply(units, covered), whole))), after.units


def _tiered(price: PriceTerms | None, units: Decimal, amount: Decimal) -> bool:
    """Whether an amount is the plain price of units by tiers, so that it can be read backwards."""
    if price is None or units <= 0 or not price.pricing.value.cumulative or price.pricing.value.tiers_span_plan:
        return False
    bands = price.pricing.value.pricing_bands
    rising = all(band.unit_price >= 0 and band.fixed_price >= 0 for band in bands)
    return rising and price_bands(units, bands, cumulative=True).subtotal == tidy(amount)


def _units_for(amount: Decimal, bands: Sequence[PricingBand]) -> Decimal:
    """How many units an amount buys by tiers, bands of rising limits with prices of 0 or more."""
    cost = ZERO
    for index, band in enumerate(bands):
        cost = add(cost, band.fixed_price)
        if amount <= cost:
            return band.lower_limit
        top = bands[index + 1].lower_limit if index + 1 < len(bands) else None
        if band.unit_price:
            whole = None if top is None else multiply(subtract(top, band.lower_limit), band.unit_price)
            if whole is None or amount <= add(cost, whole):
                return add(band.lower_limit, divide(subtract(amount, cost), band.unit_price))
            cost = add(cost, whole)
    return bands[-1].lower_limit


# ------------------------------------------------------------------------------------------------------ bands


def _shares(beyond: _Beyond) -> Iterator[BandShare]:
    """The bands of the units beyond, at the line's own tiers; none where they cannot be told apart."""
    price, item = beyond.price, beyond.line.item
    exact = beyond.line.exact
    if price is None or exact is None or not _tiered(price, item.units, exact):
        return
    bands = price.pricing.value.pricing_bands
    for start, end in beyond.spans:
        yield from price_span(start or None, end, bands, cumulative=True).bands


def _bands_left(item: LineItem, beyond: Sequence[_Beyond], subtotal: Decimal) -> tuple[BandUsage, ...] | None:
    """The bands of a line without those of the units beyond; where these are not known, each in proportion."""
    if item.usage_per_pricing_band is None:
        return None
    taken: dict[Decimal, list[BandShare]] = {}
    for each in beyond:
        shares = list(_shares(each))
        if not shares and each.units:
            share = divide(subtotal, item.subtotal) if item.subtotal else ZERO
            return tuple(_scaled(band, share) for band in item.usage_per_pricing_band)
        for one in shares:
            taken.setdefault(tidy(one.lower_limit), []).append(one)
    left = (_less(band, taken.get(tidy(band.lower_limit), [])) for band in item.usage_per_pricing_band)
    return tuple(band for band in left if band.band_units or band.band_subtotal)


def _less(band: BandUsage, shares: Sequence[BandShare]) -> BandUsage:
    if not shares:
        return band
    units = tidy(subtract(band.band_units, total(each.quantity for each in shares)))
    of_units = tidy(subtract(band.unit_subtotal, total(each.unit_subtotal for each in shares)))
    subtotal = tidy(subtract(band.band_subtotal, total(each.subtotal for each in shares)))
    converted = _share(band.converted_band_subtotal, subtotal, band.band_subtotal)
    quantity = _share(band.band_quantity, units, band.band_units)
    return msgspec.structs.replace(
        band,
        band_quantity=quantity,
        band_units=units,
        unit_subtotal=of_units,
        band_subtotal=subtotal,
        converted_band_subtotal=converted,
    )


def _scaled(band: BandUsage, share: Decimal) -> BandUsage:
    names = ("band_quantity", "band_units", "unit_subtotal", "band_subtotal", "converted_band_subtotal")
    return msgspec.structs.replace(band, **{name: tidy(multiply(getattr(band, name), share)) for name in names})


def _usage_of(
    shares: Sequence[BandShare], bands: Sequence[PricingBand], item: LineItem, quantity: Decimal, units: Decimal
) -> tuple[BandUsage, ...]:
    return tuple(
        BandUsage(
            pricing_band_id=bands[share.band].id,
            lower_limit=tidy(share.lower_limit),
            fixed_price=tidy(share.fixed_price),
            unit_price=tidy(share.unit_price),
            band_quantity=_share(quantity, share.quantity, units),
            band_units=share.quantity,
            unit_subtotal=share.unit_subtotal,
            band_subtotal=share.subtotal,
            converted_band_subtotal=tidy(multiply(share.subtotal, item.conversion_rate)),
            credit_type_id=bands[share.band].credit_type_id,
        )
        for share in shares
    )


def _priced(shares: Sequence[BandShare], units: Decimal) -> Priced:
    return Priced(
        cumulative=True,
        units=units,
        bands=tuple(
            PricedBand(
                lower_limit=tidy(share.lower_limit),
                units=share.quantity,
                unit_price=tidy(share.unit_price),
                fixed=share.fixed_subtotal,
                amount=share.subtotal,
            )
            for share in shares
        ),
        amount=tidy(total(share.subtotal for share in shares)),
    )
