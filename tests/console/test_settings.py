"""Stories of an administrator: settings, lists, people, keys."""

from __future__ import annotations

import re

import httpx
from visitor import PASSWORD, Visitor

from tenant import Tenant


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send for the inputs of a page as they are."""
    sent = {}
    for tag in re.findall(r"<input\b[^>]*>", page):
        at = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" in at and (at["type"] != "checkbox" or " checked" in tag):
            sent[at["name"]] = at["value"]
    for name, options in re.findall(r'<select id="[^"]*" name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        values = re.findall(r'<option value="([^"]*)"( selected)?', options)
        sent[name] = next((value for value, chosen in values if chosen), values[0][0])
    return sent


def test_saving_the_settings_unchanged_changes_nothing(admin: Visitor, http: httpx.Client) -> None:
    config = http.get("/organizationconfig").json()
    config |= {"billPrefix": "INV-", "scheduledBillInterval": 6, "autoApproveBillsGracePeriod": 2}
    config |= {"autoApproveBillsGracePeriodUnit": "DAYS", "consolidateBills": True, "timezone": "Europe/Berlin"}
    before = http.put("/organizationconfig", json=config).json()
    assert "The settings are saved." in admin.post("/settings", fields_of(admin.get("/settings")))
    after = http.get("/organizationconfig").json()
    volatile = {"version", "dtLastModified", "lastModifiedBy"}
    assert {k: v for k, v in after.items() if k not in volatile} == {
        k: v for k, v in before.items() if k not in volatile
    }


def test_a_setting_that_does_not_hold_is_told_beside_its_field(admin: Visitor, http: httpx.Client) -> None:
    fields = fields_of(admin.get("/settings")) | {"timezone": "Mars/Olympus", "billPrefix": "kept-"}
    page = admin.post("/settings", fields, 422)
    assert 'id="timezone-error"' in page
    assert 'value="kept-"' in page
    assert http.get("/organizationconfig").json()["timezone"] == "UTC"


def test_two_administrators_do_not_overwrite_each_other(admin: Visitor, http: httpx.Client) -> None:
    fields = fields_of(admin.get("/settings"))
    admin.post("/settings", fields | {"billPrefix": "A"})
    assert "version" in admin.post("/settings", fields | {"billPrefix": "B"}, 422)
    assert http.get("/organizationconfig").json()["billPrefix"] == "A"


def test_lists(admin: Visitor, http: httpx.Client) -> None:
    admin.get("/settings/lists")
    assert "Outage" in admin.post("/settings/lists/creditreason", {"name": "Outage", "code": "outage"})
    assert "Apart" in admin.post("/settings/lists/billgroupingkey", {"name": "Apart", "exclusive": "true"})
    (reason,) = http.get("/picklists/creditreasons").json()["data"]
    assert "Outage is archived." in admin.post(f"/settings/lists/creditreason/{reason['id']}/archive")
    assert http.get("/picklists/creditreasons").json()["data"][0]["archived"] is True
    assert "Outage is back." in admin.post(f"/settings/lists/creditreason/{reason['id']}/archive")
    euro = {"name": "Euro", "code": "EUR", "maxDecimalPlaces": "2", "roundingMode": "HALF_UP"}
    assert "The currency EUR is there." in admin.post("/settings/currencies", euro)
    admin.post("/settings/lists/user", {"name": "x"}, 404)


def test_a_colleague_is_invited_promoted_and_leaves(admin: Visitor, organization: Tenant) -> None:
    admin.get("/users")
    email = f"ann-{organization.id[:8]}@company.example"
    page = admin.post("/users", {"email": email, "firstName": "Ann", "lastName": "Lee", "role": "READ_ONLY"})
    link = re.search(r"<code>(http[^<]+/invitation/[^<]+)</code>", page)
    assert link is not None
    assert "/invitation/" not in admin.get("/users"), "the link is shown once"
    ann = Visitor(organization.url)
    ann.get(link[1])
    ann.post(link[1], {"password": PASSWORD, "again": PASSWORD})
    ann.get("/users", 403)
    found = re.findall(r'action="/users/([0-9a-f-]{36})/role"', admin.get("/users"))[0]
    assert "Ann Lee is admin now" in admin.post(f"/users/{found}/role", {"role": "ADMIN"})
    assert "<h1>Sign in" in ann.get("/"), "a new role is a new session"
    ann.sign_in(email)
    ann.get("/users")
    assert "access of Ann Lee has ended" in admin.post(f"/users/{found}/end")
    assert "<h1>Sign in" in ann.get("/")
    ann.post("/sign-in", {"email": email, "password": PASSWORD}, 422)
    admin.post(f"/users/{found}/restore")
    assert "<h1>Home" in ann.sign_in(email)
    assert "belongs to a user of this server" in admin.post("/users", {"email": email, "role": "ADMIN"}, 422)
    ann.sign_in(email)


def test_the_last_administrator_stays(admin: Visitor) -> None:
    (found,) = re.findall(r'action="/users/([0-9a-f-]{36})/role"', admin.get("/users"))
    for path, fields in ((f"/users/{found}/role", {"role": "SUPPORT"}), (f"/users/{found}/end", {})):
        assert "last administrator" in admin.post(path, fields, 422)
    admin.get("/users")


def test_a_key_is_made_used_and_revoked(admin: Visitor, organization: Tenant) -> None:
    admin.get("/keys")
    page = admin.post("/keys", {"name": "Importer", "scopes": ["measurements:upload", "config:retrieve"]})
    _, key, secret = re.findall(r"<dd><span class=\"copy\"><code>([^<]+)</code>", page)
    assert secret not in admin.get("/keys")
    grant = {"grant_type": "client_credentials"}
    assert httpx.post(f"{organization.url}/oauth/token", auth=(key, secret), json=grant).status_code == 200
    assert "scopes: give some of" in admin.post("/keys", {"name": "None"}, 422)
    found = re.findall(r"/keys/([0-9a-f-]{36})/revoke", admin.get("/keys"))[0]
    assert "is revoked" in admin.post(f"/keys/{found}/revoke")
    assert httpx.post(f"{organization.url}/oauth/token", auth=(key, secret), json=grant).status_code == 403
