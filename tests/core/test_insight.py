"""Insights by hand: rank correlations, growth before growth, and what commitments would have saved."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effort import drawing
from tallystick.core.insight import (
    LEAST_PAIRS,
    Charged,
    Offer,
    advise,
    expansion_of,
    margin_by,
    pairs_of,
    rank_correlation,
)
from tallystick.core.money import Rounding
from tallystick.core.period import Instant

D = Decimal
TWO = Rounding()


def numbers(*values: str) -> list[Decimal]:
    return [D(each) for each in values]


# ------------------------------------------------------------------------------------------------------ correlation


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ("1 2 3 4 5 6 7 8", "10 20 30 40 50 60 70 80", "1.0000"),
        ("1 2 3 4 5 6 7 8", "1 4 9 16 25 36 49 640", "1.0000"),  # ranks, not sizes
        ("1 2 3 4 5 6 7 8", "8 7 6 5 4 3 2 1", "-1.0000"),
        # Squared differences of ranks 1,1,1,1,1,1,1,1: 1 − 6 × 8 / (8 × 63) = 0.904761…
        ("1 2 3 4 5 6 7 8", "2 1 4 3 6 5 8 7", "0.9048"),
        # Two that are equal share the rank 1.5: squared differences 0.25 + 0.25; by Pearson of the ranks
        # 41.5 / sqrt(41.5 × 42) = 0.994030…
        ("1 1 3 4 5 6 7 8", "1 2 3 4 5 6 7 8", "0.9940"),
        ("1 2 3 4 5 6 7 8", "5 5 5 5 5 5 5 5", None),  # one side never differs
        ("1 2 3 4 5 6 7", "1 2 3 4 5 6 7", None),  # too few
    ],
)
def test_the_correlation_of_ranks(x: str, y: str, expected: str | None) -> None:
    found = rank_correlation(list(zip(numbers(*x.split()), numbers(*y.split()), strict=True)))
    assert (None if found is None else str(found)) == expected


@settings(**drawing(100))
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=LEAST_PAIRS, max_size=30))
def test_the_correlation_agrees_with_means_of_ranks(pairs: list[tuple[int, int]]) -> None:
    """Once more by fractions: the covariance squared over the variances is the correlation squared."""

    def ranks(values: list[int]) -> list[Fraction]:
        return [
            Fraction(sum(each < value for each in values)) + Fraction(1 + sum(each == value for each in values), 2)
            for value in values
        ]

    x, y = ranks([one for one, _ in pairs]), ranks([other for _, other in pairs])
    mean = Fraction(len(pairs) + 1, 2)
    covariance = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    spread = sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y)
    found = rank_correlation([(D(one), D(other)) for one, other in pairs])
    if not spread:
        assert found is None
        return
    assert found is not None
    assert (found >= 0) == (covariance >= 0)
    half = Fraction(1, 20_000) + Fraction(1, 10**6)
    low, high = abs(Fraction(found)) - half, abs(Fraction(found)) + half
    assert max(low, Fraction(0)) ** 2 <= covariance**2 / spread <= high**2
    assert rank_correlation([(D(other), D(one)) for one, other in pairs]) == found, "the same both ways"


# ------------------------------------------------------------------------------------------------------ expansion


def months(account: str, *amounts: str, currency: str = "USD") -> list[Charged]:
    starts = [Instant.parse(f"2024-{month:02}-01T00:00:00Z") for month in range(1, len(amounts) + 2)]
    return [
        Charged(account_id=account, account_code=account, currency=currency, start=start, end=end, amount=D(amount))
        for start, end, amount in zip(starts, starts[1:], amounts, strict=False)
    ]


def test_growth_of_a_metric_is_held_against_the_bill_after() -> None:
    """Seats 10, 12, 12, 6 over four months; bills 100, 100, 150, 120, of which the last two follow."""
    bills = months("acme", "100", "100", "150", "120")
    measured = {("acme", bill.start): D(units) for bill, units in zip(bills, (10, 12, 12, 6), strict=True)}
    pairs = pairs_of(bills, measured)
    # From 10 to 12 seats, then from 100 to 150; from 12 to 12, then from 150 to 120.
    assert [(each.metric, each.bill) for each in pairs] == [(D("0.2"), D("0.5")), (D(0), D("-0.2"))]
    row = expansion_of("id", "seats", "Seats", pairs)
    assert (row.pairs, row.accounts, row.correlation) == (2, 1, None)
    assert (row.grew, row.grew_then_expanded, row.others, row.others_then_expanded) == (1, 1, 1, 0)


def test_gaps_and_growth_from_nothing_are_no_pairs() -> None:
    bills = months("acme", "0", "0", "150", "120", "130")
    measured = {("acme", bill.start): D(1) for bill in bills}
    assert pairs_of([*bills[:2], *bills[3:]], measured) == [], "March is missing"
    assert pairs_of(bills, {}) == []
    assert all(each.metric == 0 for each in pairs_of(bills, measured))
    assert len(pairs_of(bills, measured)) == 2, "of 0 to 150 there is no growth"


# ------------------------------------------------------------------------------------------------------ commitments


def test_a_commitment_fitted_to_the_least_month() -> None:
    """1,000, 1,500 and 1,100: 3,600. Committed 1,000 a month: 3,000; at 10% off 3,240 are paid, 360 less."""
    advice = advise(months("acme", "1000.00", "1500.00", "1100.00"), [Offer(discount_percent=D(10))], 12, TWO)
    assert advice is not None
    assert (advice.level, advice.committed, advice.would_have_paid, advice.saving) == (12_000, 3000, 3240, 360)
    assert (advice.paid, advice.least, advice.at_risk) == (3600, 1000, 0)
    assert advice.arithmetic == (
        "3 periods, used 3600.00 together, 1000.00 in the least of them",
        "1000.00 × 12 = 12000.00 a year: what it used even in its least period",
        "12000.00 × 3 / 12 = 3000.00 committed for these periods",
        "3600.00 × 90 / 100 = 3240.00 with 10% off",
        "the greater of 3000.00 and 3240.00 = 3240.00",
        "3600.00 − 3240.00 = 360.00 less",
    )


def test_the_best_of_several_offers() -> None:
    """1,000 a month. 12,000 at 5% saves 150 of 3,000; 10,000 at 8% saves 240; 20,000 at 20% would cost 5,000."""
    offers = [
        Offer(yearly_amount=D(amount), discount_percent=D(percent))
        for amount, percent in ((12_000, 5), (10_000, 8), (20_000, 20))
    ]
    advice = advise(months("acme", "1000.00", "1000.00", "1000.00"), offers, 12, TWO)
    assert advice is not None
    assert (advice.level, advice.discount_percent, advice.saving) == (10_000, 8, 240)


@pytest.mark.parametrize(
    ("amounts", "offer"),
    [
        (("100.00", "100.00"), Offer(discount_percent=D(10))),  # too little to go by
        (("0.00", "500.00", "500.00"), Offer(discount_percent=D(10))),  # nothing even in the least month
        (("10.00", "10.00", "10.00"), Offer(yearly_amount=D(1200), discount_percent=D(50))),  # far above its use
    ],
)
def test_whom_no_commitment_serves_is_not_advised(amounts: tuple[str, ...], offer: Offer) -> None:
    assert advise(months("acme", *amounts), [offer], 12, TWO) is None


def test_months_below_the_commitment_are_told() -> None:
    """600 used, which 30% off makes 420; committed are 150 a month, 450, of which two months used less."""
    offer = Offer(yearly_amount=D(1800), discount_percent=D(30))  # 150 a month
    advice = advise(months("acme", "100.00", "100.00", "400.00"), [offer], 12, TWO)
    assert advice is not None
    assert (advice.committed, advice.would_have_paid, advice.saving, advice.at_risk) == (450, 450, 150, 2)


# ------------------------------------------------------------------------------------------------------ margins


@pytest.mark.parametrize(
    ("revenue", "cost", "margin", "percent"),
    [
        ("200.00", "50.5", "149.50", "74.75"),
        ("100.00", "133.333", "-33.333", "-33.33"),
        ("0.00", "5", "-5.00", None),
        ("100.00", None, None, None),
    ],
)
def test_margins(revenue: str, cost: str | None, margin: str | None, percent: str | None) -> None:
    row = margin_by("id", "acme", "USD", 1, D(revenue), None, None if cost is None else D(cost))
    told = [None if each is None else str(each) for each in (row.margin, row.percent)]
    assert told == [margin, percent]
