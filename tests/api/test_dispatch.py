"""The query of a request: how lists, flags, numbers, days, instants and pages are read, and refused by name."""

from __future__ import annotations

import asyncio
import threading
from datetime import date

import pytest

from tallystick.api.dispatch import answered
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Page
from tallystick.web.query import QueryString, query_string


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"", {}),
        (b"ids=a,b", {"ids": "a,b"}),
        (b"ids=a&ids=b", {"ids": "a,b"}),
        (b"ids=a%2Cb", {"ids": "a,b"}),
        (b"name=caf%C3%A9+bar%20baz", {"name": "café bar baz"}),
        (b"empty=&flag", {"empty": "", "flag": ""}),
        (b"%zz=%zz", {"%zz": "%zz"}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"a=%00", {"a": "\x00"}),
        (b"&&==", {"": "="}),
    ],
)
def test_a_query_is_percent_decoded(text: bytes, values: dict[str, str]) -> None:
    assert query_string(text).values == values


@pytest.mark.parametrize("text", [b"ids=%ff", b"%ff=1", b"ids=%ed%a0%80", b"ids=%c3"])
def test_a_query_that_is_no_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal, match="query: percent-encode UTF-8") as caught:
        query_string(text)
    assert caught.value.field == "query"


def asked(**values: str) -> QueryString:
    return QueryString(values)


def test_what_is_absent_or_empty_is_none() -> None:
    for query in (asked(), asked(it="")):
        assert query.text("it") is None
        assert query.texts("it") is None
        assert query.flag("it") is None
        assert query.number("it", lowest=0, highest=9) is None
        assert query.day("it") is None
        assert query.instant("it") is None


@pytest.mark.parametrize(("text", "parts"), [("a", ("a",)), ("a,b", ("a", "b")), ("a,,b,", ("a", "b")), (",", ())])
def test_lists_are_comma_joined(text: str, parts: tuple[str, ...]) -> None:
    assert asked(ids=text).texts("ids") == parts


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("True", True), ("FALSE", False), ("false", False)])
def test_flags_are_true_or_false(text: str, flag: bool) -> None:
    assert asked(it=text).flag("it") is flag


def test_pages_have_a_size_and_a_token() -> None:
    assert asked().page() == Page(size=100, token=None)
    assert asked().page(highest=20) == Page(size=20, token=None)
    assert asked(pageSize="7", nextToken="abc").page() == Page(size=7, token="abc")
    assert asked(pageSize="200").page(highest=200) == Page(size=200, token=None)


@pytest.mark.parametrize(
    ("text", "day"),
    [("2025-01-31", date(2025, 1, 31)), ("2025-01-31T23:00:00Z", date(2025, 1, 31))],
)
def test_days(text: str, day: date) -> None:
    assert asked(it=text).day("it") == day


def test_instants() -> None:
    midnight = Instant.parse("2025-01-31T00:00:00Z")
    for text in ("2025-01-31", "2025-01-31T00:00:00Z", "2025-01-31T01:00:00+01:00"):
        assert asked(it=text).instant("it") == midnight


MALFORMED = [
    *(("flag", text) for text in ("yes", "1", "tru", "\x00")),
    *(
        ("pageSize", text)
        for text in ("0", "-1", "101", "1.0", "1e2", "ten", "１", "٣", " 5", "9" * 5000, "\x00", "+5")
    ),
    *(("day", text) for text in ("today", "2025-02-30", "٢٠٢٥-01-01", "2025-01-31Tx", "2025-13-01", "\x00", "T")),
    *(("instant", text) for text in ("now", "2025-02-30", "24:00", "2025-01-01T25:00:00Z", "\x00", "9" * 400)),
]


@pytest.mark.parametrize(("name", "text"), MALFORMED, ids=[f"{name}-{text[:12]!r}" for name, text in MALFORMED])
def test_a_malformed_value_is_refused_by_name_and_quoted_shortly(name: str, text: str) -> None:
    query = QueryString({name: text})
    readers = {
        "flag": query.flag,
        "pageSize": lambda _: query.page(),
        "day": query.day,
        "instant": query.instant,
    }
    with pytest.raises(Refusal, match=f"{name}: ") as caught:
        readers[name](name)
    assert caught.value.field == name
    assert caught.value.code.name == "invalid_request"
    assert len(caught.value.message) < 200


def test_one_request_after_the_other_is_run_by_threads_that_stay() -> None:
    """Each in a task of its own, on a loop that goes on. (Which of a few it is depends on whether the last one is at
    rest again by then.)"""
    seen: list[threading.Thread] = []

    async def serve() -> None:
        await answered(lambda: (200, {}, str(seen.append(threading.current_thread())).encode()))

    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    try:
        for _ in range(60):
            asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        runner.join()
        loop.close()
    assert len(set(seen)) <= 16
    assert all(each.is_alive() for each in seen)
