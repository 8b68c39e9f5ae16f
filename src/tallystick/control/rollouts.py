"""Shadow plans, experiments and migrations as people set them up, and what they do to accounts.

Accounts are moved one by one, each in a transaction of its own: what cannot be moved is told, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from tallystick.control.account_plans import ACCOUNT_PLANS, replace_within
from tallystick.control.desk import Desk, Draft, Noun, require_reference, require_references, rule_broken, the
from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillParameters
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.contract import Contract
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.period import Instant, day_start, local_day
from tallystick.core.rollout import (
    Assignment,
    Experiment,
    Moved,
    PlanMigration,
    Renewal,
    ShadowPlan,
    variant_of,
)
from tallystick.core.terms import grid_of
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction, Where
from tallystick.ports.founded import config_of

SHADOWED = "shadowbill"
MOVED = "planmove"
ASSIGNED = "assignment"
AT_ONCE = 200  # accounts of a round


# ------------------------------------------------------------------------------------------------------ rules


def _check_shadow(draft: Draft[ShadowPlan]) -> ShadowPlan:
    value = draft.value
    _require_alike(draft.read, value.plan_id, value.shadow_plan_id, "shadowPlanId")
    for id_ in value.account_ids or ():
        require_reference(draft.read, Account, id_, "accountIds")
    return value


def _check_migration(draft: Draft[PlanMigration]) -> PlanMigration:
    value = draft.value
    _require_alike(draft.read, value.from_plan_id, value.to_plan_id, "toPlanId")
    for id_ in value.account_ids or ():
        require_reference(draft.read, Account, id_, "accountIds")
    if draft.before is not None and draft.before.value != value and moves(draft.read, draft.id, Page(size=1)).rows:
        raise rule_broken("id", "accounts were moved by this migration already; create another one for others")
    return value


def _check_experiment(draft: Draft[Experiment]) -> Experiment:
    value, before = draft.value, draft.before
    if before is not None and assignments(draft.read, draft.id, Page(size=1)).rows:
        old = before.value
        if (old.code, old.variants, old.start_date) != (value.code, value.variants, value.start_date):
            message = "accounts have their variants by them already; end this experiment and create another one"
            raise rule_broken("variants", message)
    return value


def _require_alike(read: OrganizationRecords, first: str, second: str, field: str) -> None:
    """Accounts can go from one plan to the other: of the same product, billed as often in the same currency."""
    plans = [read.get(Plan, id_) for id_ in (first, second)]
    templates = [the(read, PlanTemplate, each.value.plan_template_id) for each in plans if each is not None]
    for name in ("product_id", "currency", "bill_frequency", "bill_frequency_interval"):
        one, other = (getattr(each, name) for each in templates)
        if one != other:
            what = name.replace("_", " ").replace("product id", "product")
            raise rule_broken(field, f"both plans must have the same {what}; they have {one} and {other}")


def _forget(write: Transaction, entity: Entity[Any]) -> None:
    """What was found and told of it goes with it; accounts stay where they are."""
    for kind, key in ((SHADOWED, "shadow_plan_id"), (MOVED, "moved_by"), (ASSIGNED, "experiment_id")):
        if key.removesuffix("_id").replace("_", "") in {entity.value.kind, "movedby"}:
            while rows := write.documents(kind, DocumentWhere(equal={key: [entity.id]}), Page(size=1_000)).rows:
                write.remove_documents(kind, [each.id for each in rows])


SHADOW_PLANS = Noun(of=ShadowPlan, check=_check_shadow, check_removal=_forget)
EXPERIMENTS = Noun(of=Experiment, check=_check_experiment, check_removal=_forget)
PLAN_MIGRATIONS = Noun(of=PlanMigration, check=_check_migration, check_removal=_forget)


# ------------------------------------------------------------------------------------------------------ moving


def move(desk: Desk, of: str, account_plan: Entity[AccountPlan], to_plan_id: str, at: Instant | None) -> Moved:
    """End an account plan at a moment and begin another plan there; what it says besides goes over, but a contract that
    has ended by then. `of` is the shadow plan or migration, which keeps what became of it."""
    old = account_plan.value
    code = desk.records.codes(Account, [old.account_id]).get(old.account_id, "")
    moved = Moved(account_id=old.account_id, account_code=code, account_plan_id=account_plan.id)
    why = "its plan ends before it renews"
    if at is not None:
        contract_id = old.contract_id if _holds(desk.records, old.contract_id, at) else None
        value = msgspec.structs.replace(old, plan_id=to_plan_id, start_date=at, code=None, contract_id=contract_id)
        try:
            with desk.records.transaction() as write:
                _, made = replace_within(desk, write, account_plan.id, value, account_plan.version)
                moved = msgspec.structs.replace(moved, moved_at=at, new_account_plan_id=made.id)
                _keep_move(write, of, moved)
                return moved
        except Refusal as refusal:
            if refusal.code.retry:
                raise
            why = refusal.message
    moved = msgspec.structs.replace(moved, moved_at=None, new_account_plan_id=None, failure=why)
    with desk.records.transaction() as write:
        _keep_move(write, of, moved)
    return moved


def _holds(records: OrganizationRecords, contract_id: str | None, at: Instant) -> bool:
    if contract_id is None:
        return False
    return day_start(the(records, Contract, contract_id).end_date, config_of(records).value.timezone) > at


def _keep_move(write: Transaction, of: str, moved: Moved) -> None:
    keys = {"moved_by": of, "account_id": moved.account_id, "failed": "true" if moved.failure else "false"}
    id_ = named_id(of, f"move/{moved.account_plan_id}")
    write.put_documents(MOVED, [Document(id=id_, sort=moved.account_code, keys=keys, body=wire.encode(moved))])


def moves(records: OrganizationRecords, of: str, page: Page) -> Found[Moved]:
    """A page of what became of the accounts of a shadow plan or a migration."""
    found = records.documents(MOVED, DocumentWhere(equal={"moved_by": [of]}), page)
    return Found(tuple(wire.decode(Moved, each.body) for each in found.rows), found.next_token)


def every_move(records: OrganizationRecords, of: str) -> Iterator[Moved]:
    """All that became of the accounts of a shadow plan or a migration."""
    page: Page | None = Page(size=1_000)
    while page is not None:
        found = moves(records, of, page)
        yield from found.rows
        page = Page(size=1_000, token=found.next_token) if found.next_token else None


def _not_moved_yet(
    records: OrganizationRecords, of: str, plan_id: str, chosen: Sequence[str] | None
) -> Iterable[Entity[AccountPlan]]:
    """The account plans that have a plan, of chosen accounts or of all, that were not looked at before."""
    seen = {each.account_plan_id for each in every_move(records, of)}
    wanted = None if chosen is None else set(chosen)
    for each in records.every(AccountPlan, Where(equal={"plan_id": (plan_id,)})):
        if each.id not in seen and (wanted is None or each.value.account_id in wanted):
            yield each


# ------------------------------------------------------------------------------------------------------ switching


def switch(desk: Desk, shadow: Entity[ShadowPlan]) -> bool | None:
    """Move accounts over to the shadow plan once its day has come; returns whether there are more to move, None before
    that day or without one."""
    value = shadow.value
    if value.switch_date is None:
        return None
    at = day_start(value.switch_date, config_of(desk.records).value.timezone)
    if desk.now < at:
        return None
    waiting = (
        each
        for each in _not_moved_yet(desk.records, shadow.id, value.plan_id, value.account_ids)
        if each.value.start_date < at and (each.value.end_date is None or each.value.end_date > at)
    )
    some = list(islice(waiting, AT_ONCE))
    for each in some:
        move(desk, shadow.id, each, value.shadow_plan_id, at)
    return len(some) == AT_ONCE


# ------------------------------------------------------------------------------------------------------ migrating


def migrate(desk: Desk, migration: Entity[PlanMigration]) -> bool:
    """Give chosen accounts the other plan from when they renew; returns whether there are more to move. Whoever gets
    the old plan later is not moved."""
    waiting = _waiting(desk.records, migration.id, migration.value, migration.created)
    some = list(islice(waiting, AT_ONCE))
    for each in some:
        move(desk, migration.id, each, migration.value.to_plan_id, renewal_of(desk.records, migration.value, each))
    return len(some) == AT_ONCE


def _waiting(
    records: OrganizationRecords, id: str, value: PlanMigration, created: datetime
) -> Iterable[Entity[AccountPlan]]:
    not_before = day_start(value.not_before, config_of(records).value.timezone)
    for each in _not_moved_yet(records, id, value.from_plan_id, value.account_ids):
        open_ = each.value.end_date is None or each.value.end_date > not_before
        if open_ and each.created <= created:
            yield each


def renewal_of(
    records: OrganizationRecords, migration: PlanMigration, account_plan: Entity[AccountPlan]
) -> Instant | None:
    """When an account renews for the first time at or after the migration's day; None where its plan ends by then."""
    config, value = config_of(records).value, account_plan.value
    first = max(day_start(migration.not_before, config.timezone), value.start_date)
    at: Instant | None = None
    if migration.renewal is Renewal.CONTRACT and value.contract_id is not None:
        ends = day_start(the(records, Contract, value.contract_id).end_date, config.timezone)
        at = ends if ends >= first else None
    if at is None:
        plan = the(records, Plan, value.plan_id or "")
        template = the(records, PlanTemplate, plan.plan_template_id)
        grid = grid_of(value, the(records, Account, value.account_id), template, config, BillParameters())
        if grid is None:
            at = first
        else:
            period = grid.period_at(first)
            at = period.start if period.start == first and first > value.start_date else period.end
    return None if value.end_date is not None and at >= value.end_date else at


