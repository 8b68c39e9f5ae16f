"""Webhooks: where events are sent, how each attempt went, and sending again."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.integrations import create_integration
from tallystick.control.webhooks import (
    WEBHOOKS,
    Means,
    WebhookDraft,
    create_webhook,
    deliveries,
    delivery_of,
    ping,
    rotate,
    set_active,
)
from tallystick.core.integration import EVENT, EVENT_NAMES, Destination, IntegrationConfig
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
    links = visit.records.every(IntegrationConfig, Where(equal={"destination_id": (id,)}))
    named = [name for each in links for name in each.value.config_data.get(EVENT_NAMES, [each.value.entity_type])]
    return Html(
        "webhook.html",
        {
            "webhook": webhook,
            "it": webhook.value,
            "secret": secret,
            "names": named,
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
    form = visit.form
    names = [each.strip() for each in form.required("eventNames").split(",") if each.strip()]
    draft = WebhookDraft(
        name=form.required("name"), url=form.required("url"), secret=form.text("secret"), api_key=form.text("apiKey")
    )
    made = create_webhook(visit.desk, _means(visit), draft)
    link = IntegrationConfig(
        entity_type=EVENT,
        destination=Destination.WEBHOOK,
        destination_id=made.webhook.id,
        name=draft.name,
        config_data={EVENT_NAMES: names},
    )
    create_integration(visit.desk, visit.app.vault, link, None)
    return _page(visit, made.webhook.id, made.secret)


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


def _act(path: str, run: object, title: str, again: object = _show) -> Page:
    assert callable(run)
    assert callable(again)
    return Page(
        method="POST", path=PATH + path, run=run, title=title, may=May.ADMINISTER, section="settings", again=again
    )


PAGES = (
    Page(method="GET", path=PATH, run=_list, title="Webhooks", section="settings"),
    Page(method="GET", path=f"{PATH}/{{id}}", run=_show, title="A webhook and its deliveries", section="settings"),
    _act("", _create, "Send events to an address", _list),
    _act("/{id}/ping", _ping, "Send a test event"),
    _act("/{id}/active", _active, "Switch a webhook on or off"),
    _act("/{id}/rotate", _rotate, "Give a webhook another secret"),
    _act("/{id}/replay", _replay, "Deliver again what happened since a moment"),
    _act("/{id}/deliveries/{delivery}/replay", _replay_one, "Deliver again what an attempt was of"),
)
