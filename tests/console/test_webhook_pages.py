"""Webhooks in the console: made with a secret that is shown once, tested, switched off and on, delivered again."""

from __future__ import annotations

import re

from visitor import Visitor

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
