"""Usage events over HTTP: what each sender sends, what counts of it, and what the sender is told."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from storefront import NOWHERE, read, refused, send

from tallystick.cli.launch import Server
from tallystick.core import wire
from tenant import Tenant, new_tenant

FIELDS = [
    {"code": "model", "name": "Model", "category": "WHAT"},
    {"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"},
]
WHEN = "2025-03-15T14:30:00Z"
EXAMPLE = {
    "event_id": "evt_abc123",
    "customer_id": "cust_456",
    "timestamp": WHEN,
    "event_type": "api_call",
    "properties": {"endpoint": "/v2/completions", "model": "gpt-4", "tokens_input": 1500, "tokens_output": 800},
}
CLOUD = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/gateway",
    "type": "com.example.call",
    "subject": "acorn",
    "time": WHEN,
    "data": {"model": "m", "tokens": 7},
}
POINT = {
    "asInt": "7",
    "timeUnixNano": "1742049000000000000",
    "attributes": [
        {"key": "account", "value": {"stringValue": "acorn"}},
        {"key": "model", "value": {"stringValue": "m"}},
    ],
}
# How each form says it: event type, account, model, tokens.
PATHS = {
    "CLOUDEVENTS": ("com.example.*", "subject", "data.model", "data.tokens"),
    "PLAIN": ("api_call", "customer_id", "properties.model", "properties.tokens_input"),
    "SEGMENT": ("Call", "userId", "properties.model", "properties.tokens"),
    "RUDDERSTACK": ("Call", "userId", "properties.model", "properties.tokens"),
    "POSTHOG": ("call", "distinct_id", "properties.model", "properties.tokens"),
    "DATADOG": ("llm.tokens", "tags.account", "tags.model", "value"),
    "OTLP": ("llm.tokens", "attributes.account", "attributes.model", "value"),
}
TRACK = {"type": "track", "messageId": "m-1", "event": "Call", "userId": "acorn", "timestamp": WHEN,
         "properties": {"model": "m", "tokens": 7}}  # fmt: skip


def otlp(*points: dict[str, Any], temporality: int = 1) -> dict[str, Any]:
    metric = {"name": "llm.tokens", "sum": {"aggregationTemporality": temporality, "dataPoints": list(points)}}
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": [metric]}]}]}


def open_shop(http: httpx.Client) -> str:
    """A meter, with a mapping for each form; gives the meter's id."""
    meter = read(
        send(http, "POST", "/meters", {"name": "LLM", "code": "llm", "dataFields": FIELDS, "derivedFields": []})
    )
    for form, (kind, account, model, tokens) in PATHS.items():
        mapping = {"code": form.lower(), "name": form, "form": form, "type": kind, "meterId": meter["id"],
                "account": account, "fields": {"model": model, "tokens": tokens}}  # fmt: skip
        read(send(http, "POST", "/eventmappings", mapping))
    return str(meter["id"])


def source(http: httpx.Client, form: str, **body: object) -> tuple[str, str, str]:
    """An event source with a secret: its id, the path that it sends to, and the secret."""
    made = read(send(http, "POST", "/eventsources", {"code": f"s-{form}", "name": form, "form": form}))
    told = read(send(http, "POST", f"/eventsources/{made['id']}/secret", body))
    assert told["url"].endswith(f"/eventsources/{made['id']}/receive")
    return made["id"], f"/eventsources/{made['id']}/receive", told["secret"]


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return new_tenant(server)


@pytest.fixture(scope="module")
def http(tenant: Tenant) -> Iterator[httpx.Client]:
    with tenant.http() as plain:
        open_shop(plain)
        yield plain


def meter_of(http: httpx.Client) -> str:
    found: str = read(http.get("/meters"))["data"][0]["id"]
    return found


def bare(http: httpx.Client) -> httpx.Client:
    """The same address, signed in as nobody."""
    return httpx.Client(base_url=http.base_url, timeout=60)


def one(answer: httpx.Response) -> dict[str, Any]:
    (event,) = read(answer)["events"]
    found: dict[str, Any] = event
    return found


