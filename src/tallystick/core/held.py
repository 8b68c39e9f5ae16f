"""The credit that an account holds becomes part of the terms of its bills; its fees become lines.

Source: reference 3.6, 3.7. Loading a bill and replaying one both come through `with_credits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tallystick.core.account import ChildBillingMode, ChildCreditOrder, CreditType
from tallystick.core.bill import LineItemType
from tallystick.core.commitment import Fee, agreed_fees, fees_on, plan_fees
from tallystick.core.credit import Credit, balance_credit, commitment_credit, draw_order
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft
from tallystick.core.period import Frequency, Period, day_start, intersect
from tallystick.core.terms import CommitmentTerms, Setting, Terms, billed_in, template_grid

IN_HIERARCHIES = (CreditType.PREPAYMENT, CreditType.BALANCE)


def with_credits(terms: Terms, setting: Setting, held: Iterable[Entity[Any]]) -> Terms:
    """The terms with those of these commitments and balances that the bill may draw or charges a fee for.

    Drawn are those that pay for some time from the start of the billing period to the end of the next one, which may
    be charged in advance. Refusal `unknown_reference` for a billing plan that cannot be read.
    """
    held = tuple(held)
    if not held:
        return terms
    ends = [each.grid.next(each.period).end for each in terms.account_plans]
    horizon = Period(terms.period.start, max([terms.period.end, *ends]))
    found = [credit for each in held if (credit := _shared(terms, _credit(terms, setting, each)))]
    pay = [each for each in found if intersect(_life(each), horizon)]
    order = _kinds(terms)
    commitments = [each for each in (_commitment(terms, setting, each) for each in found) if each is not None]
    return msgspec.structs.replace(
        terms,
        credits=draw_order(pay, order, terms.account.id, parent_first=_parent_first(terms)),
        commitments=tuple(
            sorted(commitments, key=lambda each: (each.credit.entity.created.isoformat(), each.credit.id))
        ),
    )


def _kinds(terms: Terms) -> Sequence[CreditType]:
    """Which kinds of credit are drawn, in order: the account's own setting, else the organisation's; in a hierarchy
    always commitments first (source: reference 3.7)."""
    if terms.account.value.parent_account_id is not None:
        return IN_HIERARCHIES
    return terms.account.value.credit_application_order or terms.config.value.credit_application_order


def _shared(terms: Terms, credit: Credit) -> Credit | None:
    """A credit as far as it pays for this account: one of the parent where its childBillingMode says CHILD, or, where
    it says nothing, for what the account is charged by plans of the parent (docs/decisions/0154-credit-of-parents.md).
    """
    value = credit.entity.value
    if value.account_id == terms.account.id:
        return credit
    mode = credit.commitment.child_billing_mode if credit.commitment else None
    if mode is not None:
        return credit if mode is ChildBillingMode.CHILD else None
    inherited = sorted({each.plan.plan.id for each in terms.account_plans if each.inherited})
    return msgspec.structs.replace(credit, plan_ids=tuple(inherited)) if inherited else None


def _parent_first(terms: Terms) -> bool:
    rules = (each.account_plan.value.child_credit_order for each in terms.account_plans if each.inherited)
    return any(each is ChildCreditOrder.PARENT_FIRST for each in rules)


def _life(credit: Credit) -> Period:
    return Period(credit.window.start, credit.rollover.end if credit.rollover else credit.window.end)


def _credit(terms: Terms, setting: Setting, entity: Entity[Any]) -> Credit:
    if isinstance(entity.value, Commitment):
        return commitment_credit(entity, terms.zone, setting.products)
    assert isinstance(entity.value, Balance), "credit is a commitment or a balance"
    negative = setting.config.value.allow_negative_balances
    return balance_credit(entity, allow_negative=negative, products=setting.products)


# ------------------------------------------------------------------------------------------------------ fees


def _commitment(terms: Terms, setting: Setting, credit: Credit) -> CommitmentTerms | None:
    """A commitment with its billing plan's grid where it has fees that could stand on this bill."""
    value = credit.commitment
    if value is None or value.account_id != terms.account.id or not (value.billing_plan_id or value.fee_dates):
        return None
    if terms.agreements.grouping(terms.agreements.contract(value.contract_id)) != terms.of.grouping:
        return None
    grid = None
    if value.billing_plan_id is not None:
        plan = setting.plan(value.billing_plan_id)
        epoch = value.bill_epoch or terms.account.value.bill_epoch
        grid = template_grid(plan.template.value, epoch, setting.config.value, terms.parameters)
        billing = (plan.plan, plan.template, plan.product, plan.standing_charge_product, plan.minimum_spend_product)
        credit = msgspec.structs.replace(credit, billing=billing)
    advance = value.commitment_fee_bill_in_advance
    if advance is None:
        advance = setting.config.value.commitment_fee_bill_in_advance
    found = CommitmentTerms(credit=credit, grid=grid, in_advance=advance)
    return found if fees_of(terms, found) else None


def fees_of(terms: Terms, commitment: CommitmentTerms) -> list[Fee]:
    """The fees of a commitment that stand on the bill of these terms.

    Those of a billing plan stand on the bill of the plan's period, those for single days on the AD_HOC bill of the day.
    """
    value = commitment.credit.commitment
    assert value is not None, "only commitments have fees"
    if commitment.grid is not None:
        period = billed_in(commitment.grid, terms.of)
        if period is None:
            return []
        fees = plan_fees(value, commitment.credit.window, commitment.grid, terms.conversion(value.currency).money)
        return fees_on(fees, period, commitment.credit.window, commitment.grid, in_advance=commitment.in_advance)
    if terms.of.frequency is not Frequency.AD_HOC:
        return []
    within = terms.period
    return [
        fee for agreed, fee in agreed_fees(value) if within.start <= day_start(agreed.date, terms.zone) < within.end
    ]


def fee_drafts(terms: Terms) -> Iterator[Draft]:
    """The fees of commitments as lines before they become money."""
    for commitment in terms.commitments:
        value = commitment.credit.commitment
        assert value is not None, "only commitments have fees"
        conversion = terms.conversion(value.currency)
        accounting = commitment.credit.product(value.fees_accounting_product_id, value.accounting_product_id)
        for fee in fees_of(terms, commitment):
            yield Draft(
                conversion=conversion,
                type=LineItemType.COMMITMENT_FEE,
                description=value.commitment_fee_description or "Commitment Fee",
                service=fee.service,
                exact=fee.exact,
                working=fee.working,
                accounting_product=accounting,
                of=f"{commitment.credit.id}/{fee.number}",
                fields={"commitment_id": commitment.credit.id, "contract_id": value.contract_id},
            )
