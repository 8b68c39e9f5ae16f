"""What did not count: seen, corrected and replayed under its own uid, or discarded with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_world import NORTH, NOW, SOUTH, World, measurement, world

from tallystick.control.desk import Desk
from tallystick.control.events import EventFilter, event_fields, get_event, list_events
from tallystick.control.failed_measurements import FailedFilter, TakeAgain, discard, get_failed, list_failed, replay
from tallystick.core import wire
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.measurement_reading import unpack
from tallystick.core.meter import Category, DataField, Meter
from tallystick.errors import Refusal
from tallystick.ports import Actor, Page

ANN = Actor(id="ann", kind="SERVICE_USER")


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def desk(north: World, organization: str = NORTH) -> Desk:
    return Desk(records=north.organization(organization), actor=ANN, now=NOW)


def take(north: World) -> TakeAgain:
    return lambda sent: north.intake.take(NORTH, [each.member for each in sent], record=False).measurements


def fail(north: World, member: Any) -> FailedMeasurement:
    (verdict,) = asyncio.run(north.post(member))
    assert verdict["verdict"] == "rejected"
    return get_failed(north.organization(), verdict["failedMeasurementId"])


class TestReplay:
    def test_a_corrected_measurement_counts_once_under_its_uid(self, north: World) -> None:
        failed = fail(north, measurement("a", measure={"tokens": "10"}))
        closed = replay(desk(north), failed.id, wire.encode(measurement("a")), take(north))
        assert (closed.status, closed.closed, closed.closed_by) == (FailureStatus.REPLAYED, NOW, "ann")
        assert get_failed(north.organization(), failed.id) == closed
        assert north.journaled() == [(NORTH, "a")]
        assert asyncio.run(north.post(measurement("a")))[0]["verdict"] == "duplicate"

    def test_the_original_counts_once_what_was_missing_is_there(self, north: World) -> None:
        failed = fail(north, measurement("a", meter="late", measure=None))
        fields = (DataField(code="model", name="Model", category=Category.WHAT),)
        north.add(Meter(name="Late", code="late", data_fields=fields, derived_fields=()))
        assert replay(desk(north), failed.id, None, take(north)).status is FailureStatus.REPLAYED
        assert north.journaled() == [(NORTH, "a")]

    @pytest.mark.parametrize("corrected", [measurement(), measurement("")])
    def test_one_that_had_no_uid_keeps_the_one_it_was_given(self, north: World, corrected: dict[str, Any]) -> None:
        failed = fail(north, measurement(measure={}))
        replay(desk(north), failed.id, wire.encode(corrected), take(north))
        assert north.journaled() == [(NORTH, failed.uid)]
        (block,) = north.journal.read(0)
        assert wire.decode(dict[str, Any], unpack(block.entries[0]).original)["uid"] == failed.uid

    def test_numbers_of_a_replayed_original_stay_as_they_were_written(self, north: World) -> None:
        failed = fail(north, b'{"meter":"late","account":"acme","ts":"2025-06-01","measure":{"tokens":1.50e-05}}')
        fields = (DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="1"),)
        north.add(Meter(name="Late", code="late", data_fields=fields, derived_fields=()))
        replay(desk(north), failed.id, None, take(north))
        (block,) = north.journal.read(0)
        assert b'{"tokens":1.50e-05}' in unpack(block.entries[0]).original

    def test_another_uid_is_refused(self, north: World) -> None:
        failed = fail(north, measurement("a", measure={}))
        with pytest.raises(Refusal, match="under its own uid 'a', got 'b'"):
            replay(desk(north), failed.id, wire.encode(measurement("b")), take(north))
        assert north.journaled() == []

    @pytest.mark.parametrize(
        ("corrected", "code"),
        [(measurement("a", measure={}), "missing_field"), (None, "undefined_meter"), (measurement("b"), "rule_broken")],
    )
    def test_what_fails_again_stays_open_and_says_why(self, north: World, corrected: Any, code: str) -> None:
        failed = fail(north, measurement("a", meter="nope"))
        body = None if corrected is None else wire.encode(corrected)
        with pytest.raises(Refusal) as refused:
            replay(desk(north), failed.id, body, take(north))
        assert refused.value.code.name == code
        assert get_failed(north.organization(), failed.id).status is FailureStatus.OPEN
        assert len(north.documents("failedmeasurement")) == 1

    def test_a_uid_claimed_meanwhile_by_other_content_keeps_it(self, north: World) -> None:
        failed = fail(north, measurement("a", meter="nope"))
        asyncio.run(north.post(measurement("a")))
        with pytest.raises(Refusal, match="conflict again"):
            replay(desk(north), failed.id, wire.encode(measurement("a", measure={"tokens": 11})), take(north))
        assert replay(desk(north), failed.id, wire.encode(measurement("a")), take(north)).status == "REPLAYED"
        assert len(north.journaled()) == 1

    @pytest.mark.parametrize("corrected", [b"5", b"{", b"[]", b'{"uid":5}', b'{"uid":"\xff"}'])
    def test_a_correction_must_be_an_object(self, north: World, corrected: bytes) -> None:
        failed = fail(north, measurement("a", measure={}))
        with pytest.raises(Refusal) as refused:
            replay(desk(north), failed.id, corrected, take(north))
        assert refused.value.code.name == "invalid_request"

    def test_only_an_open_one_can_be_replayed_or_discarded(self, north: World) -> None:
        failed = fail(north, measurement("a", measure={}))
        discard(desk(north), failed.id, "a test of ours")
        for act in (
            lambda: replay(desk(north), failed.id, wire.encode(measurement("a")), take(north)),
            lambda: discard(desk(north), failed.id, "again"),
        ):
            with pytest.raises(Refusal, match="DISCARDED already"):
                act()
        assert north.journaled() == []


class TestQueue:
    def test_a_discarded_one_stays_visible_with_the_reason(self, north: World) -> None:
        failed = fail(north, measurement("a", measure={}))
        closed = discard(desk(north), failed.id, "a test of ours")
        assert (closed.status, closed.discard_reason, closed.closed_by) == ("DISCARDED", "a test of ours", "ann")
        assert list_failed(north.organization(), FailedFilter(status=FailureStatus.OPEN), Page()).rows == ()
        assert list_failed(north.organization(), FailedFilter(), Page()).rows == (closed,)

    def test_it_is_searched_by_status_code_meter_and_uid_page_by_page(self, north: World) -> None:
        asyncio.run(north.post(*(measurement(f"u{n}", meter="x" if n % 2 else "llm", measure={}) for n in range(10))))

        def uids(**wanted: Any) -> set[str]:
            token, found = None, set[str]()
            while True:
                page = list_failed(north.organization(), FailedFilter(**wanted), Page(size=2, token=token))
                found |= {each.uid for each in page.rows}
                token = page.next_token
                if token is None:
                    return found

        assert uids() == {f"u{n}" for n in range(10)}
        assert uids(meter="x") == uids(code="undefined_meter") == {f"u{n}" for n in range(1, 10, 2)}
        assert uids(code="missing_field", status=FailureStatus.OPEN) == {f"u{n}" for n in range(0, 10, 2)}
        assert uids(uid="u3") == {"u3"}
        assert uids(uid="u3", meter="llm") == set()

    def test_other_organizations_see_nothing_of_it(self, north: World) -> None:
        failed = fail(north, measurement("a", measure={}))
        south = desk(north, SOUTH)
        assert list_failed(south.records, FailedFilter(), Page()).rows == ()
        with pytest.raises(Refusal, match="no failed measurement"):
            discard(south, failed.id, "not mine")
        with pytest.raises(Refusal, match="no event"):
            get_event(south.records, failed.event_id)

    def test_bytes_that_are_no_text_are_kept_too(self, north: World) -> None:
        member = b'{"uid":"a","account":"\xff","meter":"llm"}'
        failed = fail(north, member)
        assert failed.original is None
        assert failed.sent == member


class TestEvents:
    def test_dealing_with_a_failure_actions_its_event(self, north: World) -> None:
        first = fail(north, measurement("a", measure={}))
        second = fail(north, measurement("b", measure={}))
        replay(desk(north), first.id, wire.encode(measurement("a")), take(north))
        assert get_event(north.organization(), first.event_id).dt_actioned == NOW
        assert get_event(north.organization(), second.event_id).dt_actioned is None

        def ids(flag: bool | None) -> set[str]:
            found = list_events(north.organization(), EventFilter(include_actioned=flag), Page(size=1))
            return {each.id for each in found.rows}

        assert ids(False) == {second.event_id}
        discard(desk(north), second.id, "enough")
        assert ids(False) == set()
        assert len(list_events(north.organization(), EventFilter(), Page()).rows) == 2

    def test_they_are_searched_by_name_type_account_resource_and_id(self, north: World) -> None:
        asyncio.run(north.post(measurement("a"), measurement("a", measure={"tokens": 9}), measurement("b", meter="x")))
        events = list_events(north.organization(), EventFilter(), Page()).rows
        conflict = next(each for each in events if each.m3ter_event["code"] == "conflict")
        other = next(each for each in events if each is not conflict)
        account = unpack(next(iter(north.journal.read(0))).entries[0]).account_id

        def found(**wanted: Any) -> set[str]:
            return {each.id for each in list_events(north.organization(), EventFilter(**wanted), Page()).rows}

        both = {conflict.id, other.id}
        assert found(event_name="ingest.validation.failure") == both
        assert found(event_type="IngestValidationFailure") == both
        assert found(event_type="IntegrationEvent") == set()
        assert found(account_id=account) == both
        assert found(resource_id=conflict.id) == {conflict.id}
        assert found(ids=[other.id, "nothing"]) == {other.id}

    def test_the_fields_that_are_listed_are_those_that_events_have(self, north: World) -> None:
        asyncio.run(north.post(measurement("a"), measurement("a"), measurement("b", measure={})))
        listed = {
            name.removeprefix("new.") for name in event_fields("ingest.validation.failure")["ingest.validation.failure"]
        }
        told = {name for each in north.documents("event") for name in each["m3terEvent"]}
        assert listed <= told
        assert event_fields("no.such.event") == {}
        assert listed == {name.removeprefix("new.") for name in event_fields(None)["ingest.validation.failure"]}, (
            "among all kinds as alone"
        )
