"""What people do with bills: look at them, approve, lock, delete, and close a stretch of time for good.

Source: reference 3.11. Calculating bills is the flow's work (`pipeline/bill.py`); nothing here changes an amount.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import msgspec

from tallystick.control.bill_holds import held_ids, require_none_held
from tallystick.control.crm_summaries import tell_crm
from tallystick.control.desk import Desk, Noun
from tallystick.control.journal_orders import order_bills
from tallystick.control.late_policies import in_time, read_late_policies
from tallystick.control.paid_states import PaidWanted, list_paid, note_owed
from tallystick.control.seals import order_seals
from tallystick.control.statement_jobs import order_statements
from tallystick.core import wire
from tallystick.core.bill import (
    Bill,
    BillRecord,
    BillStatus,
    LineItem,
    approve,
    document_keys,
    lock,
    reopen,
)
from tallystick.core.entity import Entity
from tallystick.core.late_policy import LatePolicies
from tallystick.core.organization import BillConfig
from tallystick.core.period import Frequency, Instant
from tallystick.core.revisit import KIND as REVISIT
from tallystick.core.revisit import once_final
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.founded import founded

KIND = "bill"
LOCKED_BY_DATE = "billLockDate"  # who locked a bill that the lock date locked
CHUNK = 200
LAST_DAY = date.max - timedelta(days=2)  # no bill ends later; the days after it can still be written
BILL_CONFIG = Noun(of=BillConfig)


class StoredBill(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a stored bill that lists need: reading it skips working and evidence."""

    bill: Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFilter:
    """Which bills a list shows; every part that is given must hold. Dates are inclusive."""

    ids: Collection[str] | None = None
    account_ids: Collection[str] | None = None
    job_id: str | None = None
    status: BillStatus | None = None
    locked: bool | None = None
    frequency: Frequency | None = None
    bill_dates: tuple[date | None, date | None] = (None, None)
    external_invoice_dates: tuple[date | None, date | None] = (None, None)


def where(wanted: BillFilter) -> DocumentWhere:
    """The filter in the keys that stored bills have."""
    equal: dict[str, Collection[str]] = {}
    if wanted.ids is not None:
        equal["id"] = wanted.ids
    if wanted.account_ids is not None:
        equal["account_id"] = wanted.account_ids
    if wanted.job_id is not None:
        equal["job_id"] = (wanted.job_id,)
    if wanted.status is not None:
        equal["status"] = (wanted.status.value,)
    if wanted.locked is not None:
        equal["locked"] = ("true" if wanted.locked else "false",)
    if wanted.frequency is not None:
        equal["billing_frequency"] = (wanted.frequency.value,)
    between = {
        key: (_text(first), _text(last))
        for key, (first, last) in (
            ("bill_date", wanted.bill_dates),
            ("external_invoice_date", wanted.external_invoice_dates),
        )
        if first is not None or last is not None
    }
    return DocumentWhere(equal=equal, between=between)


def list_bills(records: OrganizationRecords, wanted: BillFilter, page: Page) -> Found[Bill]:
    """One page of bills, latest period first."""
    found = records.documents(KIND, where(wanted), page)
    return Found(tuple(_read(each) for each in found.rows), found.next_token)


def list_bills_paid_so(records: OrganizationRecords, wanted: BillFilter, paid: PaidWanted, page: Page) -> Found[Bill]:
    """The same of bills whose payment stands so; pages may be shorter, as what is left out is not made up for."""
    if paid == PaidWanted(account_id=paid.account_id):
        return list_bills(records, wanted, page)
    while True:
        found = list_paid(records, paid, page)
        ids = {each.bill_id for each in found.rows}
        some = replace(wanted, ids=ids if wanted.ids is None else ids & set(wanted.ids))
        rows = list_bills(records, some, Page(size=max(len(ids), 1))).rows if ids else ()
        if rows or found.next_token is None:
            return Found(rows, found.next_token)
        page = Page(size=page.size, token=found.next_token)


def list_records(records: OrganizationRecords, wanted: BillFilter, page: Page) -> Found[BillRecord]:
    """The same with working and evidence."""
    found = records.documents(KIND, where(wanted), page)
    return Found(tuple(map(_record, found.rows)), found.next_token)


