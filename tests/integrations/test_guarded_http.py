"""The way out: what is refused at save and at connect, and that no receiver can hold or flood it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from receivers import (
    Act,
    Receiver,
    answering,
    dripping,
    endless_body,
    endless_head,
    hanging_up,
    informing,
    nonsense,
    receiving,
    silent,
)

from tallystick.cli.launch import free_port
from tallystick.core.public_address import read_allowed
from tallystick.errors import Refusal
from tallystick.integrations.guarded_http import GuardedHttp, Limits
from tallystick.ports.outside import Failure, NotAnswered

SECONDS = 0.4  # that a request may take, here
AT_MOST = 10  # seconds more on a busy machine: the receivers go on for far longer, or for ever

NAMES = {
    "public.example": ["93.184.215.14"],
    "private.example": ["10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "both.example": ["93.184.215.14", "127.0.0.1"],
    "mapped.example": ["::ffff:192.168.0.1"],
    "allowed.internal": ["10.0.0.8"],
    "within.example": ["10.5.1.1"],
}


def names(host: str, port: int) -> list[str]:
    """A resolver of this test's own."""
    if host not in NAMES:
        raise OSError("Name or service not known")
    return NAMES[host]


def guarded(allow: str = "", resolve: object = names, **limits: float) -> GuardedHttp:
    return GuardedHttp(read_allowed(allow), Limits(**{"seconds": SECONDS, **limits}), resolve)  # type: ignore[arg-type]  # the tests' own names


@pytest.fixture
def loopback() -> Iterator[GuardedHttp]:
    """Where the operator allows this machine, so that there is somebody to ask."""
    made = guarded("127.0.0.0/8")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://public.example/", "is no http or https address"),
        ("javascript:alert(1)", "is no http or https address"),
        ("https://", "is no http or https address"),
        ("http://public.example/", "is to be reached by http, which anybody on the way can read"),
        ("https://user:word@public.example/", "neither a user nor a fragment"),
        ("https://public.example@private.example/", "neither a user nor a fragment"),
        ("https://public.example/#private.example", "neither a user nor a fragment"),
        ("https://public.example\\@private.example/", "no spaces, backslashes"),
        ("https://public.example/a b", "no spaces, backslashes"),
        ("https://public.example/\r\nX: y", "no spaces, backslashes"),
        ("https://public.example/" + "a" * 2048, "at most 2048 characters"),
        ("https://public.example:25/", "port 25 is none that is reached"),
        ("https://public.example:99999/", "is no address"),
        ("https://127.0.0.1/", "is at 127.0.0.1, a loopback address"),
        ("https://[::1]/", "is at ::1, a loopback address"),
        ("https://[::ffff:127.0.0.1]/", "is at 127.0.0.1, a loopback address"),
        ("https://[64:ff9b::7f00:1]/", "is at 127.0.0.1, a loopback address"),
        ("https://[2002:7f00:1::]/", "a reserved address"),
        ("https://[2001:0:4136:e378::]/", "a reserved address"),
        ("https://2130706433/", "is an address in an unusual form"),
        ("https://0x7f.0.0.1/", "is an address in an unusual form"),
        ("https://0177.0.0.1/", "is no address"),
        ("https://127.1/", "is an address in an unusual form"),
        ("https://0/", "is an address in an unusual form"),
        ("https://０.0.0.0/", "is no address"),
        ("https://private.example/", "is at 10.0.0.7, a private address"),
        ("https://PRIVATE.example./", "is at 10.0.0.7, a private address"),
        ("https://metadata.example/", "is at 169.254.169.254, a link-local address"),
        ("https://both.example/", "is at 127.0.0.1, a loopback address"),
        ("https://mapped.example/", "is at 192.168.0.1, a private address"),
    ],
)
def test_what_must_not_be_reached_is_refused_at_save_and_at_each_request(url: str, said: str) -> None:
    out = guarded()
    with pytest.raises(Refusal) as refused:
        out.check(url)
    assert refused.value.code.name == "address_refused"
    assert refused.value.field == "url"
    assert said in refused.value.message
    assert "TALLYSTICK_OUTGOING_ALLOW" in refused.value.message
    with pytest.raises(NotAnswered) as unanswered:
        out.send("POST", url)
    assert unanswered.value.failure is Failure.REFUSED
    assert said in unanswered.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://public.example/hook?x=1",
        "https://public.example:8443/",
        "https://not-yet.example/",
        "https://allowed.internal/",
        "http://allowed.internal:81/",
        "https://within.example/",
        "http://within.example/",
        "http://10.5.9.9:22/",
        "https://1.1.1.1/",
    ],
)
def test_what_may_be_reached_passes_at_save(url: str) -> None:
    guarded("allowed.internal,10.5.0.0/16").check(url)


