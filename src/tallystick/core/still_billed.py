"""A bill whose period left the billing grid is not emptied: making it again is refused, and the stored one stays."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.core.account import AccountPlan
from tallystick.core.entity import Entity
from tallystick.core.period import intersect, stretch
from tallystick.core.terms import Setting, Terms, billed_in, grid_of
from tallystick.errors import Refusal


def require_still_billed(terms: Terms, setting: Setting, account_plans: Iterable[Entity[AccountPlan]]) -> None:
    """Refusal `no_billing_period` when nothing is billed in this period any more though an account plan of this
    frequency is in force in it: the time zone, an epoch or the interval was changed since the period was chosen."""
    agreed, of = terms.agreements, terms.of
    if terms.account_plans or terms.commitments or agreed.charges or agreed.memos:
        return
    for entity in account_plans:
        value = entity.value
        in_force = intersect(stretch(value.start_date, value.end_date), of.period)
        if in_force is None or agreed.grouping(agreed.contract(value.contract_id)) != of.grouping:
            continue
        for plan_id in agreed.plan_ids(value):
            template = setting.plan(plan_id).template.value
            grid = grid_of(value, terms.account.value, template, setting.config.value, of.parameters)
            if grid is not None and grid.frequency is of.frequency and billed_in(grid, of) is None:
                raise Refusal(
                    "no_billing_period",
                    f"account {terms.account.value.code!r} has no {of.frequency} billing period from "
                    f"{of.period.start.wire()} to {of.period.end.wire()} any more: the time zone, an epoch or the "
                    "interval was changed; delete its bill, or change back",
                )
