"""Identities: who has one at a time, and what is kept of its value."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.core.entity import Entity
from tallystick.core.identity import Identity, SentIdentity, decisive, hash_of, hint_of, kept
from tallystick.core.period import Instant

ANN, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def identity(account: str = ANN, start: str | None = None, end: str | None = None, priority: int = 0) -> Identity:
    def of(text: str | None) -> Instant | None:
        return None if text is None else Instant.parse(text)

    return Identity(
        type="key", hash="0" * 32, account_id=account, start_date=of(start), end_date=of(end), priority=priority
    )


def entity(value: Identity, id: str) -> Entity[Any]:
    now = Instant.parse("2025-01-01")
    return Entity(id=id, version=1, value=value, created=now, created_by="t", modified=now, modified_by="t")


@pytest.mark.parametrize(
    ("moment", "account"),
    [
        ("2024-12-31T23:59:59.999999Z", None),
        ("2025-01-01T00:00:00Z", ANN),
        ("2025-02-28T23:59:59.999999Z", ANN),
        ("2025-03-01T00:00:00Z", BOB),  # the end does not belong to it
        ("2025-05-10T00:00:00Z", ANN),  # a higher priority, for a day
        ("2025-05-11T00:00:00Z", BOB),
    ],
)
def test_who_has_an_identity_at_a_time(moment: str, account: str | None) -> None:
    entries = [
        entity(identity(ANN, "2025-01-01", "2025-03-01"), "1"),
        entity(identity(BOB, "2025-03-01"), "2"),
        entity(identity(ANN, "2025-05-10", "2025-05-11", priority=5), "3"),
    ]
    for order in (entries, entries[::-1]):
        found = decisive(order, Instant.parse(moment))
        assert (found and found.value.account_id) == account


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ((None, None), (None, None), True),
        ((None, "2025-03-01"), ("2025-03-01", None), False),
        ((None, "2025-03-02"), ("2025-03-01", None), True),
        (("2025-01-01", "2025-02-01"), ("2025-02-01", "2025-03-01"), False),
        (("2025-01-01", "2025-12-01"), ("2025-02-01", "2025-03-01"), True),
    ],
)
def test_which_overlap(one: tuple[str | None, str | None], other: tuple[str | None, str | None], overlap: bool) -> None:
    first, second = identity(ANN, *one), identity(BOB, *other)
    assert first.overlaps(second) is second.overlaps(first) is overlap


def test_a_hash_is_of_the_key_the_organisation_the_type_and_the_value() -> None:
    base = (b"k" * 32, ANN, "key", "secret")
    others = [(b"l" * 32, *base[1:]), (base[0], BOB, *base[2:]), (*base[:2], "wallet", base[3]), (*base[:3], "secreT")]
    assert len({hash_of(*each) for each in (base, *others)}) == 5
    # Parts are told apart: no value can pass for another type's.
    assert hash_of(b"k", ANN, "a", "b:c") != hash_of(b"k", ANN, "a:b", "c")


@pytest.mark.parametrize(
    ("sensitive", "value", "expected"),
    [
        (True, "sk_live_0123456789abcdef", (None, "cdef")),
        (True, "short", (None, None)),
        (False, "workspace-7", ("workspace-7", None)),
    ],
)
def test_a_secret_is_not_kept_in_words(sensitive: bool, value: str, expected: tuple[str | None, str | None]) -> None:
    found = kept(SentIdentity(type="key", value=value, sensitive=sensitive), "0" * 32)
    assert (found.value, found.hint) == expected
    assert hint_of("x" * 12 + "\n\n\n\n") is None


def test_an_end_before_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="endDate"):
        identity(ANN, "2025-02-01", "2025-02-01")
