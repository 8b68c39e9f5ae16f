"""The books over HTTP: journal entries, trial balances, revenue by month, draw-downs. An extension of ours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from tallystick.api.crud import PAGING, Reply, desk_of, request_type, value_of
from tallystick.api.routing import Call, Envelope, Paged, Raw, Route, entity_reply, struct_page
from tallystick.control import accounting
from tallystick.core.accounting import AccountingConfig
from tallystick.core.journal import EntryType, JournalEntry
from tallystick.core.journal_csv import JournalForm, schedule_csv
from tallystick.core.journal_tallies import DrawdownRow, RevenueRow, RollForwardRow, TrialBalanceRow
from tallystick.core.revenue_schedule import ScheduledLine
from tallystick.errors import Refusal
from tallystick.pipeline.journal import post_all
from tallystick.pipeline.journal_reports import (
    EntryFilter,
    every_scheduled_line,
    get_entry,
    ledger_files,
    list_entries,
    read_drawdowns,
    read_revenue,
    read_roll_forward,
    read_schedule,
    read_trial_balance,
)
from tallystick.ports import OrganizationRecords
from tallystick.web.query import QueryString

TAG = "Accounting"


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """How many journal entries were made."""

    entries: int


def entry_filter(query: QueryString) -> EntryFilter:
    """Which entries a query asks for."""
    return EntryFilter(
        start=query.day("startDate"),
        end=query.day("endDate"),
        account_id=query.text("accountId"),
        source_id=query.text("sourceId"),
        type=query.choice("type", EntryType),
        currency=query.text("currency"),
        after=query.number("afterNumber", lowest=0, highest=10**12 - 2),
        through=query.number("throughNumber", lowest=1, highest=10**12 - 1),
    )


def _entries(call: Call) -> dict[str, object]:
    found = list_entries(call.records, entry_filter(call.query), call.query.page(highest=200))
    return struct_page(found.rows, found.next_token)


def _entry(call: Call) -> JournalEntry:
    return get_entry(call.records, call.path["id"])


def journal_file(call: Call) -> Raw:
    """Entries as a file for a ledger."""
    form = call.query.choice("format", JournalForm) or JournalForm.CSV
    with _held(call) as held:
        files = ledger_files(held, entry_filter(call.query), form)
    parts = len(files.parts)
    part = call.query.number("part", lowest=1, highest=parts) or 1
    name = f"journal-{form.value.lower()}" + (f"-{part}" if parts > 1 else "")
    more = f"part {part} of {parts}: ask for the others with part=" if parts > 1 else None
    return Raw(files.body(part), "text/csv", f"{name}.csv", warning=more)


def _post(call: Call) -> Posted:
    made = post_all(call.records, call.now)
    with call.records.transaction() as write:
        write.note("POST", "journal", call.organization_id, at=call.now, by=call.actor)
    return Posted(entries=made)


def _held(call: Call) -> AbstractContextManager[OrganizationRecords]:
    """Records that hold still: what is posted while they are read would be there by half."""
    return call.app.snapshots.still(call.organization_id)


def _months(call: Call) -> tuple[str | None, str | None]:
    return call.query.month("startMonth"), call.query.month("endMonth")


def _trial_balance(call: Call) -> dict[str, object]:
    with _held(call) as held:
        rows = read_trial_balance(held, *_months(call))
    return _page_of(call, rows)


def _revenue(call: Call) -> dict[str, object]:
    with _held(call) as held:
        rows = read_revenue(held, *_months(call))
    return _page_of(call, rows)


def _roll_forward(call: Call) -> dict[str, object]:
    with _held(call) as held:
        rows = read_roll_forward(held, *_months(call))
    return _page_of(call, rows)


def _drawdowns(call: Call) -> dict[str, object]:
    account, credit = call.query.text("accountId"), call.query.text("creditId")
    found = read_drawdowns(call.records, call.query.page(), account_id=account, credit_id=credit)
    return struct_page(found.rows, found.next_token)


def _schedule(call: Call) -> dict[str, object]:
    account, bill = call.query.text("accountId"), call.query.text("billId")
    found = read_schedule(call.records, call.query.page(), account_id=account, bill_id=bill)
    return struct_page(found.rows, found.next_token)


def schedule_file(call: Call) -> Raw:
    """The revenue schedule as a file."""
    days = call.query.day("startDate"), call.query.day("endDate")
    lines = every_scheduled_line(call.records, account_id=call.query.text("accountId"), days=days)
    return Raw(schedule_csv(lines), "text/csv", "revenue-schedule.csv")


def _page_of(call: Call, rows: Sequence[msgspec.Struct]) -> dict[str, object]:
    """A page of rows that were summed at once. The token of a page is how many came before it."""
    page = call.query.page(highest=1_000)
    token = page.token or "0"
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise Refusal("invalid_page", f"nextToken: {token[:40]!r} is no token of this list", field="nextToken")
    end = int(token) + page.size
    return struct_page(rows[int(token) : end], str(end) if end < len(rows) else None)


def _config(call: Call) -> Reply:
    return entity_reply(accounting.current(call.records))


def _set_config(call: Call, body: Any) -> Reply:
    return entity_reply(accounting.update(desk_of(call), value_of(AccountingConfig, body), body.version))


_FILTERS = {
    "startDate": "Only entries of this day of the books or later.",
    "endDate": "Only entries of this day of the books or earlier.",
    "accountId": "Only entries of this account.",
    "sourceId": "Only entries of this bill, transaction or commitment.",
    "type": "Only BILL, RECOGNITION, CREDIT, BREAKAGE, PAYMENT or REVERSAL.",
    "currency": "Only entries in this currency.",
    "afterNumber": "Only entries with a higher number: those that came since.",
    "throughNumber": "Only entries with this number or a lower one.",
}
_MONTHS = {"startMonth": "The first month, such as 2024-03.", "endMonth": "The last month, such as 2024-12."}


def _route(method: str, path: str, run: object, summary: str, **more: object) -> Route:
    scope = "config:retrieve" if method == "GET" else "config:update"
    return Route(method=method, path=f"/accounting{path}", run=run, summary=summary, tag=TAG, scope=scope, **more)  # type: ignore[arg-type]  # the named fields of Route


ROUTES = (
    _route(
        "GET",
        "/journalentries",
        _entries,
        "List journal entries, the latest day first",
        reply=Paged(JournalEntry),
        query={**_FILTERS, **PAGING},
    ),
    _route("GET", "/journalentries/{id}", _entry, "Retrieve a journal entry", reply=JournalEntry),
    _route(
        "GET",
        "/journalfile",
        journal_file,
        "Download journal entries as CSV, also for NetSuite, Xero and QuickBooks",
        reply=Raw,
        query={
            "format": "CSV, NETSUITE, XERO or QUICKBOOKS; CSV if not given.",
            "part": "Which of several files, from 1: Xero takes 300 rows in one.",
            **_FILTERS,
        },
    ),
    _route("POST", "/post", _post, "Post journal entries of all that is due, at once", reply=Posted),
    _route(
        "GET",
        "/trialbalance",
        _trial_balance,
        "List what happened on each ledger account in some months",
        reply=Paged(TrialBalanceRow),
        query={**_MONTHS, **PAGING},
    ),
    _route(
        "GET",
        "/revenue",
        _revenue,
        "List revenue by month and accounting product",
        reply=Paged(RevenueRow),
        query={**_MONTHS, **PAGING},
    ),
    _route(
        "GET",
        "/rollforward",
        _roll_forward,
        "List what is deferred, prepaid and unbilled, month by month",
        reply=Paged(RollForwardRow),
        query={**_MONTHS, **PAGING},
    ),
    _route(
        "GET",
        "/revenueschedule",
        _schedule,
        "List the lines of approved bills with the months that they belong to",
        reply=Paged(ScheduledLine),
        query={
            "accountId": "Only bills of this account.",
            "billId": "Only this bill.",
            "pageSize": "How many bills a page has the lines of at most.",
            "nextToken": PAGING["nextToken"],
        },
    ),
    _route(
        "GET",
        "/revenueschedulefile",
        schedule_file,
        "Download the revenue schedule as CSV: each line of a bill in each of its months",
        reply=Raw,
        query={
            "accountId": "Only bills of this account.",
            "startDate": "Only bills whose last day is this one or later.",
            "endDate": "Only bills whose last day is this one or earlier.",
        },
    ),
    _route(
        "GET",
        "/drawdowns",
        _drawdowns,
        "List how commitments and balances are drawn down, by month",
        reply=Paged(DrawdownRow),
        query={"accountId": "Only credit of this account.", "creditId": "Only this credit.", **PAGING},
    ),
    _route("GET", "/config", _config, "Retrieve the chart of accounts", reply=Envelope(AccountingConfig)),
    _route(
        "PUT",
        "/config",
        _set_config,
        "Replace the chart of accounts",
        body=request_type(AccountingConfig),
        reply=Envelope(AccountingConfig),
    ),
)
