"""E-mail over HTTP: what is sent, in which words, who wants none. An extension of ours."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.api.crud import IDS, Crud, Reply, desk_of, request_type, value_of, where_of
from tallystick.api.routing import Call, Envelope, Route, entity_reply
from tallystick.control.emails import OPT_OUTS, TEMPLATES, current_settings, preview, update_settings
from tallystick.core.email import EmailSettings, EmailTemplate
from tallystick.ports import Where

TAG = "E-mail"
SETTINGS = "/emailsettings"


class EmailPreview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message with a sample filled in."""

    subject: str
    text: str
    html: str | None = None


def _retrieve(call: Call) -> Reply:
    there = current_settings(call.records)
    if there is not None:
        return entity_reply(there)
    return {"id": call.organization_id, "version": 0, **msgspec.to_builtins(EmailSettings())}


def _update(call: Call, body: Any) -> Reply:
    return entity_reply(update_settings(desk_of(call), value_of(EmailSettings, body), body.version))


def _preview(_: Call, body: EmailTemplate) -> EmailPreview:
    filled = preview(body)
    return EmailPreview(subject=filled.subject, text=filled.text, html=filled.html)


def _templates(call: Call) -> Where:
    query = call.query
    return where_of(
        call, id=query.texts("ids"), message_kind=query.text("messageKind"), language=query.text("language")
    )


def _opt_outs(call: Call) -> Where:
    query = call.query
    return where_of(call, id=query.texts("ids"), address=query.text("address"), message_kind=query.text("messageKind"))


ROUTES = (
    Route(
        method="GET",
        path=SETTINGS,
        run=_retrieve,
        summary="Retrieve what is sent by e-mail",
        tag=TAG,
        scope="config:retrieve",
        reply=Envelope(EmailSettings),
    ),
    Route(
        method="PUT",
        path=SETTINGS,
        run=_update,
        summary="Say what is sent by e-mail",
        tag=TAG,
        scope="config:update",
        body=request_type(EmailSettings),
        reply=Envelope(EmailSettings),
    ),
    Route(
        method="POST",
        path="/emailtemplates/preview",
        run=_preview,
        summary="Fill in the words of a message with a sample",
        tag=TAG,
        scope="config:retrieve",
        body=EmailTemplate,
        reply=EmailPreview,
    ),
    *Crud(
        noun=TEMPLATES,
        path="/emailtemplates",
        tag=TAG,
        where=_templates,
        filters={
            "ids": IDS,
            "messageKind": "Only words of this kind of message.",
            "language": "Only words in this language.",
        },
    ).routes(),
    *Crud(
        noun=OPT_OUTS,
        path="/emailoptouts",
        tag=TAG,
        where=_opt_outs,
        filters={
            "ids": IDS,
            "address": "Only of this address, in small letters.",
            "messageKind": "Only of this kind of message.",
        },
    ).routes(),
)
