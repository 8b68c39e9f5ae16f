"""Rate accounts: read what they have agreed to, measure what they have used, and make lines of it. Nothing is written.

Bills, previews, dashboards and verification all come through `rate_terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.aggregation import Aggregation
from tallystick.core.bill import Answer, BillParameters
from tallystick.core.bill_job import BillFailure
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.entity import Entity, Value
from tallystick.core.meter import Meter
from tallystick.core.organization import Currency, OrganizationConfig
from tallystick.core.period import Frequency, Grid, Instant, Period, intersect, stretch
from tallystick.core.plan_terms import Catalogue, PlanTerms, catalogue_of, plan_terms
from tallystick.core.rating import RatedLine, questions, rate
from tallystick.core.terms import AccountPeriod, Setting, Terms, grid_of, terms_of
from tallystick.errors import Refusal
from tallystick.pipeline.meter import measure
from tallystick.ports import OrganizationRecords, OrganizationUsage, Where

V = TypeVar("V", bound=Value)


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    """One account period, rated: its terms, its lines, and what the usage store answered up to `up_to`."""

    terms: Terms
    lines: tuple[RatedLine, ...]
    answers: tuple[Answer, ...]
    up_to: int


def rate_accounts(
    records: OrganizationRecords, usage: OrganizationUsage, periods: Sequence[AccountPeriod], *, up_to: int
) -> list[Rated | BillFailure]:
    """Rate account periods with the present configuration and the usage up to a journal position, in their order.

    What one account cannot be rated for (a missing conversion rate, say) is a failure in its place; the others go on.
    The usage store must hold the journal up to `up_to`.
    """
    found = load_terms(records, periods)
    rated = iter(rate_terms(usage, [each for each in found if isinstance(each, Terms)], up_to=up_to))
    return [next(rated) if isinstance(each, Terms) else each for each in found]


def rate_terms(usage: OrganizationUsage, terms: Sequence[Terms], *, up_to: int) -> list[Rated | BillFailure]:
    """Rate terms that were read before, in their order: the one calculation."""
    asked = [questions(each, up_to) for each in terms]
    together: dict[str, dict[Any, None]] = {}
    for each, wanted in zip(terms, asked, strict=True):
        together.setdefault(each.account.id, {}).update(dict.fromkeys(wanted))
    measured = measure(usage, together)
    results: list[Rated | BillFailure] = []
    for each, wanted in zip(terms, asked, strict=True):
        answers = {question: measured[each.account.id][question] for question in wanted}
        try:
            lines = rate(each, answers, up_to)
        except Refusal as refusal:
            results.append(failure_of(each.of, refusal))
            continue
        kept = tuple(Answer(question=question, rows=rows) for question, rows in answers.items())
        results.append(Rated(terms=each, lines=lines, answers=kept, up_to=up_to))
    return results


def failure_of(of: AccountPeriod, refusal: Refusal) -> BillFailure:
    """Why one account period could not be billed, as a value."""
    return BillFailure(account_id=of.account_id, code=refusal.code.name, message=refusal.message, period_key=of.key)


# ------------------------------------------------------------------------------------------------------ reading


def load_terms(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> list[Terms | BillFailure]:
    """What the accounts have agreed to, as configured now; read in bulk, answered in the order asked."""
    ids = sorted({each.account_id for each in periods})
    accounts = records.get_many(Account, ids)
    account_plans: dict[str, list[Entity[AccountPlan]]] = {}
    if ids:
        for entity in records.every(AccountPlan, Where(equal={"account_id": ids})):
            account_plans.setdefault(entity.value.account_id, []).append(entity)
    in_force = chain.from_iterable(
        (plan for plan in account_plans.get(each.account_id, ()) if intersect(_life(plan.value), each.period))
        for each in periods
    )
    setting = read_setting(records, {plan.value.plan_id for plan in in_force if plan.value.plan_id})
    results: list[Terms | BillFailure] = []
    for each in periods:
        account = accounts.get(each.account_id)
        try:
            results.append(_terms(setting, account, account_plans.get(each.account_id, ()), each))
        except Refusal as refusal:
            results.append(failure_of(each, refusal))
    return results


def _terms(
    setting: Setting, account: Entity[Account] | None, account_plans: Sequence[Entity[AccountPlan]], of: AccountPeriod
) -> Terms:
    if account is None:
        raise Refusal("not_found", f"the account {of.account_id} does not exist (any more)")
    return terms_of(setting, account, account_plans, of)


def read_setting(records: OrganizationRecords, plan_ids: Iterable[str]) -> Setting:
    """The organisation's settings and currencies, and the plans with these ids with all that they refer to."""
    config = records.get(OrganizationConfig, records.organization_id)
    assert config is not None, f"the organisation {records.organization_id} was never initialised"
    catalogue = read_catalogue(records, set(plan_ids))
    return setting_of(records.organization_id, config, records.every(Currency), catalogue)


