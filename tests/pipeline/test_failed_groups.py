"""Failed measurements by what is wrong with them: kept counts, corrections of many at once, exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ingest_world import NORTH, NOW, SOUTH, World, measurement, world

from tallystick.control.desk import Desk
from tallystick.control.failed_measurements import (
    FailedFilter,
    Resent,
    discard,
    get_group,
    list_failed,
    list_groups,
    replay,
)
from tallystick.control.replay_jobs import cancel_job, create_job, read_job, run_chunk
from tallystick.core import wire
from tallystick.core.correction import Correction, corrected
from tallystick.core.failed_group import FailedGroup
from tallystick.core.ingest_failure import FailureStatus
from tallystick.core.replay_job import ReplayAction, ReplayJob, ReplayJobStatus
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest import Verdict
from tallystick.ports import Actor, Page

ANN = Actor(id="ann", kind="SERVICE_USER")
HOSTILE = "<script>alert(1)</script>'\"\\ \u0000 =1+1"


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def desk(north: World, organization: str = NORTH) -> Desk:
    return Desk(records=north.organization(organization), actor=ANN, now=north.clock.now())


def take(north: World) -> Any:
    def send(sent: Sequence[Resent]) -> Sequence[Verdict]:
        return north.intake.take(NORTH, [each.member for each in sent], record=False).measurements

    return send


def post(north: World, *members: Any) -> list[dict[str, Any]]:
    return asyncio.run(north.post(*members))


def groups(north: World, *, closed: bool = False) -> list[FailedGroup]:
    return list(list_groups(north.organization(), Page(), closed=closed).rows)


def texts(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Measurements whose tokens are texts, as many clients send them."""
    return [measurement(f"u{first + place}", measure={"tokens": str(place + 1)}) for place in range(count)]


def run(north: World, job: ReplayJob, size: int = 500) -> ReplayJob:
    while (job := run_chunk(desk(north), job.id, take(north), size)).status.active:
        pass
    return job


class TestCounts:
    def test_what_failed_alike_is_one_group_with_most_open_ones_first(self, north: World) -> None:
        post(north, *texts(3), measurement("m1", meter="gone"), measurement("m2", meter="gone", measure={}))
        north.clock.turn(timedelta(hours=1))
        post(north, *texts(2, 10), measurement("x", what={}))
        found = groups(north)
        assert [(each.code, each.meter, each.field, each.open) for each in found] == [
            ("invalid_number", "llm", "measure.tokens", 5),
            ("undefined_meter", "gone", "meter", 2),
            ("missing_field", "llm", "what.model", 1),
        ]
        assert (found[0].first_seen, found[0].last_seen) == (NOW, north.clock.now())
        newest = list_failed(north.organization(), FailedFilter(group_id=found[0].id), Page(size=2)).rows
        assert [each.uid for each in newest] == ["u11", "u10"]
        assert found[0].example_id == newest[0].id

    def test_counts_follow_each_replay_and_discard(self, north: World) -> None:
        post(north, *texts(3))
        (group,) = groups(north)
        one, two, _three = list_failed(north.organization(), FailedFilter(group_id=group.id), Page()).rows
        replay(desk(north), one.id, wire.encode(measurement(one.uid)), take(north))
        discard(desk(north), two.id, "a test")
        (after,) = groups(north)
        assert (after.open, after.replayed, after.discarded, after.count) == (1, 1, 1, 3)
        of = FailedFilter(group_id=group.id, status=FailureStatus.DISCARDED)
        assert [each.uid for each in list_failed(north.organization(), of, Page()).rows] == [two.uid]

    def test_hostile_names_are_kept_apart_and_short(self, north: World) -> None:
        post(north, measurement("a", meter=HOSTILE), measurement("b", meter="m" * 5000))
        found = {each.meter for each in groups(north)}
        assert found == {HOSTILE.replace("\0", "\N{REPLACEMENT CHARACTER}"), "m" * 80}

    def test_another_organisation_sees_nothing_of_it(self, north: World) -> None:
        post(north, *texts(1))
        (group,) = groups(north)
        assert list_groups(north.organization(SOUTH), Page()).rows == ()
        with pytest.raises(Refusal, match="there is no group"):
            get_group(north.organization(SOUTH), group.id)
        with pytest.raises(Refusal, match="there is no group"):
            create_job(desk(north, SOUTH), group.id, ReplayAction.REPLAY)


