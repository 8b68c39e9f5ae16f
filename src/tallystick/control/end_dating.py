"""Ending at once what an account, or a contract, is billed by (source: reference 1.7, 2.5).

What ends earlier already stays as it is. What cannot end at the date is named with the reason, and the rest ends
(docs/decisions/0103-ending-what-is-billed.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from tallystick.control.account_plans import ACCOUNT_PLANS
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.commitments import COMMITMENTS
from tallystick.control.contracts import CONTRACTS
from tallystick.control.counter_pricings import COUNTER_PRICINGS
from tallystick.control.desk import Desk, Noun
from tallystick.control.plans import plans_in_groups
from tallystick.control.pricings import PRICINGS
from tallystick.core.account import Account, AccountPlan
from tallystick.core.catalog import Plan
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Transaction, Where
from tallystick.ports.founded import config_of


class BillingEntity(StrEnum):
    CONTRACT = "CONTRACT"
    ACCOUNTPLAN = "ACCOUNTPLAN"
    PREPAYMENT = "PREPAYMENT"
    PRICINGS = "PRICINGS"
    COUNTER_PRICINGS = "COUNTER_PRICINGS"


class EndDating(Value, frozen=True, kw_only=True):
    """What is to end, and when: the end is exclusive."""

    billing_entities: Annotated[tuple[BillingEntity, ...], msgspec.Meta(min_length=1)]
    end_date: Instant
    apply_to_children: bool = False


class EntitySet(Value, frozen=True, kw_only=True):
    """Ids of entities. `empty` is what m3ter's clients know of it."""

    empty: bool
    ids: tuple[str, ...]


class Ended(Value, frozen=True, kw_only=True):
    """What has ended and what could not, by kind, with the reasons in words."""

    status_message: str
    updated_entities: dict[str, EntitySet]
    failed_entities: dict[str, EntitySet]


@dataclass(slots=True)
class _Work:
    """One request as it is worked off."""

    desk: Desk
    write: Transaction
    wanted: EndDating
    updated: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def wants(self, kind: BillingEntity) -> bool:
        return kind in self.wanted.billing_entities

    def end(self, kind: BillingEntity, noun: Noun[Any], entities: Iterable[Entity[Any]]) -> None:
        """End what has no end, or a later one."""
        moment = self.wanted.end_date
        day = moment.astimezone(ZoneInfo(config_of(self.write).value.timezone)).date()
        for entity in list(entities):
            end = moment if isinstance(entity.value.start_date, Instant) else day
            if entity.value.end_date is not None and entity.value.end_date <= end:
                continue
            try:
                value = msgspec.structs.replace(entity.value, end_date=end)
                noun.update_within(self.desk, self.write, entity, value, None)
            except (Refusal, ValueError) as problem:
                self.fail(kind, entity.id, f"the {noun.label} {entity.id}: {problem}")
            else:
                self.updated.setdefault(kind, []).append(entity.id)

    def fail(self, kind: BillingEntity, id: str, reason: str) -> None:
        """Name what does not end, and why."""
        self.failed.setdefault(kind, []).append(id)
        self.reasons.append(reason)

    def reply(self) -> Ended:
        """What was done."""
        done = sum(len(ids) for ids in self.updated.values())
        message = f"{done} ended at {self.wanted.end_date.wire()}"
        if self.reasons:
            message += f"; {len(self.reasons)} could not: " + "; ".join(self.reasons[:10])
        return Ended(status_message=message, updated_entities=_sets(self.updated), failed_entities=_sets(self.failed))


def end_of_account(desk: Desk, id: str, wanted: EndDating) -> Ended:
    """End what an account is billed by, and with `apply_to_children` its children; Refusal `not_found`."""
    with desk.records.transaction() as write:
        account = ACCOUNTS.retrieve(write, id)
        work = _Work(desk, write, wanted)
        accounts = _family(write, account.id, wanted)
        of_accounts = Where(equal={"account_id": accounts})
        account_plans = list(write.every(AccountPlan, of_accounts))
        bespoke = [each.id for each in write.every(Plan, of_accounts)]
        _end_prices(work, account_plans, accounts, bespoke)
        for kind, noun in ((BillingEntity.ACCOUNTPLAN, ACCOUNT_PLANS), *_AGREED):
            if work.wants(kind):
                work.end(kind, noun, write.every(noun.of, of_accounts))
        return work.reply()


