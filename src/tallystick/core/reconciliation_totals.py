"""Totals of days that disagree: what makes the difference, most likely, and how much of it each cause makes.

What is known for certain goes first (duplicates that are there, what came late), then what would explain a whole series
of days at once (a time zone, another account, a unit), then what two accounts or two days have of each other. The rest
was lost, or is only here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from tallystick.core.quantity import ZERO, add, divide, multiply, negate, subtract, tidy, total
from tallystick.core.reconciliation_run import Cause, FindingKind
from tallystick.core.reconciling import near_factor, told_factor, told_shift

DAY = timedelta(days=1)
TWO = Decimal(2)
NEAR = Decimal("0.1")  # what two have of each other agrees to a tenth, for either may have other faults
FACTOR_NEAR = Fraction(2, 100)
FACTOR_BY_DAY = Fraction(1, 4)
ANY = Fraction(1)
MOST_WHOLE_ACCOUNTS = 200  # that are looked for elsewhere, those that lack most
SHIFT_LEAVES = Decimal("0.6")  # a time zone must take away more than two fifths of what is amiss

Series = tuple[str, int]  # an account and a measure (its place in the list)


@dataclass(slots=True)
class Deviation:
    """A day of a series on which the totals disagree. `left` is what no cause explains yet; `parts` what they do."""

    account_id: str
    measure: int
    day: date
    source: Decimal | None
    product: Decimal | None
    left: Decimal = ZERO
    parts: list[tuple[Cause, Decimal, str]] = field(default_factory=list)
    other_account_id: str | None = None
    example: str | None = None  # the uid of a duplicate

    def __post_init__(self) -> None:
        self.left = subtract(self.product or ZERO, self.source or ZERO)

    @property
    def kind(self) -> FindingKind:
        """By the difference of the totals alone."""
        if self.product is None:
            return FindingKind.MISSING
        return FindingKind.EXTRA if self.source is None else FindingKind.DIFFERING

    @property
    def quantity(self) -> Decimal:
        """What it counts in the accuracy."""
        return self.difference.copy_abs()

    @property
    def difference(self) -> Decimal:
        """How much more is counted here, signed."""
        return subtract(self.product or ZERO, self.source or ZERO)

    @property
    def cause(self) -> tuple[Cause, str]:
        """What makes most of it, with what there is to say of that."""
        cause, _, detail = max(self.parts, key=lambda each: each[1].copy_abs())
        return cause, detail

    def explain(self, cause: Cause, quantity: Decimal, detail: str = "") -> None:
        """A part of the difference, signed, is explained."""
        if quantity:
            self.parts.append((cause, tidy(quantity), detail))
            self.left = subtract(self.left, quantity)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a series beyond its totals. `source` has all its days as the source counts them. `duplicates`:
    by day, what copies of other measurements come to, and the uid of one. `later`: by day, what came after the position
    that is compared. `shifted`: how its days would come out if everything were so many seconds earlier, by seconds, 0
    among them."""

    source: Mapping[date, Decimal]
    duplicates: Mapping[date, tuple[Decimal, str]] = field(default_factory=dict)
    later: Mapping[date, Decimal] = field(default_factory=dict)
    shifted: Mapping[int, Mapping[date, Decimal]] = field(default_factory=dict)


def explain_series(days: Sequence[Deviation], evidence: Evidence) -> None:
    """Find what makes the difference on the days of a series that disagree, as far as the series itself tells."""
    _duplicates(days, evidence)
    for each in days:
        later = evidence.later.get(each.day, ZERO)
        if add(each.left, later).copy_abs() < each.left.copy_abs():
            each.explain(Cause.LATE, negate(later), "came after what is compared")
    _shift(days, evidence)


def explain_rest(deviations: Sequence[Deviation], days_of: Mapping[Series, int], last: date) -> None:
    """Find the causes of what is left: in what accounts have of each other, in units, in days side by side, and else by
    its sign. `days_of` says on how many days the source has each series; `last` is the last day of the period."""
    by_series: dict[Series, list[Deviation]] = {}
    for each in deviations:
        by_series.setdefault((each.account_id, each.measure), []).append(each)
    _whole_accounts(by_series)
    for series, days in by_series.items():
        _factor(days, days_of.get(series, 0))
    _same_amounts(deviations)
    for days in by_series.values():
        _day_edges(days)
        _rest(days, last)


def _sum(values: Iterable[Decimal]) -> Decimal:
    return total(each.copy_abs() for each in values)


def _duplicates(days: Sequence[Deviation], evidence: Evidence) -> None:
    """Copies are a cause where taking them out brings a series nearer to the source, or a day."""
    found = {each.day: evidence.duplicates.get(each.day) for each in days}
    without = [subtract(each.left, (found[each.day] or (ZERO, ""))[0]) for each in days]
    all_of_them = _sum(without) < _sum(each.left for each in days)
    for each, left in zip(days, without, strict=True):
        copies = found[each.day]
        if copies is not None and (all_of_them or left.copy_abs() < each.left.copy_abs()):
            each.explain(Cause.DUPLICATE, copies[0])
            each.example = copies[1]


def _shift(days: Sequence[Deviation], evidence: Evidence) -> None:
    """A time zone: with all of it so much earlier or later, the whole series comes out as the source has it."""
    if len(days) < 2 or not evidence.shifted:
        return
    shifted, source = evidence.shifted, evidence.source
    explained = {each.day: subtract(each.difference, each.left) for each in days}

    def left_by(shift: int) -> Decimal:
        every = source.keys() | shifted[shift].keys()
        apart = ((day, subtract(shifted[shift].get(day, ZERO), source.get(day, ZERO))) for day in every)
        return _sum(subtract(by, explained.get(day, ZERO)) for day, by in apart)

    best = min((shift for shift in shifted if shift), key=lambda each: (left_by(each), abs(each)), default=None)
    if best is None or left_by(best) > multiply(_sum(each.left for each in days), SHIFT_LEAVES):
        return
    for each in days:
        moved = subtract(shifted[0].get(each.day, ZERO), shifted[best].get(each.day, ZERO))
        each.explain(Cause.TIME_SHIFT, moved, told_shift(best))


