"""What day is out of the ordinary: its own weekday says, and the month before."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.unusual import Day, Turn, jump, unusual

SPIKE, DROP = Turn.SPIKE, Turn.DROP_TO_ZERO
WORKWEEK = [100, 100, 100, 100, 100, 0, 0] * 4  # four weeks; the day that follows has the weekday of the first
DAILY = [100] * 28
RISING = [100] * 21 + [100, 100, 100, 250, 100, 100, 100]


def days(values: list[int], each: int = 1) -> list[Day]:
    """Days with measurements of `each`."""
    return [Day(Decimal(value), value // each) for value in values]


ROWS = [
    # what is the day, after which, what is it, what is usual
    ("three times the usual", 300, DAILY, SPIKE, 100),
    ("not quite three times", 299, DAILY, None, None),
    ("forty times", 4000, DAILY, SPIKE, 100),
    ("no more than on a day before", 300, [100] * 20 + [300] + [100] * 7, None, None),
    ("one wild day does not make wildness usual", 4000, [*[100] * 13, 3999, *[100] * 14], SPIKE, 100),
    ("a Monday like Mondays", 100, WORKWEEK, None, None),
    ("a Saturday like a Monday", 100, WORKWEEK + [100] * 5, None, None),
    ("a Saturday like ten Mondays", 1000, WORKWEEK + [100] * 5, SPIKE, 100),
    ("no usage on a Monday", 0, WORKWEEK, DROP, 100),
    ("no usage on a Saturday", 0, WORKWEEK + [100] * 5, None, None),
    ("less, not nothing", 1, DAILY, None, None),
    ("too new to say", 4000, [0] * 22 + [100] * 6, None, None),
    ("a week is enough for a spike", 300, [0] * 21 + [100] * 7, SPIKE, 100),
    ("one week is not enough for a drop", 0, [0] * 21 + [100] * 7, None, None),
    ("two weeks are", 0, [0] * 14 + [100] * 14, DROP, 100),
    ("few measurements rise by chance", 9, [3] * 28, None, None),
    (
        "few and irregular ones fail to come by chance",
        0,
        [3, 0, 2, 3, 1, 0, 4] * 2 + [3, 1, 2, 3, 1, 0, 4] * 2,
        None,
        None,
    ),
    ("few ones as regular as the week do not", 0, [1] * 28, DROP, 1),
    ("also where one came out of line", 0, [1] * 13 + [0] + [1] * 15, DROP, 1),
    ("nor do they on the days after they ceased", 0, [1] * 27 + [0], DROP, 1),
    ("never anything", 0, [0] * 30, None, None),
    ("the first usage", 4000, [0] * 30, None, None),
    ("a day of the month before does not count", 300, [999] + [100] * 30, SPIKE, 100),
]


@pytest.mark.parametrize(("name", "value", "before", "turn", "usual"), ROWS, ids=[row[0] for row in ROWS])
def test_days(name: str, value: int, before: list[int], turn: Turn | None, usual: int | None) -> None:
    found = unusual(days([value])[0], days(before))
    assert (None if found is None else found.turn, None if found is None else found.usual) == (turn, usual)


def test_one_large_measurement_is_a_spike_though_it_is_one() -> None:
    usually = [Day(Decimal(100), 1)] * 28
    found = unusual(Day(Decimal(4000), 1), usually)
    assert found is not None
    assert (found.turn, found.measured, found.usual) == (SPIKE, 4000, 100)


def test_what_is_usual_lies_half_way_between_two_middle_days_exactly() -> None:
    values = [Decimal("0.1"), Decimal("0.2"), Decimal("0.4"), Decimal(8)]
    before = [Day(value, 100) for value in values for _ in range(7)]
    found = unusual(Day(Decimal(9), 100), before)
    assert found is not None
    assert found.usual == Decimal("0.3")


def test_a_day_that_goes_on_can_be_a_spike_already_but_not_a_drop() -> None:
    assert unusual(Day(Decimal(400), 400), days(DAILY), over=False) is not None
    assert unusual(Day(Decimal(0), 0), days(DAILY), over=False) is None


def test_policies_move_the_bounds() -> None:
    assert unusual(Day(Decimal(299), 299), days(DAILY), times=Decimal("2.9")) is not None
    assert unusual(Day(Decimal(9), 9), days([3] * 28), least=9) is not None


JUMPS = [
    (50, [0] * 30, 0),  # from nothing
    (49, [0] * 30, None),  # too few to matter
    (300, [100] * 30, 100),
    (299, [100] * 30, None),
    (300, [100] * 29 + [300], None),  # as on the day before
    (300, [], 0),  # nothing is known: there had better be none
]


@pytest.mark.parametrize(("count", "before", "usual"), JUMPS)
def test_jumps(count: int, before: list[int], usual: int | None) -> None:
    assert jump(count, before) == usual


@given(
    value=st.decimals(0, 10**12, places=6),
    before=st.lists(st.decimals(0, 10**12, places=6), max_size=40),
    factor=st.integers(1, 10**6),
)
def test_the_unit_of_what_is_measured_does_not_matter(value: Decimal, before: list[Decimal], factor: int) -> None:
    def counted(amounts: list[Decimal], by: int) -> list[Day]:
        return [Day(each * by, 100 if each else 0) for each in amounts]

    plain = unusual(counted([value], 1)[0], counted(before, 1))
    scaled = unusual(counted([value], factor)[0], counted(before, factor))
    assert (plain and (plain.turn, plain.usual * factor)) == (scaled and (scaled.turn, scaled.usual))


@given(before=st.lists(st.integers(0, 10**6), max_size=40), value=st.integers(1, 10**7), more=st.integers(0, 10**7))
def test_more_is_never_less_of_a_spike(before: list[int], value: int, more: int) -> None:
    if unusual(Day(Decimal(value), value), days(before)) is not None:
        assert unusual(Day(Decimal(value + more), value + more), days(before)) is not None
