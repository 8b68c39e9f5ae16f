"""Events over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.api.crud import IDS, PAGING
from tallystick.api.routing import Call, Paged, Route, struct_page
from tallystick.control.events import EventFilter, all_event_fields, event_fields, get_event, list_events
from tallystick.core.event import Event
from tallystick.core.notification import NotificationConfiguration
from tallystick.core.period import Instant

MAX_PAGE = 100
# The official clients insist on a date here; this one says that nobody has dealt with the event yet.
NOT_ACTIONED = Instant.parse("1970-01-01T00:00:00Z")


class EventReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened. `actioned` says whether somebody dealt with it; only then does `dtActioned` mean
    anything: until then it is 1970-01-01T00:00:00.000Z, because the official clients insist on a date."""

    id: str
    event_name: str
    event_time: Instant
    m3ter_event: dict[str, Any] = msgspec.field(name="m3terEvent")
    dt_actioned: Instant
    actioned: bool


class EventTypesReply(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the kinds of event."""

    events: list[str]


class EventFieldsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Event name to field to type."""

    events: dict[str, dict[str, str]]


def find(call: Call) -> dict[str, object]:
    """A page of events, newest first."""
    query = call.query
    page = query.page(highest=MAX_PAGE)
    notification_id, code = query.text("notificationId"), query.text("notificationCode")
    if code is not None:
        rule = call.records.by_code(NotificationConfiguration, code)
        if rule is None or notification_id not in {None, rule.id}:
            return struct_page([], None)
        notification_id = rule.id
    wanted = EventFilter(
        ids=query.texts("ids"),
        event_name=query.text("eventName"),
        event_type=query.text("eventType"),
        account_id=query.text("accountId"),
        resource_id=query.text("resourceId"),
        notification_id=notification_id,
        include_actioned=query.flag("includeActioned"),
    )
    found = list_events(call.records, wanted, page)
    return struct_page([event_reply(each) for each in found.rows], found.next_token)


def retrieve(call: Call) -> EventReply:
    """One event."""
    return event_reply(get_event(call.records, call.path["id"]))


def types(_: Call) -> EventTypesReply:
    """The kinds of event there are."""
    return EventTypesReply(events=sorted(all_event_fields()))


def fields(call: Call) -> EventFieldsReply:
    """What the events of a kind say."""
    return EventFieldsReply(events=event_fields(call.query.text("eventName")))


def event_reply(event: Event) -> EventReply:
    """An event as the wire shows it."""
    return EventReply(
        id=event.id,
        event_name=event.event_name,
        event_time=event.event_time,
        m3ter_event=event.m3ter_event,
        dt_actioned=event.dt_actioned or NOT_ACTIONED,
        actioned=event.dt_actioned is not None,
    )


_SCOPE = "config:retrieve"

ROUTES = (
    Route(
        method="GET",
        path="/events/types",
        run=types,
        summary="List the kinds of event",
        tag="Events",
        scope=_SCOPE,
        reply=EventTypesReply,
    ),
    Route(
        method="GET",
        path="/events/fields",
        run=fields,
        summary="List what the events of a kind say",
        tag="Events",
        scope=_SCOPE,
        reply=EventFieldsReply,
        query={"eventName": "Only this kind of event."},
    ),
    Route(
        method="GET",
        path="/events/{id}",
        run=retrieve,
        summary="Retrieve an event",
        tag="Events",
        scope=_SCOPE,
        reply=EventReply,
    ),
    Route(
        method="GET",
        path="/events",
        run=find,
        summary="List events, newest first",
        tag="Events",
        scope=_SCOPE,
        reply=Paged(EventReply),
        query={
            **PAGING,
            "ids": IDS,
            "eventName": "Only events of this name, such as ingest.validation.failure.",
            "eventType": "Only events of this category, such as IngestValidationFailure.",
            "accountId": "Only events of this account.",
            "resourceId": "Only events about this entity.",
            "notificationCode": "Only events from this notification.",
            "notificationId": "Only events from this notification.",
            "includeActioned": "false leaves out the events that somebody dealt with.",
        },
    ),
)
