"""Make a bill of rated lines, keep it, and draw its credit.

A bill's content depends on terms, usage up to a journal position, and the job's parameters, on nothing else. Whoever
makes it again from the same gets the same content; its digest says so, and a stored bill with the same digest is left
as it is, byte for byte (source: reference 3.5, 3.11; docs/decisions/0072-settling-bills.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import (
    Bill,
    BillRecord,
    BillStatus,
    Evidence,
    Written,
    body_of,
    digest_of,
    document_keys,
    written,
)
from tallystick.core.bill_job import BillFailure
from tallystick.core.cast import Booking, Cast
from tallystick.core.ledger import LedgerEntry, Opening
from tallystick.core.mould import Blank
from tallystick.core.organization import ExternalInvoiceDate, OrganizationConfig
from tallystick.core.period import Frequency, Instant, local_day
from tallystick.core.quantity import total
from tallystick.core.rating import ENGINE_VERSION
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.uses import uses_of
from tallystick.errors import Refusal
from tallystick.pipeline.invoice_number import keep_number
from tallystick.pipeline.journal_orders import bills_changed
from tallystick.pipeline.late_usage import drop_adjustments, with_adjustments
from tallystick.pipeline.ledger import Place, entries_made, entries_of, read_book
from tallystick.pipeline.rate import Rated, failure_of, rate_accounts, with_draws
from tallystick.pipeline.replay import rated_then
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Page, Transaction, Where

KIND = "bill"
EVERY = 1_000_000_000  # more than there are


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """In whose name and as of when bills are made: the job, its journal position, its moment, its actor.

    `reopen` brings approved bills back to PENDING even when they come out the same: someone asked for a recalculation.
    """

    job_id: str
    as_of: Instant
    up_to: int
    actor_id: str
    reopen: bool = False


def preview(
    records: OrganizationRecords, usage: OrganizationUsage, periods: Sequence[AccountPeriod], run: Run
) -> list[BillRecord | BillFailure]:
    """The bills as they would be made now, in the order asked. Nothing is written."""
    rated = rate_accounts(records, usage, periods, up_to=run.up_to)
    results = draw_all(records, with_adjustments(records, usage, rated, up_to=run.up_to))
    return [bill_of(each, run) if isinstance(each, Rated) else each for each in results]


def draw_all(records: OrganizationRecords, results: Sequence[Rated | BillFailure]) -> list[Rated | BillFailure]:
    """Rated account periods after their credit is drawn, each as if it were billed now. Nothing is written."""
    terms = [each.terms for each in results if isinstance(each, Rated)]
    book = read_book(records, {credit.id for each in terms for credit in each.credits})
    drawn: list[Rated | BillFailure] = []
    for each in results:
        try:
            drawn.append(with_draws(each, book.openings(each.terms)) if isinstance(each, Rated) else each)
        except Refusal as refusal:
            assert isinstance(each, Rated), "only what is rated is drawn"
            drawn.append(failure_of(each.terms.of, refusal))
    return drawn


def remove_bill(records: OrganizationRecords, id: str, *, actor_id: str, at: Instant) -> Bill:
    """Delete a bill that is not locked, with what it drew of credit, and return it as it was. Later bills that draw on
    the same credit are drawn anew; the next run may make the bill again. Refusals `not_found`, `bill_locked`."""
    with records.transaction() as write:
        record = read_bills(write, [id]).get(id)
        if record is None:
            raise Refusal("not_found", f"id: there is no bill {id[:40]!r} in this organization", field="id")
        bill = record.bill
        if bill.locked:
            raise Refusal("bill_locked", f"bill {id} is locked and stays: correct it on the next bill")
        write.remove_document(KIND, id)
        keep_number(write, bill)
        drop_adjustments(write, id)
        run = Run(job_id=bill.bill_job_id, as_of=at, up_to=record.evidence.up_to, actor_id=actor_id)
        drawing = Drawing(write, [each.credit_id for each in record.evidence.openings], run)
        drawing.book_entries((bill.end_date_time_utc, bill.id), bill.account_id, (), remade=bill.version > 1)
        drawing.finish()
        return bill


def bill_of(rated: Rated, run: Run) -> BillRecord:
    """A new bill of rated lines, with its working and its evidence."""
    return made_of(rated, run)[0]


def made_of(rated: Rated, run: Run) -> tuple[BillRecord, Written]:
    """A new bill of rated lines, with its working and its evidence; and what of it is written already."""
    bill = bare_bill(rated, run)
    workings = {line.item.id: line.working for line in rated.lines}
    as_written = written(bill, workings)
    evidence = Evidence(
        engine_version=ENGINE_VERSION,
        up_to=rated.up_to,
        as_of=run.as_of,
        uses=uses_of(rated.terms),
        parameters=rated.terms.parameters,
        answers=rated.answers,
        openings=rated.openings,
        grouping=rated.terms.of.grouping,
        before=rated.terms.agreements.before,
        earlier=rated.earlier,
        late_levels=rated.late_levels,
        digest=digest_of(bill, workings, as_written),
    )
    return BillRecord(bill=bill, workings=workings, evidence=evidence), as_written


def bare_bill(rated: Rated, run: Run) -> Bill:
    """A new bill of rated lines, without what proves it."""
    terms = rated.terms
    first_day, next_day = local_day(terms.period.start, terms.zone), local_day(terms.period.end, terms.zone)
    bill_date, due_date, external_invoice_date = _dates(terms, next_day)
    return Bill(
        id=terms.bill_id,
        version=1,
        account_id=terms.account.id,
        account_code=terms.account.value.code,
        status=BillStatus.PENDING,
        locked=False,
        start_date=first_day,
        end_date=next_day,
        start_date_time_utc=terms.period.start,
        end_date_time_utc=terms.period.end,
        bill_date=bill_date,
        due_date=due_date,
        external_invoice_date=external_invoice_date,
        billing_frequency=terms.of.frequency,
        bill_frequency_interval=terms.of.interval,
        timezone=terms.zone,
        currency=terms.currency,
        currency_conversions=terms.conversions_used(),
        bill_total=terms.billed(total(line.item.converted_subtotal for line in rated.lines)),
        line_items=tuple(line.item for line in rated.lines),
        bill_job_id=run.job_id,
        json_statement_generated=False,
        csv_statement_generated=False,
        statement_stale=False,
        created_date=run.as_of,
        last_calculated_date=run.as_of,
        dt_created=run.as_of,
        dt_last_modified=run.as_of,
        created_by=run.actor_id,
        last_modified_by=run.actor_id,
        purchase_order_number=terms.purchase_order_number,
    )


def _dates(terms: Terms, next_day: date) -> tuple[date, date, date]:
    """Bill date, due date and external invoice date: the job's, else as the account and the organisation have it."""
    asked, account, config = terms.parameters, terms.account.value, terms.config.value
    bill_date = asked.bill_date or (
        next_day - timedelta(days=1) if terms.of.frequency is Frequency.AD_HOC else next_day
    )
    days = account.days_before_bill_due or config.days_before_bill_due
    same_period = config.external_invoice_date is ExternalInvoiceDate.LAST_DAY_OF_ARREARS
    invoiced = next_day - timedelta(days=1) if same_period else next_day
    return bill_date, asked.due_date or bill_date + timedelta(days=days), asked.external_invoice_date or invoiced


