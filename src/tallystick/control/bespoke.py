"""Every bespoke term of an organisation, with what was noted of it, and what drifts from what was agreed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import msgspec

from tallystick.control.desk import Draft, Noun
from tallystick.core.account import Account, AccountPlan
from tallystick.core.bespoke import ApprovedTerms, BespokeKind, BespokeNote, BespokeTerm, Concern, judged
from tallystick.core.catalog import Plan, Pricing
from tallystick.core.contract import Contract
from tallystick.core.credit_types import Commitment
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity, Value
from tallystick.core.period import Instant, local_day
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Where
from tallystick.ports.founded import config_of

_TERMS: dict[BespokeKind, type[Value]] = {
    BespokeKind.PLAN: Plan,
    BespokeKind.DISCOUNT: Discount,
    BespokeKind.CONTRACT: Contract,
    BespokeKind.COMMITMENT: Commitment,
}


def _check(draft: Draft[BespokeNote]) -> BespokeNote:
    value = draft.value
    if draft.read.get(_TERMS[value.term_kind], value.term_id) is None:
        message = f"termId: there is no {value.term_kind.lower()} {value.term_id!r} in this organisation"
        raise Refusal("unknown_reference", message, field="termId")
    return value


BESPOKE_NOTES = Noun(of=BespokeNote, check=_check)
APPROVED_TERMS = Noun(of=ApprovedTerms)


def bespoke_terms(records: OrganizationRecords, now: Instant) -> list[BespokeTerm]:
    """Every bespoke term that has not ended: what is to be looked at first, then by account and name."""
    zone = config_of(records).value.timezone
    today = local_day(now, zone)
    found = [*_plans(records), *_discounts(records, zone), *_contracts(records), *_commitments(records)]
    found = [
        each for each in found if each.end_date is None or each.end_date > today or each.kind is BespokeKind.CONTRACT
    ]
    codes = records.codes(Account, {each.account_id for each in found})
    notes = {each.value.term_id: (each.id, each.value) for each in records.every(BespokeNote)}
    templates = [each.value for each in records.every(ApprovedTerms)]
    drifts = _drift(records, found, today, zone)
    terms = [
        judged(_coded(each, codes), notes.get(each.id), templates, drifts.get(each.id, ()), today) for each in found
    ]
    # A contract that has ended is of interest only while something of it goes on.
    terms = [each for each in terms if not _over(each, today)]
    return sorted(terms, key=lambda each: (not each.concerns, each.account_code, each.kind, each.name, each.id))


def _coded(term: BespokeTerm, codes: dict[str, str]) -> BespokeTerm:
    return msgspec.structs.replace(term, account_code=codes.get(term.account_id, ""))


def _over(term: BespokeTerm, today: date) -> bool:
    return term.end_date is not None and term.end_date <= today and Concern.RUNS_ON not in term.concerns


def _plans(records: OrganizationRecords) -> Iterator[BespokeTerm]:
    for each in records.every(Plan):
        if each.value.account_id is not None:
            yield BespokeTerm(
                kind=BespokeKind.PLAN,
                id=each.id,
                account_id=each.value.account_id,
                account_code="",
                name=each.value.name,
                plan_template_id=each.value.plan_template_id,
            )


def _discounts(records: OrganizationRecords, zone: str) -> Iterator[BespokeTerm]:
    for each in records.every(Discount):
        value = each.value
        yield BespokeTerm(
            kind=BespokeKind.DISCOUNT,
            id=each.id,
            account_id=value.account_id,
            account_code="",
            name=value.name,
            start_date=local_day(value.start_date, zone),
            end_date=None if value.end_date is None else local_day(value.end_date, zone),
            percent=value.percent,
            amount=value.amount,
            currency=value.currency,
        )


def _contracts(records: OrganizationRecords) -> Iterator[BespokeTerm]:
    for each in records.every(Contract):
        value = each.value
        yield BespokeTerm(
            kind=BespokeKind.CONTRACT,
            id=each.id,
            account_id=value.account_id,
            account_code="",
            name=value.name,
            start_date=value.start_date,
            end_date=value.end_date,
        )


def _commitments(records: OrganizationRecords) -> Iterator[BespokeTerm]:
    for each in records.every(Commitment):
        value = each.value
        yield BespokeTerm(
            kind=BespokeKind.COMMITMENT,
            id=each.id,
            account_id=value.account_id,
            account_code="",
            name=f"Commitment of {value.amount:f} {value.currency}",
            start_date=value.start_date,
            end_date=value.end_date,
            amount=value.amount,
            currency=value.currency,
            contract_id=value.contract_id,
        )


# ------------------------------------------------------------------------------------------------------ drift


def _drift(
    records: OrganizationRecords, terms: list[BespokeTerm], today: date, zone: str
) -> dict[str, tuple[Concern, ...]]:
    """What drifts from what was agreed, by the id of the term."""
    contracts = {each.id: each for each in terms if each.kind is BespokeKind.CONTRACT}
    found: dict[str, set[Concern]] = {}
    where = Where(equal={"contract_id": sorted(contracts)})
    for plan in records.every(AccountPlan, where) if contracts else ():
        contract = contracts[plan.value.contract_id or ""]
        end = None if plan.value.end_date is None else local_day(plan.value.end_date, zone)
        found.setdefault(contract.id, set()).update(
            _beyond(contract, local_day(plan.value.start_date, zone), end, today)
        )
        if plan.value.plan_id is not None and _repriced(records, plan.value.plan_id, contract, zone):
            found.setdefault(contract.id, set()).add(Concern.REPRICED)
    for term in terms:
        if term.contract_id in contracts and term.start_date is not None:
            contract = contracts[term.contract_id]
            found.setdefault(contract.id, set()).update(_beyond(contract, term.start_date, term.end_date, today))
    return {id_: tuple(sorted(each)) for id_, each in found.items() if each}


def _beyond(contract: BespokeTerm, start: date, end: date | None, today: date) -> Iterator[Concern]:
    """Whether something of a contract goes on after its end, or reaches beyond its days."""
    assert contract.start_date is not None
    assert contract.end_date is not None
    goes_on = end is None or end > today
    if contract.end_date <= today and goes_on:
        yield Concern.RUNS_ON
    elif start < contract.start_date or (end is not None and end > contract.end_date):
        yield Concern.OUTSIDE


def _repriced(records: OrganizationRecords, plan_id: str, contract: BespokeTerm, zone: str) -> bool:
    """Whether a price of a plan was edited, or added, since a contract began."""
    assert contract.start_date is not None
    plan = records.get(Plan, plan_id)
    if plan is None:
        return False
    for name, id_ in (("plan_id", plan_id), ("plan_template_id", plan.value.plan_template_id)):
        prices: Iterator[Entity[Pricing]] = records.every(Pricing, Where(equal={name: (id_,)}))
        if any(local_day(Instant.of(each.modified), zone) > contract.start_date for each in prices):
            return True
    return False
