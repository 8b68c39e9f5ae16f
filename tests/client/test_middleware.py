"""A small service, metered and gated in five lines, against a real server; and the guard against one that goes away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from answering import Answer, Stand, stand
from storefront import read, send

from tallystick.cli.launch import Server
from tallystick.client import (
    Emitter,
    EmitterSettings,
    Guard,
    MeteredASGI,
    MeteredWSGI,
    NotAllowed,
    Served,
    metered,
)
from tallystick.client.metering import usual
from tenant import Tenant, new_tenant

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "middleware.md"
LINES = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


class Service:
    """Metered by a real server: a meter `api`, a feature `calls` that counts requests, and accounts with limits."""

    def __init__(self, tenant: Tenant, spool: Path) -> None:
        self.tenant = tenant
        self.settings = EmitterSettings(
            url=tenant.url,
            organization=tenant.id,
            key=tenant.key,
            secret=tenant.secret,
            spool=spool,
            linger_seconds=0.01,
        )
        self.http = tenant.http()
        fields = [
            {"code": "requests", "name": "Requests", "category": "MEASURE", "unit": "1"},
            {"code": "bytes_in", "name": "Received", "category": "MEASURE", "unit": "By"},
            {"code": "bytes_out", "name": "Sent", "category": "MEASURE", "unit": "By"},
            {"code": "milliseconds", "name": "Milliseconds", "category": "MEASURE", "unit": "ms"},
            {"code": "method", "name": "Method", "category": "WHAT"},
            {"code": "status", "name": "Status", "category": "WHAT"},
        ]
        self.meter = self.make("/meters", name="API", code="api", dataFields=fields, derivedFields=[])
        counted = {"meterId": self.meter, "targetField": "requests", "aggregation": "SUM", "quantityPerUnit": 1}
        aggregation = self.make(
            "/aggregations", name="Requests", code="requests", rounding="NONE", unit="requests", **counted
        )
        feature = self.make("/features", name="Calls", code="calls", aggregationId=aggregation)
        limits: dict[str, dict[str, Any]] = {
            "acorn": {"hardLimit": 5},
            "beech": {},
            "cedar": {"burst": [{"per": "HOUR", "limit": 2}]},
        }
        for code, limit in limits.items():
            account = self.make("/accounts", name=code, code=code, emailAddress=f"{code}@example.invalid")
            self.make("/entitlements", featureId=feature, accountId=account, **limit)

    def make(self, path: str, **body: object) -> str:
        return str(read(send(self.http, "POST", path, body))["id"])

    def rows(self, account: str, many: int) -> list[dict[str, Any]]:
        """The measurements of an account, once there are so many."""
        until = time.monotonic() + 20
        while True:
            found = read(send(self.http, "POST", "/usage/query", {}))["data"]
            own = [each for each in found if each["accountCode"] == account]
            if len(own) >= many:
                return own
            assert time.monotonic() < until, f"{len(own)} of {many}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(new_tenant(server), tmp_path_factory.mktemp("spool"))
    yield made
    made.http.close()


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers in parts, and fails where it is asked to."""
    if scope["type"] != "http":
        await send({"type": "seen", "of": scope["type"]})
        return
    await receive()
    if scope["path"] == "/fails":
        raise RuntimeError("a fault of the application")
    await send({"type": "http.response.start", "status": 201, "headers": []})
    for part in (b"one", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def ask(app: Any, *accounts: str, path: str = "/") -> list[httpx.Response]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return [
            await client.post(path, headers={"x-account": each} if each else {}, content=b"12345") for each in accounts
        ]


def test_the_five_lines_of_the_guide(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert LINES is not None
    lines = LINES.group(1)
    assert len([each for each in lines.splitlines() if each]) <= 5
    environment = {**service.tenant.environment(), "TALLYSTICK_SPOOL": str(tmp_path)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world: dict[str, Any] = {"app": streaming}
    exec(lines, world)  # noqa: S102  the guide's own words, which must do what it says
    answers = asyncio.run(ask(world["app"], *["acorn"] * 7, ""))
    assert [each.status_code for each in answers] == [201] * 5 + [429] * 2 + [401]
    refused = answers[5]
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["code"] == "HARD_LIMIT"
    assert refused.json()["message"].startswith("Calls is limited to 5 requests")
    world["emitter"].close()
    rows = service.rows("acorn", 5)
    assert len(rows) == 5
    first = rows[0]["fields"]
    assert (first["requests"], first["bytes_out"], first["bytes_in"], first["status"]) == (1, 6, 5, "201")
    assert Decimal(first["milliseconds"]) > 0
    until = time.monotonic() + 20
    while (answer := read(service.http.get("/accounts/acorn/entitlements/calls")))["allowed"]:
        assert time.monotonic() < until, "what was measured was not seen"
        time.sleep(0.1)
    assert answer["reason"] == "HARD_LIMIT"


def test_what_fails_is_metered_as_such_and_what_is_no_request_passes(service: Service) -> None:
    told: list[Served] = []

    def watch(served: Served) -> dict[str, Any]:
        told.append(served)
        return dict(usual(served))

    with Emitter(service.settings) as emitter:
        app = MeteredASGI(streaming, emitter, "api", account=lambda scope: "beech", measure=watch)
        (failed,) = asyncio.run(ask(app, "", path="/fails"))
        assert failed.status_code == 500
        seen: list[Any] = []

        async def sent(message: Any) -> None:
            seen.append(message)

        async def nothing() -> Any: ...

        asyncio.run(app({"type": "websocket", "headers": []}, nothing, sent))
        assert seen == [{"type": "seen", "of": "websocket"}]
        assert emitter.flush(20)
        assert emitter.stats().accepted == 1
    assert [(each.status, each.path, each.account) for each in told] == [(500, "/fails", "beech")]


def test_a_wsgi_application_is_metered_when_its_answer_is_closed(service: Service) -> None:
    closed: list[bool] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"one", b"two", b"three")

        def close(self) -> None:
            closed.append(True)

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("202 Accepted", [("content-type", "text/plain")])
        return Parts()

    told: list[Served] = []

    def watch(served: Served) -> dict[str, Any]:
        told.append(served)
        return {}

    with Emitter(service.settings) as emitter:
        app: Any = MeteredWSGI(
            application, emitter, "nothing", account="X-Account", guard=Guard("calls", service.settings), measure=watch
        )
        transport = httpx.WSGITransport(app=app)
        with httpx.Client(transport=transport, base_url="http://service") as client:
            good = client.post("/a", headers={"x-account": "beech"}, content=b"123")
            nobody = client.get("/a")
            unknown = client.get("/a", headers={"x-account": "nobody"})
    assert (good.status_code, good.text, nobody.status_code) == (202, "onetwothree", 401)
    assert (unknown.status_code, unknown.json()["code"]) == (429, "NOT_FOUND")
    assert [each[:6] for each in told] == [("beech", "POST", "/a", 202, 3, 11)]
    assert closed == [True]


def test_a_function_is_metered_and_refused_by_a_decorator(service: Service) -> None:
    with Emitter(service.settings) as emitter:
        guard = Guard("calls", service.settings)

        @metered(emitter, "api", account="customer", guard=guard, measure=lambda s: {"measure": {"requests": s.status}})
        def report(month: str, customer: str = "cedar") -> str:
            if month == "never":
                raise ValueError(month)
            return f"{month} of {customer}"

        @metered(emitter, "api", account=lambda *_: "beech", guard=guard)
        async def later(month: str) -> str:
            await asyncio.sleep(0)
            return month

        assert report("May") == "May of cedar"
        with pytest.raises(ValueError, match="never"):
            report("never")
        with pytest.raises(NotAllowed, match="1 more would be above 2 of Calls in a hour") as refused:
            report("June")
        assert refused.value.decision.reason == "BURST_LIMIT"
        assert 0 < refused.value.decision.retry_after <= 3_600
        assert asyncio.run(later("July")) == "July"
        assert report.__name__ == "report"


# ---------------------------------------------------------------------------------------------------- the guard


@pytest.fixture
def away(tmp_path: Path) -> Iterator[tuple[Stand, EmitterSettings]]:
    with stand() as running:
        yield (
            running,
            EmitterSettings(url=running.url, organization="o", key="k", secret="s", spool=tmp_path),
        )


def saying(**answer: object) -> Answer:
    return Answer(body={"allowed": True, "reason": "WITHIN_LIMIT", "why": "there is some left", **answer})


def test_answers_are_remembered_and_what_passes_is_taken_from_them(away: tuple[Stand, EmitterSettings]) -> None:
    server, settings = away
    asked: list[tuple[str, bytes]] = []

    def answer(_: str, path: str, body: bytes) -> Answer:
        asked.append((path, body))
        return saying(used=98, hardLimit=100) if len(asked) == 1 else saying(allowed=False, reason="HARD_LIMIT")

    server.answer = answer
    guard = Guard("calls/all", settings, cache_seconds=60)
    assert [guard.ask("acorn & co").allowed for _ in range(3)] == [True] * 3
    path = "/organizations/o/accounts/acorn%20%26%20co/entitlements/calls%2Fall/consume"
    assert asked == [(path, b'{"quantity":1}')]
    assert [guard.ask("acorn & co").allowed for _ in range(3)] == [False] * 3
    assert asked[1:] == [(path, b'{"quantity":3}')], "with the two that passed since; the refusal is remembered too"


def test_what_passed_is_told_once_however_many_threads_find_the_answer_too_old(
    away: tuple[Stand, EmitterSettings],
) -> None:
    server, settings = away
    told: list[int] = []
    told_lock = threading.Lock()

    def answer(_: str, __: str, body: bytes) -> Answer:
        quantity = json.loads(body)["quantity"]
        with told_lock:
            told.append(quantity)
            used = sum(told)
        time.sleep(0.05)
        return saying(used=used, hardLimit=1_000_000)

    server.answer = answer
    guard = Guard("calls", settings, cache_seconds=0.3)
    for _ in range(1_000):
        guard.ask("acorn")
    time.sleep(0.35)
    threads = [threading.Thread(target=guard.ask, args=("acorn",)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert told[0] == 1
    assert told[1] == 1_000, "the 999 that passed and the first of those that ask"
    assert sum(told) <= 1_020, "nothing that passed is told twice: the rest is taken from that answer"


def test_who_asks_for_too_much_at_once_may_still_have_less(away: tuple[Stand, EmitterSettings]) -> None:
    server, settings = away

    def answer(_: str, __: str, body: bytes) -> Answer:
        fits = json.loads(body)["quantity"] <= 10
        return saying(allowed=fits, reason="WITHIN_LIMIT" if fits else "HARD_LIMIT", used=90, hardLimit=100)

    server.answer = answer
    guard = Guard("calls", settings, cache_seconds=60)
    assert [guard.ask("acorn", Decimal(each)).allowed for each in (500, 500, 10)] == [False, False, True]
    assert len(server.batches) == 2, "what is surely too much is remembered"


@pytest.mark.parametrize("quantity", ["-1", "NaN", "Infinity"])
def test_a_quantity_that_is_none_is_told_to_who_asks(away: tuple[Stand, EmitterSettings], quantity: str) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        Guard("calls", away[1]).ask("acorn", Decimal(quantity))


def test_a_forked_child_asks_for_itself_and_by_a_connection_of_its_own(away: tuple[Stand, EmitterSettings]) -> None:
    server, settings = away
    paths: list[str] = []

    def answer(_: str, path: str, __: bytes) -> Answer:
        paths.append(path.split("/")[4])
        return saying(why=path, hardLimit=100, used=1)

    server.answer = answer
    guard = Guard("calls", settings, cache_seconds=60)
    guard.ask("acorn")
    open_here = guard._connections.open
    child = os.fork()
    if not child:
        guard._lock.acquire()  # as a thread of the parent might have had it
        unknown = not guard._kept and getattr(guard._connections, "open", None) is None
        guard._lock.release()
        said = guard.ask("acorn").why
        os._exit(0 if unknown and "acorn" in said else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert guard._connections.open is open_here
    assert paths == ["acorn", "acorn"], "what is left is not counted down by two who know nothing of each other"


def test_an_answer_that_cannot_be_unpacked_is_none(away: tuple[Stand, EmitterSettings]) -> None:
    server, settings = away
    server.answer = lambda *_: Answer(200, {"allowed": True}, {"content-encoding": "gzip"})
    assert Guard("calls", settings).ask("acorn").reason == "UNREACHABLE"


@pytest.mark.parametrize("fail_open", [True, False])
def test_who_decides_while_the_server_is_away(away: tuple[Stand, EmitterSettings], fail_open: bool) -> None:
    server, settings = away
    server.answer = lambda *_: Answer(503, {"message": "not now"})
    guard = Guard("calls", settings, cache_seconds=60, fail_open=fail_open)
    decisions = [guard.ask("acorn") for _ in range(5)]
    assert {each.allowed for each in decisions} == {fail_open}
    assert {(each.reason, each.retry_after) for each in decisions} == {("UNREACHABLE", 1)}
    assert len(server.batches) == 1, "it is not asked again at once"
    nobody = Guard("calls", replace(settings, url="http://127.0.0.1:9"), fail_open=fail_open)
    assert nobody.ask("acorn").allowed is fail_open


def test_bursts_are_asked_about_each_time(away: tuple[Stand, EmitterSettings]) -> None:
    server, settings = away
    asked: list[str] = []

    def answer(_: str, path: str, __: bytes) -> Answer:
        asked.append(path.rpartition("/")[2])
        return saying(burst=[{"per": "SECOND"}])

    server.answer = answer
    guard = Guard("calls", settings, cache_seconds=60)
    for _ in range(3):
        guard.ask("acorn")
    assert asked == ["consume"] * 3


def test_what_goes_wrong_in_metering_harms_no_answer(away: tuple[Stand, EmitterSettings]) -> None:
    _, settings = away

    def broken(_: Served) -> dict[str, Any]:
        raise RuntimeError("a fault in the measure")

    with Emitter(replace(settings, exit_seconds=0.1)) as emitter:
        app = MeteredASGI(streaming, emitter, "api", account="x-account", measure=broken)
        (answer,) = asyncio.run(ask(app, "acorn"))
    assert answer.text == "onetwo"


def test_the_event_loop_goes_on_where_there_is_no_room_to_meter(away: tuple[Stand, EmitterSettings]) -> None:
    _, settings = away
    small = replace(settings, url="http://127.0.0.1:9", spool=None, memory_bytes=10, exit_seconds=0.1, block_seconds=1)

    async def story(emitter: Emitter) -> int:
        app = MeteredASGI(streaming, emitter, "api", account="x-account")
        served = asyncio.create_task(ask(app, "acorn"))
        turns = 0
        while not served.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert [each.text for each in await served] == ["onetwo"]
        return turns

    with Emitter(small) as emitter:
        assert asyncio.run(story(emitter)) > 10, "a hundred in the second that the measurement waits for room"
