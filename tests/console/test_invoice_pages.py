"""Invoices in the console: the files of a bill, and the page of what stands on them."""

from __future__ import annotations

import re

import httpx
import pytest
from storefront import Storefront, read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def http(organization: Tenant) -> httpx.Client:
    return organization.http()


def test_what_is_typed_stands_on_the_next_invoice(organization: Tenant, http: httpx.Client, admin: Visitor) -> None:
    account = Storefront(http).ids["/accounts"]
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31", "accountIds": [account]}))
    while job["status"] != "COMPLETE":
        job = read(http.get(f"/billjobs/{job['id']}"))
    bill = job["billIds"][0]
    page = admin.get(f"/bills/{bill}")
    paths = re.findall(rf'href="(/bills/{bill}/(?:invoice|lineitems)[^"]*)"', page)
    assert len(paths) == 3
    begins = [admin.http.get(path).content[:5] for path in paths]
    assert begins == [b"%PDF-", b"<!doc", b"bill,"]

    version = re.search(r'name="version" value="(\d+)"', admin.get("/settings/invoices"))
    assert version is not None
    typed = {
        "version": version[1],
        "sellerName": HOSTILE,
        "addressLine1": "1 Oak Lane",
        "country": "Ireland",
        "locale": "de-DE",
        "paper": "LETTER",
        "footer": "Two\nlines",
    }
    saved = admin.post("/settings/invoices", typed)
    assert "Saved." in saved
    assert HOSTILE not in saved
    config = read(http.get("/invoiceconfig"))
    address = {name: each for name, each in config["sellerAddress"].items() if each is not None}
    assert address == {"addressLine1": "1 Oak Lane", "country": "Ireland"}
    assert (config["footer"], config["paper"], config["showWorking"]) == ("Two\nlines", "LETTER", False)
    text = admin.http.get(f"/bills/{bill}/invoice?format=html").text
    assert "Rechnungsentwurf" in text
    assert HOSTILE not in text
    assert admin.http.get(f"/bills/{bill}/invoice?format=html&locale=fr").text.count("Projet de facture") > 0

    refused = admin.post("/settings/invoices", typed | {"locale": "xq", "version": "2"}, status=422)
    assert "locale: must be a language" in refused
    assert 'value="xq"' in refused, "what was typed is still there"


def test_who_may_only_look_is_shown_the_settings_and_cannot_change_them(organization: Tenant) -> None:
    reader = signed_in(organization, Role.READ_ONLY)
    assert "disabled" in reader.get("/settings/invoices")
    reader.post("/settings/invoices", {"version": "1", "locale": "de"}, status=403)