def check_migration(desk: Desk, value: PlanMigration) -> PlanMigration:
    """A migration held to its rules, and not kept. Refusals: those of creating it."""
    with desk.records.transaction() as read:
        require_references(read, value)
        return _check_migration(Draft(desk=desk, read=read, id=desk.new_id(), value=value, before=None))


def preview_moves(records: OrganizationRecords, migration: PlanMigration, now: Instant) -> list[Moved]:
    """Whom a migration would move, and when, were it created now: the first of them. Nothing is kept."""
    found = []
    waiting = _waiting(records, named_id(records.organization_id, migration.code), migration, now)
    for each in islice(waiting, AT_ONCE):
        account_id = each.value.account_id
        code = records.codes(Account, [account_id]).get(account_id, "")
        at = renewal_of(records, migration, each)
        failure = None if at else "its plan ends before it renews"
        found.append(
            Moved(account_id=account_id, account_code=code, account_plan_id=each.id, moved_at=at, failure=failure)
        )
    return found


# ------------------------------------------------------------------------------------------------------ assigning


def assign(desk: Desk, experiment: Entity[Experiment]) -> int:
    """Give new accounts their variant; returns how many got one. An account that has, or had, a plan of its own or a
    variant of this experiment is passed over."""
    value = experiment.value
    zone = config_of(desk.records).value.timezone
    first = day_start(value.start_date, zone)
    last = None if value.end_date is None else day_start(value.end_date, zone)
    done = 0
    for account in _new_accounts(desk.records, experiment.id, first):
        if last is None or account.created < last:
            _assign(desk, experiment, account)
            done += 1
    return done


