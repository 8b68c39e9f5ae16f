"""Shadow bills: for each real bill of a plan with a shadow plan, what it would be on that one. Real bills stay as they
are; what is asked again is done again only where the real bill was made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account, AccountPlan, ChildBillingMode
from tallystick.core.bill import BillRecord, bill_id
from tallystick.core.catalog import Plan, PlanTemplate
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.period import Instant, Period
from tallystick.core.rollout import Moved, ShadowBill, ShadowPlan, ShadowReport
from tallystick.core.simulated_bill import Outcome, SimulatedBill
from tallystick.core.simulation import ChangedEntity, Changes
from tallystick.core.simulation_effect import Effect, with_bills
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.simulate import beside
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, OrganizationUsage, Page, Where

KIND = "shadowbill"
AT_ONCE = 200  # bills of a round, and accounts of a question
MOST_BILLS = 1_000_000  # of so many accounts
MOST_SHADOWS = 10_000_000
Marks = dict[str, str]  # of which making a bill is, by its id


class Work(msgspec.Struct, frozen=True):
    """What is to do: bills (ids) without a shadow of their present making, and shadows (ids) of bills that are gone."""

    wanted: tuple[str, ...]
    stale: tuple[str, ...]


def shadowed_plans(records: OrganizationRecords, shadow: Entity[ShadowPlan]) -> dict[str, list[Entity[AccountPlan]]]:
    """The account plans that have the real plan, by the account whose bills they are on, of the accounts that are
    meant: their own, and those by which a parent has them billed."""
    found: dict[str, list[Entity[AccountPlan]]] = {}
    chosen = None if shadow.value.account_ids is None else set(shadow.value.account_ids)
    passing: dict[str, list[Entity[AccountPlan]]] = {}
    for each in records.every(AccountPlan, Where(equal={"plan_id": (shadow.value.plan_id,)})):
        if chosen is None or each.value.account_id in chosen:
            found.setdefault(each.value.account_id, []).append(each)
            if each.value.child_billing_mode is ChildBillingMode.CHILD:
                passing.setdefault(each.value.account_id, []).append(each)
    for child, parent_id in _children(records, sorted(passing), shadow.value.plan_id):
        found.setdefault(child, []).extend(passing[parent_id])
    return found


def _children(records: OrganizationRecords, parents: Sequence[str], plan_id: str) -> list[tuple[str, str]]:
    """The children (ids, with their parents') of accounts that have no plan of their own for the product of a plan."""
    if not parents:
        return []
    children = list(records.every(Account, Where(equal={"parent_account_id": parents})))
    ids = [each.id for each in children]
    owned = list(records.every(AccountPlan, Where(equal={"account_id": ids}))) if ids else []
    plans = records.get_many(Plan, {plan_id, *(each.value.plan_id for each in owned if each.value.plan_id)})
    templates = records.get_many(PlanTemplate, {each.value.plan_template_id for each in plans.values()})
    products = {id_: templates[each.value.plan_template_id].value.product_id for id_, each in plans.items()}
    alone = {each.value.account_id for each in owned if products.get(each.value.plan_id or "") == products[plan_id]}
    return [(each.id, each.value.parent_account_id or "") for each in children if each.id not in alone]


def work_of(records: OrganizationRecords, id: str) -> Work:
    """What is to do for a shadow plan, found anew only after something of it was written."""
    return records.remembered(("shadow bills", id), lambda reading: _work(reading, id))


def _work(records: OrganizationRecords, id: str) -> Work:
    shadow = records.get(ShadowPlan, id)
    if shadow is None:
        return Work((), ())
    real: Marks = {}
    # Periods are half open: one that ends on the first day was before it.
    first = (shadow.value.start_date + timedelta(days=1)).isoformat()
    accounts = sorted(shadowed_plans(records, shadow))
    for start in range(0, len(accounts), AT_ONCE):
        where = DocumentWhere(
            equal={"account_id": accounts[start : start + AT_ONCE]}, between={"end_date": (first, None)}
        )
        for key, job_id, total in records.keys_of("bill", where, ("period_key", "job_id", "total"), MOST_BILLS):
            real[bill_id(records.organization_id, key or "")] = _mark(job_id, total)
    there = {
        shadow_id(id, bill or ""): (bill or "", mark)
        for bill, mark in records.keys_of(KIND, _of(id), ("bill_id", "mark"), MOST_SHADOWS)
    }
    wanted = (bill for bill, mark in real.items() if there.get(shadow_id(id, bill)) != (bill, mark))
    # A bill whose account is on the plan no longer keeps its shadow: it was on the plan in its time.
    gone = (each for each, (bill, _) in there.items() if bill not in real and records.document("bill", bill) is None)
    return Work(tuple(sorted(wanted)), tuple(sorted(gone)))


def mark_of(bill: Document) -> str:
    """Of which making a stored bill is: it changes with every run that changes the bill."""
    return _mark(bill.keys.get("job_id"), bill.keys.get("total"))


def _mark(job_id: str | None, total: str | None) -> str:
    return f"{job_id or ''}/{total or ''}"


def shadow_id(id: str, of_bill: str) -> str:
    """The id of the shadow that a bill has under a shadow plan."""
    return named_id(id, f"bill/{of_bill}")


def make_shadows(
    records: OrganizationRecords, usage: OrganizationUsage, shadow: Entity[ShadowPlan], *, now: Instant, mark: int
) -> bool:
    """Make the next shadow bills; returns whether there are more to make. `mark` is up to where the usage store holds
    the journal: bills that read further wait."""
    work = work_of(records, shadow.id)
    documents = [each for id_ in work.wanted[:AT_ONCE] if (each := records.document("bill", id_)) is not None]
    read = [(each, wire.decode(BillRecord, each.body)) for each in documents]
    by_position: dict[int, list[tuple[Document, BillRecord]]] = {}
    for document, record in read:
        if record.evidence.up_to <= mark:
            by_position.setdefault(record.evidence.up_to, []).append((document, record))
    made: list[ShadowBill] = []
    plans = shadowed_plans(records, shadow)
    for up_to, some in by_position.items():
        changes = changes_for(shadow.value, plans, {record.bill.account_id for _, record in some})
        periods = [period_of(record) for _, record in some]
        bills = [record.bill for _, record in some]
        simulated = beside(records, usage, periods, bills, changes, as_of=now, up_to=up_to)
        for (document, record), bill in zip(some, simulated, strict=True):
            made.append(ShadowBill(bill_id=record.bill.id, mark=mark_of(document), bill=bill))
    if made or work.stale:
        with records.transaction() as write:
            write.put_documents(KIND, [_document(shadow.id, each) for each in made])
            write.remove_documents(KIND, work.stale)
    return bool(made) and len(work.wanted) > len(documents)


def changes_for(
    shadow: ShadowPlan, plans: Mapping[str, Sequence[Entity[AccountPlan]]], accounts: Iterable[str]
) -> Changes:
    """The accounts on the shadow plan, wherever they have the real one."""
    meant = {each.id: each for account_id in accounts for each in plans.get(account_id, ())}
    others = []
    for id_, each in sorted(meant.items()):
        value = msgspec.structs.replace(each.value, plan_id=shadow.shadow_plan_id)
        others.append(
            ChangedEntity(kind=AccountPlan.kind, id=id_, body=wire.decode(dict[str, Any], wire.encode(value)))
        )
    return Changes(others=tuple(others))


def period_of(record: BillRecord) -> AccountPeriod:
    """The account period that a bill is of."""
    bill, evidence = record.bill, record.evidence
    return AccountPeriod(
        account_id=bill.account_id,
        frequency=bill.billing_frequency,
        interval=bill.bill_frequency_interval,
        period=Period(bill.start_date_time_utc, bill.end_date_time_utc),
        parameters=evidence.parameters,
        grouping=evidence.grouping,
    )


def shadow_bills(
    records: OrganizationRecords, id: str, page: Page, outcome: Outcome | None = None
) -> Found[ShadowBill]:
    """A page of the shadow bills of a shadow plan, of the latest periods first."""
    equal = {"shadow_plan_id": [id]} | ({"outcome": [outcome.value]} if outcome else {})
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(ShadowBill, each.body) for each in found.rows), found.next_token)


