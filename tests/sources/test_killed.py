"""The server is killed between the steps of fetching usage: everything counts once, failures are written once."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from kafka_topics import kafka_from, topic_of
from source_world import ROWS, House, house_again, house_on, member
from storefront import read

from tallystick.cli.launch import Server, free_port, launched

AT = "2025-03-01T00:00:00Z"


def test_a_message_counts_once_wherever_the_server_is_killed(
    tmp_path: Path, settings: dict[str, str], ground: Path, kafka: Producer
) -> None:
    """First between poll and journal, then between journal and everything behind it: records and offsets."""
    data, folders = tmp_path / "data", ground / "folders"
    topic = topic_of(kafka, member(None, 1), member("a", 20), member("bad", 1, meter="no-meter"), b"no json")
    armed = {**settings, "TALLYSTICK_FAILPOINT": "feed.read=1"}
    with launched(data, free_port(), armed) as server, house_on(server, folders) as house:
        source = house.source(kafka_from(kafka, topic))
        assert server.process.wait(60) != 0, "it has ended itself"
    topic_of(kafka, member(None, 300), topic=topic, partition=1)
    server = Server(data, free_port(), {**settings, "TALLYSTICK_FAILPOINT": "feed.taken=1"})
    assert server.process.wait(60) != 0, "it has ended itself again"
    with ExitStack() as stack:
        server = stack.enter_context(launched(data, free_port(), settings))
        again = stack.enter_context(house_again(house, server, folders))
        state = again.until(source, lambda state: state["received"] == 5)
        assert (state["accepted"] + state["duplicates"], state["duplicates"] > 0, state["failed"]) == (3, True, 2)
        assert again.tokens(321) == 321
        assert sorted(str(each["code"]) for each in again.failed()) == ["invalid_measurement", "undefined_meter"]


def test_a_source_that_is_made_again_counts_nothing_twice(house: House, kafka: Producer) -> None:
    topic = topic_of(kafka, member(None, 1), member("a", 20))
    (house.folder / "a.csv").write_text(f"at,who,tokens\n{AT},acorn,300\n")
    folder = {"type": "FOLDER", "intervalSeconds": 1, "settleSeconds": 1}
    for turn in range(2):
        made: list[Any] = [house.source(kafka_from(kafka, topic)), house.source(folder, mapping=ROWS)]
        counted = "accepted" if turn == 0 else "duplicates"
        assert house.until(made[0], lambda state: state["received"] == 2)[counted] == 2
        assert house.until(made[1], lambda state: state["received"] == 1)[counted] == 1
        for each in made:
            read(house.http.delete(f"/usagesources/{each}"))
    assert house.tokens(321) == 321
