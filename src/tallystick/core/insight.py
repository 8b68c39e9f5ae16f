"""What bills and usage tell together: which metrics grow before bills do, and whom a commitment would serve better.

All numbers are exact; ratios are decimals, cut where they are said to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isqrt

import msgspec

from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, divide, multiply, plain, subtract, total

LEAST_PAIRS = 8  # for a correlation: of fewer it says nothing
LEAST_PERIODS = 3  # for advice on a commitment
_HUNDRED = Decimal(100)
_SCALE = 4  # decimals of a correlation


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """What an account was charged for a period, before credit, in a currency; `yearly` such periods make a year."""

    account_id: str
    account_code: str
    currency: str
    start: Instant
    end: Instant
    amount: Decimal
    yearly: int = 12


# ------------------------------------------------------------------------------------------------------ expansion


class Expansion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the growth of a metric stands to the growth of bills one period later.

    Each pair is of an account and three periods in a row: the growth of the metric from the first to the second, and
    that of the bill from the second to the third, each as (later − earlier) / earlier. `correlation` is Spearman's rank
    correlation of all pairs (equal values share the mean of their ranks), rounded to four decimals; None of fewer than
    LEAST_PAIRS pairs, and where one side never differs.
    """

    aggregation_id: str
    code: str | None
    name: str
    correlation: Decimal | None
    pairs: int
    accounts: int
    grew: int
    grew_then_expanded: int
    others: int
    others_then_expanded: int


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The growth of a metric of an account, and that of its bill one period later."""

    account_id: str
    metric: Decimal
    bill: Decimal


def growth(earlier: Decimal, later: Decimal) -> Decimal | None:
    """(later − earlier) / earlier; None from nothing, or from less."""
    return divide(subtract(later, earlier), earlier) if earlier > 0 else None


def pairs_of(bills: Sequence[Charged], measured: Mapping[tuple[str, Instant], Decimal]) -> list[Pair]:
    """The pairs of a metric. `bills` are of one account and currency, in order of time; `measured` holds the metric by
    account and start of period, where it was measured."""
    found = []
    for one, two, three in zip(bills, bills[1:], bills[2:], strict=False):
        if one.end != two.start or two.end != three.start:
            continue
        before, after = measured.get((one.account_id, one.start)), measured.get((one.account_id, two.start))
        metric = None if before is None or after is None else growth(before, after)
        bill = growth(two.amount, three.amount)
        if metric is not None and bill is not None:
            found.append(Pair(account_id=one.account_id, metric=metric, bill=bill))
    return found


def expansion_of(aggregation_id: str, code: str | None, name: str, pairs: Sequence[Pair]) -> Expansion:
    """What the pairs of a metric say together."""
    grew = [each for each in pairs if each.metric > 0]
    others = [each for each in pairs if each.metric <= 0]
    return Expansion(
        aggregation_id=aggregation_id,
        code=code,
        name=name,
        correlation=rank_correlation([(each.metric, each.bill) for each in pairs]),
        pairs=len(pairs),
        accounts=len({each.account_id for each in pairs}),
        grew=len(grew),
        grew_then_expanded=sum(each.bill > 0 for each in grew),
        others=len(others),
        others_then_expanded=sum(each.bill > 0 for each in others),
    )


def rank_correlation(pairs: Sequence[tuple[Decimal, Decimal]]) -> Decimal | None:
    """Spearman's rank correlation, in whole numbers up to the root and rounded to four decimals."""
    if len(pairs) < LEAST_PAIRS:
        return None
    x, y = _ranks([one for one, _ in pairs]), _ranks([other for _, other in pairs])
    n = len(pairs)
    together = n * sum(a * b for a, b in zip(x, y, strict=True)) - sum(x) * sum(y)
    spread = (n * sum(a * a for a in x) - sum(x) ** 2) * (n * sum(b * b for b in y) - sum(y) ** 2)
    if not spread:
        return None
    # One digit more than is kept, cut, then rounded half up.
    digits = isqrt(together * together * 10 ** (2 * _SCALE + 2) // spread)
    size = Decimal((digits + 5) // 10).scaleb(-_SCALE)
    return size if together >= 0 else -size


def _ranks(values: Sequence[Decimal]) -> list[int]:
    """Twice the rank of each value, so that the mean of the ranks of equal ones is whole."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = first + last + 2
        first = last + 1
    return ranks


# ------------------------------------------------------------------------------------------------------ commitments


class Offer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A commitment that customers are offered: so much for a year, at so many percent off what is used.

    Without an amount it is fitted to the account: what it used in its least month, every month."""

    discount_percent: Decimal
    yearly_amount: Decimal | None = None


class Advice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A commitment that would have served an account better over the periods that were looked at, with the arithmetic.

    `committed` is for these periods, `level` for a year. `would_have_paid` is the greater of what was committed and of
    what was used less the discount; `saving` is what the account would have paid less, and the price of having it
    committed. `at_risk`: in how many of the periods it used less than its share of the commitment.
    """

    account_id: str
    account_code: str
    currency: str
    periods: int
    paid: Decimal
    least: Decimal
    discount_percent: Decimal
    level: Decimal
    committed: Decimal
    would_have_paid: Decimal
    saving: Decimal
    at_risk: int
    arithmetic: tuple[str, ...]


def advise(bills: Sequence[Charged], offers: Sequence[Offer], yearly: int, rounding: Rounding) -> Advice | None:
    """The offer that would have saved an account most; None where none would have. `bills` are of one account,
    currency and frequency, of which `yearly` make a year."""
    if len(bills) < LEAST_PERIODS:
        return None
    found = [each for offer in offers if (each := _advice(bills, offer, yearly, rounding)) is not None]
    return max(found, key=lambda each: (each.saving, -each.level), default=None)


def _advice(bills: Sequence[Charged], offer: Offer, yearly: int, rounding: Rounding) -> Advice | None:
    amounts, periods = [each.amount for each in bills], Decimal(len(bills))
    used, least = total(amounts), min(amounts)
    year, share = Decimal(yearly), subtract(_HUNDRED, offer.discount_percent)
    down = Rounding(decimals=rounding.decimals, mode=RoundingMode.DOWN)
    level = multiply(least, year) if offer.yearly_amount is None else offer.yearly_amount
    committed = round_money(divide(multiply(level, periods), year), rounding)
    discounted = round_money(divide(multiply(used, share), _HUNDRED), rounding)
    pays = max(committed, discounted)
    saving = subtract(used, pays)
    if level <= 0 or saving <= 0:
        return None
    each = round_money(divide(level, year), down)
    off = f"{plain(offer.discount_percent)}%"
    steps = [
        f"{len(bills)} periods, used {_shown(used)} together, {_shown(least)} in the least of them",
        f"{_shown(least)} × {yearly} = {_shown(level)} a year: what it used even in its least period"
        if offer.yearly_amount is None
        else f"offered: {_shown(level)} a year",
        f"{_shown(level)} × {len(bills)} / {yearly} = {_shown(committed)} committed for these periods",
        f"{_shown(used)} × {plain(share)} / 100 = {_shown(discounted)} with {off} off",
        f"the greater of {_shown(committed)} and {_shown(discounted)} = {_shown(pays)}",
        f"{_shown(used)} − {_shown(pays)} = {_shown(saving)} less",
    ]
    return Advice(
        account_id=bills[0].account_id,
        account_code=bills[0].account_code,
        currency=bills[0].currency,
        periods=len(bills),
        paid=used,
        least=least,
        discount_percent=offer.discount_percent,
        level=level,
        committed=committed,
        would_have_paid=pays,
        saving=saving,
        at_risk=sum(amount < each for amount in amounts),
        arithmetic=tuple(steps),
    )


def _shown(amount: Decimal) -> str:
    return f"{amount:f}"


# ------------------------------------------------------------------------------------------------------ margins


class MarginBy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of what an account, or a product, was charged. `cost` and `income` are what measurements say; None
    where no meter has such a field. `percent` is of the revenue, rounded to two decimals."""

    id: str
    code: str
    currency: str
    bills: int
    revenue: Decimal
    income: Decimal | None
    cost: Decimal | None
    margin: Decimal | None
    percent: Decimal | None


def margin_by(
    id: str, code: str, currency: str, bills: int, revenue: Decimal, income: Decimal | None, cost: Decimal | None
) -> MarginBy:
    """A row with its margin worked out."""
    margin = None if cost is None else subtract(revenue, cost)
    percent = None
    if margin is not None and revenue > ZERO:
        percent = round_money(divide(multiply(margin, _HUNDRED), revenue), Rounding(decimals=2))
    return MarginBy(
        id=id,
        code=code,
        currency=currency,
        bills=bills,
        revenue=revenue,
        income=income,
        cost=cost,
        margin=margin,
        percent=percent,
    )