def shadow_effects(records: OrganizationRecords, id: str) -> tuple[int, int, tuple[Effect, ...]]:
    """How many shadow bills there are, how many of them cannot be compared, and what the others come to."""
    return records.remembered(("shadow effects", id), lambda reading: _effects(reading, id))


def shadow_report(records: OrganizationRecords, id: str, moved: Sequence[Moved]) -> ShadowReport:
    """What the shadow bills of a shadow plan come to, and what became of its accounts."""
    bills, failed, effects = shadow_effects(records, id)
    return ShadowReport(
        shadow_plan_id=id,
        bills=bills,
        failed=failed,
        effects=effects,
        switched=bool(moved),
        moved=sum(each.failure is None for each in moved),
        not_moved=sum(each.failure is not None for each in moved),
    )


def _effects(records: OrganizationRecords, id: str) -> tuple[int, int, tuple[Effect, ...]]:
    bills: list[SimulatedBill] = [wire.decode(ShadowBill, each.body).bill for each in _shadows(records, id)]
    failed = sum(each.outcome is Outcome.FAILS for each in bills)
    return len(bills), failed, with_bills((), bills)


def _shadows(records: OrganizationRecords, id: str) -> list[Document]:
    return every_document(records, KIND, _of(id))


def _of(id: str) -> DocumentWhere:
    return DocumentWhere(equal={"shadow_plan_id": [id]})


def _document(id: str, made: ShadowBill) -> Document:
    bill = made.bill
    keys = {
        "shadow_plan_id": id,
        "bill_id": made.bill_id,
        "account_id": bill.account_id,
        "outcome": bill.outcome.value,
        "mark": made.mark,
    }
    sort = bill.end_date_time_utc.stamp()
    return Document(id=shadow_id(id, made.bill_id), sort=sort, keys=keys, body=wire.encode(made))
