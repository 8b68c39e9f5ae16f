"""Reports and files of the books are of one moment, whatever is posted while they are read."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from io import BytesIO, StringIO
from zipfile import ZipFile

import pytest
from billing_desk import Desk, calls_world
from books_desk import APRIL, approve, billed, control

from billing_world import World, at
from tallystick.control import bills
from tallystick.core.bill import BillStatus
from tallystick.core.journal import JournalEntry
from tallystick.core.journal_csv import JournalForm, schedule_csv
from tallystick.errors import Refusal
from tallystick.pipeline import journal_reports, ledger
from tallystick.pipeline.journal import post_all
from tallystick.pipeline.journal_reports import EntryFilter, every_scheduled_line, ledger_files, read_trial_balance
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page

Opener = Callable[[World], Desk]


@pytest.fixture
def desk(open_desk: Opener) -> Desk:
    """A fee of 50 and 100 calls at 0.10 in March 2023, billed."""
    return billed(open_desk)


def numbers_in(body: bytes) -> list[int]:
    """The numbers of the entries in a plain file, each once, in its order."""
    rows = csv.reader(StringIO(body.decode()))
    next(rows)
    return list(dict.fromkeys(int(row[1]) for row in rows))


def test_what_is_posted_while_a_file_is_made_is_in_the_next_one(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(calls_world("acme", "bolt", fee="50.00", start="2023-03-01"))
    desk.run("2023-04-01T06:00:00Z")
    approve(desk)
    pages = {"read": 0}
    read = journal_reports.list_entries

    def read_slowly(records: OrganizationRecords, wanted: EntryFilter, page: Page) -> Found[JournalEntry]:
        found = read(records, wanted, Page(size=1, token=page.token))
        pages["read"] += 1
        if pages["read"] == 1:  # a bill is taken back: reversals of both of its days
            bills.set_status(control(desk), desk.bills()[0].id, BillStatus.PENDING)
            assert post_all(desk.records, at(APRIL)) == 2
        return found

    monkeypatch.setattr(journal_reports, "list_entries", read_slowly)
    with desk.store.still(desk.world.organization_id) as held:
        first = numbers_in(ledger_files(held, EntryFilter(), JournalForm.CSV).body(1))
    assert sorted(first) == [1, 2, 3, 4]
    with desk.store.still(desk.world.organization_id) as held:
        rest = ledger_files(held, EntryFilter(after=max(first)), JournalForm.CSV).body(1)
        part = ledger_files(held, EntryFilter(after=1, through=4), JournalForm.CSV).body(1)
    assert sorted(numbers_in(rest)) == [5, 6]
    assert sorted(numbers_in(part)) == [2, 3, 4]


def test_a_trial_balance_of_records_that_hold_still_is_zero_while_something_is_posted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(desk)
    monkeypatch.setattr(ledger, "PAGE", 1)
    read, pages = ledger.every_document, {"read": 0}

    class Busy:
        """Records of which a bill is taken back once the first page of them was read."""

        def __init__(self, of: OrganizationRecords) -> None:
            self._of = of

        def documents(self, kind: str, where: DocumentWhere, page: Page) -> Found[Document]:
            found = self._of.documents(kind, where, page)
            pages["read"] += 1
            if pages["read"] == 1:
                bills.set_status(control(desk), desk.bills()[0].id, BillStatus.PENDING)
                assert post_all(desk.records, at(APRIL)) == 2
            return found

    monkeypatch.setattr(journal_reports, "every_document", lambda of, kind, where: read(Busy(of), kind, where))
    with desk.store.still(desk.world.organization_id) as held:
        rows = read_trial_balance(held, None, None)
    assert pages["read"] > 3
    assert {each.account_code: f"{each.closing:f}" for each in rows if each.closing} == {"1200": "60", "4000": "-60"}


def test_several_files_come_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(desk)
    monkeypatch.setattr("tallystick.core.journal_csv.XERO_ROWS", 2)  # each of the two entries has a file
    files = ledger_files(desk.records, EntryFilter(), JournalForm.XERO)
    with ZipFile(BytesIO(files.together("books"))) as together:
        assert together.namelist() == ["books-1.csv", "books-2.csv"]
        assert [together.read(f"books-{number}.csv") for number in (1, 2)] == [files.body(1), files.body(2)]
    assert [files.body(number).count(b"\r\n") for number in (1, 2)] == [3, 3]


def test_a_file_has_no_more_entries_than_it_may(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(desk)
    monkeypatch.setattr(journal_reports, "MOST_IN_A_FILE", 1)
    with pytest.raises(Refusal, match="at most 1 entries") as refused:
        ledger_files(desk.records, EntryFilter(), JournalForm.CSV)
    assert refused.value.field == "throughNumber"
    monkeypatch.setattr(journal_reports, "MOST_LINES_IN_A_FILE", 1)
    with pytest.raises(Refusal, match="at most 1 lines"):
        list(every_scheduled_line(desk.records))
    assert len(schedule_csv(every_scheduled_line(desk.records, days=(date(2023, 4, 1), None))).splitlines()) == 1
    assert list(every_scheduled_line(desk.records, days=(None, date(2023, 3, 30)))) == []
    monkeypatch.setattr(journal_reports, "MOST_LINES_IN_A_FILE", 2)
    assert len(list(every_scheduled_line(desk.records, days=(date(2023, 3, 31), date(2023, 3, 31))))) == 2
    assert len(list(every_scheduled_line(desk.records, days=(date(2023, 3, 31), date.max)))) == 2
