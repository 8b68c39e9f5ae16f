"""Webhooks over HTTP (source: reference 2.12), with our extensions: secrets made here, rotation, ping, what was
delivered, and replay."""

from __future__ import annotations

from typing import Literal

import msgspec

from tallystick.api.crud import IDS, PAGING, Reply, by_ids, desk_of
from tallystick.api.routing import Call, Paged, Route, entity_reply, page_reply, struct_page
from tallystick.control.webhooks import (
    WEBHOOKS,
    ApiKey,
    Means,
    Secret,
    Url,
    WebhookDraft,
    create_webhook,
    deliveries,
    delivery_of,
    ping,
    rotate,
    set_active,
    update_webhook,
)
from tallystick.core.entity import Description, Entity, EntityCode, Name, Value
from tallystick.core.period import Instant
from tallystick.core.webhook import Delivery, DeliveryOutcome, Webhook
from tallystick.pipeline.webhook_replay import Replayed, replay_run, replay_since

TAG = "Webhooks"
PATH = "/integrationdestinations/webhooks"
ONE = PATH + "/{id}"
MAX_PAGE = 200
SIGNED = "M3TER_SIGNED_REQUEST"


class WebhookCredentials(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What requests are signed with. `apiKey` is sent along as X-Api-Key. Without a secret one is made, and shown in
    this one answer. Neither is shown again."""

    type: Literal["M3TER_SIGNED_REQUEST"] = "M3TER_SIGNED_REQUEST"
    api_key: ApiKey | None = None
    secret: Secret | None = None
    empty: bool = False
    version: int | None = None


class WebhookRequest(Value, frozen=True, kw_only=True):
    """An address that events are sent to. Credentials that are left out in an update stay as they are."""

    name: Name
    url: Url
    description: Description = ""
    credentials: WebhookCredentials = WebhookCredentials()
    active: bool = True
    code: EntityCode | None = None
    version: int | None = None

    def draft(self) -> WebhookDraft:
        """The same as the desk takes it."""
        given = self.credentials
        return WebhookDraft(
            name=self.name,
            url=self.url,
            description=self.description,
            active=self.active,
            code=self.code,
            api_key=given.api_key,
            secret=None if given.empty else given.secret,
        )


class CredentialsReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The credentials as they are shown: without what they are, but for a secret that was just made."""

    id: str
    destination: Literal["WEBHOOK"]
    destination_id: str
    type: Literal["M3TER_SIGNED_REQUEST"]
    secret: str | None = None


class WebhookReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A webhook. `disabled` says why the server switched it off; `formerSecretUntil` up to when a former secret signs
    too."""

    id: str
    version: int
    name: str
    description: str
    url: str
    active: bool
    credentials: CredentialsReply
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    code: str | None = None
    disabled: str | None = None
    former_secret_until: Instant | None = None


class RotateRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Another secret, or none: then one is made. For `overlapHours` both sign."""

    secret: Secret | None = None
    overlap_hours: int = 24


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """From when on to hand over again, and whether only what was not delivered."""

    since: Instant
    until: Instant | None = None
    failed_only: bool = False


def create(call: Call, body: WebhookRequest) -> Reply:
    """Keep a new webhook."""
    made = create_webhook(desk_of(call), means_of(call), body.draft())
    return shown(made.webhook, made.secret)


def find(call: Call) -> Reply:
    """A page of webhooks."""
    found = WEBHOOKS.find(call.records, by_ids(call), call.query.page(highest=MAX_PAGE))
    return page_reply([shown(each) for each in found.rows], found.next_token)


def retrieve(call: Call) -> Reply:
    """One webhook."""
    return shown(WEBHOOKS.retrieve(call.records, call.path["id"]))


def update(call: Call, body: WebhookRequest) -> Reply:
    """Replace a webhook."""
    return shown(update_webhook(desk_of(call), means_of(call), call.path["id"], body.draft(), body.version))


def delete(call: Call) -> Reply:
    """Delete a webhook that no integration names."""
    return shown(WEBHOOKS.delete(desk_of(call), call.path["id"]))


def activate(call: Call) -> Reply:
    """Switch it on or off."""
    active = call.query.flag("active")
    return shown(set_active(desk_of(call), means_of(call), call.path["id"], active is not False))


def change_secret(call: Call, body: RotateRequest) -> Reply:
    """Another secret, with an overlap."""
    made = rotate(desk_of(call), means_of(call), call.path["id"], body.secret, body.overlap_hours)
    return shown(made.webhook, made.secret)


def test(call: Call) -> Delivery:
    """Send a test event."""
    return ping(desk_of(call), call.app.webhooks, call.path["id"])


def find_deliveries(call: Call) -> Reply:
    """A page of attempts, latest first."""
    query = call.query
    outcome = query.choice("outcome", DeliveryOutcome)
    found = deliveries(
        call.records,
        call.path["id"],
        query.page(highest=MAX_PAGE),
        () if outcome is None else (outcome,),
        query.text("runId"),
    )
    return struct_page(found.rows, found.next_token)


def retrieve_delivery(call: Call) -> Delivery:
    """One attempt."""
    return delivery_of(call.records, call.path["id"], call.path["deliveryId"])


def replay_one(call: Call) -> Replayed:
    """Deliver again what an attempt was of."""
    delivery = delivery_of(call.records, call.path["id"], call.path["deliveryId"])
    return replay_run(call.records, delivery.run_id, actor=call.actor, now=call.now)


def replay_all(call: Call, body: ReplayRequest) -> Replayed:
    """Deliver again what happened since a moment."""
    webhook = WEBHOOKS.retrieve(call.records, call.path["id"])
    span = (body.since, body.until)
    return replay_since(call.records, webhook.id, span, failed_only=body.failed_only, actor=call.actor, now=call.now)


def means_of(call: Call) -> Means:
    """What the desk of webhooks needs beside the records."""
    return Means(call.app.vault, call.app.outside)


def shown(webhook: Entity[Webhook], secret: str | None = None) -> Reply:
    """A webhook as the wire shows it."""
    reply = {key: value for key, value in entity_reply(webhook).items() if not key.startswith("sealed")}
    until = reply.pop("formerUntil", None)
    credentials = {"id": webhook.id, "destination": "WEBHOOK", "destinationId": webhook.id, "type": SIGNED}
    return {
        **reply,
        "credentials": credentials | ({"secret": secret} if secret else {}),
        **({"formerSecretUntil": until} if until else {}),
    }


def _route(method: str, path: str, run: object, summary: str, scope: str, **more: object) -> Route:
    return Route(method=method, path=path, run=run, summary=summary, tag=TAG, scope=f"config:{scope}", **more)  # type: ignore[arg-type]  # passed on


_DELIVERY = ONE + "/deliveries/{deliveryId}"
ROUTES = (
    _route("POST", PATH, create, "Create a webhook", "create", body=WebhookRequest, reply=WebhookReply),
    _route("GET", PATH, find, "List webhooks", "retrieve", reply=Paged(WebhookReply), query={"ids": IDS, **PAGING}),
    _route("GET", ONE, retrieve, "Retrieve a webhook", "retrieve", reply=WebhookReply),
    _route("PUT", ONE, update, "Replace a webhook", "update", body=WebhookRequest, reply=WebhookReply),
    _route("DELETE", ONE, delete, "Delete a webhook that no integration names", "delete", reply=WebhookReply),
    _route(
        "PUT",
        ONE + "/active",
        activate,
        "Switch a webhook on or off",
        "update",
        reply=WebhookReply,
        query={"active": "false switches it off; else it is switched on."},
    ),
    _route(
        "POST",
        ONE + "/rotate",
        change_secret,
        "Give a webhook another secret; both sign for a while",
        "update",
        body=RotateRequest,
        reply=WebhookReply,
    ),
    _route("POST", ONE + "/ping", test, "Send a test event to a webhook now", "update", reply=Delivery),
    _route(
        "GET",
        ONE + "/deliveries",
        find_deliveries,
        "List the attempts to deliver to a webhook, latest first",
        "retrieve",
        reply=Paged(Delivery),
        query={
            "outcome": "Only DELIVERED, FAILED or NOT_SENT ones.",
            "runId": "Only attempts of this hand-over.",
            **PAGING,
        },
    ),
    _route("GET", _DELIVERY, retrieve_delivery, "Retrieve an attempt", "retrieve", reply=Delivery),
    _route("POST", _DELIVERY + "/replay", replay_one, "Deliver again what an attempt was of", "update", reply=Replayed),
    _route(
        "POST",
        ONE + "/replay",
        replay_all,
        "Deliver again all that happened since a moment",
        "update",
        body=ReplayRequest,
        reply=Replayed,
    ),
)
