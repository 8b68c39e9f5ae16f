"""Usage events and identities in the console: mapped, tried, received; what waits is seen and given to an account."""

from __future__ import annotations

import re
import time

import httpx
from storefront import Storefront, read, send
from visitor import Visitor

from tallystick.core import wire

KEY = "sk_live_0123456789abcdef"
MAPPING = """{"code": "puts", "name": "Puts", "type": "put", "meter": "traffic", "form": "PLAIN",
 "identity": {"type": "apiKey", "value": "key"},
 "fields": {"bytes": {"calculation": "size * 2"}, "region": {"constant": "eu"}, "file": "name"}}"""
EVENT = {"event_id": "1", "event_type": "put", "key": KEY, "size": 4, "name": "a", "timestamp": "2025-01-10T12:00:00Z"}


def test_an_event_is_mapped_received_and_given_to_an_account(admin: Visitor, http: httpx.Client) -> None:
    shop = Storefront(http)
    assert "No event counts yet" not in admin.get("/eventmappings"), "the storefront has a mapping"
    text = wire.encode(EVENT).decode()
    assert "no event mapping wants events" in admin.post("/eventmappings/try", {"form": "PLAIN", "event": text})
    assert "is in force" in admin.post("/eventmappings", {"mapping": MAPPING})
    tried = admin.post("/eventmappings/try", {"form": "PLAIN", "event": text})
    assert "&#34;bytes&#34;: 8" in tried
    page = admin.get("/eventmappings")
    assert "= size * 2" in page
    edit = re.search(r'href="(/eventmappings\?edit=[^"#]+)', page)
    assert edit is not None
    for field, wrong in (("mapping", "{"), ("mapping", '{"code": "x", "meter": "nothing"}')):
        assert "mapping" in admin.post("/eventmappings", {field: wrong}, status=422)
    assert "must be a JSON object" in admin.post("/eventmappings/try", {"form": "PLAIN", "event": "no"}, status=422)

    made = admin.post("/eventsources", {"code": "web", "name": "Web", "sourceForm": "PLAIN"})
    secret = re.search(r"Secret: .*?<code>([^<]+)</code>", made)
    address = re.search(r"Address: .*?<code>/organizations/[^/]+([^<]+)</code>", made)
    assert secret is not None
    assert address is not None
    headers = {"x-api-key": secret[1]}
    with httpx.Client(base_url=http.base_url) as sender:
        told = read(sender.post(address[1], content=text.encode(), headers=headers))
    assert told["events"][0]["verdict"] == "waiting"
    assert secret[1] not in admin.get("/eventmappings")
    assert "Secret: " in admin.post(f"/eventsources/{address[1].split('/')[2]}/secret")

    assert "Unmapped usage" in admin.get("/")
    page = admin.get("/unmappedusage")
    assert KEY not in page
    assert "…cdef" in page
    one = re.search(r'href="(/unmappedusage/[^"]+)', page)
    assert one is not None
    assert KEY not in admin.get(one[1])
    assert "no account with the code" in admin.post(one[1], {"account": "nobody"}, status=422)
    assert "It is known whose usage this is" in admin.post(one[1], {"account": "acme", "startDate": "2025-01-01"})
    until = time.monotonic() + 30
    while "Nothing waits" not in admin.get("/unmappedusage"):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert "Unmapped usage</a></span>" not in admin.get("/")

    fields = {"type": "wallet", "value": "0xabc", "account": "acme", "priority": "2", "name": "Cold wallet"}
    page = admin.post("/identities", fields)
    assert "0xabc" in page
    assert "Cold wallet" in page
    hidden = admin.post("/identities", {**fields, "value": "0xdef-and-more-of-it", "sensitive": "true"})
    assert "0xdef" not in hidden
    assert "the same times" in admin.post("/identities", fields, status=422)
    (wallet,) = [each for each in read(http.get("/identities"))["data"] if each.get("value") == "0xabc"]
    assert "The entry is removed" in admin.post(f"/identities/{wallet['id']}/remove")
    assert shop.ids["/identities"]


def test_a_failed_event_is_mended_as_an_event(admin: Visitor, http: httpx.Client) -> None:
    Storefront(http)
    told = read(send(http, "POST", "/receive/plain", EVENT))["events"][0]
    path = f"/failed/measurements/{told['failedMeasurementId']}"
    page = admin.get(path)
    assert "The event as JSON" in page
    assert "no event mapping wants" in page
    admin.post("/eventmappings", {"mapping": MAPPING})
    assert "it would be accepted now" in admin.get(path)
    admin.post(f"{path}/replay", {"measurement": wire.encode(EVENT).decode()})
    assert read(http.get(f"/failedmeasurements/{told['failedMeasurementId']}"))["status"] == "REPLAYED"


def test_usage_that_is_nobodys_is_dismissed_with_a_reason(admin: Visitor, http: httpx.Client) -> None:
    Storefront(http)
    sent = {
        "uid": "n",
        "meter": "traffic",
        "identity": {"type": "workspace", "value": "nobodys-own", "sensitive": False},
        "ts": "2025-01-10T12:00:00Z",
        "measure": {"bytes": 4},
        "where": {"region": "eu"},
        "metadata": {"file": "a"},
    }
    read(send(http, "POST", "/measurements", {"measurements": [sent]}))
    own = re.search(r'href="(/unmappedusage/[^"]+)">nobodys-own', admin.get("/unmappedusage"))
    assert own is not None
    assert "reason" in admin.post(f"{own[1]}/dismiss", {}, status=422)
    assert "1 measurements are dismissed" in admin.post(f"{own[1]}/dismiss", {"reason": "a test"})
    assert "nobodys-own" not in admin.get("/unmappedusage")
    (failed,) = read(http.get("/failedmeasurements", params={"uid": "n"}))["data"]
    assert (failed["status"], failed["discardReason"]) == ("DISCARDED", "a test")
