"""The way from an empty organisation to its first approved bill: which steps are done, and which is next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tallystick.control.bills import KIND
from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.bill import BillStatus
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.compound import CompoundAggregation
from tallystick.core.entity import Entity
from tallystick.core.meter import Meter
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage, Page, UsageColumn, UsageQuery, Where

ONE = Page(size=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`about` is the id of what the step continues with: the plan that wants a price, the account that wants a plan."""

    name: str
    done: bool
    about: str | None = None


def steps(records: OrganizationRecords, usage: OrganizationUsage) -> tuple[Step, ...]:
    """The steps in order; none once a bill is approved. Each asks for one row, however many there are."""
    if _bill(records, {"status": (BillStatus.APPROVED,)}):  # a locked one is approved
        return ()
    meter, plan, account = _first(records, Meter), _first(records, Plan), _first(records, Account)
    counted = _first(records, Aggregation) or _first(records, CompoundAggregation)
    found = (
        ("product", _first(records, Product), None),
        ("meter", meter, None),
        ("aggregation", counted, meter),
        ("template", _first(records, PlanTemplate), None),
        ("plan", plan, None),
        ("price", _first(records, Pricing), plan),
        ("account", account, None),
        ("account plan", _first(records, AccountPlan), account),
        ("usage", meter is not None and _used(usage, meter), None),
        ("bill", _bill(records, {}), None),
        ("approval", False, None),
    )
    return tuple(
        Step(name=name, done=bool(done), about=None if about is None else about.id) for name, done, about in found
    )


def _first(records: OrganizationRecords, kind: type[Any]) -> Entity[Any] | None:
    return next(iter(records.find(kind, Where(), ONE).rows), None)


def _bill(records: OrganizationRecords, equal: dict[str, tuple[str, ...]]) -> bool:
    return bool(records.documents(KIND, DocumentWhere(equal=equal), ONE).rows)


def _used(usage: OrganizationUsage, meter: Entity[Meter]) -> bool:
    """Whether anything was measured: of the newest meter, where there are several."""
    if not meter.value.data_fields:
        return False
    column = UsageColumn(meter_id=meter.id, field=meter.value.data_fields[0].code, function="COUNT")
    query = UsageQuery(
        start=None, end=None, meter_ids=(meter.id,), account_ids=None, filters=(), columns=(column,), groups=(),
        limit=1, zone="UTC",
    )  # fmt: skip
    return any(value is not None and value[0] > 0 for answer in usage.query(query) for value in answer.values)