def setting_of(
    organization_id: str,
    config: Entity[OrganizationConfig],
    currencies: Iterable[Entity[Currency]],
    catalogue: Catalogue,
) -> Setting:
    """A setting whose plan terms are put together once, when first asked for."""

    @cache
    def plan(plan_id: str) -> PlanTerms:
        return plan_terms(catalogue, plan_id)

    by_code = {each.value.code: each for each in currencies}
    return Setting(organization_id=organization_id, config=config, currencies=by_code, plan=plan)


def read_catalogue(records: OrganizationRecords, plan_ids: set[str]) -> Catalogue:
    """The plans with these ids, and everything that they refer to."""
    plans = _many(records, Plan, plan_ids)
    templates = _many(records, PlanTemplate, (plan.value.plan_template_id for plan in plans))
    pricings = [
        *_owned(records, "plan_id", [plan.id for plan in plans]),
        *_owned(records, "plan_template_id", [template.id for template in templates]),
    ]
    aggregations = _many(records, Aggregation, (each.value.aggregation_id for each in pricings))
    meters = _many(records, Meter, (each.value.meter_id for each in aggregations))
    accounting = chain(
        (plan.value.standing_charge_accounting_product_id for plan in plans),
        (plan.value.minimum_spend_accounting_product_id for plan in plans),
        (pricing.value.accounting_product_id for pricing in pricings),
        (aggregation.value.accounting_product_id for aggregation in aggregations),
    )
    products = _many(records, Product, chain((template.value.product_id for template in templates), accounting))
    return catalogue_of([*plans, *templates, *pricings, *aggregations, *meters, *products])


def _many(records: OrganizationRecords, of: type[V], ids: Iterable[str | None]) -> list[Entity[V]]:
    wanted = sorted({each for each in ids if each is not None})
    return list(records.get_many(of, wanted).values()) if wanted else []


def _owned(records: OrganizationRecords, by: str, ids: Sequence[str]) -> Iterator[Entity[Pricing]]:
    return records.every(Pricing, Where(equal={by: ids})) if ids else iter(())


def _life(account_plan: AccountPlan) -> Period:
    return stretch(account_plan.start_date, account_plan.end_date)


# ------------------------------------------------------------------------------------------------------ periods

Choice = Callable[[Grid], Period | None]


def ending_on(last_day: date) -> Choice:
    """Of each billing grid the period that ends with a day, if one does."""
    return lambda grid: grid.period_ending_on(last_day)


def ended_by(moment: Instant) -> Choice:
    """Of each billing grid the latest period that has ended by a moment."""
    return lambda grid: grid.previous(grid.period_at(moment))


def holding(moment: Instant) -> Choice:
    """Of each billing grid the period that a moment is in: what a preview or a dashboard shows."""
    return lambda grid: grid.period_at(moment)


def account_periods(
    records: OrganizationRecords,
    choose: Choice,
    *,
    account_ids: Sequence[str] | None = None,
    frequency: Frequency | None = None,
    interval: int | None = None,
    parameters: BillParameters | None = None,
) -> list[AccountPeriod]:
    """The bills there are to make: for each account (all when not named) and each of its billing grids the period that
    `choose` takes, if a plan is in force in it. In order of account code, then frequency, interval and period."""
    parameters = parameters or BillParameters()
    where = Where(equal={"account_id": account_ids}) if account_ids is not None else Where()
    account_plans = [each for each in records.every(AccountPlan, where) if each.value.plan_id]
    accounts = records.get_many(Account, sorted({each.value.account_id for each in account_plans}))
    plans = {plan.id: plan for plan in _many(records, Plan, (each.value.plan_id for each in account_plans))}
    template_ids = (plan.value.plan_template_id for plan in plans.values())
    templates = {each.id: each.value for each in _many(records, PlanTemplate, template_ids)}
    config = records.get(OrganizationConfig, records.organization_id)
    assert config is not None, f"the organisation {records.organization_id} was never initialised"
    chosen = cache(choose)
    found: dict[str, AccountPeriod] = {}
    for each in account_plans:
        account, plan = accounts.get(each.value.account_id), plans.get(each.value.plan_id or "")
        if account is None or plan is None:
            continue  # deleted in between: it has nothing to bill any more
        template = templates[plan.value.plan_template_id]
        if frequency not in {None, template.bill_frequency} or interval not in {None, template.bill_frequency_interval}:
            continue
        grid = grid_of(each.value, account.value, template, config.value, parameters)
        period = chosen(grid) if grid is not None else None
        if grid is not None and period is not None and intersect(_life(each.value), period):
            of = AccountPeriod(
                account_id=account.id,
                frequency=grid.frequency,
                interval=grid.interval,
                period=period,
                parameters=parameters,
            )
            found[of.key] = of
    return sorted(
        found.values(),
        key=lambda of: (accounts[of.account_id].value.code, of.account_id, of.frequency, of.interval, of.period),
    )
