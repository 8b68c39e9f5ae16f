"""Bills as they are listed for people: by state, day, account and invoice number, with the totals of all that match.

Every question is bounded: a page of bills without their lines, and totals only of so many bills as can be added up at
once (docs/decisions/0287-lists-of-bills.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.control.bills import KIND
from tallystick.control.paid_states import WHATEVER, PaidWanted, list_paid
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import BillStatus
from tallystick.core.period import Frequency, Instant
from tallystick.core.quantity import ZERO, add
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page

MOST_ADDED = 20_000  # bills whose totals are added up at once
MOST_ACCOUNTS = 200  # that one text may find


class BillState(StrEnum):
    """Where a bill is on its way: what people call its status."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    LOCKED = "LOCKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillsWanted:
    """Which bills are shown; every part that is given must hold. `account` is part of an account's name or code,
    `month` (2025-01) that of the last day of the period."""

    state: BillState | None = None
    account: str | None = None
    account_id: str | None = None
    invoice_number: str | None = None
    month: str | None = None
    job_id: str | None = None
    paid: PaidWanted = WHATEVER


class ListedBill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A bill without its lines."""

    id: str
    account_id: str
    account_code: str
    status: BillStatus
    locked: bool
    start_date: date
    end_date: date
    bill_date: date
    billing_frequency: Frequency
    currency: str
    bill_total: Decimal
    last_calculated_date: Instant
    sequential_invoice_number: str | None = None

    @property
    def state(self) -> BillState:
        return BillState.LOCKED if self.locked else BillState(self.status)


class _Stored(msgspec.Struct, frozen=True):
    bill: ListedBill


@dataclass(frozen=True, slots=True)
class StateTotal:
    """What the bills of one currency in one state come to."""

    currency: str
    state: BillState
    count: int
    total: Decimal


def list_bills(records: OrganizationRecords, wanted: BillsWanted, page: Page) -> Found[ListedBill]:
    """One page of bills, latest period first."""
    where = _where(records, wanted)
    if where is None:
        return Found(())
    if wanted.paid != WHATEVER:
        return _paid_so(records, wanted, where, page)
    found = records.documents(KIND, where, page)
    return Found(_read(found.rows), found.next_token)


def _paid_so(records: OrganizationRecords, wanted: BillsWanted, where: DocumentWhere, page: Page) -> Found[ListedBill]:
    """A page of bills whose payment stands so; it may be shorter, as what is left out is not made up for."""
    while True:
        found = list_paid(records, replace(wanted.paid, account_id=wanted.account_id), page)
        ids = [each.bill_id for each in found.rows]
        some = DocumentWhere(equal={**(where.equal or {}), "id": ids}, between=where.between)
        rows = _read(records.documents(KIND, some, Page(size=len(ids))).rows) if ids else ()
        if rows or found.next_token is None:
            return Found(rows, found.next_token)
        page = Page(size=page.size, token=found.next_token)


def _read(rows: Sequence[Document]) -> tuple[ListedBill, ...]:
    return tuple(wire.decode(_Stored, each.body).bill for each in rows)


def totals(records: OrganizationRecords, wanted: BillsWanted) -> tuple[StateTotal, ...] | None:
    """What all bills that match come to, by currency and state; None where they are too many to add up at once, and
    nothing of those that are chosen by their payment."""
    if wanted.paid != WHATEVER:
        return ()
    return records.remembered(("bill totals", wanted), lambda read: _totals(read, wanted))


def _totals(records: OrganizationRecords, wanted: BillsWanted) -> tuple[StateTotal, ...] | None:
    where = _where(records, wanted)
    rows = [] if where is None else records.keys_of(KIND, where, ("currency", "status", "locked", "total"), MOST_ADDED)
    if len(rows) > MOST_ADDED:
        return None
    found: dict[tuple[str, BillState], tuple[int, Decimal]] = {}
    for currency, status, locked, total in rows:
        key = (currency or "", BillState.LOCKED if locked == "true" else BillState(status or ""))
        count, so_far = found.get(key, (0, ZERO))
        found[key] = count + 1, add(so_far, Decimal(total or 0))
    order = list(BillState)
    ordered = sorted(found.items(), key=lambda each: (each[0][0], order.index(each[0][1])))
    return tuple(StateTotal(currency, state, count, total) for (currency, state), (count, total) in ordered)


def _where(records: OrganizationRecords, wanted: BillsWanted) -> DocumentWhere | None:
    """None where no account has such a name."""
    equal: dict[str, tuple[str, ...]] = {}
    if wanted.state is BillState.LOCKED:
        equal["locked"] = ("true",)
    elif wanted.state is not None:
        equal["status"] = (wanted.state.value,)
        if wanted.state is BillState.APPROVED:
            equal["locked"] = ("false",)
    if wanted.account_id is not None:
        equal["account_id"] = (wanted.account_id,)
    elif wanted.account is not None:
        found = accounts_named(records, wanted.account)
        if not found:
            return None
        equal["account_id"] = found
    if wanted.invoice_number is not None:
        equal["invoice_number"] = (wanted.invoice_number,)
    if wanted.job_id is not None:
        equal["job_id"] = (wanted.job_id,)
    if wanted.month is not None:
        equal["end_month"] = (wanted.month,)
    return DocumentWhere(equal=equal)


def accounts_named(records: OrganizationRecords, text: str) -> tuple[str, ...]:
    """The ids of accounts whose code or name contains a text, capitals or not: at most 200, those that begin with it
    first. What is searched is remembered, so that a search does not read all accounts."""
    wanted = text.casefold()
    every = records.remembered("names of accounts", _names)
    found = [
        (not (code.startswith(wanted) or name.startswith(wanted)), code, id_)
        for code, name, id_ in every
        if wanted in code or wanted in name
    ]
    return tuple(id_ for _, _, id_ in sorted(found)[:MOST_ACCOUNTS])


def _names(records: OrganizationRecords) -> tuple[tuple[str, str, str], ...]:
    return tuple((each.value.code.casefold(), each.value.name.casefold(), each.id) for each in records.every(Account))
