"""How the customer's portal looks, over HTTP: its settings and its logo. An extension of ours."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.api.crud import Reply, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Raw, Route, entity_reply
from tallystick.control import portal_settings
from tallystick.core.logo import LogoType, PortalLogo
from tallystick.core.portal import PortalSettings

PATH, LOGO = "/portalsettings", "/portalsettings/logo"


class LogoReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is kept of a logo."""

    media_type: LogoType
    bytes: int


def _retrieve(call: Call) -> Reply:
    return entity_reply(portal_settings.current(call.records))


def _update(call: Call, body: Any) -> Reply:
    return entity_reply(portal_settings.update(desk_of(call), value_of(PortalSettings, body), body.version))


def _logo(call: Call) -> Raw:
    found = portal_settings.get_logo(call.records).value
    return Raw(found.data, found.media_type, "logo.png" if found.media_type is LogoType.PNG else "logo.svg")


def _kept(logo: PortalLogo) -> LogoReply:
    return LogoReply(media_type=logo.media_type, bytes=len(logo.data))


def _set_logo(call: Call, body: PortalLogo) -> LogoReply:
    return _kept(portal_settings.set_logo(desk_of(call), body).value)


def _remove_logo(call: Call) -> LogoReply:
    return _kept(portal_settings.remove_logo(desk_of(call)).value)


def _route(method: str, path: str, run: object, summary: str, **more: object) -> Route:
    scope = "config:retrieve" if method == "GET" else "config:update"
    return Route(method=method, path=path, run=run, summary=summary, tag="Portal", scope=scope, **more)  # type: ignore[arg-type]  # the named fields of Route


ROUTES = (
    _route("GET", PATH, _retrieve, "Retrieve the portal settings", reply=Envelope(PortalSettings)),
    _route(
        "PUT",
        PATH,
        _update,
        "Replace the portal settings",
        body=request_type(PortalSettings),
        reply=Envelope(PortalSettings),
    ),
    _route("GET", LOGO, _logo, "Download the portal's logo", reply=Raw),
    _route("PUT", LOGO, _set_logo, "Give the portal a logo", body=PortalLogo, reply=LogoReply),
    _route("DELETE", LOGO, _remove_logo, "Take the portal's logo away", reply=LogoReply),
)
