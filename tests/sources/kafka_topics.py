"""Topics with messages in the cluster of a producer."""

from __future__ import annotations

import json
from itertools import count

from confluent_kafka import Producer

_numbers = count(1)


def brokers_of(kafka: Producer) -> list[str]:
    return [f"{each.host}:{each.port}" for each in kafka.list_topics(timeout=10).brokers.values()]


def topic_of(kafka: Producer, *values: object, partition: int = 0, topic: str | None = None) -> str:
    """A topic with messages: objects as JSON, bytes as they are."""
    topic = topic or f"usage-{next(_numbers)}"
    for each in values:
        kafka.produce(topic, each if isinstance(each, bytes) else json.dumps(each).encode(), partition=partition)
    assert kafka.flush(10) == 0
    return topic


def kafka_from(kafka: Producer, topic: str, **more: object) -> dict[str, object]:
    return {"type": "KAFKA", "brokers": brokers_of(kafka), "topics": [topic], **more}
