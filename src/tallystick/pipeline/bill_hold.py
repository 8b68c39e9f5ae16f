"""Hold the bills of a run where what they charge for is out of the ordinary (docs/decisions/0421-held-bills.md).

The run looks by itself before it settles, whatever the hourly look has found by then: no bill is made unheld because
that was late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date

from tallystick.core import wire
from tallystick.core.anomaly import Anomaly, Policies
from tallystick.core.bill import BillStatus
from tallystick.core.bill_hold import KIND, BillHold, after_calculation, hold_events
from tallystick.core.meter import Meter
from tallystick.core.period import local_day, local_days
from tallystick.core.terms import Terms
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.anomalies import Column, Look, columns_of, keep, of_accounts, of_meters
from tallystick.pipeline.bill import Run, read_bills
from tallystick.ports import Actor, Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Page, Transaction

HOLDER = Actor(id="anomalies", kind="SERVER")
AT_ONCE = 500  # documents that are read together
_Group = tuple[tuple[Column, ...], tuple[date, date], str]  # what is watched, on which days, of which zone


class Suspicions:
    """What is out of the ordinary behind bills: of which bills the usage was looked at, and what holds each of them."""

    def __init__(self, policies: Policies) -> None:
        self.policies = policies
        self.looked_at: dict[str, str] = {}  # the account of each bill, by the bill's id
        self.found: dict[str, Anomaly] = {}
        self.holding: defaultdict[str, list[Anomaly]] = defaultdict(list)

    def add(self, anomaly: Anomaly, bills: Collection[Terms]) -> None:
        """Something behind these bills is out of the ordinary; it holds those whose policy says so."""
        self.found[anomaly.id] = anomaly
        for terms in bills:
            if anomaly.kind in self.policies.of(terms.account.id).hold_for:
                self.holding[terms.bill_id].append(anomaly)


def look_behind(
    records: OrganizationRecords, usage: OrganizationUsage, policies: Policies, bills: Iterable[Terms], run: Run
) -> Suspicions:
    """Look at the usage behind bills of these terms. Nothing is asked of the store where no policy holds bills."""
    suspicions = Suspicions(policies)
    if not policies.hold:
        return suspicions
    groups: defaultdict[_Group, list[Terms]] = defaultdict(list)
    for terms in bills:
        if policies.of(terms.account.id).hold_for:
            suspicions.looked_at[terms.bill_id] = terms.account.id
            columns = _columns(terms)
            if columns:
                groups[columns, local_days(terms.period, terms.zone), terms.zone].append(terms)
    for group, alike in groups.items():
        _look_at(records, usage, group, alike, suspicions, run)
    return suspicions


def _look_at(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    group: _Group,
    bills: Sequence[Terms],
    suspicions: Suspicions,
    run: Run,
) -> None:
    """Look at what is behind bills that are of the same days and charge for the same."""
    columns, (first, last), zone = group
    look = Look(
        organization_id=records.organization_id,
        first=first,
        last=last,
        over=local_day(run.as_of, zone),
        zone=zone,
        at=run.as_of,
        up_to=run.up_to,
        policies=suspicions.policies,
    )
    payers: defaultdict[str, list[Terms]] = defaultdict(list)
    for terms in bills:
        for account_id in terms.measured_accounts:
            payers[account_id].append(terms)
    for anomaly in of_accounts(usage, columns, sorted(payers), look):
        assert anomaly.account_id is not None, "it is of an account"
        suspicions.add(anomaly, payers[anomaly.account_id])
    meters = records.get_many(Meter, {each.meter_id for each in columns})
    for anomaly in of_meters(records, usage, meters, look):
        suspicions.add(anomaly, bills if anomaly.meter_id is not None else ())


def _columns(terms: Terms) -> tuple[Column, ...]:
    """What a bill charges for by usage."""
    found: dict[Column, None] = {}
    for each in terms.account_plans:
        plan = each.plan
        if "watched" not in plan.worked_out:
            inputs = [one.aggregation for price in plan.prices for one in price.inputs]
            plan.worked_out["watched"] = columns_of(inputs)
        found |= dict.fromkeys(plan.worked_out["watched"])
    return tuple(found)


def hold_bills(write: Transaction, bill_ids: Collection[str], suspicions: Suspicions, run: Run) -> list[BillHold]:
    """Hold those of the bills that were just settled which have something behind them, and tell of it. A bill that
    stays approved or locked is not held any more. Returns those that are held from now on."""
    keep(write, list(suspicions.found.values()), suspicions.policies)
    looked_at = [each for each in bill_ids if each in suspicions.looked_at]
    kept = holds_of(write, looked_at)
    wanted = [each for each in looked_at if each in kept or suspicions.holding[each]]
    open_bills = {id_ for id_, each in _states(write, wanted).items() if each is BillStatus.PENDING}
    changed: list[BillHold] = []
    events: list[Document] = []
    for each in wanted:
        before = kept.get(each)
        account_id = suspicions.looked_at[each]
        found = suspicions.holding[each]
        after = after_calculation(before, each, account_id, found, at=run.as_of, by=HOLDER.id)
        if each not in open_bills or after is None or after is before:
            continue
        changed.append(after)
        told = hold_events(before, after)
        events += [event_document(event, event_type=of, account_id=account_id, resource_id=each) for of, event in told]
        if told:
            write.note("HOLD", KIND, each, at=run.as_of, by=HOLDER)
    write.put_documents(KIND, [hold_document(each) for each in changed])
    put_events(write, events)
    return changed


def _states(write: Transaction, ids: Sequence[str]) -> dict[str, BillStatus]:
    found: dict[str, BillStatus] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = read_bills(write, ids[start : start + AT_ONCE])
        found |= {id_: each.bill.status for id_, each in some.items()}
    return found


def holds_of(records: OrganizationRecords, bill_ids: Sequence[str]) -> dict[str, BillHold]:
    """What is kept of holds on these bills, by bill."""
    found: dict[str, BillHold] = {}
    for start in range(0, len(bill_ids), AT_ONCE):
        some = bill_ids[start : start + AT_ONCE]
        rows = records.documents(KIND, DocumentWhere(equal={"id": some}), Page(size=len(some))).rows
        found |= {each.id: wire.decode(BillHold, each.body) for each in rows}
    return found


def hold_document(hold: BillHold) -> Document:
    """A hold as it is stored: found by bill, account and state, the latest held first."""
    return Document(id=hold.bill_id, sort=hold.dt_held.stamp(), keys=hold.keys, body=wire.encode(hold))
