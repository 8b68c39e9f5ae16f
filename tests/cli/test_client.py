"""The client of every command: what it sends, when it sends again, and how a refusal reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tallystick.cli import client as client_module
from tallystick.cli.client import Client
from tallystick.cli.failure import Failure, Refused

ACCEPTED = httpx.Response(200, json={})
Answer = httpx.Response | httpx.TransportError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which is slept."""
    made: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", made.append)
    return made


class Wire:
    """The far end of the line: answers in the given order, and remembers what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer


def signed(wire: Wire) -> Client:
    made = Client(wire, "http://server/", lambda _: "token")
    made.organization = "org"
    return made


def test_requests_go_to_the_organisation_signed_with_the_query_that_is_given() -> None:
    wire = Wire(ACCEPTED)
    signed(wire).get("/bills", accountId=None, ids=["a", "b"], locked=True)
    assert str(wire.requests[0].url) == "http://server/organizations/org/bills?ids=a%2Cb&locked=true"
    assert wire.requests[0].headers["authorization"] == "Bearer token"


def test_numbers_pass_exactly_both_ways() -> None:
    wire = Wire(httpx.Response(200, content=b'{"amount": 1e-05, "large": 123456789012345678901}'))
    assert signed(wire).post("/charges", {"amount": Decimal("0.10")}) == {
        "amount": Decimal("0.00001"),
        "large": 123456789012345678901,
    }
    assert wire.requests[0].content == b'{"amount":0.10}'


def test_every_row_of_every_page() -> None:
    wire = Wire(
        httpx.Response(200, json={"data": [{"n": 1}, {"n": 2}], "nextToken": "t&1"}),
        httpx.Response(200, json={"data": [{"n": 3}]}),
    )
    assert [row["n"] for row in signed(wire).every("/bills", status="PENDING")] == [1, 2, 3]
    assert wire.requests[1].url.params["nextToken"] == "t&1"
    assert wire.requests[1].url.params["status"] == "PENDING"


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, {"message": "ts: is missing", "code": "missing_field", "hint": "Send it."}, "ts: is missing. Send it."),
        (404, {"message": "no such bill."}, "no such bill"),
        (502, None, "the server answered 502"),
    ],
)
def test_a_refusal_reads_as_the_server_says_it(status: int, body: Any, sentence: str) -> None:
    wire = Wire(httpx.Response(status, content=b"<html>" if body is None else json.dumps(body).encode()))
    with pytest.raises(Refused) as refused:
        signed(wire).get("/bills")
    assert str(refused.value) == sentence
    assert refused.value.status == status


def get(client: Client) -> object:
    return client.get("/bills")


def create(client: Client) -> object:
    return client.post("/bills", {})


def submit(client: Client) -> object:
    return client.submit(b"{}")


LOST = httpx.ReadError("connection reset")
NOBODY = httpx.ConnectError("connection refused")


@pytest.mark.parametrize("act", [get, create, submit])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_whatever_was_asked(
    act: Callable[[Client], object], status: int, pauses: list[float]
) -> None:
    wire = Wire(httpx.Response(status, headers={"retry-after": "3"}), httpx.Response(status), ACCEPTED)
    act(signed(wire))
    assert len(wire.requests) == 3
    assert pauses == [3, 0.5]  # what the server asked for; else twice as long each time, from a quarter second


@pytest.mark.parametrize(("act", "answer"), [(get, LOST), (submit, LOST), (create, NOBODY)])
def test_a_lost_answer_is_asked_for_again_where_asking_twice_does_no_harm(
    act: Callable[[Client], object], answer: httpx.TransportError, pauses: list[float]
) -> None:
    wire = Wire(answer, ACCEPTED)
    act(signed(wire))
    assert len(wire.requests) == 2


def test_a_create_whose_answer_was_lost_is_not_sent_twice(pauses: list[float]) -> None:
    with pytest.raises(Failure, match="no answer from http://server: connection reset"):
        create(signed(Wire(LOST)))
    assert pauses == []


def test_a_server_that_stays_away_is_a_failure_in_the_end(pauses: list[float]) -> None:
    with pytest.raises(Failure, match="connection refused"):
        get(signed(Wire(*[NOBODY] * client_module.TRIES)))
    assert len(pauses) == client_module.TRIES - 1
    assert max(pauses) <= client_module.LONGEST_PAUSE_SECONDS


def test_a_token_is_asked_once_and_again_when_it_has_aged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(client_module.time, "monotonic", lambda: now)
    asked: list[float] = []

    def ask(_: Client) -> str:
        asked.append(now)
        return "token"

    speaking = Client(Wire(*[httpx.Response(200, json={})] * 3), "http://server", ask)
    speaking.organization = "org"
    speaking.get("/a")
    speaking.get("/b")
    now += client_module.TOKEN_SECONDS + 1
    speaking.get("/c")
    assert asked == [1_000.0, 1_000.0 + client_module.TOKEN_SECONDS + 1]


def test_without_an_organisation_nothing_is_sent() -> None:
    with pytest.raises(Failure, match="--org"):
        Client(Wire(), "http://server", lambda _: "token").get("/bills")
