"""What must be measured for a bill, and how the answers become units (source: reference 3.1).

Each pricing asks about the billing period within the life of its account plan and its own dates; with tiersSpanPlan
also about the time before, back to the start of the plan (and of the pricing).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from tallystick.core.account import ChildBillingMode
from tallystick.core.aggregation import Aggregation, EventTally, Measured, Question
from tallystick.core.asking import adds_up, question_of
from tallystick.core.compound import CompoundAggregation
from tallystick.core.credit import cuts_of
from tallystick.core.custom_terms import custom_of
from tallystick.core.formula import base_value, computed, holds
from tallystick.core.per_event import bounds_of
from tallystick.core.period import Instant, Period, intersect
from tallystick.core.plan_terms import Condition, Input, PriceTerms
from tallystick.core.quantity import ZERO, add, subtract, tidy, to_units, total
from tallystick.core.scope import Pattern, Piece, Priceable, charges, clip, covers, matches, named
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.working import NamedValue

Answers = Mapping[Question, Sequence[Measured]]  # of one account
Rows = Mapping[tuple[str, ...], Measured]  # by segment


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One window of a pricing with its questions, one per input. `piece` says which segments are charged in it."""

    piece: Piece
    questions: tuple[Question, ...]


class Decision(msgspec.Struct, frozen=True):
    """The condition of a pricing (its id), what is asked to decide it, and over which window."""

    pricing_id: str
    condition: Condition
    window: Period
    questions: tuple[Question, ...]

    def inputs(self, answers: Answers) -> tuple[NamedValue, ...]:
        """What the condition is decided by."""
        return input_values(self.condition.inputs, self.questions, answers)

    def holds(self, answers: Answers) -> bool:
        """Whether the pricing holds. Refusal `calculation_failed`."""
        return holds(self.condition.formula, self.inputs(answers), "the condition of a pricing")


class Window(msgspec.Struct, frozen=True, gc=False):
    """A pricing within one billing period: what is asked about it, and, for bands that span the plan, before it.

    `cuts` asks about its start up to each moment at which credit or a discount begins or ends. `decisions` are about
    the conditions of this pricing and of those that would charge in its place.
    """

    account_plan: AccountPlanTerms
    price: PriceTerms
    now: Asked
    before: tuple[Asked, ...]
    cuts: tuple[Asked, ...] = ()
    decisions: tuple[Decision, ...] = ()
    shares: tuple[Question, ...] = ()  # what each account of a pool has used, where its line is broken down

    @property
    def decision(self) -> Decision | None:
        """That about the condition of the pricing itself."""
        return next((each for each in self.decisions if each.pricing_id == self.price.pricing.id), None)


# All of a window but the account plan.
WindowOf = tuple[PriceTerms, Asked, tuple[Asked, ...], tuple[Asked, ...], tuple[Decision, ...], tuple[Question, ...]]


class Counting(msgspec.Struct, frozen=True, gc=False, kw_only=True):
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
    inputs: tuple[NamedValue, ...] = ()  # of the calculation, where a compound aggregation is priced
    tally: EventTally | None = None  # where each event is priced by itself
    decided: tuple[NamedValue, ...] = ()  # of the condition, where the pricing has one


def windows(terms: Terms, up_to: int) -> Iterator[Window]:
    """Every window of every pricing in the billing period, in the order of the bill's lines."""
    for account_plan in terms.account_plans:
        for asked in _shared_windows(terms, account_plan, up_to):
            yield Window(account_plan, *asked)


def _shared_windows(terms: Terms, account_plan: AccountPlanTerms, up_to: int) -> Sequence[WindowOf]:
    """The windows of an account plan. They are the same for every account that has the plan for the same time, and are
    worked out once."""
    active = intersect(account_plan.period, account_plan.life)
    if active is None:
        return ()
    cuts = _cuts(terms, active)
    if account_plan.pool or account_plan.usage_filters:
        return tuple(_windows(account_plan, active, cuts, up_to))
    began = account_plan.life.start if account_plan.plan.spans else None
    key = (active, account_plan.grid, account_plan.period, began, cuts)
    # Those of the last journal position only: terms may be looked at for as long as nobody changes them.
    kept: dict[Hashable, tuple[int, tuple[WindowOf, ...]]] = account_plan.plan.worked_out
    last = kept.get(key)
    if last is None or last[0] != up_to:
        last = kept[key] = (up_to, tuple(_windows(account_plan, active, cuts, up_to)))
    return last[1]


