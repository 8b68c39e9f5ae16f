"""Webhooks: where events are sent, how each attempt went, and sending again."""

from __future__ import annotations

from functools import partial

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.webhooks import (
    WEBHOOKS,
    Means,
    WebhookDraft,
    create_webhook,
    delete_with_links,
    deliveries,
    delivery_of,
    links_of,
    ping,
    rotate,
    set_active,
    update_webhook,
)
from tallystick.core import wire
from tallystick.core.integration import EVENT, EVENT_NAMES
from tallystick.core.user import May
from tallystick.core.webhook import DeliveryOutcome
from tallystick.errors import Refusal
from tallystick.pipeline.webhook_replay import replay_run, replay_since
from tallystick.ports import Where
from tallystick.ports.webhook import failing_of

PATH = "/webhooks"
SIZE = 50


def _list(visit: Visit) -> Html:
    found = WEBHOOKS.find(visit.records, Where(), visit.query.page(highest=SIZE))
    failing = {each.id: failing_of(visit.records, each.id) for each in found.rows}
    return Html("webhooks.html", {"rows": found.rows, "failing": failing, "next_token": found.next_token})


def _show(visit: Visit, secret: str | None = None) -> Html:
    webhook = WEBHOOKS.retrieve(visit.records, visit.path["id"])
    return _page(visit, webhook.id, secret)


def _page(visit: Visit, id: str, secret: str | None) -> Html:
    webhook = WEBHOOKS.retrieve(visit.records, id)
    outcome = visit.query.choice("outcome", DeliveryOutcome)
    found = deliveries(visit.records, id, visit.query.page(highest=SIZE), () if outcome is None else (outcome,))
    links = links_of(visit.records, id)
    named = [name for each in links for name in each.value.config_data.get(EVENT_NAMES, [each.value.entity_type])]
    return Html(
        "webhook.html",
        {
            "webhook": webhook,
            "it": webhook.value,
            "secret": secret,
            "names": named,
            "has_key": webhook.value.sealed_api_key is not None,
            # What one integration sends can be changed here; several are looked after one by one.
            "one_link": all(each.value.entity_type == EVENT for each in links) and len(links) <= 1,
            "failing": failing_of(visit.records, id),
            "rows": found.rows,
            "next_token": found.next_token,
            "outcomes": [
                ("", "Any outcome"),
                *((each, each.replace("_", " ").capitalize()) for each in DeliveryOutcome),
            ],
        },
    )


def _create(visit: Visit) -> Html:
    made = create_webhook(visit.desk, _means(visit), _draft(visit, active=True), _names(visit))
    return _page(visit, made.webhook.id, made.secret)


def _change(visit: Visit) -> Redirect:
    id_, form = visit.path["id"], visit.form
    draft = _draft(visit, active=WEBHOOKS.retrieve(visit.records, id_).value.active)
    version = form.number("version", lowest=1, highest=2**31)
    names = _names(visit) if "eventNames" in form.values else None
    update_webhook(visit.desk, _means(visit), id_, draft, version, names)
    return _back(visit, "The webhook is changed.")


def _delete(visit: Visit) -> Redirect:
    gone = delete_with_links(visit.desk, visit.path["id"])
    return Redirect(PATH, notice=f"The webhook {gone.value.name} is deleted; nothing is sent there any more.")


def _draft(visit: Visit, *, active: bool) -> WebhookDraft:
    form = visit.form
    api_key = "" if form.flag("noApiKey") else form.text("apiKey")
    given = {
        "name": form.required("name"),
        "url": form.required("url"),
        "description": form.text("description"),
        "code": form.text("code"),
        "secret": form.text("secret"),
        "apiKey": api_key,
    }
    kept = {name: text for name, text in given.items() if text is not None}
    return wire.decode(WebhookDraft, wire.encode({**kept, "active": active}))


def _names(visit: Visit) -> list[str]:
    return [each.strip() for each in visit.form.required("eventNames").split(",") if each.strip()]


def _ping(visit: Visit) -> Redirect:
    told = ping(visit.desk, visit.app.webhooks, visit.path["id"])
    went = "The test event was delivered." if told.outcome is DeliveryOutcome.DELIVERED else f"It failed: {told.error}."
    return _back(visit, went)


def _active(visit: Visit) -> Redirect:
    on = visit.form.flag("active")
    set_active(visit.desk, _means(visit), visit.path["id"], on)
    return _back(visit, "The webhook is switched on." if on else "The webhook is switched off.")


def _rotate(visit: Visit) -> Html:
    made = rotate(visit.desk, _means(visit), visit.path["id"])
    return _page(visit, made.webhook.id, made.secret)


def _replay_one(visit: Visit) -> Redirect:
    told = delivery_of(visit.records, visit.path["id"], visit.path["delivery"])
    done = replay_run(visit.records, told.run_id, actor=visit.actor, now=visit.now)
    return _back(visit, "It is delivered again." if done.replayed else "It is under way already.")


def _replay(visit: Visit) -> Redirect:
    webhook = WEBHOOKS.retrieve(visit.records, visit.path["id"])
    since = visit.moment("since")
    if since is None:
        raise Refusal("invalid_request", "since: is needed", field="since")
    failed_only = visit.form.flag("failedOnly")
    done = replay_since(
        visit.records, webhook.id, (since, None), failed_only=failed_only, actor=visit.actor, now=visit.now
    )
    return _back(visit, f"{done.replayed} are delivered again, {done.under_way} are under way already.")


def _back(visit: Visit, notice: str) -> Redirect:
    return Redirect(f"{PATH}/{visit.path['id']}", notice=notice)


def _means(visit: Visit) -> Means:
    return Means(visit.app.vault, visit.app.outside)


_act = partial(act, may=May.ADMINISTER, section="settings", again=_show)

PAGES = (
    Page(method="GET", path=PATH, run=_list, title="Webhooks", section="settings"),
    Page(method="GET", path=f"{PATH}/{{id}}", run=_show, title="A webhook and its deliveries", section="settings"),
    _act(PATH, _create, "Send events to an address", again=_list),
    _act(PATH + "/{id}", _change, "Change a webhook"),
    _act(PATH + "/{id}/delete", _delete, "Delete a webhook and what is sent there"),
    _act(PATH + "/{id}/ping", _ping, "Send a test event"),
    _act(PATH + "/{id}/active", _active, "Switch a webhook on or off"),
    _act(PATH + "/{id}/rotate", _rotate, "Give a webhook another secret"),
    _act(PATH + "/{id}/replay", _replay, "Deliver again what happened since a moment"),
    _act(PATH + "/{id}/deliveries/{delivery}/replay", _replay_one, "Deliver again what an attempt was of"),
)
