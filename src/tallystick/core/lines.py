"""The lines of a bill: drafts with exact amounts, and the one place where they become money.

Whatever is charged becomes a `Draft` first: usage, recurring charges, fees. An amount is exact until its line is
finished; there it is rounded, once, in the currency it is priced in and, converted, in that of the bill.
(source: reference 3.3, 3.12)
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core.account import Account
from tallystick.core.bill import BandUsage, LineItem, LineItemType, line_id
from tallystick.core.catalog import PricingType, Product
from tallystick.core.conversion import Conversion
from tallystick.core.entity import Entity
from tallystick.core.period import Instant, Period
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ONE, ZERO, divide, multiply, tidy, tidy_setting
from tallystick.core.scope import segment_map
from tallystick.core.terms import AccountPlanTerms
from tallystick.core.wire import encode
from tallystick.core.working import Converted, Rounded, Steps, Working


class UpTo(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a line would come to if its service ended at a moment inside it: exact, in the line's currency."""

    until: Instant
    exact: Decimal
    quantity: Decimal
    units: Decimal


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """What one account of a pool has used, in the aggregation's own number and in units of the price list.

    `fee` is what its events come to, where each is priced by itself: money is split by it, and else by units.
    """

    account: Entity[Account]
    child: bool
    value: Decimal
    units: Decimal
    fee: Decimal | None = None

    @property
    def weight(self) -> Decimal:
        return self.units if self.fee is None else self.fee


class RatedLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A line of a bill and the steps that made it.

    `parts` says what usage comes to up to each moment at which credit or a discount begins or ends, in order; a line
    without parts is cut by days. `exact` is its amount before rounding, where that is known. An adjustment
    `counts_as` a line of the type that it adjusts, where credit is to pay.
    """

    item: LineItem
    working: Working
    exact: Decimal | None = None
    parts: tuple[UpTo, ...] = ()
    counts_as: LineItemType | None = None


class Draft(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A line before it becomes money: `exact` is in the currency that `conversion` starts from; `bands` are not
    converted yet.

    What no account plan charges says instead what the line is `of` (an id, unique with its type and the start of its
    service), and `fields` has what else the line item shows, by Python name.
    """

    conversion: Conversion
    type: LineItemType
    description: str
    service: Period
    exact: Decimal
    working: tuple[Steps, ...]
    accounting_product: Entity[Product] | None
    account_plan: AccountPlanTerms | None = None
    of: str = ""
    fields: dict[str, Any] = {}
    quantity: Decimal = ONE
    units: Decimal = ONE
    unit: str = ""
    price: PriceTerms | None = None
    segment: tuple[str, ...] = ()
    bands: tuple[BandUsage, ...] | None = None
    parts: tuple[UpTo, ...] = ()
    counts_as: LineItemType | None = None  # where it is an adjustment of a line of that type
    portions: tuple[Portion, ...] = ()  # of a pool whose line is broken down by account

    @property
    def key(self) -> str:
        """What the line is for: unique on the bill."""
        owner = self.account_plan.id if self.account_plan else self.of
        of = self.price.pricing.id if self.price else self.of if self.account_plan else ""
        return line_key(self.type, owner, of, self.service.start, self.segment)

    @property
    def product(self) -> Entity[Product] | None:
        """The product that the line belongs to: the plan's."""
        return self.account_plan.plan.product if self.account_plan else None

    @property
    def credit(self) -> PricingType | None:
        """The kind of credit that the line gives, if it gives one."""
        return self.price.pricing.value.type if self.price and self.type is LineItemType.USAGE_CREDIT else None


def line_key(type_: LineItemType, owner: str, of: str, start: Instant, segment: Sequence[str] = ()) -> str:
    """What a line is for, as a text: of the `owner` (an account plan), for what it charges `of` it (a pricing)."""
    return encode((type_, owner, of, start.wire(), *segment)).decode()


