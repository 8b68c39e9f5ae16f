"""Read a stored bill's terms as they were when it was made, and rate it again from what it measured.

Configuration is read at the recorded versions. Verification rates these terms with the usage store's answers; a bill
whose credit is drawn anew, because a bill before it changed, is rated with the answers that it recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from tallystick.core.account import Account, AccountPlan
from tallystick.core.adjustment import adjustment_lines, period_of_earlier
from tallystick.core.aggregation import Aggregation
from tallystick.core.agreements import agreements_of
from tallystick.core.bill import Answer, BillRecord, EarlierBill
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.charge import Charge
from tallystick.core.compound import CompoundAggregation
from tallystick.core.contract import Contract
from tallystick.core.counter_types import Counter, CounterAdjustment, CounterPricing
from tallystick.core.credit_types import Balance, Commitment
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity, Used, Value
from tallystick.core.family import family_of
from tallystick.core.held import with_credits
from tallystick.core.late_levels import compared, with_levels
from tallystick.core.lookup_types import LookupData, LookupTable, LookupTableRevision
from tallystick.core.memo import BillMemo
from tallystick.core.meter import Meter
from tallystick.core.organization import Currency, OrganizationConfig, OrganizationCustomFields
from tallystick.core.paid_ahead import with_before
from tallystick.core.picklists import BillGroupingKey
from tallystick.core.plan_group import PlanGroup, PlanGroupLink
from tallystick.core.plan_terms import catalogue_of
from tallystick.core.rating import RatedLine, rate
from tallystick.core.terms import AccountPeriod, Terms, period_of, terms_of
from tallystick.errors import Refusal
from tallystick.pipeline.agreements import read_agreements
from tallystick.pipeline.rate import Rated, setting_of
from tallystick.ports import OrganizationRecords

KINDS: dict[str, type[Value]] = {
    each.kind: each
    for each in (
        Account,
        AccountPlan,
        Aggregation,
        Balance,
        BillMemo,
        BillGroupingKey,
        Charge,
        Commitment,
        CompoundAggregation,
        Contract,
        Counter,
        CounterAdjustment,
        CounterPricing,
        Currency,
        Discount,
        LookupData,
        LookupTable,
        LookupTableRevision,
        Meter,
        OrganizationConfig,
        OrganizationCustomFields,
        Plan,
        PlanGroup,
        PlanGroupLink,
        PlanTemplate,
        Pricing,
        Product,
    )
}


def terms_then(records: OrganizationRecords, record: BillRecord) -> Terms:
    """The terms that a stored bill was made of.

    Refusals: `not_found` for a version that is not there any more; what `terms_of` and `with_credits` refuse.
    """
    return with_before(_terms(records, record.evidence.uses, period_of(record)), record.evidence.before)


def terms_of_earlier(records: OrganizationRecords, account_id: str, earlier: EarlierBill) -> Terms:
    """The terms of a bill that another one adjusts. Refusals as `terms_then`."""
    return with_before(_terms(records, earlier.uses, period_of_earlier(account_id, earlier)), earlier.before)


def _now(records: OrganizationRecords, earlier: EarlierBill, terms: Terms) -> Terms:
    """The terms of a bill that another one adjusts, with the levels of counters that the other one knew."""
    if earlier.levels is None:
        return terms
    return with_levels(terms, [at_version(records, used) for used in earlier.levels])


def _terms(records: OrganizationRecords, uses: Iterable[Used], of: AccountPeriod) -> Terms:
    by_kind: dict[str, list[Entity[Any]]] = {}
    for used in uses:
        by_kind.setdefault(used.kind, []).append(at_version(records, used))
    every = [entity for of_kind in by_kind.values() for entity in of_kind]
    config = cast("Entity[OrganizationConfig]", by_kind[OrganizationConfig.kind][0])
    catalogue = catalogue_of(every)
    setting = setting_of(records.organization_id, config, by_kind.get(Currency.kind, []), catalogue)
    setting = msgspec.structs.replace(setting, products=catalogue.products)
    accounts, plans = cast("list[Entity[Account]]", by_kind[Account.kind]), by_kind.get(AccountPlan.kind, [])
    account = next(each for each in accounts if each.id == of.account_id)
    account_plans = [each for each in plans if each.value.account_id == account.id]
    family = family_of(account, accounts, plans)
    terms = terms_of(setting, account, account_plans, of, agreements_of(every), family)
    return with_credits(terms, setting, [*by_kind.get(Commitment.kind, []), *by_kind.get(Balance.kind, [])])


def at_version(records: OrganizationRecords, used: Used) -> Entity[Any]:
    """A configured thing as it was when a bill used it. Refusal `not_found`."""
    entity = records.at_version(KINDS[used.kind], used.id, used.version)
    if entity is None:
        message = f"version {used.version} of the {used.kind} {used.id}, which the bill used, is not there any more"
        raise Refusal("not_found", message)
    return entity


def rated_then(
    records: OrganizationRecords, record: BillRecord, memos: tuple[Entity[BillMemo], ...] | None = None
) -> Rated:
    """A stored bill rated again from the terms and the answers that it recorded, before its credit is drawn; with other
    memos where they are given.

    Refusals as `terms_then` and `rate`.
    """
    terms, evidence = terms_then(records, record), record.evidence
    if memos is not None:
        products = terms.agreements.products | read_agreements(records, (), memos=memos).products
        agreements = msgspec.structs.replace(terms.agreements, memos=memos, products=products)
        terms = msgspec.structs.replace(terms, agreements=agreements)
    lines = rate(terms, {each.question: each.rows for each in evidence.answers}, evidence.up_to)
    rated = Rated(
        terms=terms,
        lines=lines,
        answers=evidence.answers,
        up_to=evidence.up_to,
        late_levels=evidence.late_levels,
    )
    for earlier in evidence.earlier:
        rated = adjusted_by(records, rated, earlier, terms_of_earlier(records, record.bill.account_id, earlier))
    return rated


def adjusted_by(records: OrganizationRecords, rated: Rated, earlier: EarlierBill, terms: Terms) -> Rated:
    """A rated account period with the lines that an earlier bill (of these terms) adds; itself where there are none.

    Refusals as `rate`, and `not_found` as `terms_then`.
    """
    then, now = then_and_now(records, earlier, terms, rated.up_to)
    first = len(rated.lines) + 1
    lines = adjustment_lines(rated.terms, earlier, then, now, first)
    if not lines:
        return rated
    return msgspec.structs.replace(rated, lines=(*rated.lines, *lines), earlier=(*rated.earlier, earlier))


def then_and_now(
    records: OrganizationRecords, earlier: EarlierBill, terms: Terms, up_to: int
) -> tuple[list[RatedLine], list[RatedLine]]:
    """The lines of a bill (of these terms) that others can adjust: as it was billed, and with what is measured now, up
    to a position. Refusals as `rate`."""
    then = _lines(terms, earlier.then, earlier.up_to)
    same = earlier.now == earlier.then and earlier.levels is None
    now = then if same else _lines(_now(records, earlier, terms), earlier.now, up_to)
    return compared(earlier, then), compared(earlier, now)


def _lines(terms: Terms, answers: Sequence[Answer], up_to: int) -> tuple[RatedLine, ...]:
    return rate(terms, {each.question: each.rows for each in answers}, up_to)
