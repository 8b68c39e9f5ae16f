"""Usage that names an identity: found its account, or waiting for one; each counted once, whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import FIELDS, IDENTITY_KEY, NORTH, NOW, World, measurement, world

from effort import drawing
from tallystick.control.desk import Desk
from tallystick.control.failed_measurements import FailedFilter, list_failed, list_groups
from tallystick.control.identities import (
    CHUNKS,
    IDENTITIES,
    attribute_waiting,
    dismiss,
    list_unmapped,
    list_waiting,
)
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.identity import Identity, UnmappedIdentity, group_id, hash_of
from tallystick.core.measurement_reading import read_measurement, unpack
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest import Verdict
from tallystick.pipeline.ingest.identities import any_named
from tallystick.ports import Actor, Page

ANN = Actor(id="ann", kind="SERVICE_USER")
KEY = "sk_live_0123456789abcdef"


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def account(north: World, code: str) -> str:
    return north.add(Account(name=code, code=code, email_address="a@example.com"))


def give(north: World, to: str, value: str = KEY, type: str = "key", **changes: Any) -> Entity[Identity]:
    """Say whose an identity is."""
    known_by = hash_of(IDENTITY_KEY, NORTH, type, value)
    return IDENTITIES.create(desk(north), Identity(type=type, hash=known_by, account_id=to, **changes))


def named(uid: str | None = None, value: str = KEY, **changes: Any) -> dict[str, Any]:
    made = measurement(uid, **changes)
    del made["account"]
    return {**made, "identity": {"type": "key", "value": value, **changes.get("more", {})}}


def post(north: World, *members: Any) -> list[str]:
    return [each["verdict"] for each in asyncio.run(north.post(*members))]


def attribute(north: World) -> None:
    """What the chore does."""

    def take(members: Sequence[bytes]) -> Sequence[Verdict]:
        return north.intake.take(NORTH, members).measurements

    while attribute_waiting(north.organization(), take):
        pass


def desk(north: World) -> Desk:
    return Desk(records=north.organization(), actor=ANN, now=north.clock.now())


def dismissed(north: World, value: str = KEY, chunks: int = CHUNKS) -> tuple[int, int]:
    """Dismiss what waits for an identity: (how many were, how many are left)."""
    told = dismiss(desk(north), group_id(hash_of(IDENTITY_KEY, NORTH, "key", value)), "a test key", chunks)
    return told.dismissed, told.left


def failed(north: World) -> list[tuple[str, str, str | None]]:
    """(uid, status, reason of the dismissal) of all failed measurements."""
    found = list_failed(north.organization(), FailedFilter(), Page(size=1000)).rows
    return sorted((each.uid, each.status.value, each.discard_reason) for each in found)


def unmapped(north: World) -> list[UnmappedIdentity]:
    return list(list_unmapped(north.organization(), Page()).rows)


def counted(north: World) -> list[tuple[str, str]]:
    """(uid, account code) of everything that counts."""
    found = []
    for block in north.journal.read(0):
        for packed in block.entries:
            read = read_measurement(unpack(packed).original)
            assert not isinstance(read, Rejection)
            found.append((read.uid or "", read.account))
    return sorted(found)


class TestFindingTheAccount:
    def test_usage_goes_to_the_account_that_has_the_identity_at_its_time(self, north: World) -> None:
        acorn, birch = account(north, "acorn"), account(north, "birch")
        moved = Instant.parse("2025-05-01T00:00:00Z")
        give(north, acorn, end_date=moved)
        give(north, birch, start_date=moved)
        before = named("a", ts="2025-04-30T23:59:59.999999Z")
        assert (
            post(north, before, named("b", ts="2025-05-01T00:00:00Z"), measurement("c", account="acorn"))
            == ["accepted"] * 3
        )
        assert counted(north) == [("a", "acorn"), ("b", "birch"), ("c", "acorn")]
        assert post(north, before) == ["duplicate"]
        assert post(north, named("a", ts="2025-04-30T23:59:58Z")) == ["conflict"]

    def test_a_higher_priority_decides(self, north: World) -> None:
        give(north, account(north, "acorn"))
        give(north, account(north, "birch"), priority=1)
        post(north, named("a"))
        assert counted(north) == [("a", "birch")]

    def test_two_entries_of_one_priority_at_a_time_are_refused(self, north: World) -> None:
        acorn, birch = account(north, "acorn"), account(north, "birch")
        give(north, acorn, end_date=Instant.parse("2025-05-01"))
        with pytest.raises(Refusal, match="priority"):
            give(north, birch)
        give(north, birch, start_date=Instant.parse("2025-05-01"))
        give(north, birch, value="another")

    def test_an_account_beside_an_identity_stays_what_counts(self, north: World) -> None:
        give(north, account(north, "acorn"))
        assert post(north, {**named("a"), "account": "birch"}) == ["accepted"]
        assert counted(north) == [("a", "birch")]

    def test_a_field_may_be_called_identity(self, north: World) -> None:
        member = measurement("a", account="acorn", other={"identity": "mine"})
        assert not any_named([wire.encode(member)])
        assert post(north, member) == ["accepted"]

    def test_a_meter_that_asks_is_told_the_identity(self, north: World) -> None:
        field = DataField(code="identity", name="Identity", category=Category.OTHER)
        north.add(Meter(name="Keys", code="keys", data_fields=(*FIELDS, field), derived_fields=()))
        give(north, account(north, "acorn"))
        own = named("c", meter="keys", other={"identity": "mine"})
        known = named("b", value="w7", meter="keys")
        known["identity"]["sensitive"] = False
        give(north, account(north, "birch"), value="w7")
        assert post(north, named("a", meter="keys"), known, own) == ["accepted"] * 3
        told = [
            wire.decode(dict[str, Any], unpack(packed).original)["other"]["identity"]
            for block in north.journal.read(0)
            for packed in block.entries
        ]
        assert sorted(told) == sorted([f"key:{hash_of(IDENTITY_KEY, NORTH, 'key', KEY)[:12]}", "key:w7", "mine"])


class TestWaiting:
    def test_usage_of_nobody_waits_and_counts_once_somebody_has_it(self, north: World) -> None:
        assert post(north, named("a"), named("b", measure={"tokens": 3})) == ["waiting", "waiting"]
        assert counted(north) == []
        (group,) = unmapped(north)
        assert (group.type, group.count, group.hint, group.value) == ("key", 2, "cdef", None)
        give(north, account(north, "acorn"))
        attribute(north)
        assert counted(north) == [("a", "acorn"), ("b", "acorn")]
        assert unmapped(north) == []
        assert list_waiting(north.organization(), Page()).rows == ()
        assert post(north, named("a")) == ["duplicate"]

    def test_a_resend_meanwhile_waits_once_and_other_content_conflicts(self, north: World) -> None:
        assert post(north, named("a"), named("a")) == ["waiting", "waiting"]
        assert post(north, named("a"), named("a", measure={"tokens": 99})) == ["waiting", "conflict"]
        assert post(north, named("a", value="another")) == ["conflict"]
        assert [each.count for each in unmapped(north)] == [1]
        give(north, account(north, "acorn"))
        attribute(north)
        assert counted(north) == [("a", "acorn")]

    def test_what_lies_outside_of_the_dates_goes_on_waiting(self, north: World) -> None:
        post(north, named("a", ts="2025-04-01T00:00:00Z"), named("b", ts="2025-05-20T00:00:00Z"))
        give(north, account(north, "acorn"), start_date=Instant.parse("2025-05-01"))
        attribute(north)
        assert counted(north) == [("b", "acorn")]
        assert [each.count for each in unmapped(north)] == [1]

    def test_a_uid_that_was_counted_meanwhile_stays_counted_once(self, north: World) -> None:
        post(north, named("a"))
        assert post(north, measurement("a", account="birch")) == ["accepted"], "what waits has claimed nothing"
        give(north, account(north, "acorn"))
        attribute(north)
        assert counted(north) == [("a", "birch")]
        assert unmapped(north) == []
        conflicts = [each["m3terEvent"]["code"] for each in north.documents("event")]
        assert conflicts == ["conflict"]

    def test_what_could_not_count_anyway_fails_at_once(self, north: World) -> None:
        bad = [
            named("a", meter="none"),
            named("b", measure={}),
            named("c", ts="yesterday"),
            {**named("d"), "identity": {"type": "key"}},
            {**named("e"), "identity": {"type": "key", "value": 7}},
            {**named("f"), "identity": "key"},
            named("g", measure={"tokens": "3"}),
        ]
        verdicts = asyncio.run(north.post(*bad, named("ok")))
        assert [each.get("code") for each in verdicts] == [
            "undefined_meter",
            "missing_field",
            "invalid_timestamp",
            "invalid_measurement",
            "invalid_measurement",
            "invalid_measurement",
            "invalid_number",
            "unmapped_identity",
        ]
        assert {each["uid"] for each in north.documents("failedmeasurement")} == set("abcdefg")

    def test_no_uid_is_lost_when_one_is_given_at_the_door(self, north: World) -> None:
        (verdict,) = asyncio.run(north.post(named()))
        assert (verdict["verdict"], verdict["uidGenerated"]) == ("waiting", True)
        give(north, account(north, "acorn"))
        attribute(north)
        assert counted(north) == [(verdict["uid"], "acorn")]

    def test_a_crash_between_counting_and_taking_out_counts_nothing_twice(self, north: World) -> None:
        post(north, named("a"), named("b"))
        give(north, account(north, "acorn"))

        def killed(members: Sequence[bytes]) -> Sequence[Verdict]:
            north.intake.take(NORTH, members)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            attribute_waiting(north.organization(), killed)
        north.reopen()
        attribute(north)
        assert counted(north) == [("a", "acorn"), ("b", "acorn")]
        assert unmapped(north) == []

    def test_an_identity_that_comes_while_usage_is_written_down_is_heeded(
        self, north: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acorn = account(north, "acorn")
        attributor = north.intake._attributor
        keep = attributor.keep

        def late(organization_id: str, waiters: Any) -> Any:
            if not given:
                given.append(give(north, acorn))
            return keep(organization_id, waiters)

        given: list[object] = []
        monkeypatch.setattr(attributor, "keep", late)
        assert post(north, named("a")) == ["accepted"]
        assert (counted(north), unmapped(north)) == ([("a", "acorn")], [])


class TestDismissing:
    def test_what_waits_never_counts_and_stays_visible_with_the_reason(self, north: World) -> None:
        post(north, named("a"), named("b", measure={"tokens": 3}), named("c", value="another"))
        assert dismissed(north) == (2, 0)
        assert [(each.count, each.hint) for each in unmapped(north)] == [(1, None)]
        assert failed(north) == [("a", "DISCARDED", "a test key"), ("b", "DISCARDED", "a test key")]
        (group,) = list_groups(north.organization(), Page(), closed=True).rows
        assert (group.code, group.open, group.discarded, group.replayed) == ("unmapped_identity", 0, 2, 0)
        (event,) = [each for each in north.documents("event") if each["m3terEvent"]["code"] == "unmapped_identity"]
        assert event["dtActioned"]
        assert (event["m3terEvent"]["count"], sorted(event["m3terEvent"]["uids"])) == (2, ["a", "b"])
        give(north, account(north, "acorn"))
        attribute(north)
        assert counted(north) == []

    def test_its_uid_was_never_claimed_so_that_it_can_be_sent_again(self, north: World) -> None:
        post(north, named("a"))
        assert dismissed(north) == (1, 0)
        assert post(north, named("a", measure={"tokens": 5})) == ["waiting"]
        assert dismissed(north) == (1, 0)
        give(north, account(north, "acorn"))
        assert post(north, named("a")) == ["accepted"]
        assert counted(north) == [("a", "acorn")]
        assert failed(north) == [("a", "DISCARDED", "a test key")] * 2

    def test_usage_whose_account_is_known_by_now_is_left_alone(self, north: World) -> None:
        post(north, named("a", ts="2025-04-01T00:00:00Z"), named("b", ts="2025-05-20T00:00:00Z"))
        give(north, account(north, "acorn"), start_date=Instant.parse("2025-05-01"))
        assert dismissed(north) == (1, 1)
        attribute(north)
        assert counted(north) == [("b", "acorn")]
        assert failed(north) == [("a", "DISCARDED", "a test key")]

    def test_more_than_one_turn_does_is_left_for_the_next(self, north: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tallystick.control.identities.CHUNK", 2)
        post(north, *(named(uid) for uid in "abcde"))
        assert dismissed(north, chunks=2) == (4, 1)
        assert [each.count for each in unmapped(north)] == [1]
        assert dismissed(north, chunks=2) == (1, 0)
        with pytest.raises(Refusal, match="no usage waits"):
            dismissed(north)

    def test_what_the_chore_was_counting_meanwhile_is_not_shown_as_discarded(self, north: World) -> None:
        post(north, named("a"), named("b"))
        entry = give(north, account(north, "acorn"))

        def late(members: Sequence[bytes]) -> Sequence[Verdict]:
            told = north.intake.take(NORTH, members).measurements
            IDENTITIES.delete(desk(north), entry.id)
            assert dismissed(north) == (2, 0)
            return told

        attribute_waiting(north.organization(), late)
        assert counted(north) == [("a", "acorn"), ("b", "acorn")]
        assert [status for _, status, _ in failed(north)] == ["REPLAYED", "REPLAYED"]
        (group,) = list_groups(north.organization(), Page(), closed=True).rows
        assert (group.open, group.discarded, group.replayed) == (0, 0, 2)


def test_no_secret_is_written_down_anywhere(north: World) -> None:
    field = DataField(code="identity", name="Identity", category=Category.OTHER)
    north.add(Meter(name="Keys", code="keys", data_fields=(*FIELDS, field), derived_fields=()))
    twisted = {**named("x"), "identity": {"type": "key", "value": KEY, "sensitive": "no"}}
    post(
        north,
        named("a"),
        named("b", meter="none"),
        named("c", meter="keys"),
        twisted,
        named("a", measure={"tokens": 9}),
    )
    assert dismissed(north) == (2, 0)
    post(north, named("f"))
    give(north, account(north, "acorn"))
    attribute(north)
    post(north, named("d"), named("e", meter="keys"))
    kept = [path for path in north.directory.rglob("*") if path.is_file()]
    assert kept
    assert [path.name for path in kept if KEY.encode() in path.read_bytes()] == []


# Days of May that usage falls on, and entries that share them out between accounts without overlapping.
DAYS = st.integers(1, 28)
USES = st.lists(st.tuples(st.sampled_from(["k1", "k2"]), DAYS), min_size=1, max_size=6)
CUTS = st.tuples(DAYS, st.booleans())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all examples, each of which has identities, accounts and uids of its own."""
    with world(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


EXAMPLES = count()


@settings(**drawing(20))
@given(uses=USES, cut=CUTS, data=st.data())
def test_each_event_counts_once_on_the_account_that_has_its_identity_at_its_time(
    shared: World, uses: list[tuple[str, int]], cut: tuple[int, bool], data: st.DataObject
) -> None:
    """Whatever order identities and usage come in, and however often each is sent."""
    mine, (day, second_too) = f"x{next(EXAMPLES)}-", cut
    at = may(day)
    accounts = {code: account(shared, mine + code) for code in ("acorn", "birch")}
    entries: list[tuple[str, str, dict[str, Any]]] = [
        ("acorn", "k1", {"end_date": at}),
        ("birch", "k1", {"start_date": at}),
        *([("birch", "k2", {})] if second_too else []),
    ]
    sends = [("use", place) for place in range(len(uses))] * data.draw(st.integers(1, 2), label="times")
    adding = [("entry", place) for place in range(len(entries))]
    for kind, place in data.draw(st.permutations([*sends, *adding, ("restart", 0)]), label="steps"):
        if kind == "restart":
            shared.reopen()
        elif kind == "entry":
            code, value, dates = entries[place]
            give(shared, accounts[code], value=mine + value, **dates)
            if data.draw(st.booleans(), label="chore"):
                attribute(shared)
        else:
            value, used = uses[place]
            post(shared, named(f"{mine}u{place}", value=mine + value, ts=may(used).wire()))
    attribute(shared)
    expected = sorted(
        (f"{mine}u{place}", mine + ("birch" if value == "k2" or used >= day else "acorn"))
        for place, (value, used) in enumerate(uses)
        if value == "k1" or second_too
    )
    assert [each for each in counted(shared) if each[0].startswith(mine)] == expected
    nobodys = hash_of(IDENTITY_KEY, NORTH, "key", mine + "k2")
    waits = list_waiting(shared.organization(), Page(), hash=nobodys).rows
    assert len(waits) == len(uses) - len(expected)


def may(day: int) -> Instant:
    return Instant.of(NOW.replace(month=5, day=day, hour=0))
