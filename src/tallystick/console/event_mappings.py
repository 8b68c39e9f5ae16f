"""Usage events: the mappings that make measurements of them, tried before they count, and who sends them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.event_mappings import EVENT_MAPPINGS, mapper_of
from tallystick.control.event_sources import EVENT_SOURCES, renew_secret
from tallystick.core import wire
from tallystick.core.event_mapping import EventMapping, Source
from tallystick.core.event_source import EventSource
from tallystick.core.meter import Meter
from tallystick.core.usage_event import EventForm, read_event
from tallystick.core.usage_event_forms import STRUCTURED, documents
from tallystick.core.user import May
from tallystick.errors import Refusal, Rejection
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE, SOURCES = 50, 100
TRIED = 20
KEEP_HOURS = 24
EXAMPLE = """{"code": "api-calls", "name": "API calls", "type": "api_call", "meter": "llm",
 "account": "customer_id",
 "fields": {"tokens": "properties.tokens"}}"""
EVENT = """{"event_id": "evt_1", "event_type": "api_call", "timestamp": "2025-03-15T14:30:00Z",
 "customer_id": "acorn", "properties": {"tokens": 1500}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What the mappings make of an event."""

    measurements: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: bool = False


def told(source: Source) -> str:
    """Where a value comes from, in a few words."""
    if isinstance(source, str):
        return source
    if source.calculation is not None:
        return f"= {source.calculation}"
    return source.path if source.path is not None else wire.encode(source.constant).decode()


def _list(visit: Visit, **values: object) -> Html:
    found = EVENT_MAPPINGS.find(visit.records, Where(), visit.query.page(highest=SIZE))
    meters = visit.records.get_many(Meter, {each.value.meter_id for each in found.rows if each.value.meter_id})
    return Html(
        "event_mappings.html",
        {
            "mappings": found.rows,
            "next_token": found.next_token,
            "meters": {id_: each.value.name for id_, each in meters.items()},
            "sources": EVENT_SOURCES.find(visit.records, Where(), Part(size=SOURCES)).rows,
            "forms": [(each.value, each.value.capitalize()) for each in EventForm],
            "told": told,
            "mapping": _edited(visit),
            "event": EVENT,
            "tried": None,
            "secret": "",
            **values,
        },
    )


def _page(visit: Visit) -> Html:
    return _list(visit)


def _edited(visit: Visit) -> str:
    """The mapping that is to be changed, as people write it; else an example."""
    named = visit.query.text("edit")
    if named is None:
        return EXAMPLE
    value = EVENT_MAPPINGS.retrieve(visit.records, named).value
    shown: dict[str, Any] = wire.decode(dict[str, Any], wire.encode(value))
    meter = shown.pop("meterId", None)
    if meter is not None:
        shown["meter"] = visit.records.codes(Meter, {meter})[meter]
    given = {name: each for name, each in shown.items() if each not in (None, {})}
    return msgspec.json.format(wire.encode(given), indent=1).decode()


def _save(visit: Visit) -> Redirect:
    value = _read(visit)
    before = visit.records.by_code(EventMapping, value.code)
    if before is None:
        EVENT_MAPPINGS.create(visit.desk, value)
    else:
        EVENT_MAPPINGS.update(visit.desk, before.id, value, None)
    return Redirect("/eventmappings", notice=f"The event mapping {value.code} is in force.")


def _read(visit: Visit) -> EventMapping:
    try:
        given: dict[str, Any] = wire.decode(dict[str, Any], visit.form.required("mapping"))
        code = given.pop("meter", None)
        if code is not None:
            meter = visit.records.by_code(Meter, str(code))
            if meter is None:
                raise Refusal("invalid_request", f"meter: there is no meter {str(code)[:80]!r}", field="mapping")
            given["meterId"] = meter.id
        return wire.decode(EventMapping, wire.encode(given))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise Refusal("invalid_request", f"mapping: {problem}", field="mapping") from None


def _remove(visit: Visit) -> Redirect:
    EVENT_MAPPINGS.delete(visit.desk, visit.path["id"])
    return Redirect("/eventmappings", notice="The event mapping is removed. What was counted by it stays.")


def _try(visit: Visit) -> Html:
    form, text = visit.form.choice("form", EventForm) or EventForm.PLAIN, visit.form.required("event")
    media_type = STRUCTURED if form is EventForm.CLOUDEVENTS else "application/json"
    try:
        texts = documents(form, {"content-type": media_type}, text.encode())
    except ValueError as problem:
        raise Refusal("invalid_request", f"event: {problem}", field="event") from None
    mapper = mapper_of(visit.records)
    tried = []
    for each in texts[:TRIED]:
        event = read_event(form, each)
        if isinstance(event, Rejection):
            tried.append(Tried(problems=(event.reason,)))
            continue
        mapped = mapper.map(event)
        made = tuple(msgspec.json.format(member, indent=1).decode() for member in mapped.members)
        problems = tuple(fault.reason for fault in mapped.faults)
        tried.append(Tried(measurements=made, problems=problems, ignored=mapped.ignored))
    return _list(visit, tried=tried, event=text)


def _add_source(visit: Visit) -> Html:
    form = visit.form
    kind = form.choice("sourceForm", EventForm)
    if kind is None:
        raise Refusal("invalid_request", "sourceForm: is needed", field="sourceForm")
    made = EVENT_SOURCES.create(
        visit.desk, EventSource(code=form.required("code"), name=form.required("name"), form=kind)
    )
    return _with_secret(visit, made.id)


def _renew(visit: Visit) -> Html:
    return _with_secret(visit, visit.path["id"])


def _with_secret(visit: Visit, id: str) -> Html:
    source = EVENT_SOURCES.retrieve(visit.records, id)
    secret, _ = renew_secret(visit.desk, visit.app.vault, source, secret=None, keep_hours=KEEP_HOURS)
    address = f"/organizations/{visit.organization.id}/eventsources/{source.id}/receive"
    return _list(visit, secret=secret, source=source, address=address)


_act = partial(act, may=May.CONFIGURE, section="meters", again=_page)

PAGES = (
    Page(method="GET", path="/eventmappings", run=_page, title="Usage events", section="meters"),
    _act("/eventmappings", _save, "Save an event mapping"),
    _act("/eventmappings/try", _try, "Try an event"),
    _act("/eventmappings/{id}/remove", _remove, "Remove an event mapping"),
    _act("/eventsources", _add_source, "Add an event source", may=May.ADMINISTER),
    _act("/eventsources/{id}/secret", _renew, "Give an event source a new secret", may=May.ADMINISTER),
)
