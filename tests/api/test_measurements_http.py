"""Measurements over HTTP with the official client: what failed is found, fetched, corrected and replayed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from m3ter import M3ter

METER: dict[str, Any] = {
    "name": "LLM",
    "code": "llm",
    "data_fields": [
        {"code": "model", "name": "Model", "category": "WHAT"},
        {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"},
    ],
    "derived_fields": [],
}


def measurement(uid: str, **changes: Any) -> Any:
    whole = {"uid": uid, "meter": "llm", "account": "acme", "ts": "2025-06-01T10:00:00Z", "what": {"model": "s"}}
    return {**whole, "measure": {"tokens": 10}, **changes}


def test_from_a_failure_to_its_replay(client: M3ter, http: httpx.Client) -> None:
    client.meters.create(**METER)
    sent = [measurement("a"), measurement("b", measure={}), measurement("a")]
    assert client.usage.submit(measurements=sent).result == "accepted"

    events = list(client.events.list(event_type="IngestValidationFailure"))
    told: list[Any] = [each.m3ter_event for each in events]
    assert {each["failureType"] for each in told} == {"MissingField", "DuplicateUid"}
    event, missing = next((e, t) for e, t in zip(events, told, strict=True) if t["failureType"] == "MissingField")
    assert client.events.retrieve(event.id).event_name == "ingest.validation.failure"

    (file,) = parse_qs(urlsplit(missing["getDownloadUrl"]).query)["file"]
    url = client.usage.get_failed_ingest_download_url(file=file).url
    assert url is not None
    fetched = httpx.get(url)  # without a token
    assert fetched.status_code == 200
    assert fetched.json()["code"] == "missing_field"
    assert '"uid":"b"' in fetched.json()["measurement"].replace(" ", "")
    assert httpx.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403

    (waiting,) = http.get("/failedmeasurements", params={"status": "OPEN"}).json()["data"]
    again = http.post(f"/failedmeasurements/{waiting['id']}/replay", json={})
    assert (again.status_code, again.json()["code"]) == (400, "missing_field")
    replayed = http.post(f"/failedmeasurements/{waiting['id']}/replay", json={"measurement": measurement("b")})
    assert (replayed.status_code, replayed.json()["status"]) == (200, "REPLAYED")
    assert list(client.events.list(include_actioned=False, event_name="ingest.validation.failure")) == [
        each for each in events if each.id != event.id
    ]


def test_kinds_and_fields_of_events(client: M3ter) -> None:
    types = client.events.get_types().events or []
    assert types == sorted(types)
    assert {"anomaly.found", "bill.held", "billing.bill.updated", "ingest.validation.failure"} <= set(types)
    assert {"configuration.account.created", "notification.fired", "integration.perform.error"} <= set(types)
    fields = client.events.get_fields(event_name="ingest.validation.failure").events
    assert fields is not None
    assert fields["ingest.validation.failure"]["new.failureType"] == "String"


def test_discarding_and_what_does_not_exist(http: httpx.Client) -> None:
    reply = http.post("/measurements", json={"measurements": [measurement("a")]})
    (verdict,) = reply.json()["measurements"]
    assert (verdict["verdict"], verdict["code"]) == ("rejected", "undefined_meter")
    path = f"/failedmeasurements/{verdict['failedMeasurementId']}"
    assert http.get(path).json()["uid"] == "a"
    assert http.post(f"{path}/discard", json={"reason": ""}).status_code == 400
    assert http.post(f"{path}/discard", json={"reason": "a test"}).json()["discardReason"] == "a test"
    assert http.post(f"{path}/replay", json={}).status_code == 400
    for missing in ("/failedmeasurements/x", "/events/x"):
        assert http.get(missing).status_code == 404
    link = "/measurements/failedIngest/getDownloadUrl"
    assert http.get(link).status_code == 400
    assert http.get(link, params={"file": "event/x"}).status_code == 404
    assert http.get(link, params={"file": "../../etc/passwd"}).status_code == 404
    assert http.get("/failedmeasurements", params={"status": "LOST"}).status_code == 400


def test_more_than_512000_bytes_are_refused(http: httpx.Client) -> None:
    reply = http.post("/measurements", content=b'{"measurements":[' + b" " * 600_000 + b"]}")
    assert reply.status_code == 403
    assert reply.json()["code"] == "payload_too_large"
