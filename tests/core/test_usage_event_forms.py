"""What is read of the requests of each sender: the events in them, told by id, type, time and paths."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tallystick.core import wire
from tallystick.core.event_mapping import at
from tallystick.core.usage_event import EventForm, UsageEvent, event_uid, read_event
from tallystick.core.usage_event_forms import documents
from tallystick.errors import Rejection

ISSUE = {
    "event_id": "evt_abc123",
    "customer_id": "cust_456",
    "timestamp": "2025-03-15T14:30:00Z",
    "event_type": "api_call",
    "properties": {"model": "gpt-4", "tokens_input": 1500, "tokens_output": 800, "region": "us-east-1"},
}
CLOUD = {"specversion": "1.0", "id": "A-1", "source": "/gateway", "type": "com.example.call", "subject": "acorn"}
TRACK = {"type": "track", "messageId": "m-1", "event": "Image Made", "timestamp": "2025-03-15T14:30:00Z"}
CAPTURED = {
    "uuid": "0195-1",
    "event": "image made",
    "distinct_id": "u1",
    "timestamp": "2025-03-15T14:30:00Z",
    "properties": {"images": 2},
}
JSON = {"content-type": "application/json"}


def read(form: EventForm, body: object, headers: dict[str, str] = JSON) -> list[UsageEvent | Rejection]:
    text = body if isinstance(body, bytes) else wire.encode(body)
    return [read_event(form, each) for each in documents(form, headers, text)]


def one(form: EventForm, body: object, headers: dict[str, str] = JSON) -> UsageEvent:
    (event,) = read(form, body, headers)
    assert isinstance(event, UsageEvent), event
    return event


CLOUD_JSON = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BINARY = {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "A-1", "ce-source": "/gateway"}


@pytest.mark.parametrize(
    ("form", "body", "headers", "expected"),
    [
        (EventForm.PLAIN, ISSUE, JSON, ("", "evt_abc123", "api_call", "2025-03-15T14:30:00Z")),
        (EventForm.PLAIN, {"id": 17, "type": "x"}, JSON, ("", "17", "x", None)),
        (EventForm.CLOUDEVENTS, CLOUD, CLOUD_JSON, ("/gateway", "A-1", "com.example.call", None)),
        (EventForm.CLOUDEVENTS, b'{"n": 1}', {**BINARY, "ce-type": "t"}, ("/gateway", "A-1", "t", None)),
        (EventForm.SEGMENT, TRACK, JSON, ("", "m-1", "Image Made", "2025-03-15T14:30:00Z")),
        (EventForm.RUDDERSTACK, {**TRACK, "timestamp": None, "originalTimestamp": "2025-01-01"}, JSON,
         ("", "m-1", "Image Made", "2025-01-01")),
        (EventForm.POSTHOG, {"event": CAPTURED, "person": {"id": "p"}}, JSON,
         ("", "0195-1", "image made", "2025-03-15T14:30:00Z")),
        (EventForm.POSTHOG, {"hook": {"id": "h"}, "data": CAPTURED}, JSON,
         ("", "0195-1", "image made", "2025-03-15T14:30:00Z")),
        (EventForm.POSTHOG, {"batch": [CAPTURED]}, JSON, ("", "0195-1", "image made", "2025-03-15T14:30:00Z")),
    ],
)  # fmt: skip
def test_an_event_is_known_by_source_id_type_and_time(
    form: EventForm, body: object, headers: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    event = one(form, body, headers)
    assert (event.source, event.id, event.type, event.time) == expected


@pytest.mark.parametrize(
    ("form", "body", "headers", "path", "value"),
    [
        (EventForm.PLAIN, ISSUE, JSON, "properties.tokens_input", 1500),
        (EventForm.PLAIN, {"event_id": "1", "a.b": {"c.d": 3}, "a": {"x": 1}}, JSON, "a.b.c.d", 3),
        (EventForm.PLAIN, {"event_id": "1", "items": [{"n": 1}, {"n": 2}]}, JSON, "items.1.n", 2),
        (EventForm.PLAIN, {"event_id": "1", "items": []}, JSON, "items.0", None),
        (EventForm.PLAIN, b'{"event_id": "1", "n": 0.10000000000000000001}', JSON, "n", "0.10000000000000000001"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "data": {"n": 4}}, CLOUD_JSON, "data.n", 4),
        (EventForm.CLOUDEVENTS, {**CLOUD, "data_base64": base64.b64encode(b'{"n": 4}').decode()}, CLOUD_JSON,
         "data.n", 4),
        (EventForm.CLOUDEVENTS, b'{"n": 1}', {**BINARY, "ce-type": "t", "ce-region": "S%C3%A3o%20Paulo"}, "region",
         "São Paulo"),
        (EventForm.CLOUDEVENTS, b'{"n": 1}', {**BINARY, "ce-type": '"a \\"b\\""'}, "type", 'a "b"'),
        (EventForm.CLOUDEVENTS, b"<n/>", {**BINARY, "ce-type": "t", "content-type": "text/xml"}, "data_base64",
         base64.b64encode(b"<n/>").decode()),
        (EventForm.POSTHOG, {"event": CAPTURED, "person": {"properties": {"plan": "pro"}}}, JSON,
         "person.properties.plan", "pro"),
    ],
)  # fmt: skip
def test_paths_lead_into_the_event(
    form: EventForm, body: object, headers: dict[str, str], path: str, value: object
) -> None:
    found = at(one(form, body, headers).document, path)
    assert (str(found) if isinstance(value, str) else found) == value


@pytest.mark.parametrize(
    ("form", "body", "headers", "field"),
    [
        (EventForm.PLAIN, {"event_type": "x"}, JSON, "event_id"),
        (EventForm.PLAIN, b"[17]", JSON, "event"),
        (EventForm.PLAIN, {"event_id": True}, JSON, "event_id"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "specversion": "0.3"}, CLOUD_JSON, "specversion"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "id": ""}, CLOUD_JSON, "id"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "source": 7}, CLOUD_JSON, "source"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "data": 1, "data_base64": "MQ=="}, CLOUD_JSON, "data_base64"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "data_base64": "%"}, CLOUD_JSON, "data_base64"),
        (EventForm.CLOUDEVENTS, {**CLOUD, "data_base64": "PG4v"}, CLOUD_JSON, "data_base64"),
        (EventForm.CLOUDEVENTS, b"{n", {**BINARY, "ce-type": "t"}, "event"),
        (EventForm.SEGMENT, {**TRACK, "messageId": None}, JSON, "messageId"),
        (EventForm.SEGMENT, {**TRACK, "event": ""}, JSON, "event"),
        (EventForm.POSTHOG, {"event": {"event": "x"}}, JSON, "uuid"),
        (EventForm.PLAIN, b'{"event_id": "1", "n": 1e9999999999999999999}', JSON, "event"),
    ],
)  # fmt: skip
def test_an_event_without_what_each_must_have_is_refused_by_itself(
    form: EventForm, body: object, headers: dict[str, str], field: str
) -> None:
    (fault,) = read(form, body, headers)
    assert isinstance(fault, Rejection)
    assert (fault.code, fault.field) == ("invalid_event", field)


def test_batches_are_told_apart_and_a_bad_member_harms_no_other() -> None:
    lines = b'{"event_id":"1"}\n\n{"event_id":"2"\n{"event_id":"3"}\n'
    for headers in (JSON, {"content-type": "application/x-ndjson"}):
        found = read(EventForm.PLAIN, lines, headers)
        assert [each.id if isinstance(each, UsageEvent) else None for each in found] == ["1", None, "3"]
    array = [ISSUE, 5, {**ISSUE, "event_id": "2"}]
    found = read(EventForm.PLAIN, array)
    assert [each.id if isinstance(each, UsageEvent) else None for each in found] == ["evt_abc123", None, "2"]
    batched = {"content-type": "application/cloudevents-batch+json"}
    assert read(EventForm.CLOUDEVENTS, [], batched) == []
    assert len(read(EventForm.CLOUDEVENTS, [CLOUD, {**CLOUD, "id": "A-2"}], batched)) == 2


@pytest.mark.parametrize(
    ("form", "body", "headers"),
    [
        (EventForm.PLAIN, b"", JSON),
        (EventForm.PLAIN, b"{", JSON),
        (EventForm.PLAIN, b"[{]", JSON),
        (EventForm.CLOUDEVENTS, b"{}", JSON),
        (EventForm.CLOUDEVENTS, b"{}", {"content-type": "application/cloudevents+avro"}),
        (EventForm.CLOUDEVENTS, b"{}", {"content-type": "application/cloudevents-batch+json"}),
        (EventForm.DATADOG, b"{}", JSON),
        (EventForm.OTLP, b"[]", JSON),
        (EventForm.OTLP, b"{}", {"content-type": "application/x-protobuf"}),
        (EventForm.OTLP, b'{"resourceMetrics": {}}', JSON),
    ],
)
def test_a_body_in_which_nothing_can_be_told_apart_is_refused_whole(
    form: EventForm, body: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"^(body|Content-Type|series|resourceMetrics): "):
        documents(form, headers, body)


def test_calls_other_than_track_are_incidental() -> None:
    assert not one(EventForm.SEGMENT, TRACK).incidental
    page = one(EventForm.SEGMENT, {"type": "page", "messageId": "m-2"})
    assert (page.type, page.incidental) == ("page", True)


# ------------------------------------------------------------------------------------------------------- Datadog

V1 = {
    "metric": "llm.tokens",
    "type": "count",
    "points": [[1742049000, 12.5], [1742049060, 3]],
    "host": "web-1",
    "tags": ["account:acorn", "beta", "account:second"],
}
V2 = {
    "metric": "llm.tokens",
    "type": 1,
    "points": [{"timestamp": 1742049000, "value": 12.5}],
    "resources": [{"name": "web-1", "type": "host"}],
    "tags": ["account:acorn"],
}


def test_each_point_of_a_datadog_series_is_an_event() -> None:
    first, second = read(EventForm.DATADOG, {"series": [V1]})
    assert isinstance(first, UsageEvent)
    assert isinstance(second, UsageEvent)
    # 1742049000 s after 1970 is 2025-03-15 14:30:00 UTC: 20,162 days of 86,400 s, and 52,200 s.
    assert (first.type, first.time) == ("llm.tokens", "2025-03-15T14:30:00Z")
    assert [str(at(each.document, "value")) for each in (first, second)] == ["12.5", "3"]
    assert at(first.document, "tags") == {"account": "acorn", "beta": ""}
    (of_v2,) = read(EventForm.DATADOG, {"series": [V2]})
    assert isinstance(of_v2, UsageEvent)
    assert (at(of_v2.document, "type"), at(of_v2.document, "resources.host")) == ("count", "web-1")


def test_a_datadog_point_is_known_by_what_it_is_of_and_not_by_its_value() -> None:
    def id_of(**changes: Any) -> str:
        return one(EventForm.DATADOG, {"series": [{**V2, **changes}]}).id

    again = id_of(points=[{"timestamp": 1742049000, "value": 99}], tags=["account:acorn"])
    assert again == id_of()
    others = [{"metric": "x"}, {"tags": []}, {"points": [{"timestamp": 1, "value": 1}]}, {"resources": []}]
    assert len({id_of(), *(id_of(**each) for each in others)}) == 5


@pytest.mark.parametrize(
    "series", [7, {"metric": "m", "points": [[1]]}, {"points": [[1, 1]]}, {"metric": "m", "points": [["x", 1]]}]
)
def test_a_datadog_point_that_is_none_is_refused_by_itself(series: object) -> None:
    bad, good = read(EventForm.DATADOG, {"series": [series, V2]})
    assert isinstance(bad, Rejection)
    assert isinstance(good, UsageEvent)


# ---------------------------------------------------------------------------------------------------------- OTLP


def exported(metric: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    scope = {"scope": {"name": "meter", "version": "1"}, "metrics": [metric]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}


POINT = {
    "asInt": "9007199254740993",
    "startTimeUnixNano": "1742048940000000000",
    "timeUnixNano": "1742049000123456789",
    "attributes": [
        {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
        {"key": "seats", "value": {"intValue": "12"}},
        {"key": "tags", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"boolValue": True}]}}},
    ],
}
DELTA = {"name": "tokens", "unit": "{token}", "sum": {"aggregationTemporality": 1, "dataPoints": [POINT]}}


def test_an_otlp_point_keeps_whole_numbers_and_times_exact() -> None:
    event = one(EventForm.OTLP, exported(DELTA))
    # One more than 2^53, which a binary float cannot hold; nanoseconds are cut to microseconds.
    assert at(event.document, "value") == "9007199254740993"
    assert event.time == "2025-03-15T14:30:00.123456Z"
    assert at(event.document, "attributes.gen_ai.request.model") == "m"
    assert at(event.document, "attributes.seats") == 12
    assert at(event.document, "attributes.tags.1") is True
    assert at(event.document, "resource.service.name") == "gateway"
    assert at(event.document, "scope.name") == "meter"


@pytest.mark.parametrize(
    ("metric", "paths"),
    [
        ({"name": "g", "gauge": {"dataPoints": [{**POINT, "asInt": None, "asDouble": 0.1}]}}, {"value": "0.1"}),
        ({"name": "h", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
          "dataPoints": [{"timeUnixNano": "1742049000000000000", "count": "3", "sum": 7.5}]}},
         {"count": "3", "sum": "7.5", "temporality": "delta"}),
    ],
)  # fmt: skip
def test_gauges_and_histograms_are_events_too(metric: dict[str, Any], paths: dict[str, str]) -> None:
    metric = wire.decode(dict[str, Any], wire.encode(metric).replace(b'"asInt":null,', b""))
    event = one(EventForm.OTLP, exported(metric))
    assert {path: str(at(event.document, path)) for path in paths} == paths


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        ({**DELTA, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [POINT]}}, "temporality"),
        ({"name": "s", "summary": {"dataPoints": [POINT]}}, "kind"),
        ({**DELTA, "sum": {"aggregationTemporality": 1, "dataPoints": [{"asInt": "1"}]}}, "time"),
        ({"name": "nothing"}, "kind"),
    ],
)
def test_what_cannot_be_measured_of_otlp_is_refused_by_itself(metric: dict[str, Any], field: str) -> None:
    (fault,) = read(EventForm.OTLP, exported(metric))
    assert isinstance(fault, Rejection)
    assert fault.field == field


def test_a_point_without_a_recorded_value_is_none() -> None:
    ended = {**DELTA, "sum": {"aggregationTemporality": 1, "dataPoints": [{**POINT, "flags": 1}]}}
    assert read(EventForm.OTLP, exported(ended)) == []


def test_uids_tell_forms_sources_ids_and_mappings_apart() -> None:
    events = [
        one(EventForm.CLOUDEVENTS, CLOUD, CLOUD_JSON),
        one(EventForm.CLOUDEVENTS, {**CLOUD, "source": "/other"}, CLOUD_JSON),
        one(EventForm.CLOUDEVENTS, {**CLOUD, "id": "A-2"}, CLOUD_JSON),
        one(EventForm.PLAIN, {"event_id": "A-1"}),
    ]
    uids = {event_uid(event, code) for event in events for code in ("a", "b")}
    assert len(uids) == 8
    again = one(EventForm.CLOUDEVENTS, {**CLOUD, "type": "other", "data": 1}, CLOUD_JSON)
    assert event_uid(again, "a") == event_uid(events[0], "a"), "source and id are the identity, and nothing else"


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (EventForm.DATADOG, {"series": [{"metric": "m", "type": ["rate"], "points": [[1_700_000_000, 1]]}]}),
        (EventForm.DATADOG, {"series": [{"metric": "m", "type": {"of": 1}, "points": [[1_700_000_000, 1]]}]}),
        (EventForm.OTLP, exported({"sum": {"aggregationTemporality": [1], "dataPoints": [{"timeUnixNano": "1"}]}})),
        (EventForm.OTLP, exported({"gauge": {"dataPoints": [{"timeUnixNano": []}]}})),
        (EventForm.OTLP, exported({"gauge": {"dataPoints": [{"timeUnixNano": "1", "startTimeUnixNano": {"a": 1}}]}})),
    ],
)
def test_whatever_stands_where_a_code_or_a_time_should_harms_no_other_event(form: EventForm, body: object) -> None:
    assert len(read(form, body)) == 1


@pytest.mark.parametrize("count", [b"1e9999999", b"-1e9999999", b"1e-9999999", b"1.5", b"9223372036854775808"])
def test_a_time_of_a_thousand_million_digits_is_refused_and_not_written_out(count: bytes) -> None:
    body = b'{"series":[{"metric":"m","points":[[%s,1]]}]}' % count
    (point,) = read(EventForm.DATADOG, body)
    assert isinstance(point, Rejection)
    assert point.field == "timestamp"


def test_a_time_may_be_written_as_any_whole_number() -> None:
    (point,) = read(EventForm.DATADOG, b'{"series":[{"metric":"m","points":[[1.7e9,1]]}]}')
    assert isinstance(point, UsageEvent)
    assert point.time == "2023-11-14T22:13:20Z"


def test_datadog_series_that_differ_in_a_second_value_of_a_tag_are_two() -> None:
    def point(*tags: str) -> UsageEvent:
        return one(EventForm.DATADOG, {"series": [{"metric": "m", "points": [[1_700_000_000, 1]], "tags": tags}]})

    found = [point("a:1"), point("a:1", "a:2"), point("a:1", "a:3"), point("a:3", "a:1", "a:1")]
    assert [each.id == found[2].id for each in found] == [False, False, True, True]
    assert len({each.id for each in found}) == 3
    assert {each.document["tags"]["a"] for each in found} == {"1"}


@pytest.mark.parametrize("temporality", [{}, {"aggregationTemporality": 0}, {"aggregationTemporality": "2"}])
def test_a_sum_of_which_nobody_says_that_it_is_a_delta_is_refused(temporality: dict[str, object]) -> None:
    points = [{"timeUnixNano": "1710513000000000000", "asInt": "5"}]
    (found,) = read(EventForm.OTLP, exported({"name": "calls", "sum": {**temporality, "dataPoints": points}}))
    assert isinstance(found, Rejection)
    assert found.field == "temporality"
