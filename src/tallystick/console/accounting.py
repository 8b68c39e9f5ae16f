"""The books: what happened on each account, revenue by month, what is held back; journal entries and their files."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from tallystick.console.page import File, Html, Page, Redirect, Visit
from tallystick.control import accounting
from tallystick.core.journal import EntryType
from tallystick.core.journal_csv import JournalForm, schedule_csv
from tallystick.core.user import May
from tallystick.pipeline.journal_reports import (
    EntryFilter,
    every_scheduled_line,
    ledger_files,
    list_entries,
    read_revenue,
    read_roll_forward,
    read_trial_balance,
)
from tallystick.ports import Page as Part

ROWS = 50
MONTHS_BACK = timedelta(days=330)
SECTION = "accounting"
FORMS = (
    (JournalForm.CSV, "CSV"),
    (JournalForm.NETSUITE, "NetSuite"),
    (JournalForm.XERO, "Xero"),
    (JournalForm.QUICKBOOKS, "QuickBooks"),
)


def _books(visit: Visit) -> Html:
    today = visit.now.astimezone(visit.zone).date()
    start = visit.query.month("from") or (today - MONTHS_BACK).isoformat()[:7]
    end = visit.query.month("until") or today.isoformat()[:7]
    with visit.app.snapshots.still(visit.organization.id) as held:  # all of one moment
        told = {
            "balance": read_trial_balance(held, start, end),
            "revenue": read_revenue(held, start, end),
            "rolled": read_roll_forward(held, start, end),
            "closed": accounting.current(held).value.closed_through,
        }
    return Html("accounting.html", {"start": start, "end": end, **told})


def _filter(visit: Visit) -> EntryFilter:
    query = visit.query
    return EntryFilter(
        start=query.day("startDate"),
        end=query.day("endDate"),
        source_id=query.text("sourceId"),
        type=query.choice("type", EntryType),
        currency=query.text("currency"),
    )


def _entries(visit: Visit) -> Html:
    found = list_entries(visit.records, _filter(visit), Part(size=ROWS, token=visit.query.text("nextToken")))
    types = (("", "All"), *((each.value, each.value.capitalize()) for each in EntryType))
    return Html("journal.html", {"entries": found.rows, "next_token": found.next_token, "types": types, "forms": FORMS})


def _download(visit: Visit) -> File:
    form = visit.query.choice("format", JournalForm) or JournalForm.CSV
    with visit.app.snapshots.still(visit.organization.id) as held:
        files = ledger_files(held, _filter(visit), form)
    name = f"journal-{form.value.lower()}"
    if len(files.parts) == 1:
        return File(files.body(1), "text/csv", f"{name}.csv")
    return File(files.together(name), "application/zip", f"{name}.zip")


def _schedule(visit: Visit) -> File:
    return File(schedule_csv(every_scheduled_line(visit.records)), "text/csv", "revenue-schedule.csv")


def _close(visit: Visit) -> Redirect:
    """Close the books up to a day, or open them again."""
    chart = accounting.current(visit.records)
    closed = msgspec.structs.replace(chart.value, closed_through=visit.form.day("closedThrough"))
    accounting.update(visit.desk, closed, chart.version)
    until = "The books are open." if closed.closed_through is None else f"Closed through {closed.closed_through}."
    return Redirect("/accounting", notice=until)


PAGES = (
    Page(method="GET", path="/accounting", run=_books, title="Trial balance and revenue by month", section=SECTION),
    Page(method="GET", path="/accounting/entries", run=_entries, title="Journal entries", section=SECTION),
    Page(
        method="GET",
        path="/accounting/download",
        run=_download,
        title="Journal entries as a file",
        section=SECTION,
    ),
    Page(
        method="GET",
        path="/accounting/schedule/download",
        run=_schedule,
        title="The revenue schedule as a file: each line of a bill in each of its months",
        section=SECTION,
    ),
    Page(
        method="POST",
        path="/accounting/close",
        run=_close,
        title="Close the books up to a day",
        section=SECTION,
        may=May.ADMINISTER,
        again=_books,
    ),
)