def finished(of_bill: str, draft: Draft, number: int) -> RatedLine:
    """Where a line becomes money: the one rounding. `number` is its place on the bill `of_bill` (an id)."""
    conversion = draft.conversion
    subtotal, converted = conversion.money(draft.exact), conversion.converted(draft.exact)
    item = LineItem(
        id=line_id(of_bill, draft.key),
        line_item_type=draft.type,
        description=draft.description,
        quantity=draft.quantity,
        units=draft.units,
        unit=draft.unit,
        subtotal=subtotal,
        average_unit_price=divide(subtotal, draft.units) if draft.units else ZERO,
        currency=conversion.from_currency,
        conversion_rate=tidy_setting(conversion.rate),
        converted_subtotal=converted,
        sequence_number=number,
        service_period_start_date=draft.service.start,
        service_period_end_date=draft.service.end,
        usage_per_pricing_band=_converted_bands(draft.bands, conversion.rate),
        **_fields(draft),
    )
    working = (*draft.working, *money_steps(draft.exact, conversion, item))
    return RatedLine(item=item, working=working, exact=draft.exact, parts=draft.parts, counts_as=draft.counts_as)


def _fields(draft: Draft) -> dict[str, Any]:
    """What a line is for, as the fields of a line item."""
    fields = product_fields(draft.product) | product_fields(draft.accounting_product, "accounting_product")
    if draft.price:
        fields |= price_fields(draft.price)
        fields["segment"] = segment_map(draft.price.segmented_fields, draft.segment)
    if draft.account_plan:
        fields["plan_id"] = draft.account_plan.plan.plan.id
        fields["contract_id"] = draft.account_plan.account_plan.value.contract_id
        fields["plan_group_id"] = draft.account_plan.group.id if draft.account_plan.group else None
    return fields | draft.fields if draft.fields else fields


def price_fields(price: PriceTerms) -> dict[str, Any]:
    """What is priced, and by which pricing, as the fields of a line item."""
    fields = {"pricing_id": price.pricing.id}
    if price.compound is not None:
        return fields | {"compound_aggregation_id": price.priced.id}
    return fields | {"aggregation_id": price.priced.id, "meter_id": price.aggregation.value.meter_id}


def product_fields(product: Entity[Product] | None, prefix: str = "product") -> dict[str, Any]:
    """Id, name and code of a product as the fields of a line item; none without a product."""
    if product is None:
        return {}
    return {f"{prefix}_id": product.id, f"{prefix}_name": product.value.name, f"{prefix}_code": product.value.code}


def money_steps(exact: Decimal, conversion: Conversion, item: LineItem) -> tuple[Steps, ...]:
    """How an exact amount became the money of a line."""
    rounded = Rounded(
        exact=exact,
        currency=conversion.from_currency,
        mode=conversion.from_rounding.mode,
        decimals=conversion.from_rounding.decimals,
        amount=item.subtotal,
    )
    if conversion.from_currency == conversion.to_currency:
        return (rounded,)
    converted = tidy(multiply(exact, conversion.rate))
    changed = Converted(
        exact=exact,
        from_currency=conversion.from_currency,
        to_currency=conversion.to_currency,
        rate=tidy(conversion.rate),
        amount=converted,
    )
    payable = Rounded(
        exact=converted,
        currency=conversion.to_currency,
        mode=conversion.to_rounding.mode,
        decimals=conversion.to_rounding.decimals,
        amount=item.converted_subtotal,
    )
    return rounded, changed, payable


def _converted_bands(bands: tuple[BandUsage, ...] | None, rate_: Decimal) -> tuple[BandUsage, ...] | None:
    if bands is None or rate_ == ONE:
        return bands
    return tuple(
        msgspec.structs.replace(band, converted_band_subtotal=tidy(multiply(band.band_subtotal, rate_)))
        for band in bands
    )


def rising(marks: Sequence[UpTo], exact: Decimal) -> list[UpTo]:
    """Amounts up to each mark that only ever approach the line's: what is between two of them never gives
    back what came before took.

    (Where a price falls with volume, or a maximum falls back, the amount so far may exceed that of the whole.)
    """
    found: list[UpTo] = []
    so_far = ZERO
    for mark in marks:
        inside = min(max(mark.exact, so_far), exact) if exact >= 0 else max(min(mark.exact, so_far), exact)
        so_far = inside
        found.append(UpTo(until=mark.until, exact=inside, quantity=mark.quantity, units=mark.units))
    return found
