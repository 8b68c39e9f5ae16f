"""The customer's portal as the organisation sees it: how it looks, who was let in, and what customers want to hear."""

from __future__ import annotations

import base64

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import portal_sessions, portal_settings, spend_alerts
from tallystick.control.accounts import ACCOUNTS
from tallystick.core import wire
from tallystick.core.logo import LogoType, PortalLogo
from tallystick.core.portal import PortalPage, PortalSessionRequest, PortalSettings, ShownBills
from tallystick.core.user import May
from tallystick.ports import Page as Part

SETTINGS, ACCOUNT = "/settings/portal", "/accounts/{id}/portal"
SIZE = 25
PNG = b"\x89PNG"


def _settings(visit: Visit) -> Html:
    logo = portal_settings.logo(visit.records)
    shown = None if logo is None else f"data:{logo.value.media_type};base64,{logo.value.content}"
    values = {"settings": portal_settings.current(visit.records), "logo": shown, "PortalPage": PortalPage}
    return Html("portal_settings.html", {**values, "ShownBills": ShownBills})


def _change(visit: Visit) -> Redirect:
    form = visit.form
    typed = {
        "displayName": form.text("displayName"),
        "accentColour": form.text("accentColour"),
        "accentColourDark": form.text("accentColourDark"),
        "supportUrl": form.text("supportUrl"),
        "frameOrigins": (form.text("frameOrigins") or "").split(),
        "pages": [page for page in PortalPage if form.flag(f"page-{page}")],
        "shownBills": form.choice("shownBills", ShownBills),
    }
    given = {name: value for name, value in typed.items() if value is not None}
    value = wire.decode(PortalSettings, wire.encode(given))
    portal_settings.update(visit.desk, value, form.number("version", lowest=1, highest=10**9))
    return Redirect(SETTINGS, notice="The portal looks like this from now on.")


def _logo(visit: Visit) -> Redirect:
    picture = visit.form.files.get("file") or visit.form.required("content").encode()
    kind = LogoType.PNG if picture.startswith(PNG) else LogoType.SVG
    logo = wire.decode(PortalLogo, wire.encode({"mediaType": kind, "content": base64.b64encode(picture).decode()}))
    portal_settings.set_logo(visit.desk, logo)
    return Redirect(SETTINGS, notice="The portal shows this logo from now on.")


def _remove_logo(visit: Visit) -> Redirect:
    portal_settings.remove_logo(visit.desk)
    return Redirect(SETTINGS, notice="The portal shows no logo any more.")


def _account(visit: Visit) -> Html:
    return Html("portal_account.html", _of_account(visit))


def _of_account(visit: Visit) -> dict[str, object]:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"])
    page = Part(size=SIZE, token=visit.query.text("nextToken"))
    sessions = portal_sessions.list_sessions(visit.records, account.id, page)
    alerts = spend_alerts.alerts_of(visit.records, account.id)
    return {
        "account": account,
        "sessions": sessions.rows,
        "next_token": sessions.next_token,
        "alerts": alerts,
        "states": spend_alerts.states_of(visit.records, alerts),
        "link": "",
    }


def _let_in(visit: Visit) -> Html:
    """The link is shown this once, so it is answered at once and not after a redirect."""
    form = visit.form
    typed = {
        "minutes": form.number("minutes", lowest=1, highest=1440),
        "timezone": form.text("timezone"),
        "locale": form.text("locale"),
    }
    given = {name: value for name, value in typed.items() if value is not None}
    asked = wire.decode(PortalSessionRequest, wire.encode(given))
    session = portal_sessions.create_session(visit.desk, visit.path["id"], asked)
    url, _ = portal_sessions.link(visit.app.key, visit.guest.base_url, visit.organization.id, session)
    return Html("portal_account.html", {**_of_account(visit), "link": url})


def _revoke(visit: Visit) -> Redirect:
    portal_sessions.revoke_session(visit.desk, visit.path["id"], visit.path["session"])
    return Redirect(ACCOUNT.replace("{id}", visit.path["id"]), notice="This visit is over.")


PAGES = (
    Page(method="GET", path=SETTINGS, run=_settings, title="How the customer's portal looks", section="settings"),
    Page(
        method="POST",
        path=SETTINGS,
        run=_change,
        title="Change how the portal looks",
        may=May.ADMINISTER,
        section="settings",
        again=_settings,
    ),
    Page(
        method="POST",
        path=SETTINGS + "/logo",
        run=_logo,
        title="Give the portal a logo",
        may=May.ADMINISTER,
        section="settings",
        again=_settings,
    ),
    Page(
        method="POST",
        path=SETTINGS + "/logo/remove",
        run=_remove_logo,
        title="Take the portal's logo away",
        may=May.ADMINISTER,
    ),
    Page(method="GET", path=ACCOUNT, run=_account, title="Portal visits and alerts of an account", section="accounts"),
    Page(
        method="POST",
        path=ACCOUNT,
        run=_let_in,
        title="Give a customer a link to their portal",
        may=May.MEND,
        section="accounts",
        again=_account,
    ),
    Page(
        method="POST",
        path=ACCOUNT + "/{session}/revoke",
        run=_revoke,
        title="End a customer's visit of the portal",
        may=May.MEND,
    ),
)
