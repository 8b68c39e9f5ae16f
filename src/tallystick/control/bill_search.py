"""Searching bills by their fields (source: reference 1.4, and the keys that the official clients name)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tallystick.control.bills import BillFilter, list_bills
from tallystick.control.search import Field, Search, sorted_rows
from tallystick.core.bill import Bill
from tallystick.ports import Found, OrganizationRecords, Page

# The keys of a search. `ids` takes a comma-joined list; dates are compared as YYYY-MM-DD.
SEARCH_KEYS = (
    "accountId",
    "locked",
    "billDate",
    "startDate",
    "endDate",
    "dueDate",
    "billingFrequency",
    "id",
    "ids",
    "createdBy",
    "dtCreated",
    "lastModifiedBy",
)
SORT_KEYS = (*(key for key in SEARCH_KEYS if key != "ids"), "accountCode", "status", "dtLastModified")
PAGE = 200


def search_bills(records: OrganizationRecords, wanted: Search) -> Found[Bill]:
    """One page of a search, latest period first unless it is sorted; the token is the offset of the next page."""
    rows = [bill for bill in _narrowed(records, wanted) if wanted.holds(_fields(bill))]
    sort_by = wanted.sort_by
    if sort_by is not None:
        rows = sorted_rows(rows, lambda bill: _fields(bill)(sort_by), descending=wanted.descending)
    end = wanted.offset + wanted.size
    return Found(tuple(rows[wanted.offset : end]), str(end) if end < len(rows) else None)


def _narrowed(records: OrganizationRecords, wanted: Search) -> Iterator[Bill]:
    """The bills that the store finds by itself; the rest is looked at here."""
    account, bill = wanted.equal_to("accountId"), wanted.equal_to("id")
    stored = BillFilter(
        account_ids=None if account is None else (account,),
        ids=None if bill is None else (bill,),
    )
    page: Page | None = Page(size=PAGE)
    while page is not None:
        found = list_bills(records, stored, page)
        yield from found.rows
        page = None if found.next_token is None else Page(size=PAGE, token=found.next_token)


def _fields(bill: Bill) -> Callable[[str], Field]:
    fields: dict[str, Field] = {
        "accountId": bill.account_id,
        "accountCode": bill.account_code,
        "locked": "true" if bill.locked else "false",
        "status": bill.status.value,
        "billDate": bill.bill_date.isoformat(),
        "startDate": bill.start_date.isoformat(),
        "endDate": bill.end_date.isoformat(),
        "dueDate": bill.due_date.isoformat(),
        "billingFrequency": bill.billing_frequency.value,
        "id": bill.id,
        "createdBy": bill.created_by,
        "lastModifiedBy": bill.last_modified_by,
        "dtCreated": bill.dt_created,
        "dtLastModified": bill.dt_last_modified,
    }
    return fields.__getitem__
