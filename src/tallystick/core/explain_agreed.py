"""Steps of what people agreed on, in words: single charges, memos, levels of counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.core.wording import money, number
from tallystick.core.working_agreed import Agreed, Changed, Granted, Held, PutRight


def _charge_clause(step: Agreed) -> str:
    if step.units is None or step.unit_price is None:
        return f"{money(step.amount)} agreed for {step.day}"
    return f"{number(step.units)} × {money(step.unit_price)} = {money(step.amount)} agreed for {step.day}"


def _charge(step: Agreed) -> str:
    of = f"The charge {step.charge} of {step.day}"
    if step.units is None or step.unit_price is None:
        return f"{of}: {money(step.amount)}."
    return f"{of}: {number(step.units)} units × {money(step.unit_price)} = {money(step.amount)}."


def _memo_clause(step: Granted) -> str:
    return f"granted {money(step.given)}" if step.amount < 0 else f"debited {money(step.given)}"


def _memo(step: Granted) -> str:
    what = "A credit" if step.amount < 0 else "A debit"
    shown = abs(step.amount)
    part = f", of which {money(shown)} on this bill" if shown != step.given else ""
    return f"{what} of {money(step.given)} that somebody made for the line {step.line}{part}."


def _held_clause(step: Held) -> str:
    return f"{step.level:,} {step.unit} at the start"


def _held(step: Held) -> str:
    return f"Until {step.day} the level of {step.counter} was {step.level:,} {step.unit}."


def _changed_clause(step: Changed) -> str:
    difference = f"{money(step.amount_after)} − {money(step.amount_before)} = {money(step.amount)}"
    return f"from {step.level_before:,} to {step.level_after:,} {step.unit} on {step.day}: {difference}"


def _changed(step: Changed) -> str:
    before = f"{step.level_before:,} {step.unit} ({money(step.amount_before)})"
    after = f"{step.level_after:,} {step.unit} ({money(step.amount_after)})"
    return f"On {step.day} the level of {step.counter} goes from {before} to {after}: {money(step.amount)}."


def _put_right_clause(step: PutRight) -> str:
    return f"{money(step.due)} due by now, less {money(step.paid)} paid in advance = {money(step.amount)}"


def _put_right(step: PutRight) -> str:
    paid = f"{money(step.paid)} was paid in advance on the bill {step.bill_id}"
    return f"By now {money(step.due)} is due for the period; {paid}: {money(step.amount)}."


CLAUSES: dict[type, Callable[[Any], str]] = {
    PutRight: _put_right_clause,
    Agreed: _charge_clause,
    Granted: _memo_clause,
    Held: _held_clause,
    Changed: _changed_clause,
}
STEPS: dict[type, Callable[[Any], str]] = {
    Agreed: _charge,
    Granted: _memo,
    Held: _held,
    Changed: _changed,
    PutRight: _put_right,
}
