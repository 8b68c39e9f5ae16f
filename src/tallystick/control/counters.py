"""Counters: units that an account has a level of, such as seats (source: reference 2.8)."""

from __future__ import annotations

from tallystick.control.counter_pricings import counter_pricings_of, require_counter_fit
from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.core.counter_types import Counter
from tallystick.errors import Refusal


def _check(draft: Draft[Counter]) -> Counter:
    if draft.before is not None and draft.value.product_id != draft.before.value.product_id:
        for pricing in counter_pricings_of(draft.read, draft.id):
            try:
                require_counter_fit(draft.read, pricing.value, draft.value)
            except Refusal as refusal:
                message = f"the counter pricing {pricing.id} would no longer hold: {refusal.message}"
                raise rule_broken("productId", message) from None
    return draft.value


COUNTERS = Noun(of=Counter, check=_check)
