"""What an integration with Stripe is set to: its `configData`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core import wire


class CollectionMethod(StrEnum):
    """How Stripe collects an invoice: its own words."""

    CHARGE_AUTOMATICALLY = "charge_automatically"
    SEND_INVOICE = "send_invoice"


class UsageAs(StrEnum):
    """What usage is at Stripe: lines of an invoice that were priced here, or events that its meters price."""

    LINES = "LINES"
    METER_EVENTS = "METER_EVENTS"


EventName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class StripeTerms(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The `configData` of an integration with Stripe.

    `send_on_approval_only` off sends each calculation as a draft. `auto_advance` has Stripe send or charge by itself
    what is final. `meter_events` names Stripe's meter event by aggregation id.
    """

    send_on_approval_only: bool = False
    finalize: bool = True
    auto_advance: bool = False
    collection_method: CollectionMethod = CollectionMethod.SEND_INVOICE
    create_customers: bool = False
    usage_as: UsageAs = UsageAs.LINES
    meter_events: dict[str, EventName] = {}


def read_terms(data: Mapping[str, Any]) -> StripeTerms:
    """The settings in a `configData`; ValueError names what is wrong with them."""
    try:
        return wire.convert(StripeTerms, dict(data))
    except (ValueError, msgspec.ValidationError) as problem:
        raise ValueError(str(problem).replace("`$.", "`configData.")) from None
