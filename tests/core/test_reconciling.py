"""Accuracy: what its formula says, for every tally; and what tells units, times and copies apart."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.reconciliation import AccuracyLevel
from tallystick.core.reconciliation_pairs import is_zone_shift
from tallystick.core.reconciliation_run import Cause, FindingKind
from tallystick.core.reconciliation_totals import Deviation, Evidence, explain_rest, explain_series
from tallystick.core.reconciling import (
    Tally,
    accuracy_of,
    factor_between,
    level_of,
    overall,
    percent,
    told_factor,
    told_shift,
)
from tallystick.core.twins import Seen, Twins

DAY = date(2026, 3, 1)
amounts = st.decimals(min_value=0, max_value=10**12, places=6)


@pytest.mark.parametrize(
    ("amiss", "source", "shown", "level"),
    [
        (0, 0, "100.00", AccuracyLevel.GOOD),
        (1, 0, "0.00", AccuracyLevel.RED),
        (0, 7, "100.00", AccuracyLevel.GOOD),
        (1, 10**9, "99.99", AccuracyLevel.GOOD),  # what is amiss always shows
        (49, 10_000, "99.51", AccuracyLevel.GOOD),
        (50, 10_000, "99.50", AccuracyLevel.WARNING),  # good is above 99.5%
        (4_999_999, 10**9, "99.50", AccuracyLevel.GOOD),  # by the exact share, not by what is shown
        (200, 10_000, "98.00", AccuracyLevel.WARNING),
        (201, 10_000, "97.99", AccuracyLevel.RED),
        (1, 3, "66.67", AccuracyLevel.RED),
        (5, 4, "0.00", AccuracyLevel.RED),
    ],
)
def test_accuracy_is_shown_to_the_hundredth_and_judged_exactly(
    amiss: int, source: int, shown: str, level: AccuracyLevel
) -> None:
    accuracy = accuracy_of(amiss, source)
    assert (str(percent(accuracy)), level_of(accuracy)) == (shown, level)


@given(st.lists(st.tuples(st.sampled_from(FindingKind), amounts), max_size=20), amounts)
def test_opposite_errors_never_cancel(errors: list[tuple[FindingKind, Decimal]], source: Decimal) -> None:
    """Each error takes away what it is of the source, whatever the others are."""
    tally = Tally()
    tally.counted(source, None)
    before = tally.accuracy
    for kind, quantity in errors:
        tally.amiss(kind, quantity)
        assert tally.accuracy <= before
        assert (tally.accuracy < before) == (quantity > 0 and before > 0)
        before = tally.accuracy
    amiss = sum((Fraction(each) for _, each in errors), Fraction(0))
    assert tally.accuracy == (max(Fraction(0), 1 - amiss / Fraction(source)) if source else Fraction(not amiss))


def test_measures_of_unlike_units_weigh_by_how_many_values_they_have() -> None:
    tokens, storage = Tally(), Tally()
    for _ in range(3):
        tokens.counted(Decimal(1), Decimal(1))
    storage.counted(Decimal(10**15), None)
    storage.amiss(FindingKind.MISSING, Decimal(10**15))
    assert overall([tokens, storage]) == Fraction(3, 4)
    assert overall([tokens]) == overall([tokens, Tally()]) == 1
    assert overall([]) == 1


@pytest.mark.parametrize(
    ("source", "product", "told"),
    [
        ("374", "748", "×2"),
        ("1500", "1.5", "×1/1000"),
        ("3", "3072", "×1024"),
        ("7", "2.333333333333333333", "×1/3"),
        ("100", "101", None),
        ("0", "5", None),
        ("5", "-10", None),
    ],
)
def test_factors_between_units_are_known(source: str, product: str, told: str | None) -> None:
    factor = factor_between(Decimal(source), Decimal(product))
    assert (None if factor is None else told_factor(factor)) == told


@pytest.mark.parametrize(
    ("seconds", "told", "zone"),
    [(3_600, "+1 h", True), (-19_800, "−5 h 30 min", True), (20_700, "+5 h 45 min", True), (61, "+1 min 1 s", False)],
)
def test_shifts_of_time_zones_are_quarters_of_hours(seconds: int, told: str, zone: bool) -> None:
    assert (told_shift(seconds), is_zone_shift(seconds)) == (told, zone)


def explained(*days: tuple[str, int, int | None, int | None], last: int = 30) -> dict[tuple[str, int], list[Cause]]:
    """The causes of (account, day, source, here), by account and day."""

    def number(value: int | None) -> Decimal | None:
        return None if value is None else Decimal(value)

    found = [Deviation(a, 0, DAY + timedelta(days=day), number(s), number(p)) for a, day, s, p in days if s != p]
    source: dict[str, dict[date, Decimal]] = {}
    for account, day, value, _ in days:
        if value is not None:
            source.setdefault(account, {})[DAY + timedelta(days=day)] = Decimal(value)
    for account in {each.account_id for each in found}:
        explain_series([each for each in found if each.account_id == account], Evidence(source.get(account, {})))
    explain_rest(found, {(account, 0): len(each) for account, each in source.items()}, DAY + timedelta(days=last))
    for each in found:
        assert sum(part for _, part, _ in each.parts) == each.difference, "the parts make the difference"
    return {(each.account_id, (each.day - DAY).days): [cause for cause, _, _ in each.parts] for each in found}


def test_totals_tell_units_accounts_day_edges_and_what_is_late_apart() -> None:
    assert explained(("a", 0, 10, 20), ("a", 1, 13, 26), ("a", 2, 7, 14)) == {
        ("a", day): [Cause.UNIT_FACTOR] for day in range(3)
    }
    # a is counted as b, which has its own besides; c lacks what it lacks.
    assert explained(("a", 0, 10, None), ("a", 1, 30, None), ("b", 0, 5, 15), ("b", 1, 6, 36), ("c", 0, 9, 8)) == {
        ("a", 0): [Cause.OTHER_ACCOUNT],
        ("a", 1): [Cause.OTHER_ACCOUNT],
        ("b", 0): [Cause.OTHER_ACCOUNT],
        ("b", 1): [Cause.OTHER_ACCOUNT],
        ("c", 0): [Cause.LOST],
    }
    assert explained(("a", 3, 100, 93), ("a", 4, 100, 107)) == {
        ("a", 3): [Cause.TIME_SHIFT],
        ("a", 4): [Cause.TIME_SHIFT],
    }
    assert explained(("a", 29, 100, 100), ("a", 30, 100, 20)) == {("a", 30): [Cause.LATE]}
    assert explained(("a", 29, 100, 20), ("a", 30, 100, 100)) == {("a", 29): [Cause.LOST]}
    assert explained(("a", 0, None, 4)) == {("a", 0): [Cause.ONLY_HERE]}


def test_copies_are_found_on_either_side_of_the_original() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    seen = [(40, "copy-after", "x", False), (30, "original", "x", True), (5, "copy-before", "x", False)]
    seen += [(4, "other", "y", False), (-40, "of the copy", "x", False), (-41, "twice", "y", False)]
    twins: Twins[None] = Twins(timedelta(seconds=60))
    found = []
    for seconds, uid, content, original in seen:
        found += list(twins.see(Seen(None, uid, content, at + timedelta(seconds=seconds), original)))
    found += list(twins.rest())
    assert {each.uid: each.twin for each in found} == {
        "copy-after": "original",
        "original": None,
        "copy-before": "original",
        "other": None,
        "of the copy": "original",
        "twice": "other",
    }
