"""Journals that are kept as text files in tests/golden/journals, for accountants and not for programmers.

Each story states what it comes to by account, reckoned by hand. `python tests/golden_journals.py` writes the files
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

from billing_world import at, id_of
from tallystick.core.accounting import AccountingConfig, FundingAccount
from tallystick.core.bill import Bill, BillStatus, LineItem, LineItemType
from tallystick.core.credit_types import Commitment
from tallystick.core.entity import Entity
from tallystick.core.journal import (
    EntryDraft,
    JournalEntry,
    JournalSource,
    SourceType,
    Stamp,
    entry_of,
    reversal_of,
)
from tallystick.core.journal_drafts import bill_drafts, breakage_drafts, prepayment_drafts, transaction_drafts
from tallystick.core.journal_tallies import tallies_of, trial_balance
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry
from tallystick.core.period import Frequency, day_start
from tallystick.core.quantity import total

FILES = Path(__file__).parent / "golden" / "journals"
NOW = at("2026-01-01")
CHART = AccountingConfig()


def line(
    type_: str, amount: str, first: str = "", end: str = "", *, product: str = "API", zone: str = "UTC", **given: Any
) -> LineItem:
    """A line of a bill in USD, for the days from `first` to before `end`."""
    days = {"service_period_start_date": first, "service_period_end_date": end} if first else {}
    values: dict[str, Any] = {
        "id": id_of("line", f"{type_}/{amount}/{first}/{product}/{given}"),
        "line_item_type": LineItemType(type_),
        "description": type_.replace("_", " ").capitalize(),
        "quantity": Decimal(1),
        "units": Decimal(1),
        "unit": "",
        "subtotal": Decimal(amount),
        "average_unit_price": Decimal(amount),
        "currency": "USD",
        "conversion_rate": Decimal(1),
        "converted_subtotal": Decimal(amount),
        "sequence_number": 1,
        "accounting_product_id": id_of("product", product),
        "accounting_product_name": product,
        "accounting_product_code": product.lower(),
        **{name: day_start(date.fromisoformat(day), zone) for name, day in days.items()},
    }
    return LineItem(**(values | given))


def bill(first: str, end: str, *lines: LineItem, on: str = "", zone: str = "UTC", currency: str = "USD") -> Bill:
    """An approved bill of Acme for the days from `first` to before `end`, dated `end` unless said otherwise."""
    start, stop = date.fromisoformat(first), date.fromisoformat(end)
    dated = date.fromisoformat(on) if on else stop
    return Bill(
        id=id_of("bill", f"{first}/{end}"),
        version=1,
        account_id=id_of("account", "acme"),
        account_code="acme",
        status=BillStatus.APPROVED,
        locked=False,
        start_date=start,
        end_date=stop,
        start_date_time_utc=day_start(start, zone),
        end_date_time_utc=day_start(stop, zone),
        bill_date=dated,
        due_date=dated + timedelta(days=30),
        external_invoice_date=dated,
        billing_frequency=Frequency.MONTHLY,
        bill_frequency_interval=1,
        timezone=zone,
        currency=currency,
        currency_conversions=(),
        bill_total=total(each.converted_subtotal for each in lines),
        line_items=lines,
        bill_job_id=id_of("job", "1"),
        json_statement_generated=False,
        csv_statement_generated=False,
        statement_stale=False,
        created_date=NOW,
        last_calculated_date=NOW,
        dt_created=NOW,
        dt_last_modified=NOW,
        created_by="ada",
        last_modified_by="ada",
    )


def transaction(amount: str, when: str, **given: Any) -> LedgerEntry:
    """What was added to Acme's wallet, in USD."""
    values: dict[str, Any] = {
        "id": id_of("entry", f"{amount}/{when}/{given}"),
        "credit_kind": CreditKind.BALANCE,
        "credit_id": WALLET,
        "account_id": id_of("account", "acme"),
        "amount": Decimal(amount),
        "currency": "USD",
        "applied_date": at(when),
        "transaction_date": at(when),
        "entity_type": LedgerCause.USER,
        "entity_id": "ada",
        "created": at(when),
        "created_by": "ada",
    }
    return LedgerEntry(**(values | given))