class TestForms:
    def test_plain_events_singly_in_arrays_and_line_by_line(self, http: httpx.Client) -> None:
        first = one(send(http, "POST", "/receive/plain", EXAMPLE))
        assert (first["verdict"], first["id"], len(first["measurements"])) == ("accepted", "evt_abc123", 1)
        again = read(send(http, "POST", "/receive/plain", [EXAMPLE, {**EXAMPLE, "event_id": "evt_2"}, 17]))["events"]
        assert [each["verdict"] for each in again] == ["duplicate", "accepted", "rejected"]
        assert [each["index"] for each in again] == [0, 1, 2]
        lines = b"\n".join(wire.encode({**EXAMPLE, "event_id": f"l{place}"}) for place in range(3))
        told = read(http.post("/receive/plain", content=lines, headers={"content-type": "application/x-ndjson"}))
        assert [each["verdict"] for each in told["events"]] == ["accepted"] * 3
        changed = {**EXAMPLE, "properties": {**EXAMPLE["properties"], "tokens_input": 1}}  # type: ignore[dict-item]  # a literal
        assert one(send(http, "POST", "/receive/plain", changed))["verdict"] == "conflict"

    def test_cloudevents_structured_batched_and_binary_are_one_event(self, http: httpx.Client) -> None:
        def post(body: object, content_type: str, **headers: str) -> dict[str, Any]:
            content = body if isinstance(body, bytes) else wire.encode(body)
            return one(
                http.post("/receive/cloudevents", content=content, headers={"content-type": content_type} | headers)
            )

        structured = post(CLOUD, "application/cloudevents+json; charset=utf-8")
        batched = post([CLOUD], "application/cloudevents-batch+json")
        attributes = {f"ce-{name}": str(value) for name, value in CLOUD.items() if name != "data"}
        binary = post(b'{"model":"m","tokens":7}', "application/json", **attributes)
        assert [each["verdict"] for each in (structured, batched, binary)] == ["accepted", "duplicate", "duplicate"]
        assert read(http.post("/receive/cloudevents", content=b"[]", headers={
            "content-type": "application/cloudevents-batch+json"}))["events"] == []  # fmt: skip
        refused(send(http, "POST", "/receive/cloudevents", CLOUD))

    def test_who_asks_first_whether_it_may_deliver_is_told_so(self, http: httpx.Client) -> None:
        asked = bare(http).options("/receive/cloudevents", headers={"WebHook-Request-Origin": "events.example"})
        assert asked.status_code == 200
        told = {name: asked.headers[name] for name in ("allow", "webhook-allowed-origin", "webhook-allowed-rate")}
        assert told == {"allow": "POST", "webhook-allowed-origin": "events.example", "webhook-allowed-rate": "*"}
        assert "webhook-allowed-origin" not in bare(http).options("/receive/cloudevents").headers

    @pytest.mark.parametrize("form", ["segment", "rudderstack"])
    def test_track_calls_count_and_other_calls_are_passed_over(self, http: httpx.Client, form: str) -> None:
        calls = [TRACK, {**TRACK, "messageId": "m-2", "type": "page"}, {**TRACK, "messageId": "m-3", "event": "Other"}]
        told = read(send(http, "POST", f"/receive/{form}", calls))["events"]
        assert [(each["verdict"], each.get("code")) for each in told] == [
            ("accepted", None),
            ("ignored", None),
            ("rejected", "unmapped_event"),
        ]

    def test_posthog_events_in_each_of_its_forms_are_one(self, http: httpx.Client) -> None:
        event = {"uuid": "0195", "event": "call", "distinct_id": "acorn", "timestamp": WHEN,
                 "properties": {"model": "m", "tokens": 7}}  # fmt: skip
        forms = [event, {"event": event, "person": {}}, {"hook": {}, "data": event}, {"batch": [event]}]
        verdicts = [one(send(http, "POST", "/receive/posthog", each))["verdict"] for each in forms]
        assert verdicts == ["accepted", "duplicate", "duplicate", "duplicate"]

    @pytest.mark.parametrize(
        ("behind", "reply", "series"),
        [
            ("/api/v1/series", {"status": "ok"}, {"type": "count", "points": [[1742049000, 7]]}),
            ("/api/v2/series", {"errors": []}, {"type": 1, "points": [{"timestamp": 1742049000, "value": 7}]}),
            ("", {"errors": []}, {"type": 1, "points": [{"timestamp": 1742049001, "value": 7}]}),
        ],
    )
    def test_datadog_is_answered_as_its_own_intake_answers(
        self, http: httpx.Client, behind: str, reply: dict[str, Any], series: dict[str, Any]
    ) -> None:
        body = {"series": [{"metric": "llm.tokens", "tags": ["account:acorn", "model:m"], **series}]}
        assert read(send(http, "POST", f"/receive/datadog{behind}", body), 202) == reply
        assert read(http.post(f"/receive/datadog{behind}", content=b"no"), 400)["errors"]

    def test_otlp_is_answered_by_its_specification(self, http: httpx.Client) -> None:
        path = "/receive/otlp/v1/metrics"
        assert read(send(http, "POST", path, otlp(POINT))) == {}
        body, headers = gzip.compress(wire.encode(otlp(POINT))), {"content-encoding": "gzip"}
        assert read(http.post(path, content=body, headers=headers)) == {}
        partial = read(send(http, "POST", path, otlp(POINT, {**POINT, "timeUnixNano": "0"})))["partialSuccess"]
        assert (partial["rejectedDataPoints"], partial["errorMessage"][:4]) == ("1", "time")
        cumulative = read(send(http, "POST", path, otlp(POINT, temporality=2)))["partialSuccess"]
        assert "delta" in cumulative["errorMessage"]
        failure = read(http.post(path, content=b"no"), 400)
        assert (failure["code"], failure["message"][:5]) == (3, "body:")
        assert read(bare(http).post(path, content=b"{}"), 403)["code"] == 7
        assert read(http.post("/receive/otlp/v1/traces", content=b"{}"), 404)["code"] == 5

    def test_what_is_unpacked_is_bounded(self, http: httpx.Client) -> None:
        bomb = gzip.compress(b" " * 6_000_000)
        told = http.post("/receive/plain", content=bomb, headers={"content-encoding": "gzip"})
        assert refused(told, 413)["code"] == "request_too_large"
        refused(http.post("/receive/plain", content=b"{}", headers={"content-encoding": "br"}), 415)
        deflated = zlib.compress(wire.encode({**EXAMPLE, "event_id": "deflated"}))
        answer = http.post("/receive/plain", content=deflated, headers={"content-encoding": "deflate"})
        assert one(answer)["verdict"] == "accepted"
        refused(http.post("/receive/plain", content=b"nothing", headers={"content-encoding": "gzip"}))


