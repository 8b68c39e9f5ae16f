"""Integrations: what is handed over to which service, how each hand-over went, and handing over again."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.events import EventFilter, list_events
from tallystick.control.integration_runs import RunFilter, get_run, list_runs
from tallystick.control.integrations import INTEGRATIONS, is_authorized, switch
from tallystick.core import wire
from tallystick.core.integration import SYSTEMS, UNFINISHED, RunStatus
from tallystick.core.user import May
from tallystick.core.webhook import Webhook
from tallystick.errors import Refusal
from tallystick.pipeline.handover import retry
from tallystick.ports import Page as Part
from tallystick.ports import Where

PATH = "/integrations"
SIZE = 50


def _list(visit: Visit) -> Html:
    found = INTEGRATIONS.find(visit.records, Where(), visit.query.page(highest=SIZE))
    latest = {
        each.id: next(iter(list_runs(visit.records, RunFilter(config_id=each.id), Part(size=1)).rows), None)
        for each in found.rows
    }
    targets = {each.value.destination_id for each in found.rows if each.value.destination_id is not None}
    values = {
        "rows": found.rows,
        "latest": latest,
        "webhooks": visit.records.get_many(Webhook, targets),
        "systems": SYSTEMS,
        "authorized": {each.id: is_authorized(each.value) for each in found.rows},
        "unfinished": UNFINISHED,
        "next_token": found.next_token,
    }
    return Html("integrations.html", values)


def _one(visit: Visit) -> Html:
    config = INTEGRATIONS.retrieve(visit.records, visit.path["id"])
    value, status = config.value, visit.query.choice("status", RunStatus)
    wanted = RunFilter(config_id=config.id, status=status)
    found = list_runs(visit.records, wanted, visit.query.page(highest=SIZE))
    ids = {each.event_id for each in found.rows}
    events = list_events(visit.records, EventFilter(ids=ids), Part(size=SIZE)).rows if ids else ()
    target = value.destination_id
    values = {
        "config": config,
        "it": value,
        "title": value.name or f"{value.entity_type} to {SYSTEMS[value.destination].name}",
        "system": SYSTEMS[value.destination].name,
        "webhook": None if target is None else visit.records.get(Webhook, target),
        "authorized": is_authorized(value),
        "data": [
            (name, each if isinstance(each, str) else wire.encode(each).decode())
            for name, each in sorted(value.config_data.items())
        ],
        "rows": found.rows,
        "events": {each.id: each for each in events},
        "unfinished": UNFINISHED,
        "statuses": [("", "Any state"), *((each, each.replace("_", " ").capitalize()) for each in RunStatus)],
        "next_token": found.next_token,
    }
    return Html("integration.html", values)


def _enabled(visit: Visit) -> Redirect:
    on = visit.form.flag("enabled")
    made = switch(visit.desk, visit.path["id"], enabled=on)
    notice = "It is handed over from now on." if on else "Nothing is handed over until it is enabled."
    return Redirect(f"{PATH}/{made.id}", notice=notice)


def _retry(visit: Visit) -> Redirect:
    config = INTEGRATIONS.retrieve(visit.records, visit.path["id"])
    run = get_run(visit.records, visit.path["run"])
    if run.config_id != config.id:
        raise Refusal("not_found", f"run: {run.id} is of another integration", field="run")
    retry(visit.records, run.id, now=visit.now, by=visit.actor)
    return Redirect(f"{PATH}/{config.id}", notice="It is handed over again.")


PAGES = (
    Page(method="GET", path=PATH, run=_list, title="Integrations", section="settings"),
    Page(method="GET", path=f"{PATH}/{{id}}", run=_one, title="An integration and its runs", section="settings"),
    Page(
        method="POST",
        path=f"{PATH}/{{id}}/enabled",
        run=_enabled,
        title="Enable or disable an integration",
        may=May.ADMINISTER,
        section="settings",
        again=_one,
    ),
    Page(
        method="POST",
        path=f"{PATH}/{{id}}/runs/{{run}}/retry",
        run=_retry,
        title="Hand over again what a run is about",
        may=May.ADMINISTER,
        section="settings",
        again=_one,
    ),
)
