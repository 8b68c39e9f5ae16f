"""What must be measured for a bill, and how the answers become units (source: reference 3.1).

Each pricing asks about the billing period within the life of its account plan and its own dates; with tiersSpanPlan
also about the time before, back to the start of the plan (and of the pricing).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.aggregation import Aggregation, Measured, Method, Question
from tallystick.core.period import Instant, Period, intersect
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ZERO, add, divide, subtract, tidy, to_units, total
from tallystick.core.scope import Piece, charges, clip, named
from tallystick.core.terms import AccountPlanTerms, Terms

Answers = Mapping[Question, Sequence[Measured]]  # of one account
Rows = Mapping[tuple[str, ...], Measured]  # by segment

# Methods whose values over two windows add up to the value over both.
_ADDITIVE = frozenset({Method.SUM, Method.COUNT})


class Asked(msgspec.Struct, frozen=True):
    """One window of a pricing with its question. `piece` says which segments are charged in it."""

    piece: Piece
    question: Question


class Window(msgspec.Struct, frozen=True):
    """A pricing within one billing period: what is asked about it, and, for bands that span the plan, before it."""

    account_plan: AccountPlanTerms
    price: PriceTerms
    now: Asked
    before: tuple[Asked, ...]


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a pricing prices: measured, or the aggregation's default (count 0).

    `units` are what this window adds; with bands that span the plan they take the units from `units_before` (None as
    long as nothing was priced) to `units_after`.
    """

    segment: tuple[str, ...]
    total: Decimal
    count: int
    value: Decimal
    units: Decimal
    value_before: Decimal | None = None
    units_before: Decimal | None = None
    units_after: Decimal


def windows(terms: Terms, up_to: int) -> Iterator[Window]:
    """Every window of every pricing in the billing period, in the order of the bill's lines."""
    for account_plan in terms.account_plans:
        active = intersect(terms.period, account_plan.life)
        for price in account_plan.plan.prices:
            for piece in clip(price.pieces, active):
                asked = Asked(piece, _question(price, piece, up_to))
                before = _before(account_plan, price, piece.window.start, up_to)
                yield Window(account_plan, price, asked, before)


def questions(terms: Terms, up_to: int) -> tuple[Question, ...]:
    """What must be measured for the bill of these terms from the journal up to a position, each question once."""
    asked = (each for window in windows(terms, up_to) for each in (window.now, *window.before))
    return tuple(dict.fromkeys(each.question for each in asked))


def countings(window: Window, answers: Answers) -> list[Counting]:
    """The numbers that a window's answers come to, one per segment, in order of segment. Nothing measured and no
    default value gives none."""
    found = _rows(window, window.now, answers)
    before = [_rows(window, asked, answers) for asked in window.before]
    segments = sorted(found)
    if not segments and window.price.aggregation.value.default_value is not None:
        fixed = () if _whole(window.price, window.now.piece) else named(window.price.pattern)
        segments = [] if fixed is None else [fixed]
    return [
        _counting(window, segment, found.get(segment), _values_before(window, before, segment)) for segment in segments
    ]


def value_of(aggregation: Aggregation, row: Measured | None) -> Decimal | None:
    """The aggregation's value: what was measured, else its default, else None."""
    if row is None:
        return None if aggregation.default_value is None else tidy(aggregation.default_value)
    return divide(row.total, Decimal(row.count)) if aggregation.aggregation is Method.MEAN else tidy(row.total)


def units_of(aggregation: Aggregation, value: Decimal) -> Decimal:
    """The value in units of the price list."""
    return to_units(value, aggregation.quantity_per_unit, aggregation.rounding)


def _whole(price: PriceTerms, piece: Piece) -> bool:
    """Whether the pricing charges the aggregation as one, whatever the segments: it names none, and none is taken."""
    return price.pricing.value.segment is None and not piece.taken


def _question(price: PriceTerms, piece: Piece, up_to: int) -> Question:
    aggregation = price.aggregation.value
    return Question(
        meter_id=aggregation.meter_id,
        method=aggregation.aggregation,
        field=aggregation.target_field,
        period=piece.window,
        up_to=up_to,
        percentile=aggregation.percentile,
        filter=aggregation.filter,
        segmented_fields=() if _whole(price, piece) else aggregation.segmented_fields or (),
    )


def _adds_up(aggregation: Aggregation) -> bool:
    """Whether the time before a window can be asked about as one: a default value counts in every period anew."""
    return aggregation.aggregation in _ADDITIVE and aggregation.default_value is None


def _before(account_plan: AccountPlanTerms, price: PriceTerms, start: Instant, up_to: int) -> tuple[Asked, ...]:
    """What is asked about the time before a window: as one where values add up, else billing period by period."""
    if not price.pricing.value.tiers_span_plan or start <= account_plan.life.start:
        return ()
    pieces = clip(price.pieces, Period(account_plan.life.start, start))
    if not _adds_up(price.aggregation.value):
        pieces = [
            part
            for piece in pieces
            for period in account_plan.grid.between(piece.window.start, piece.window.end)
            for part in clip([piece], period)
        ]
    return tuple(Asked(piece, _question(price, piece, up_to)) for piece in pieces)


def _counting(window: Window, segment: tuple[str, ...], row: Measured | None, before: list[Decimal]) -> Counting:
    aggregation = window.price.aggregation.value
    value = value_of(aggregation, row)
    assert value is not None, "what is not measured and has no default is not counted"
    value_before = units_before = None
    if not before:
        units = after = units_of(aggregation, value)
    elif _adds_up(aggregation):
        value_before = tidy(total(before))
        units_before, after = units_of(aggregation, value_before), units_of(aggregation, tidy(add(value_before, value)))
        units = tidy(subtract(after, units_before))
    else:
        units_before = tidy(total(units_of(aggregation, each) for each in before))
        units = units_of(aggregation, value)
        after = tidy(add(units_before, units))
    return Counting(
        segment=segment,
        total=tidy(row.total) if row else ZERO,
        count=row.count if row else 0,
        value=value,
        units=units,
        value_before=value_before,
        units_before=units_before,
        units_after=after,
    )


def _values_before(window: Window, rows: Sequence[Rows], segment: tuple[str, ...]) -> list[Decimal]:
    """The values of a segment in the windows before, where there were any. The default value stands in only where the
    segment is known beforehand: one that a wildcard found counts only where it was measured."""
    known = named(window.price.pattern) is not None or not segment
    values = (
        value_of(window.price.aggregation.value, found.get(segment)) if known or segment in found else None
        for found in rows
    )
    return [value for value in values if value is not None]


def _rows(window: Window, asked: Asked, answers: Answers) -> Rows:
    """The answers that the pricing charges, by segment."""
    return {
        row.segment: row
        for row in answers[asked.question]
        if not row.segment or charges(asked.piece, window.price.pattern, row.segment)
    }
