"""From the body of a request to the events in it, each as a JSON document of its own (`core.usage_event` reads those).

A member that is no event stays a member: it is refused by itself, and the others count. Only a body of which nothing
can be told apart raises ValueError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.usage_event import CUMULATIVE, DELTA, EventForm, is_json, iso_of

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
CE = "ce-"
# Source: Datadog API, metrics v2, MetricIntakeType.
DATADOG_TYPES: Mapping[object, str] = {0: "unspecified", 1: "count", 2: "rate", 3: "gauge"}
TEMPORALITIES: Mapping[object, str] = {
    1: DELTA,
    2: CUMULATIVE,
    "AGGREGATION_TEMPORALITY_DELTA": DELTA,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE,
}
NO_RECORDED_VALUE = 1  # a flag of OTLP data points: the series has ended
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def documents(form: EventForm, headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """The events of a body, in order. `headers` by their names in lower case."""
    if "protobuf" in _media_type(headers):
        raise ValueError("Content-Type: protobuf is not read here; let the sender encode as JSON")
    return _SPLIT[form](headers, body)


def _cloud_events(headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """Source: CloudEvents 1.0.2, HTTP protocol binding 3.1 (binary), 3.2 (structured), 3.3 (batched)."""
    media_type = _media_type(headers)
    if media_type.startswith("application/cloudevents"):
        if media_type == BATCHED:
            return _array(body)
        if media_type != STRUCTURED:
            raise ValueError(f"Content-Type: CloudEvents are read as {STRUCTURED} or {BATCHED}, got {media_type[:60]}")
        return [body]
    if CE + "specversion" not in headers:
        raise ValueError(f"Content-Type: must be {STRUCTURED} or {BATCHED}, or the headers ce-id, ce-source … are sent")
    return [_binary(headers, body)]


def _binary(headers: Mapping[str, str], body: bytes) -> bytes:
    """An event whose attributes came as headers, as the structured mode would have it."""
    event: dict[str, Any] = {
        name.removeprefix(CE): header_value(value) for name, value in headers.items() if name.startswith(CE)
    }
    content_type = headers.get("content-type")
    if content_type is not None:
        event["datacontenttype"] = content_type
    if body and is_json(content_type):
        # As it was sent: what is no JSON makes the event unreadable, and it waits with the others that are.
        return wire.encode(event)[:-1] + b',"data":' + body + b"}"
    if body:
        event["data_base64"] = base64.b64encode(body).decode()
    return wire.encode(event)


def header_value(text: str) -> str:
    """An attribute from the value of a header: out of its quotes, and percent-decoded once (source: CloudEvents 1.0.2,
    HTTP protocol binding 3.1.3.2). What is no UTF-8 behind a percent sign stays as it is written."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])

    def decoded(found: re.Match[str]) -> str:
        try:
            return bytes.fromhex(found[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            return found[0]

    return _ESCAPED.sub(decoded, text)


def _one_or_many(headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """A single object, an array of them, or one on each line."""
    start = body.lstrip()[:1]
    if start == b"[":
        return _array(body)
    if _media_type(headers) in NDJSON:
        return _lines(body)
    if start != b"{":
        raise ValueError("body: must be a JSON object, an array of them, or one on each line")
    try:
        _RAW.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        lines = _lines(body)
        if len(lines) > 1:
            return lines
        raise ValueError("body: is no JSON") from None
    return [body]


def _posthog(headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """Source: PostHog, webhook destination; and its capture API, `batch`."""
    found = _one_or_many(headers, body)
    if len(found) == 1 and b'"batch"' in found[0]:
        batch = _PARTS.decode(found[0]).get("batch")
        if batch is not None:
            return _array(bytes(batch))
    return found


def _datadog(_: Mapping[str, str], body: bytes) -> list[bytes]:
    """Source: Datadog API, "Submit metrics", v1 (points as pairs, host) and v2 (points as objects, resources)."""
    return [wire.encode(point) for series in _list(_object(body), "series") for point in _points(series)]


def _points(series: Any) -> Iterator[Any]:
    if not isinstance(series, dict) or not isinstance(series.get("points"), list):
        yield series
        return
    shared = {name: series[name] for name in ("metric", "host", "unit", "interval") if series.get(name) is not None}
    shared["type"] = _named(DATADOG_TYPES, series.get("type") or 0)
    shared["tags"] = _tags(series.get("tags"))
    if len(every := _texts(series.get("tags"))) > len(shared["tags"]):
        shared["everyTag"] = every  # a key that has several values: `tags` would make one of what are two series
    resources = series.get("resources")
    if isinstance(resources, list):
        named = [each for each in resources if isinstance(each, dict)]
        shared["resources"] = {str(each.get("type")): each.get("name") for each in named}
    for point in series["points"]:
        match point:
            case [timestamp, value]:
                yield {**shared, "timestamp": timestamp, "value": value}
            case {"timestamp": timestamp, "value": value}:
                yield {**shared, "timestamp": timestamp, "value": value}
            case _:
                yield {**shared, "point": point}


def _tags(tags: Any) -> dict[str, str]:
    """`["region:eu", "beta"]` as `{"region": "eu", "beta": ""}`; of one key the first in order."""
    return {name: value for name, _, value in (each.partition(":") for each in reversed(_texts(tags)))}


def _texts(tags: Any) -> list[str]:
    return sorted({each for each in tags if isinstance(each, str)}) if isinstance(tags, list) else []


def _otlp(_: Mapping[str, str], body: bytes) -> list[bytes]:
    """Source: OTLP 1.x, "OTLP/HTTP", "JSON Protobuf encoding"; ExportMetricsServiceRequest."""
    return [wire.encode(point) for point in _data_points(_object(body))]


def _data_points(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in _dicts(_list(request, "resourceMetrics")):
        described = {"resource": _attributes(_dict(resource.get("resource")).get("attributes"))}
        for scoped in _dicts(resource.get("scopeMetrics") or []):
            scope = _dict(scoped.get("scope"))
            named = {**described, "scope": {name: scope[name] for name in ("name", "version") if scope.get(name)}}
            for metric in _dicts(scoped.get("metrics") or []):
                yield from _of_metric(metric, named)


def _of_metric(metric: Mapping[str, Any], shared: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    kinds = ("sum", "gauge", "histogram", "exponentialHistogram", "summary")
    kind = next((each for each in kinds if isinstance(metric.get(each), dict)), None)
    told = {**shared, "name": metric.get("name"), "unit": metric.get("unit") or ""}
    if kind is None:
        yield {**told, "kind": "unknown"}
        return
    data = metric[kind]
    told["kind"] = "histogram" if kind == "exponentialHistogram" else kind
    if "aggregationTemporality" in data:
        told["temporality"] = _named(TEMPORALITIES, data["aggregationTemporality"])
    for point in _dicts(data.get("dataPoints") or []):
        if not _flags(point) & NO_RECORDED_VALUE:
            yield {**told, **_data_point(point)}


def _data_point(point: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers of 64 bits are texts in protobuf's JSON; times are counts of nanoseconds."""
    told: dict[str, Any] = {"attributes": _attributes(point.get("attributes"))}
    value = point.get("asInt", point.get("asDouble"))
    told |= {name: each for name, each in (("value", value), ("count", point.get("count"))) if each is not None}
    if point.get("sum") is not None:
        told["sum"] = point["sum"]
    for name, sent in (("time", "timeUnixNano"), ("startTime", "startTimeUnixNano")):
        count = point.get(sent)
        if count not in (None, 0, "0"):  # no set: it may be anything
            try:
                told[name] = iso_of(count, 1, sent)
            except ValueError:
                told[sent] = count  # without a time it is refused, with what was sent beside it
    return told


def _named(names: Mapping[object, str], sent: Any) -> Any:
    """What a code means, or else what was sent, whatever that is: the event shows it and is refused by itself."""
    return names.get(sent, sent) if isinstance(sent, int | str) else sent


def _flags(point: Mapping[str, Any]) -> int:
    flags = point.get("flags")
    return flags if isinstance(flags, int) else 0


def _attributes(attributes: Any) -> dict[str, Any]:
    """`[{"key": "region", "value": {"stringValue": "eu"}}]` as `{"region": "eu"}`."""
    found = _dicts(attributes) if isinstance(attributes, list) else ()
    return {str(each.get("key")): _any_value(each.get("value")) for each in found}


def _any_value(value: Any) -> Any:
    match value:
        case {"stringValue": told} | {"boolValue": told} | {"doubleValue": told} | {"bytesValue": told}:
            return told
        case {"intValue": told}:
            return int(told) if isinstance(told, str) and re.fullmatch(r"-?[0-9]{1,19}", told) else told
        case {"arrayValue": {"values": list() as many}}:
            return [_any_value(each) for each in many]
        case {"kvlistValue": {"values": list() as many}}:
            return _attributes(many)
    return None


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _array(body: bytes) -> list[bytes]:
    try:
        return [bytes(each) for each in _ARRAY.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"body: must be a JSON array of events: {problem}") from None


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if line.strip()]


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return _OBJECT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise ValueError(f"body: must be a JSON object: {str(problem)[:200]}") from None


def _list(document: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{name}: must be an array")
    return found


def _dicts(values: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in values if isinstance(each, dict)) if isinstance(values, list) else iter(())


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_SPLIT: Mapping[EventForm, Callable[[Mapping[str, str], bytes], list[bytes]]] = {
    EventForm.CLOUDEVENTS: _cloud_events,
    EventForm.PLAIN: _one_or_many,
    EventForm.SEGMENT: _one_or_many,
    EventForm.RUDDERSTACK: _one_or_many,
    EventForm.POSTHOG: _posthog,
    EventForm.DATADOG: _datadog,
    EventForm.OTLP: _otlp,
}
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any], float_hook=wire.number)
