"""Bills and their lines over HTTP, with what explains and what proves them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated

import msgspec

from tallystick.api.crud import PAGING, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Paged, Route, entity_reply, page_reply
from tallystick.api.search_query import read_search
from tallystick.control import bills
from tallystick.control.bill_search import SEARCH_KEYS, SORT_KEYS, search_bills
from tallystick.control.bills import BillFilter
from tallystick.control.paid_states import PaidWanted, today
from tallystick.core.bill import BandUsage, Bill, BillRecord, BillStatus, LineItem
from tallystick.core.entity import Id
from tallystick.core.organization import BillConfig
from tallystick.core.paid_state import PaidState
from tallystick.core.period import Frequency, Instant
from tallystick.errors import Refusal
from tallystick.pipeline.bill import remove_bill
from tallystick.ports import Page

BillConfigRequest = request_type(BillConfig)
EARLIEST_END = date.min + timedelta(days=1)


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The bills to approve; when absent, the query says which."""

    bill_ids: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=1000)] | None = None


class ApproveReply(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    message: str


class StatusRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The status a bill shall have."""

    status: BillStatus


class LineItemReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a line answered alone has beyond a line within its bill; the bands are named `bandUsage` here."""

    bill_id: str
    json_usage_generated: bool
    band_usage: tuple[BandUsage, ...]
    dt_created: Instant
    dt_last_modified: Instant
    created_by: str
    last_modified_by: str
    version: int


def retrieve(call: Call) -> Bill:
    """One bill with its lines."""
    return bills.get_bill(call.records, call.path["id"]).bill


def find(call: Call) -> dict[str, object]:
    """A page of bills, latest period first."""
    found = bills.list_bills_paid_so(call.records, _filter(call), paid_wanted(call), call.query.page(highest=200))
    bare = call.query.flag("excludeLineItems") is True
    return page_reply([without(bill, {"lineItems"} if bare else set()) for bill in found.rows], found.next_token)


def search(call: Call) -> dict[str, object]:
    """A page of the bills that a search finds."""
    found = search_bills(call.records, read_search(call.query, SEARCH_KEYS, SORT_KEYS, ("dtCreated",)))
    return page_reply([without(bill, set()) for bill in found.rows], found.next_token)


def latest(call: Call) -> Bill:
    """The latest bill of an account."""
    return bills.latest_bill(call.records, call.path["accountId"])


def delete(call: Call) -> Bill:
    """Delete a bill that is not locked."""
    return remove_bill(call.records, call.path["id"], actor_id=call.actor.id, at=call.now)


def approve(call: Call, body: ApproveRequest) -> ApproveReply:
    """Approve bills, all or none."""
    if body.bill_ids is not None:
        wanted = BillFilter(ids=body.bill_ids)
    else:
        wanted = BillFilter(
            account_ids=call.query.texts("accountIds"),
            status=BillStatus.PENDING,
            external_invoice_dates=_days(call, "externalInvoiceDate"),
        )
        if wanted.account_ids is None and wanted.external_invoice_dates == (None, None):
            raise Refusal("invalid_request", "billIds: name the bills to approve", field="billIds")
    return ApproveReply(message=f"{bills.approve_bills(desk_of(call), wanted)} bills are APPROVED")


def set_status(call: Call, body: StatusRequest) -> Bill:
    """Approve one bill, or take its approval back."""
    return bills.set_status(desk_of(call), call.path["id"], body.status)


def lock(call: Call) -> Bill:
    """Make an approved bill final."""
    return bills.lock_bill(desk_of(call), call.path["id"])


def find_line_items(call: Call) -> dict[str, object]:
    """A page of a bill's lines, in the bill's order."""
    record = bills.get_bill(call.records, call.path["billId"])
    page = call.query.page()
    start = _start(page)
    lines = record.bill.line_items[start : start + page.size]
    rest = start + page.size < len(record.bill.line_items)
    return page_reply([_line(record, line) for line in lines], str(start + page.size) if rest else None)


def retrieve_line_item(call: Call) -> dict[str, object]:
    """One line of a bill."""
    record = bills.get_bill(call.records, call.path["billId"])
    return _line(record, bills.get_line_item(record, call.path["id"]))


def retrieve_config(call: Call) -> dict[str, object]:
    """The bill settings."""
    return entity_reply(bills.get_bill_config(call.records))


def update_config(call: Call, body: BillConfig) -> dict[str, object]:
    """Move the date up to which all bills are locked."""
    version: int | None = getattr(body, "version", None)
    return entity_reply(bills.set_bill_config(desk_of(call), value_of(BillConfig, body), version))


def _filter(call: Call) -> BillFilter:
    query = call.query
    account = query.text("accountId")
    bill_date = query.day("billDate")
    return BillFilter(
        ids=query.texts("ids"),
        account_ids=None if account is None else (account,),
        job_id=query.text("billJobId"),
        status=query.choice("status", BillStatus),
        locked=query.flag("locked"),
        frequency=query.choice("billingFrequency", Frequency),
        bill_dates=_days(call, "billDate") if bill_date is None else (bill_date, bill_date),
        external_invoice_dates=_days(call, "externalInvoiceDate"),
    )


def paid_wanted(call: Call) -> PaidWanted:
    """What a query asks for of the payment of bills."""
    return PaidWanted(
        state=call.query.choice("paidState", PaidState),
        account_id=call.query.text("accountId"),
        overdue_on=today(call.records, call.now) if call.query.flag("overdue") else None,
    )


def _days(call: Call, name: str) -> tuple[date | None, date | None]:
    """The first and the last day of a filter; on the wire the end is the day after the last (as m3ter has it)."""
    first, end = call.query.day(name + "Start"), call.query.day(name + "End")
    return first, None if end is None else max(end, EARLIEST_END) - timedelta(days=1)


def _start(page: Page) -> int:
    token = page.token or "0"
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise Refusal("invalid_page", f"nextToken: {token[:40]!r} is no token of this list", field="nextToken")
    return int(token)


def without(struct: Bill | LineItem, left_out: set[str]) -> dict[str, object]:
    """What the wire shows of a bill or a line, without some of its fields."""
    names = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    shown = {wire: getattr(struct, name) for wire, name in names if wire not in left_out}
    return {wire: value for wire, value in shown.items() if value is not None}


def _line(record: BillRecord, line: LineItem) -> dict[str, object]:
    bill = record.bill
    alone = LineItemReply(
        bill_id=bill.id,
        json_usage_generated=False,
        band_usage=line.usage_per_pricing_band or (),
        dt_created=bill.dt_created,
        dt_last_modified=bill.dt_last_modified,
        created_by=bill.created_by,
        last_modified_by=bill.last_modified_by,
        version=bill.version,
    )
    names = zip(alone.__struct_encode_fields__, alone.__struct_fields__, strict=True)
    return without(line, {"usagePerPricingBand"}) | {wire: getattr(alone, name) for wire, name in names}


PAID_QUERY: Mapping[str, str] = {
    "paidState": f"Only approved bills that are {', '.join(PaidState)}.",
    "overdue": "true: only approved bills that should have been paid before today.",
}
LIST_QUERY: Mapping[str, str] = {
    "accountId": "Only bills of this account.",
    "billDate": "Only bills of this day.",
    "billDateStart": "Only bills from this day on.",
    "billDateEnd": "Only bills of days before this one.",
    "billingFrequency": "Only bills of this frequency.",
    "billJobId": "Only bills last calculated by this job.",
    "excludeLineItems": "true leaves the lines out.",
    "externalInvoiceDateStart": "Only bills invoiced from this day on.",
    "externalInvoiceDateEnd": "Only bills invoiced before this day.",
    "ids": "Only these ids, comma-joined.",
    "includeBillTotal": "Accepted for m3ter's clients; the total is always there.",
    "additional": "Accepted for m3ter's clients; nothing is left out by default.",
    "locked": "true or false.",
    "status": "PENDING or APPROVED.",
    **PAID_QUERY,
    **PAGING,
}
SEARCH_QUERY = {
    "searchQuery": f"Terms joined by $, such as startDate>2025-01-01$locked:false, over {', '.join(SEARCH_KEYS)}.",
    "operator": "AND: all terms hold; OR: at least one.",
    "sortBy": f"One of {', '.join(SORT_KEYS)}.",
    "sortOrder": "ASC or DESC.",
    "fromDocument": "How many rows to skip.",
    "pageSize": "How many rows to answer at most, 10 if not given.",
}
APPROVE_QUERY = {
    "accountIds": "Bills of these accounts, comma-joined, when the body names no bills.",
    "externalInvoiceDateStart": "Bills invoiced from this day on.",
    "externalInvoiceDateEnd": "Bills invoiced before this day.",
}


def _route(method: str, path: str, run: object, summary: str, **more: object) -> Route:
    scope = "config:retrieve" if method == "GET" else "config:update"
    assert callable(run)
    return Route(method=method, path=path, run=run, summary=summary, tag="Bills", scope=scope, **more)  # type: ignore[arg-type]  # the named fields of Route


ROUTES = (
    _route("GET", "/bills", find, "List bills", reply=Paged(Bill), query=LIST_QUERY),
    _route(
        "POST", "/bills/approve", approve, "Approve bills", body=ApproveRequest, reply=ApproveReply, query=APPROVE_QUERY
    ),
    _route("GET", "/bills/search", search, "Search bills", reply=Paged(Bill), query=SEARCH_QUERY),
    _route("GET", "/bills/latest/{accountId}", latest, "Read an account's latest bill", reply=Bill),
    _route("GET", "/bills/{id}", retrieve, "Read a bill", reply=Bill),
    _route("DELETE", "/bills/{id}", delete, "Delete a bill that is not locked", reply=Bill),
    _route("PUT", "/bills/{id}/status", set_status, "Approve a bill or take it back", body=StatusRequest, reply=Bill),
    _route("PUT", "/bills/{id}/lock", lock, "Lock an approved bill for good", reply=Bill),
    _route(
        "GET", "/bills/{billId}/lineitems", find_line_items, "List a bill's lines", reply=Paged(LineItem), query=PAGING
    ),
    _route("GET", "/bills/{billId}/lineitems/{id}", retrieve_line_item, "Read a line of a bill", reply=LineItem),
    _route("GET", "/billconfig", retrieve_config, "Read the bill settings", reply=Envelope(BillConfig)),
    _route(
        "PUT",
        "/billconfig",
        update_config,
        "Move the date up to which bills are locked",
        body=BillConfigRequest,
        reply=Envelope(BillConfig),
    ),
)
