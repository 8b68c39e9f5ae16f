"""The policies on late usage, as people keep them and as approvals heed them (core.late_policy)."""

from __future__ import annotations

from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.core.bill import Bill
from tallystick.core.entity import Entity
from tallystick.core.late_policy import LatePolicies, LatePolicy, policies_of
from tallystick.core.period import Instant
from tallystick.ports import OrganizationRecords


def _check(draft: Draft[LatePolicy]) -> LatePolicy:
    meter_id = draft.value.meter_id
    if draft.before is not None and draft.before.value.meter_id != meter_id:
        raise rule_broken("meterId", "a policy stays with its meter; make another for the other meter")
    there = policy_of(draft.read, meter_id)
    if there is not None and there.id != draft.id:
        whose = f"the meter {meter_id}" if meter_id else "the organisation (a policy without meterId)"
        raise rule_broken("meterId", f"{whose} has the policy {there.id} already; change that one")
    return draft.value


LATE_POLICIES = Noun(of=LatePolicy, check=_check)


def policy_of(records: OrganizationRecords, meter_id: str | None) -> Entity[LatePolicy] | None:
    """The policy of a meter, or of the organisation itself; None where nobody made one."""
    return next((each for each in records.every(LatePolicy) if each.value.meter_id == meter_id), None)


def read_late_policies(records: OrganizationRecords) -> LatePolicies:
    """What holds for late usage."""
    return policies_of([each.value for each in records.every(LatePolicy)])


def in_time(policies: LatePolicies, bill: Bill, now: Instant) -> bool:
    """Whether a bill has waited long enough for late usage to be approved."""
    return not policies.waits or policies.approvable_from(bill) <= now
