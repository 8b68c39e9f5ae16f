"""Kafka: each message counts once, whatever is delivered twice, in whatever order, and whatever is wrong with it."""

from __future__ import annotations

from contextlib import closing

import pytest
from confluent_kafka import Producer
from kafka_topics import brokers_of, kafka_from, topic_of
from source_world import DAY, ROWS, House, member
from storefront import read, send

from tallystick.core.usage_source import KafkaFrom
from tallystick.integrations import kafka_stream
from tallystick.integrations.kafka_stream import KafkaStream


def test_messages_count_once_each(house: House, kafka: Producer) -> None:
    topic = topic_of(kafka, member("a", 1), member("b", 20), member("a", 1), member(None, 300))
    topic_of(
        kafka,
        member(None, 4_000),
        {"measurements": [member("c", 50_000), member(None, 600_000)]},
        partition=1,
        topic=topic,
    )
    source = house.source(kafka_from(kafka, topic))
    state = house.received(source, 6)
    assert (state["accepted"], state["duplicates"], state["failed"]) == (6, 1, 0)
    assert house.tokens(654_321) == 654_321
    assert set(state["places"]) == {f"{topic}/0", f"{topic}/1"}
    topic_of(kafka, member("d", 7_000_000), topic=topic)
    assert house.received(source, 7)["accepted"] == 7
    assert house.tokens(7_654_321) == 7_654_321


def test_poison_goes_to_the_failed_measurements_and_blocks_nothing(house: House, kafka: Producer) -> None:
    topic = topic_of(kafka, b"no json", member("x", 1, meter="no-meter"), b"", b"[1]", member("a", 20))
    state = house.received(house.source(kafka_from(kafka, topic)), 5)
    assert (state["accepted"], state["failed"], state["status"]) == (1, 3, "RUNNING")
    assert house.tokens(20) == 20
    assert sorted((each["code"], each["original"][:9]) for each in house.failed()) == [
        ("invalid_measurement", "[1]"),
        ("invalid_measurement", "no json"),
        ("undefined_meter", '{"uid": "'),
    ]


def test_rows_are_mapped(house: House, kafka: Producer) -> None:
    topic = topic_of(
        kafka,
        {"at": "2025-03-01T00:00:00Z", "who": "acorn", "tokens": 5},
        {"at": "2025-03-01T00:00:00Z", "who": "acorn", "tokens": 5},
        {"at": "2025-03-01T00:00:00Z", "who": "acorn", "tokens": "many"},
    )
    state = house.received(house.source(kafka_from(kafka, topic), mapping=ROWS), 3)
    assert (state["accepted"], state["failed"]) == (2, 1)
    assert house.tokens(10) == 10
    assert [each["code"] for each in house.failed()] == ["invalid_number"]


def test_two_sources_read_a_topic_for_two_meters(house: House, kafka: Producer) -> None:
    fields = [{"category": "MEASURE", "code": "tokens", "name": "Tokens", "unit": "{token}"}]
    body = {"name": "Output", "code": "out", "dataFields": fields, "derivedFields": []}
    read(send(house.http, "POST", "/meters", body))
    topic = topic_of(kafka, {"at": DAY, "who": "acorn", "tokens": 5}, {"at": DAY, "who": "acorn", "tokens": 7})
    for code, meter in (("one", "llm"), ("two", "out"), ("once-more", "out")):
        source = house.source(kafka_from(kafka, topic), mapping={**ROWS, "meter": meter}, code=code)
        state = house.received(source, 2)
        assert (state["accepted"], state["duplicates"], state["failed"]) == ((0, 2, 0) if "more" in code else (2, 0, 0))


def test_events_become_measurements_by_the_mappings_of_the_organisation(house: House, kafka: Producer) -> None:
    body = {
        "name": "Calls",
        "code": "calls",
        "form": "CLOUDEVENTS",
        "type": "llm.call",
        "meterId": house.meter,
        "account": "subject",
        "fields": {"tokens": "data.tokens"},
    }
    read(send(house.http, "POST", "/eventmappings", body))
    event = {"specversion": "1.0", "source": "/gateway", "type": "llm.call", "subject": "acorn", "time": DAY}
    topic = topic_of(
        kafka,
        {**event, "id": "1", "data": {"tokens": 1}},
        {**event, "id": "2", "data": {"tokens": 20}},
        {**event, "id": "1", "data": {"tokens": 1}},
        {**event, "id": "3", "type": "unheard.of"},
        b"no json",
    )
    source = house.source(kafka_from(kafka, topic), mapping={"type": "EVENTS", "form": "CLOUDEVENTS"})
    state = house.received(source, 5)
    assert (state["accepted"], state["duplicates"], state["failed"]) == (2, 1, 2)
    assert house.tokens(21) == 21
    assert sorted(each["code"] for each in house.failed()) == ["invalid_event", "unmapped_event"]


def test_large_messages_are_taken_a_few_at_a_time(kafka: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_stream, "AT_ONCE", 5)
    monkeypatch.setattr(kafka_stream, "MOST_BYTES", 1_000)
    topic = topic_of(kafka, *(b"%03d" % each + b"." * 300 for each in range(20)))
    asked = KafkaFrom(brokers=tuple(brokers_of(kafka)), topics=(topic,))
    with closing(KafkaStream(asked, f"group-of-{topic}", {}, {})) as stream:
        taken: list[list[bytes]] = []
        while sum(map(len, taken)) < 20:
            taken.append([each.value[:3] for each in stream.read(2_000, 5).messages])
    assert max(map(len, taken)) == 5, "of 303 bytes each: four are enough"
    assert [each for some in taken for each in some] == [b"%03d" % each for each in range(20)]
