"""Sources of usage: how each stands, how far it was read, what became of its files; files that were sent by a link."""

from __future__ import annotations

from typing import Any

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.usage_sources import USAGE_SOURCES, has_credentials, set_paused
from tallystick.core import wire
from tallystick.core.usage_source import CREDENTIALS, SourceStatus
from tallystick.core.user import May
from tallystick.pipeline.measurement_files import list_files as sent_files
from tallystick.pipeline.usage_sources import list_files, state_of, states_of
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE = 50
SENT = 10  # files that were sent by a link, on the page of all sources
MOODS = {
    SourceStatus.RUNNING: "good",
    SourceStatus.FAILING: "bad",
    SourceStatus.STARTING: "busy",
    SourceStatus.PAUSED: "quiet",
}


def _list(visit: Visit) -> Html:
    found = USAGE_SOURCES.find(visit.records, Where(), visit.query.page(highest=SIZE))
    values = {
        "rows": found.rows,
        "states": states_of(visit.records, [each.id for each in found.rows]),
        "moods": MOODS,
        "kinds": {each.id: _fields(each.value.configuration)["type"] for each in found.rows},
        "sent": sent_files(visit.records, Part(size=SENT)).rows,
        "next_token": found.next_token,
    }
    return Html("usage_sources.html", values)


def _one(visit: Visit) -> Html:
    source = USAGE_SOURCES.retrieve(visit.records, visit.path["id"])
    state = state_of(visit.records, source.id)
    found = list_files(visit.records, source.id, visit.query.page(highest=SIZE))
    configuration, mapping = _fields(source.value.configuration), _fields(source.value.mapping)
    values = {
        "source": source,
        "state": state,
        "moods": MOODS,
        "configuration": sorted(configuration.items()),
        "mapping": sorted(mapping.items()),
        "places": sorted(state.places.items()),
        "files": found.rows,
        "next_token": found.next_token,
        "needs_credentials": bool(CREDENTIALS[type(source.value.configuration)]),
        "has_credentials": has_credentials(visit.records, source.id),
    }
    return Html("usage_source.html", values)


def _fields(value: object) -> dict[str, Any]:
    """What was configured, as the API says it, without what is left open."""
    shown = wire.decode(dict[str, Any], wire.encode(value))
    return {name: each for name, each in shown.items() if each not in (None, "", {}, [])}


def _pause(visit: Visit) -> Redirect:
    made = set_paused(visit.desk, visit.path["id"], paused=True)
    return Redirect(f"/usagesources/{made.id}", notice="It rests once the step at hand is done.")


def _resume(visit: Visit) -> Redirect:
    made = set_paused(visit.desk, visit.path["id"], paused=False)
    return Redirect(f"/usagesources/{made.id}", notice="It goes on where it was.")


PAGES = (
    Page(method="GET", path="/usagesources", run=_list, title="Sources of usage", section="explorer"),
    Page(method="GET", path="/usagesources/{id}", run=_one, title="A source of usage", section="explorer"),
    Page(
        method="POST",
        path="/usagesources/{id}/pause",
        run=_pause,
        title="Let a source rest",
        may=May.CONFIGURE,
        section="explorer",
        again=_one,
    ),
    Page(
        method="POST",
        path="/usagesources/{id}/resume",
        run=_resume,
        title="Let a source go on",
        may=May.CONFIGURE,
        section="explorer",
        again=_one,
    ),
)
