"""`tallystick hold` and `tallystick anomalies`: a spike is seen, held, and released with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

import httpx
from storefront import Storefront, read, send

Run = Callable[..., str]
HOLD = {"holdFor": ["SPIKE"]}


def test_a_spike_is_held_listed_and_released(command: Run, http: httpx.Client) -> None:
    shop = Storefront(http)
    path = f"/anomalypolicies/{shop.ids['/anomalypolicies']}"
    read(send(http, "PUT", path, {**HOLD, "accountId": shop.ids["/accounts"]}))
    fields = {"meter": "traffic", "account": "acme", "where": {"region": "eu"}, "metadata": {"file": "a"}}
    days = [date(2025, 1, 1) + timedelta(days=each) for each in range(31)]
    shop.measure(
        *(
            {"uid": f"{day}", "ts": f"{day}T12:00:00Z", "measure": {"bytes": 400 if day.day == 25 else 10}, **fields}
            for day in days
        )
    )
    assert "by pace" in command("forecast", "acme")
    assert json.loads(command("forecast", "acme", "--json"))["method"] == "PACE"
    command("bill", "run", "--until", "2025-01-31")
    (hold,) = json.loads(command("hold", "list", "--json"))
    bill = hold["billId"]
    assert "SPIKE on 2025-01-25: 400, usually 10" in command("hold", "list")
    assert "SUM of bytes was 400 on 2025-01-25, usually 10" in command("anomalies", "--kind", "SPIKE")
    assert json.loads(command("anomalies", "--since", "2025-01-26", "--json")) == []
    assert "held since" in command("bill", "approve", bill, code=1)
    assert "is released: growth" in command("hold", "release", bill, "--reason", "growth", "--note", "launch day")
    assert bill not in command("hold", "list")
    assert "SPIKE on 2025-01-25" in command("hold", "list", "--released")
    assert "is held" in command("hold", "place", bill, "--note", "one more look")
    assert "one more look" in command("hold", "list")
    command("hold", "release", bill, "--reason", "bug")
    command("bill", "approve", bill)
