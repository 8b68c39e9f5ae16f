"""Plans: priced offers made from templates. A bespoke plan belongs to one account for ever (source: reference 2.3)."""

from __future__ import annotations

from collections.abc import Collection

from tallystick.control.desk import Draft, Noun, in_use, rule_broken, the
from tallystick.control.pricing_conditions import require_prices_of_template_last
from tallystick.core.account import AccountPlan
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.ports import OrganizationRecords, Where


def product_of(read: OrganizationRecords, plan: Plan) -> str:
    """The product that a plan sells: its template's."""
    return the(read, PlanTemplate, plan.plan_template_id).product_id


def products_of(read: OrganizationRecords, plans: Collection[Entity[Plan]]) -> dict[str, str]:
    """Plan ids to the products they sell, for many plans at once."""
    templates = read.get_many(PlanTemplate, {plan.value.plan_template_id for plan in plans})
    return {plan.id: templates[plan.value.plan_template_id].value.product_id for plan in plans}


def plans_in_groups(read: OrganizationRecords, plan_group_ids: Collection[str]) -> dict[str, list[str]]:
    """Plan group ids to the ids of their plans, in the order in which they were put there."""
    found: dict[str, list[str]] = {each: [] for each in plan_group_ids}
    if found:
        for link in read.every(PlanGroupLink, Where(equal={"plan_group_id": list(found)})):
            found[link.value.plan_group_id].append(link.value.plan_id)
    return found


def links_with(read: OrganizationRecords, plan_ids: Collection[str]) -> list[Entity[PlanGroupLink]]:
    """The links that put these plans into groups."""
    return list(read.every(PlanGroupLink, Where(equal={"plan_id": plan_ids}))) if plan_ids else []


def require_billed(read: OrganizationRecords, plan_id: str) -> None:
    """Refuse to sell a plan that no bill would ever show."""
    frequency = the(read, PlanTemplate, the(read, Plan, plan_id).plan_template_id).bill_frequency
    if not frequency.has_periods:
        message = (
            f"the plan {plan_id} is billed {frequency}, which has no billing periods, so that no bill would show it"
        )
        raise rule_broken("planId", f"{message}; have it billed DAILY, WEEKLY, MONTHLY or ANNUALLY, or make charges")


def account_plans_of(read: OrganizationRecords, plan_ids: Collection[str]) -> list[tuple[str, str]]:
    """What sells these plans: account plans, and groups by their links; each as kind and id."""
    attached = read.every(AccountPlan, Where(equal={"plan_id": plan_ids})) if plan_ids else ()
    found = [(AccountPlan.kind, each.id) for each in attached]
    return found + [(PlanGroupLink.kind, each.id) for each in links_with(read, plan_ids)]


def billed_as(template: PlanTemplate) -> tuple[str, str, int]:
    """What the plans of a group have in common: currency, frequency and interval."""
    return template.currency, template.bill_frequency, template.bill_frequency_interval


def _check(draft: Draft[Plan]) -> Plan:
    value = draft.value
    if value.bespoke and value.account_id is None:
        raise rule_broken("accountId", "a bespoke plan needs the account it is made for")
    if not value.bespoke and value.account_id is not None:
        raise rule_broken("accountId", "only a bespoke plan belongs to an account; set bespoke to true")
    if draft.before is not None:
        _check_change(draft, draft.before.value)
    return value


def _check_change(draft: Draft[Plan], before: Plan) -> None:
    value = draft.value
    if before.account_id is not None and before.account_id != value.account_id:
        message = f"the plan was made for the account {before.account_id}; that cannot change, make another plan"
        raise rule_broken("accountId", message)
    if value.account_id is not None and before.account_id is None:
        attached = draft.read.every(AccountPlan, Where(equal={"plan_id": (draft.id,)}))
        others = [(AccountPlan.kind, each.id) for each in attached if each.value.account_id != value.account_id]
        links = links_with(draft.read, (draft.id,))
        groups = draft.read.get_many(PlanGroup, {link.value.plan_group_id for link in links})
        others += [(PlanGroup.kind, each.id) for each in groups.values() if each.value.account_id != value.account_id]
        if others:
            raise in_use("plan", draft.id, others[:10], field="accountId")
    if value.plan_template_id != before.plan_template_id:
        _check_template(draft, before)
        require_prices_of_template_last(draft.read, draft.id, value.plan_template_id)


def _check_template(draft: Draft[Plan], before: Plan) -> None:
    """A plan in use goes on selling its product, and in a group goes on being billed as the others are."""
    new = the(draft.read, PlanTemplate, draft.value.plan_template_id)
    old = the(draft.read, PlanTemplate, before.plan_template_id)
    users = draft.read.users_of(draft.id)
    if new.product_id == old.product_id:
        links = links_with(draft.read, (draft.id,)) if billed_as(new) != billed_as(old) else []
        users = [(PlanGroupLink.kind, each.id) for each in links[:10]]
    if not users and not new.bill_frequency.has_periods:
        users = account_plans_of(draft.read, (draft.id,))[:10]
    if users:
        raise in_use("plan", draft.id, users, field="planTemplateId")


PLANS = Noun(of=Plan, check=_check)
