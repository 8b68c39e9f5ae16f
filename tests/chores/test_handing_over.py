"""How the worker hands over several runs together: each at its own moment, and none held up by what another came to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from handing_world import DONE, ORGANIZATION, HandingWorld

from tallystick.chores.handing_over import Hands
from tallystick.core.integration import Destination
from tallystick.core.period import Instant
from tallystick.pipeline.handover import dispatch
from tallystick.ports import Transaction
from tallystick.ports.handover import HandedOver, HandOver


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HandingWorld]:
    opened = HandingWorld(tmp_path)
    yield opened
    opened.store.close()


class Clock:
    """Four minutes pass between two looks at it."""

    def __init__(self, began: Instant) -> None:
        self._moments = (Instant.of(began + timedelta(minutes=4 * number)) for number in itertools.count())

    def now(self) -> Instant:
        return next(self._moments)


def hand_over(world: HandingWorld, config: str, *bills: str) -> None:
    """Events of bills are handed over together."""
    for each in bills:
        world.bill(each)
    dispatch(world.records, world.now)
    app: Any = SimpleNamespace(
        records=world.store,
        clock=Clock(world.now),
        performers={Destination.WEBHOOK: world.receiver},
        settings=SimpleNamespace(handover_attempts=10),
    )
    assert Hands()._hand_over(app, ORGANIZATION, config, 10)


def test_each_of_many_is_handed_over_at_its_own_moment(world: HandingWorld) -> None:
    """A receiver refuses what was signed more than five minutes ago: those behind slow ones are signed late."""
    hand_over(world, world.integration("erp"), "jan", "feb", "mar")
    moments = [what.now for what in world.receiver.got]
    assert [later - earlier for earlier, later in itertools.pairwise(moments)] == [timedelta(minutes=4)] * 2


def test_an_outcome_that_cannot_be_kept_costs_only_its_own_run(world: HandingWorld) -> None:
    """Were none of them kept, all would be sent again at once, for ever."""

    def refuse(_: Transaction, __: Instant) -> None:
        raise RuntimeError("it does not fit")

    def answer(what: HandOver) -> HandedOver:
        return HandedOver(status=DONE.status, also=refuse) if what.run.id == bad else DONE

    config = world.integration("erp")
    bad = ""
    hand_over(world, config, "jan")
    world.receiver.answer = answer
    for each in ("feb", "mar"):
        world.bill(each)
    dispatch(world.records, world.now)
    bad = world.runs()[0].id
    hand_over(world, config, "apr")
    runs = {each.id: each for each in world.runs()}
    failed = runs.pop(bad)
    assert (failed.status.value, failed.due is not None) == ("AWAITING_RETRY", True)
    assert "could not be kept (RuntimeError)" in (failed.error or "")
    assert [each.status.value for each in runs.values()] == ["COMPLETE"] * 3
