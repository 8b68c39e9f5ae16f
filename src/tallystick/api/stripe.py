"""Setting up Stripe over HTTP: its secrets, whether they work, and which customer an account is: extensions of ours."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tallystick.api.crud import PAGING, Reply, desk_of
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, struct_page
from tallystick.control.payment_news import mark_of, stripe_config
from tallystick.control.stripe_setup import (
    AccountAtStripe,
    accounts_at_stripe,
    enter_secrets,
    map_customer,
    webhook_address,
)
from tallystick.core.entity import Id
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.period import Instant
from tallystick.ports.handover import credentials_of

TAG = "Stripe"
PATH = "/stripe/{id}"
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class SecretsRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new key, or the secret of the webhook; what is left out stays. Both are sealed and never shown again."""

    api_key: Secret | None = None
    webhook_secret: Secret | None = None


class StripeReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How an integration with Stripe stands. `webhook_url` is where Stripe shall send its notifications; `asked_until`
    is up to when it was asked what became of invoices, `problem` what went wrong at the last time."""

    id: str
    destination: str
    enabled: bool
    config_data: dict[str, Any]
    has_key: bool
    has_webhook_secret: bool
    webhook_url: str
    asked_until: Instant | None = None
    problem: str | None = None


class CheckReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the key opened."""

    message: str


class CustomerReply(msgspec.Struct, frozen=True, kw_only=True):
    """A customer of Stripe."""

    id: str
    name: str
    email: str


class AccountReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An account with its customer at Stripe, or those with its e-mail address."""

    account_id: str
    code: str
    name: str
    email: str = ""
    customer_id: str | None = None
    suggested: tuple[CustomerReply, ...] = ()


class MappingRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which customer an account is."""

    account_id: Id
    customer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


def retrieve(call: Call) -> StripeReply:
    """How an integration stands."""
    return _reply(call, call.path["id"])


def secrets(call: Call, body: SecretsRequest) -> StripeReply:
    """Enter secrets."""
    enter_secrets(
        desk_of(call), call.app.vault, call.path["id"], api_key=body.api_key, webhook_secret=body.webhook_secret
    )
    return _reply(call, call.path["id"])


def check(call: Call) -> CheckReply:
    """Try the key."""
    config = stripe_config(call.records, call.path["id"])
    return CheckReply(message=call.app.payments.check(call.records, config))


def accounts(call: Call) -> dict[str, object]:
    """A page of accounts with their customers."""
    config = stripe_config(call.records, call.path["id"])
    page, suggest = call.query.page(), call.query.flag("suggest") is True
    found = accounts_at_stripe(call.app.payments, call.records, config, page, suggest=suggest)
    return struct_page([_account(each) for each in found.rows], found.next_token)


def map_(call: Call, body: MappingRequest) -> Reply:
    """Map an account to a customer."""
    return entity_reply(map_customer(desk_of(call), call.path["id"], body.account_id, body.customer_id))


def _account(row: AccountAtStripe) -> AccountReply:
    return AccountReply(
        account_id=row.account.id,
        code=row.account.value.code,
        name=row.account.value.name,
        email=row.account.value.email_address or "",
        customer_id=row.customer_id,
        suggested=tuple(CustomerReply(id=each.id, name=each.name, email=each.email) for each in row.suggested),
    )


def _reply(call: Call, id: str) -> StripeReply:
    config = stripe_config(call.records, id)
    known = credentials_of(call.app.vault, call.records, config) or {}
    mark = mark_of(call.records, id)
    return StripeReply(
        id=id,
        destination=config.value.destination.value,
        enabled=config.value.enabled,
        config_data=config.value.config_data,
        has_key="apiKey" in known,
        has_webhook_secret="webhookSecret" in known,
        webhook_url=webhook_address(call.base_url, call.organization_id, id),
        asked_until=None if mark is None else mark.up_to,
        problem=None if mark is None else mark.problem,
    )


def _route(method: str, path: str, run: object, summary: str, **more: Any) -> Route:
    scope = "config:retrieve" if method == "GET" else "config:update"
    assert callable(run)
    return Route(method=method, path=PATH + path, run=run, summary=summary, tag=TAG, scope=scope, **more)


ROUTES = (
    _route("GET", "", retrieve, "Retrieve how an integration with Stripe stands", reply=StripeReply),
    _route(
        "PUT", "/secrets", secrets, "Enter Stripe's key or its webhook's secret", body=SecretsRequest, reply=StripeReply
    ),
    _route("POST", "/check", check, "Try whether Stripe takes the key", reply=CheckReply),
    _route(
        "GET",
        "/accounts",
        accounts,
        "List accounts with their customers at Stripe, or those with the same e-mail address",
        reply=Paged(AccountReply),
        query={"suggest": "true: ask Stripe who has the e-mail address of those without a customer.", **PAGING},
    ),
    _route(
        "POST",
        "/accounts",
        map_,
        "Say which customer of Stripe an account is",
        body=MappingRequest,
        reply=Envelope(ExternalMapping),
    ),
)