def _factor(days: Sequence[Deviation], of_source: int) -> None:
    """A unit: the days of the series that the source has come out by the same factor, in the middle and for the most
    part."""
    ratios = {
        each.day: Fraction(add(each.source, each.left)) / Fraction(each.source)
        for each in days
        if each.source and each.product
    }
    if not ratios or (2 * len(ratios) <= of_source and of_source > 1):
        return
    factor = near_factor(sorted(ratios.values())[len(ratios) // 2], FACTOR_NEAR)
    if factor is None:
        return
    apart = {day: abs(ratio / factor - 1) for day, ratio in ratios.items()}
    if 2 * sum(each <= FACTOR_NEAR for each in apart.values()) < len(ratios):
        return
    for each in days:
        if apart.get(each.day, ANY) <= FACTOR_BY_DAY:  # what is lost besides, of a day, is told by itself
            each.explain(Cause.UNIT_FACTOR, _by_factor(each, factor), told_factor(factor))


def _by_factor(deviation: Deviation, factor: Fraction) -> Decimal:
    """(factor − 1) × source, or all that is left where that is the same."""
    source = deviation.source or ZERO
    if Fraction(deviation.left) == Fraction(source) * (factor - 1):
        return deviation.left
    more = multiply(source, Decimal(factor.numerator - factor.denominator))
    return divide(more, Decimal(factor.denominator))


def _whole_accounts(by_series: Mapping[Series, Sequence[Deviation]]) -> None:
    """An account that lacks most of what the source has, day by day, and another that has as much too much on just
    those days."""
    having: dict[int, dict[str, dict[date, Deviation]]] = {}
    lacking: list[tuple[Decimal, Series]] = []
    for (account_id, measure), days in by_series.items():
        left = total(each.left for each in days)
        if left > 0:
            having.setdefault(measure, {})[account_id] = {each.day: each for each in days}
        elif multiply(left.copy_abs(), TWO) >= _sum(each.source or ZERO for each in days) > 0:
            lacking.append((left, (account_id, measure)))
    for _, series in sorted(lacking)[:MOST_WHOLE_ACCOUNTS]:
        days = [each for each in by_series[series] if each.left < 0]
        best = _best_match(days, having.get(series[1], {}))
        for each in days:
            other = best.get(each.day)
            if other is not None and other.left > 0:
                _exchange(each, other, min(other.left, each.left.copy_abs()))


def _best_match(days: Sequence[Deviation], having: Mapping[str, Mapping[date, Deviation]]) -> Mapping[date, Deviation]:
    """The account whose days agree best with what is lacking, if to a tenth."""
    wanted = _sum(each.left for each in days)
    best: tuple[Decimal, Mapping[date, Deviation]] = (multiply(wanted, NEAR), {})
    for others in having.values():
        apart = ZERO
        for each in days:
            other = others.get(each.day)
            apart = add(apart, add(each.left, ZERO if other is None else other.left).copy_abs())
            if apart > best[0]:
                break
        else:
            best = (apart, others)
    return best[1]


def _same_amounts(deviations: Sequence[Deviation]) -> None:
    """What one account lacks on a day, and another has too much of to the last digit."""
    having: dict[tuple[int, date, Decimal], list[Deviation]] = {}
    for each in deviations:
        if each.left > 0:
            having.setdefault((each.measure, each.day, each.left), []).append(each)
    for each in deviations:
        others = having.get((each.measure, each.day, each.left.copy_abs()), []) if each.left < 0 else []
        if others:
            _exchange(each, others.pop(), each.left.copy_abs())


def _exchange(lacks: Deviation, has: Deviation, quantity: Decimal) -> None:
    lacks.explain(Cause.OTHER_ACCOUNT, negate(quantity))
    has.explain(Cause.OTHER_ACCOUNT, quantity)
    lacks.other_account_id, has.other_account_id = has.account_id, lacks.account_id


def _day_edges(days: Sequence[Deviation]) -> None:
    """What one day lacks and the day beside it has too much of."""
    by_day = {each.day: each for each in days}
    for each in sorted(days, key=lambda each: each.day):
        after = by_day.get(each.day + DAY)
        if after is None or not each.left or not after.left or (each.left > 0) == (after.left > 0):
            continue
        left, right = each.left.copy_abs(), after.left.copy_abs()
        if subtract(left, right).copy_abs() <= multiply(max(left, right), NEAR):
            quantity = min(left, right) if each.left > 0 else negate(min(left, right))
            detail = "counted a day later" if each.left < 0 else "counted a day earlier"
            each.explain(Cause.TIME_SHIFT, quantity, detail)
            after.explain(Cause.TIME_SHIFT, negate(quantity), detail)


def _rest(days: Sequence[Deviation], last: date) -> None:
    """What nothing explains: lost, or only here; late where the last day lacks most, and no other day anything."""
    ending = [each.day for each in days if each.left < 0] == [last]
    for each in days:
        if each.left > 0:
            each.explain(Cause.ONLY_HERE, each.left)
        elif each.left < 0:
            late = ending and multiply(each.left.copy_abs(), TWO) >= (each.source or ZERO).copy_abs()
            each.explain(Cause.LATE if late else Cause.LOST, each.left, "the last day lacks most" if late else "")