def test_a_request_arrives_as_it_was_sent(loopback: GuardedHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not used
    with receiving(answering("200 OK", "X-Kept: yes", body=b"thanks")) as receiver:
        host = f"Host: 127.0.0.1:{receiver.port}"
        got = loopback.send("POST", receiver.url("/a/b?c=d"), headers={"webhook-id": "1"}, content=b'{"a":1}')
        assert (got.status, got.excerpt, got.truncated, got.headers["x-kept"]) == (200, b"thanks", False, "yes")
        assert 0 <= got.seconds < SECONDS
        loopback.send("POST", receiver.url(), content=b"again")
        assert receiver.connections == 1, "the connection is used again"
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a/b?c=d HTTP/1.1"
    assert {host, "webhook-id: 1", "Content-Length: 7"} <= set(lines)
    assert body == b'{"a":1}'


def test_a_name_that_turns_private_between_save_and_request_is_not_reached() -> None:
    """DNS rebinding: public when it was looked at, this machine a moment later."""
    with receiving(answering("200 OK")) as receiver:
        answers = iter([["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]])
        out = guarded(resolve=lambda host, port: next(answers))
        out.check(f"https://rebinding.example:{receiver.port}/")
        with pytest.raises(NotAnswered, match="a loopback address") as caught:
            out.send("POST", f"https://rebinding.example:{receiver.port}/", content=b"secret")
        assert caught.value.failure is Failure.REFUSED
        assert receiver.connections == 0


def test_a_name_is_looked_up_once_for_a_connection_which_goes_to_what_was_looked_at() -> None:
    """A second look-up at connect is what rebinding lives on. The name leads here only by our resolver."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    with receiving(answering("204 No Content")) as receiver:
        out = guarded("hook.example", resolve)
        assert out.send("POST", receiver.url(host="hook.example")).status == 204
        assert asked == ["hook.example"]
        assert f"Host: hook.example:{receiver.port}".encode() in receiver.requests[0]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_redirects_are_answers_and_not_followed(loopback: GuardedHttp, status: str) -> None:
    with receiving(answering("200 OK")) as private, receiving(answering(status, f"Location: {private.url()}")) as moved:
        got = loopback.send("POST", moved.url(), content=b"x")
        assert got.status == int(status[:3])
        assert (moved.connections, private.connections) == (1, 0)
    with receiving(answering(status, "Location: /hook")) as loop:
        assert loopback.send("POST", loop.url(), content=b"x").status == int(status[:3])
        assert len(loop.requests) == 1


@pytest.mark.parametrize(
    ("act", "failure"),
    [
        (silent, Failure.TIMEOUT),
        (dripping, Failure.TIMEOUT),
        (informing, Failure.TIMEOUT),
        (endless_head, Failure.PROTOCOL),
        (nonsense, Failure.PROTOCOL),
        (hanging_up, Failure.PROTOCOL),
    ],
)
def test_a_bad_receiver_costs_no_more_than_the_time_of_one_request(
    loopback: GuardedHttp, act: Act, failure: Failure
) -> None:
    with receiving(act) as receiver:
        began = time.monotonic()
        with pytest.raises(NotAnswered) as caught:
            loopback.send("POST", receiver.url(), content=b"x")
        assert caught.value.failure is failure
        assert time.monotonic() - began < SECONDS + AT_MOST


def test_of_an_endless_body_the_first_bytes_are_read(loopback: GuardedHttp) -> None:
    with receiving(endless_body) as receiver:
        got = loopback.send("POST", receiver.url(), excerpt=100)
        assert (got.status, got.excerpt, got.truncated) == (200, b"x" * 100, True)


def test_nobody_there_and_no_name() -> None:
    out = guarded("127.0.0.0/8")
    for url, failure in (
        (f"http://127.0.0.1:{free_port()}/", Failure.CONNECTION),
        ("https://nowhere.example/", Failure.UNRESOLVED),
    ):
        with pytest.raises(NotAnswered) as caught:
            out.send("GET", url)
        assert caught.value.failure is failure


def test_a_look_up_without_end_is_not_waited_for() -> None:
    over = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        over.wait(60)
        raise OSError

    began = time.monotonic()
    with pytest.raises(NotAnswered) as caught:
        guarded(resolve=hanging).send("GET", "https://hook.example/")
    over.set()
    assert caught.value.failure is Failure.TIMEOUT
    assert time.monotonic() - began < SECONDS + AT_MOST


def test_who_speaks_no_tls_is_told_so(loopback: GuardedHttp) -> None:
    with receiving(nonsense) as receiver, pytest.raises(NotAnswered) as caught:
        loopback.send("POST", receiver.url().replace("http:", "https:"))
    assert caught.value.failure is Failure.ENCRYPTION


def test_a_slow_target_holds_a_few_threads_and_others_none() -> None:
    out = guarded("127.0.0.0/8", seconds=60, to_one_target=2)
    failures: list[Failure] = []

    def ask(receiver: Receiver) -> None:
        try:
            out.send("POST", receiver.url())
        except NotAnswered as error:
            failures.append(error.failure)

    with receiving(silent) as slow, receiving(answering("200 OK")) as healthy:
        asking = [threading.Thread(target=ask, args=(slow,)) for _ in range(5)]
        for each in asking:
            each.start()
        while len(failures) < 3:
            time.sleep(0.005)
        assert failures == [Failure.BUSY] * 3
        assert out.send("POST", healthy.url()).status == 200
        began = time.monotonic()
        out.close()  # ends those that wait, at once
        for each in asking:
            each.join(60)
        assert failures == [Failure.BUSY] * 3 + [Failure.STOPPING] * 2
        assert time.monotonic() - began < 30
        with pytest.raises(NotAnswered, match="being stopped"):
            out.send("POST", healthy.url())
