"""E-mail: what is sent, in which words, with a sample filled in, and who wants none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control.emails import OPT_OUTS, TEMPLATES, current_settings, preview, update_settings
from tallystick.core import wire
from tallystick.core.email import EmailOptOut, EmailSettings, EmailTemplate, MessageKind, SendBills
from tallystick.core.email_words import SAMPLES
from tallystick.core.entity import Entity, Value
from tallystick.core.user import May
from tallystick.email_text import best_words
from tallystick.errors import Refusal
from tallystick.ports import Where
from tallystick.web.undecodable import refusal_of

V = TypeVar("V", bound=Value)

PATH = "/settings/email"
TEMPLATE = PATH + "/templates"
OPT_OUT = PATH + "/optouts"
SIZE = 50
SENT = (
    (SendBills.NEVER, "Never"),
    (SendBills.APPROVED, "Once a bill is approved"),
    (SendBills.LOCKED, "Once a bill is locked"),
)
KINDS = (
    (MessageKind.BILL, "A bill, as PDF"),
    (MessageKind.ALERT, "A spend alert that fired"),
    (MessageKind.EVENT, "Another event, for colleagues"),
)


def _settings(visit: Visit) -> Html:
    there = current_settings(visit.records)
    return Html(
        "email_settings.html",
        {
            "it": EmailSettings() if there is None else there.value,
            "version": 0 if there is None else there.version,
            "sender": visit.app.settings.smtp_from if visit.app.settings.smtp_host else None,
            "links": bool(visit.app.settings.public_url),
            "sent": SENT,
        },
    )


def _save(visit: Visit) -> Redirect:
    form = visit.form
    given = {
        "senderName": form.text("senderName"),
        "replyTo": form.text("replyTo"),
        "sendBills": form.choice("sendBills", SendBills),
        "sendAlerts": form.flag("sendAlerts"),
        "copiesTo": (form.text("copiesTo") or "").replace(",", " ").split(),
    }
    version = form.number("version", lowest=0, highest=2**31)
    update_settings(visit.desk, _read(EmailSettings, given), version)
    return Redirect(PATH, notice="The settings are saved.")


def _templates(visit: Visit) -> Html:
    found = TEMPLATES.find(visit.records, Where(), visit.query.page(highest=SIZE))
    return Html("email_templates.html", {"rows": found.rows, "next_token": found.next_token, "kinds": KINDS})


def _new(visit: Visit) -> Html:
    """A form that begins with the words that are sent so far."""
    kind = visit.query.choice("messageKind", MessageKind) or MessageKind.BILL
    language = visit.query.text("language") or "en"
    own = [each.value for each in visit.records.every(EmailTemplate, Where())]
    start = wire.decode(dict[str, Any], wire.encode(best_words(own, kind, language)))
    return _form(visit, None, _read(EmailTemplate, {**start, "language": language}))


def _edit(visit: Visit) -> Html:
    there = TEMPLATES.retrieve(visit.records, visit.path["template"])
    return _form(visit, there, there.value)


def _form(visit: Visit, there: Entity[EmailTemplate] | None, value: EmailTemplate) -> Html:
    """The form, and beside it a sample: of what was typed, else of what is kept."""
    return Html(
        "email_template.html",
        {
            "template": there,
            "it": value,
            "here": TEMPLATE if there is None else f"{TEMPLATE}/{there.id}",
            "kinds": KINDS,
            "names": {kind: ", ".join(_names(SAMPLES[kind])) for kind in MessageKind},
            "filled": preview(value),
        },
    )


def _keep(visit: Visit) -> Html | Redirect:
    value = _typed(visit)
    if visit.form.flag("preview"):
        return _form(visit, None, value)
    made = TEMPLATES.create(visit.desk, value)
    return Redirect(f"{TEMPLATE}/{made.id}", notice="These words are sent from now on.")


def _change(visit: Visit) -> Html | Redirect:
    there, value = TEMPLATES.retrieve(visit.records, visit.path["template"]), _typed(visit)
    if visit.form.flag("preview"):
        return _form(visit, there, value)
    TEMPLATES.update(visit.desk, there.id, value, visit.form.number("version", lowest=1, highest=2**31))
    return Redirect(f"{TEMPLATE}/{there.id}", notice="These words are sent from now on.")


def _delete(visit: Visit) -> Redirect:
    TEMPLATES.delete(visit.desk, visit.path["template"])
    return Redirect(TEMPLATE, notice="The words are deleted: those of the next best language are sent.")


def _typed(visit: Visit) -> EmailTemplate:
    form = visit.form
    given = {
        "messageKind": form.choice("messageKind", MessageKind),
        "language": form.required("language"),
        "subject": form.required("subject"),
        "text": form.raw("text") or form.required("text"),
        "html": form.raw("html") or None,
    }
    return _read(EmailTemplate, given)


def _opt_outs(visit: Visit) -> Html:
    address = (visit.query.text("search") or "").lower()
    where = Where(equal={"address": (address,)}) if address else Where()
    found = OPT_OUTS.find(visit.records, where, visit.query.page(highest=SIZE))
    return Html("email_optouts.html", {"rows": found.rows, "next_token": found.next_token, "kinds": KINDS})


def _decline(visit: Visit) -> Redirect:
    form = visit.form
    given = {"address": form.required("address").lower(), "messageKind": form.choice("messageKind", MessageKind)}
    made = OPT_OUTS.create(visit.desk, _read(EmailOptOut, given))
    return Redirect(OPT_OUT, notice=f"{made.value.address} gets no messages of this kind any more.")


def _send_again(visit: Visit) -> Redirect:
    gone = OPT_OUTS.delete(visit.desk, visit.path["optout"])
    return Redirect(OPT_OUT, notice=f"{gone.value.address} gets messages of this kind again.")


def _read(of: type[V], given: Mapping[str, object]) -> V:
    """A value from what was typed, by the rules of the wire; what is wrong in a list is told beside its field."""
    try:
        return wire.decode(of, wire.encode({name: each for name, each in given.items() if each is not None}))
    except msgspec.ValidationError as problem:
        why = refusal_of(problem)
        raise Refusal("invalid_request", why.message, field=(why.field or "").partition("[")[0] or None) from None


def _names(sample: Mapping[str, object]) -> Iterator[str]:
    """What a kind's words can show: account.name, bill.total."""
    for name, value in sample.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{each}" for each in value)
        else:
            yield name


_act = partial(act, may=May.ADMINISTER, section="settings")

PAGES = (
    Page(method="GET", path=PATH, run=_settings, title="What is sent by e-mail", section="settings"),
    _act(PATH, _save, "Say what is sent by e-mail", again=_settings),
    Page(method="GET", path=TEMPLATE, run=_templates, title="Words of messages", section="settings"),
    Page(method="GET", path=TEMPLATE + "/new", run=_new, title="Words of your own", section="settings"),
    _act(TEMPLATE, _keep, "Fill in or keep words of a message", again=_new),
    Page(method="GET", path=TEMPLATE + "/{template}", run=_edit, title="Words of a message", section="settings"),
    _act(TEMPLATE + "/{template}", _change, "Fill in or change words of a message", again=_edit),
    _act(TEMPLATE + "/{template}/delete", _delete, "Delete words of a message"),
    Page(method="GET", path=OPT_OUT, run=_opt_outs, title="Who wants no messages", section="settings"),
    _act(OPT_OUT, _decline, "Send an address no messages of a kind", again=_opt_outs),
    _act(OPT_OUT + "/{optout}/delete", _send_again, "Send messages to an address again"),
)