def end_of_contract(desk: Desk, id: str, wanted: EndDating) -> Ended:
    """End what hangs on a contract, and itself where CONTRACT is named; what children of its account have on it ends
    only with `apply_to_children`. Refusal `not_found`."""
    with desk.records.transaction() as write:
        contract = CONTRACTS.retrieve(write, id)
        work = _Work(desk, write, wanted)
        accounts = _family(write, contract.value.account_id, wanted)
        linked = Where(equal={"contract_id": (id,), "account_id": accounts})
        account_plans = list(write.every(AccountPlan, linked))
        _end_prices(work, account_plans, accounts, ())
        if work.wants(BillingEntity.ACCOUNTPLAN):
            work.end(BillingEntity.ACCOUNTPLAN, ACCOUNT_PLANS, account_plans)
        if work.wants(BillingEntity.PREPAYMENT):
            work.end(BillingEntity.PREPAYMENT, COMMITMENTS, write.every(COMMITMENTS.of, linked))
        if work.wants(BillingEntity.CONTRACT):
            work.end(BillingEntity.CONTRACT, CONTRACTS, (contract,))
        return work.reply()


_AGREED: tuple[tuple[BillingEntity, Noun[Any]], ...] = (
    (BillingEntity.PREPAYMENT, COMMITMENTS),
    (BillingEntity.CONTRACT, CONTRACTS),
)


def _family(write: Transaction, account_id: str, wanted: EndDating) -> list[str]:
    if not wanted.apply_to_children:
        return [account_id]
    children = write.every(Account, Where(equal={"parent_account_id": (account_id,)}))
    return [account_id, *(child.id for child in children)]


def _end_prices(
    work: _Work, account_plans: Iterable[Entity[AccountPlan]], accounts: list[str], bespoke: Iterable[str]
) -> None:
    """Prices of plans that were made for these accounts end; those of plans that others have too do not."""
    nouns: tuple[tuple[BillingEntity, Noun[Any]], ...] = (
        (BillingEntity.PRICINGS, PRICINGS),
        (BillingEntity.COUNTER_PRICINGS, COUNTER_PRICINGS),
    )
    plan_ids = {*bespoke, *_plans_beyond(work, account_plans)}
    plans = work.write.get_many(Plan, plan_ids)
    own = [each for each in sorted(plans) if plans[each].value.account_id in accounts]
    shared = [each for each in sorted(plans) if each not in own]
    for kind, noun in nouns:
        if not work.wants(kind):
            continue
        if own:
            work.end(kind, noun, work.write.every(noun.of, Where(equal={"plan_id": own})))
        for pricing in work.write.every(noun.of, Where(equal={"plan_id": shared})) if shared else ():
            plan = pricing.value.plan_id
            work.fail(kind, pricing.id, f"the {noun.label} {pricing.id}: its plan {plan} is not of this account only")


def _plans_beyond(work: _Work, account_plans: Iterable[Entity[AccountPlan]]) -> set[str]:
    """The plans that account plans have in force at the date or later."""
    end = work.wanted.end_date
    values = [each.value for each in account_plans if each.value.end_date is None or each.value.end_date > end]
    groups = plans_in_groups(work.write, {each.plan_group_id for each in values if each.plan_group_id is not None})
    alone = {each.plan_id for each in values if each.plan_id is not None}
    return alone.union(*groups.values())


def _sets(ids: dict[str, list[str]]) -> dict[str, EntitySet]:
    return {kind: EntitySet(empty=False, ids=tuple(of_kind)) for kind, of_kind in ids.items()}
