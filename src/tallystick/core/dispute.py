"""Disputes: a customer does not agree with a bill or a line of it; why, how it stands, and what came of it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.entity import CustomFields, Id, Value, require_custom_fields

Told = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class DisputeReason(StrEnum):
    """What a dispute is about."""

    USAGE = "USAGE"  # it was not used, or not so much
    PRICE = "PRICE"  # another price was agreed on
    DUPLICATE = "DUPLICATE"  # it was billed before
    SERVICE = "SERVICE"  # it was not there, or not as promised
    OTHER = "OTHER"


class DisputeState(StrEnum):
    """How a dispute stands."""

    OPEN = "OPEN"
    UNDER_REVIEW = "UNDER_REVIEW"
    RESOLVED = "RESOLVED"
    WITHDRAWN = "WITHDRAWN"

    @property
    def closed(self) -> bool:
        """Whether nothing changes it any more."""
        return self in {DisputeState.RESOLVED, DisputeState.WITHDRAWN}


class DisputeOutcome(StrEnum):
    """What came of a dispute that was resolved."""

    ACCEPTED = "ACCEPTED"
    PARTLY_ACCEPTED = "PARTLY_ACCEPTED"
    REJECTED = "REJECTED"


class Dispute(Value, frozen=True, kw_only=True):
    """A dispute on a bill, or on one line of it (by id). `amount` is what is disputed, in the bill's currency.

    A resolved one has an outcome with a note, and where something was given back, the memo that gives it.
    """

    kind: ClassVar[str] = "dispute"
    filters: ClassVar[tuple[str, ...]] = ("bill_id", "account_id", "state")

    bill_id: Id
    account_id: Id
    reason: DisputeReason
    description: Told
    state: DisputeState = DisputeState.OPEN
    line_item_id: Id | None = None
    amount: Decimal | None = None
    outcome: DisputeOutcome | None = None
    outcome_note: Told | None = None
    memo_id: Id | None = None
    memo_bill_id: Id | None = None
    credited: Decimal | None = None
    custom_fields: CustomFields | None = None

    def check(self) -> None:
        require_amount(self.amount)
        if (self.state is DisputeState.RESOLVED) != (self.outcome is not None):
            raise ValueError("outcome: a dispute has one once it is resolved, and not before")
        if (self.outcome is None) != (self.outcome_note is None):
            raise ValueError("outcomeNote: is given with an outcome, and with nothing else")
        require_custom_fields(self.custom_fields)


def require_amount(amount: Decimal | None) -> None:
    """Refuse a disputed amount that is none."""
    if amount is not None and amount <= 0:
        raise ValueError("amount: must be above 0")
