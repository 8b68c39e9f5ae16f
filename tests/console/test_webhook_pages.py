"""Webhooks in the console: made with a secret that is shown once, tested, switched off and on, delivered again."""

from __future__ import annotations

import re

import httpx
from visitor import Visitor

WEBHOOKS = "/integrationdestinations/webhooks"
LINK = ("entityType", "destination", "destinationId", "configData")
WRONG = {"name": "ledger", "url": "https://10.0.0.1/", "eventNames": "billing.*"}


def test_a_webhook_is_made_tested_and_switched_off(admin: Visitor) -> None:
    refused = admin.post("/webhooks", WRONG, status=422)
    assert "is at 10.0.0.1, a private address" in refused
    assert "https://10.0.0.1/" in refused, "what was typed is still there"
    made = admin.post("/webhooks", {**WRONG, "url": "https://hooks.invalid/in", "eventNames": "billing.*, webhook.*"})
    secret = re.search(r"<code>(whsec_[^<]+)</code>", made)
    assert secret is not None
    assert "billing.*, webhook.*" in made
    page = admin.get("/webhooks")
    assert "https://hooks.invalid/in" in page
    one = re.search(r'href="(/webhooks/[^"]+)"', page)
    assert one is not None
    assert secret[1] not in admin.get(one[1])
    told = admin.post(f"{one[1]}/ping")
    assert "It failed: " in told
    assert "webhook.ping" in told
    assert "webhook.ping" not in admin.get(f"{one[1]}?outcome=DELIVERED")
    assert "The webhook is switched off" in admin.post(f"{one[1]}/active")
    assert "The webhook is switched on" in admin.post(f"{one[1]}/active", {"active": "true"})
    other = re.search(r"<code>(whsec_[^<]+)</code>", admin.post(f"{one[1]}/rotate"))
    assert other is not None
    assert other[1] != secret[1]
    assert "Former secret signs until" in admin.get(one[1])
    assert "0 are delivered again, 0 are under way" in admin.post(f"{one[1]}/replay", {"since": "2026-01-01"})
    assert "since: is needed" in admin.post(f"{one[1]}/replay", {"since": ""}, status=422)


def test_a_webhook_is_changed_and_deleted(admin: Visitor, http: httpx.Client) -> None:
    star = {**WRONG, "url": "https://hooks.invalid/in", "eventNames": "bill*"}
    assert "elsewhere than at the end" in admin.post("/webhooks", star, status=422)
    assert "apiKey: " in admin.post("/webhooks", {**star, "eventNames": "*", "apiKey": "two words"}, status=422)
    assert http.get(WEBHOOKS).json()["data"] == [], "nothing half made"
    admin.post("/webhooks", {**star, "eventNames": "billing.*", "apiKey": "key-17"})
    (made,) = http.get(WEBHOOKS).json()["data"]
    one = f"/webhooks/{made['id']}"
    page = admin.get(one)
    assert 'value="billing.*"' in page
    assert "Send no API key any more" in page
    assert "key-17" not in page
    changed = {"name": "Books", "url": "https://hooks.invalid/b", "eventNames": "*, billing.*", "code": "books"}
    typed = {**changed, "version": str(made["version"]), "description": "For <b>us</b>", "noApiKey": "true"}
    admin.post(f"{one}/active")  # off it stays
    assert "version: the webhook is at version 2" in admin.post(one, typed, status=422)
    refused = admin.post(one, {**typed, "version": "2", "url": "https://10.0.0.1/"}, status=422)
    assert "a private address" in refused
    assert "https://10.0.0.1/" in refused, "what was typed is still there"
    after = admin.post(one, {**typed, "version": "2"})
    assert "The webhook is changed" in after
    assert "For &lt;b&gt;us&lt;/b&gt;" in after
    assert "Send no API key any more" not in after
    kept = http.get(f"{WEBHOOKS}/{made['id']}").json()
    assert [kept[key] for key in ("name", "url", "code", "active")] == [
        "Books",
        "https://hooks.invalid/b",
        "books",
        False,
    ]
    (link,) = http.get("/integrationconfigs").json()["data"]
    assert link["configData"]["eventNames"] == ["*", "billing.*"]
    http.post("/integrationconfigs", json={**{key: link[key] for key in LINK}, "name": "another"})
    assert 'name="eventNames"' not in admin.get(one), "several integrations are looked after one by one"
    assert "2 integrations send" in admin.post(one, {**typed, "version": "3"}, status=422)
    assert "The webhook Books is deleted" in admin.post(f"{one}/delete")
    assert http.get("/integrationconfigs").json()["data"] == []
    admin.get(one, status=404)
