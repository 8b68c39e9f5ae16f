"""Discounts: percentages and amounts off an account's bills. An extension of ours."""

from __future__ import annotations

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun
from tallystick.core.discount import Discount


def _check(draft: Draft[Discount]) -> Discount:
    require_currency(draft.read, draft.value.currency)
    return draft.value


DISCOUNTS = Noun(of=Discount, check=_check)
