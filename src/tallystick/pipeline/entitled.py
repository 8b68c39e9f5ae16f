"""What accounts have been given of each feature, by themselves or by their plans, and over which period it counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan
from tallystick.core.entitlement import Entitlement, Level, ResetPeriod, chosen
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant, Period, day_start, intersect, local_day
from tallystick.pipeline.agreements import read_agreements
from tallystick.pipeline.family import inherited_plans
from tallystick.pipeline.grids import Billed, billed_plans
from tallystick.ports import OrganizationRecords, Where

DAY = timedelta(days=1)


class Counted(NamedTuple):
    """The period from one reset to the next, and the part of it in which the plan is in force."""

    whole: Period
    part: Period


class Given(NamedTuple):
    """An account with all plans that it is ever billed by, and what it has now of each feature (id): the id of the
    entitlement, the entitlement, and over which period it is counted."""

    account: Entity[Account]
    plans: list[Billed]
    features: dict[str, tuple[str, Entitlement, Counted]]


def entitled_accounts(records: OrganizationRecords) -> list[str]:
    """The accounts (ids) that have a limit, in order: of their own, or perhaps by a plan of theirs."""
    limited = [each.value for each in records.every(Entitlement) if each.value.counts]
    found = {each.account_id for each in limited if each.account_id is not None}
    if any(each.account_id is None for each in limited):
        found |= {each.value.account_id for each in records.every(AccountPlan)}
        children = records.every(Account, Where(equal={"parent_account_id": sorted(found)})) if found else ()
        found |= {each.id for each in children}
    return sorted(found)


def given(
    records: OrganizationRecords, account_ids: Sequence[str], config: OrganizationConfig, now: Instant
) -> list[Given]:
    """What accounts have been given, in their order; those that do not exist are left out."""
    accounts = records.get_many(Account, account_ids)
    where = Where(equal={"account_id": sorted(accounts)})
    account_plans = list(records.every(AccountPlan, where)) if accounts else []
    agreements = read_agreements(records, account_plans)
    parameters = BillParameters()
    billed = billed_plans(records, account_plans, agreements, config, parameters)
    billed += inherited_plans(records, sorted(accounts), account_plans, config, parameters) if accounts else []
    templates = {
        plan.id: plan.value.plan_template_id
        for plan in records.get_many(Plan, sorted({each.plan_id for each in billed})).values()
    }
    entitlements = _entitlements(records, sorted(accounts), templates)
    found = []
    for id_ in account_ids:
        if id_ in accounts:
            plans = [each for each in billed if each.account.id == id_]
            in_force = [each for each in plans if each.life.start <= now < each.life.end]
            own = [each for each in entitlements if _is_of(each.value, id_, in_force, templates)]
            features = dict(_features(own, in_force, templates, config.timezone, now))
            found.append(Given(accounts[id_], plans, features))
    return found


def _entitlements(
    records: OrganizationRecords, account_ids: Sequence[str], templates: dict[str, str]
) -> list[Entity[Entitlement]]:
    named = {
        "account_id": list(account_ids),
        "plan_id": sorted(templates),
        "plan_template_id": sorted(set(templates.values())),
    }
    return [
        each for field, ids in named.items() if ids for each in records.every(Entitlement, Where(equal={field: ids}))
    ]


def _is_of(value: Entitlement, account_id: str, plans: Sequence[Billed], templates: dict[str, str]) -> bool:
    return value.account_id == account_id or any(_gives(value, each, templates) for each in plans)


def _gives(value: Entitlement, plan: Billed, templates: dict[str, str]) -> bool:
    """Whether an entitlement comes with a plan."""
    if value.level is Level.PLAN:
        return value.plan_id == plan.plan_id
    return value.level is Level.PLAN_TEMPLATE and value.plan_template_id == templates.get(plan.plan_id)


def _features(
    own: Iterable[Entity[Entitlement]], plans: Sequence[Billed], templates: dict[str, str], zone: str, now: Instant
) -> Iterator[tuple[str, tuple[str, Entitlement, Counted]]]:
    by_feature: dict[str, list[tuple[str, Entitlement]]] = {}
    for each in own:
        by_feature.setdefault(each.value.feature_id, []).append((each.id, each.value))
    for feature_id, found in by_feature.items():
        holds = chosen(found)
        assert holds is not None, "there is at least one"
        id_, value = holds
        giving = [each for each in plans if value.level is Level.ACCOUNT or _gives(value, each, templates)]
        yield feature_id, (id_, value, _counted(value, giving, zone, now))


def _counted(value: Entitlement, plans: Sequence[Billed], zone: str, now: Instant) -> Counted:
    """The period in which a moment is. Without a plan there is no billing period: then it is the month."""
    today = local_day(now, zone)
    if value.reset_period is ResetPeriod.DAY:
        whole = Period(day_start(today, zone), day_start(today + DAY, zone))
        return Counted(whole, whole)
    if value.reset_period is ResetPeriod.BILLING_PERIOD and plans:
        shortest = min(plans, key=lambda each: (_length(each, now), each.plan_id))
        whole = shortest.grid.period_at(now)
        part = intersect(whole, shortest.life)
        assert part is not None, "the plan is in force now"
        return Counted(whole, whole if value.level is Level.ACCOUNT else part)
    first = today.replace(day=1)
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    whole = Period(day_start(first, zone), day_start(after, zone))
    return Counted(whole, whole)


def _length(plan: Billed, now: Instant) -> timedelta:
    period = plan.grid.period_at(now)
    return period.end - period.start
