"""On which bill each charge stands: on exactly one, whatever runs come in which order.

It is the account's bill whose period holds the day of the charge; of several the one with the shortest period. Where
that bill is locked, or the time has been closed, it is the next one of the same grid; where no plan is in force, an
AD_HOC bill of the day. A charge that already stands on a bill stays there until that bill is made anew without it
(docs/decisions/0142-charges-on-bills.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from tallystick.core.account import AccountPlan
from tallystick.core.agreements import Agreements, levels_of
from tallystick.core.bill import Bill, BillParameters, bill_id
from tallystick.core.charge import Charge
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity
from tallystick.core.memo import BillMemo
from tallystick.core.organization import BillConfig, OrganizationConfig
from tallystick.core.period import Frequency, Grid, day_start, intersect, local_days
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.agreements import read_agreements
from tallystick.pipeline.grids import Billed, billed_plans, consolidated, period_on
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction, Where

PLACES = "billedcharge"  # documents: by the id of a charge, the bill that has a line for it


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, the bill it belongs on, and the stored bill (id) that it stands on, if there is one."""

    charge: Entity[Charge]
    of: AccountPeriod
    stands_on: str | None


def place(
    records: OrganizationRecords,
    charges: Sequence[Entity[Charge]],
    plans: Sequence[Billed],
    agreements: Agreements,
    config: OrganizationConfig,
    parameters: BillParameters,
) -> list[Placed]:
    """Where charges belong. `plans` are those of their accounts."""
    standing = standing_on(records, [each.id for each in charges])
    closed_until = bill_lock_date(records)
    ways = {}
    for each in charges:
        # One that stands on a bill may belong on that, however long its time is closed.
        closed = None if each.id in standing else closed_until
        ways[each.id] = _candidates(each.value, plans, agreements, config, parameters, closed)
    found: dict[str, AccountPeriod] = {}
    waiting = [each.id for each in charges]
    while waiting:
        wanted = {id_: next(ways[id_]) for id_ in waiting}
        bills = {id_: bill_id(records.organization_id, of.key) for id_, of in wanted.items()}
        stored = stored_bills(records, bills.values())
        for id_, of in wanted.items():
            zone = parameters.timezone or config.timezone
            there = stored.get(bills[id_])
            past = closed_until is not None and local_days(of.period, zone)[1] <= closed_until
            if standing.get(id_) == bills[id_] or not (is_closed(there, config) if there else past):
                found[id_] = of
        waiting = [id_ for id_ in waiting if id_ not in found]
    return [Placed(charge=each, of=found[each.id], stands_on=standing.get(each.id)) for each in charges]


def placed_on(placed: Iterable[Placed], of: AccountPeriod, organization_id: str) -> tuple[Entity[Charge], ...]:
    """The charges that a bill has lines for when it is made: those that belong on it and stand on no other."""
    id_ = bill_id(organization_id, of.key)
    return tuple(each.charge for each in placed if each.of.key == of.key and each.stands_on in {None, id_})


def standing_on(records: OrganizationRecords, charge_ids: Sequence[str]) -> dict[str, str]:
    """Charge ids to the stored bills (ids) that have lines for them."""
    if not charge_ids:
        return {}
    where = DocumentWhere(equal={"id": charge_ids})
    places = {
        each.id: each.keys["bill_id"] for each in records.documents(PLACES, where, Page(size=len(charge_ids))).rows
    }
    there = stored_bills(records, places.values())
    return {charge: bill for charge, bill in places.items() if bill in there}


def place_document(charge_id: str, bill: str) -> Document:
    """What is kept of a charge that stands on a bill."""
    return Document(id=charge_id, sort=bill, keys={"bill_id": bill}, body=b"{}")


def _candidates(
    charge: Charge,
    plans: Sequence[Billed],
    agreements: Agreements,
    config: OrganizationConfig,
    parameters: BillParameters,
    closed_until: date | None,
) -> Iterator[AccountPeriod]:
    """The bills that could take a charge, the first choice first; it goes on for ever. After the first choice those of
    the closed time are passed over."""
    zone = parameters.timezone or config.timezone
    day = charge.billed_on(zone)
    grouping = agreements.grouping(agreements.contract(charge.contract_id))
    moment = day_start(day, zone)
    open_from = day if closed_until is None else max(day, closed_until + timedelta(days=1))
    own = [each for each in plans if each.account.id == charge.account_id and each.grouping == grouping]
    holding = [(each.grid.period_at(moment), each) for each in own]
    in_force = [(period, each) for period, each in holding if intersect(each.life, period)]
    if in_force:
        period, plan = min(
            in_force, key=lambda one: (one[0].end - one[0].start, one[1].grid.frequency, one[1].grid.interval, one[0])
        )
        while intersect(plan.life, period):
            of = period_on(plan, period, parameters)
            yield consolidated(of, own) if config.consolidate_bills else of
            period = max(plan.grid.next(period), plan.grid.period_at(day_start(open_from, zone)))
    while True:
        yield ad_hoc(charge.account_id, day, zone, grouping, parameters)
        day = max(day + timedelta(days=1), open_from)


