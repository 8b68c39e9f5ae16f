"""Files of entries: what NetSuite, Xero and QuickBooks read, held against files that were read over line by line."""

from __future__ import annotations

import csv
from decimal import Decimal
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_world import id_of
from effort import drawing
from golden_journals import CHART, GIFTS, bill, line, posted, taken_back, transaction
from tallystick.core.accounting import AccountingConfig, Role
from tallystick.core.journal import EntryDraft, EntryType, JournalEntry, Posting, draft
from tallystick.core.journal_csv import XERO_ROWS, JournalForm, in_whole_steps, journal_csv, parts_of, schedule_csv
from tallystick.core.journal_drafts import bill_drafts, transaction_drafts
from tallystick.core.quantity import total
from tallystick.core.revenue_schedule import schedule_of

GOLDEN = Path(__file__).parent.parent / "golden" / "ledger_files"
PLACES = {"KWD": 3, "JPY": 0}


def cents(currency: str) -> int:
    return PLACES.get(currency, 2)


def told() -> list[JournalEntry]:
    """A bill and its reversal; an amount that is finer than a cent, of which a third was paid; a gift in dinars."""
    usage = line("USAGE", "5.00", "2024-02-01", "2024-03-01", product="Calls, each")
    first = bill_drafts(bill("2024-02-01", "2024-03-01", usage), 2)
    paid = transaction(
        "10.005", "2024-01-07T12:00:00Z", paid=Decimal("3.335"), currency_paid="USD", description='1 "top-up";=SUM(A1)'
    )
    gift = transaction(
        "0.125", "2024-01-08", currency="KWD", transaction_type_id=id_of("type", "gift"), description="-5 off"
    )
    config = msgspec.structs.replace(GIFTS, netsuite_subsidiary="Main : EU")
    entries = posted(first, transaction_drafts(paid, "UTC"), transaction_drafts(gift, "UTC"), config=config)
    return [*entries, *taken_back(entries[:1], len(entries))]


@pytest.mark.parametrize("form", list(JournalForm))
def test_a_file_reads_as_it_was_written_by_hand(form: JournalForm) -> None:
    config = msgspec.structs.replace(GIFTS, netsuite_subsidiary="Main : EU")
    entries = [each for each in told() if form is not JournalForm.XERO or each.currency == "USD"]
    text = journal_csv(entries, form, config, cents).decode()
    for number, each in enumerate(entries, 1):
        text = text.replace(each.id, f"<entry {number}>").replace(each.source_id, f"<source {number}>")
    path = GOLDEN / f"{form.value.lower()}.csv"
    assert text == path.read_bytes().decode()


def test_every_form_has_its_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.csv")} == {form.value.lower() for form in JournalForm}


# What entries come to, debits above zero, that are finer than the currency: what they are in a file.
STEPS = [
    (2, ["3.335", "6.670", "-10.005"], ["3.34", "6.67", "-10.01"]),
    (2, ["0.005", "0.005", "-0.010"], ["0.01", "-0.01"]),
    (2, ["3.333", "3.333", "3.334", "-10"], ["3.33", "3.34", "3.33", "-10"]),
    (2, ["0.004", "-0.004"], []),  # nothing that could be booked
    (0, ["100.5", "-100.5"], ["101", "-101"]),
    (3, ["0.125", "-0.125"], ["0.125", "-0.125"]),
    (2, ["5", "-5"], ["5", "-5"]),
]


@pytest.mark.parametrize(("decimals", "lines", "wanted"), STEPS)
def test_what_is_finer_than_the_currency_still_balances(decimals: int, lines: list[str], wanted: list[str]) -> None:
    found = in_whole_steps(entry_over(lines), decimals)
    assert [str(each.amount) for each in found.lines] == wanted
    assert total(each.amount for each in found.lines) == 0


def entry_over(amounts: list[str]) -> JournalEntry:
    """An entry with a line of each of these amounts, in this order."""
    (entry,) = posted(transaction_drafts(transaction("1", "2024-01-05"), "UTC"))
    debit, credit = entry.lines
    lines = (
        msgspec.structs.replace(
            debit if Decimal(each) > 0 else credit,
            debit=max(Decimal(each), Decimal(0)),
            credit=max(-Decimal(each), Decimal(0)),
        )
        for each in amounts
    )
    return msgspec.structs.replace(entry, lines=tuple(lines))


@settings(**drawing(100))
@given(st.lists(st.decimals(-1000, 1000, places=5), min_size=1, max_size=8), st.sampled_from((0, 2, 3)))
def test_any_entry_balances_in_whole_steps_and_no_line_is_off_by_more_than_one(
    amounts: list[Decimal], decimals: int
) -> None:
    roles = list(Role)
    postings = [Posting(role=roles[place], amount=amount) for place, amount in enumerate(amounts)]
    postings.append(Posting(role=Role.BAD_DEBT, amount=-total(amounts)))
    day = transaction_drafts(transaction("1", "2024-01-05"), "UTC")[0].date
    drafted: EntryDraft | None = draft(EntryType.BILL, day, "USD", "Any", postings)
    (entry,) = posted((drafted,)) if drafted else [entry_over([])]
    found = in_whole_steps(entry, decimals)
    step = Decimal(1).scaleb(-decimals)
    exact = {each.role: each.amount for each in entry.lines}
    assert total(each.amount for each in found.lines) == 0
    for each in found.lines:
        assert each.amount % step == 0
        assert abs(each.amount - exact.pop(each.role)) <= step
        assert (each.debit > 0) != (each.credit > 0)
    assert all(abs(amount) <= step for amount in exact.values())  # those that are left out


