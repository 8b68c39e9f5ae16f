"""Make a bill of rated lines, and settle it with the one that is stored.

A bill's content depends on terms, usage up to a journal position, and the job's parameters, on nothing else. Whoever
makes it again from the same gets the same content; its digest says so, and a stored bill with the same digest is left
as it is, byte for byte (source: reference 3.5, 3.11; docs/decisions/0072-settling-bills.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from tallystick.core import wire
from tallystick.core.bill import (
    Bill,
    BillRecord,
    BillStatus,
    Evidence,
    bill_id,
    digest_of,
    document_keys,
)
from tallystick.core.bill_job import BillFailure
from tallystick.core.organization import BillConfig, ExternalInvoiceDate
from tallystick.core.period import Instant, local_day
from tallystick.core.quantity import total
from tallystick.core.rating import ENGINE_VERSION
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.pipeline.rate import Rated, rate_accounts
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Page, Transaction

KIND = "bill"
INVOICE_NUMBERS = "invoice"  # the sequence that numbers bills


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """In whose name and as of when bills are made: the job, its journal position, its moment, its actor.

    `reopen` brings approved bills back to PENDING even when they come out the same: someone asked for a recalculation.
    """

    job_id: str
    as_of: Instant
    up_to: int
    actor_id: str
    reopen: bool = False


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch of account periods: the bills that stand for them, and those that could not be made."""

    bill_ids: tuple[str, ...]
    failures: tuple[BillFailure, ...]


def preview(
    records: OrganizationRecords, usage: OrganizationUsage, periods: Sequence[AccountPeriod], run: Run
) -> list[BillRecord | BillFailure]:
    """The bills as they would be made now, in the order asked. Nothing is written."""
    rated = rate_accounts(records, usage, periods, up_to=run.up_to)
    return [bill_of(each, run) if isinstance(each, Rated) else each for each in rated]


def bill_of(rated: Rated, run: Run) -> BillRecord:
    """A new bill of rated lines, with its working and its evidence."""
    bill = _bill(rated, run)
    workings = {line.item.id: line.working for line in rated.lines}
    evidence = Evidence(
        engine_version=ENGINE_VERSION,
        up_to=rated.up_to,
        as_of=run.as_of,
        uses=rated.terms.uses(),
        parameters=rated.terms.parameters,
        answers=rated.answers,
        digest=digest_of(bill, workings),
    )
    return BillRecord(bill=bill, workings=workings, evidence=evidence)


def _bill(rated: Rated, run: Run) -> Bill:
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
        purchase_order_number=terms.account.value.purchase_order_number,
    )


def _dates(terms: Terms, next_day: date) -> tuple[date, date, date]:
    """Bill date, due date and external invoice date: the job's, else as the account and the organisation have it."""
    asked, account, config = terms.parameters, terms.account.value, terms.config.value
    bill_date = asked.bill_date or next_day
    days = account.days_before_bill_due or config.days_before_bill_due
    same_period = config.external_invoice_date is ExternalInvoiceDate.LAST_DAY_OF_ARREARS
    invoiced = next_day - timedelta(days=1) if same_period else next_day
    return bill_date, asked.due_date or bill_date + timedelta(days=days), asked.external_invoice_date or invoiced


def document_of(record: BillRecord) -> Document:
    """A bill as it is stored: listed by the end of its period, latest first."""
    sort = record.bill.end_date_time_utc.wire()
    return Document(id=record.bill.id, sort=sort, keys=document_keys(record.bill), body=wire.encode(record))


# ------------------------------------------------------------------------------------------------------ settling


def settle(write: Transaction, results: Sequence[Rated | BillFailure], run: Run) -> Settled:
    """Bring stored bills to what was rated: new ones are added, changed ones replaced and PENDING again, the rest left.

    Locked bills stay and are passed over; a period that the bill lock date has closed gets no new bill, which is a
    failure. Invoice numbers are given in the order of `results`.
    """
    ids = [bill_id(write.organization_id, each.terms.of.key) for each in results if isinstance(each, Rated)]
    stored = read_bills(write, ids)
    lock_config = write.get(BillConfig, write.organization_id)
    lock_date = lock_config.value.bill_lock_date if lock_config else None
    bill_ids: list[str] = []
    failures: list[BillFailure] = []
    changed: list[BillRecord] = []
    for each in results:
        if isinstance(each, BillFailure):
            failures.append(each)
            continue
        fresh = bill_of(each, run)
        before = stored.get(fresh.bill.id)
        if before is not None and before.bill.locked:
            continue
        last_day = fresh.bill.end_date - timedelta(days=1)
        if lock_date is not None and last_day <= lock_date:
            message = f"bills up to {lock_date} are locked, and the period of this one ended on {last_day}"
            failures.append(_failure(each.terms, "bill_locked", message))
            continue
        if before is None and not fresh.bill.line_items and each.terms.config.value.suppressed_empty_bills:
            continue
        bill_ids.append(fresh.bill.id)
        after = fresh if before is None else renewed(before, fresh, run)
        if after is not before:
            changed.append(_numbered(write, each.terms, after))
    write.put_documents(KIND, [document_of(record) for record in changed])
    return Settled(bill_ids=tuple(bill_ids), failures=tuple(failures))


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


def _numbered(write: Transaction, terms: Terms, record: BillRecord) -> BillRecord:
    """The bill with an invoice number, if the organisation numbers its bills: the first is one above the start."""
    config = terms.config.value
    if not config.bill_prefix or record.bill.sequential_invoice_number is not None:
        return record
    number = write.next_number(INVOICE_NUMBERS, (config.sequence_start_number or 0) + 1)
    bill = msgspec.structs.replace(record.bill, sequential_invoice_number=f"{config.bill_prefix}{number}")
    return msgspec.structs.replace(record, bill=bill)


def _failure(terms: Terms, code: str, message: str) -> BillFailure:
    return BillFailure(account_id=terms.account.id, code=code, message=message, period_key=terms.of.key)
