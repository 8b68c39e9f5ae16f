"""The outcome of an experiment: what became of the accounts of each variant, from their plans and their bills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from tallystick.core import wire
from tallystick.core.account import AccountPlan
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.entity import Entity
from tallystick.core.money import Rounding, round_money, rounding_for
from tallystick.core.organization import Currency
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, divide, tidy, total
from tallystick.core.rollout import (
    Assignment,
    Experiment,
    ExperimentReport,
    Variant,
    VariantOutcome,
    VariantRevenue,
    VariantUsage,
)
from tallystick.core.spend_alert import charged
from tallystick.pipeline.ledger import every_document
from tallystick.ports import DocumentWhere, OrganizationRecords, Where

KIND = "assignment"
AT_ONCE = 500  # accounts of a question


def outcome_of(records: OrganizationRecords, experiment: Entity[Experiment], *, now: Instant) -> ExperimentReport:
    """The outcome so far, at a moment."""
    where = DocumentWhere(equal={"experiment_id": [experiment.id]})
    every = [wire.decode(Assignment, each.body) for each in every_document(records, KIND, where)]
    got = {each.account_id: each for each in every if each.failure is None}
    plans = _plans(records, list(got))
    bills = _bills(records, list(got))
    roundings = {
        each.value.code: rounding_for(each.value.max_decimal_places, each.value.rounding_mode)
        for each in records.every(Currency)
    }
    variants = []
    for variant in experiment.value.variants:
        own = [each for each in got.values() if each.variant == variant.code]
        variants.append(_outcome(variant, own, plans, bills, roundings, now))
    return ExperimentReport(
        experiment_id=experiment.id, variants=tuple(variants), failed=sum(each.failure is not None for each in every)
    )


def _outcome(
    variant: Variant,
    own: Sequence[Assignment],
    plans: Mapping[str, Sequence[Entity[AccountPlan]]],
    bills: Mapping[str, Sequence[Bill]],
    roundings: Mapping[str, Rounding],
    now: Instant,
) -> VariantOutcome:
    mine = [bill for each in own for bill in bills.get(each.account_id, ())]
    revenue = []
    for currency in sorted({each.currency for each in mine}):
        amounts = [charged(each) for each in mine if each.currency == currency]
        rounding, sum_ = roundings.get(currency, Rounding()), total(amounts)
        revenue.append(
            VariantRevenue(
                currency=currency,
                bills=len(amounts),
                revenue=sum_,
                average_bill=round_money(divide(sum_, Decimal(len(amounts))), rounding),
                revenue_per_account=round_money(divide(sum_, Decimal(len(own))), rounding),
            )
        )
    return VariantOutcome(
        code=variant.code,
        plan_id=variant.plan_id,
        weight=variant.weight,
        accounts=len(own),
        churned=sum(_churned(plans.get(each.account_id, ()), now) for each in own),
        revenue=tuple(revenue),
        usage=_usage(mine),
    )


def _usage(bills: Iterable[Bill]) -> tuple[VariantUsage, ...]:
    units: dict[str, Decimal] = {}
    names: dict[str, str] = {}
    for line in (each for bill in bills for each in bill.line_items):
        id_ = line.aggregation_id or line.compound_aggregation_id
        if id_ is not None and line.line_item_type == "USAGE":
            units[id_] = add(units.get(id_, ZERO), line.units)
            names[id_] = line.description
    return tuple(VariantUsage(aggregation_id=each, name=names[each], units=tidy(units[each])) for each in sorted(units))


def _churned(plans: Sequence[Entity[AccountPlan]], now: Instant) -> bool:
    """Whether the account's plan has ended and no other is in force, nor begins later."""
    return not any(each.value.end_date is None or each.value.end_date > now for each in plans)


def _plans(records: OrganizationRecords, accounts: Sequence[str]) -> dict[str, list[Entity[AccountPlan]]]:
    found: dict[str, list[Entity[AccountPlan]]] = {}
    for first in range(0, len(accounts), AT_ONCE):
        for each in records.every(AccountPlan, Where(equal={"account_id": accounts[first : first + AT_ONCE]})):
            found.setdefault(each.value.account_id, []).append(each)
    return found


def _bills(records: OrganizationRecords, accounts: Sequence[str]) -> dict[str, list[Bill]]:
    found: dict[str, list[Bill]] = {}
    for first in range(0, len(accounts), AT_ONCE):
        where = DocumentWhere(equal={"account_id": accounts[first : first + AT_ONCE]})
        for each in every_document(records, "bill", where):
            bill = wire.decode(BillRecord, each.body).bill
            found.setdefault(bill.account_id, []).append(bill)
    return found
