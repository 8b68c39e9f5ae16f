"""What event mappings make of events: tables of mapping, event and measurement."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event_mapping import EventMapping, Mapped, Mapper
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.core.usage_event import EventForm, UsageEvent, read_event

NOW = Instant.parse("2025-06-01T00:00:00Z")
LLM = "10000000-0000-4000-8000-000000000001"
METER = Meter(
    name="LLM",
    code="llm",
    data_fields=(
        DataField(code="model", name="Model", category=Category.WHAT),
        DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="{token}"),
    ),
    derived_fields=(),
)
EVENT = {
    "event_id": "evt_abc123",
    "customer_id": "cust_456",
    "timestamp": "2025-03-15T14:30:00Z",
    "event_type": "api_call",
    "properties": {"model": "gpt-4", "tokens_input": 1500, "tokens_output": 800, "region": "us-east-1", "ok": True},
}
CALL = {
    "code": "calls",
    "name": "Calls",
    "type": "api_call",
    "meterId": LLM,
    "account": "customer_id",
    "fields": {"model": "properties.model", "tokens": "properties.tokens_input"},
}


def mapping(**changes: Any) -> EventMapping:
    return wire.decode(EventMapping, wire.encode({**CALL, **changes}))


def mapper(*mappings: EventMapping) -> Mapper:
    def kept(id: str, value: Any) -> Entity[Any]:
        return Entity(id=id, version=1, value=value, created=NOW, created_by="t", modified=NOW, modified_by="t")

    return Mapper.of([kept(str(place), each) for place, each in enumerate(mappings)], [kept(LLM, METER)])


def mapped(*mappings: EventMapping, form: EventForm = EventForm.PLAIN, **changes: Any) -> Mapped:
    event = read_event(form, wire.encode({**EVENT, **changes}))
    assert isinstance(event, UsageEvent), event
    return mapper(*mappings).map(event)


def made(found: Mapped) -> dict[str, Any]:
    (member,) = found.members
    assert not found.faults
    return wire.decode(dict[str, Any], member)


def test_the_event_of_the_example_becomes_a_measurement() -> None:
    measurement = made(mapped(mapping()))
    assert len(measurement.pop("uid")) == 36
    assert measurement == {
        "meter": "llm",
        "ts": "2025-03-15T14:30:00Z",
        "account": "cust_456",
        "what": {"model": "gpt-4"},
        "measure": {"tokens": 1500},
    }


@pytest.mark.parametrize(
    ("source", "event", "tokens"),
    [
        ("properties.tokens_output", {}, "800"),
        ({"path": "properties.tokens_output"}, {}, "800"),
        ({"constant": 1}, {}, "1"),
        ({"constant": Decimal("0.10")}, {}, "0.10"),
        ({"calculation": "properties.tokens_input + 2 * properties.tokens_output"}, {}, "3100"),
        ({"path": "properties.nothing", "default": 7}, {}, "7"),
        ({"calculation": "properties.nothing", "default": 7}, {}, "7"),
        ("n", {"n": "12.50"}, "12.50"),
        ("n", {"n": Decimal("0.10000000000000000001")}, "0.10000000000000000001"),
        ("n", {"n": 1234567890123456789012}, "1234567890123456789012"),
    ],
)
def test_a_number_is_taken_exactly(source: object, event: dict[str, Any], tokens: str) -> None:
    fields = {"model": "properties.model", "tokens": source}
    (member,) = mapped(mapping(fields=fields), **event).members
    assert f'"measure":{{"tokens":{tokens}}}'.encode() in member


@pytest.mark.parametrize(
    ("source", "model"),
    [("properties.tokens_input", "1500"), ("properties.ok", "true"), ({"constant": "m"}, "m"), ("n", "0.50")],
)
def test_numbers_and_truths_are_taken_as_texts(source: object, model: str) -> None:
    fields = {"model": source, "tokens": {"constant": 1}}
    assert made(mapped(mapping(fields=fields), n=Decimal("0.50")))["what"] == {"model": model}


@pytest.mark.parametrize(
    ("changes", "event", "field"),
    [
        ({}, {"customer_id": None}, "account"),
        ({}, {"customer_id": {"id": 1}}, "account"),
        ({}, {"timestamp": None}, "ts"),
        ({}, {"properties": {"model": "m"}}, "fields.tokens"),
        ({}, {"properties": {"model": "m", "tokens_input": "many"}}, "fields.tokens"),
        ({}, {"properties": {"model": "m", "tokens_input": True}}, "fields.tokens"),
        ({}, {"properties": {"model": ["m"], "tokens_input": 1}}, "fields.model"),
        ({"fields": {"model": "event_id", "tokens": {"calculation": "properties.tokens_input / 0"}}}, {},
         "fields.tokens"),
        ({"ts": "properties.at"}, {}, "ts"),
        ({"ts": "properties.at", "tsUnit": "SECONDS"}, {"properties": {"at": -1}}, "ts"),
        ({"account": None, "identity": {"type": "key", "value": "nothing"}}, {}, "identity"),
    ],
)  # fmt: skip
def test_a_part_that_is_missing_is_named(changes: dict[str, Any], event: dict[str, Any], field: str) -> None:
    found = mapped(mapping(**changes), **event)
    assert found.members == ()
    (fault,) = found.faults
    assert (fault.code, fault.field) == ("unmapped_field", field)
    assert "'calls'" in fault.reason, "the mapping at fault is named"


@pytest.mark.parametrize(
    ("unit", "count"),
    [("SECONDS", 1742049000), ("MILLISECONDS", 1742049000000), ("NANOSECONDS", "1742049000000000000")],
)
def test_a_time_may_be_a_count_since_1970(unit: str, count: object) -> None:
    assert made(mapped(mapping(ts="at", tsUnit=unit), at=count))["ts"] == "2025-03-15T14:30:00Z"


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        ({"type": "api_call"}, True),
        ({"type": "api_*"}, True),
        ({"type": "*"}, True),
        ({"type": None}, True),
        ({"type": "api"}, False),
        ({"form": "PLAIN"}, True),
        ({"form": "CLOUDEVENTS"}, False),
        ({"source": "x"}, False),
        ({"when": "properties.region == 'us-east-1'"}, True),
        ({"when": "properties.region == 'eu'"}, False),
        ({"when": "properties.missing > 3"}, False),
        ({"when": "properties.region"}, False),
        ({"enabled": False}, False),
    ],
)
def test_which_events_a_mapping_wants(match: dict[str, Any], wanted: bool) -> None:
    found = mapped(mapping(**match))
    assert bool(found.members) is wanted
    assert [each.code for each in found.faults] == ([] if wanted else ["unmapped_event"])


def test_one_event_makes_a_measurement_for_each_mapping_under_uids_of_their_own() -> None:
    out = {"model": "properties.model", "tokens": "properties.tokens_output"}
    first, second = mapped(mapping(), mapping(code="answers", fields=out)).members
    # In the order of the codes: answers before calls.
    uids = [wire.decode(dict[str, Any], each)["uid"] for each in (first, second)]
    assert len(set(uids)) == 2
    assert b'"tokens":800' in first
    assert b'"tokens":1500' in second
    alone = made(mapped(mapping()))
    assert alone["uid"] == uids[1], "a further mapping changes no uid of those that were there"


def test_what_one_mapping_cannot_take_does_not_keep_another_from_it() -> None:
    broken = mapping(code="broken", account="nobody")
    found = mapped(broken, mapping())
    assert (len(found.members), [each.field for each in found.faults]) == (1, ["account"])


def test_ignored_and_incidental_events_make_nothing_and_are_no_fault() -> None:
    ignore = wire.decode(EventMapping, wire.encode({"code": "noise", "name": "Noise", "type": "api_*", "ignore": True}))
    assert mapped(ignore) == Mapped(ignored=True)
    assert len(mapped(ignore, mapping()).members) == 1, "who measures it goes first"
    page = {"type": "page", "messageId": "m"}
    assert mapped(mapping(), form=EventForm.SEGMENT, **page) == Mapped(ignored=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"account": None},
        {"identity": {"type": "key", "value": "k"}},
        {"meterId": None},
        {"ignore": True},
        {"when": "1 +"},
        {"fields": {"tokens": {"path": "a", "constant": 1}}},
        {"fields": {"tokens": {}}},
        {"fields": {"tokens": {"constant": [1]}}},
        {"fields": {"tokens": {"calculation": "("}}},
        {"form": "PAPER"},
    ],
)
def test_a_mapping_that_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        mapping(**changes)
