"""Parents and children: whose usage is pooled with whose, and who is billed by whose plan (source: reference 3.9).

A parent's plan pools its own usage and that of the children that have no plan of their own for the product; with
childBillingMode CHILD each such child is billed by itself with the parent's plan (docs/decisions/0153-hierarchies.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from tallystick.core.account import Account, AccountPlan, ChildBillingMode
from tallystick.core.agreements import Agreements, period_limits
from tallystick.core.entity import Entity
from tallystick.core.period import Period, intersect, stretch
from tallystick.core.plan_terms import PlanTerms


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The children of an account that is billed, by code, and the account plans of relatives, by account id."""

    children: tuple[Entity[Account], ...] = ()
    account_plans: Mapping[str, tuple[Entity[AccountPlan], ...]] = {}

    def inherited(self, account: Entity[Account]) -> tuple[Entity[AccountPlan], ...]:
        """The account plans of the parent that bill each child by itself."""
        of_parent = self.account_plans.get(account.value.parent_account_id or "", ())
        return tuple(each for each in of_parent if each.value.child_billing_mode is ChildBillingMode.CHILD)


class Stretch(NamedTuple):
    """A stretch of time in which the same accounts are pooled: the billed one first, then children by code."""

    window: Period
    members: tuple[Entity[Account], ...]


class Own(NamedTuple):
    """What accounts have of their own for a product: the lives of their plans by account id, and on which configured
    things that depends."""

    lives: Mapping[str, tuple[Period, ...]]
    considered: tuple[Entity[Any], ...]


def family_of(account: Entity[Account], accounts: Iterable[Entity[Account]], plans: Iterable[Any]) -> Family:
    """The family of an account among accounts and account plans."""
    children = (each for each in accounts if each.value.parent_account_id == account.id)
    by_account: dict[str, tuple[Entity[AccountPlan], ...]] = {}
    for each in sorted({one.id: one for one in plans}.values(), key=lambda one: (one.value.start_date, one.id)):
        by_account[each.value.account_id] = (*by_account.get(each.value.account_id, ()), each)
    ordered = tuple(sorted(children, key=lambda each: (each.value.code, each.id)))
    return Family(children=ordered, account_plans=by_account)


def own_plans(
    family: Family,
    accounts: Iterable[Entity[Account]],
    product_id: str,
    plan: Callable[[str], PlanTerms],
    agreements: Agreements,
    zone: str,
) -> Own:
    """The plans that accounts have of their own for a product, within the contracts that limit them to days of a zone.
    Refusals as `plan`."""
    lives: dict[str, tuple[Period, ...]] = {}
    considered: dict[tuple[str, str], Entity[Any]] = {}
    for account in accounts:
        for each in family.account_plans.get(account.id, ()):
            found = [one for one in map(plan, agreements.plan_ids(each.value)) if one.product.id == product_id]
            if not found:
                continue
            contract = agreements.contract(each.value.contract_id)
            life = intersect(stretch(each.value.start_date, each.value.end_date), period_limits(contract, zone))
            if life is not None:
                lives[account.id] = (*lives.get(account.id, ()), life)
            group = agreements.plan_groups.get(each.value.plan_group_id or "")
            used: list[Entity[Any]] = [each] if contract is None else [each, contract]
            if group is not None:
                used += [group, *agreements.links.get(group.id, ())]
            for one in map(plan, agreements.plan_ids(each.value)):
                used += [one.plan, one.template, one.product, one.standing_charge_product, one.minimum_spend_product]
            considered |= {(one.value.kind, one.id): one for one in used}
    return Own(lives, tuple(considered.values()))


def stretches(account: Entity[Account], family: Family, own: Own, life: Period) -> tuple[Stretch, ...]:
    """Who is pooled with the account when, over the life of its plan; nothing when it never has company."""
    edges = {life.start, life.end}
    for child in family.children:
        edges |= {edge for each in own.lives.get(child.id, ()) for edge in each if life.start < edge < life.end}
    found: list[Stretch] = []
    for window in (Period(start, end) for start, end in pairwise(sorted(edges))):
        alone = (child for child in family.children if not _any(own.lives.get(child.id, ()), window))
        members = (account, *alone)
        if found and found[-1].members == members:
            found[-1] = Stretch(Period(found[-1].window.start, window.end), members)
        else:
            found.append(Stretch(window, members))
    return tuple(found) if any(len(each.members) > 1 for each in found) else ()


def without(life: Period, taken: Sequence[Period]) -> Iterator[Period]:
    """What is left of a life outside some others, in order."""
    start = life.start
    for each in sorted(taken):
        if start < min(each.start, life.end):
            yield Period(start, min(each.start, life.end))
        start = max(start, each.end)
    if start < life.end:
        yield Period(start, life.end)


def _any(lives: Sequence[Period], window: Period) -> bool:
    return any(intersect(each, window) for each in lives)
