"""Events: what happened, what each says, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice

from tallystick.console.audit import PRIVATE
from tallystick.console.page import Html, Page, Visit
from tallystick.control.events import EventFilter, all_event_fields, get_event, list_events
from tallystick.control.integration_runs import RunFilter, list_runs
from tallystick.core.account import Account
from tallystick.core.event import Event, noun_of
from tallystick.core.integration import UNFINISHED, IntegrationConfig
from tallystick.core.notification import NotificationConfiguration, ids_of_what_came, sides
from tallystick.core.quantity import plain
from tallystick.core.user import May
from tallystick.ports import Page as Part
from tallystick.ports import Where

PATH = "/events"
SIZE = 50
FIELDS = 500  # of an event, on its page
LABELS = ("name", "code", "accountCode", "email", "reason", "error", "id")  # what an event is told by, in one line

Row = tuple[str, str | None, str | None]


def _list(visit: Visit) -> Html:
    query = visit.query
    wanted = EventFilter(
        event_name=query.text("eventName"),
        account_id=_account(visit),
        notification_id=query.text("notificationId"),
    )
    found = list_events(visit.records, wanted, query.page(highest=SIZE))
    values = {
        "rows": [(each, "" if _hidden(visit, each) else label_of(each)) for each in found.rows],
        "next_token": found.next_token,
        "names": sorted(all_event_fields()),
    }
    return Html("events.html", values)


def _account(visit: Visit) -> str | None:
    """The id of the account whose code, or id, was typed."""
    typed = visit.query.text("account")
    known = None if typed is None else visit.records.by_code(Account, typed)
    return typed if known is None else known.id


def _one(visit: Visit) -> Html:
    event = get_event(visit.records, visit.path["id"])
    hidden = _hidden(visit, event)
    found = list_runs(visit.records, RunFilter(event_id=event.id), visit.query.page(highest=SIZE))
    configs = visit.records.get_many(IntegrationConfig, {each.config_id for each in found.rows})
    rows = [] if hidden else list(islice(told(event), FIELDS + 1))
    values = {
        "event": event,
        "cause": event.m3ter_event.get("eventId"),
        "hidden": hidden,
        "both": any(now is not None for _, now, _ in rows) and any(before is not None for _, _, before in rows),
        "told": rows[:FIELDS],
        "more": len(rows) > FIELDS,
        "notifications": _notifications(visit, event),
        "rows": found.rows,
        "configs": configs,
        "unfinished": UNFINISHED,
        "next_token": found.next_token,
    }
    return Html("event.html", values)


def _hidden(visit: Visit, event: Event) -> bool:
    """Whether an event is of what only administrators see; others see that it happened."""
    names = (event.event_name, str(event.m3ter_event.get("eventName", "")))
    return not visit.may(May.ADMINISTER) and any(noun_of(each) in PRIVATE for each in names)


def _notifications(visit: Visit, event: Event) -> tuple[Event, ...]:
    """What rules made of an event."""
    rules = visit.records.every(NotificationConfiguration, Where(equal={"event_name": (event.event_name,)}))
    ids = [id_ for rule in rules for id_ in ids_of_what_came(rule.id, event.id)]
    return tuple(list_events(visit.records, EventFilter(ids=ids), Part(size=SIZE)).rows) if ids else ()


def label_of(event: Event) -> str:
    """What an event is about, in a few words."""
    both = sides(event.m3ter_event)
    places = (event.m3ter_event, both["new"], both["old"])
    return next((str(place[name]) for place in places for name in LABELS if place.get(name)), "")


def told(event: Event) -> Iterator[Row]:
    """What an event says, field by field: what is now and what was before; what differs comes first."""
    said = event.m3ter_event
    beside = {name: each for name, each in said.items() if name not in {"new", "old", "eventName"}}
    both = sides(said)
    now, before = dict(_flat("", both["new"])), dict(_flat("", both["old"]))
    rows = [(name, now.get(name), before.get(name)) for name in dict.fromkeys([*now, *before])]
    if "new" in said or "old" in said:
        yield from ((name, value, None) for name, value in _flat("", beside))
    yield from sorted(rows, key=lambda row: row[1] == row[2])


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for inner, each in value.items():
                yield from _flat(f"{name}.{inner}" if name else str(inner), each)
        case list() | tuple() if any(isinstance(each, Mapping | list | tuple) for each in value):
            for place, each in enumerate(value, 1):
                yield from _flat(f"{name}[{place}]", each)
        case list() | tuple():
            yield name, ", ".join(_text(each) for each in value)
        case _:
            yield name, _text(value)


def _text(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return str(value).lower()
        case Decimal():
            return plain(value)
    return str(value)


PAGES = (
    Page(method="GET", path=PATH, run=_list, title="What happened, newest first", section="settings"),
    Page(method="GET", path=f"{PATH}/{{id}}", run=_one, title="An event, and what came of it", section="settings"),
)
