"""Ingest as its clients see it: one verdict per measurement, and nothing lost beside a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ingest_world import NORTH, NOW, SOUTH, World, body, measurement, post, verdicts, world

from tallystick.core.account import Account
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import UnknownAccounts
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import known
from tallystick.pipeline.ingest.known import PLACEHOLDER_ADDRESS


@pytest.fixture
def north(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as opened:
        yield opened


def refused(north: World, raw: bytes, organization: str = NORTH) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        asyncio.run(north.intake.answer(organization, raw))
    assert north.journal.last == 0
    return refusal.value


class TestVerdicts:
    def test_a_good_measurement_is_accepted_and_journaled(self, north: World) -> None:
        assert post(north, measurement("a")) == [{"index": 0, "uid": "a", "verdict": "accepted"}]
        assert north.journaled() == [(NORTH, "a")]

    def test_a_measurement_without_uid_is_given_one_and_told(self, north: World) -> None:
        for member in (measurement(), measurement("")):
            (verdict,) = post(north, member)
            assert verdict["verdict"] == "accepted"
            assert verdict["uidGenerated"] is True
            assert north.journaled()[-1] == (NORTH, verdict["uid"])

    def test_one_bad_among_999_good_harms_nobody(self, north: World) -> None:
        bad = b'{"uid":"bad","meter":"llm","account":"acme","ts":"2025-06-01","measure":{"tokens":NaN}}'
        members = [measurement(f"u{number}") for number in range(999)]
        found = verdicts(north, *members[:500], bad, *members[500:])
        assert found == ["accepted"] * 500 + ["invalid_measurement"] + ["accepted"] * 499
        assert len(north.journaled()) == 999

    @pytest.mark.parametrize(
        ("member", "code"),
        [
            (measurement("x", meter="nope"), "undefined_meter"),
            (measurement("x", meter="LLM"), "undefined_meter"),
            (measurement("x", measure={}), "missing_field"),
            (measurement("x", measure={"tokens": "5"}), "invalid_number"),
            (measurement("x", what={"model": 5}), "invalid_text"),
            (measurement("x", what={}, who={"model": "s"}), "wrong_category"),
            (measurement("x", who={"model": "s"}), "duplicate_field"),
            (measurement("x", ts="yesterday"), "invalid_timestamp"),
            (measurement("x", ts="2025-06-01T12:05:01Z"), "timestamp_in_future"),
            (measurement("x", account=" acme"), "invalid_account"),
            (measurement("x", account="a\0b"), "invalid_account"),
            (measurement("x", meter="a\0b"), "undefined_meter"),
            (b"5", "invalid_measurement"),
            (b'{"uid":"x"}', "invalid_measurement"),
            (rb'{"uid":"\ud800","account":"acme"}', "invalid_measurement"),
            (b'{"uid":"x","account":"\xff"}', "invalid_measurement"),
        ],
    )
    def test_a_rejected_one_waits_in_the_queue_with_an_event_and_claims_nothing(
        self, north: World, member: Any, code: str
    ) -> None:
        (verdict, good) = post(north, member, measurement("good"))
        assert good["verdict"] == "accepted"
        assert (verdict["verdict"], verdict["code"]) == ("rejected", code)
        (failed,) = north.documents("failedmeasurement", status="OPEN", code=code)
        assert failed["id"] == verdict["failedMeasurementId"]
        assert failed["uid"] == verdict["uid"]
        assert (failed["reason"], failed.get("field")) == (verdict["reason"], verdict.get("field"))
        (event,) = north.documents("event", event_type="IngestValidationFailure")
        assert event["m3terEvent"]["getDownloadUrl"].endswith(f"file=failedmeasurement%2F{failed['id']}")
        assert (event["id"], event["m3terEvent"]["code"]) == (failed["eventId"], code)
        assert north.journaled() == [(NORTH, "good")]
        assert verdicts(north, measurement("x")) == ["accepted"]

    def test_the_original_is_kept_byte_for_byte(self, north: World) -> None:
        member = b'{ "uid" : "x",\n"account":"acme", "meter":"nope", "ts":"2025-06-01", "measure":{"tokens":1.50e0} }'
        post(north, member)
        (failed,) = north.documents("failedmeasurement")
        assert failed["original"].encode() == member

    def test_settings_can_require_uids(self, north: World) -> None:
        north.set(require_measurement_uid=True)
        assert verdicts(north, measurement(), measurement("a")) == ["uid_required", "accepted"]

    def test_settings_can_allow_the_future(self, north: World) -> None:
        member = measurement("a", ts="2025-06-01T14:00:00Z")
        assert verdicts(north, member) == ["timestamp_in_future"]
        north.set(future_tolerance_seconds=7200)
        assert verdicts(north, member) == ["accepted"]


class TestUids:
    def test_duplicates_and_conflicts_within_one_request(self, north: World) -> None:
        other = measurement("a", measure={"tokens": 11})
        assert verdicts(north, measurement("a"), measurement("a"), other, measurement("b")) == [
            "accepted",
            "duplicate",
            "conflict",
            "accepted",
        ]
        assert north.journaled() == [(NORTH, "a"), (NORTH, "b")]

    def test_the_same_again_years_later_and_after_a_restart(self, north: World) -> None:
        assert verdicts(north, measurement("a")) == ["accepted"]
        north.clock.turn(timedelta(days=400))
        north.reopen()
        assert verdicts(north, measurement("a"), measurement("a", measure={"tokens": 11})) == ["duplicate", "conflict"]

    def test_a_conflict_keeps_the_first_for_ever(self, north: World) -> None:
        first, second = measurement("a"), measurement("a", measure={"tokens": 11})
        assert verdicts(north, first) == ["accepted"]
        assert verdicts(north, second, second, first) == ["conflict", "conflict", "duplicate"]
        assert len(north.journaled()) == 1

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"ts": "2025-06-01T12:00:00+02:00"}, "duplicate"),
            ({"measure": {"tokens": 10.0}}, "duplicate"),
            ({"ts": "2025-06-01T10:00:01Z"}, "conflict"),
            ({"account": "other"}, "conflict"),
            ({"what": {"model": "large"}}, "conflict"),
            ({"where": {"zone": "eu"}}, "conflict"),
        ],
    )
    def test_content_decides_between_duplicate_and_conflict(
        self, north: World, changes: dict[str, Any], expected: str
    ) -> None:
        assert verdicts(north, measurement("a")) == ["accepted"]
        assert verdicts(north, measurement("a", **changes)) == [expected]

    def test_organizations_do_not_share_uids(self, north: World) -> None:
        assert verdicts(north, measurement("a")) == ["accepted"]
        assert verdicts(north, measurement("a", measure={"tokens": 9}), organization=SOUTH) == ["accepted"]
        assert north.journaled() == [(NORTH, "a"), (SOUTH, "a")]

    def test_a_rejected_uid_is_free_for_the_corrected_measurement(self, north: World) -> None:
        assert verdicts(north, measurement("a", measure={"tokens": "10"})) == ["invalid_number"]
        assert verdicts(north, measurement("a")) == ["accepted"]


class TestEvents:
    def test_duplicates_of_one_request_share_an_event(self, north: World) -> None:
        members = [measurement(f"u{number}") for number in range(300)]
        post(north, *members)
        assert north.documents("event") == []
        post(north, *members)
        (event,) = north.documents("event")
        told = event["m3terEvent"]
        assert (told["failureType"], told["count"], len(told["uids"])) == ("DuplicateUid", 300, 100)
        assert north.documents("failedmeasurement") == []

    def test_each_conflict_has_an_event_that_holds_it(self, north: World) -> None:
        other = measurement("a", measure={"tokens": 11})
        post(north, measurement("a"), other, other)
        events = north.documents("event", event_name="ingest.validation.failure")
        assert [each["m3terEvent"]["failureType"] for each in events] == ["ConflictingUid"] * 2
        assert {each["m3terEvent"]["measurement"] for each in events} == {body(other)[17:-2].decode()}
        assert {each["m3terEvent"]["getDownloadUrl"].rpartition("%2F")[2] for each in events} == {
            each["id"] for each in events
        }


class TestAccounts:
    def test_an_unknown_code_becomes_a_skeleton_account(self, north: World) -> None:
        assert verdicts(north, measurement("a", account="Neu & Söhne")) == ["accepted"]
        account = north.organization().by_code(Account, "Neu & Söhne")
        assert account is not None
        assert (account.value.name, account.value.email_address) == ("Neu & Söhne", PLACEHOLDER_ADDRESS)
        assert (account.version, account.created_by, account.created) == (1, "ingest", NOW)

    def test_one_account_however_many_send_for_it_at_once(self, north: World) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(
                *(north.post(measurement(f"u{n}", account=f"new-{n % 7}")) for n in range(70)),
            )

        asyncio.run(all_at_once())
        accounts = [each.value.code for each in north.organization().every(Account)]
        assert sorted(accounts) == [f"new-{n}" for n in range(7)]

    @pytest.mark.parametrize("code", ["ACME", "Acme", "aCmE"])
    def test_a_near_match_is_a_slip_and_no_new_customer(self, north: World, code: str) -> None:
        north.add(Account(name="Acme", code="acme", email_address="a@example.com"))
        (verdict,) = post(north, measurement("a", account=code))
        assert verdict["code"] == "invalid_account"
        assert "did you mean 'acme'" in verdict["reason"]
        north.add(Account(name=code, code=code, email_address="a@example.com"))
        assert verdicts(north, measurement("a", account=code)) == ["accepted"]

    def test_of_two_new_near_matches_in_one_request_the_first_is_created(self, north: World) -> None:
        members = (measurement("a", account="New"), measurement("b", account="new"), measurement("c", account="New"))
        assert verdicts(north, *members) == ["accepted", "invalid_account", "accepted"]

    def test_settings_can_let_measurements_of_unknown_accounts_wait(self, north: World) -> None:
        north.set(unknown_accounts=UnknownAccounts.QUEUE)
        assert verdicts(north, measurement("a")) == ["unknown_account"]
        assert list(north.organization().every(Account)) == []
        north.add(Account(name="Acme", code="acme", email_address="a@example.com"))
        assert verdicts(north, measurement("a")) == ["accepted"]

    def test_codes_that_a_client_makes_up_do_not_fill_the_memory(
        self, north: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(known, "MOST_REFUSED", 10)
        north.set(unknown_accounts=UnknownAccounts.QUEUE)
        directory = known.Directory(north.records, lambda: "new")
        for number in range(100):
            snapshot = directory.enrol(NORTH, [f"made up {number}"], NOW)
            assert f"made up {number}" in snapshot.refused
            assert len(snapshot.refused) <= 10
        assert (
            verdicts(north, *(measurement("x", account="a" * 100_000 + str(number)) for number in range(3)))
            == ["invalid_account"] * 3
        )

    def test_a_rejected_measurement_creates_no_account(self, north: World) -> None:
        assert verdicts(north, measurement("a", measure={}), measurement("b", meter="no")) == [
            "missing_field",
            "undefined_meter",
        ]
        assert list(north.organization().every(Account)) == []

    def test_a_changed_meter_is_seen_by_the_next_request(self, north: World) -> None:
        member = measurement("a", meter="late")
        assert verdicts(north, member) == ["undefined_meter"]
        fields = (DataField(code="model", name="Model", category=Category.WHAT),)
        north.add(Meter(name="Late", code="late", data_fields=fields, derived_fields=()))
        assert verdicts(north, member) == ["accepted"]

    def test_new_accounts_do_not_make_ingest_read_everything_again(self, north: World) -> None:
        directory = north.intake._directory
        post(north, measurement("a", account="first"))
        first = directory.current(NORTH)
        post(north, measurement("b", account="second"))
        second = directory.current(NORTH)
        assert first is not None
        assert second is not None
        assert second.schemas is first.schemas
        assert second.revision == north.organization().revision


class TestRequests:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"{",
            b'{"measurements":null}',
            b'{"measurements":{}}',
            b'{"measurements":[]}',
            b'{"measurements":[{}',
            b'{"measurements":[{}]} x',
            b'{"measurements":[{},]}',
            b'{"measurements":[NaN}',
            b'{1:2,"measurements":[NaN]}',
            b"\xef\xbb\xbf" + body(measurement("a")),
            b'{"measurements":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
            b'\xff{"measurements":[]}',
        ],
    )
    def test_a_body_of_another_shape_is_refused_as_a_whole(self, north: World, raw: bytes) -> None:
        refusal = refused(north, raw)
        assert refusal.code.name == "invalid_request"
        assert refusal.message.startswith(("body: ", "measurements: "))

    def test_at_most_1000_measurements(self, north: World) -> None:
        refusal = refused(north, body(*[b"{}"] * 1001))
        assert refusal.code.name == "invalid_request"
        assert "1,001" in refusal.message

    def test_at_most_512000_bytes(self, north: World) -> None:
        padded = body(measurement("a"))
        padded += b" " * (512_000 - len(padded))
        refusal = refused(north, padded + b" ")
        assert refusal.code.name == "payload_too_large"
        asyncio.run(north.intake.answer(NORTH, padded))
        assert north.journal.last == 1

    def test_an_unknown_organization_is_refused(self, north: World) -> None:
        assert refused(north, body(measurement("a")), organization="nobody").code.name == "forbidden"

    @pytest.mark.parametrize("more", ['"x":1', '"measurement":[1]', '"a":{"measurements":[1]}'])
    @pytest.mark.parametrize("number", ["1", "NaN", "1e5"])
    def test_other_keys_around_the_list_are_passed_over(self, north: World, more: str, number: str) -> None:
        member = b'{"uid":"bad","measure":{"x":%s}}' % number.encode()
        raw = b'{ %s , "measurements" :\n[%s , %s ] , %s }' % (
            more.encode(),
            member,
            body(measurement("a"))[17:-2],
            more.encode(),
        )
        asyncio.run(north.intake.answer(NORTH, raw))
        assert north.journaled() == [(NORTH, "a")]
        (failed,) = north.documents("failedmeasurement")
        assert failed["original"].encode() == member
