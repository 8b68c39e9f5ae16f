"""Kinesis: every record counts once, through resharding and restarts, from wherever the source says.

moto moves the records of a shard that is split or merged to its children, under other numbers, and never ends a shard:
the service does neither. So resharding is held against a stand-in that does as the service's reference says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from source_world import House, member

from tallystick.core.period import Instant
from tallystick.core.usage_source import KinesisFrom, StreamStart
from tallystick.errors import Refusal
from tallystick.integrations import kinesis_stream
from tallystick.integrations.kinesis_stream import KinesisStream

KEYS = {"accessKeyId": "key", "secretAccessKey": "secret"}
REGION = "us-east-1"
_numbers = count(1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Something that speaks as Kinesis does."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Made:
    """A stream of one's own."""

    def __init__(self, endpoint: str, shards: int = 1) -> None:
        self.endpoint, self.name = endpoint, f"usage-{next(_numbers)}"
        self.client = boto3.client(
            "kinesis",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        self.client.create_stream(StreamName=self.name, ShardCount=shards)

    def put(self, *values: object) -> None:
        """Spread over the shards by their place in the range of hashes."""
        for at, each in enumerate(values):
            data = each if isinstance(each, bytes) else json.dumps(each).encode()
            place = str(2**128 * at // len(values))
            self.client.put_record(StreamName=self.name, Data=data, PartitionKey="k", ExplicitHashKey=place)

    def shards(self) -> dict[str, Any]:
        return {each["ShardId"]: each for each in self.client.list_shards(StreamName=self.name)["Shards"]}

    def source(self, **more: object) -> dict[str, object]:
        return {"type": "KINESIS", "stream": self.name, "region": REGION, "endpoint": self.endpoint, **more}

    def opened(self, places: dict[str, str], **more: Any) -> KinesisStream:
        asked = KinesisFrom(stream=self.name, region=REGION, endpoint=self.endpoint, **more)
        return KinesisStream(asked, KEYS, places)


def all_of(stream: KinesisStream, wanted: int, places: dict[str, str]) -> list[bytes]:
    """Messages until there are so many; the places go where ours are kept."""
    found: list[bytes] = []
    for _ in range(60):
        batch = stream.read(100, 0.3)
        places |= batch.places
        found += [each.value for each in batch.messages]
        if len(found) >= wanted and not batch.messages:
            break
    return found


def test_records_count_once(house: House, endpoint: str) -> None:
    made = Made(endpoint, shards=2)
    made.put(member("a", 1), member(None, 20), b"no json", member("a", 1))
    source = house.source(made.source(), KEYS)
    state = house.received(source, 4)
    assert (state["accepted"], state["duplicates"], state["failed"], state["status"]) == (2, 1, 1, "RUNNING")
    assert set(state["places"]) == {*made.shards(), "stream"}
    house.http.post(f"/usagesources/{source}/pause")
    house.until(source, lambda state: state["status"] == "PAUSED")
    made.put(member("b", 300), member(None, 4_000))
    house.http.post(f"/usagesources/{source}/resume")
    assert house.received(source, 6)["accepted"] == 4
    assert house.tokens(4_321) == 4_321


@pytest.mark.parametrize("start", [StreamStart.LATEST, StreamStart.AT_TIMESTAMP])
def test_a_stream_is_begun_where_the_source_says(endpoint: str, start: StreamStart) -> None:
    made = Made(endpoint)
    made.put(b"before")
    at = Instant.of(datetime.now(UTC) + timedelta(seconds=0.5))
    asked: dict[str, Any] = {"start": start} | ({"start_time": at} if start is StreamStart.AT_TIMESTAMP else {})
    if start is StreamStart.AT_TIMESTAMP:
        while datetime.now(UTC) < at:
            pass
    places: dict[str, str] = {}
    stream = made.opened(places, **asked)
    assert all_of(stream, 0, places) == []
    made.put(b"after")  # while nobody reads: the source began already
    assert all_of(made.opened(places, **asked), 1, places) == [b"after"]


class Shard:
    """A shard of the stand-in: records by number, what it came from, and whether it is closed."""

    def __init__(self, *parents: str) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.parents, self.closed = parents, False


class StandIn:
    """A client of a stream, as the reference of the service has it: a closed shard ends with no next iterator."""

    class Busy(Exception):
        pass

    class Expired(Exception):
        pass

    exceptions = SimpleNamespace(ProvisionedThroughputExceededException=Busy, ExpiredIteratorException=Expired)

    def __init__(self) -> None:
        self.shards: dict[str, Shard] = {"s0": Shard(), "s1": Shard()}
        self.sequence = 0
        self.trouble: list[type[Exception]] = []  # what the next reads raise

    def open(self) -> list[str]:
        return [name for name, each in self.shards.items() if not each.closed]

    def put(self, at: int) -> bytes:
        self.sequence += 1
        data = str(self.sequence).encode()
        self.shards[self.open()[at % len(self.open())]].records.append((self.sequence, data))
        return data

    def split(self, at: int) -> None:
        name = self.open()[at % len(self.open())]
        self.shards[name].closed = True
        self.shards |= {f"s{len(self.shards) + each}": Shard(name) for each in range(2)}

    def merge(self) -> None:
        if len(self.open()) > 1:
            left, right = self.open()[:2]
            self.shards[left].closed = self.shards[right].closed = True
            self.shards[f"s{len(self.shards)}"] = Shard(left, right)

    def describe_stream_summary(self, **_: Any) -> dict[str, Any]:
        return {"StreamDescriptionSummary": {"StreamARN": "arn", "StreamCreationTimestamp": datetime.now(UTC)}}

    def list_shards(self, **asked: Any) -> dict[str, Any]:
        """A page of two shards at a time."""
        start, names = int(asked.get("NextToken", 0)), list(self.shards)
        parents = ("ParentShardId", "AdjacentParentShardId")
        page = [
            {"ShardId": name, **dict(zip(parents, self.shards[name].parents, strict=False))}
            for name in names[start : start + 2]
        ]
        return {"Shards": page} | ({"NextToken": str(start + 2)} if start + 2 < len(names) else {})

    def get_shard_iterator(self, **asked: Any) -> dict[str, str]:
        after = int(asked.get("StartingSequenceNumber", 0))
        return {"ShardIterator": f"{asked['ShardId']}:{after}"}

    def get_records(self, **asked: Any) -> dict[str, Any]:
        if self.trouble:
            raise self.trouble.pop()
        name, _, after = asked["ShardIterator"].partition(":")
        left = [each for each in self.shards[name].records if each[0] > int(after)]
        found = left[: asked["Limit"]]
        over = self.shards[name].closed and len(found) == len(left)
        next_ = None if over else f"{name}:{found[-1][0] if found else after}"
        records = [{"SequenceNumber": str(number), "Data": data} for number, data in found]
        return {"Records": records, "NextShardIterator": next_, "MillisBehindLatest": 0}

    def close(self) -> None:
        pass


STEPS = st.one_of(
    st.tuples(st.sampled_from(["put", "split", "read", "lose"]), st.integers(0, 7)),
    st.tuples(st.sampled_from(["merge", "restart", "busy", "expired"]), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
def test_resharding_loses_and_repeats_nothing(steps: list[tuple[str, int]]) -> None:
    """A read that is lost is one whose messages never came to the journal: its places were not kept."""
    stand_in, places, found, put = StandIn(), dict[str, str](), list[bytes](), list[bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinesis_stream, "_client", lambda *_: (stand_in, ()))
        patch.setattr(kinesis_stream, "SHARD_SECONDS", 0)
        patch.setattr(kinesis_stream, "LIST_SECONDS", 0)
        asked = KinesisFrom(stream="usage", region=REGION)
        stream = KinesisStream(asked, KEYS, places)
        for step, number in [*steps, *(("read", 50) for _ in range(3 * len(steps) + 9))]:
            match step:
                case "put":
                    put.append(stand_in.put(number))
                case "split":
                    stand_in.split(number)
                case "merge":
                    stand_in.merge()
                case "busy" | "expired":
                    stand_in.trouble.append(StandIn.Busy if step == "busy" else StandIn.Expired)
                case "read":
                    batch = stream.read(number + 1, 0)
                    places |= batch.places
                    found += [each.value for each in batch.messages]
                case _:
                    if step == "lose":
                        stream.read(number + 1, 0)
                    stream = KinesisStream(asked, KEYS, places)
    assert sorted(found) == sorted(put)
    for shard in stand_in.shards.values():
        for parent in shard.parents:
            before = [found.index(data) for _, data in stand_in.shards[parent].records]
            after = [found.index(data) for _, data in shard.records]
            assert not before or not after or max(before) < min(after), "a child waits for its parents"


def test_a_stream_that_is_made_anew_is_read_from_its_beginning(endpoint: str) -> None:
    made = Made(endpoint)
    made.put(b"old")
    before = made.opened({})
    places = dict(before.read(10, 1).places)
    before.close()
    (shard,) = made.shards()
    ended = {**places, shard: kinesis_stream.END, "stream": "an earlier one"}
    again = made.opened(ended)
    batch = again.read(10, 1)
    again.close()
    assert [each.value for each in batch.messages] == [b"old"]
    kept = {**ended, **batch.places}
    same = made.opened(kept)
    assert same.read(10, 0.3).messages == []
    same.close()


def test_a_stream_that_cannot_be_read_says_so(endpoint: str) -> None:
    made = Made(endpoint)
    with pytest.raises(Refusal, match=r"Kinesis: .*not found"):
        KinesisStream(KinesisFrom(stream="nowhere", region=REGION, endpoint=endpoint), KEYS, {})
    with pytest.raises(Refusal, match="needs accessKeyId"):
        KinesisStream(KinesisFrom(stream=made.name, region=REGION, endpoint=endpoint), {}, {})
