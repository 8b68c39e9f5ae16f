"""Usage that other programs tell of in their own words: an event, and what is read of it in each form.

Whatever the form, an event has an id that is the same each time it is sent, by which it counts once; a source and a
type, by which mappings choose (`core.event_mapping`); a time; and the document that paths lead into
(docs/decisions/0520-usage-events.md). `core.usage_event_forms` cuts the body of a request into such documents.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.ids import named_id
from tallystick.core.measurement import EPOCH
from tallystick.errors import Rejection

UIDS = "6b1d8a0e-5b0c-4c55-9d0e-0f6f0e6a5a11"  # the namespace of the uids of measurements that events make
MAX_NANOSECONDS = 9_223_372_036_854_775_807  # in the year 2262, as far as measurements go
LONGEST_COUNT = 19  # digits of the greatest of them
DELTA, CUMULATIVE = "delta", "cumulative"


class EventForm(StrEnum):
    """In which words an event is told."""

    CLOUDEVENTS = "CLOUDEVENTS"
    PLAIN = "PLAIN"
    SEGMENT = "SEGMENT"
    RUDDERSTACK = "RUDDERSTACK"
    POSTHOG = "POSTHOG"
    DATADOG = "DATADOG"
    OTLP = "OTLP"


class UsageEvent(NamedTuple):
    """An event as mappings see it. `incidental`: its form has many such that are no usage, such as page views; it is
    passed over where no mapping wants it."""

    form: EventForm
    source: str
    id: str
    type: str
    time: str | None
    document: Mapping[str, Any]
    incidental: bool = False


def read_event(form: EventForm, text: bytes) -> UsageEvent | Rejection:
    """Read one event; numbers become int or Decimal exactly as written."""
    try:
        document = _DOCUMENT.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        return Rejection("invalid_event", f"event: must be a JSON object: {str(problem)[:200]}", "event")
    try:
        return _READ[form](document)
    except _Fault as fault:
        return Rejection("invalid_event", f"{fault.field}: {fault.args[0]}", fault.field)


def event_uid(event: UsageEvent, mapping_code: str) -> str:
    """The uid of the measurement that a mapping makes of an event: the same for ever, however often it is sent."""
    return named_id(UIDS, wire.encode([event.form, event.source, event.id, mapping_code]).decode())


def given_event_uid(event: UsageEvent | Rejection, text: bytes) -> str:
    """By what an event that made no measurement is found: by its identity, else by all its bytes."""
    if isinstance(event, Rejection):
        return named_id(UIDS, text.decode("utf-8", "backslashreplace"))
    return event_uid(event, "")


def iso_of(count: object, unit: int, field: str) -> str:
    """A time that is told as a count since 1970, `unit` nanoseconds each; ValueError beyond the year 2261."""
    if isinstance(count, str) and count.isdecimal() and count.isascii() and len(count) <= LONGEST_COUNT:
        count = int(count)
    if isinstance(count, Decimal) and count.adjusted() < LONGEST_COUNT and count == count.to_integral_value():
        count = int(count)  # of a bounded length: 1e999999999 has a thousand million digits
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count * unit <= MAX_NANOSECONDS:
        raise ValueError(f"{field}: must be a count since 1970 in whole units, before 2262")
    return (EPOCH + timedelta(microseconds=count * unit // 1000)).isoformat().replace("+00:00", "Z")


class _Fault(ValueError):
    """Why an event cannot be read."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


def _text(document: Mapping[str, Any], *names: str) -> str | None:
    """The first of the fields that is there, which must be a text; a whole number is taken as one."""
    for name in names:
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise _Fault(name, "must be a text")
        if value:
            return value
    return None


def _required(document: Mapping[str, Any], *names: str) -> str:
    found = _text(document, *names)
    if found is None:
        raise _Fault(names[0], "is missing; every event needs it")
    return found