FORMS = {
    JournalForm.CSV: '{id},1,RECOGNITION,2024-01-31,2024-01-31,USD,"Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",'
    "BILL,{source},1,acme,1210,Unbilled receivables,UNBILLED,,,5,,",
    JournalForm.NETSUITE: '{id},Main,USD,01/31/2024,"Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",'
    '1210 Unbilled receivables,5,,"Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",',
    JournalForm.XERO: '"1 Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",31/01/2024,'
    '"Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",1210,Tax Exempt,5,,,,',
    JournalForm.QUICKBOOKS: "1,01/31/2024,Unbilled receivables,5,,"
    '"Bill of acme, 2024-01-01 to 2024-01-31: 2024-01",,USD,,',
}


@pytest.mark.parametrize("form", list(JournalForm))
def test_forms_of_files(form: JournalForm) -> None:
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01"))
    entries = posted(bill_drafts(made, 2))
    config = AccountingConfig(netsuite_subsidiary="Main")
    heads, first, *rest = journal_csv(entries, form, config, cents).decode().split("\r\n")
    assert first == FORMS[form].format(id=entries[0].id, source=entries[0].source_id)
    assert len(rest) == 4  # three more lines, and the end
    assert heads.count(",") == first.replace(", 2024", " 2024").count(",")


def test_the_schedule_as_a_file() -> None:
    charge = line("STANDING_CHARGE", "90.00", "2024-02-01", "2024-04-01", description="=1+1")  # 29 and 31 of 60 days
    made = bill("2024-01-01", "2024-02-01", charge)
    heads, *rows = schedule_csv(schedule_of(made, 2)).decode().splitlines()
    assert heads.endswith("lineAmount,billed,month,amount")
    start = f"{made.id},{charge.id},acme,STANDING_CHARGE,REVENUE,'=1+1,api,USD,90.00,2024-02"
    assert rows == [f"{start},2024-02,43.5", f"{start},2024-03,46.5"]


def test_files_run_nothing_in_a_spreadsheet() -> None:
    nasty = AccountingConfig(unbilled=CHART.unbilled.__class__(code="=1", name="@SUM(1)"))
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01", product="+cmd"))
    entries = [
        msgspec.structs.replace(each, account_code="-2", description="=evil")
        for each in posted(bill_drafts(made, 2), config=nasty)
    ]
    for form in JournalForm:
        for row in journal_csv(entries, form, nasty, cents).decode().split("\r\n")[1:]:
            for cell in row.split(","):
                assert cell[:1] not in {"=", "@", "+"}, row
                assert cell[:1] != "-" or cell[1:].isdigit(), row


def test_xero_takes_300_rows_a_file_and_no_entry_is_parted() -> None:
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01"))
    (entry, _) = posted(bill_drafts(made, 2))
    parts = list(parts_of([entry] * 301, JournalForm.XERO))
    assert [len(each) for each in parts] == [XERO_ROWS // 2, XERO_ROWS // 2, 1]
    assert len(list(parts_of([entry] * 301, JournalForm.CSV))) == 1
    assert list(parts_of([], JournalForm.XERO)) == [[]]


def test_what_is_posted_between_two_files_shifts_nothing() -> None:
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01"))
    (entry, _) = posted(bill_drafts(made, 2))
    entries = [msgspec.structs.replace(entry, number=number) for number in range(1, 302)]
    late = msgspec.structs.replace(entry, number=302, date=entry.date.replace(day=1))  # of an earlier day
    before, after = (list(parts_of(each, JournalForm.XERO)) for each in (entries, [late, *entries]))
    assert after[:2] == before[:2]
    assert [each.number for each in after[2]] == [301, 302]


@pytest.mark.parametrize("form", list(JournalForm))
def test_no_cell_of_any_text_is_run(form: JournalForm) -> None:
    made = bill("2024-01-01", "2024-02-01", line("USAGE", "5.00", "2024-01-01", "2024-02-01"))
    for text in ("x;=1+1", "=1", "a\n=1", "\t@SUM(1)", "5\t=1", "＝1"):
        entries = [
            msgspec.structs.replace(each, account_code=text, description=text) for each in posted(bill_drafts(made, 2))
        ]
        for row in csv.reader(StringIO(journal_csv(entries, form, CHART, cents).decode())):
            for cell in row:
                parts = cell.replace("\t", ";").replace("\n", ";").split(";")
                assert not any(part.strip().startswith(("=", "@", "+", "＝")) for part in parts), cell
