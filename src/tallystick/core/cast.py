"""A new bill in its final form, from a mould (`core.mould`) or made whole."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import msgspec

from tallystick.core.bill import BillRecord, Written, body_of, document_keys
from tallystick.core.ledger import LedgerEntry
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import local_day
from tallystick.core.stencil import Stencil
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.wire import encode

NO_BILL_BEFORE = "[]"
NUMBER = "\x02"  # where the invoice number goes, which is only known when the bill is kept


class Booking(msgspec.Struct, frozen=True, gc=False):
    """What a bill draws: its entries in the ledger, of which credits (ids), and what else the ledger had of those when
    they were reckoned (`pipeline.ledger.Book.state`)."""

    entries: tuple[LedgerEntry, ...]
    credit_ids: tuple[str, ...]
    state: str


class Cast(msgspec.Struct, frozen=True, gc=False):
    """A new bill in its final form: its id, what it is the bill of, what it can be looked up by, how many lines it has,
    and its text as it is stored, written in short where there is a `stencil`. `terms` are those it was made of, where
    this process has read them; `booking` is there where it draws credit; `revisits` (ids, see `core.revisit`) are
    done with once it is kept."""

    id: str
    of: AccountPeriod
    config: OrganizationConfig
    keys: dict[str, str]
    lines: int
    text: str
    stencil: Stencil | None = None
    terms: Terms | None = None
    booking: Booking | None = None
    revisits: tuple[str, ...] = ()

    @property
    def next_day(self) -> date:
        """The day after the last that is billed."""
        return local_day(self.of.period.end, self.of.parameters.timezone or self.config.timezone)

    def stored(self, invoice_number: str | None = None) -> tuple[dict[str, str], str]:
        """The keys and the text of the bill as it is stored, with its number where bills are numbered."""
        if invoice_number is None:
            return self.keys, self.text
        text = self.text.replace(NUMBER, encode(invoice_number).decode(), 1)
        return self.keys | {"invoice_number": invoice_number}, text

    def body(self, invoice_number: str | None = None) -> bytes:
        """The text as it is read."""
        _, text = self.stored(invoice_number)
        return (text if self.stencil is None else self.stencil.whole(text)).encode()


class Owner(NamedTuple):
    """Whose a bill is, of those that are alike: everything in it that depends on the account but for its usage; and
    the `revisits` (ids) that are done with once it is kept."""

    account_id: str
    version: int
    code: str
    account_plan_id: str
    account_plan_version: int
    of: AccountPeriod
    key: str  # that of the period
    bill_id: str
    before: str = NO_BILL_BEFORE  # the closed bill before, in JSON (see `core.bill.Evidence`)
    revisits: tuple[str, ...] = ()


def owner_of(terms: Terms, revisits: tuple[str, ...] = ()) -> Owner:
    """Whose the bill of these terms is, which have one account plan."""
    account, account_plan = terms.account, terms.account_plans[0].account_plan
    before = terms.agreements.before
    return Owner(
        account.id,
        account.version,
        account.value.code,
        account_plan.id,
        account_plan.version,
        terms.of,
        terms.of.key,
        terms.bill_id,
        encode(before).decode() if before else NO_BILL_BEFORE,
        revisits,
    )


def made_whole(record: BillRecord, as_written: Written, terms: Terms, booking: Booking | None) -> Cast:
    """A new bill that was rated and written like any other, with room for its number where bills are numbered."""
    keys, bill = document_keys(record.bill, record.evidence.grouping), record.bill
    if terms.config.value.bill_prefix:
        number: object = msgspec.Raw(NUMBER.encode())
        bill = msgspec.structs.replace(bill, sequential_invoice_number=number)
    text = body_of(msgspec.structs.replace(record, bill=bill), as_written).decode()
    return Cast(
        terms.bill_id, terms.of, terms.config.value, keys, len(bill.line_items), text, terms=terms, booking=booking
    )
