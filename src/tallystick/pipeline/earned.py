"""Ask the usage store what bills cost and earn by what measurements say: sums of fields of INCOME and COST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick.core.aggregation import Measured
from tallystick.core.earned import Earned, MoneyField, earned, fields_of_bill, money_fields
from tallystick.core.meter import Meter
from tallystick.core.terms import Terms
from tallystick.pipeline.meter import measure
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.ports.founded import config_of


def read_money_fields(records: OrganizationRecords) -> tuple[MoneyField, ...]:
    """The fields of the organisation's meters that hold money."""
    config = config_of(records)
    return money_fields(records.every(Meter), config.value.currency)


def earned_by(
    records: OrganizationRecords, usage: OrganizationUsage, every: Sequence[Terms], *, up_to: int
) -> dict[str, Earned]:
    """What the usage on bills earns and costs, by the ids of the bills; those without such a field are left out.

    Usage of a child that stands on its parent's bill is in it. The usage store is asked once for each field and period.
    """
    fields = read_money_fields(records)
    if not fields:
        return {}
    own = {each.bill_id: fields_of_bill(each, fields) for each in every}
    asked: dict[str, dict[Any, None]] = {}
    for each in every:
        for account_id in each.measured_accounts:
            wanted = (field.question(each.period, up_to) for field in own[each.bill_id])
            asked.setdefault(account_id, {}).update(dict.fromkeys(wanted))
    measured = measure(usage, asked)
    found = {}
    for each in every:
        if own[each.bill_id]:
            sums: dict[MoneyField, list[Measured]] = {
                field: [
                    row
                    for account_id in each.measured_accounts
                    for row in measured[account_id][field.question(each.period, up_to)]
                ]
                for field in own[each.bill_id]
            }
            found[each.bill_id] = earned(each, own[each.bill_id], sums)
    return found
