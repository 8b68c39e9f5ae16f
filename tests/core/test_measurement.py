"""What makes a measurement valid, and what makes two of them the same."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.measurement import (
    MAPS,
    Measurement,
    Schema,
    account_code_fault,
    content_digest,
    numbers_of,
    read_time,
    sent_time,
    uid_key,
    validate,
)
from tallystick.core.measurement_reading import JournalEntry, given_uid, pack, read_measurement, unpack
from tallystick.core.period import Instant
from tallystick.errors import Rejection

NOW = Instant.parse("2025-06-01T12:00:00Z")
TOLERANCE = timedelta(seconds=300)
SCHEMA = Schema("m" * 36, 1, (("model", MAPS.index("what")), ("tokens", MAPS.index("measure"))))
GOOD = {
    "account": "acme",
    "meter": "llm",
    "ts": "2025-06-01T10:00:00Z",
    "what": {"model": "small"},
    "measure": {"tokens": 10},
}


def read(text: str | bytes) -> Measurement:
    measurement = read_measurement(text if isinstance(text, bytes) else text.encode())
    assert isinstance(measurement, Measurement), measurement
    return measurement


def sent(**changes: Any) -> str:
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not None})


def judged(text: str | bytes) -> str:
    """ "accepted", or the code and the field of the rejection."""
    raw = text if isinstance(text, bytes) else text.encode()
    measurement = read_measurement(raw)
    found = measurement if isinstance(measurement, Rejection) else validate(measurement, SCHEMA, NOW, TOLERANCE)
    if isinstance(found, Rejection):
        assert found.field is None or found.reason.startswith(found.field), found
        return f"{found.code} {found.field or '-'}"
    return "accepted"


class TestFields:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "accepted"),
            ({"what": {"model": ""}}, "accepted"),
            ({"measure": {"tokens": 0}}, "accepted"),
            ({"measure": {"tokens": -5}}, "accepted"),
            ({"who": None, "where": {}, "ets": None}, "accepted"),
            ({"what": {"model": "small", "else": "kept"}, "cost": {"usd": 1}}, "accepted"),
            ({"unheard": {"of": [1, 2]}}, "accepted"),
            ({"measure": None}, "missing_field measure.tokens"),
            ({"measure": {}}, "missing_field measure.tokens"),
            ({"what": {"Model": "small"}}, "missing_field what.model"),
            ({"what": {}, "who": {"model": "small"}}, "wrong_category who.model"),
            ({"measure": {}, "income": {"tokens": 1}}, "wrong_category income.tokens"),
            ({"who": {"model": "small"}}, "duplicate_field what.model"),
            ({"cost": {"tokens": 1}}, "duplicate_field cost.tokens"),
            ({"who": {"x": "1"}, "where": {"x": "1"}}, "duplicate_field where.x"),
        ],
    )
    def test_declared_fields_sit_in_their_maps_once(self, changes: dict[str, Any], expected: str) -> None:
        assert judged(sent(**changes)) == expected


class TestTexts:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"metadata": {"note": "x" * 256}}, "accepted"),
            ({"metadata": {"note": "x" * 257}}, "invalid_text metadata.note"),
            ({"other": {"note": "x" * 1024}}, "accepted"),
            ({"other": {"note": "x" * 1025}}, "invalid_text other.note"),
            ({"what": {"model": 5}}, "invalid_text what.model"),
            ({"what": {"model": None}}, "invalid_text what.model"),
            ({"what": {"model": ["small"]}}, "invalid_text what.model"),
            ({"what": ["model"]}, "invalid_measurement what"),
            ({"uid": "u" * 50}, "accepted"),
            ({"uid": ""}, "accepted"),
            ({"uid": "u" * 51}, "invalid_text uid"),
            ({"uid": "a\nb"}, "invalid_text uid"),
            ({"uid": "a\0b"}, "invalid_text uid"),
            ({"uid": "\u00a0é日"}, "accepted"),
            ({"uid": 7}, "invalid_text uid"),
            ({"account": 7}, "invalid_measurement account"),
            ({"meter": None}, "invalid_measurement meter"),
            ({"ts": 1748772000}, "invalid_timestamp ts"),
        ],
    )
    def test_texts_have_types_and_limits(self, changes: dict[str, Any], expected: str) -> None:
        assert judged(sent(**changes)) == expected

    @pytest.mark.parametrize(
        ("member", "expected"),
        [
            (b"5", "invalid_measurement -"),
            (b"null", "invalid_measurement -"),
            (b"[]", "invalid_measurement -"),
            (b"{}", "invalid_measurement account"),
            (b'{"account":"a","meter":"llm"}', "invalid_measurement ts"),
            (rb'{"account":"a","meter":"llm","ts":"2025-06-01","what":{"model":"\ud800"}}', "invalid_measurement -"),
            (b'{"account":"a","meter":"llm","ts":"2025-06-01","what":{"model":"\xff"}}', "invalid_text what.model"),
            (
                b'{"account":"a","meter":"llm","ts":"2025-06-01","what":' + b"[" * 9999 + b"]" * 9999 + b"}",
                "invalid_measurement -",
            ),
        ],
    )
    def test_what_cannot_be_read_says_where(self, member: bytes, expected: str) -> None:
        assert judged(member) == expected

    @pytest.mark.parametrize(
        ("code", "good"),
        [("acme", True), ("Acme Corp.", True), ("é", True), ("x" * 80, True)]
        + [(each, False) for each in ("", " ", " acme", "acme ", "a\tb", "a\0", "x" * 81, "\u0085")],
    )
    def test_account_codes(self, code: str, good: bool) -> None:
        assert (account_code_fault(code) is None) is good

    @pytest.mark.parametrize(
        ("member", "uid"),
        [
            (b'{"uid":"a"}', "a"),
            (b'{"uid":5}', None),
            (b"5", None),
            (b'{"uid":""}', None),
            (b'{"uid":"\\u0000"}', None),
        ],
    )
    def test_the_uid_of_what_cannot_be_read(self, member: bytes, uid: str | None) -> None:
        assert given_uid(member) == uid


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "exact"),
        [
            ("1e-05", "0.00001"),
            ("0.1", "0.1"),
            ("1234567890123456789", "1234567890123456789"),
            ("99999999999999999999", "99999999999999999999"),
            ("-99999999999999999999.5", "-99999999999999999999.5"),
            ("123456789.123456789123456789", "123456789.123456789123456789"),
            ("3.3333333333333335e-07", "0.000000333333333333"),
            ("1e-400", "0"),
            ("-0.0", "0"),
            ("1E+3", "1000"),
        ],
    )
    def test_numbers_are_read_exactly_and_rounded_once(self, number: str, exact: str) -> None:
        text = sent().replace("10}", f"{number}}}")
        assert judged(text) == "accepted"
        assert numbers_of(read(text).measure) == {"tokens": Decimal(exact)}

    @pytest.mark.parametrize(
        "number",
        [
            *("1e20", "-1e20", "100000000000000000000", "1e400", "1E+999999", "1e99999999999999999999", "9" * 5000),
            *('"5"', "true", "null", "[5]", "{}", "99999999999999999999.9999999999999999999"),
        ],
    )
    def test_what_is_no_usable_number_is_rejected(self, number: str) -> None:
        assert judged(sent().replace("10}", f"{number}}}")) == "invalid_number measure.tokens"

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "１", "0x10"])
    def test_what_json_does_not_know_is_no_measurement(self, number: str) -> None:
        assert judged(sent().replace("10}", f"{number}}}")).startswith("invalid_measurement")

    def test_undeclared_numbers_are_held_to_the_same_rule(self) -> None:
        assert judged(sent(income={"usd": "5"})) == "invalid_number income.usd"

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
    @settings(max_examples=50, deadline=None)
    def test_any_decimal_of_18_places_survives(self, number: Decimal) -> None:
        text = sent().replace("10}", f"{number:f}}}")
        assert numbers_of(read(text).measure) == {"tokens": number}


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2025-06-01T10:00:00Z", "2025-06-01T10:00:00Z"),
            ("2025-06-01T10:00:00+14:00", "2025-05-31T20:00:00Z"),
            ("2025-06-01T10:00:00-05:30", "2025-06-01T15:30:00Z"),
            ("2025-06-01T10:00:00", "2025-06-01T10:00:00Z"),
            ("2025-06-01", "2025-06-01T00:00:00Z"),
            ("20250601T102400", "2025-06-01T10:24:00Z"),  # its 24 is no hour
            ("2025-06-01 10:00:00.9799609", "2025-06-01T10:00:00.979960Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00Z"),
            ("2261-12-31T23:59:59Z", "2261-12-31T23:59:59Z"),
            ("2025-06-01 10:00:00 +0200", "2025-06-01T08:00:00Z"),
            ("20250601T100000,5", "2025-06-01T10:00:00.5Z"),
            ("2025W227T10+02", "2025-06-01T08:00:00Z"),
        ],
    )
    def test_offsets_naive_times_and_dates_become_utc(self, text: str, instant: str) -> None:
        assert sent_time(text) == Instant.parse(instant)
        assert sent_time(text).utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "now", "2025-02-30", "2025-06-01T24:00:00", "2025-06-01T10:00:60Z", "2025-13-01", "0001-01-01"),
            *("9999-12-31", "10000-01-01", "1969-12-31T23:59:59Z", "2262-01-01", "2025-06-01T10:00:00+25:00"),
            *("２０２５-06-01", "1748772000", "20250601T240000Z", "2025-W22-7T24:00:00", "2025-06-01x24:00"),
            *("2025-06-01T10:00:020Z", "20250601T02400Z", "2025-06-01T10:00.5Z", "2025-06-01010Z"),  # slips
            *("2025-06-01T10:00:00Z\0", "2025-06-01T10:00:00\0Z", "2025-06-01\n10:00", "2025-06-01T10:00:00xZ"),
            *("2025-06-01T10:00:00.123456１Z", "2025-06-01T10:00:00.1234567x9Z", "2025-06-01T10:00:00.Z"),
        ],
    )
    def test_what_is_no_usable_time_is_rejected(self, text: str) -> None:
        assert judged(sent(ts=text)) == "invalid_timestamp ts"
        assert judged(sent(ets=text)) == "invalid_timestamp ets"

    def test_what_an_earlier_version_accepted_stays_readable(self) -> None:
        assert read_time("2025-06-01x10:00:00Z") == Instant.parse("2025-06-01T10:00:00Z")

    @pytest.mark.parametrize(
        ("ts", "expected"),
        [
            ("2025-06-01T12:05:00Z", "accepted"),
            ("2025-06-01T12:05:00.000001Z", "timestamp_in_future ts"),
            ("2025-06-01T14:05:00+02:00", "accepted"),
            ("2030-01-01", "timestamp_in_future ts"),
        ],
    )
    def test_the_future_is_refused_beyond_the_tolerance(self, ts: str, expected: str) -> None:
        assert judged(sent(ts=ts)) == expected

    @pytest.mark.parametrize(
        ("ets", "expected"),
        [
            ("2025-06-01T10:00:00Z", "accepted"),
            ("2025-06-01T12:00:00+02:00", "accepted"),
            ("2030-01-01", "accepted"),
            ("2025-06-01T09:59:59.999999Z", "invalid_timestamp ets"),
        ],
    )
    def test_an_event_does_not_end_before_it_starts(self, ets: str, expected: str) -> None:
        assert judged(sent(ets=ets)) == expected


class TestContent:
    SAME = (
        '{"account":"acme","meter":"llm","ts":"2025-06-01T10:00:00Z",'
        '"what":{"model":"s","b":"2"},"measure":{"tokens":1}}'
    )

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("10:00:00Z", "10:00:00+00:00"),
            ("10:00:00Z", "12:00:00+02:00"),
            ("T10:00:00Z", " 10:00"),
            ("T10:00:00Z", "T10"),
            ('"s","b":"2"', '"\\u0073", "b" : "2"'),
            ('"model":"s","b":"2"', '"b":"2","model":"s"'),
            ('"tokens":1', '"tokens":1.0'),
            ('"tokens":1', '"tokens":10e-1'),
            ('"tokens":1', '"tokens":1.0000000000000000000001'),
            ('"account":"acme","meter":"llm"', '"meter":"llm","account":"acme"'),
            ('"account"', '"uid":"x","account"'),
            ('"account"', '"ets":null,"who":{},"cost":null,"unheard":"of","account"'),
        ],
    )
    def test_another_spelling_is_the_same_content(self, before: str, after: str) -> None:
        assert before in self.SAME
        assert content_digest(read(self.SAME.replace(before, after))) == content_digest(read(self.SAME))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("acme", "acme2"),
            ("llm", "llm2"),
            ("10:00:00Z", "10:00:01Z"),
            ("10:00:00Z", "10:00:00.000001Z"),
            ('"s"', '"S"'),
            ('"what"', '"where"'),
            ("1}}", "1.000000000000000001}}"),
            ("1}}", "-1}}"),
            ("1}}", '1,"more":0}}'),
            ('"measure"', '"ets":"2025-06-01T11:00:00Z","measure"'),
        ],
    )
    def test_any_other_part_makes_other_content(self, before: str, after: str) -> None:
        assert content_digest(read(self.SAME.replace(before, after))) != content_digest(read(self.SAME))

    @pytest.mark.parametrize("number", [0, 1, -1, 10**18 - 1, 10**18, -(10**18), 2**63 - 1, 2**63, 2**64, 10**20 - 1])
    def test_whole_numbers_have_one_spelling(self, number: int) -> None:
        one, other = (self.SAME.replace('"tokens":1', f'"tokens":{text}') for text in (f"{number}", f"{number}.0"))
        assert content_digest(read(one)) == content_digest(read(other))

    def test_validation_gives_the_digest_that_recovery_computes(self) -> None:
        measurement = read(sent(ets="2025-06-01T11:00:00Z", cost={"usd": "1.50"}).replace('"1.50"', "1.50"))
        accepted = validate(measurement, SCHEMA, NOW, TOLERANCE)
        assert not isinstance(accepted, Rejection)
        assert accepted.content == content_digest(measurement)
        assert len(accepted.content) == 16


class TestIdentity:
    def test_a_key_has_16_bytes_and_depends_on_both_parts(self) -> None:
        keys = {uid_key(organization, uid) for organization in ("north", "south") for uid in ("a", "b", "", "é")}
        assert len(keys) == 8
        assert {len(key) for key in keys} == {16}

    def test_the_key_is_kept_on_disk_and_must_never_change(self) -> None:
        assert uid_key("00000000-0000-4000-8000-000000000001", "a").hex() == KNOWN_KEY
        assert content_digest(read(TestContent.SAME)) == xxhash.xxh3_128_digest(KNOWN_CONTENT)

    def test_organizations_do_not_share_the_start_of_their_keys(self) -> None:
        assert uid_key("north", "a")[:4] == uid_key("north", "b")[:4]
        assert uid_key("north", "a")[:4] != uid_key("south", "a")[:4]

    def test_an_entry_comes_back_as_it_was_packed(self) -> None:
        entry = JournalEntry(account_id="a", meter_id="m", meter_version=3, uid="é", original=b'{"x": 1}')
        assert unpack(pack(entry)) == entry


KNOWN_KEY = "1109335914b22041262002b86252d48c"
# TestContent.SAME byte by byte, in msgpack: the shape is ["llm", [[5, "tokens"]], [[1, "b"], [1, "model"]]].
KNOWN_SHAPE = b"\x93\xa3llm\x91\x92\x05\xa6tokens\x92\x92\x01\xa1b\x92\x01\xa5model"
KNOWN_CONTENT = (
    b"\x95"  # five parts
    b"\xc4\x10"
    + xxhash.xxh3_128_digest(KNOWN_SHAPE)
    + b"\xc4\x18"  # 24 bytes:
    + (1_748_772_000 * 10**6).to_bytes(8, "little")  # 2025-06-01T10:00:00Z
    + (10**18).to_bytes(16, "little")  # 1 with 18 decimals
    + b"\xa4acme\xa12\xa1s"
)
