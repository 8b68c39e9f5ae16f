"""The way into the portal: a link is exchanged for a visit, and each request of a visit is held against its session.

In a tab the visit is a cookie, in a frame it is in the path (docs/decisions/0295-portal-sessions.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import msgspec

from tallystick.console.answering import POLICY
from tallystick.console.page import Cookie, File, Guest, Html, OpenPage, Redirect
from tallystick.console.portal import alerts, bills, credit, overview, theme
from tallystick.console.portal.page import Answer, Asked, View
from tallystick.console.portal.reading import Reading
from tallystick.console.portal.visit import PORTAL_SESSION, Invoicing, PortalVisit
from tallystick.console.static import FILES
from tallystick.control import portal_sessions, portal_settings
from tallystick.control.portal_sessions import PortalToken, TokenUse
from tallystick.core.portal import PortalPage, PortalSession
from tallystick.errors import Family, Refusal
from tallystick.ports import Actor, OrganizationRecords
from tallystick.ports.audit import Origin, acting
from tallystick.web.undecodable import refusal_of

BASE, FRAMED = "/portal", "/portal/e"
COOKIE = "tallystick-portal"
KEY = "form-key"  # the field of every form that says it belongs to the session
EMBED_SECONDS = 3600  # that browsers keep the script of embedding pages

VIEWS: tuple[View, ...] = (*overview.VIEWS, *bills.VIEWS, *credit.VIEWS, *alerts.VIEWS, *theme.VIEWS)
# The navigation: what it is called, where it leads, and the part of the portal that it is.
NAVIGATION = (
    ("Overview", "", None),
    ("Bills", "/bills", PortalPage.BILLS),
    ("Credit", "/credit", PortalPage.BALANCES),
    ("Alerts", "/alerts", PortalPage.ALERTS),
)


def _open(guest: Guest) -> Answer:
    """Exchange a link for a visit in this tab."""
    token = _link(guest)
    records = _records(guest, token)
    try:
        with _acting(guest, token.session_id):
            session = portal_sessions.open_session(records, token, guest.now)
    except Refusal:
        if _same_visit(guest, token):
            return Redirect(BASE)  # opened before, here: a reload, or the way back
        raise
    visit = portal_sessions.issue(guest.app.key, _as(token, TokenUse.VISIT), session.expires_at)
    seconds = int((session.expires_at - guest.now).total_seconds())
    return Redirect(BASE, cookies=(Cookie(name=COOKIE, value=visit, seconds=seconds, secure=guest.secure, path=BASE),))


def _embed(guest: Guest) -> Answer:
    """Exchange a link for a visit in a frame."""
    token = _link(guest)
    records = _records(guest, token)
    _require_frame(guest, records)
    with _acting(guest, token.session_id):
        session = portal_sessions.open_session(records, token, guest.now)
    visit = portal_sessions.issue(guest.app.key, _as(token, TokenUse.FRAME), session.expires_at)
    return Redirect(f"{FRAMED}/{visit}")


def _script(_: Guest) -> File:
    file = FILES["embed.js"]
    headers = {"cache-control": f"public, max-age={EMBED_SECONDS}", "cross-origin-resource-policy": "cross-origin"}
    return File(file.body, file.media_type, headers=headers)


def _in_tab(view: View, guest: Guest) -> Answer:
    token = portal_sessions.read_token(guest.app.key, guest.cookies.get(COOKIE, ""), guest.now, TokenUse.VISIT)
    return _answer(view, guest, token, BASE, {})


def _in_frame(view: View, guest: Guest) -> Answer:
    token = portal_sessions.read_token(guest.app.key, guest.path["visit"], guest.now, TokenUse.FRAME)
    origins = _require_frame(guest, _records(guest, token))
    policy = POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(origins)}")
    headers = {"content-security-policy": policy, "x-frame-options": ""}
    return _answer(view, guest, token, f"{FRAMED}/{guest.path['visit']}", headers)


def _answer(view: View, guest: Guest, token: PortalToken, base: str, headers: Mapping[str, str]) -> Answer:
    """What a page answers to a visit, within the portal's layout."""
    records = _records(guest, token)
    session = portal_sessions.present_session(records, token, guest.now)
    key = portal_sessions.form_key(guest.app.key, session.id)
    if view.method == "POST" and not hmac.compare_digest(guest.form.raw(KEY).encode(), key.encode()):
        raise Refusal("forbidden", "form: this form belongs to another visit; go back, reload, and send it again")
    visit = _visit(guest, records, session, token)
    asked = Asked(base=base, path=guest.path, query=guest.query, form=guest.form)
    around = {
        **_around(visit, view, base),
        "form_key": key,
        "key_name": KEY,
        "framed": bool(headers),
        "query": guest.query.values,
    }
    if view.part is not None and view.part not in visit.settings.pages:
        return _within(Html("portal/problem.html"), around, headers, status=404)
    try:
        with _acting(guest, session.id):
            return _within(view.run(visit, asked), around, headers)
    except (Refusal, msgspec.ValidationError) as problem:
        refusal = problem if isinstance(problem, Refusal) else refusal_of(problem)
        typed = {"problem": refusal, "typed": guest.form}
        if view.again is not None and refusal.code.family is Family.INVALID:
            return _within(view.again(visit, asked), {**around, **typed}, headers, status=422)
        status = {Family.NOT_FOUND: 404, Family.BUSY: 503}.get(refusal.code.family, 400)
        said = None if status == 404 else refusal  # of what is not there nothing is said
        return _within(Html("portal/problem.html", {"problem": said}), around, headers, status=status)


