"""Kafka: the topics of a source, read by confluent-kafka (the extra `kafka`); offsets are committed last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tallystick.core.usage_source import KafkaFrom, KafkaSecurity, StreamStart
from tallystick.errors import Refusal
from tallystick.ports.feeds import Batch, Message

log = logging.getLogger(__name__)

AT_ONCE = 200  # messages, which may have a megabyte each …
MOST_BYTES = 16_777_216  # … so that no more are taken together once they have so many
ANSWER_SECONDS = 10.0  # for brokers to answer
# The time between two reads after which the group goes on without us: as long as the journal may be busy.
IDLE_MILLISECONDS = 3_600_000
SESSION_MILLISECONDS = 10_000  # after which a group takes partitions from who is gone
_BEGUN = "begun"  # the place that says that a source which starts with the latest has started


class KafkaStream:
    """A consumer of a group by itself. `places` maps topic/partition to the last offset that was taken, and when that
    message was written."""

    def __init__(
        self, source: KafkaFrom, group: str, credentials: Mapping[str, str], places: Mapping[str, str]
    ) -> None:
        kafka = _library()
        self._kafka = kafka
        self._latest = source.start is StreamStart.LATEST and not places
        self._begun = not self._latest
        self._taken = {name: _place(text) for name, text in places.items() if "@" in text}
        self._unsaid: dict[tuple[str, int], int] = {}  # offsets to commit
        self._problem: str | None = None
        try:
            self._consumer = kafka.Consumer(_settings(source, group, credentials, self._note), logger=log)
            self._cluster = self._cluster_of(source)
            self._consumer.subscribe(list(source.topics), on_assign=self._assigned)
        except kafka.KafkaException as problem:
            raise _failed(problem.args[0] if problem.args else problem) from None

    def read(self, most: int, seconds: float) -> Batch:
        """See `ports.feeds.Stream`."""
        try:
            found = self._consumer.consume(min(most, AT_ONCE), seconds)
            more = found
            while more and len(found) < most and sum(map(len, found)) < MOST_BYTES:
                more = self._consumer.consume(min(most - len(found), AT_ONCE), 0)
                found += more
        except self._kafka.KafkaException as problem:
            raise _failed(problem.args[0]) from None
        if self._problem is not None:
            raise Refusal("source_failed", f"Kafka: {self._problem}")
        messages: list[Message] = []
        places: dict[str, str] = {}
        for each in found:
            if each.error() is not None:
                raise _failed(each.error())
            messages.append(self._message(each))
            place = f"{each.topic()}/{each.partition()}"
            self._unsaid[each.topic(), each.partition()] = each.offset() + 1
            offset, written = each.offset(), max(each.timestamp()[1], self._taken.get(place, (0, 0))[1])
            places[place] = f"{offset}@{written}"
            self._taken[place] = (offset, written)
        if self._latest and self._begun:
            places[_BEGUN], self._latest = "true", False
        return Batch(messages, places)

    def _message(self, message: Any) -> Message:
        """A topic that was made anew has the same offsets, at later times: so the time is part of the name."""
        topic, partition, offset, written = (
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
        )
        name = f"kafka/{self._cluster}/{topic}/{partition}/{offset}@{written}"
        taken, latest = self._taken.get(f"{topic}/{partition}", (-1, 0))
        return Message(name, message.value() or b"", again=offset <= taken and written <= latest)

    def done(self) -> None:
        """See `ports.feeds.Stream`. Where it does not succeed, the messages come again and are known."""
        offsets = [self._kafka.TopicPartition(*of, offset) for of, offset in self._unsaid.items()]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except self._kafka.KafkaException as problem:
                log.warning("offsets were not committed: %s", problem)
        self._unsaid.clear()

    def lag(self) -> int | None:
        """See `ports.feeds.Stream`."""
        try:
            total = 0
            for each in self._consumer.assignment():
                low, high = self._consumer.get_watermark_offsets(each, timeout=ANSWER_SECONDS)
                taken = self._taken.get(f"{each.topic}/{each.partition}", (low - 1, 0))[0]
                total += max(0, high - max(taken + 1, low))
        except self._kafka.KafkaException:
            return None
        return total

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _cluster_of(self, source: KafkaFrom) -> str:
        found = self._consumer.list_topics(timeout=ANSWER_SECONDS)
        missing = [each for each in source.topics if each not in found.topics or found.topics[each].error is not None]
        if missing:
            self._consumer.close()
            raise Refusal("source_failed", f"Kafka: there is no topic {missing[0]!r}")
        return str(found.cluster_id or ",".join(source.brokers))

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        """Begin where the group has come to, else where this source has, else where the source says."""
        for each in consumer.committed(partitions, timeout=ANSWER_SECONDS):
            [mine] = [one for one in partitions if (one.topic, one.partition) == (each.topic, each.partition)]
            taken = self._taken.get(f"{each.topic}/{each.partition}")
            if each.offset >= 0:
                mine.offset = each.offset
            elif taken is not None:
                mine.offset = taken[0] + 1
            elif self._latest:
                mine.offset = consumer.get_watermark_offsets(mine, timeout=ANSWER_SECONDS)[1]
                self._unsaid[mine.topic, mine.partition] = mine.offset
            else:
                mine.offset = self._kafka.OFFSET_BEGINNING
        consumer.assign(partitions)
        self._begun = True

    def _note(self, error: Any) -> None:
        """What librdkafka tells beside the messages; single brokers come and go by themselves."""
        code = self._kafka.KafkaError
        if error.fatal() or error.code() in {code._ALL_BROKERS_DOWN, code._AUTHENTICATION}:
            self._problem = error.str()


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        message = "Kafka: the server lacks the library; install tallystick[kafka]"
        raise Refusal("source_failed", message) from None
    return confluent_kafka


def _settings(source: KafkaFrom, group: str, credentials: Mapping[str, str], note: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(source.brokers),
        "group.id": group,
        "session.timeout.ms": SESSION_MILLISECONDS,
        "client.id": "tallystick",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # of an offset that is no longer there
        "allow.auto.create.topics": False,
        "max.poll.interval.ms": IDLE_MILLISECONDS,
        "security.protocol": source.security.value,
        "error_cb": note,
    }
    if source.ca is not None:
        settings["ssl.ca.pem"] = source.ca
    if source.security in {KafkaSecurity.SASL_PLAINTEXT, KafkaSecurity.SASL_SSL}:
        if not credentials:
            raise Refusal("source_failed", "credentials: this source needs username and password")
        settings |= {
            "sasl.mechanism": source.mechanism.value,
            "sasl.username": credentials["username"],
            "sasl.password": credentials["password"],
        }
    return settings


def _place(text: str) -> tuple[int, int]:
    offset, _, written = text.partition("@")
    return int(offset), int(written)


def _failed(error: Any) -> Refusal:
    said = error.str() if hasattr(error, "str") else str(error)
    return Refusal("source_failed", f"Kafka: {said}")
