"""Kinesis: the shards of a stream, read by boto3 (the extra `kinesis`). How far each was read is kept by us."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.core.period import Instant
from tallystick.core.usage_source import KinesisFrom, StreamStart
from tallystick.errors import Refusal
from tallystick.ports.feeds import Batch, Message

END = "END"  # the place of a shard that was read to its end
START = "start"  # the place that says when a source which starts with the latest has started
STREAM = "stream"  # the place that says which stream the others are of: one that was made anew has the same shards
NOWHERE = ""  # the place of a shard of which nothing was read
SHARD_SECONDS = 0.25  # between two reads of a shard: five a second are allowed, for all who read it
LIST_SECONDS = 60.0  # between two looks for new shards
MOST_AT_ONCE = 10_000  # records, by the service


class KinesisStream:
    """Reads all shards that may be read: a shard after a split or merge only once its parents were read to the end."""

    def __init__(self, source: KinesisFrom, credentials: Mapping[str, str], places: Mapping[str, str]) -> None:
        self._source = source
        self._client, self._problems = _client(source, credentials)
        self._places = dict(places)
        self._iterators: dict[str, str] = {}
        self._due: dict[str, float] = {}  # when a shard may be read again
        self._behind: dict[str, int] = {}  # milliseconds
        self._unsaid: dict[str, str] = {}  # places that were found without a message
        self._shards: dict[str, dict[str, Any]] = {}
        self._listed = 0.0
        if source.start is StreamStart.LATEST and not places:
            self._unsaid[START] = self._places[START] = datetime.now(UTC).isoformat()
        try:
            summary = self._client.describe_stream_summary(StreamName=source.stream)["StreamDescriptionSummary"]
            self._arn = f"{summary['StreamARN']}@{int(summary['StreamCreationTimestamp'].timestamp())}"
            self._begin_anew()
            self._list()
        except self._problems as problem:
            raise _failed(problem) from None

    def _begin_anew(self) -> None:
        """Forget the places of another stream of this name."""
        before = self._places.get(STREAM, self._arn)
        if before != self._arn:
            self._unsaid |= dict.fromkeys(self._places.keys() - {START, STREAM}, NOWHERE)
        if self._places.get(STREAM) != self._arn:
            self._unsaid[STREAM] = self._arn
        self._places |= self._unsaid

    def read(self, most: int, seconds: float) -> Batch:
        """See `ports.feeds.Stream`."""
        until = time.monotonic() + seconds
        messages: list[Message] = []
        try:
            while True:
                self._list()
                for shard in self._ready():
                    messages += self._read_shard(shard, max(1, min(most - len(messages), MOST_AT_ONCE)))
                    if len(messages) >= most:
                        break
                if messages or self._unsaid or time.monotonic() >= until:
                    break
                time.sleep(0.05)
        except self._problems as problem:
            raise _failed(problem) from None
        places, self._unsaid = self._unsaid, {}
        return Batch(messages, places)

    def done(self) -> None:
        """Nothing is told: the places are ours."""

    def lag(self) -> int | None:
        """The service tells how old the next record is, not how many wait: 0 once all shards were read to the tip."""
        return 0 if self._behind and not any(self._behind.values()) else None

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _list(self) -> None:
        """Look for shards, now and then, and whenever one has ended."""
        if self._listed and time.monotonic() - self._listed < LIST_SECONDS:
            return
        shards: dict[str, dict[str, Any]] = {}
        asked: dict[str, Any] = {"StreamName": self._source.stream}
        while asked:
            found = self._client.list_shards(**asked)
            shards |= {each["ShardId"]: each for each in found["Shards"]}
            asked = {"NextToken": found["NextToken"]} if found.get("NextToken") else {}
        self._shards, self._listed = shards, time.monotonic()

    def _ready(self) -> list[str]:
        """The shards that may be read now."""
        now = time.monotonic()
        return [
            id_
            for id_, shard in self._shards.items()
            if self._places.get(id_) != END
            and self._due.get(id_, 0.0) <= now
            and all(
                self._places.get(parent) == END
                for name in ("ParentShardId", "AdjacentParentShardId")
                if (parent := shard.get(name)) in self._shards
            )
        ]

    def _read_shard(self, shard: str, most: int) -> list[Message]:
        self._due[shard] = time.monotonic() + SHARD_SECONDS
        busy = self._client.exceptions.ProvisionedThroughputExceededException
        expired = self._client.exceptions.ExpiredIteratorException
        try:
            iterator = self._iterators.get(shard) or self._iterator(shard)
            found = self._client.get_records(ShardIterator=iterator, Limit=most)
        except busy:
            return []
        except expired:
            del self._iterators[shard]
            return []
        records = found["Records"]
        if records:
            self._go_to(shard, records[-1]["SequenceNumber"])
        self._behind[shard] = found.get("MillisBehindLatest", 0)
        if found.get("NextShardIterator"):
            self._iterators[shard] = found["NextShardIterator"]
        else:
            self._go_to(shard, END)
            self._behind.pop(shard, None)
            self._listed = 0.0  # its children can be read now
        names = (f"kinesis/{self._arn}/{shard}/{each['SequenceNumber']}" for each in records)
        return [Message(name, each["Data"]) for name, each in zip(names, records, strict=True)]

    def _go_to(self, shard: str, place: str) -> None:
        self._unsaid[shard] = self._places[shard] = place

    def _iterator(self, shard: str) -> str:
        asked: dict[str, Any] = {"StreamName": self._source.stream, "ShardId": shard}
        place, begun = self._places.get(shard), self._places.get(START)
        if place:
            asked |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": place}
        elif begun is not None:
            asked |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": Instant.parse(begun)}
        elif self._source.start_time is not None:
            asked |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._source.start_time}
        else:
            asked["ShardIteratorType"] = "TRIM_HORIZON"
        self._iterators[shard] = self._client.get_shard_iterator(**asked)["ShardIterator"]
        return self._iterators[shard]


def _client(source: KinesisFrom, credentials: Mapping[str, str]) -> tuple[Any, Any]:
    """A client, and what it raises. Only with keys of the source: never with those of the machine it runs on."""
    try:
        import boto3
        from botocore.config import Config  # comes with boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        message = "Kinesis: the server lacks the library; install tallystick[kinesis]"
        raise Refusal("source_failed", message) from None
    if not credentials:
        raise Refusal("source_failed", "credentials: this source needs accessKeyId and secretAccessKey")
    client = boto3.Session(
        aws_access_key_id=credentials["accessKeyId"],
        aws_secret_access_key=credentials["secretAccessKey"],
        region_name=source.region,
    ).client(
        "kinesis",
        endpoint_url=source.endpoint,
        config=Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 2}),
    )
    return client, (BotoCoreError, ClientError)


def _failed(problem: Exception) -> Refusal:
    return Refusal("source_failed", f"Kinesis: {problem}")
