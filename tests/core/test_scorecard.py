"""Scores: which light a value has, and what stands for many."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tallystick.core.scorecard import Measure, in_units, nine_in_ten, score, share


@pytest.mark.parametrize(
    ("measure", "value", "light"),
    [
        ("METERING_ACCURACY", "99.51", "GREEN"),
        ("METERING_ACCURACY", "99.5", "AMBER"),
        ("METERING_ACCURACY", "98", "AMBER"),
        ("METERING_ACCURACY", "97.99", "RED"),
        ("INGEST_TO_VISIBLE", "5", "GREEN"),
        ("INGEST_TO_VISIBLE", "5.01", "AMBER"),
        ("INGEST_TO_VISIBLE", "30.01", "RED"),
        ("PERIOD_END_TO_BILL", "24", "GREEN"),
        ("PERIOD_END_TO_BILL", "72", "AMBER"),
        ("PERIOD_END_TO_BILL", "72.5", "RED"),
        ("DISPUTES_PER_BILL", "1", "GREEN"),
        ("DISPUTES_PER_BILL", "3", "AMBER"),
        ("DISPUTES_PER_BILL", "3.004", "AMBER"),  # to the hundredth, as it is shown
        ("DISPUTES_PER_BILL", "3.01", "RED"),
        ("DECISION_TO_LIVE", "7", "GREEN"),
        ("DECISION_TO_LIVE", "31", "RED"),
    ],
)
def test_which_light_a_value_has(measure: str, value: str, light: str) -> None:
    assert score(Measure(measure), Decimal(value), 1, "").light == light


def test_nothing_to_measure_has_no_light() -> None:
    assert score(Measure.DISPUTES_PER_BILL, share(0, 0), 0, "").light == "NOT_MEASURED"


@pytest.mark.parametrize(
    ("hours", "found"),
    [([], None), ([3], 3), ([1, 2, 3, 4, 5, 6, 7, 8, 9, 100], 9), ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 100], 9)],
)
def test_nine_in_ten(hours: list[int], found: int | None) -> None:
    """By hand: the ninth of ten; of eleven the tenth, which is the least that nine in ten do not exceed."""
    span = nine_in_ten([timedelta(hours=each) for each in hours])
    assert in_units(span, timedelta(hours=1)) == found


def test_shares_and_units_are_exact() -> None:
    assert share(1, 8) == Decimal("12.5")
    assert in_units(timedelta(minutes=90), timedelta(hours=1)) == Decimal("1.5")
