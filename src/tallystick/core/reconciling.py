"""How near two countings come: accuracy as 1 − (missing + extra + |differing|) / source, so that nothing cancels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

from tallystick.core.quantity import ZERO, add, subtract
from tallystick.core.reconciliation import AccuracyLevel
from tallystick.core.reconciliation_run import FindingKind

ALL = Fraction(1)
NONE = Fraction(0)
GOOD_ABOVE = Fraction(995, 1000)
WARNING_FROM = Fraction(98, 100)
_STEP = Decimal("0.01")  # of a percentage
_ROUNDING = Context(prec=40, rounding=ROUND_HALF_EVEN)


@dataclass(slots=True)
class Tally:
    """What was added up of one measure (of an account): sizes of the source's values and of what is amiss. `values`
    counts the source's values, `product` is what is counted here, signed."""

    source: Decimal = ZERO
    product: Decimal = ZERO
    missing: Decimal = ZERO
    extra: Decimal = ZERO
    differing: Decimal = ZERO
    values: int = 0

    def counted(self, source: Decimal | None, product: Decimal | None) -> None:
        """One value of the source, of the product or of both."""
        if source is not None:
            self.source = add(self.source, source.copy_abs())
            self.values += 1
        if product is not None:
            self.product = add(self.product, product)

    def amiss(self, kind: FindingKind, quantity: Decimal) -> None:
        """Something that is missing, extra or differs, by its size."""
        if kind is FindingKind.MISSING:
            self.missing = add(self.missing, quantity)
        elif kind is FindingKind.EXTRA:
            self.extra = add(self.extra, quantity)
        else:
            self.differing = add(self.differing, quantity)

    def with_(self, other: Tally) -> None:
        """Take in another."""
        for name in ("source", "product", "missing", "extra", "differing"):
            setattr(self, name, add(getattr(self, name), getattr(other, name)))
        self.values += other.values

    @property
    def accuracy(self) -> Fraction:
        """From 0 to 1, exactly."""
        return accuracy_of(add(add(self.missing, self.extra), self.differing), self.source)


def accuracy_of(amiss: Decimal | int, source: Decimal | int) -> Fraction:
    """1 − amiss / source, exactly; 0 where more is amiss than there is. Of an empty source all is extra."""
    if not source:
        return NONE if amiss else ALL
    return max(NONE, 1 - Fraction(amiss) / Fraction(source))


def overall(tallies: Iterable[Tally]) -> Fraction:
    """The accuracy over several measures. Their units differ, so that they are never added: each counts by its share of
    the source's values."""
    given = [each for each in tallies if each.values or each.accuracy != ALL]
    weight = sum(max(each.values, 1) for each in given)
    return sum((each.accuracy * max(each.values, 1) for each in given), NONE) / weight if given else ALL


def percent(accuracy: Fraction) -> Decimal:
    """An accuracy as a percentage to 0.01, half to even. Only a perfect one is 100.00: what is amiss always shows."""
    hundredths = _ROUNDING.divide(Decimal(accuracy.numerator * 100), Decimal(accuracy.denominator))
    rounded = hundredths.quantize(_STEP, context=_ROUNDING)
    return rounded - _STEP if accuracy < 1 and rounded == 100 else rounded


def level_of(accuracy: Fraction) -> AccuracyLevel:
    """GOOD above 99.5%, WARNING from 98% to there, RED below: decided on the exact accuracy."""
    if accuracy > GOOD_ABOVE:
        return AccuracyLevel.GOOD
    return AccuracyLevel.WARNING if accuracy >= WARNING_FROM else AccuracyLevel.RED


def worst(levels: Sequence[AccuracyLevel]) -> AccuracyLevel:
    """The worst of several."""
    return max(levels, key=lambda each: each.rank)


# Factors between units that people mix up: small multiples, thousands, binary thousands, bits, times.
_WHOLE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 24, 60, 100, 1_000, 1_024, 1_440, 3_600, 10_000, 86_400, 1_000_000)
_LARGE = (8_000, 8_192, 1_048_576, 8_388_608, 3_600_000, 10**9, 2**30, 10**12, 2**40)
FACTORS: tuple[Fraction, ...] = tuple(
    sorted({factor for whole in (*_WHOLE, *_LARGE) for factor in (Fraction(whole), Fraction(1, whole))})
)
_EXACT = frozenset(FACTORS)


def factor_between(source: Decimal, product: Decimal) -> Fraction | None:
    """The factor that makes the one the other, where it is one between units. Digits that a conversion rounds away
    are forgiven: two parts in a million."""
    if not source or not product:
        return None
    ratio = Fraction(product) / Fraction(source)
    return ratio if ratio in _EXACT else near_factor(ratio, Fraction(2, 10**6))


def near_factor(ratio: Fraction, tolerance: Fraction) -> Fraction | None:
    """The factor between units that a ratio comes nearest to, if within a share of it."""
    if ratio <= 0:
        return None
    best = min(FACTORS, key=lambda each: abs(ratio / each - 1))
    return best if abs(ratio / best - 1) <= tolerance else None


def told_factor(factor: Fraction) -> str:
    """A factor as people write it: ×2, ×1/1000."""
    return f"×{factor.numerator}" if factor.denominator == 1 else f"×{factor.numerator}/{factor.denominator}"


def told_shift(seconds: int) -> str:
    """How much later it is here than in the source: +1 h, −5 h 30 min."""
    sign, rest = ("+" if seconds > 0 else "−"), abs(seconds)
    parts = [(rest // 86_400, "d"), (rest % 86_400 // 3600, "h"), (rest % 3600 // 60, "min"), (rest % 60, "s")]
    return sign + " ".join(f"{count} {unit}" for count, unit in parts if count)


def difference(source: Decimal | None, product: Decimal | None) -> Decimal:
    """How much more is counted here, signed; what is absent counts as nothing."""
    return subtract(product or ZERO, source or ZERO)
