"""Notification rules: what happened, and a formula over it, make a notification."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from tallystick.console.counted import changed, place_in
from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.events import EventFilter, all_event_fields, list_events
from tallystick.control.notifications import NOTIFICATIONS, fields_of_event
from tallystick.core.notification import NotificationConfiguration
from tallystick.core.user import May
from tallystick.ports import Page as Part
from tallystick.ports import Where

PATH = "/notifications"
SIZE = 50
LATEST = 10  # of what a rule made, on its page


def _list(visit: Visit) -> Html:
    found = NOTIFICATIONS.find(visit.records, Where(), visit.query.page(highest=SIZE))
    values = {"rows": found.rows, "next_token": found.next_token, "rule": None, "version": None}
    return Html("notifications.html", {**values, **_form()})


def _one(visit: Visit) -> Html:
    rule = NOTIFICATIONS.retrieve(visit.records, visit.path["id"])
    values = {
        "id": rule.id,
        "rule": rule.value,
        "version": rule.version,
        "fields": sorted((fields_of_event(rule.value.event_name) or {}).items()),
        "made": list_events(visit.records, EventFilter(notification_id=rule.id), Part(size=LATEST)).rows,
    }
    return Html("notification.html", {**values, **_form()})


def _form() -> dict[str, object]:
    return {"names": sorted(all_event_fields()), "place_in": place_in}


def _save(visit: Visit) -> Redirect:
    form = visit.form
    before = NOTIFICATIONS.retrieve(visit.records, visit.path["id"]) if "id" in visit.path else None
    typed = {
        **{name: form.required(name) for name in ("name", "code", "description", "eventName")},
        "alwaysFireEvent": form.flag("alwaysFireEvent"),
        "calculation": form.text("calculation"),
    }
    value = changed(NotificationConfiguration, before, typed)
    version = form.number("version", lowest=1, highest=10**9)
    desk, noun = visit.desk, NOTIFICATIONS
    kept = noun.update(desk, before.id, value, version) if before else noun.create(desk, value)
    return Redirect(f"{PATH}/{kept.id}", notice=f"The rule {kept.value.name} is saved.")


def _active(visit: Visit) -> Redirect:
    on = visit.form.flag("active")
    rule = NOTIFICATIONS.retrieve(visit.records, visit.path["id"])
    if rule.value.active is not on:
        NOTIFICATIONS.update(visit.desk, rule.id, replace(rule.value, active=on), rule.version)
    return Redirect(f"{PATH}/{rule.id}", notice=f"The rule {rule.value.name} is switched {'on' if on else 'off'}.")


def _remove(visit: Visit) -> Redirect:
    gone = NOTIFICATIONS.delete(visit.desk, visit.path["id"])
    return Redirect(PATH, notice=f"The rule {gone.value.name} is deleted. What it told stays.")


_act = partial(act, may=May.CONFIGURE, section="settings", again=_one)

PAGES = (
    Page(method="GET", path=PATH, run=_list, title="Notification rules", section="settings"),
    Page(method="GET", path=f"{PATH}/{{id}}", run=_one, title="A notification rule", section="settings"),
    _act(PATH, _save, "Make a notification rule", again=_list),
    _act(PATH + "/{id}", _save, "Change a notification rule"),
    _act(PATH + "/{id}/active", _active, "Switch a notification rule on or off"),
    _act(PATH + "/{id}/remove", _remove, "Delete a notification rule"),
)
