"""Setting up Stripe: its key, what it is set to, whether it works, and which customer each account is."""

from __future__ import annotations

from functools import partial
from typing import Any

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.payment_news import mark_of, stripe_config, stripe_configs
from tallystick.control.stripe_setup import (
    MOST_ASKED,
    accounts_at_stripe,
    connect_stripe,
    enter_secrets,
    map_customer,
    set_up,
    webhook_address,
)
from tallystick.core.entity import Entity
from tallystick.core.integration import Destination, IntegrationConfig
from tallystick.core.user import May
from tallystick.ports.handover import credentials_of

PATH = "/settings/stripe"
MODES = ((Destination.STRIPE_TEST.value, "Test"), (Destination.STRIPE.value, "Live"))
# What is ticked, in the order of the page: the name of the setting, what it says, whether it is on by itself.
TICKS = (
    ("sendOnApprovalOnly", "Send approved bills only, not each calculation as a draft", False),
    ("finalize", "Make the invoices of approved bills final", True),
    ("autoAdvance", "Have Stripe send or charge what is final by itself", False),
    ("createCustomers", "Make a customer for an account that has none", False),
)
METHODS = (("send_invoice", "Send the invoice, due when the bill is"), ("charge_automatically", "Charge automatically"))


def _stripe(visit: Visit) -> Html:
    configs = stripe_configs(visit.records)
    wanted = visit.query.text("integration")
    chosen = next((each for each in configs if each.id == wanted), configs[0] if configs else None)
    found = None
    if chosen is not None and visit.query.flag("suggest") and visit.may(May.ADMINISTER):
        page = visit.query.page(highest=MOST_ASKED)
        found = accounts_at_stripe(visit.app.payments, visit.records, chosen, page, suggest=True)
    return Html(
        "stripe.html",
        {
            "configs": configs,
            "chosen": chosen,
            "stands": None if chosen is None else _stands(visit, chosen),
            "modes": MODES,
            "ticks": TICKS,
            "methods": METHODS,
            "accounts": found.rows if found else None,
            "next_token": found.next_token if found else None,
        },
    )


def _stands(visit: Visit, config: Entity[IntegrationConfig]) -> dict[str, Any]:
    known = credentials_of(visit.app.vault, visit.records, config) or {}
    mark = mark_of(visit.records, config.id)
    return {
        "key": "apiKey" in known,
        "secret": "webhookSecret" in known,
        "url": webhook_address(visit.guest.base_url, visit.organization.id, config.id),
        "asked": None if mark is None else mark.up_to,
        "problem": None if mark is None else mark.problem,
        "data": config.value.config_data,
    }


def _connect(visit: Visit) -> Redirect:
    destination = visit.form.choice("destination", Destination) or Destination.STRIPE_TEST
    made = connect_stripe(
        visit.desk,
        visit.app.vault,
        destination,
        {},
        api_key=visit.form.required("apiKey"),
        webhook_secret=None,
    )
    return Redirect(_of(made.id), notice="Stripe is connected: bills go there from now on. Test the connection.")


def _secrets(visit: Visit) -> Redirect:
    id_ = visit.path["id"]
    key, secret = visit.form.text("apiKey"), visit.form.text("webhookSecret")
    enter_secrets(visit.desk, visit.app.vault, id_, api_key=key, webhook_secret=secret)
    return Redirect(_of(id_), notice="What was entered is sealed.")


def _settings(visit: Visit) -> Redirect:
    config, form = stripe_config(visit.records, visit.path["id"]), visit.form
    chosen = {name: form.flag(name) for name, _, _ in TICKS}
    method = form.required("collectionMethod")
    set_up(visit.desk, config.id, {**config.value.config_data, **chosen, "collectionMethod": method})
    return Redirect(_of(config.id), notice="The settings are saved.")


def _check(visit: Visit) -> Redirect:
    config = stripe_config(visit.records, visit.path["id"])
    said = visit.app.payments.check(visit.records, config)
    return Redirect(_of(config.id), notice=f"Stripe answers: {said}.")


def _map(visit: Visit) -> Redirect:
    form = visit.form
    map_customer(visit.desk, visit.path["id"], form.required("accountId"), form.required("customerId"))
    return Redirect(f"{_of(visit.path['id'])}&suggest=true#accounts", notice="The account is mapped.")


def _of(id_: str) -> str:
    return f"{PATH}?integration={id_}"


_act = partial(act, may=May.ADMINISTER, section="settings", again=_stripe)

PAGES = (
    Page(method="GET", path=PATH, run=_stripe, title="Stripe: key, settings, customers", section="settings"),
    _act(PATH, _connect, "Connect Stripe"),
    _act(PATH + "/{id}/secrets", _secrets, "Enter Stripe's key or its webhook's secret"),
    _act(PATH + "/{id}/settings", _settings, "Save what Stripe is set to"),
    _act(PATH + "/{id}/check", _check, "Test the connection to Stripe"),
    _act(PATH + "/{id}/accounts", _map, "Say which customer of Stripe an account is"),
)
