"""Rules that commitments and balances share."""

from __future__ import annotations

from typing import TypeVar

from tallystick.control.desk import Draft, rule_broken
from tallystick.control.ledger import has_entries
from tallystick.core.credit_types import Balance, Commitment

Credit = TypeVar("Credit", Balance, Commitment)


def require_same_money(draft: Draft[Credit], value: Credit, before: Credit) -> None:
    """Once something is in the ledger of a credit, its account and its currency stay."""
    for field, was, now in (
        ("accountId", before.account_id, value.account_id),
        ("currency", before.currency, value.currency),
    ):
        if was != now and has_entries(draft.read, draft.id):
            raise rule_broken(field, f"there are transactions with {was}; it cannot change any more, make another")
