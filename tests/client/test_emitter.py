"""The emitter: what becomes of measurements, whatever the server says, and whatever becomes of the process."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from answering import Answer, Stand, accept, stand

from tallystick.client import AsyncEmitter, Emitter, EmitterSettings, Full, Rejected
from tallystick.client.sending import asked_pause, pause

ORGANIZATION = "2d3c8f8e-0c52-4f0c-8f3a-7f1d6d3b8a11"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def server() -> Iterator[Stand]:
    with stand() as running:
        yield running


@pytest.fixture
def setup(server: Stand, tmp_path: Path) -> EmitterSettings:
    return EmitterSettings(
        url=server.url, organization=ORGANIZATION, key="k", secret="s", spool=tmp_path, linger_seconds=0.01
    )


def uids(members: list[dict[str, object]]) -> list[object]:
    return [each["uid"] for each in members]


# ---------------------------------------------------------------------------------------------------- what is sent


def test_a_measurement_is_sent_as_it_was_emitted_and_its_numbers_are_exact(
    server: Stand, setup: EmitterSettings
) -> None:
    raw: list[bytes] = []

    def keep(method: str, path: str, body: bytes) -> Answer:
        raw.append(body)
        return accept(method, path, body)

    server.answer = keep
    with Emitter(setup) as emitter:
        uid = emitter.emit(
            "llm",
            "acorn",
            {"tokens": 374, "price": Decimal("1234567890123456789.123456789"), "share": 0.1},
            ts="2025-01-31T10:00:00Z",
            what={"model": "größer"},
        )
        assert emitter.flush(10)
    (sent,) = server.taken
    assert sent["uid"] == uid
    assert (sent["meter"], sent["account"], sent["ts"]) == ("llm", "acorn", "2025-01-31T10:00:00Z")
    assert sent["what"] == {"model": "größer"}
    assert b'"price":1234567890123456789.123456789' in raw[0]
    assert b'"share":0.1' in raw[0]


def test_measurements_go_in_batches_of_at_most_a_thousand(server: Stand, setup: EmitterSettings) -> None:
    with Emitter(replace(setup, linger_seconds=0.5)) as emitter:
        given = [emitter.emit("llm", "acorn", {"calls": 1}) for _ in range(2_500)]
        assert emitter.flush(20)
        assert emitter.stats()[:2] == (2_500, 2_500)
    assert max(map(len, server.batches)) <= 1_000
    assert len(server.batches) <= 5
    assert len(set(given)) == 2_500
    assert sorted(map(str, uids(server.taken))) == sorted(given)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ({"measure": {"calls": float("nan")}}, ValueError),
        ({"measure": {"calls": Decimal("Infinity")}}, ValueError),
        ({"measure": {"calls": True}}, TypeError),
        ({"measure": {"calls": "1"}}, TypeError),
        ({"cost": {"usd": float("inf")}}, ValueError),
        ({"what": {"text": "x" * 600_000}}, ValueError),
    ],
)
def test_what_can_be_no_measurement_is_told_to_who_calls(
    setup: EmitterSettings, call: dict[str, dict[str, float]], fault: type[Exception]
) -> None:
    with Emitter(setup) as emitter:
        with pytest.raises(fault):
            emitter.emit("llm", "acorn", **call)
        with pytest.raises(ValueError, match="name both"):
            emitter.emit("llm", "")
        assert emitter.stats().emitted == 0


def test_settings_say_what_is_missing() -> None:
    with pytest.raises(ValueError, match="organization, key, secret: give it"):
        EmitterSettings()
    with pytest.raises(ValueError, match="write_ahead"):
        EmitterSettings(organization="o", key="k", secret="s", spool=None, write_ahead=True)
    assert "hidden" not in repr(EmitterSettings(organization="o", key="k", secret="hidden"))


# ---------------------------------------------------------------------------------------------------- what is answered


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_batch_that_was_not_taken_is_sent_again_under_the_same_uids(
    server: Stand, setup: EmitterSettings, status: int
) -> None:
    answers = [Answer(status, {"message": "not now"}), Answer(status, None)]
    server.answer = lambda *asked: answers.pop() if answers else accept(*asked)
    with Emitter(setup) as emitter:
        given = [emitter.emit("llm", "acorn", {"calls": 1}) for _ in range(3)]
        assert emitter.flush(10)
        assert emitter.stats().failures == 2
    assert uids(server.taken) == given
    assert [len(each) for each in server.batches if uids(each) != given] == []


def test_retry_after_is_heeded(server: Stand, setup: EmitterSettings) -> None:
    times: list[float] = []

    def busy_once(method: str, path: str, body: bytes) -> Answer:
        times.append(time.monotonic())
        return Answer(503, {"message": "busy"}, {"retry-after": "1"}) if len(times) == 1 else accept(method, path, body)

    server.answer = busy_once
    with Emitter(setup) as emitter:
        emitter.emit("llm", "acorn")
        assert emitter.flush(10)
    assert times[1] - times[0] >= 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3), ("0", 0), (None, None), ("soon", None), ("99999", 300), ("²", None)]
)
def test_how_long_a_server_may_ask_to_wait(header: str | None, seconds: float | None) -> None:
    assert asked_pause(header) == seconds


def test_retry_after_may_be_a_moment() -> None:
    found = asked_pause(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20)))
    assert found is not None
    assert 17 <= found <= 21


def test_pauses_double_up_to_ten_seconds_and_differ() -> None:
    assert [pause(tries, None, lambda: 1.0) for tries in (0, 1, 2, 3)] == [0.1, 0.2, 0.4, 0.8]
    assert pause(0, None, lambda: 0.0) == 0.05
    assert pause(1_000, None, lambda: 1.0) == 10
    assert pause(0, 7, lambda: 0.0) == 7


@pytest.mark.parametrize("refusal", [(403, "payload_too_large"), (413, "request_too_large"), (413, "")])
def test_a_batch_that_is_too_large_is_sent_in_parts(
    server: Stand, setup: EmitterSettings, refusal: tuple[int, str]
) -> None:
    def small_ones(method: str, path: str, body: bytes) -> Answer:
        many = len(json.loads(body)["measurements"]) > 30
        return Answer(refusal[0], {"message": "too large", "code": refusal[1]}) if many else accept(method, path, body)

    server.answer = small_ones
    with Emitter(replace(setup, linger_seconds=0.3)) as emitter:
        given = [emitter.emit("llm", "acorn", {"calls": 1}) for _ in range(200)]
        assert emitter.flush(10)
        assert emitter.stats().accepted == 200
    assert sorted(map(str, uids(server.taken))) == sorted(given)
    refused = [each for each in server.batches if len(each) > 30]
    assert len(refused) <= 4, "the size that fits is remembered"


def test_one_that_is_refused_by_itself_does_not_hold_up_the_others(server: Stand, setup: EmitterSettings) -> None:
    def picky(method: str, path: str, body: bytes) -> Answer:
        poison = any(each["meter"] == "poison" for each in json.loads(body)["measurements"])
        return Answer(400, {"message": "bad", "code": "invalid_request"}) if poison else accept(method, path, body)

    server.answer = picky
    told: list[Rejected] = []
    with Emitter(setup, on_rejected=told.append) as emitter:
        before = [emitter.emit("llm", "acorn") for _ in range(5)]
        poison = emitter.emit("poison", "acorn")
        after = [emitter.emit("llm", "acorn") for _ in range(5)]
        assert emitter.flush(10)
    assert [(each.uid, each.verdict, each.code) for each in told] == [(poison, "refused", "invalid_request")]
    assert sorted(map(str, uids(server.taken))) == sorted(before + after)


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(400, "The plain HTTP request was sent to HTTPS port"),
        Answer(200, {"result": "accepted", "measurements": []}),
        Answer(200, "welcome to this network"),
    ],
)
def test_an_answer_that_is_not_the_server_s_loses_nothing(server: Stand, setup: EmitterSettings, wrong: Answer) -> None:
    answers = [wrong] * 3
    server.answer = lambda *asked: answers.pop() if answers else accept(*asked)
    told: list[Rejected] = []
    with Emitter(setup, on_rejected=told.append) as emitter:
        given = [emitter.emit("llm", "acorn") for _ in range(2)]
        assert emitter.flush(10)
        assert emitter.stats().accepted == 2
    assert told == []
    assert set(given) <= set(map(str, uids(server.taken)))


def test_what_was_not_counted_is_told_and_a_callback_that_fails_ends_nothing(
    server: Stand, setup: EmitterSettings
) -> None:
    def judged(_: str, __: str, body: bytes) -> Answer:
        members = json.loads(body)["measurements"]
        why = {"code": "missing_field", "reason": "measure.calls: is missing"}
        verdicts = ["accepted", "rejected", "conflict", "duplicate"][: len(members)]
        said = [
            {
                "index": at,
                "uid": members[at]["uid"],
                "verdict": each,
                **(why if each in {"rejected", "conflict"} else {}),
            }
            for at, each in enumerate(verdicts)
        ]
        return Answer(body={"result": "accepted", "measurements": said})

    told: list[Rejected] = []

    def tell(rejected: Rejected) -> None:
        told.append(rejected)
        raise RuntimeError("a callback with a fault")

    server.answer = judged
    with Emitter(replace(setup, linger_seconds=0.2), on_rejected=tell) as emitter:
        given = [emitter.emit("llm", "acorn") for _ in range(4)]
        assert emitter.flush(10)
        stats = emitter.stats()
        assert (stats.accepted, stats.rejected, stats.duplicates) == (1, 2, 1)
    assert [(each.uid, each.reason) for each in told] == [(uid, "measure.calls: is missing") for uid in given[1:3]]
    assert json.loads(told[0].measurement)["uid"] == given[1]


def test_a_token_that_ended_is_asked_anew(server: Stand, setup: EmitterSettings) -> None:
    answers = [Answer(403, {"message": "the token has ended", "code": "forbidden"})]
    server.answer = lambda *asked: answers.pop() if answers else accept(*asked)
    with Emitter(setup) as emitter:
        emitter.emit("llm", "acorn")
        assert emitter.flush(10)
        assert emitter.stats().failures == 0
    assert server.tokens == 2


# ---------------------------------------------------------------------------------------------------- where it waits


def test_what_the_server_does_not_take_goes_to_the_spool_and_the_next_process_sends_it(
    server: Stand, setup: EmitterSettings
) -> None:
    away = Emitter(replace(setup, url=NOBODY, exit_seconds=0.2))
    given = [away.emit("llm", "acorn", {"calls": each}) for each in range(1_500)]
    away.close()
    assert away.stats().spooled == 1_500
    assert away.stats().dropped == 0
    with Emitter(setup) as emitter:
        assert emitter.flush(10)
        assert emitter.stats().accepted == 1_500
    assert sorted(map(str, uids(server.taken))) == sorted(given)


def test_an_organisation_is_never_sent_what_is_another_s(server: Stand, setup: EmitterSettings) -> None:
    away = Emitter(replace(setup, url=NOBODY, exit_seconds=0.1, organization="another"))
    away.emit("llm", "acorn")
    away.close()
    with Emitter(setup) as emitter:
        assert emitter.flush(10)
    assert server.taken == []


def test_without_any_room_the_caller_is_held_up_and_nothing_is_lost(server: Stand, setup: EmitterSettings) -> None:
    held = threading.Event()

    def slow(method: str, path: str, body: bytes) -> Answer:
        held.wait(10)
        return accept(method, path, body)

    server.answer = slow
    with Emitter(replace(setup, spool=None, memory_bytes=1_000)) as emitter:
        caller = threading.Thread(target=lambda: [emitter.emit("llm", "acorn") for _ in range(50)])
        caller.start()
        caller.join(0.2)
        assert caller.is_alive(), "fifty measurements are more than 1,000 bytes"
        held.set()
        caller.join(10)
        assert emitter.flush(10)
        assert emitter.stats()[:2] == (50, 50)


def test_a_caller_may_be_held_up_for_so_long_only(setup: EmitterSettings) -> None:
    limited = replace(setup, url=NOBODY, spool_bytes=1, memory_bytes=300, block_seconds=0.1, exit_seconds=0.1)
    emitter = Emitter(limited)
    while emitter.stats().waiting < 2:
        emitter.emit("llm", "acorn")
    with pytest.raises(Full, match="at most 1"):
        emitter.emit("llm", "acorn", what={"much": "x" * 200})
    emitter.close()


@pytest.mark.parametrize("spool", [True, False])
def test_or_what_finds_no_room_is_dropped_counted_and_told(setup: EmitterSettings, tmp_path: Path, spool: bool) -> None:
    told: list[tuple[int, str]] = []
    where = tmp_path if spool else None
    limited = replace(
        setup, url=NOBODY, spool=where, spool_bytes=1, memory_bytes=1_000, when_full="drop", exit_seconds=0.1
    )
    emitter = Emitter(limited, on_dropped=lambda number, why: told.append((number, why)))
    for _ in range(100):
        emitter.emit("llm", "acorn")
    waiting = emitter.stats().waiting
    assert 0 < waiting < 100
    assert emitter.stats().dropped == 100 - waiting == len(told)
    emitter.close()
    assert emitter.stats().dropped == 100
    assert told[-1] == (waiting, "the emitter was closed while the server was away")


def test_a_spool_that_cannot_be_is_told_at_once(setup: EmitterSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="name a directory that can be written, or None"):
        Emitter(replace(setup, spool=tmp_path / "file"))


# ---------------------------------------------------------------------------------------------------- processes

PROGRAM = """
import os, sys, signal, threading, time
from tallystick.client import Emitter, EmitterSettings
url, organization, spool, what = sys.argv[1:]
settings = EmitterSettings(url=url, organization=organization, key="k", secret="s", spool=spool,
                           write_ahead=what == "killed", exit_seconds=20,
                           linger_seconds=60 if what == "killed" else 0.01)
