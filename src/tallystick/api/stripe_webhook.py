"""Where Stripe sends its notifications: an address for each integration, opened by Stripe's signature alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tallystick.control.desk import Desk
from tallystick.control.payment_news import STRIPE, find_stripe_config, take_news
from tallystick.control.stripe_setup import WEBHOOK
from tallystick.errors import Refusal
from tallystick.ports.payments import WRONG_SIGNATURE

if TYPE_CHECKING:
    from tallystick.api.operator import OpenCall

PATH = WEBHOOK
SIGNATURE = "stripe-signature"


class ReceivedReply(msgspec.Struct, frozen=True, kw_only=True):
    """Of how many bills something was told: none where a notification is of no concern here."""

    bills: int


def receive(call: OpenCall) -> ReceivedReply:
    """Take a notification. Nothing is told of whether an organisation or an integration is there: whoever has no right
    signature is refused."""
    organization_id, config_id = call.query.text("organization") or "", call.query.text("integration") or ""
    found = call.app.records.find_organization(organization_id)
    records = call.app.records.organization(organization_id)
    config = None if found is None else find_stripe_config(records, config_id)
    if config is None:
        raise Refusal("forbidden", WRONG_SIGNATURE)
    news = call.app.payments.told(records, config, call.body, call.headers.get(SIGNATURE, ""), call.now)
    return ReceivedReply(bills=take_news(Desk(records=records, actor=STRIPE, now=call.now), config, news))
