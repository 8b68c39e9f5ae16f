"""Counter pricings: the bands that one counter is priced by, on a plan or a template (source: reference 2.4).

As with pricings of usage, two of the same plan (or template) and counter must not overlap in time
(docs/decisions/0062-overlapping-pricings.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tallystick.control.account_plans import in_words, overlap
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.control.pricings import bands_with_ids, priced_product
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.entity import Entity
from tallystick.ports import OrganizationRecords, Where


def require_counter_fit(read: OrganizationRecords, pricing: CounterPricing, counter: Counter) -> None:
    """Refuse a pricing whose counter is of another product than its plan."""
    priced = priced_product(read, pricing)
    if counter.product_id not in {None, priced}:
        message = f"the counter is of the product {counter.product_id}, the plan or template sells {priced}"
        raise rule_broken("counterId", f"{message}; price it there, or make the counter global")


def counter_pricings_of(read: OrganizationRecords, counter_id: str) -> Iterable[Entity[CounterPricing]]:
    """Every pricing of a counter."""
    return read.every(CounterPricing, Where(equal={"counter_id": (counter_id,)}))


def _check(draft: Draft[CounterPricing]) -> CounterPricing:
    value = draft.value
    require_counter_fit(draft.read, value, the(draft.read, Counter, value.counter_id))
    _require_no_overlap(draft)
    before = None if draft.before is None else draft.before.value.pricing_bands
    bands = bands_with_ids(value.pricing_bands, before, draft.desk.new_id)
    return msgspec.structs.replace(value, pricing_bands=bands)


def _require_no_overlap(draft: Draft[CounterPricing]) -> None:
    value = draft.value
    home = "plan_id" if value.plan_id is not None else "plan_template_id"
    where = Where(equal={home: (getattr(value, home),), "counter_id": (value.counter_id,)})
    for other in draft.read.every(CounterPricing, where):
        start, end = other.value.start_date, other.value.end_date
        if other.id != draft.id and overlap(value.start_date, value.end_date, start, end):
            message = f"the counter pricing {other.id} is for the same counter, {in_words(start, end)}"
            raise rule_broken("startDate", f"{message}; end it before this one starts")


COUNTER_PRICINGS = Noun(of=CounterPricing, check=_check)
