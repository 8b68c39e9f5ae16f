"""What a group of plans charges besides its plans: a standing charge, and a minimum across all of them.

Source: reference 2.3, 3.4; docs/decisions/0141-plan-groups-on-bills.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from tallystick.core.bill import LineItemType
from tallystick.core.catalog import Product
from tallystick.core.charges import (
    Charge,
    Minimum,
    Share,
    billed_on,
    due_ahead,
    in_advance,
    minimum_ahead,
    minimum_charges,
    prorated,
    share_of,
    topped_up,
)
from tallystick.core.conversion import Conversion
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft
from tallystick.core.plan_group import PlanGroup
from tallystick.core.quantity import ZERO, total
from tallystick.core.terms import AccountPlanTerms, Terms


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group in force: an account plan with its plans on this bill, all of the same billing period."""

    group: Entity[PlanGroup]
    plans: list[AccountPlanTerms]

    @property
    def first(self) -> AccountPlanTerms:
        return self.plans[0]


def group_drafts(terms: Terms, charged: Mapping[str, Decimal]) -> Iterator[Draft]:
    """The lines of the groups on this bill.

    `charged` has, by the id of each account plan's terms, what it is charged for the period in the currency of its
    plan, minimums included: that counts towards the minimum of its group.
    """
    for group in _groups(terms):
        conversion = terms.conversion(group.group.value.currency)
        for charge in _standing_charges(terms, group):
            yield _draft(group, conversion, charge)
        counted = _counted(terms, group, charged, conversion)
        minimum = _minimum(terms, group)
        if minimum is not None:
            for charge in minimum_charges(minimum, group.first.period, group.first.grid, counted, conversion):
                yield _draft(group, conversion, charge)


def group_charges(terms: Terms, charged: Mapping[str, Decimal], contract_id: str) -> Iterator[Decimal]:
    """What the groups of a contract charge besides their plans for this very period, whichever bills that stands on, as
    money of the bill. `charged` is as for `group_drafts`."""
    for group in _groups(terms):
        if group.first.account_plan.value.contract_id == contract_id:
            conversion = terms.conversion(group.group.value.currency)
            counted = _counted(terms, group, charged, conversion)
            yield conversion.converted(conversion.money(_standing_now(group)))
            missing = topped_up(_minimum(terms, group), group.first.period, group.first.grid, counted, conversion)
            yield conversion.converted(missing)


def groups_ahead(terms: Terms) -> Iterator[Draft]:
    """The charges of groups for this very period that belong on the bill before."""
    for group in _groups(terms):
        value, first = group.group.value, group.first
        conversion = terms.conversion(value.currency)
        advance = in_advance(value.standing_charge_bill_in_advance, terms.config.value.standing_charge_bill_in_advance)
        share = due_ahead(first.period, [first.life], first.grid, in_advance=advance)
        minimum = _minimum(terms, group)
        charges = (
            _standing_charge(terms, group, share) if share and value.standing_charge else None,
            minimum_ahead(minimum, first.period, first.grid) if minimum else None,
        )
        yield from (_draft(group, conversion, charge) for charge in charges if charge)


def _groups(terms: Terms) -> list[_Group]:
    found: dict[str, _Group] = {}
    for each in terms.account_plans:
        if each.group is not None:
            of = found.setdefault(each.account_plan.id, _Group(group=each.group, plans=[]))
            of.plans.append(each)
    return list(found.values())


def _counted(terms: Terms, group: _Group, charged: Mapping[str, Decimal], conversion: Conversion) -> Decimal:
    """What counts towards the minimum of a group, in its currency: its standing charge and its plans."""
    own = conversion.money(_standing_now(group))
    return total((own, *(_in_currency(terms, group, each, charged[each.id]) for each in group.plans)))


def _in_currency(terms: Terms, group: _Group, plan: AccountPlanTerms, amount: Decimal) -> Decimal:
    exchange = terms.exchange(plan.plan.template.value.currency, group.group.value.currency)
    return exchange.converted(amount)


def _standing_charges(terms: Terms, group: _Group) -> Iterator[Charge]:
    value = group.group.value
    if not value.standing_charge:
        return
    advance = in_advance(value.standing_charge_bill_in_advance, terms.config.value.standing_charge_bill_in_advance)
    first = group.first
    for share in billed_on(first.period, [first.life], first.grid, in_advance=advance):
        yield _standing_charge(terms, group, share)


def _standing_charge(terms: Terms, group: _Group, share: Share) -> Charge:
    value = group.group.value
    exact, working = prorated(value.standing_charge or ZERO, share)
    return Charge(
        type=LineItemType.STANDING_CHARGE,
        description=value.standing_charge_description or "Standing Charge",
        service=share.service,
        exact=exact,
        working=working,
        accounting_product=_product(terms, value.standing_charge_accounting_product_id),
    )


def _standing_now(group: _Group) -> Decimal:
    """The standing charge for this very period, whichever bill it stands on."""
    share = share_of(group.first.period, [group.first.life], group.first.grid.zone)
    return prorated(group.group.value.standing_charge or ZERO, share)[0] if share else ZERO


def _minimum(terms: Terms, group: _Group) -> Minimum | None:
    value = group.group.value
    if not value.minimum_spend:
        return None
    return Minimum(
        amount=value.minimum_spend,
        description=value.minimum_spend_description or f"{value.name} Minimum Spend Adjustment",
        in_advance=in_advance(value.minimum_spend_bill_in_advance, terms.config.value.minimum_spend_bill_in_advance),
        life=(group.first.life,),
        accounting_product=_product(terms, value.minimum_spend_accounting_product_id),
    )


def _product(terms: Terms, id: str | None) -> Entity[Product] | None:
    return terms.agreements.products.get(id) if id else None


def _draft(group: _Group, conversion: Conversion, charge: Charge) -> Draft:
    account_plan = group.first.account_plan
    return Draft(
        conversion=conversion,
        type=charge.type,
        description=charge.description,
        service=charge.service,
        exact=charge.exact,
        working=charge.working,
        accounting_product=charge.accounting_product,
        of=account_plan.id,
        fields={"plan_group_id": group.group.id, "contract_id": account_plan.value.contract_id},
    )
