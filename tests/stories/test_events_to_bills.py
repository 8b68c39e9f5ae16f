"""CloudEvents, an event from a webhook and usage by API key become one bill, reckoned by hand."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import httpx
from m3ter import M3ter
from token_shop import WAIT_SECONDS, bill_march, join, lines, open_shop

from tallystick.core import wire

KEY = "sk_live_0123456789abcdef"


def read(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, f"{response.request.url}: {response.status_code} {response.text}"
    return wire.decode(dict[str, Any], response.content)


def post(http: httpx.Client, path: str, body: object, **headers: str) -> Any:
    return read(http.post(path, content=wire.encode(body), headers=headers))


def call(id: str, source: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": "com.example.call",
        "time": "2025-03-05T10:00:00Z",
        "data": data,
    }


def test_events_of_three_senders_are_one_bill(client: M3ter, http: httpx.Client) -> None:
    plan = open_shop(client)
    acorn = join(client, plan, "acorn")
    meter = client.meters.list().data[0].id
    tokens = {"calculation": "data.input + data.output"}
    fields = {"region": {"path": "data.region", "default": "eu"}, "tokens": tokens}
    by_account = {"account": "data.customer", "when": "data.key == null"}
    by_key = {"identity": {"type": "apiKey", "value": "data.key"}, "when": "data.key != null"}
    for code, whose in (("by-account", by_account), ("by-key", by_key)):
        body = {"code": code, "name": code, "type": "com.example.*", "meterId": meter, "fields": fields, **whose}
        post(http, "/eventmappings", body)
    track = {"region": {"constant": "us"}, "tokens": "properties.tokens"}
    body = {"code": "web", "name": "Web", "form": "SEGMENT", "meterId": meter, "account": "userId", "fields": track}
    post(http, "/eventmappings", body)

    named = {"customer": "acorn", "region": "eu"}
    batch = [
        call("1", "/gateway", {**named, "input": 50, "output": 30}),
        call("2", "/gateway", {**named, "input": 15, "output": Decimal("4.5")}),
        call("1", "/other", {**named, "input": 10, "output": 10}),  # another source: another event
        call("1", "/gateway", {**named, "input": 50, "output": 30}),  # sent again
        call("3", "/gateway", {"key": KEY, "input": 100, "output": 20}),
    ]
    batched = {"content-type": "application/cloudevents-batch+json"}
    told = post(http, "/receive/cloudevents", batch, **batched)["events"]
    assert [each["verdict"] for each in told] == ["accepted", "accepted", "accepted", "duplicate", "waiting"]
    tracked = {"type": "track", "messageId": "m-1", "event": "Call", "userId": "acorn", "properties": {"tokens": 40}}
    post(http, "/receive/segment", {**tracked, "timestamp": "2025-03-06T00:00:00Z"})

    # 80 + 19.5 + 20 + 40 = 159.5 tokens, of which 80 in one call: 10 + (100 × 1 + 59.5 × 0.50) + 80 × 0.10 = 147.75.
    bill = bill_march(client, [acorn])[acorn]
    assert Decimal(str(bill.bill_total)) == Decimal("147.75"), lines(bill)

    identity = {"type": "apiKey", "value": KEY, "accountId": acorn, "startDate": "2025-03-01T00:00:00Z"}
    post(http, "/identities", identity)
    until = time.monotonic() + WAIT_SECONDS
    while read(http.get("/unmappedidentities"))["data"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    again = post(http, "/receive/cloudevents", batch, **batched)["events"]
    assert {each["verdict"] for each in again} == {"duplicate"}
    # The call by key adds 120 tokens and is the largest: 10 + (100 × 1 + 179.5 × 0.50) + 120 × 0.10 = 211.75.
    bill = bill_march(client, [acorn])[acorn]
    assert Decimal(str(bill.bill_total)) == Decimal("211.75"), lines(bill)
    assert read(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
    assert KEY not in http.get("/identities").text + http.get("/events").text + http.get("/audit").text
