"""What each account of a pool has used of what a line charges: by this its money is split."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tallystick.core.aggregation import Measured, Question
from tallystick.core.custom_terms import custom_of
from tallystick.core.formula import computed
from tallystick.core.lines import Portion
from tallystick.core.per_event import priced_events
from tallystick.core.quantity import divide, tidy
from tallystick.core.usage import Answers, Window, input_values, value_of


def portions(window: Window, segment: tuple[str, ...], answers: Answers) -> tuple[Portion, ...]:
    """The accounts of a window's pool that have used anything, the billed one first; none where it is no pool, or
    where its line is not broken down."""
    if not window.shares:
        return ()
    members = window.account_plan.members_at(window.now.piece.window.start)
    priced = window.price.priced.value
    found = []
    for place, account in enumerate(members):
        own = _of_account(window.shares, account.id, answers)
        value = _value(window, segment, own)
        if value is not None:
            units = divide(value, priced.quantity_per_unit)
            fee = _fee(window, segment, own)
            found.append(Portion(account=account, child=place > 0, value=tidy(value), units=units, fee=fee))
    return tuple(found)


def _value(window: Window, segment: tuple[str, ...], answers: Answers) -> Decimal | None:
    if window.price.compound is not None:
        inputs = input_values(window.price.inputs, window.shares, answers, segment)
        price, at = window.price, window.now.piece.window.start
        return computed(window.price.compound, inputs, price.tables, at, custom_of(price, window.account_plan))
    row = _row(window, segment, answers)
    return None if row is None else value_of(window.price.priced.value, row, window.now)


def _fee(window: Window, segment: tuple[str, ...], answers: Answers) -> Decimal | None:
    """What the events of an account come to, where each is priced by itself."""
    row = _row(window, segment, answers)
    if not window.price.pricing.value.per_event or row is None or row.tally is None:
        return None
    per_unit = window.price.priced.value.quantity_per_unit
    priced, _ = priced_events(window.price.pricing.value, row.tally, row.total, per_unit)
    return priced.subtotal


def _row(window: Window, segment: tuple[str, ...], answers: Answers) -> Measured | None:
    return next((each for each in answers[window.shares[0]] if each.segment == segment), None)


def _of_account(questions: Sequence[Question], account_id: str, answers: Answers) -> dict[Question, list[Measured]]:
    return {each: [row for row in answers[each] if row.account_id == account_id] for each in questions}
