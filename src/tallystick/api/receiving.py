"""Usage events over HTTP: who may send them, and the answer that each sender understands.

The server takes these requests past the routes (`server.Front`), because they come with headers that mean something and
may be signed in to by a secret of an event source. Every sender must be able to tell what to send again: only what a
later attempt can change is answered with a status that asks for one (docs/decisions/0521-receiving-events.md).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick.api.auth import sign_in
from tallystick.api.dispatch import failure
from tallystick.api.door import Door
from tallystick.api.event_mappings import SCOPE, EventsReply
from tallystick.app import App
from tallystick.control.event_sources import EVENT_SOURCES, live_secrets
from tallystick.core import wire
from tallystick.core.event_source import presented, proven
from tallystick.core.usage_event import EventForm
from tallystick.errors import Refusal
from tallystick.pipeline.usage_events import REJECTED, EventVerdict

RECEIVE = re.compile(r"/organizations/([^/]+)/(?:receive/([^/]+)|eventsources/([^/]+)/receive)(/.+?)?/?")
MAX_UNPACKED = 5_242_880  # bytes: what Datadog's own intake takes unpacked
# What senders put behind the address that they are given.
BEHIND: Mapping[EventForm, tuple[str, ...]] = {
    EventForm.OTLP: ("/v1/metrics",),
    EventForm.DATADOG: ("/api/v1/series", "/api/v2/series"),
}
# Source: google.rpc.Code, which OTLP's failures carry.
RPC_CODES = {400: 3, 403: 7, 404: 5, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
RPC_INTERNAL = 13

Answer = tuple[int, dict[str, str], bytes]


class Delivery(NamedTuple):
    """A request that carries events: to which organisation, in which form or from which source."""

    organization_id: str
    form: str | None
    source_id: str | None
    behind: str
    headers: Mapping[str, str]  # by their names in lower case


def delivery_of(path: str, headers: Mapping[str, str]) -> Delivery | None:
    """What a request to a path delivers, if it is one of these."""
    found = RECEIVE.fullmatch(path)
    return None if found is None else Delivery(found[1], found[2], found[3], found[4] or "", headers)


def welcomed(headers: Mapping[bytes, bytes]) -> Answer:
    """The answer to who asks whether it may deliver events here: it may, as far as it can sign in when it does (source:
    CloudEvents 1.0.2, HTTP webhooks, 4.2 "Validation response")."""
    origin = headers.get(b"webhook-request-origin", b"").decode("latin-1")
    allowed = {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"} if origin else {}
    return 200, {"allow": "POST", **allowed}, b""


def received(app: App, door: Door, delivery: Delivery, body: bytes, unpacked: bytes) -> Answer:
    """Take the events and answer as their sender expects. `body` as it was sent is what signatures are over."""
    form = said_form(delivery)
    try:
        form = _admit(app, door, delivery, body)
        _require_size(unpacked)
        _require_path(form, delivery.behind)
        verdicts = app.events.receive(delivery.organization_id, form, delivery.headers, unpacked)
    except Exception as problem:
        return failed(form, problem)
    status, reply = _accepted(form, delivery.behind, verdicts)
    return status, {}, wire.encode(reply)


def _require_size(body: bytes) -> None:
    if len(body) > MAX_UNPACKED:
        raise Refusal("request_too_large", f"body: more than {MAX_UNPACKED:,} bytes unpacked")


def _require_path(form: EventForm, behind: str) -> None:
    if behind and behind not in BEHIND.get(form, ()):
        raise Refusal("not_found", f"path: nothing is received at {behind[:80]}")


def failed(form: EventForm | None, problem: Exception) -> Answer:
    """A failure in the words of the sender; the status says whether to try again, as everywhere."""
    status, headers, body = failure(problem)
    if form not in {EventForm.OTLP, EventForm.DATADOG}:
        return status, headers, body
    message = wire.decode(dict[str, Any], body)["message"]
    if form is EventForm.DATADOG:
        return status, headers, wire.encode({"errors": [message]})
    return status, headers, wire.encode({"code": RPC_CODES.get(status, RPC_INTERNAL), "message": message})


def _accepted(form: EventForm, behind: str, verdicts: list[EventVerdict]) -> tuple[int, object]:
    """Source: OTLP 1.x, "Full success" and "Partial success"; Datadog API, "Submit metrics", status 202."""
    if form is EventForm.DATADOG:
        return 202, {"status": "ok"} if behind == "/api/v1/series" else {"errors": []}
    if form is EventForm.OTLP:
        rejected = [each for each in verdicts if each.verdict == REJECTED]
        if not rejected:
            return 200, {}
        told = {"rejectedDataPoints": str(len(rejected)), "errorMessage": rejected[0].reason or ""}
        return 200, {"partialSuccess": told}
    return 200, EventsReply(events=tuple(verdicts))


def said_form(delivery: Delivery) -> EventForm | None:
    """The form by the path, for answers to who is not let in."""
    name = (delivery.form or "").upper()
    if name in EventForm.__members__:
        return EventForm(name)
    return next((form for form, paths in BEHIND.items() if delivery.behind in paths), None)


def _admit(app: App, door: Door, delivery: Delivery, body: bytes) -> EventForm:
    """The form of the events of somebody who may send them; Refusal `forbidden` or `not_found`."""
    if delivery.source_id is not None:
        return _admit_source(app, delivery, body)
    form = said_form(delivery)
    if form is None or delivery.form is None or delivery.form.upper() != form:
        raise Refusal("not_found", f"path: there is no form {delivery.form!r} of events")
    now = app.clock.now()
    authorization = delivery.headers.get("authorization")
    key = delivery.headers.get("x-api-key") or delivery.headers.get("dd-api-key")
    if authorization is None and key is not None:
        authorization = "Basic " + base64.b64encode(key.encode()).decode()
    if (authorization or "").lower().startswith("basic "):
        authorization = "Bearer " + sign_in(app.records, app.key, authorization, now, app.settings.token_seconds)
    grant = door.admit(authorization, now)
    grant.require_organization(delivery.organization_id)
    grant.require_scope(SCOPE)
    return form


def _admit_source(app: App, delivery: Delivery, body: bytes) -> EventForm:
    """The form that a source sends, once it is proven to be that source."""
    if app.records.find_organization(delivery.organization_id) is None:
        raise Refusal("forbidden", f"there is no access to the organization {delivery.organization_id[:40]!r}")
    records = app.records.organization(delivery.organization_id)
    source = EVENT_SOURCES.retrieve(records, delivery.source_id or "")
    secrets = live_secrets(records, app.vault, source.id, app.clock.now()) if source.value.enabled else []
    if not proven(secrets, delivery.headers, presented(delivery.headers, _basic(delivery.headers)), body):
        raise Refusal("forbidden", "the event source has another secret, or none, or is not enabled")
    return source.value.form


def _basic(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The user and the password of Basic credentials, of which senders use either for a secret."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ()
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ()
    return user, password
