"""Signing in and out, the link of an invitation, and one's own password."""

from __future__ import annotations

from tallystick.console.entrance import local, session_cookie
from tallystick.console.page import Guest, Html, OpenPage, Page, Redirect, Visit
from tallystick.control import users
from tallystick.control.attempts import Attempts
from tallystick.control.users import SignedIn
from tallystick.core.user import May
from tallystick.errors import Refusal

ATTEMPTS = Attempts()


def _sign_in(guest: Guest) -> Html:
    return Html("sign_in.html", {"next": local(guest.query.text("next"))})


def _signing_in(guest: Guest) -> Redirect:
    email = (guest.form.text("email") or "").lower()
    ATTEMPTS.require_room(email, guest.address, guest.now)
    try:
        _, token = users.sign_in(guest.app.records, email, guest.form.raw("password"), guest.now)
    except Refusal as refusal:
        if refusal.code.name == "sign_in_failed":
            ATTEMPTS.failed(email, guest.address, guest.now)
        raise
    ATTEMPTS.succeeded(email)
    return Redirect(local(guest.query.text("next")), cookies=(session_cookie(guest, token),))


def _invitation(guest: Guest) -> Html:
    user, _ = users.link_owner(guest.app.records, guest.path["token"], guest.now)
    return Html("set_password.html", {"user": user.value})


def _accepting(guest: Guest) -> Redirect:
    _require_same(guest.form.raw("password"), guest.form.raw("again"))
    _, token = users.set_password(guest.app.records, guest.path["token"], guest.form.raw("password"), guest.now)
    return Redirect("/", notice="Your password is set. Welcome.", cookies=(session_cookie(guest, token),))


def _password(_: Visit) -> Html:
    return Html("password.html")


def _changing(visit: Visit) -> Redirect:
    form = visit.form
    _require_same(form.raw("password"), form.raw("again"))
    who = SignedIn(user=visit.user, session=visit.session)
    ATTEMPTS.require_room(visit.user.value.email, visit.guest.address, visit.now)
    try:
        token = users.change_password(visit.app.records, who, form.raw("oldPassword"), form.raw("password"), visit.now)
    except Refusal as refusal:
        if refusal.field == "oldPassword":
            ATTEMPTS.failed(visit.user.value.email, visit.guest.address, visit.now)
        raise
    notice = "Your password is changed. Everywhere else you are signed out."
    return Redirect("/", notice=notice, cookies=(session_cookie(visit.guest, token),))


def _signing_out(visit: Visit) -> Redirect:
    users.sign_out(visit.app.records, visit.session)
    return Redirect("/sign-in", notice="You are signed out.", cookies=(session_cookie(visit.guest, ""),))


def _require_same(password: str, again: str) -> None:
    if password != again:
        raise Refusal("invalid_request", "again: is not the same as the password above", field="again")


OPEN_PAGES = (
    OpenPage(method="GET", path="/sign-in", run=_sign_in, title="Sign in"),
    OpenPage(method="POST", path="/sign-in", run=_signing_in, title="Sign in", again=_sign_in),
    OpenPage(method="GET", path="/invitation/{token}", run=_invitation, title="Set a password by an invitation"),
    OpenPage(
        method="POST",
        path="/invitation/{token}",
        run=_accepting,
        title="Set a password by an invitation",
        again=_invitation,
    ),
)
PAGES = (
    Page(method="GET", path="/password", run=_password, title="Change one's own password", may=May.SEE),
    Page(method="POST", path="/password", run=_changing, title="Change one's own password", again=_password),
    Page(method="POST", path="/sign-out", run=_signing_out, title="Sign out"),
)