def commitment(amount: str, paid: str, first: str, end: str) -> Entity[Commitment]:
    """What Acme has committed to, with what was paid for it beforehand."""
    value = Commitment(
        account_id=id_of("account", "acme"),
        amount=Decimal(amount),
        amount_pre_paid=Decimal(paid),
        currency="USD",
        start_date=date.fromisoformat(first),
        end_date=date.fromisoformat(end),
    )
    return Entity(id=COMMITMENT, version=1, value=value, created=NOW, created_by="ada", modified=NOW, modified_by="ada")


GIFTS = AccountingConfig(
    funding_accounts=(FundingAccount(transaction_type_id=id_of("type", "gift"), code="6100", name="Promotions"),)
)
WALLET, COMMITMENT = id_of("balance", "wallet"), id_of("commitment", "commitment")
CREDIT_OF = {WALLET: "wallet", COMMITMENT: "commitment"}


def posted(
    *documents: tuple[EntryDraft, ...], config: AccountingConfig = CHART, of: str = "document"
) -> list[JournalEntry]:
    """Documents one after the other, as they are posted."""
    entries: list[JournalEntry] = []
    for number, drafts in enumerate(documents):
        source = JournalSource(
            id=id_of(of, str(number)), type=SourceType.BILL, account_id=id_of("account", "acme"), revision=1
        )
        stamp = Stamp(source=source, account_code="acme", config=config, now=NOW)
        entries += [entry_of(each, stamp, len(entries) + 1 + place) for place, each in enumerate(drafts)]
    return entries


def taken_back(entries: Iterable[JournalEntry], after: int, config: AccountingConfig = CHART) -> list[JournalEntry]:
    """The reversals of entries."""
    source = JournalSource(id=id_of("document", "0"), type=SourceType.BILL, account_id=id_of("account", "acme"))
    stamp = Stamp(source=source, account_code="acme", config=config, now=NOW)
    return [reversal_of(each, stamp, after + place) for place, each in enumerate(entries, 1)]


@dataclass(frozen=True)
class Story:
    """A journal: what happened, and what each account comes to (debits above zero), by currency."""

    name: str
    told: str
    closing: dict[str, str]
    entries: Callable[[], list[JournalEntry]] = field(repr=False)


def render(story: Story) -> str:
    """The journal as a page of text."""
    page = [fill(story.told, 115)]
    entries = story.entries()
    for entry in sorted(entries, key=lambda each: (each.date, each.number)):
        page += ["", f"{entry.date}  {entry.number:>3}  {entry.type}: {entry.description} ({entry.currency})"]
        for each in entry.lines:
            about = ", ".join(
                part
                for part in (each.product.name if each.product else "", CREDIT_OF.get(each.credit_id or "", ""))
                if part
            )
            name = f"{each.account_code} {each.account_name}" + (f" ({about})" if about else "")
            debit, credit = (f"{amount:f}" if amount else "" for amount in (each.debit, each.credit))
            page.append(f"    {name:<60} {debit:>12} {credit:>12}".rstrip())
    page += ["", f"{'Trial balance':<56} {'debit':>12} {'credit':>12} {'closing':>12}"]
    for row in trial_balance(tuple(tallies_of(entries).values()), None, None):
        name = f"{row.currency} {row.account_code} {row.account_name}"
        page.append(f"{name:<56} {row.debit:>12f} {row.credit:>12f} {row.closing:>12f}")
    return "\n".join(page) + "\n"


def year_of_commitment() -> list[JournalEntry]:
    """1,200 billed at the start of 2024, 90 used in each month, 120 left at the end."""
    fee = line("COMMITMENT_FEE", "1200.00", "2024-01-01", "2025-01-01", commitment_id=COMMITMENT, product="Prepaid")
    months = [date(2024, month, 1) for month in range(1, 13)] + [date(2025, 1, 1)]
    monthly = [
        bill_drafts(
            bill(
                str(first),
                str(end),
                line("USAGE", "90.00", str(first), str(end)),
                line(
                    "COMMITMENT_CONSUMED", "-90.00", str(first), str(end), commitment_id=COMMITMENT, product="Prepaid"
                ),
            ),
            2,
        )
        for first, end in pairwise(months)
    ]
    start = bill_drafts(bill("2023-12-31", "2024-01-01", fee), 2)
    expired = breakage_drafts(COMMITMENT, "Commitment", "USD", Decimal(120), date(2025, 1, 1))
    return posted(start, *monthly, expired)