class TestSignIn:
    def test_credentials_of_a_service_user_as_basic_or_in_a_header(self, http: httpx.Client, tenant: Tenant) -> None:
        event = wire.encode({**EXAMPLE, "event_id": "signed"})
        pair = f"{tenant.key}:{tenant.secret}"
        with bare(http) as nobody:
            basic = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            for headers in (basic, {"x-api-key": pair}, {"dd-api-key": pair}):
                assert one(nobody.post("/receive/plain", content=event, headers=headers))["verdict"] in {
                    "accepted", "duplicate"}  # fmt: skip
            for wrong in ({}, {"x-api-key": pair + "x"}, {"authorization": "Bearer x"}, {"x-signature": "00"}):
                assert refused(nobody.post("/receive/plain", content=event, headers=wrong), 403)["code"] == "forbidden"
        refused(http.post("/receive/telegraph", content=event), 404)

    def test_a_source_shows_its_secret_or_signs_with_it(self, http: httpx.Client) -> None:
        id_, path, secret = source(http, "SEGMENT")
        body = wire.encode({**TRACK, "messageId": "signed"})
        signature = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
        shown = base64.b64encode(f"{secret}:".encode()).decode()
        with bare(http) as segment:
            for headers in (
                {"x-signature": signature},
                {"authorization": f"Basic {shown}"},
                {"authorization": f"Bearer {secret}"},
                {"authorization": secret},
                {"x-api-key": secret},
            ):
                assert one(segment.post(path, content=body, headers=headers))["verdict"] in {"accepted", "duplicate"}
            wrong: list[tuple[str, bytes, dict[str, str]]] = [
                (path, body + b" ", {"x-signature": signature}),
                (path, body, {"x-signature": ""}),
                (path, body, {"authorization": ""}),
                (path, body, {}),
            ]
            told = {refused(segment.post(at, content=sent, headers=shows), 403)["message"] for at, sent, shows in wrong}
            assert len(told) == 1, "nothing is learnt from how it is refused"
            refused(segment.post(path.replace(id_, NOWHERE), content=body, headers={"x-api-key": secret}), 404)
            read(send(http, "PUT", f"/eventsources/{id_}", {
                "code": "s-SEGMENT", "name": "Segment", "form": "SEGMENT", "enabled": False}))  # fmt: skip
            refused(segment.post(path, content=body, headers={"x-api-key": secret}), 403)

    def test_a_new_secret_holds_beside_the_old_one_for_a_while(self, http: httpx.Client) -> None:
        id_, path, first = source(http, "RUDDERSTACK", secret="chosen-by-the-other-side")
        assert first == "chosen-by-the-other-side"
        told = read(send(http, "POST", f"/eventsources/{id_}/secret", {}))
        assert told["previousUntil"] > "2025"
        body = wire.encode({**TRACK, "messageId": "rotated"})
        with bare(http) as sender:
            for secret in (first, told["secret"]):
                read(sender.post(path, content=body, headers={"x-api-key": secret}))
            last = read(send(http, "POST", f"/eventsources/{id_}/secret", {"keepHours": 0}))["secret"]
            read(sender.post(path, content=body, headers={"x-api-key": last}))
            for secret in (first, told["secret"]):
                refused(sender.post(path, content=body, headers={"x-api-key": secret}), 403)
            shown = http.get(f"/eventsources/{id_}").text + http.get("/eventsources").text + http.get("/audit").text
            assert not any(secret in shown for secret in (first, told["secret"], last))
            read(http.delete(f"/eventsources/{id_}"))
            refused(sender.post(path, content=body, headers={"x-api-key": last}), 404)
        refused(send(http, "POST", f"/eventsources/{NOWHERE}/secret", {}), 404)
        refused(send(http, "PUT", f"/eventsources/{NOWHERE}", {"code": "x", "name": "x", "form": "OTLP"}), 404)