def _windows(account_plan: AccountPlanTerms, active: Period, cuts: Sequence[Instant], up_to: int) -> Iterator[WindowOf]:
    decisions = _decisions(account_plan, active, up_to)
    for price in account_plan.plan.prices:
        for piece in _by_stretch(account_plan, clip(price.pieces, active)):
            start, end = piece.window
            asked = Asked(piece, _questions(account_plan, price, piece, up_to))
            before = _before(account_plan, price, start, up_to)
            parts = (piece._replace(window=Period(start, at)) for at in cuts if start < at < end)
            of_parts = tuple(Asked(part, _questions(account_plan, price, part, up_to)) for part in parts)
            rivals = (decisions[id_] for id_, _ in piece.contested if id_ in decisions)
            own = [decisions[price.pricing.id]] if price.condition else []
            shares = _shares(account_plan, asked)
            yield price, asked, before, of_parts, (*own, *rivals), shares


def _cuts(terms: Terms, active: Period) -> tuple[Instant, ...]:
    """The moments up to which usage is asked too: where credit or a discount begins or ends."""
    found = set(cuts_of(terms.credits, active))
    for discount in terms.agreements.discounts_on(terms.account.id, terms.period):
        found |= {at for at in discount.value.cuts if active.start < at < active.end}
    return tuple(sorted(found))


def _by_stretch(account_plan: AccountPlanTerms, pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of time cut where it changes whose usage is pooled."""
    if not account_plan.pool:
        return list(pieces)
    return [part for piece in pieces for each in account_plan.pool for part in clip([piece], each.window)]


def _shares(account_plan: AccountPlanTerms, asked: Asked) -> tuple[Question, ...]:
    """What is asked of each account of a pool whose lines are broken down."""
    if account_plan.account_plan.value.child_billing_mode is ChildBillingMode.PARENT_SUMMARY:
        return ()
    return tuple(msgspec.structs.replace(each, pooled=False) for each in asked.questions if each.pooled)


def _decisions(account_plan: AccountPlanTerms, active: Period, up_to: int) -> dict[str, Decision]:
    """What decides the conditions of an account plan's pricings, by their ids: the whole billing period, as far as the
    account plan is in force."""
    found = {}
    for price in account_plan.plan.prices:
        if price.condition:
            asked = tuple(question_of(account_plan, each, active, up_to) for each in price.condition.inputs)
            found[price.pricing.id] = Decision(price.pricing.id, price.condition, active, asked)
    return found


def questions(terms: Terms, up_to: int) -> tuple[Question, ...]:
    """What must be measured for the bill of these terms from the journal up to a position, each question once."""
    return tuple(dict.fromkeys(question for window in windows(terms, up_to) for question in _asked(window)))


def _asked(window: Window) -> Iterator[Question]:
    for each in (window.now, *window.before, *window.cuts):
        yield from each.questions
    yield from window.shares
    for decision in window.decisions:
        yield from decision.questions


def countings(window: Window, answers: Answers) -> list[Counting]:
    """The numbers that a window's answers come to, one per segment, in order of segment. Nothing measured and no
    default value gives none."""
    taken = _taken(window, answers)
    if taken is None:
        return []
    rows = _rows(window, window.now, answers)
    found = {segment: row for segment, row in rows.items() if not any(matches(each, segment) for each in taken)}
    before = [_rows(window, asked, answers) for asked in window.before]
    segments = sorted(found)
    if not segments and _default(window.price.priced.value) is not None:
        fixed = () if _whole(window.price, window.now.piece) else named(window.price.pattern)
        left_alone = fixed is None or any(matches(each, fixed) for each in taken if fixed)
        segments = [] if left_alone or fixed is None else [fixed]
    decided = window.decision.inputs(answers) if window.decision else ()
    counted = [
        _counting(
            window,
            segment,
            found.get(segment),
            _values_before(window, before, segment),
            input_values(window.price.inputs, window.now.questions, answers, segment) if window.price.compound else (),
        )
        for segment in segments
    ]
    return [msgspec.structs.replace(each, decided=decided) for each in counted] if decided else counted


def _taken(window: Window, answers: Answers) -> list[Pattern] | None:
    """What pricings whose condition holds charge in place of this one; None when nothing is left for it, or when its
    own condition does not hold."""
    held = {each.pricing_id for each in window.decisions if each.holds(answers)}
    if window.price.condition and window.price.pricing.id not in held:
        return None
    taken = [pattern for id_, pattern in window.now.piece.contested if id_ in held]
    return None if any(covers(each, window.price.pattern) for each in taken) else taken


def value_of(priced: Priceable, row: Measured | None, asked: Asked) -> Decimal | None:
    """What is priced: measured (or computed), else the aggregation's default, else None."""
    if isinstance(priced, Aggregation):
        return base_value(priced, row, asked.questions[0])
    return None if row is None else row.total


def units_of(priced: Priceable, value: Decimal) -> Decimal:
    """The value in units of the price list."""
    return to_units(value, priced.quantity_per_unit, priced.rounding)


def _default(priced: Priceable) -> Decimal | None:
    """The value where nothing was measured. A compound aggregation has none of its own: its inputs may have."""
    return priced.default_value if isinstance(priced, Aggregation) else None


def input_values(
    inputs: Sequence[Input], questions: Sequence[Question], answers: Answers, segment: tuple[str, ...] = ()
) -> tuple[NamedValue, ...]:
    """What aggregations inside a calculation come to in a segment, by the name it has for them."""
    found = []
    for each, question in zip(inputs, questions, strict=True):
        row = next((row for row in answers[question] if row.segment == segment), None)
        value = base_value(each.aggregation.value, row, question)
        found.append(NamedValue(name=each.name, value=value, count=row.count if row else 0))
    return tuple(found)


def _whole(price: PriceTerms, piece: Piece) -> bool:
    """Whether the pricing charges the aggregation as one, whatever the segments: it names none, none is taken (or all
    of them at once, should a condition hold), and it has no rates by dimensions."""
    apart = piece.taken or any(not covers(each, price.pattern) for _, each in piece.contested)
    return price.pricing.value.segment is None and price.pricing.value.rates is None and not apart


def _questions(account_plan: AccountPlanTerms, price: PriceTerms, piece: Piece, up_to: int) -> tuple[Question, ...]:
    split = () if _whole(price, piece) else price.segmented_fields
    asked = (question_of(account_plan, each, piece.window, up_to, split) for each in price.inputs)
    bounds = bounds_of(price.pricing.value, price.priced.value.quantity_per_unit)
    return tuple(msgspec.structs.replace(each, event_bounds=bounds) for each in asked) if bounds else tuple(asked)


def _before(account_plan: AccountPlanTerms, price: PriceTerms, start: Instant, up_to: int) -> tuple[Asked, ...]:
    """What is asked about the time before a window: as one where values add up, else billing period by period."""
    if not price.pricing.value.tiers_span_plan or start <= account_plan.life.start:
        return ()
    pieces = _by_stretch(account_plan, clip(price.pieces, Period(account_plan.life.start, start)))
    if not adds_up(price.priced.value):
        pieces = [
            part
            for piece in pieces
            for period in account_plan.grid.between(piece.window.start, piece.window.end)
            for part in clip([piece], period)
        ]
    return tuple(Asked(piece, _questions(account_plan, price, piece, up_to)) for piece in pieces)


def _counting(
    window: Window,
    segment: tuple[str, ...],
    row: Measured | None,
    before: list[Decimal],
    inputs: tuple[NamedValue, ...],
) -> Counting:
    priced = window.price.priced.value
    value = value_of(priced, row, window.now)
    assert value is not None, "what is not measured and has no default is not counted"
    value_before = units_before = None
    if not before:
        units = after = units_of(priced, value)
    elif adds_up(priced):
        value_before = tidy(total(before))
        units_before, after = units_of(priced, value_before), units_of(priced, tidy(add(value_before, value)))
        units = tidy(subtract(after, units_before))
    else:
        units_before = tidy(total(units_of(priced, each) for each in before))
        units = units_of(priced, value)
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
        tally=row.tally if row else None,
        inputs=inputs,
    )


