"""Event mappings and event sources over HTTP: an extension of ours. `api.receiving` takes the events."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.crud import CODES as BY_CODES
from tallystick.api.crud import IDS as BY_IDS
from tallystick.api.crud import Crud, by_ids_and_codes, desk_of
from tallystick.api.routing import Call, Route
from tallystick.control.event_mappings import EVENT_MAPPINGS, mapper_of
from tallystick.control.event_sources import EVENT_SOURCES, MOST_KEPT_HOURS, SHORTEST, renew_secret
from tallystick.core.event_mapping import Mapped
from tallystick.core.period import Instant
from tallystick.core.usage_event import EventForm, read_event
from tallystick.core.usage_event_forms import STRUCTURED, documents
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.usage_events import EventVerdict

MOST_TRIED = 100
SCOPE = "measurements:upload"
_CONTENT_TYPES = {EventForm.CLOUDEVENTS: STRUCTURED}


class EventsReply(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on each event, in order."""

    result: str = "accepted"
    events: tuple[EventVerdict, ...]


class TryRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a request as a sender would send it, with its form."""

    form: EventForm
    event: msgspec.Raw


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an event, or one of its measurements, would not count."""

    code: str
    reason: str
    field: str | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the event mappings make of an event."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    ignored: bool = False
    measurements: tuple[msgspec.Raw, ...] = ()
    problems: tuple[Problem, ...] = ()


class TryReply(msgspec.Struct, frozen=True, kw_only=True):
    """Each event of the body, in order."""

    events: tuple[Tried, ...]


class SecretRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A secret that the sender has chosen, or none to be given one. Those before it hold for `keepHours` more."""

    secret: Annotated[str, msgspec.Meta(min_length=SHORTEST, max_length=200)] | None = None
    keep_hours: Annotated[int, msgspec.Meta(ge=0, le=MOST_KEPT_HOURS)] = 24


class SecretReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The secret, shown this once, and where the sender sends its events."""

    secret: str
    url: str
    previous_until: Instant | None = None


def attempt(call: Call, body: TryRequest) -> TryReply:
    """Map what a sender would send; nothing is counted or kept."""
    headers = {"content-type": _CONTENT_TYPES.get(body.form, "application/json")}
    try:
        texts = documents(body.form, headers, bytes(body.event))
    except ValueError as problem:
        raise Refusal("invalid_request", str(problem), field="event") from None
    mapper = mapper_of(call.records)
    tried = []
    for text in texts[:MOST_TRIED]:
        event = read_event(body.form, text)
        if isinstance(event, Rejection):
            tried.append(Tried(problems=_problems(Mapped(faults=(event,)))))
            continue
        mapped = mapper.map(event)
        tried.append(
            Tried(
                id=event.id,
                source=event.source,
                type=event.type,
                ignored=mapped.ignored,
                measurements=tuple(msgspec.Raw(each) for each in mapped.members),
                problems=_problems(mapped),
            )
        )
    return TryReply(events=tuple(tried))


def _problems(mapped: Mapped) -> tuple[Problem, ...]:
    return tuple(Problem(code=each.code, reason=each.reason, field=each.field) for each in mapped.faults)


def renew(call: Call, body: SecretRequest) -> SecretReply:
    """Give an event source a secret."""
    source = EVENT_SOURCES.retrieve(call.records, call.path["id"])
    secret, until = renew_secret(desk_of(call), call.app.vault, source, secret=body.secret, keep_hours=body.keep_hours)
    url = f"{call.base_url}/organizations/{call.organization_id}/eventsources/{source.id}/receive"
    return SecretReply(secret=secret, url=url, previous_until=until)


def _past_the_routes(*_: object) -> object:
    raise Refusal("not_found", "path: events are sent to it as it is published")


# What each form is called, and the answer to it where that is ours to choose.
RECEIVED: tuple[tuple[EventForm, str, type | None], ...] = (
    (EventForm.CLOUDEVENTS, "CloudEvents 1.0: structured, batched or binary", EventsReply),
    (EventForm.PLAIN, "plain JSON: an object, an array or one on each line", EventsReply),
    (EventForm.SEGMENT, "calls of Segment", EventsReply),
    (EventForm.RUDDERSTACK, "calls of RudderStack", EventsReply),
    (EventForm.POSTHOG, "events of PostHog", EventsReply),
    (EventForm.DATADOG, "series of Datadog, v1 or v2; the address may go on as Datadog's own does", None),
    (EventForm.OTLP, "metrics of OpenTelemetry (OTLP/HTTP JSON); the address may go on with /v1/metrics", None),
)
_TAG = "Usage events"
_FILTERS = {"ids": BY_IDS, "codes": BY_CODES}
ROUTES = (
    Route(
        method="POST",
        path="/eventmappings/try",
        run=attempt,
        summary="Say what the event mappings make of events; nothing is counted",
        tag=_TAG,
        scope="config:retrieve",
        body=TryRequest,
        reply=TryReply,
    ),
    *Crud(noun=EVENT_MAPPINGS, path="/eventmappings", tag=_TAG, where=by_ids_and_codes, filters=_FILTERS).routes(),
    Route(
        method="POST",
        path="/eventsources/{id}/secret",
        run=renew,
        summary="Give an event source a secret; it is shown this once",
        tag=_TAG,
        scope="config:update",
        body=SecretRequest,
        reply=SecretReply,
    ),
    *Crud(noun=EVENT_SOURCES, path="/eventsources", tag=_TAG, where=by_ids_and_codes, filters=_FILTERS).routes(),
    *(
        Route(
            method="POST",
            path=f"/receive/{form.lower()}",
            run=_past_the_routes,
            summary=f"Send usage events as {told}",
            tag=_TAG,
            scope=SCOPE,
            reply=reply,
            any_json=True,
        )
        for form, told, reply in RECEIVED
    ),
    Route(
        method="POST",
        path="/eventsources/{id}/receive",
        run=_past_the_routes,
        summary="Send usage events as an event source, signed in by its secret",
        tag=_TAG,
        scope=SCOPE,
        reply=EventsReply,
        any_json=True,
    ),
)