def _cloud_event(document: Mapping[str, Any]) -> UsageEvent:
    """Source: CloudEvents 1.0.2, sections 3.1 (attributes) and JSON event format 3.1 (data)."""
    version = _required(document, "specversion")
    if version != "1.0":
        raise _Fault("specversion", f"must be 1.0, got {version[:20]!r}")
    for name in ("id", "source", "type"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise _Fault(name, "is missing or empty; every CloudEvent has it as a text")
    return UsageEvent(
        EventForm.CLOUDEVENTS,
        document["source"],
        document["id"],
        document["type"],
        _text(document, "time"),
        _with_data(document),
    )


def _with_data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event with its `data` readable, where that came in base64 and is JSON."""
    if document.get("data_base64") is None:
        return document
    if document.get("data") is not None:
        raise _Fault("data_base64", "stands beside data; send one of them")
    try:
        raw = base64.b64decode(_required(document, "data_base64"), validate=True)
    except (binascii.Error, ValueError):
        raise _Fault("data_base64", "is no base64") from None
    if not is_json(_text(document, "datacontenttype")):
        return document
    try:
        return {**document, "data": _ANY.decode(raw)}
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        raise _Fault("data_base64", "must be JSON, by its datacontenttype") from None


def is_json(media_type: str | None) -> bool:
    """Whether a media type means JSON; none does (source: CloudEvents JSON event format 3.1.1)."""
    name = (media_type or "application/json").partition(";")[0].strip().lower()
    return name.endswith(("/json", "+json"))


def _plain(document: Mapping[str, Any]) -> UsageEvent:
    return UsageEvent(
        EventForm.PLAIN,
        _text(document, "source") or "",
        _required(document, "event_id", "id"),
        _text(document, "event_type", "type", "event") or "",
        _text(document, "timestamp", "time"),
        document,
    )


def _call(form: EventForm) -> Callable[[Mapping[str, Any]], UsageEvent]:
    def read(document: Mapping[str, Any]) -> UsageEvent:
        """Source: Segment Spec, common fields and Track; RudderStack event specification, the same names."""
        kind = _required(document, "type")
        track = kind == "track"
        return UsageEvent(
            form,
            "",
            _required(document, "messageId"),
            _required(document, "event") if track else kind,
            _text(document, "timestamp", "originalTimestamp", "receivedAt"),
            document,
            incidental=not track,
        )

    return read


def _posthog(document: Mapping[str, Any]) -> UsageEvent:
    """Source: PostHog, webhook destination: its body is a template, by default `{"event": {…}, "person": {…}}`; hooks
    send `{"hook": {…}, "data": {…}}`; an event by itself has its name as `event`."""
    inner = next((each for name in ("event", "data") if isinstance(each := document.get(name), dict)), None)
    whole = document if inner is None else {**{name: document[name] for name in document if name != "event"}, **inner}
    return UsageEvent(
        EventForm.POSTHOG,
        "",
        _required(whole, "uuid"),
        _required(whole, "event"),
        _text(whole, "timestamp"),
        whole,
    )


def _datadog(document: Mapping[str, Any]) -> UsageEvent:
    """One point of a series, as `usage_event_forms` writes it. A point has no id: it is known by what it is of."""
    metric = _required(document, "metric")
    try:
        time = iso_of(document.get("timestamp"), 1_000_000_000, "timestamp")
    except ValueError as problem:
        raise _Fault("timestamp", str(problem).partition(": ")[2]) from None
    known_by = ("metric", "type", "timestamp", "tags", "resources", "host", *({"everyTag"} & document.keys()))
    return UsageEvent(EventForm.DATADOG, "", _of_parts(document, known_by), metric, time, document)


def _otlp(document: Mapping[str, Any]) -> UsageEvent:
    """One data point, as `usage_event_forms` writes it (source: OpenTelemetry metrics data model, "Metric points")."""
    name = _required(document, "name")
    if document.get("temporality") == CUMULATIVE:
        raise _Fault(
            "temporality",
            "is cumulative: each point repeats what was counted before; export deltas "
            "(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta, or the cumulativetodelta processor)",
        )
    if document.get("kind") not in {"sum", "gauge", "histogram"}:
        raise _Fault("kind", "only sums, gauges and histograms can be measured")
    if document["kind"] != "gauge" and document.get("temporality") != DELTA:
        raise _Fault("temporality", "is not said to be delta: whether a point repeats what was counted is not known")
    known_by = ("name", "kind", "startTime", "time", "attributes", "resource", "scope")
    time = _required(document, "time")
    return UsageEvent(EventForm.OTLP, "", _of_parts(document, known_by), name, time, document)


def _of_parts(document: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return named_id(UIDS, wire.canonical([document.get(name) for name in names]).decode())


_READ: Mapping[EventForm, Callable[[Mapping[str, Any]], UsageEvent]] = {
    EventForm.CLOUDEVENTS: _cloud_event,
    EventForm.PLAIN: _plain,
    EventForm.SEGMENT: _call(EventForm.SEGMENT),
    EventForm.RUDDERSTACK: _call(EventForm.RUDDERSTACK),
    EventForm.POSTHOG: _posthog,
    EventForm.DATADOG: _datadog,
    EventForm.OTLP: _otlp,
}
_DOCUMENT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any], float_hook=wire.number)
_ANY = msgspec.json.Decoder(float_hook=wire.number)