def get_bill(records: OrganizationRecords, id: str) -> BillRecord:
    """A bill with its working and evidence; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no bill {id[:40]!r} in this organization", field="id")
    return wire.decode(BillRecord, document.body)


def last_approved(records: OrganizationRecords, account_id: str) -> Bill | None:
    """The account's approved bill of the latest period, if it has one."""
    wanted = BillFilter(account_ids=(account_id,), status=BillStatus.APPROVED)
    return next(iter(list_bills(records, wanted, Page(size=1)).rows), None)


def latest_bill(records: OrganizationRecords, account_id: str) -> Bill:
    """The account's bill of the latest period; Refusal `not_found` when it has none."""
    found = list_bills(records, BillFilter(account_ids=(account_id,)), Page(size=1))
    if not found.rows:
        raise Refusal("not_found", f"accountId: the account {account_id[:40]!r} has no bill", field="accountId")
    return found.rows[0]


def get_line_item(record: BillRecord, id: str) -> LineItem:
    """One line of a bill, by its id or its sequence number; Refusal `not_found`."""
    for line in record.bill.line_items:
        if id in {line.id, str(line.sequence_number)}:
            return line
    raise Refusal("not_found", f"id: the bill {record.bill.id} has no line {id[:40]!r}", field="id")


def approve_bills(desk: Desk, wanted: BillFilter) -> int:
    """Approve the bills that match, all or none; returns how many. Those that are held or wait for late usage are
    passed over where no ids are named. Refusals `not_found`, `bill_locked`, and `bill_held`, `bill_waits` for one that
    is named."""
    with desk.records.transaction() as write:
        held, late = held_ids(write), read_late_policies(write)
        if wanted.ids is not None:
            for each in wanted.ids:
                _require_approvable(write, late, get_bill(write, each).bill, desk.now)

        def may(bill: Bill) -> bool:
            return bill.id not in held and (bill.status is BillStatus.APPROVED or in_time(late, bill, desk.now))

        return _change_all(desk, write, where(wanted), lambda bill: approve(bill, by=desk.actor.id, at=desk.now), may)


def set_status(desk: Desk, id: str, status: BillStatus) -> Bill:
    """Bring a bill into PENDING or APPROVED; Refusals `bill_locked` for a locked one, `bill_held`, `bill_waits`."""
    act = approve if status is BillStatus.APPROVED else reopen
    return _change(desk, id, lambda bill: act(bill, by=desk.actor.id, at=desk.now), approving=act is approve)


def lock_bill(desk: Desk, id: str) -> Bill:
    """Make an APPROVED bill final; Refusals `bill_held`, and `bill_state` while it is PENDING."""
    require_none_held(desk.records, (id,))
    return _change(desk, id, lambda bill: lock(bill, by=desk.actor.id, at=desk.now))


def initialise(write: Transaction, desk: Desk) -> None:
    """Give a new organisation its bill settings: nothing is locked by date."""
    BILL_CONFIG.create_within(desk, write, BillConfig(), write.organization_id)


def get_bill_config(records: OrganizationRecords) -> Entity[BillConfig]:
    """The organisation's bill settings."""
    return founded(records, BillConfig)


def set_bill_config(desk: Desk, value: BillConfig, version: int | None) -> Entity[BillConfig]:
    """Set the lock date: bills that end on or before it are locked; moved back, it unlocks what only it had locked.

    Refusals: `version_mismatch`, and `bill_state` while a bill in the range is PENDING.
    """
    with desk.records.transaction() as write:
        _lock_until(desk, write, value.bill_lock_date)
        return BILL_CONFIG.update_within(desk, write, get_bill_config(write), value, version)


def _lock_until(desk: Desk, write: Transaction, day: date | None) -> None:
    def locked_by_date(bill: Bill) -> Bill:
        return lock(bill, by=LOCKED_BY_DATE, at=desk.now)

    def unlocked(bill: Bill) -> Bill:
        if bill.locked_by != LOCKED_BY_DATE:
            return bill
        return msgspec.structs.replace(bill, version=bill.version + 1, locked=False, dt_locked=None, locked_by=None)

    first_open = None if day is None else min(day, LAST_DAY) + timedelta(days=1)
    if first_open is not None:
        ended = {"end_date": (None, _text(first_open))}
        pending = write.documents(KIND, DocumentWhere({"status": ("PENDING",)}, ended), Page(size=1)).rows
        if pending:
            bill = _read(pending[0])
            raise Refusal(
                "bill_state",
                f"billLockDate: the bill {bill.id} of {bill.account_code}, which ends on"
                f" {bill.end_date - timedelta(days=1)}, is PENDING; approve or delete it first",
                field="billLockDate",
            )
        _change_all(desk, write, DocumentWhere({"locked": ("false",)}, ended), locked_by_date)
    still_open = {} if first_open is None else {"end_date": (_text(first_open + timedelta(days=1)), None)}
    _change_all(desk, write, DocumentWhere({"locked": ("true",)}, still_open), unlocked)


