"""Rate accounts: read what they have agreed to, measure what they have used, and make lines of it. Nothing is written.

Bills, previews, dashboards and verification all come through `rate_terms`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.adjustment import Adjustment
from tallystick.core.aggregation import Aggregation, Question
from tallystick.core.agreements import Agreements
from tallystick.core.attributes import custom_in
from tallystick.core.bill import Answer, BillParameters, EarlierBill
from tallystick.core.bill_job import BillFailure
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.compound import CompoundAggregation, codes_in
from tallystick.core.counter_types import Counter, CounterPricing
from tallystick.core.credit_types import Commitment
from tallystick.core.drawing import Draw, apply_credits
from tallystick.core.entity import Entity, Value
from tallystick.core.held import with_credits
from tallystick.core.ledger import Opening
from tallystick.core.lookup import codes_of
from tallystick.core.lookup_types import LookupData, LookupTable, LookupTableRevision
from tallystick.core.meter import Meter
from tallystick.core.organization import Currency, OrganizationConfig, OrganizationCustomFields
from tallystick.core.period import Period, intersect, stretch
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.core.plan_terms import Catalogue, PlanTerms, catalogue_of, plan_terms
from tallystick.core.rating import RatedLine, questions, rate
from tallystick.core.still_billed import require_still_billed
from tallystick.core.terms import AccountPeriod, Setting, Terms, terms_of
from tallystick.core.wire import encode
from tallystick.errors import Refusal
from tallystick.pipeline.before import with_bills_before
from tallystick.pipeline.family import Relatives, read_relatives
from tallystick.pipeline.ledger import accounting_products, read_credits
from tallystick.pipeline.meter import Measurements, measure
from tallystick.pipeline.placing import agreements_on
from tallystick.pipeline.tables import read_tables
from tallystick.ports import OrganizationRecords, OrganizationUsage, Page, Where
from tallystick.ports.founded import config_of

V = TypeVar("V", bound=Value)

FEW = 16  # bills, or plans: what is made of so many records is remembered until they change
# What the bills of many accounts have in common: settings, currencies, and the catalogue.
SHARED: tuple[type[Value], ...] = (
    OrganizationConfig,
    OrganizationCustomFields,
    Currency,
    Product,
    Plan,
    PlanTemplate,
    PlanGroup,
    PlanGroupLink,
    Pricing,
    Counter,
    CounterPricing,
    Meter,
    Aggregation,
    CompoundAggregation,
    LookupTable,
    LookupTableRevision,
    LookupData,
)


class Rated(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One account period, rated: its terms, its lines, and what the usage store answered up to `up_to`.

    Once credit is drawn (`with_draws`), also what was there to draw and what of it was drawn.
    """

    terms: Terms
    lines: tuple[RatedLine, ...]
    answers: tuple[Answer, ...]
    up_to: int
    openings: tuple[Opening, ...] = ()
    draws: tuple[Draw, ...] = ()
    earlier: tuple[EarlierBill, ...] = ()  # that these lines adjust for late usage
    late_levels: str = ""  # see core.bill.Evidence
    looked: tuple[str, ...] = ()  # the earlier bills (ids) that were looked at for late usage
    seen: tuple[Adjustment, ...] = ()  # what bills had adjusted of those when this was rated
    revisits: tuple[str, ...] = ()  # see core.revisit: what is done with once this is kept


def with_draws(rated: Rated, openings: Mapping[str, Opening]) -> Rated:
    """A rated account period after its credit is drawn, of which this much is there, by id.

    Refusals: `missing_conversion_rate`, `rounding_forbidden`.
    """
    if not rated.terms.credits:
        return rated
    outcome = apply_credits(rated.terms, rated.lines, openings)
    there = tuple(openings[each.id] for each in rated.terms.credits)
    return msgspec.structs.replace(rated, lines=outcome.lines, draws=outcome.draws, openings=there)


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
    return [rated_of(each, wanted, measured[each.account.id], up_to) for each, wanted in zip(terms, asked, strict=True)]


