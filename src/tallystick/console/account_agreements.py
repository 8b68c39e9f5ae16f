"""What an account has agreed to, on its page: contracts, discounts, counters, single charges."""

from __future__ import annotations

from tallystick.console.agreed import state, today
from tallystick.console.page import Visit
from tallystick.control.charges import bills_of
from tallystick.control.counter_adjustments import levels_of
from tallystick.core.charge import Charge, exact_amount
from tallystick.core.contract import Contract
from tallystick.core.counter_types import Counter, CounterAdjustment
from tallystick.core.discount import Discount
from tallystick.ports import Page as ListPage
from tallystick.ports import Where

MOST_AGREED = 50
SHOWN_CHARGES = 8


def agreements(visit: Visit, account_id: str) -> dict[str, object]:
    """The values of `account_agreements.html`."""
    records, of = visit.records, Where(equal={"account_id": (account_id,)})
    levels = levels_of(list(records.every(CounterAdjustment, of)), today(visit))
    charges = records.find(Charge, of, ListPage(size=SHOWN_CHARGES)).rows
    bills = bills_of(records, charges)
    discounts = records.find(Discount, of, ListPage(size=MOST_AGREED)).rows
    return {
        "contracts": records.find(Contract, of, ListPage(size=MOST_AGREED)).rows,
        "discounts": [(each, state(visit, each.value.start_date, each.value.end_date)) for each in discounts],
        "levels": levels,
        "counter_names": records.get_many(Counter, {each.counter_id for each in levels}),
        "charges": [
            (each, exact_amount(each.value), bills[each.id].id if each.id in bills else None) for each in charges
        ],
    }
