"""The steps of forms of price, allowances and maximums."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tallystick.core.step import Step


class Allowed(Step, frozen=True, kw_only=True, tag="allowed"):
    """Free units: of `units`, `charged` are left after an allowance of `allowance`."""

    units: Decimal
    allowance: Decimal
    charged: Decimal


class Packaged(Step, frozen=True, kw_only=True, tag="packaged"):
    """Units in packages: every one of `size` that was started counts."""

    units: Decimal
    size: Decimal
    packages: Decimal


class LookedUp(Step, frozen=True, kw_only=True, tag="lookedUp"):
    """The unit price for these dimensions; `default` when no rate names them."""

    dimensions: dict[str, str]
    unit_price: Decimal
    default: bool = False


class ShareOf(Step, frozen=True, kw_only=True, tag="shareOf"):
    """A percentage as a price: percent / 100 for each unit."""

    percent: Decimal
    unit_price: Decimal


class EventGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Events that are charged alike: events x fixed + units x unitPrice = amount."""

    events: int
    units: Decimal
    fixed: Decimal
    unit_price: Decimal
    amount: Decimal


class PerEvent(Step, frozen=True, kw_only=True, tag="perEvent"):
    """A percentage of each event by itself: those at the `minimum`, those at their share, those at the `maximum`.

    An event below zero takes one of its size back, and counts as -1.
    """

    unit_price: Decimal
    fixed: Decimal
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    least: EventGroup | None = None
    share: EventGroup | None = None
    most: EventGroup | None = None
    amount: Decimal


class Limited(Step, frozen=True, kw_only=True, tag="limited"):
    """A maximum: lines of the pricing come to at most `maximum`, of which `before` is on other lines."""

    maximum: Decimal
    before: Decimal
    exact: Decimal
    amount: Decimal


class OverMaximum(Step, frozen=True, kw_only=True, tag="overMaximum"):
    """The maximum spend of a plan less the charges that it is for: maximum - charges, below zero."""

    maximum: Decimal
    charges: Decimal
    amount: Decimal