def rated_of(terms: Terms, asked: Iterable[Question], measured: Measurements, up_to: int) -> Rated | BillFailure:
    """The terms rated, given what was measured for the account."""
    answers = {question: measured[question] for question in asked}
    try:
        lines = rate(terms, answers, up_to)
    except Refusal as refusal:
        return failure_of(terms.of, refusal)
    kept = tuple(Answer(question=question, rows=rows) for question, rows in answers.items())
    return Rated(terms=terms, lines=lines, answers=kept, up_to=up_to)


def failure_of(of: AccountPeriod, refusal: Refusal) -> BillFailure:
    """Why one account period could not be billed, as a value."""
    return BillFailure(account_id=of.account_id, code=refusal.code.name, message=refusal.message, period_key=of.key)


# ------------------------------------------------------------------------------------------------------ reading


def load_terms(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> Sequence[Terms | BillFailure]:
    """What the accounts have agreed to, as configured now; read in bulk, answered in the order asked.

    Terms of a few bills, which somebody looks at and may look at again, are remembered.
    """
    if len(periods) > FEW:
        return _load_terms(records, periods)
    # Equal numbers may be written otherwise, and are shown as they were asked for.
    asked = tuple(b"" if each.parameters == BillParameters() else encode(each.parameters) for each in periods)
    return records.remembered(("terms", asked, *periods), lambda reading: _load_terms(reading, periods))


def _load_terms(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> list[Terms | BillFailure]:
    ids = sorted({each.account_id for each in periods})
    accounts = records.get_many(Account, ids)
    account_plans: dict[str, list[Entity[AccountPlan]]] = {}
    if ids:
        for entity in records.every(AccountPlan, Where(equal={"account_id": ids})):
            account_plans.setdefault(entity.value.account_id, []).append(entity)
    relatives = read_relatives(records, accounts.values())
    in_force = [
        plan
        for each in periods
        for plan in account_plans.get(each.account_id, ())
        if intersect(_life(plan.value), each.period)
    ]
    parents = {each.value.parent_account_id for each in accounts.values() if each.value.parent_account_id}
    held = read_credits(records, sorted({*ids, *parents}))
    every = [credit for of_account in held.values() for credit in of_account]
    config = config_of(records)
    agreed = agreements_on(
        records, periods, [*chain(*account_plans.values()), *relatives.account_plans], every, config.value
    )
    plan_ids = {
        id_
        for shared in agreed[:1]
        for plan in (*in_force, *relatives.account_plans)
        for id_ in shared.plan_ids(plan.value)
    }
    plan_ids |= {each.value.billing_plan_id or "" for each in every if isinstance(each.value, Commitment)} - {""}
    setting = msgspec.structs.replace(read_setting(records, plan_ids), products=accounting_products(records, every))
    results: list[Terms | BillFailure] = []
    for each, agreements in zip(periods, agreed, strict=True):
        account = accounts.get(each.account_id)
        try:
            terms = _terms(setting, account, account_plans.get(each.account_id, ()), each, agreements, relatives)
            parent_id = terms.account.value.parent_account_id or ""
            own = (*held.get(each.account_id, ()), *held.get(parent_id, ()))
            terms = with_credits(terms, setting, own)
            require_still_billed(terms, setting, account_plans.get(each.account_id, ()))
            results.append(terms)
        except Refusal as refusal:
            results.append(failure_of(each, refusal))
    return with_bills_before(records, results, config.value)


def _terms(
    setting: Setting,
    account: Entity[Account] | None,
    account_plans: Sequence[Entity[AccountPlan]],
    of: AccountPeriod,
    agreements: Agreements,
    relatives: Relatives,
) -> Terms:
    if account is None:
        raise Refusal("not_found", f"the account {of.account_id} does not exist (any more)")
    return terms_of(setting, account, account_plans, of, agreements, relatives.family(account, account_plans))


def read_setting(records: OrganizationRecords, plan_ids: Iterable[str]) -> Setting:
    """The organisation's settings and currencies, and the plans with these ids with all that they refer to."""
    config = config_of(records)
    wanted = frozenset(plan_ids)
    if len(wanted) > FEW:
        catalogue = read_catalogue(records, wanted)
    else:
        catalogue = records.remembered(("catalogue", wanted), lambda reading: read_catalogue(reading, wanted))
    return setting_of(records.organization_id, config, records.every(Currency), catalogue)


def edition(records: OrganizationRecords) -> object:
    """A value that stays the same one until something of `SHARED` is written."""

    def made(reading: OrganizationRecords) -> object:
        for kind in SHARED:
            reading.find(kind, Where(), Page(size=1))  # what is remembered is made anew when a kind it read is written
        return object()

    return records.remembered(("edition",), made)


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


def read_catalogue(records: OrganizationRecords, plan_ids: Collection[str]) -> Catalogue:
    """The plans with these ids, and everything that they refer to."""
    plans = _many(records, Plan, plan_ids)
    templates = _many(records, PlanTemplate, (plan.value.plan_template_id for plan in plans))
    pricings = [
        *_owned(records, Pricing, "plan_id", [plan.id for plan in plans]),
        *_owned(records, Pricing, "plan_template_id", [template.id for template in templates]),
    ]
    counted = [
        *_owned(records, CounterPricing, "plan_id", [plan.id for plan in plans]),
        *_owned(records, CounterPricing, "plan_template_id", [template.id for template in templates]),
    ]
    counters = _many(records, Counter, (each.value.counter_id for each in counted))
    compounds = _many(records, CompoundAggregation, (each.value.compound_aggregation_id for each in pricings))
    aggregations = [
        *_many(records, Aggregation, (each.value.aggregation_id for each in pricings)),
        *_by_code(records, {code for each in compounds for code in codes_in(each.value.calculation)}),
        *_by_code(records, {code for each in pricings for code in codes_in(each.value.condition or "null")}),
    ]
    meters = _many(records, Meter, (each.value.meter_id for each in aggregations))
    accounting = chain(
        (plan.value.standing_charge_accounting_product_id for plan in plans),
        (plan.value.minimum_spend_accounting_product_id for plan in plans),
        (pricing.value.accounting_product_id for pricing in pricings),
        (pricing.value.accounting_product_id for pricing in counted),
        (aggregation.value.accounting_product_id for aggregation in aggregations),
        (compound.value.accounting_product_id for compound in compounds),
    )
    products = _many(records, Product, chain((template.value.product_id for template in templates), accounting))
    tables = read_tables(records, {code for each in compounds for code in codes_of(each.value.calculation)})
    measured: list[Entity[Any]] = [*aggregations, *compounds, *meters, *tables]
    if any(custom_in(each.value.calculation) for each in compounds):
        measured += _many(records, OrganizationCustomFields, [records.organization_id])
    return catalogue_of([*plans, *templates, *pricings, *measured, *counted, *counters, *products])


def _many(records: OrganizationRecords, of: type[V], ids: Iterable[str | None]) -> list[Entity[V]]:
    wanted = sorted({each for each in ids if each is not None})
    return list(records.get_many(of, wanted).values()) if wanted else []


def _by_code(records: OrganizationRecords, codes: Iterable[str]) -> Iterator[Entity[Aggregation]]:
    wanted = sorted(codes)
    return records.every(Aggregation, Where(equal={"code": wanted})) if wanted else iter(())


def _owned(records: OrganizationRecords, of: type[V], by: str, ids: Sequence[str]) -> Iterator[Entity[V]]:
    return records.every(of, Where(equal={by: ids})) if ids else iter(())


def _life(account_plan: AccountPlan) -> Period:
    return stretch(account_plan.start_date, account_plan.end_date)
