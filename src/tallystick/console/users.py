"""Users of the organisation: who they are, inviting them, their roles, and ending their access."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tallystick.console.page import Answer, Html, Page, Redirect, Visit
from tallystick.control import users
from tallystick.core.period import Instant
from tallystick.core.user import May, Role, User
from tallystick.errors import Refusal
from tallystick.ports import Page as Part
from tallystick.ports import Where

SIZE = 50
ROLES = (
    (Role.ADMIN, "Admin: everything"),
    (Role.BILLING, "Billing: prices, accounts, bills"),
    (Role.SUPPORT, "Support: look, mend failed measurements"),
    (Role.READ_ONLY, "Read only"),
)


def _users(visit: Visit) -> Html:
    found = visit.records.find(User, Where(), Part(size=SIZE, token=visit.query.text("nextToken")))
    rows = [(each, users.last_sign_in(visit.app.records, each)) for each in found.rows]
    return Html("users.html", {"rows": rows, "next_token": found.next_token, "roles": ROLES, "link": None})


def _invite(visit: Visit) -> Html:
    form = visit.form
    role = form.choice("role", Role)
    if role is None:
        raise Refusal("invalid_request", "role: is needed", field="role")
    first, last = form.text("firstName") or "", form.text("lastName") or ""
    user, token = users.invite(visit.desk, form.required("email"), role, first_name=first, last_name=last)
    return _with_link(visit, user.value, token)


def _new_link(visit: Visit) -> Html:
    user, token = users.new_link(visit.desk, visit.path["id"])
    return _with_link(visit, user.value, token)


def _with_link(visit: Visit, user: User, token: str) -> Html:
    """The list, and once the link: only its digest is kept."""
    shown = _users(visit)
    link = f"{visit.guest.base_url}/invitation/{token}"
    return Html("users.html", {**shown.values, "link": link, "invited": user})


def _change_role(visit: Visit) -> Redirect:
    role = visit.form.choice("role", Role)
    if role is None:
        raise Refusal("invalid_request", "role: is needed", field="role")
    user = users.change(visit.desk, visit.path["id"], lambda before: msgspec.structs.replace(before, role=role))
    return Redirect("/users", notice=f"{user.value.name} is {role.replace('_', ' ').lower()} now, and signed out.")


def _end(visit: Visit) -> Redirect:
    user = users.change(visit.desk, visit.path["id"], lambda before: _until(before, visit.now))
    return Redirect("/users", notice=f"The access of {user.value.name} has ended.")


def _restore(visit: Visit) -> Redirect:
    user = users.change(visit.desk, visit.path["id"], lambda before: _until(before, None))
    return Redirect("/users", notice=f"{user.value.name} may sign in again.")


def _until(user: User, end: Instant | None) -> User:
    return msgspec.structs.replace(user, dt_end_access=end)


def _post(path: str, run: Callable[[Visit], Answer], title: str) -> Page:
    return Page(method="POST", path=path, run=run, title=title, may=May.ADMINISTER, section="settings", again=_users)


PAGES = (
    Page(method="GET", path="/users", run=_users, title="Users", may=May.ADMINISTER, section="settings"),
    _post("/users", _invite, "Invite a user"),
    _post("/users/{id}/link", _new_link, "Make another link for a user"),
    _post("/users/{id}/role", _change_role, "Give a user another role"),
    _post("/users/{id}/end", _end, "End the access of a user"),
    _post("/users/{id}/restore", _restore, "Let a user sign in again"),
)
