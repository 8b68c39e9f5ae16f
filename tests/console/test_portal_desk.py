"""The portal from the console: its looks, links for customers, visits that are ended."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import httpx
from storefront import Storefront, read, send
from visitor import Visitor

from tallystick.core.user import Role

LOGO = '<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
# One pixel: signature, then the chunks IHDR, IDAT and IEND.
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
LOOKS = {
    "displayName": "Acme & Sons",
    "accentColour": "#7a1fa2",
    "accentColourDark": "#e0b0ff",
    "frameOrigins": "https://app.example\nhttps://b.example",
    "shownBills": "LOCKED",
    "page-BILLS": "true",
}


def test_the_looks_are_set_and_refused_beside_the_field(admin: Visitor, http: httpx.Client) -> None:
    page = admin.get("/settings/portal")
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version is not None
    admin.post("/settings/portal", {**LOOKS, "version": version[1]})
    kept = read(http.get("/portalsettings"))
    assert (kept["displayName"], kept["frameOrigins"], kept["pages"], kept["shownBills"]) == (
        "Acme & Sons",
        ["https://app.example", "https://b.example"],
        ["BILLS"],
        "LOCKED",
    )
    pale = admin.post("/settings/portal", {**LOOKS, "accentColour": "#ffee00"}, status=422)
    assert 'id="accentColour-error"' in pale
    assert "#ffee00" in pale, "what was typed stays"
    admin.post("/settings/portal/logo", {"content": LOGO})
    assert httpx.Response(200, content=http.get("/portalsettings/logo").content).text == LOGO
    admin.post("/settings/portal/logo", {"content": "<svg onload='x'/>"}, status=422)
    admin.post("/settings/portal/logo", files={"file": PNG})
    assert http.get("/portalsettings/logo").content == PNG
    admin.post("/settings/portal/logo", files={"file": LOGO.encode()})
    assert http.get("/portalsettings/logo").content.decode() == LOGO
    assert "is no PNG" in admin.post("/settings/portal/logo", status=422, files={"file": PNG[:20]})
    assert "no logo any more" in admin.post("/settings/portal/logo/remove")


def test_a_link_is_shown_once_and_a_visit_ended(admin: Visitor, http: httpx.Client) -> None:
    account = Storefront(http).ids["/accounts"]
    page = f"/accounts/{account}/portal"
    admin.get(page)
    shown = admin.post(page, {"minutes": "5", "timezone": "Europe/Berlin", "locale": "de"})
    found = re.search(r"<code>(http[^<]*/portal/open\?token=[^<]+)</code>", shown)
    assert found is not None
    with httpx.Client(base_url=str(admin.http.base_url)) as customer:
        assert customer.get(found[1]).headers["location"] == "/portal"
        assert "Europe/Berlin" in customer.get("/portal").text
        listed = admin.get(page)
        assert found[1].partition("token=")[2] not in listed
        ends = re.search(rf'action="({page}/[^"]+/revoke)"', listed)
        assert ends is not None
        admin.post(ends[1])
        assert customer.get("/portal").status_code == 403
    audit = read(http.get("/audit", params={"entityType": "portalsession"}))["data"]
    assert [(row["action"], row["actorType"]) for row in audit] == [
        ("UPDATE", "USER"),
        ("UPDATE", "PORTAL_SESSION"),
        ("CREATE", "USER"),
    ]
    assert "revokedBy" in [change["field"] for change in audit[0]["changes"]]
    assert admin.get("/audit?kind=portalsession").count("portal visit") >= 3
    assert "timezone" in admin.post(page, {"minutes": "5", "timezone": "Mars/Base", "locale": "en"}, status=422)


def test_alerts_of_customers_are_seen(admin: Visitor, http: httpx.Client) -> None:
    store = Storefront(http)
    read(send(http, "POST", "/spendalerts", store.body("/spendalerts", name="<b>Low</b>")))
    html = admin.get(f"/accounts/{store.ids['/accounts']}/portal")
    assert "&lt;b&gt;Low&lt;/b&gt;" in html
    assert 'data-value="100"' in html


def test_who_may_let_customers_in(people: Mapping[Role, Visitor]) -> None:
    nobody = "/accounts/00000000-0000-4000-8000-000000000000/portal"
    for role, status in ((Role.READ_ONLY, 403), (Role.SUPPORT, 404)):
        people[role].get("/settings/portal")
        people[role].post(nobody, {"minutes": "5", "locale": "en"}, status=status)
        people[role].post("/settings/portal", LOOKS, status=403)