def ad_hoc(account_id: str, day: date, zone: str, grouping: str, parameters: BillParameters) -> AccountPeriod:
    """The bill of a single day."""
    period = Grid(frequency=Frequency.DAILY, epoch=day, zone=zone).period_of_day(day)
    return AccountPeriod(
        account_id=account_id,
        frequency=Frequency.AD_HOC,
        interval=1,
        period=period,
        parameters=parameters,
        grouping=grouping,
    )


def stored_bills(records: OrganizationRecords, bill_ids: Iterable[str]) -> dict[str, Document]:
    """Those of these bills that are stored, by id."""
    wanted = sorted(set(bill_ids))
    if not wanted:
        return {}
    rows = records.documents("bill", DocumentWhere(equal={"id": wanted}), Page(size=len(wanted))).rows
    return {each.id: each for each in rows}


def is_closed(stored: Document, config: OrganizationConfig) -> bool:
    """Whether a bill takes nothing more: it is locked, or approved where what comes late goes on the next one."""
    return stored.keys["locked"] == "true" or (config.adjusts_next_bill and stored.keys["status"] == "APPROVED")


def bill_lock_date(records: OrganizationRecords) -> date | None:
    """The last day of the time that is closed for good, if any is."""
    config = records.get(BillConfig, records.organization_id)
    return config.value.bill_lock_date if config else None


# ------------------------------------------------------------------------------------------------------ loading


def agreements_on(
    records: OrganizationRecords,
    periods: Sequence[AccountPeriod],
    account_plans: Sequence[Entity[AccountPlan]],
    held: Sequence[Entity[Any]],
    config: OrganizationConfig,
) -> list[Agreements]:
    """What each of these bills is made of besides plans and credit, in their order. `account_plans` are all those of
    the bills' accounts, `held` their commitments and balances."""
    ids = [bill_id(records.organization_id, each.key) for each in periods]
    memos: dict[str, list[Entity[BillMemo]]] = {}
    for memo in records.every(BillMemo, Where(equal={"bill_id": ids})) if ids else ():
        memos.setdefault(memo.value.bill_id, []).append(memo)
    accounts = sorted({each.account_id for each in periods})
    charges = list(records.every(Charge, Where(equal={"account_id": accounts}))) if accounts else []
    adjustments: dict[str, list[Entity[CounterAdjustment]]] = {}
    for each in records.every(CounterAdjustment, Where(equal={"account_id": accounts})) if accounts else ():
        adjustments.setdefault(each.value.account_id, []).append(each)
    every_memo = [memo for of_bill in memos.values() for memo in of_bill]
    discounts = list(records.every(Discount, Where(equal={"account_id": accounts}))) if accounts else []
    shared = read_agreements(records, account_plans, charges, every_memo, held, discounts)
    placed: dict[BillParameters, list[Placed]] = {}
    charged = {each.value.account_id for each in charges}
    for parameters in {each.parameters: None for each in periods if each.account_id in charged}:
        own = [each for each in account_plans if each.value.account_id in charged]
        plans = billed_plans(records, own, shared, config, parameters)
        placed[parameters] = place(records, charges, plans, shared, config, parameters)
    if not (memos or charges or adjustments):
        return [shared] * len(periods)
    return [
        msgspec.structs.replace(
            shared,
            levels=levels_of(adjustments.get(each.account_id, ())),
            charges=placed_on(placed.get(each.parameters, ()), each, records.organization_id),
            memos=tuple(memos.get(id_, ())),
        )
        for each, id_ in zip(periods, ids, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------ settling


def charges_on(bill: Bill) -> tuple[str, ...]:
    """The ids of the charges that a bill has lines for."""
    return tuple(line.charge_id for line in bill.line_items if line.charge_id is not None)


def require_free(write: Transaction, bill: str, charge_ids: Sequence[str]) -> None:
    """Refuse charges that came to stand on another bill since this one was rated. Refusal `bill_state`."""
    for charge, other in standing_on(write, charge_ids).items():
        if other != bill:
            message = f"the charge {charge} was put on the bill {other} meanwhile; run this bill again"
            raise Refusal("bill_state", message)


def stand(write: Transaction, charges: Mapping[str, Sequence[str]]) -> None:
    """Keep which charges stand on these bills, by bill id; those that stood there before and do no more are free."""
    if not charges:
        return
    where = DocumentWhere(equal={"bill_id": list(charges)})
    page: Page | None = Page(size=1_000)
    before: set[tuple[str, str]] = set()
    while page is not None:
        found = write.documents(PLACES, where, page)
        before |= {(each.id, each.keys["bill_id"]) for each in found.rows}
        page = Page(size=1_000, token=found.next_token) if found.next_token else None
    now = {(charge, bill) for bill, ids in charges.items() for charge in ids}
    for charge, _ in sorted(before - now):
        write.remove_document(PLACES, charge)
    write.put_documents(PLACES, [place_document(charge, bill) for charge, bill in sorted(now - before)])
