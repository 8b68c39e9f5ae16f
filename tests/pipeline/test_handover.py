"""Handing over: what is wanted reaches its target at least once, in order, with one id; what is not wanted never does.

The receiver tells repetitions by the id of the run, as Standard Webhooks asks of receivers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from handing_world import BEGAN, DONE, LATER, ORGANIZATION, HandingWorld
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.ids import named_id
from tallystick.core.integration import ATTEMPTS, RunStatus, pause_after
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.outbox import EVENT, OUTBOX
from tallystick.pipeline.handover import choose, dispatch, retry, take
from tallystick.pipeline.old_events import forget_events, forget_runs
from tallystick.ports import Actor, DocumentWhere, Page
from tallystick.ports.handover import HandedOver, HandOver, Problem

ADA = Actor("ada", "SERVICE_USER")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HandingWorld]:
    world = HandingWorld(tmp_path)
    yield world
    world.store.close()


def test_where_nobody_listens_nothing_waits(world: HandingWorld) -> None:
    world.bill("jan")
    assert world.records.documents(OUTBOX, DocumentWhere(), Page()).rows == ()
    assert world.round() == 0


@pytest.mark.parametrize(
    ("about", "wanted"),
    [
        ({}, True),
        ({"entity_type": "bill"}, True),  # whatever the spelling
        ({"entity_type": "Account"}, False),
        ({"entity_id": named_id(ORGANIZATION, "bill jan")}, True),
        ({"entity_id": named_id(ORGANIZATION, "bill feb")}, False),
        ({"enabled": False}, False),
    ],
)
def test_an_integration_gets_what_it_is_about(world: HandingWorld, about: dict[str, object], wanted: bool) -> None:
    world.integration("erp", **about)  # type: ignore[arg-type]  # fields by name
    event = world.bill("jan")
    assert world.round() == int(wanted)
    assert world.status_of(event) == ["COMPLETE"] * wanted


def test_an_integration_is_told_of_what_happens_from_its_making_on(world: HandingWorld) -> None:
    world.bill("before")
    world.integration("erp")
    world.bill("after")
    world.round()
    assert world.receiver.events() == ["after.2"]


def test_each_integration_has_a_run_of_its_own_whose_id_stays(world: HandingWorld) -> None:
    erp, warehouse = world.integration("erp"), world.integration("warehouse")
    event = world.bill("jan")
    world.round()
    ids = {each.config_id: each.id for each in world.runs()}
    assert ids == {erp: named_id(erp, event), warehouse: named_id(warehouse, event)}


def test_what_fails_is_tried_again_with_the_same_id_ever_more_seldom_for_about_three_days(world: HandingWorld) -> None:
    world.integration("erp")
    event = world.bill("jan")
    world.receiver.answer = lambda _: LATER
    while world.status_of(event) != ["ERROR"]:
        world.round()
        world.after(minutes=1)
    assert len(world.receiver.got) == ATTEMPTS == 10
    assert len({what.run.id for what in world.receiver.got}) == 1
    assert [what.run.attempts for what in world.receiver.got] == list(range(1, 11))
    pauses = [
        later.now - earlier.now for earlier, later in zip(world.receiver.got, world.receiver.got[1:], strict=False)
    ]
    assert pauses == sorted(pauses)
    assert timedelta(days=3) < world.now - BEGAN < timedelta(days=4)
    assert world.runs()[0].error == "given up after 10 attempts: 503 from the target"
    assert world.failures() == ["integration.perform.error"]


def test_runs_that_failed_together_do_not_come_back_together() -> None:
    pauses = {pause_after(named_id(ORGANIZATION, str(number)), 3) for number in range(50)}
    assert len(pauses) > 40
    assert timedelta(minutes=30) <= min(pauses) <= max(pauses) <= timedelta(minutes=36)


def test_a_target_that_says_when_to_come_back_is_left_alone_until_then(world: HandingWorld) -> None:
    world.integration("erp")
    event = world.bill("jan")
    back = Instant.of(BEGAN + timedelta(hours=1))
    world.receiver.answer = lambda _: HandedOver(status=RunStatus.RATE_LIMIT_RETRY, not_before=back)
    world.round()
    world.after(minutes=59)
    assert world.round() == 0
    world.receiver.answer = lambda _: DONE
    world.after(minutes=1)
    assert world.round() == 1
    assert world.status_of(event) == ["COMPLETE"]


def test_a_later_event_of_a_bill_does_not_overtake_an_earlier_one_that_is_retried(world: HandingWorld) -> None:
    world.integration("erp")
    world.bill("jan")
    world.receiver.answer = lambda what: LATER if what.event.m3ter_event["number"] == "jan.1" else DONE
    world.round()
    world.bill("jan")
    world.bill("feb")
    world.bill("jan")
    world.round()
    assert world.receiver.events() == ["jan.1", "feb.3"]  # other bills go on
    world.receiver.answer = lambda _: DONE
    world.after(seconds=10)
    world.round()
    assert world.receiver.events() == ["jan.1", "feb.3", "jan.1", "jan.2", "jan.4"]


def test_what_was_given_up_lets_the_next_go(world: HandingWorld) -> None:
    world.integration("erp")
    world.bill("jan")
    world.bill("jan")
    world.receiver.answer = lambda what: (
        HandedOver(status=RunStatus.ERROR, problem=Problem.VALIDATION, error="no address")
        if what.event.m3ter_event["number"] == "jan.1"
        else DONE
    )
    world.round()
    assert [each.status.value for each in world.runs()] == ["COMPLETE", "ERROR"]


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (HandedOver(status=RunStatus.ERROR), "integration.perform.error"),
        (HandedOver(status=RunStatus.TIMEOUT_LIMIT_EXCEEDED), "integration.perform.error"),
        (HandedOver(status=RunStatus.AUTH_FAILED), "integration.authentication.error"),
        (HandedOver(status=RunStatus.DISABLED), "integration.disabled.error"),
        (HandedOver(status=RunStatus.ERROR, problem=Problem.VALIDATION), "integration.validation.error"),
        (
            HandedOver(status=RunStatus.ERROR, problem=Problem.MISSING_ACCOUNT_MAPPING),
            "integration.missingaccountmapping.error",
        ),
    ],
)
def test_what_ends_badly_is_told_by_an_event_that_is_not_handed_over_itself(
    world: HandingWorld, outcome: HandedOver, event: str
) -> None:
    world.integration("erp")
    world.integration("watcher", entity_type="integration")
    world.bill("jan")
    world.receiver.answer = lambda _: outcome
    world.round()
    world.round()
    assert world.failures() == [event]
    assert [each.status for each in world.runs()] == [outcome.status]


def test_a_performer_that_fails_by_itself_is_tried_again_and_its_words_are_not_told(world: HandingWorld) -> None:
    world.integration("erp")

    def fails(_: HandOver) -> HandedOver:
        raise RuntimeError("https://user:secret@erp.example refused")

    world.receiver.answer = fails
    event = world.bill("jan")
    world.round()
    assert world.status_of(event) == ["AWAITING_RETRY"]
    assert world.runs()[0].error == "failed by itself (RuntimeError); the log of the server says more"


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_what_waits_for_an_integration_that_is_taken_out_of_use_ends_as_disabled(world: HandingWorld, how: str) -> None:
    erp = world.integration("erp")
    event = world.bill("jan")
    dispatch(world.records, world.now)
    if how == "deleted":
        world.delete(erp)
    else:
        world.change(erp, enabled=False)
    world.round()
    assert world.status_of(event) == ["DISABLED"]
    assert world.receiver.got == []
    assert world.failures() == ["integration.disabled.error"]


def test_a_run_that_ended_is_handed_over_again_on_demand_with_its_id(world: HandingWorld) -> None:
    world.integration("erp")
    event = world.bill("jan")
    world.receiver.answer = lambda _: HandedOver(status=RunStatus.ERROR, error="no")
    world.round()
    world.receiver.answer = lambda _: DONE
    retry(world.records, world.runs()[0].id, now=world.now, by=ADA)
    with pytest.raises(Refusal, match="it is handed over by itself"):
        retry(world.records, world.runs()[0].id, now=world.now, by=ADA)
    world.round()
    assert world.status_of(event) == ["COMPLETE"]
    assert len({what.run.id for what in world.receiver.got}) == 1


def test_mappings_are_kept_with_the_outcome_once_and_never_for_two(world: HandingWorld) -> None:
    world.integration("erp")

    def maps(what: HandOver) -> HandedOver:
        mapping = ExternalMapping(
            m3ter_entity="Account",
            m3ter_id=named_id(ORGANIZATION, what.event.m3ter_event["number"][:3]),
            external_system="ERP",
            external_table="Customer",
            external_id="cus_1",
        )
        return HandedOver(status=RunStatus.COMPLETE, mappings=(mapping,))

    world.receiver.answer = maps
    world.bill("jan")
    world.bill("jan")
    world.bill("feb")
    world.round()
    assert [each.value.external_id for each in world.records.every(ExternalMapping)] == ["cus_1"]
    assert [each.status.value for each in world.runs()] == ["ERROR", "COMPLETE", "COMPLETE"]
    assert "cus_1 is the external id of Account" in str(world.runs()[0].error)


def test_old_events_are_forgotten_but_for_those_that_are_yet_to_be_handed_over(world: HandingWorld) -> None:
    world.bill("jan")  # which nobody wants
    world.integration("erp")
    world.receiver.answer = lambda what: LATER if what.event.m3ter_event["number"] == "feb.2" else DONE
    failing, done = world.bill("feb"), world.bill("mar")
    world.round()
    waiting = world.bill("apr")
    world.after(days=1)
    assert forget_events(world.records, BEGAN, 2) == 0
    forgotten = [forget_events(world.records, world.now, 2) for _ in range(3)]
    assert sum(forgotten) == 2
    kept = world.records.documents(EVENT, DocumentWhere(), Page()).rows
    assert {each.id for each in kept} == {failing, waiting}
    with pytest.raises(Refusal, match="the event of this run is no longer kept"):
        retry(world.records, next(each.id for each in world.runs() if each.event_id == done), now=world.now, by=ADA)


def test_runs_that_were_over_long_ago_are_forgotten_once_their_events_are(world: HandingWorld) -> None:
    world.integration("erp")
    world.receiver.answer = lambda what: LATER if what.event.m3ter_event["number"] == "feb.2" else DONE
    first, failing = world.bill("jan"), world.bill("feb")
    world.round()
    world.after(days=2)
    later = world.bill("mar")
    world.round()
    before = Instant.of(BEGAN + timedelta(days=1))
    assert forget_runs(world.records, before, 1) == 0, "its event is there: it can be handed over again"
    while forget_events(world.records, world.now):
        pass
    assert [forget_runs(world.records, before, 1) for _ in range(2)] == [1, 0]
    assert {each.event_id for each in world.runs()} == {failing, later}
    assert first not in {each.event_id for each in world.runs()}


class Handing(RuleBasedStateMachine):
    """Whatever the order of events, changes of integrations, failures and crashes: each wanted event is handed over at
    least once, under one id, and none that was not wanted; what is about one bill arrives in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.world = HandingWorld(Path(self.directory.name))
        self.world.receiver.answer = lambda _: LATER if self.failing else DONE
        self.failing = False
        self.enabled: dict[str, bool] = {}
        self.gone: set[str] = set()
        self.wanted: set[tuple[str, str]] = set()  # (integration, event)
        self.excused: set[str] = set()  # integrations that were out of use while something waited

    def teardown(self) -> None:
        self.failing = False
        for _ in range(60):
            self.world.after(hours=3)
            self.world.round()
        got = {(what.config.id, what.event.id) for what in self.world.receiver.got}
        assert got <= self.wanted
        assert {pair for pair in self.wanted - got if pair[0] not in self.excused} == set()
        assert all(times == 1 for times in self.effects().values())
        assert not [each for each in self.world.runs() if each.due is not None]
        self.world.store.close()
        self.directory.cleanup()

    def effects(self) -> Counter[tuple[str, str]]:
        by_run = {what.run.id: (what.config.id, what.event.id) for what in self.world.receiver.got}
        return Counter(by_run.values())

    @rule(failing=st.booleans())
    def the_target_changes(self, failing: bool) -> None:
        self.failing = failing

    @precondition(lambda self: len(self.enabled) < 3)
    @rule()
    def an_integration_is_made(self) -> None:
        self.enabled[self.world.integration(f"target {len(self.enabled)}")] = True

    @precondition(lambda self: set(self.enabled) - self.gone)
    @rule(data=st.data(), how=st.sampled_from(["enable", "disable", "delete"]))
    def an_integration_changes(self, data: st.DataObject, how: str) -> None:
        config = data.draw(st.sampled_from(sorted(set(self.enabled) - self.gone)))
        if how == "delete":
            self.world.delete(config)
            self.gone.add(config)
        else:
            self.world.change(config, enabled=how == "enable")
        self.enabled[config] = how == "enable"
        if how != "enable":
            self.excused.add(config)

    @rule(bill=st.sampled_from(["jan", "feb"]))
    def a_bill_changes(self, bill: str) -> None:
        event = self.world.bill(bill)
        self.wanted |= {(each, event) for each, on in self.enabled.items() if on}

    @rule(step=st.sampled_from(["dispatched", "started", "performed", "all"]), minutes=st.integers(0, 20))
    def the_worker_works_until_it_is_killed(self, step: str, minutes: int) -> None:
        world = self.world
        world.after(minutes=minutes)
        if step == "all":
            world.round()
            return
        dispatch(world.records, world.now)
        for config in self.enabled:
            ids = choose(world.records, config, world.now, 2, ())
            if step in {"started", "performed"} and ids:
                taken = take(world.records, ids, world.now)
                if step == "performed":
                    for what in taken:
                        world.receiver.perform(what)  # how it went is lost

    @invariant()
    def what_is_about_one_bill_arrives_in_order(self) -> None:
        for config in self.enabled:
            for bill in ("jan", "feb"):
                numbers = [
                    int(number.split(".")[1])
                    for what in self.world.receiver.got
                    if what.config.id == config and (number := what.event.m3ter_event["number"]).startswith(bill)
                ]
                first_seen = list(dict.fromkeys(numbers))
                assert first_seen == sorted(first_seen)


Handing.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHanding = Handing.TestCase