def document_of(record: BillRecord, as_written: Written | None = None) -> Document:
    """A bill as it is stored."""
    keys = document_keys(record.bill, record.evidence.grouping)
    sort = sort_of(record.bill.end_date_time_utc)
    return Document(id=record.bill.id, sort=sort, keys=keys, body=body_of(record, as_written))


def sort_of(end: Instant) -> str:
    """Where a bill is in lists: by the end of its period, latest first."""
    return end.wire()


def renewed(before: BillRecord, fresh: BillRecord, run: Run) -> BillRecord:
    """What stands in the place of a stored, unlocked bill: itself when nothing changed, else the fresh one, PENDING,
    with its history (creation, invoice number and reference, statements now stale)."""
    old = before.bill
    if run.up_to < before.evidence.up_to:
        return before  # a job that was held up: the bill counts usage already that the job does not know of
    if before.evidence.digest == fresh.evidence.digest:
        if not run.reopen or old.status is BillStatus.PENDING:
            return before
        fresh = before  # the same calculation: only its approval is taken back
    bill = msgspec.structs.replace(
        fresh.bill,
        version=old.version + 1,
        status=BillStatus.PENDING,
        dt_approved=None,
        approved_by=None,
        bill_job_id=run.job_id,
        last_calculated_date=run.as_of,
        dt_last_modified=run.as_of,
        last_modified_by=run.actor_id,
        created_date=old.created_date,
        dt_created=old.dt_created,
        created_by=old.created_by,
        sequential_invoice_number=old.sequential_invoice_number,
        external_invoice_reference=old.external_invoice_reference,
        json_statement_generated=old.json_statement_generated,
        csv_statement_generated=old.csv_statement_generated,
        statement_stale=old.json_statement_generated or old.csv_statement_generated,
    )
    return msgspec.structs.replace(fresh, bill=bill)