def _acting(guest: Guest, session_id: str) -> AbstractContextManager[None]:
    """What is written is written on behalf of the visit."""
    actor = Actor(id=session_id, kind=PORTAL_SESSION)
    return acting(Origin(actor=actor, at=guest.now, request_id=guest.request_id))


def _within(answer: Answer, around: Mapping[str, Any], headers: Mapping[str, str], status: int = 200) -> Answer:
    match answer:
        case Html():
            values = {"problem": None, "typed": None, **around, **answer.values}
            return Html(answer.template, values, status=status, headers={**headers, **answer.headers})
        case File():
            return File(answer.body, answer.media_type, answer.name, headers={**headers, **answer.headers})
        case Redirect():
            return answer


def _around(visit: PortalVisit, view: View, base: str) -> dict[str, Any]:
    shown = [each for each in NAVIGATION if each[2] is None or each[2] in visit.settings.pages]
    return {
        "portal": visit,
        "show": visit.show,
        "zone": visit.show.zone,
        "base": base,
        "navigation": shown,
        "here": view.path,
        "logo": visit.logo() is not None,
        "origins": " ".join(visit.settings.frame_origins),
    }


def _visit(guest: Guest, records: OrganizationRecords, session: PortalSession, token: PortalToken) -> PortalVisit:
    organization = guest.app.records.find_organization(token.organization_id)
    assert organization is not None, "its records were found"
    return PortalVisit(
        records,
        guest.app.usage.organization(token.organization_id),
        session,
        organization=organization,
        invoicing=Invoicing(printer=guest.app.printer, directory=guest.app.settings.invoices),
        up_to=guest.app.usage.mark,
        now=guest.now,
    )


def _link(guest: Guest) -> PortalToken:
    return portal_sessions.read_token(guest.app.key, guest.query.text("token") or "", guest.now, TokenUse.LINK)


def _records(guest: Guest, token: PortalToken) -> OrganizationRecords:
    if guest.app.records.find_organization(token.organization_id) is None:
        raise Refusal("forbidden", "token: this link is of an organisation that is not here")
    return guest.app.records.organization(token.organization_id)


def _as(token: PortalToken, use: TokenUse) -> PortalToken:
    return PortalToken(token.organization_id, token.account_id, token.session_id, use)


def _same_visit(guest: Guest, link: PortalToken) -> bool:
    """Whether this browser has the visit that the link was exchanged for."""
    try:
        token = portal_sessions.read_token(guest.app.key, guest.cookies.get(COOKIE, ""), guest.now, TokenUse.VISIT)
        portal_sessions.present_session(_records(guest, token), token, guest.now)
    except Refusal:
        return False
    return token.session_id == link.session_id


def _require_frame(guest: Guest, records: OrganizationRecords) -> tuple[str, ...]:
    """The origins that may frame the portal; Refusal when there are none, or when it is no frame that asks."""
    origins = portal_settings.current(records).value.frame_origins
    if not origins:
        raise Refusal("forbidden", "frame: no page may embed this portal; open the link in a tab of its own")
    if guest.destination == "document":
        raise Refusal("forbidden", "frame: this address is only for the page that embeds it; ask for a link")
    return origins


def _over(run: Any, guest: Guest) -> Answer:
    """An expired-link page where there is no visit."""
    try:
        answer: Answer = run(guest)
    except Refusal as problem:
        if problem.code.name != "forbidden":
            raise
        show = Reading.of("en", "UTC")
        return Html("portal/over.html", {"show": show, "reason": problem.message.partition(": ")[2]}, status=403)
    return answer


OPEN_PAGES: tuple[OpenPage, ...] = (
    OpenPage(method="GET", path=f"{BASE}/open", run=partial(_over, _open), title="Open the portal by a link"),
    OpenPage(method="GET", path=f"{BASE}/embed", run=partial(_over, _embed), title="Open the portal in a frame"),
    OpenPage(method="GET", path=f"{BASE}/embed.js", run=_script, title="The script of pages that embed the portal"),
    *(
        OpenPage(
            method=view.method, path=BASE + view.path, run=partial(_over, partial(_in_tab, view)), title=view.title
        )
        for view in VIEWS
    ),
    *(
        OpenPage(
            method=view.method,
            path=f"{FRAMED}/{{visit}}{view.path}",
            run=partial(_over, partial(_in_frame, view)),
            title=f"{view.title} (in a frame)",
        )
        for view in VIEWS
    ),
)
