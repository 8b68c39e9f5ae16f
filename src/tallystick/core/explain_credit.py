"""Fees, draws of credit and usage beyond it in plain English: the clauses and steps that `explain` tells them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.core.wording import money, number
from tallystick.core.working import Drawn, Exceeded, FeeAgreed, FeeShare, Surcharged

Tell = Callable[[Any], str]  # Any: each tells the step it is listed under


def _drawn_clause(step: Drawn) -> str:
    into = f", which is {money(step.converted)} {step.converted_currency}" if step.converted is not None else ""
    return f"{money(step.amount)} of {money(step.opening)} {step.currency} drawn, {money(step.left)} left{into}"


def _drawn(step: Drawn) -> str:
    limit = "" if step.limit is None else f", of which at most {money(step.limit)} may be carried over"
    whence = f"was left at its end{limit}" if step.carried_over else "was there to draw"
    charges = "; ".join(f"{money(each.amount)} for {each.description}" for each in step.charges)
    into = f" In the currency of the bill: {money(step.converted)} {step.converted_currency}." if step.converted else ""
    return (
        f"Of {step.credit} {money(step.opening)} {step.currency} {whence}. It pays {charges}; "
        f"together {money(step.amount)}, and {money(step.left)} is left.{into}"
    )


def _surcharged_clause(step: Surcharged) -> str:
    return f"{number(step.percent)}% of {money(step.base)} of usage beyond {step.credit} = {money(step.amount)}"


def _surcharged(step: Surcharged) -> str:
    return (
        f"Usage of {money(step.base)} is beyond {step.credit}, which agrees on {number(step.percent)}% of it: "
        f"{money(step.base)} × {number(step.percent)} ÷ 100 = {money(step.amount)}."
    )


def _exceeded_clause(step: Exceeded) -> str:
    beyond = f"{number(step.units_beyond)} are beyond {step.credit}"
    return f"of {number(step.units)} units {beyond}, {money(step.beyond)} of {money(step.amount)} at the same rates"


def _exceeded(step: Exceeded) -> str:
    return (
        f"{number(step.units)} units come to {money(step.amount)}, of which {step.credit} and what is given back cover "
        f"{money(step.covered)}; the last {number(step.units_beyond)} units are beyond it and have a line of their own."
    )


def _share_clause(step: FeeShare) -> str:
    return f"fee {step.number} of {step.fees} for {money(step.amount)}{_beforehand(step)}: {money(step.fee)}"


def _share(step: FeeShare) -> str:
    first = "" if step.first is None else f", {money(step.first)} of it on the first bill"
    return (
        f"{money(step.amount)}{_beforehand(step)} is spread over {step.fees} bills{first}; "
        f"this is number {step.number}: {money(step.fee)}."
    )


def _beforehand(step: FeeShare) -> str:
    return f" less {money(step.prepaid)} paid beforehand" if step.prepaid else ""


def _agreed_clause(step: FeeAgreed) -> str:
    return f"agreed for {step.day}, {money(step.fee)}"


def _agreed(step: FeeAgreed) -> str:
    return f"A fee of {money(step.fee)} was agreed for {step.day}."


CLAUSES: dict[type, Tell] = {
    Drawn: _drawn_clause,
    Surcharged: _surcharged_clause,
    Exceeded: _exceeded_clause,
    FeeShare: _share_clause,
    FeeAgreed: _agreed_clause,
}
STEPS: dict[type, Tell] = {
    Drawn: _drawn,
    Surcharged: _surcharged,
    Exceeded: _exceeded,
    FeeShare: _share,
    FeeAgreed: _agreed,
}