def _new_accounts(records: OrganizationRecords, experiment_id: str, first: Instant) -> list[Entity[Account]]:
    """Accounts created since, without a parent, a plan and a variant, oldest first."""
    found: list[Entity[Account]] = []
    page: Page | None = Page(size=AT_ONCE)
    while page is not None:
        rows = records.find(Account, Where(), page)
        new = [each for each in rows.rows if each.created >= first]
        found += new
        more = rows.next_token is not None and len(new) == len(rows.rows)
        page = Page(size=AT_ONCE, token=rows.next_token) if more else None
    if not found:
        return []
    ids = [each.id for each in found]
    taken = {each.value.account_id for each in records.every(AccountPlan, Where(equal={"account_id": ids}))}
    wanted = [each for each in found if each.id not in taken and each.value.parent_account_id is None]
    known = {named_id(experiment_id, f"account/{each.id}") for each in wanted}
    there = {id_ for id_ in known if records.document(ASSIGNED, id_) is not None}
    return [each for each in wanted[::-1] if named_id(experiment_id, f"account/{each.id}") not in there]


def _assign(desk: Desk, experiment: Entity[Experiment], account: Entity[Account]) -> None:
    variant = variant_of(experiment.value.code, experiment.value.variants, account.id)
    zone = config_of(desk.records).value.timezone
    start = day_start(local_day(Instant.of(account.created), zone), zone)
    made = Assignment(
        experiment_id=experiment.id,
        account_id=account.id,
        account_code=account.value.code,
        variant=variant.code,
        at=desk.now,
    )
    with desk.records.transaction() as write:
        wanted = AccountPlan(account_id=account.id, plan_id=variant.plan_id, start_date=start)
        try:
            kept = ACCOUNT_PLANS.create_within(desk, write, wanted, desk.new_id())
            made = msgspec.structs.replace(made, account_plan_id=kept.id)
        except Refusal as refusal:
            if refusal.code.retry:
                raise
            made = msgspec.structs.replace(made, failure=refusal.message)
        keys = {
            "experiment_id": experiment.id,
            "account_id": account.id,
            "variant": variant.code,
        }
        id_ = named_id(experiment.id, f"account/{account.id}")
        write.put_documents(ASSIGNED, [Document(id=id_, sort=desk.now.stamp(), keys=keys, body=wire.encode(made))])


def assignments(
    records: OrganizationRecords, experiment_id: str, page: Page, variant: str | None = None
) -> Found[Assignment]:
    """A page of the accounts of an experiment, latest first."""
    equal = {"experiment_id": [experiment_id]} | ({"variant": [variant]} if variant else {})
    found = records.documents(ASSIGNED, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(Assignment, each.body) for each in found.rows), found.next_token)
