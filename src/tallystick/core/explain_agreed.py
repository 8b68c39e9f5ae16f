"""Steps of what people agreed on, in words: single charges, memos, levels of counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.core.wording import money, number
from tallystick.core.working import Agreed, Granted


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


CLAUSES: dict[type, Callable[[Any], str]] = {Agreed: _charge_clause, Granted: _memo_clause}
STEPS: dict[type, Callable[[Any], str]] = {Agreed: _charge, Granted: _memo}