class TestJobs:
    def test_all_of_a_group_count_once_and_are_marked_with_who_asked(self, north: World) -> None:
        post(north, *texts(7))
        (group,) = groups(north)
        job = create_job(
            desk(north), group.id, ReplayAction.REPLAY, correction=Correction(read_numbers=("measure.tokens",))
        )
        done = run(north, job, size=3)
        assert (done.status, done.total, done.done, done.closed, done.kept) == (ReplayJobStatus.COMPLETE, 7, 7, 7, 0)
        assert sorted(uid for _, uid in north.journaled()) == [f"u{place}" for place in range(7)]
        after = get_group(north.organization(), group.id)
        assert (after.open, after.replayed) == (0, 7)
        assert groups(north) == []
        (shown,) = groups(north, closed=True)
        assert shown == after
        of = FailedFilter(group_id=group.id, status=FailureStatus.REPLAYED)
        assert {each.closed_by for each in list_failed(north.organization(), of, Page()).rows} == {"ann"}
        assert all(each["dtActioned"] is not None for each in north.documents("event"))

    def test_a_chunk_that_a_crash_cut_short_counts_nothing_twice(self, north: World) -> None:
        post(north, *texts(4))
        (group,) = groups(north)
        fix = Correction(read_numbers=("measure.tokens",))
        job = create_job(desk(north), group.id, ReplayAction.REPLAY, correction=fix)

        def killed(sent: Sequence[Resent]) -> Sequence[Verdict]:
            take(north)(sent)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_chunk(desk(north), job.id, killed)
        north.reopen()
        done = run(north, job)
        assert (done.closed, done.kept) == (4, 0)
        assert len(north.journaled()) == 4

    def test_what_is_rejected_again_stays_and_the_job_says_why(self, north: World) -> None:
        post(north, *texts(2), measurement("bad", measure={"tokens": "many"}))
        (group,) = groups(north)
        fix = Correction(read_numbers=("measure.tokens",))
        done = run(north, create_job(desk(north), group.id, ReplayAction.REPLAY, correction=fix), size=1)
        assert (done.closed, done.kept) == (2, 1)
        (problem,) = done.problems
        assert problem.reason == "measure.tokens: must be a JSON number, got a text"
        assert problem.count == 1
        assert get_group(north.organization(), group.id).open == 1

    def test_a_uid_that_was_claimed_meanwhile_with_other_content_stays(self, north: World) -> None:
        post(north, *texts(1))
        post(north, measurement("u0", measure={"tokens": 99}))
        (group,) = groups(north)
        fix = Correction(read_numbers=("measure.tokens",))
        done = run(north, create_job(desk(north), group.id, ReplayAction.REPLAY, correction=fix))
        assert (done.closed, done.kept) == (0, 1)
        assert len(north.journaled()) == 1

    def test_discarding_takes_them_out_with_the_reason(self, north: World) -> None:
        post(north, *texts(5))
        (group,) = groups(north)
        job = create_job(desk(north), group.id, ReplayAction.DISCARD, reason="load test")
        assert run(north, job, size=2).closed == 5
        assert get_group(north.organization(), group.id).discarded == 5
        assert {each["discardReason"] for each in north.documents("failedmeasurement")} == {"load test"}
        assert north.journaled() == []

    def test_what_fails_while_a_job_is_at_work_is_left_alone(self, north: World) -> None:
        post(north, *texts(2))
        (group,) = groups(north)
        job = create_job(desk(north), group.id, ReplayAction.DISCARD, reason="old")
        north.clock.turn(timedelta(seconds=1))
        post(north, *texts(2, 10))
        assert run(north, job, size=1).closed == 2
        assert get_group(north.organization(), group.id).open == 2

    def test_a_cancelled_job_goes_no_further(self, north: World) -> None:
        post(north, *texts(4))
        (group,) = groups(north)
        job = create_job(desk(north), group.id, ReplayAction.DISCARD, reason="no")
        run_chunk(desk(north), job.id, take(north), 2)
        assert cancel_job(desk(north), job.id).status is ReplayJobStatus.CANCELLED
        assert run_chunk(desk(north), job.id, take(north), 2).closed == 2
        assert get_group(north.organization(), group.id).open == 2

    @pytest.mark.parametrize(
        ("action", "more", "why"),
        [
            ("DISCARD", {}, "reason: give it with DISCARD"),
            ("REPLAY", {"reason": "no"}, "reason: give it with DISCARD"),
            ("DISCARD", {"reason": "no", "correction": Correction(meter="x")}, "correction: what is discarded"),
        ],
    )
    def test_refusals(self, north: World, action: str, more: dict[str, Any], why: str) -> None:
        post(north, *texts(1))
        with pytest.raises(Refusal, match=why):
            create_job(desk(north), groups(north)[0].id, ReplayAction(action), **more)

    def test_one_job_at_a_time_works_on_a_group(self, north: World) -> None:
        post(north, *texts(1))
        (group,) = groups(north)
        job = create_job(desk(north), group.id, ReplayAction.DISCARD, reason="no")
        with pytest.raises(Refusal, match=job.id):
            create_job(desk(north), group.id, ReplayAction.REPLAY)
        run(north, job)
        with pytest.raises(Refusal, match="no failed measurement of this group is open"):
            create_job(desk(north), group.id, ReplayAction.REPLAY)
        assert read_job(north.organization(), job.id).status is ReplayJobStatus.COMPLETE


