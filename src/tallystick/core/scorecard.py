"""The scorecard of a month: how good metering and billing were, each measure green, amber or red."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import divide, multiply

_HUNDREDTHS = Rounding(decimals=2, mode=RoundingMode.HALF_EVEN)
HUNDRED = Decimal(100)


class Measure(StrEnum):
    """What is measured of a month."""

    METERING_ACCURACY = "METERING_ACCURACY"  # percent: the least of the reconciliations of its days
    INGEST_TO_VISIBLE = "INGEST_TO_VISIBLE"  # seconds from an accepted measurement to every answer
    PERIOD_END_TO_BILL = "PERIOD_END_TO_BILL"  # hours: nine in ten bills were there by then
    DISPUTES_PER_BILL = "DISPUTES_PER_BILL"  # percent of the bills
    DECISION_TO_LIVE = "DECISION_TO_LIVE"  # days from a price being kept to its start: nine in ten


class Light(StrEnum):
    """How good it was."""

    GREEN = "GREEN"
    AMBER = "AMBER"
    RED = "RED"
    NOT_MEASURED = "NOT_MEASURED"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a measure is green, and amber; beyond it is red. With `falling`, more is better."""

    green: Decimal
    amber: Decimal
    unit: str
    falling: bool = False


LIMITS = {
    Measure.METERING_ACCURACY: Limits(green=Decimal("99.5"), amber=Decimal(98), unit="%", falling=True),
    Measure.INGEST_TO_VISIBLE: Limits(green=Decimal(5), amber=Decimal(30), unit="s"),
    Measure.PERIOD_END_TO_BILL: Limits(green=Decimal(24), amber=Decimal(72), unit="h"),
    Measure.DISPUTES_PER_BILL: Limits(green=Decimal(1), amber=Decimal(3), unit="%"),
    Measure.DECISION_TO_LIVE: Limits(green=Decimal(7), amber=Decimal(30), unit="d"),
}


class Score(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One measure of a month: its value to the hundredth, null where there was nothing to measure; of how many things
    it was made, and up to where it is green and amber."""

    measure: Measure
    light: Light
    value: Decimal | None
    unit: str
    of: int
    green: Decimal
    amber: Decimal
    sentence: str


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of a calendar month of the organisation's time zone, such as 2025-01."""

    month: str
    scores: tuple[Score, ...]


def score(measure: Measure, value: Decimal | None, of: int, sentence: str) -> Score:
    """A value with its light. Accuracy must be above its limits; all else at or below them."""
    limits = LIMITS[measure]
    shown = None if value is None else round_money(value, _HUNDREDTHS)
    return Score(
        measure=measure,
        light=_light(shown, limits),
        value=shown,
        unit=limits.unit,
        of=of,
        green=limits.green,
        amber=limits.amber,
        sentence=sentence,
    )


def _light(value: Decimal | None, limits: Limits) -> Light:
    if value is None:
        return Light.NOT_MEASURED
    if limits.falling:
        return Light.GREEN if value > limits.green else Light.AMBER if value >= limits.amber else Light.RED
    return Light.GREEN if value <= limits.green else Light.AMBER if value <= limits.amber else Light.RED


def nine_in_ten(spans: Sequence[timedelta]) -> timedelta | None:
    """The span that nine in ten of them do not exceed (nearest rank); None of none."""
    if not spans:
        return None
    rank = -(-len(spans) * 9 // 10)
    return sorted(spans)[rank - 1]


def in_units(span: timedelta | None, unit: timedelta) -> Decimal | None:
    """How many units a span is long."""
    if span is None:
        return None
    microsecond = timedelta(microseconds=1)
    return divide(Decimal(span // microsecond), Decimal(unit // microsecond))


def share(part: int, whole: int) -> Decimal | None:
    """How many percent a part is; None of nothing."""
    return divide(multiply(Decimal(part), HUNDRED), Decimal(whole)) if whole else None
