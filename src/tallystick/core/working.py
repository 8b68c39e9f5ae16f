"""The working of a bill line: the typed steps that made its amount, kept with it so that it can be explained.

Every number is exact and carries its meaning in its step; `core.explain` turns steps into plain English.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Method, TimeUnit, UnitRounding
from tallystick.core.catalog import PricingType
from tallystick.core.money import RoundingMode
from tallystick.core.period import Instant
from tallystick.core.step import Step
from tallystick.core.working_agreed import Agreed, Changed, Granted, Held, PutRight
from tallystick.core.working_forms import Allowed, Limited, LookedUp, OverMaximum, Packaged, PerEvent, ShareOf


class Counted(Step, frozen=True, kw_only=True, tag="counted"):
    """A number measured over a window: `total` over `count` measurements of `field`.

    `value` is total / count for MEAN and `total` otherwise; with `count` 0 it is the aggregation's default value.
    `segment` holds the text values that the measurements were restricted to, by field code. A gauge's values are
    those of the window and the one that held when it began; time-weighted, `total` is value × microseconds held and
    `value` is in `time_unit` (or the mean over the window).
    """

    method: Method
    meter: str  # the meter's code
    field: str
    start: Instant
    end: Instant
    total: Decimal
    count: int
    value: Decimal
    unit: str  # of the field, or empty
    segment: dict[str, str] | None = None
    percentile: Decimal | None = None
    gauge: bool = False
    gauge_field: str | None = None  # there is a gauge for each of its values
    time_unit: TimeUnit | None = None
    correlation_field: str | None = None  # measurements that have it in common are one unit …
    success_filter: str | None = None  # … if this is true of one of them …
    window_seconds: int | None = None  # … and that long at most after the first; None: all of the window


class NamedValue(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """An aggregation inside a calculation: its exact base value over `count` measurements; null when it has none."""

    name: str  # aggregation.<code>
    value: Decimal | None
    count: int


class Computed(Step, frozen=True, kw_only=True, tag="computed"):
    """A number that a calculation made of aggregations over a window.

    `segment` holds the text values that the aggregations were restricted to, by field code. `lookups` says which
    revision (by name) of each lookup table (by code) was read, `custom` what the custom fields were, texts in quotes.
    """

    calculation: str
    inputs: tuple[NamedValue, ...]
    start: Instant
    end: Instant
    value: Decimal
    segment: dict[str, str] | None = None
    lookups: dict[str, str] | None = None
    custom: dict[str, str] | None = None


class Chosen(Step, frozen=True, kw_only=True, tag="chosen"):
    """The pricing holds because its condition is true of the aggregations over a window."""

    condition: str
    inputs: tuple[NamedValue, ...]
    start: Instant
    end: Instant


class Divided(Step, frozen=True, kw_only=True, tag="divided"):
    """units = value / quantityPerUnit, rounded to whole units where the aggregation says so."""

    value: Decimal
    quantity_per_unit: Decimal
    rounding: UnitRounding
    units: Decimal
    unit: str


class Discounted(Step, frozen=True, kw_only=True, tag="discounted"):
    """A discount on charges of `base`: `percent` of them, or `full` for a whole billing period, of which `days` of
    `of_days` are in its time; never more than the charges. In the currency of the bill."""

    base: Decimal
    percent: Decimal | None = None
    full: Decimal | None = None
    days: int = 0
    of_days: int = 0
    amount: Decimal


class Protected(Step, frozen=True, kw_only=True, tag="protected"):
    """Charges may come to `limit` at most: `percent` above `baseline` (of `currency`), for `days` of `of_days`.

    `charges` are for `served_days`; `own` is the protected days' part of them. What is above the limit is `amount`.
    """

    baseline: Decimal
    percent: Decimal
    currency: str
    limit: Decimal
    charges: Decimal
    own: Decimal
    days: int
    served_days: int
    of_days: int
    amount: Decimal


class PricedBand(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """The arithmetic of one band: units x unitPrice + fixed = amount. `fixed` is what is charged of the fixed price."""

    lower_limit: Decimal
    units: Decimal
    unit_price: Decimal
    fixed: Decimal
    amount: Decimal


class Priced(Step, frozen=True, kw_only=True, tag="priced"):
    """Units priced by bands: each band reached when `cumulative`, else all units at the highest band reached."""

    cumulative: bool
    units: Decimal
    bands: tuple[PricedBand, ...]
    amount: Decimal


class Spanned(Step, frozen=True, kw_only=True, tag="spanned"):
    """Bands that span the plan: this window takes the units from `units_before` (since `start`) to `units_after`.

    Its amount is the price of all units so far less the price of those before; the step `priced` that follows shows
    the difference band by band. `value_before` is the quantity before the window where it can be added to (SUM, COUNT).
    """

    start: Instant
    value_before: Decimal | None = None
    units_before: Decimal
    amount_before: Decimal
    units_after: Decimal
    amount_after: Decimal


class Credited(Step, frozen=True, kw_only=True, tag="credited"):
    """A credit pricing: the amount is given back, up to `cap`, what its charges come to."""

    type: PricingType
    credit: Decimal
    cap: Decimal
    amount: Decimal


class Prorated(Step, frozen=True, kw_only=True, tag="prorated"):
    """A charge for a whole period, of which `days` of `of_days` are served: full x days / of_days."""

    full: Decimal
    start: Instant
    end: Instant
    days: int
    of_days: int
    amount: Decimal


class ToppedUp(Step, frozen=True, kw_only=True, tag="toppedUp"):
    """A minimum less the charges that count towards it."""

    minimum: Decimal
    charges: Decimal
    amount: Decimal


class Refunded(Step, frozen=True, kw_only=True, tag="refunded"):
    """A minimum paid in advance is given back as far as charges have been made: min(minimum, charges)."""

    minimum: Decimal
    charges: Decimal
    amount: Decimal


class Rounded(Step, frozen=True, kw_only=True, tag="rounded"):
    """The one rounding: the exact amount becomes money of a currency."""

    exact: Decimal
    currency: str
    mode: RoundingMode
    decimals: int
    amount: Decimal


class Converted(Step, frozen=True, kw_only=True, tag="converted"):
    """The exact, unrounded amount in the currency of the bill."""

    exact: Decimal
    from_currency: str
    to_currency: str
    rate: Decimal
    amount: Decimal


class DrawnCharge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a credit pays of one charge, in the credit's currency."""

    description: str
    amount: Decimal