SENT = (
    b'{"uid":"u","meter":"llm","account":"acme","ts":"2025-06-01","where":{"model":"s"},"measure":{"tokens":"1,250"}}'
)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ({}, {}),
        ({"meter": "gpt", "account": "beta"}, {"meter": "gpt", "account": "beta"}),
        ({"readNumbers": ["measure.tokens"]}, {"measure": {"tokens": 1250}}),
        ({"readNumbers": ["where.model", "measure.nothing"]}, {}),
        ({"renameFields": [{"field": "where.model", "to": "what.model"}]}, {"where": {}, "what": {"model": "s"}}),
        ({"renameFields": [{"field": "where.none", "to": "what.model"}]}, {}),
        ({"renameFields": [{"field": "measure.tokens", "to": "measure.t.o"}]}, {"measure": {"t.o": "1,250"}}),
        ({"setFields": [{"field": "measure.tokens", "value": 5}]}, {"measure": {"tokens": 5}}),
        ({"setFields": [{"field": "measure.tokens", "value": 5, "onlyIfMissing": True}]}, {}),
        (
            {"setFields": [{"field": "cost.usd", "value": Decimal("0.1"), "onlyIfMissing": True}]},
            {"cost": {"usd": Decimal("0.1")}},
        ),
        ({"setFields": [{"field": "ts", "value": "2025-07-01"}]}, {"ts": "2025-07-01"}),
    ],
)
def test_a_correction_changes_what_it_names_and_nothing_else(rule: dict[str, Any], changed: dict[str, Any]) -> None:
    found = corrected(SENT, wire.decode(Correction, wire.encode(rule)))
    assert isinstance(found, bytes)
    assert wire.decode(dict[str, Any], found) == {**wire.decode(dict[str, Any], SENT), **changed}


def test_numbers_keep_every_digit() -> None:
    sent = SENT.replace(b'"1,250"', b"1.000000000000000000000001")
    found = corrected(sent, Correction(meter="other"))
    assert isinstance(found, bytes)
    assert b"1.000000000000000000000001" in found


@pytest.mark.parametrize("sent", [b"[]", b"{", b'{"measure": 5}', b"\xff"])
def test_what_is_no_object_cannot_be_corrected(sent: bytes) -> None:
    assert isinstance(corrected(sent, Correction(meter="other")), Rejection)


@pytest.mark.parametrize("field", ["uid", "tokens", "measure.", "measure", "nothing.tokens", ".x"])
def test_only_fields_can_be_named(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="such as measure"):
        wire.decode(Correction, wire.encode({"setFields": [{"field": field, "value": 1}]}))