emitter = Emitter(settings)
for number in range(100):
    emitter.emit("llm", "acorn", {"calls": number}, uid=f"{what}-{number}")
if what == "killed":
    print("emitted", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if what == "forked":
    child = os.fork()
    for number in range(100):
        emitter.emit("llm", "acorn", {"calls": number})
    if child:
        assert os.waitpid(child, 0)[1] == 0
    # both end in order
"""


def run_program(server: Stand, spool: Path, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, server.url, ORGANIZATION, str(spool), what]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_waits_is_sent_when_the_process_ends(server: Stand, tmp_path: Path) -> None:
    assert run_program(server, tmp_path, "ended").returncode == 0
    assert sorted(map(str, uids(server.taken))) == sorted(f"ended-{number}" for number in range(100))


def test_what_was_written_ahead_survives_the_process_that_is_killed(
    server: Stand, setup: EmitterSettings, tmp_path: Path
) -> None:
    killed = run_program(server, tmp_path, "killed")
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == "emitted\n"
    with Emitter(setup) as emitter:
        assert emitter.flush(10)
    assert {str(each) for each in uids(server.taken)} == {f"killed-{number}" for number in range(100)}


def test_a_forked_child_emits_under_uids_of_its_own(server: Stand, tmp_path: Path) -> None:
    ended = run_program(server, tmp_path, "forked")
    assert (ended.returncode, ended.stderr) == (0, "")
    sent = [str(each) for each in uids(server.taken)]
    assert len(sent) == len(set(sent)) == 300
    assert len({each.rpartition("-")[0] for each in sent}) == 3, "the given uids, the parent's and the child's"


def test_who_imports_the_client_loads_nothing_of_the_server() -> None:
    program = """
import sys, time
before = time.process_time()
import tallystick.client
took = time.process_time() - before
heavy = {"chdb", "litestar", "sqlalchemy", "pyarrow", "numpy", "httpx", "jinja2", "granian", "cryptography"}
print(sorted(heavy & set(sys.modules)), sorted(each for each in sys.modules if each.startswith("tallystick.")
      and not each.startswith("tallystick.client")), took < 0.5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[] [] True\n"


def test_emitting_costs_the_caller_less_than_twenty_microseconds(setup: EmitterSettings) -> None:
    """Processor time of the thread that calls, the best of five rounds: another process on the machine adds none."""
    emitter = Emitter(replace(setup, linger_seconds=60, batch_events=1_000, memory_bytes=1 << 30, url=NOBODY))
    best = min(_cost(emitter) for _ in range(5))
    emitter.close(0)
    assert best < 20e-6, f"{best * 1e6:.1f} µs"


def _cost(emitter: Emitter, many: int = 2_000) -> float:
    before = time.thread_time()
    for number in range(many):
        emitter.emit("llm", "acorn", {"calls": 1, "tokens": number}, what={"model": "small"})
    return (time.thread_time() - before) / many


# ---------------------------------------------------------------------------------------------------- async


def test_the_event_loop_goes_on_while_an_emitter_waits_for_room(server: Stand, setup: EmitterSettings) -> None:
    held = threading.Event()

    def slow(method: str, path: str, body: bytes) -> Answer:
        held.wait(10)
        return accept(method, path, body)

    server.answer = slow

    async def program() -> tuple[int, int]:
        turns = 0
        async with AsyncEmitter(replace(setup, spool=None, memory_bytes=1_000)) as emitter:
            emitting = asyncio.gather(*(emitter.emit("llm", "acorn") for _ in range(30)))
            while turns < 20:
                await asyncio.sleep(0.005)
                turns += 1
            assert not emitting.done()
            held.set()
            await emitting
            assert await emitter.flush(10)
            return turns, emitter.stats().accepted

    assert asyncio.run(program()) == (20, 30)
