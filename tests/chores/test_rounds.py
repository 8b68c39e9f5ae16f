"""The worker's rounds: whoever has something to do is looked after, and nobody is asked without need."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tallystick.app import App, build
from tallystick.chores import every_chore
from tallystick.chores.chore import Chore, Left, Rounds
from tallystick.control.desk import Desk
from tallystick.control.organizations import create_organization
from tallystick.control.products import PRODUCTS
from tallystick.core.catalog import Product
from tallystick.ports import Actor, Document
from tallystick.settings import Settings

ADA = Actor("ada", "SERVICE_USER")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = build(Settings(data=str(tmp_path)))
    yield app
    app.close()


def organization(app: App, name: str) -> str:
    return create_organization(app.records, name, "USD", app.clock.now()).organization.id


def write_entity(app: App, id: str) -> None:
    desk = Desk(records=app.records.organization(id), actor=ADA, now=app.clock.now())
    PRODUCTS.create(desk, Product(code="calls", name="Calls"))


def write_documents(kind: str) -> Callable[[App, str], None]:
    def write(app: App, id: str) -> None:
        with app.records.organization(id).transaction() as transaction:
            transaction.put_documents(kind, [Document(id="d1", sort="1", keys={}, body=b"{}")])

    return write


@pytest.mark.parametrize(
    ("left", "then", "looks"),
    [
        (Left.NOTHING, None, 1),
        (Left.NOTHING, write_entity, 2),
        (Left.NOTHING, write_documents("replayjob"), 2),
        (Left.NOTHING, write_documents("statement"), 1),  # which the chore does not read
        (Left.LATER, None, 2),
        (Left.MORE, None, 2),
    ],
)
def test_an_organization_with_nothing_to_do_rests_until_something_that_the_chore_reads_is_written(
    app: App, left: Left, then: Callable[[App, str], None] | None, looks: int
) -> None:
    north, south = organization(app, "North"), organization(app, "South")
    looked: list[str] = []

    def look(_: App, id: str) -> Left:
        looked.append(id)
        return left if id == north else Left.NOTHING

    rounds = Rounds(app, Chore(name="looks", seconds=1, do=look, problem="looks failed", documents=("replayjob",)))
    assert rounds.go() is (left is Left.MORE)
    if then is not None:
        then(app, north)
    rounds.go()
    assert (looked.count(north), looked.count(south)) == (looks, 1)


def test_what_is_written_during_a_look_is_seen_by_the_next(app: App) -> None:
    north = organization(app, "North")
    looked: list[str] = []

    def look(app: App, id: str) -> Left:
        looked.append(id)
        if len(looked) == 1:
            write_documents("replayjob")(app, id)  # by somebody else, after the look has read
        return Left.NOTHING

    rounds = Rounds(app, Chore(name="looks", seconds=1, do=look, problem="looks failed", documents=("replayjob",)))
    for _ in range(3):
        rounds.go()
    assert looked == [north, north]


def test_those_that_rest_cost_nothing_and_a_new_one_is_looked_at(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    north, looked = organization(app, "North"), list[str]()

    def look(_: App, id: str) -> Left:
        looked.append(id)
        return Left.NOTHING

    rounds = Rounds(app, Chore(name="looks", seconds=1, do=look, problem="looks failed", documents=("replayjob",)))
    rounds.go()
    with monkeypatch.context() as asked:
        for name in ("organizations", "organization"):
            asked.setattr(app.records, name, None)  # asking for any would fail
        rounds.go()
    south = organization(app, "South")
    rounds.go()
    assert looked == [north, south]


def test_one_that_fails_stops_nobody_and_is_told_once(app: App, caplog: pytest.LogCaptureFixture) -> None:
    north, south = organization(app, "North"), organization(app, "South")
    looked: list[str] = []

    def look(_: App, id: str) -> Left:
        looked.append(id)
        if id == north:
            raise OSError("the disk is full")
        return Left.LATER

    rounds = Rounds(app, Chore(name="looks", seconds=1, do=look, problem="looks failed"))
    with caplog.at_level(logging.ERROR):
        rounds.go()
        rounds.go()
    assert looked == [north, south] * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"looks failed in organization {north}; it is tried again"
    ]


def test_no_chore_asks_a_new_organization_twice(app: App) -> None:
    """Thousands of quiet organisations cost nothing: every chore says so of one without jobs, schedules or alerts.
    Events grow old by themselves: that is looked at every ten minutes."""
    north = organization(app, "North")
    lasting = {chore.name: chore.do(app, north) for chore in every_chore()}
    assert lasting.pop("old events") is Left.LATER
    assert lasting == dict.fromkeys(lasting, Left.NOTHING)