def in_dollars(type_: str, dollars: str, euros: str) -> LineItem:
    """A line of the commitment in USD on a bill in EUR."""
    return line(
        type_,
        dollars,
        "2024-05-01",
        "2024-06-01",
        commitment_id=COMMITMENT,
        conversion_rate=Decimal("0.9"),
        converted_subtotal=Decimal(euros),
    )


def recalculated() -> list[JournalEntry]:
    """A bill that is posted, taken back and posted anew after the close."""
    first, second = (
        bill_drafts(bill("2024-03-01", "2024-04-01", line("USAGE", amount, "2024-03-01", "2024-04-01")), 2)
        for amount in ("80.00", "75.00")
    )
    closed = AccountingConfig(closed_through=date(2024, 3, 31))
    before = posted(first)
    back = taken_back(before, len(before), closed)
    source = JournalSource(
        id=id_of("document", "0"), type=SourceType.BILL, account_id=id_of("account", "acme"), revision=2
    )
    stamp = Stamp(source=source, account_code="acme", config=closed, now=NOW)
    numbered = enumerate(second, len(before) + len(back) + 1)
    return [*before, *back, *(entry_of(each, stamp, number) for number, each in numbered)]


STORIES = (
    Story(
        "commitment_of_a_year",
        "A commitment of 1,200.00 is billed on 1 January 2024 and drawn by 90.00 a month. Nothing is owed "
        "for the months; each draw makes revenue of what was prepaid. 120.00 are left at the end of the "
        "year, and expire.",
        {"USD 1200": "1200", "USD 1210": "0", "USD 2410": "0", "USD 4000": "-1080", "USD 4800": "-120"},
        year_of_commitment,
    ),
    Story(
        "in_advance_over_summer_time",
        "A standing charge of 920.00 for 92 days in Berlin, from 15 March to 14 June 2024, billed on 15 "
        "March: 10.00 a day, whether a day has 23 hours or 24. March has 17 of the days, April 30, May "
        "31, June 14.",
        {"USD 1200": "920", "USD 2400": "0", "USD 4000": "-920"},
        lambda: posted(
            bill_drafts(
                bill(
                    "2024-02-15",
                    "2024-03-15",
                    line("STANDING_CHARGE", "920.00", "2024-03-15", "2024-06-15", zone="Europe/Berlin"),
                    zone="Europe/Berlin",
                ),
                2,
            )
        ),
    ),
    Story(
        "in_advance_over_new_year",
        "100.00 for 31 days from 15 December 2024, billed on that day: 17 days are 54.84 (54.8387…), 14 days the rest.",
        {"USD 1200": "100", "USD 2400": "0", "USD 4000": "-100"},
        lambda: posted(
            bill_drafts(
                bill("2024-11-15", "2024-12-15", line("STANDING_CHARGE", "100.00", "2024-12-15", "2025-01-15")), 2
            )
        ),
    ),
    Story(
        "in_arrears",
        "200.00 of usage in January and February 2024 (60 days), billed on 1 March with a discount of "
        "20.00 and a credit memo of 15.00 for December: what was earned in January stands as unbilled "
        "until the bill. January has 31 of 60 days: 103.33 and 10.33; a memo belongs to the last month of "
        "its bill.",
        {"USD 1200": "165", "USD 1210": "0", "USD 4000": "-200", "USD 4900": "20", "USD 4910": "15"},
        lambda: posted(
            bill_drafts(
                bill(
                    "2024-01-01",
                    "2024-03-01",
                    line("USAGE", "200.00", "2024-01-01", "2024-03-01"),
                    line("CREDIT_DEDUCTION", "-20.00", "2024-01-01", "2024-03-01"),
                    line("CREDIT_MEMO", "-15.00", "2023-12-01", "2024-01-01"),
                ),
                2,
            )
        ),
    ),
    Story(
        "refund",
        "A minimum of 50.00 was billed in advance on 1 April 2024 and is given back on the bill of 1 May, "
        "beside 30.00 of usage: that bill is 20.00 in favour of the customer.",
        {"USD 1200": "30", "USD 1210": "0", "USD 4000": "-30"},
        lambda: posted(
            bill_drafts(
                bill("2024-03-01", "2024-04-01", line("MINIMUM_SPEND", "50.00", "2024-04-01", "2024-05-01")), 2
            ),
            bill_drafts(
                bill(
                    "2024-04-01",
                    "2024-05-01",
                    line("USAGE", "30.00", "2024-04-01", "2024-05-01"),
                    line("MINIMUM_SPEND_REFUND", "-50.00", "2024-04-01", "2024-05-01"),
                ),
                2,
            ),
        ),
    ),
    Story(
        "wallet",
        "A wallet gets 100.00 in January 2024 that its fee is billed for, 20.00 as a gift (of a type with "
        "an account of its own), and 50.00 for which 45.00 were paid. 130.00 are drawn in February; 40.00 "
        "expire at the end of March.",
        {
            "USD 1000": "45",
            "USD 1200": "100",
            "USD 1210": "0",
            "USD 1250": "0",
            "USD 2410": "0",
            "USD 4000": "-130",
            "USD 4800": "-40",
            "USD 4900": "5",
            "USD 6100": "20",
        },
        lambda: posted(
            transaction_drafts(transaction("100", "2024-01-05"), "UTC"),
            transaction_drafts(transaction("20", "2024-01-06", transaction_type_id=id_of("type", "gift")), "UTC"),
            transaction_drafts(
                transaction("50", "2024-01-07", paid=Decimal(45), currency_paid="USD", description="Bought"), "UTC"
            ),
            bill_drafts(
                bill(
                    "2024-01-01",
                    "2024-02-01",
                    line("BALANCE_FEE", "100.00", "2024-01-01", "2024-02-01", balance_id=WALLET),
                ),
                2,
            ),
            bill_drafts(
                bill(
                    "2024-02-01",
                    "2024-03-01",
                    line("USAGE", "130.00", "2024-02-01", "2024-03-01"),
                    line("BALANCE_CONSUMED", "-130.00", "2024-02-01", "2024-03-01", balance_id=WALLET),
                ),
                2,
            ),
            breakage_drafts(WALLET, "Wallet", "USD", Decimal(40), date(2024, 4, 1)),
            config=GIFTS,
        ),
    ),
    Story(
        "yen_and_dinar",
        "The first quarter of 2023, 90 days, billed in advance on 1 January: 100 JPY, whose months are "
        "34, 32 and 34 (34.4 and 65.6 up to the ends of January and February), and 1.000 KWD: 0.344, "
        "0.312 and 0.344.",
        {
            "JPY 1200": "100",
            "JPY 2400": "0",
            "JPY 4000": "-100",
            "KWD 1200": "1",
            "KWD 2400": "0",
            "KWD 4000": "-1",
        },
        lambda: posted(
            *(
                bill_drafts(
                    bill(
                        "2022-12-01",
                        "2023-01-01",
                        line("STANDING_CHARGE", amount, "2023-01-01", "2023-04-01", currency=currency),
                        currency=currency,
                    ),
                    decimals,
                )
                for amount, currency, decimals in (("100", "JPY", 0), ("1.000", "KWD", 3))
            )
        ),
    ),
    Story(
        "credit_in_another_currency",
        "A commitment of 500.00 USD, of which 200.00 were paid beforehand, is billed in EUR at 0.9: the "
        "fee of 300.00 USD is 270.00 EUR. 100.00 USD of it pay for 90.00 EUR of usage in May 2024. "
        "Prepaid credit stays in USD, and what goes over is on the exchange account: 180.00 EUR are "
        "200.00 USD at 0.9.",
        {
            "EUR 1200": "270",
            "EUR 1210": "0",
            "EUR 1290": "-180",
            "EUR 4000": "-90",
            "USD 1000": "200",
            "USD 1210": "0",
            "USD 1290": "200",
            "USD 2410": "-400",
        },
        lambda: posted(
            prepayment_drafts(commitment("500", "200", "2024-05-01", "2025-05-01")),
            bill_drafts(
                bill(
                    "2024-05-01",
                    "2024-06-01",
                    line("USAGE", "90.00", "2024-05-01", "2024-06-01", currency="EUR"),
                    in_dollars("COMMITMENT_FEE", "300.00", "270.00"),
                    in_dollars("COMMITMENT_CONSUMED", "-100.00", "-90.00"),
                    currency="EUR",
                ),
                2,
            ),
        ),
    ),
    Story(
        "recalculated_after_the_close",
        "The bill of March 2024 over 80.00 was posted; then the books of March are closed, and the bill "
        "is recalculated to 75.00. What was posted is taken back and posted anew on 1 April, the first "
        "day that is open.",
        {"USD 1200": "75", "USD 1210": "0", "USD 4000": "-75"},
        recalculated,
    ),
)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for each in STORIES:
        (FILES / f"{each.name}.txt").write_text(render(each), encoding="utf-8")