def _values_before(window: Window, rows: Sequence[Rows], segment: tuple[str, ...]) -> list[Decimal]:
    """The values of a segment in the windows before, where there were any. The default value stands in only where the
    segment is known beforehand: one that a wildcard found counts only where it was measured."""
    known = named(window.price.pattern) is not None or not segment
    values = (
        value_of(window.price.priced.value, found.get(segment), asked) if known or segment in found else None
        for asked, found in zip(window.before, rows, strict=True)
    )
    return [value for value in values if value is not None]


def _rows(window: Window, asked: Asked, answers: Answers) -> Rows:
    """The answers that the pricing charges, by segment; of a compound aggregation what they compute to."""
    if window.price.compound is not None:
        return _computed(window, window.price.compound, asked, answers)
    (question,) = asked.questions
    return {
        row.segment: row
        for row in answers[question]
        if not row.segment or charges(asked.piece, window.price.pattern, row.segment)
    }


def _computed(window: Window, compound: CompoundAggregation, asked: Asked, answers: Answers) -> Rows:
    """What a compound aggregation computes to in each segment in which something was measured, and in the one that the
    pricing names: there default values may stand in."""
    price, account = window.price, window.account_plan.account_plan.value.account_id
    segments = {row.segment for question in asked.questions for row in answers[question]}
    if _whole(price, asked.piece):
        segments = {()}
    elif (only := named(price.pattern)) is not None:
        segments.add(only)
    custom, found = custom_of(price, window.account_plan), {}
    for segment in segments:
        if segment and not charges(asked.piece, price.pattern, segment):
            continue
        inputs = input_values(price.inputs, asked.questions, answers, segment)
        value = computed(compound, inputs, price.tables, asked.piece.window.start, custom)
        if value is not None:
            count = sum(each.count for each in inputs)
            found[segment] = Measured(account_id=account, segment=segment, total=value, count=count)
    return found