def read_bills(records: OrganizationRecords, ids: Sequence[str]) -> dict[str, BillRecord]:
    """The stored bills with these ids, by id."""
    if not ids:
        return {}
    found = records.documents(KIND, DocumentWhere(equal={"id": ids}), Page(size=len(ids)))
    return {each.id: wire.decode(BillRecord, each.body) for each in found.rows}


# ------------------------------------------------------------------------------------------------------ credit


def credits_of(rated: Iterable[Rated | Blank], stored: Iterable[BillRecord]) -> set[str]:
    """The credits (ids) that bills may draw now, and those that they may have drawn when they were made last."""
    now = {credit.id for each in rated for credit in each.terms.credits}
    return now | {opening.credit_id for record in stored for opening in record.evidence.openings}


def entries_drawn(record: BillRecord, drawn: Rated) -> list[LedgerEntry]:
    """What a bill draws as entries of the ledger."""
    return entries_of(record.bill, drawn.draws, _owners(drawn.terms))


def finished(blank: Blank, openings: Mapping[str, Opening], run: Run) -> tuple[Cast, list[LedgerEntry]]:
    """A new bill from a mould after its credit is drawn, of which this much is there, and its entries of the ledger.
    Refusals as `with_draws`."""
    cast, draws = blank.drawn(openings)
    place = cast.of.period.end, cast.id
    return cast, entries_made(place, draws, _owners(blank.terms), (run.as_of, run.actor_id))


def _owners(terms: Terms) -> dict[str, str]:
    """The account of each credit."""
    return {credit.id: credit.entity.value.account_id for credit in terms.credits}


def keeps_approved(config: OrganizationConfig, run: Run) -> bool:
    """Whether what approved bills drew stays in a run, as what locked ones drew does."""
    return config.adjusts_next_bill and not run.reopen


