"""Events, notification rules and integrations in the console: what happened, who is told, and handing over again."""

from __future__ import annotations

import re
import time

import httpx
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

RULE = {
    "name": "Renamed",
    "code": "renamed",
    "description": "An account has another name",
    "eventName": "configuration.account.updated",
    "calculation": "new.nam != old.name",
}
ACCOUNT = {"name": "Acme", "code": "acme", "emailAddress": "ap@acme.example"}
TOLD = {
    "eventNames": ["configuration.account.*"],
    "to": ["erp@acme.example"],
}  # there is no mail server: each run fails
NOWHERE = {"entityType": "Event", "destination": "EMAIL", "name": "To the ERP", "configData": TOLD}


def test_a_rule_is_made_of_events_and_what_it_told_is_found(admin: Visitor, http: httpx.Client) -> None:
    admin.get("/notifications")
    refused = admin.post("/notifications", RULE, status=422)
    assert "<code><mark>n</mark>ew.nam != old.name</code>" in refused, "the place of the mistake"
    assert 'value="An account has another name"' in refused, "what was typed is still there"
    made = admin.post("/notifications", {**RULE, "calculation": "new.name != old.name"})
    assert "The rule Renamed is saved." in made
    page = _link(admin.get("/notifications"), "notifications")
    assert "calculation: give a formula" in admin.post(page, {**RULE, "calculation": "", "version": "1"}, status=422)
    account = _renamed(http)
    told = _until(admin, page, "What it told last", 'href="/events/')
    notification = _link(told, "events")
    assert "notificationCode" in admin.get(notification)
    cause = re.search(r'href="(/events/[^"]+)">The event that it came of', admin.get(notification))
    assert cause is not None
    said = admin.get(cause[1])
    assert '<strong>Acme &lt;b&gt;</strong></td><td class="wrap">Acme</td>' in said, "now and before, escaped"
    assert said.index("<code>name</code>") < said.index("<code>code</code>"), "what differs comes first"
    assert notification in said
    assert notification in admin.get(f"/events?notificationId={page.rpartition('/')[2]}")
    for typed in ("acme", account):
        found = admin.get(f"/events?account={typed}&eventName=configuration.account.updated")
        assert re.findall(r'href="/events/([^"]+)"', found) == [cause[1].rpartition("/")[2]], "by code and by id"
    assert "No such event." in admin.get("/events?account=nobody")
    assert "switched off" in admin.post(f"{page}/active")
    assert ">Off<" in admin.get("/notifications")
    assert "switched on" in admin.post(f"{page}/active", {"active": "true"})
    assert "The rule Renamed is deleted" in admin.post(f"{page}/remove")
    assert "No rules yet." in admin.get("/notifications")
    admin.get(page, status=404)


def test_a_run_that_failed_is_handed_over_again(admin: Visitor, http: httpx.Client) -> None:
    config = read(send(http, "POST", "/integrationconfigs", NOWHERE))["id"]
    other = read(send(http, "POST", "/integrationconfigs", {**NOWHERE, "name": "Elsewhere", "enabled": False}))["id"]
    _renamed(http)
    here = f"/integrations/{config}"
    page = _until(admin, f"{here}?status=ERROR", "configuration.account.updated", "/retry")
    event = re.search(r'href="(/events/[^"]+)">configuration.account.updated', page)
    assert event is not None
    retry = re.search(r'action="(/integrations/[^/"]+/runs/[^/"]+/retry)"', page)
    assert retry is not None
    of_event = admin.get(event[1])
    assert f'<a href="{here}">To the ERP</a>' in of_event
    assert ">Error<" in of_event
    listed = admin.get("/integrations")
    assert (listed.count(">On<"), listed.count(">Off<"), listed.count("none yet")) == (1, 1, 1)
    assert "of another integration" in admin.post(retry[1].replace(config, other), status=404)
    assert "It is handed over again." in admin.post(retry[1])
    (noted,) = read(http.get("/audit", params={"action": "RETRY"}))["data"]
    assert noted["entityId"] == retry[1].split("/")[4]
    assert "until it is enabled" in admin.post(f"{here}/enabled")
    assert not read(http.get(f"/integrationconfigs/{config}"))["enabled"]
    assert "handed over from now on" in admin.post(f"{here}/enabled", {"enabled": "true"})
    assert "There is no such run." in admin.get(f"/integrations/{other}")


def test_only_administrators_read_what_is_told_of_users(admin: Visitor, organization: Tenant) -> None:
    reader = signed_in(organization, Role.READ_ONLY)
    users = "/events?eventName=configuration.user.created"
    event = _link(admin.get(users), "events")
    assert "company.example" in admin.get(event)
    assert "company.example" not in reader.get(users).split("<main", 1)[1]
    shown = reader.get(event).split("<main", 1)[1]
    assert "Only administrators see" in shown
    assert "company.example" not in shown
    assert 'action="/notifications' not in reader.get("/notifications")


def _renamed(http: httpx.Client) -> str:
    made = read(send(http, "POST", "/accounts", ACCOUNT))
    read(send(http, "PUT", f"/accounts/{made['id']}", {**ACCOUNT, "name": "Acme <b>", "version": 1}))
    return str(made["id"])


def _link(page: str, noun: str) -> str:
    found = re.search(rf'href="(/{noun}/[^"]+)"', page)
    assert found is not None, f"no link to one of {noun}"
    return found[1]


def _until(visitor: Visitor, path: str, *texts: str) -> str:
    """A page, once it shows all of some texts."""
    until = time.monotonic() + 30
    while not all(each in (page := visitor.get(path)) for each in texts):
        assert time.monotonic() < until, page
        time.sleep(0.05)
    return page