def _change(desk: Desk, id: str, act: Callable[[Bill], Bill], *, approving: bool = False) -> Bill:
    with desk.records.transaction() as write:
        record = get_bill(write, id)
        if approving:
            _require_approvable(write, read_late_policies(write), record.bill, desk.now)
        changed = act(record.bill)
        if changed is not record.bill:
            _put(write, [msgspec.structs.replace(record, bill=changed)])
            _state_changed(write, desk, [(record, changed)])
        return changed


def _change_all(
    desk: Desk,
    write: Transaction,
    matching: DocumentWhere,
    act: Callable[[Bill], Bill],
    may: Callable[[Bill], bool] = lambda bill: True,
) -> int:
    """Apply an act to every bill that matches and `may` be changed, read to the end before anything is written."""
    records: list[BillRecord] = []
    page: Page | None = Page(size=CHUNK)
    while page is not None:
        found = write.documents(KIND, matching, page)
        records += [each for each in map(_record, found.rows) if may(each.bill)]
        page = None if found.next_token is None else Page(size=CHUNK, token=found.next_token)
    changed: list[BillRecord] = []
    moved: list[tuple[BillRecord, Bill]] = []
    for record in records:
        bill = act(record.bill)
        if bill is not record.bill:
            changed.append(msgspec.structs.replace(record, bill=bill))
            moved.append((record, bill))
    _put(write, changed)
    _state_changed(write, desk, moved)
    return len(records)


def _state_changed(write: Transaction, desk: Desk, moved: Sequence[tuple[BillRecord, Bill]]) -> None:
    """Order the statements and the seals of bills that were just approved or locked, and keep that they are owed; order
    the journal entries of all whose status changed, and tell CRMs of them."""
    closed = [
        (before, after)
        for before, after in moved
        if (after.locked and not before.bill.locked)
        or (after.status is BillStatus.APPROVED and before.bill.status is not BillStatus.APPROVED)
    ]
    order_statements(write, desk, [after for _, after in closed])
    order_seals(write, [before for before, _ in closed])
    note_owed(write, [after for _, after in closed])
    order_bills(write, [after for before, after in moved if after.status is not before.bill.status])
    tell_crm(write, [after for before, after in moved if after.status is not before.bill.status], desk.now)


def _put(write: Transaction, changed: Sequence[BillRecord]) -> None:
    """Write changed bills; the next bill of its account looks whether usage of one that is final came late."""
    write.put_documents(KIND, [_document(write, record) for record in changed])
    final = [each for record in changed if (each := once_final(record))]
    write.put_documents(
        REVISIT,
        [Document(id=each.id, sort=each.end.stamp(), keys=each.keys, body=wire.encode(each)) for each in final],
    )


def _document(read: OrganizationRecords, record: BillRecord) -> Document:
    stored = read.document(KIND, record.bill.id)
    assert stored is not None, "a bill that is changed was read in the same transaction"
    return Document(
        id=record.bill.id,
        sort=stored.sort,
        keys=document_keys(record.bill, record.evidence.grouping),
        body=wire.encode(record),
    )


def _require_approvable(write: Transaction, late: LatePolicies, bill: Bill, now: Instant) -> None:
    """Refuse the approval of a bill that is held, or waits for late usage. Refusals `bill_held`, `bill_waits`."""
    require_none_held(write, (bill.id,))
    if bill.status is BillStatus.PENDING and not in_time(late, bill, now):
        moment = late.approvable_from(bill).wire()
        raise Refusal("bill_waits", f"the bill {bill.id} waits for late usage: it can be approved from {moment} on")


def _record(document: Document) -> BillRecord:
    return wire.decode(BillRecord, document.body)


def _read(document: Document) -> Bill:
    return wire.decode(StoredBill, document.body).bill


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