class Drawing:
    """What the bills of one transaction draw of credit, and the later bills that this changes."""

    def __init__(self, write: Transaction, credit_ids: Collection[str], run: Run) -> None:
        self._write, self._run = write, run
        config = write.get(OrganizationConfig, write.organization_id)
        self._keeps = config is not None and keeps_approved(config.value, run)
        self._book = read_book(write, set(credit_ids), keep_approved=self._keeps)
        self._credits: set[str] = set()  # of which something else is drawn now
        self._since: dict[str, Place] = {}  # by account, the first bill that does
        self._remade: list[str] = []  # bills of which there may be journal entries

    def draw(self, rated: Rated) -> Rated:
        """A rated account period after its credit is drawn. Refusals as `with_draws`."""
        return with_draws(rated, self._book.openings(rated.terms))

    def book(self, record: BillRecord, drawn: Rated) -> None:
        """Let the ledger say what a bill draws."""
        bill = record.bill
        place = (bill.end_date_time_utc, bill.id)
        self.book_entries(place, bill.account_id, entries_drawn(record, drawn), remade=bill.version > 1)

    def finish_blank(self, blank: Blank) -> tuple[Cast, list[LedgerEntry]]:
        """A new bill from a mould after its credit is drawn, and its entries. Refusals as `with_draws`."""
        return finished(blank, self._book.openings(blank.terms), self._run)

    def stands(self, booking: Booking) -> bool:
        """Whether a bill would still draw what it drew when it was made."""
        return self._book.state(booking.credit_ids) == booking.state

    def book_entries(self, place: Place, account_id: str, entries: Sequence[LedgerEntry], *, remade: bool) -> None:
        """Let these entries be what the bill at a place, of an account, draws; `remade` where it was there before."""
        bill_id = place[1]
        if remade:
            self._remade.append(bill_id)
        accounts = {each.account_id for each in (*entries, *self._book.drawn_by(bill_id).values())} | {account_id}
        touched = self._book.book(bill_id, entries)
        if touched:
            self._credits |= touched
            for each in accounts:
                self._since[each] = min(place, self._since.get(each, place))

    def finish(self) -> None:
        """Draw anew for every later bill of these credits, in order, and write the ledger."""
        seen: set[Place] = set()
        while self._since and not (later := self._later()) <= seen:
            for _, bill_id_ in sorted(later):
                self._again(bill_id_)
            seen |= later
        self._book.write(self._write)
        bills_changed(self._write, self._remade)

    def _later(self) -> set[Place]:
        """The bills, not locked, after one of their account or of its parent whose credit was drawn otherwise."""
        first = min(self._since.values())
        children = list(self._write.every(Account, Where(equal={"parent_account_id": sorted(self._since)})))
        accounts = sorted({*self._since, *(each.id for each in children)})
        ended = {"end_date": ((first[0] - timedelta(days=1)).date().isoformat(), None)}
        by_account = DocumentWhere(equal={"account_id": accounts, "locked": ("false",)}, between=ended)
        names = "sort", "id", "account_id"
        found = self._write.keys_of(KIND, by_account, names, EVERY)
        if drawing := self._book.later_bills(self._credits, first):
            found += self._write.keys_of(KIND, DocumentWhere(equal={"id": sorted(drawing)}), names, EVERY)
        places = {(Instant.parse(sort), id_): of for sort, id_, of in found if sort and id_ and of}
        parents = {each.id: each.value.parent_account_id or "" for each in children}

        def since(account: str) -> Place:
            marks = [self._since[each] for each in (account, parents.get(account, "")) if each in self._since]
            return min(marks, default=first)

        return {place for place, account in places.items() if place > since(account)}

    def _again(self, id: str) -> None:
        """Draw anew for a stored bill, with the prices and the usage that it was made of. One that another version of
        the engine made cannot be rated again from those: its next run draws anew."""
        record = read_bills(self._write, [id])[id]
        opened = {each.credit_id for each in record.evidence.openings}
        if self._book.is_fixed(id) or not self._credits & opened or record.evidence.engine_version != ENGINE_VERSION:
            return
        rated = rated_then(self._write, record)
        if more := self._book.missing(credits_of([rated], [record])):
            self._book.take_in(read_book(self._write, more, keep_approved=self._keeps))
        drawn = self.draw(rated)
        after = renewed(record, bill_of(drawn, self._run), self._run)
        if after is not record:
            self._write.put_documents(KIND, [document_of(after)])
            self.book(after, drawn)
