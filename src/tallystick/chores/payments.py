"""Asking Stripe what became of invoices, for where no notification came through."""

from __future__ import annotations

from tallystick.app import App
from tallystick.chores.chore import Chore, Left
from tallystick.control.payment_news import ask_for_news, stripe_configs


def ask_stripe(app: App, organization_id: str) -> Left:
    """Ask by each integration with Stripe that is enabled and whose time has come."""
    pause = app.settings.stripe_poll_seconds
    records = app.records.organization(organization_id)
    configs = [each for each in stripe_configs(records) if each.value.enabled] if pause else []
    for config in configs:
        ask_for_news(app.payments, records, config, app.clock.now(), pause)
    return Left.LATER if configs else Left.NOTHING


PAYMENTS = Chore(name="payments", seconds=2.0, do=ask_stripe, problem="asking Stripe for payments failed")
