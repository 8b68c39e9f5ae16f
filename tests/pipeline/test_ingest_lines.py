"""Large requests wait in line while others are at work, and then go together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tallystick.errors import Refusal
from tallystick.pipeline.ingest import lines
from tallystick.pipeline.ingest.lines import AHEAD, TOGETHER, Lines

ORGANIZATION = "north"


class Desk:
    """Who sorts out: notes what goes together, and is done when told to. What begins with `!` cannot go with others,
    and `?` nowhere."""

    def __init__(self) -> None:
        self.went: list[list[bytes]] = []
        self.open = asyncio.Event()
        self.lines = Lines(self.answer, 1)

    async def answer(
        self, organization_id: str, bodies: Sequence[bytes], done_with: Callable[[], None]
    ) -> Sequence[bytes] | None:
        self.went.append(list(bodies))
        await self.open.wait()
        done_with()
        await asyncio.sleep(0)  # it is claimed, while others are sorted out
        if b"fail" in bodies:
            raise ValueError("broken")
        alone = len(bodies) > 1 and any(each.startswith(b"!") for each in bodies)
        return None if alone or b"?" in bodies else [b"reply to " + each for each in bodies]

    def ask(self, *bodies: bytes) -> list[asyncio.Task[bytes | None]]:
        return [asyncio.create_task(self.lines.answer(ORGANIZATION, each)) for each in bodies]


def run(story: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        await story(Desk())

    asyncio.run(told())


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_who_comes_first_goes_at_once_and_who_waits_goes_together() -> None:
    async def story(desk: Desk) -> None:
        bodies = numbered(AHEAD + TOGETHER + 1)
        asked = desk.ask(*bodies)
        await asyncio.sleep(0.01)
        assert desk.went == [[each] for each in bodies[:AHEAD]]
        desk.open.set()
        assert await asyncio.gather(*asked) == [b"reply to " + each for each in bodies]
        assert desk.went[AHEAD:] == [bodies[AHEAD:-1], bodies[-1:]]

    run(story)


def test_no_more_go_together_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 10)

    async def story(desk: Desk) -> None:
        asked = desk.ask(*numbered(AHEAD), b"a" * 11, b"b" * 5, b"c" * 5, b"d")
        await asyncio.sleep(0.01)
        desk.open.set()
        await asyncio.gather(*asked)
        assert desk.went[AHEAD:] == [[b"a" * 11], [b"b" * 5, b"c" * 5], [b"d"]]

    run(story)


def test_what_cannot_go_together_goes_one_by_one_and_so_do_those_after_it() -> None:
    async def story(desk: Desk) -> None:
        bodies = [*numbered(AHEAD), b"a", b"!b", b"c", b"d", b"e", b"f"]
        asked = desk.ask(*bodies)
        await asyncio.sleep(0.01)
        desk.open.set()
        assert await asyncio.gather(*asked) == [b"reply to " + each for each in bodies]
        assert desk.went[AHEAD] == [b"a", b"!b", b"c", b"d"]
        assert sorted(map(len, desk.went[AHEAD + 2 :])) == [1] * (len(desk.went) - AHEAD - 2)
        more = numbered(6)
        assert await asyncio.gather(*desk.ask(*more)) == [b"reply to " + each for each in more]
        assert desk.went[-6:] == [[each] for each in more]

    run(story)


def test_a_request_that_cannot_go_there_is_given_back() -> None:
    async def story(desk: Desk) -> None:
        desk.open.set()
        assert await asyncio.gather(*desk.ask(b"?", b"a", b"?")) == [None, b"reply to a", None]

    run(story)


def test_a_failure_is_told_to_those_who_went_together_and_to_nobody_else() -> None:
    async def story(desk: Desk) -> None:
        asked = desk.ask(*numbered(AHEAD), b"a", b"fail", b"c", b"d", b"e")
        await asyncio.sleep(0.01)
        desk.open.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(each) for each in found[AHEAD:-1]] == ["broken"] * 4
        assert found[-1] == b"reply to e"
        assert await desk.ask(b"later")[0] == b"reply to later"

    run(story)


def test_who_goes_away_holds_up_nobody() -> None:
    async def story(desk: Desk) -> None:
        asked = desk.ask(*numbered(AHEAD), b"a", b"b", b"!c")
        await asyncio.sleep(0.01)
        asked[0].cancel()
        asked[AHEAD].cancel()
        await asyncio.sleep(0.01)
        desk.open.set()
        assert await asyncio.gather(*asked[AHEAD + 1 :]) == [b"reply to b", b"reply to !c"]

    run(story)


def test_when_too_much_waits_the_next_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_WAITING", 10)

    async def story(desk: Desk) -> None:
        asked = desk.ask(*numbered(AHEAD), b"a" * 6, b"b" * 4, b"c")
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="2 large requests are waiting to be read; nothing of this request was kept"):
            await asked[-1]
        desk.open.set()
        await asyncio.gather(*asked[:-1])
        assert await desk.ask(b"d" * 10)[0] == b"reply to " + b"d" * 10

    run(story)