class TestUnmapped:
    def test_an_event_that_no_mapping_wants_waits_and_counts_once_it_is_mapped(self, http: httpx.Client) -> None:
        meter = meter_of(http)
        event = {**EXAMPLE, "event_id": "early", "event_type": "image_made", "n": 0}
        told = one(send(http, "POST", "/receive/plain", event))
        assert (told["verdict"], told["code"]) == ("rejected", "unmapped_event")
        path = f"/failedmeasurements/{told['failedMeasurementId']}"
        waits = read(http.get(path))
        assert (wire.decode(dict[str, Any], waits["original"]), waits["form"]) == (event, "PLAIN")
        refused(http.post(f"{path}/replay", content=b"{}"))
        mapping = {"code": "images", "name": "Images", "type": "image_made", "meterId": meter, "account": "customer_id",
                   "fields": {"model": {"constant": "image"}, "tokens": {"path": "nothing"}}}  # fmt: skip
        made = read(send(http, "POST", "/eventmappings", mapping))
        assert refused(http.post(f"{path}/replay", content=b"{}"))["code"] == "unmapped_field"
        fields = {"model": {"constant": "image"}, "tokens": {"calculation": "n + 1"}}
        read(send(http, "PUT", f"/eventmappings/{made['id']}", {**mapping, "fields": fields}))
        assert read(http.post(f"{path}/replay", content=b"{}"))["status"] == "REPLAYED"
        assert one(send(http, "POST", "/receive/plain", event))["verdict"] == "duplicate"

    def test_mappings_are_tried_before_anything_counts(self, http: httpx.Client) -> None:
        body = {"form": "PLAIN", "event": [{**EXAMPLE, "event_id": "tried"}, {"event_id": "x"}, 5]}
        mapped, unmapped, bad = read(send(http, "POST", "/eventmappings/try", body))["events"]
        assert mapped["measurements"][0]["measure"] == {"tokens": 1500}
        assert [each["problems"][0]["code"] for each in (unmapped, bad)] == ["unmapped_event", "invalid_event"]
        assert one(send(http, "POST", "/receive/plain", {**EXAMPLE, "event_id": "tried"}))["verdict"] == "accepted"

    @pytest.mark.parametrize(
        ("changes", "code", "field"),
        [
            ({"fields": {"tokens": "a"}}, "rule_broken", "fields"),
            ({"fields": {"model": "a", "tokens": "b", "other": "c"}}, "rule_broken", "fields"),
            ({"meterId": NOWHERE}, "unknown_reference", "meterId"),
            ({"code": "plain"}, "code_in_use", "code"),
            ({"account": None}, "invalid_request", None),
        ],
    )
    def test_mappings_keep_the_rules(
        self, http: httpx.Client, changes: dict[str, Any], code: str, field: str | None
    ) -> None:
        meter = meter_of(http)
        body = {"code": "more", "name": "More", "meterId": meter, "account": "a", "type": "never",
                "fields": {"model": "a", "tokens": "b"}}  # fmt: skip
        problem = refused(send(http, "POST", "/eventmappings", {**body, **changes}))
        assert problem["code"] == code

    def test_the_code_of_a_mapping_stays_because_uids_have_it_in_them(self, http: httpx.Client) -> None:
        (plain,) = read(http.get("/eventmappings", params={"codes": "plain"}))["data"]
        body = {name: plain[name] for name in ("name", "form", "type", "meterId", "account", "fields")}
        told = refused(send(http, "PUT", f"/eventmappings/{plain['id']}", {**body, "code": "new"}))
        assert told["code"] == "rule_broken"
