"""API keys: the service users of the organisation. A secret is shown once, by the page that made it."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import service_users
from tallystick.core.user import May

MEANINGS = {
    "all": "Everything",
    "config:create": "Create catalogue, accounts, bills",
    "config:retrieve": "Read catalogue, accounts, bills",
    "config:update": "Change catalogue, accounts, bills",
    "config:delete": "Delete catalogue, accounts, bills",
    "measurements:upload": "Send measurements",
    "measurements:fileupload": "Send files of measurements",
    "measurements:retrieve": "Read measurements that failed",
    "analytics:query": "Ask for usage",
}
assert MEANINGS.keys() == set(service_users.SCOPES)


def _keys(visit: Visit) -> Html:
    rows = service_users.find(visit.app.records, visit.organization.id)
    return Html("keys.html", {"rows": rows, "scopes": MEANINGS, "made": None, "secret": ""})


def _create(visit: Visit) -> Html:
    name, scopes = visit.form.required("name"), visit.form.texts("scopes")
    user, secret = service_users.create(visit.app.records, visit.organization.id, name, scopes, visit.now)
    return Html("keys.html", {**_keys(visit).values, "made": user, "secret": secret})


def _revoke(visit: Visit) -> Redirect:
    user = service_users.revoke(visit.app.records, visit.organization.id, visit.path["id"], visit.now)
    return Redirect("/keys", notice=f"The key {user.name} is revoked; within a second nothing accepts it.")


PAGES = (
    Page(method="GET", path="/keys", run=_keys, title="API keys", may=May.ADMINISTER, section="settings"),
    Page(
        method="POST",
        path="/keys",
        run=_create,
        title="Make an API key",
        may=May.ADMINISTER,
        section="settings",
        again=_keys,
    ),
    Page(method="POST", path="/keys/{id}/revoke", run=_revoke, title="Revoke an API key", may=May.ADMINISTER),
)