class Drawn(Step, frozen=True, kw_only=True, tag="drawn"):
    """A credit pays for charges: `opening` was there to draw, of which `amount` is drawn and `left` remains.

    All in `currency`, the credit's; `converted` is what it pays in the currency of the bill, where that is another.
    What is carried over a balance's end may be limited to `limit`.
    """

    credit: str
    currency: str
    opening: Decimal
    charges: tuple[DrawnCharge, ...]
    amount: Decimal
    left: Decimal
    carried_over: bool = False
    limit: Decimal | None = None
    converted: Decimal | None = None
    converted_currency: str | None = None


class Surcharged(Step, frozen=True, kw_only=True, tag="surcharged"):
    """A percentage of the usage charges that credit did not cover: base x percent / 100."""

    credit: str
    base: Decimal
    percent: Decimal
    amount: Decimal


class Exceeded(Step, frozen=True, kw_only=True, tag="exceeded"):
    """Of a usage charge, credit covered `covered` of `amount`; the units beyond, `beyond` at the same rates, are
    charged on a line of their own."""

    credit: str
    amount: Decimal
    covered: Decimal
    beyond: Decimal
    units: Decimal
    units_beyond: Decimal


class FeeShare(Step, frozen=True, kw_only=True, tag="feeShare"):
    """Fee `number` of `fees` of a commitment: what of `amount` was not paid beforehand, spread over its bills.

    `first` is what the first bill was agreed to take; what is due so far is rounded.
    """

    amount: Decimal
    prepaid: Decimal
    number: int
    fees: int
    first: Decimal | None = None
    fee: Decimal


class FeeAgreed(Step, frozen=True, kw_only=True, tag="feeAgreed"):
    """A fee of a commitment that was agreed for a day."""

    day: date
    fee: Decimal


class Apportioned(Step, frozen=True, kw_only=True, tag="apportioned"):
    """The share of one account (its code) in what a pool is charged, in proportion to units; or to what its events come
    to, where each is priced by itself."""

    account: str
    units: Decimal
    of_units: Decimal
    fee: Decimal | None = None
    of_fees: Decimal | None = None
    of_amount: Decimal
    amount: Decimal


class Adjusted(Step, frozen=True, kw_only=True, tag="adjusted"):
    """What an earlier bill would say now, less what it says and what other bills have adjusted."""

    start: Instant
    end: Instant
    bill_id: str
    now: Decimal
    billed: Decimal
    elsewhere: Decimal
    amount: Decimal


Steps = (
    Counted
    | Computed
    | Divided
    | Allowed
    | Chosen
    | Packaged
    | LookedUp
    | ShareOf
    | PerEvent
    | Limited
    | OverMaximum
    | Discounted
    | Protected
    | Priced
    | Spanned
    | Credited
    | Prorated
    | ToppedUp
    | Refunded
    | Rounded
    | Converted
    | Drawn
    | Surcharged
    | Exceeded
    | FeeShare
    | FeeAgreed
    | Agreed
    | Granted
    | Held
    | Changed
    | PutRight
    | Adjusted
    | Apportioned
)
Working = tuple[Steps, ...]
