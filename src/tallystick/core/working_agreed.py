"""The steps of what people agreed on: single charges, memos, levels of counters."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from tallystick.core.step import Step


class Agreed(Step, frozen=True, kw_only=True, tag="agreed"):
    """A single charge (its code) due on a day: `amount`, or units x unitPrice."""

    charge: str
    day: date
    units: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal


class Held(Step, frozen=True, kw_only=True, tag="held"):
    """The level of a counter that a period starts with, as it was until the start of `day`."""

    counter: str
    unit: str
    day: date
    level: int


class Changed(Step, frozen=True, kw_only=True, tag="changed"):
    """The level of a counter changes on a day; `amount` is the price of the new level less that of the old one."""

    counter: str
    unit: str
    day: date
    level_before: int
    level_after: int
    amount_before: Decimal
    amount_after: Decimal
    amount: Decimal


class Granted(Step, frozen=True, kw_only=True, tag="granted"):
    """A memo for a line (its id): of what is `given`, the part that this bill shows, below zero for a credit."""

    line: str
    given: Decimal
    amount: Decimal


class PutRight(Step, frozen=True, kw_only=True, tag="putRight"):
    """What is due for a period by now, less what an earlier bill (its id) charged for it in advance."""

    bill_id: str
    due: Decimal
    paid: Decimal
    amount: Decimal
