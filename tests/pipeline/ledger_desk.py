"""What tests of the ledger do on a billing desk: put money in, bill months, and read what was booked."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from billing_desk import Desk

from billing_world import ACCOUNT, at, id_of
from tallystick.core import wire
from tallystick.core.ledger import CreditKind, LedgerCause, LedgerEntry
from tallystick.pipeline.ledger import document_of
from tallystick.ports import DocumentWhere, Page

WALLET = id_of("balance", "wallet")


def top_up(desk: Desk, amount: object, when: str = "2023-01-01", credit: str = WALLET, account: str = ACCOUNT) -> None:
    """Someone adds to a balance."""
    entry = LedgerEntry(
        id=id_of("entry", f"{credit}/{when}/{amount}"),
        credit_kind=CreditKind.BALANCE,
        credit_id=credit,
        account_id=id_of("account", account),
        amount=Decimal(str(amount)),
        currency="USD",
        applied_date=at(when),
        transaction_date=at(when),
        entity_type=LedgerCause.SERVICE_USER,
        entity_id="ada",
        created=at(when),
        created_by="ada",
    )
    with desk.records.transaction() as write:
        write.put_documents("ledgerentry", [document_of(entry)])


def entries(desk: Desk) -> list[LedgerEntry]:
    """The whole ledger, by date."""
    found = desk.records.documents("ledgerentry", DocumentWhere(), Page(size=10_000)).rows
    return sorted(
        (wire.decode(LedgerEntry, each.body) for each in found), key=lambda each: (each.applied_date, each.id)
    )


def draws(desk: Desk) -> list[tuple[str, str]]:
    """(end of the bill's period, amount) of each draw."""
    return [
        (str(each.applied_date.date()), f"{each.amount:.2f}")
        for each in entries(desk)
        if each.entity_type is LedgerCause.BILL
    ]


def month(desk: Desk, number: int, **request: Any) -> None:
    """Bill a month of 2023."""
    first = date(2023 + number // 12, number % 12 + 1, 1)
    desk.run(f"{first}T06:00:00Z", **request)


def totals(desk: Desk) -> list[str]:
    return [f"{bill.bill_total:.2f}" for bill in desk.bills()]
