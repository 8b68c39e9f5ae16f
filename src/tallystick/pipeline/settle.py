"""Settle what was rated with the bills that are stored, inside the transaction that keeps them.

docs/decisions/0072-settling-bills.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from tallystick.core import wire
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.bill_job import BillFailure
from tallystick.core.cast import Cast
from tallystick.core.ledger import LedgerEntry
from tallystick.core.mould import Blank
from tallystick.core.terms import Terms
from tallystick.errors import Refusal
from tallystick.pipeline.bill import (
    KIND,
    Drawing,
    Run,
    credits_of,
    document_of,
    made_of,
    read_bills,
    renewed,
    sort_of,
)
from tallystick.pipeline.invoice_number import next_number, numbered, numbers_of_deleted
from tallystick.pipeline.late_usage import adjusted_elsewhere, keep_adjustments
from tallystick.pipeline.lookback import done_looking, look_again
from tallystick.pipeline.placing import bill_lock_date, charges_on, require_free, stand, stored_bills
from tallystick.pipeline.rate import Rated, failure_of
from tallystick.pipeline.suppressed import keep_empty
from tallystick.ports import Document, FilledDocument, Transaction


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch of account periods: the bills that stand for them, and those that could not be made."""

    bill_ids: tuple[str, ...]
    failures: tuple[BillFailure, ...]


class DrawnMeanwhile(Exception):
    """The credit of a bill that was made ahead has changed since: nothing is kept, and the bills are rated anew."""


def settle(write: Transaction, results: Sequence[Rated | Cast | Blank | BillFailure], run: Run) -> Settled:
    """Bring stored bills to what was rated, and draw their credit: new ones are added, changed ones replaced and
    PENDING again, the rest left. Later bills that draw on the same credit are drawn anew.

    Locked bills stay and are passed over; a period that the bill lock date has closed gets no new bill, which is a
    failure. Invoice numbers are given in the order of `results`. None of what was cast is stored (`was_stored`).
    Raises `DrawnMeanwhile`.
    """
    settling = _Settling(write, results, run)
    bill_ids: list[str] = []
    failures: list[BillFailure] = []
    for each in results:
        if isinstance(each, BillFailure):
            failures.append(each)
            continue
        try:
            stands = settling.rated(each) if isinstance(each, Rated) else settling.cast(each)
        except Refusal as refusal:
            failures.append(failure_of(each.terms.of if isinstance(each, Rated) else each.of, refusal))
            continue
        if stands is not None:
            bill_ids.append(stands)
    settling.finish()
    return Settled(bill_ids=tuple(bill_ids), failures=tuple(failures))


def was_stored(write: Transaction, results: Sequence[Rated | Cast | Blank | BillFailure]) -> bool:
    """Whether one of the bills that were cast, because there was none yet, is there by now: it is rated then."""
    return bool(stored_bills(write, [each.id for each in results if isinstance(each, Cast | Blank)]))


class _Settling:
    """The bills of one transaction: what is stored of them, and what is to be written."""

    def __init__(self, write: Transaction, results: Sequence[Rated | Cast | Blank | BillFailure], run: Run) -> None:
        self._write, self._run = write, run
        self._rated = [each for each in results if isinstance(each, Rated)]
        self._stored = read_bills(write, [each.terms.bill_id for each in self._rated])
        ids = [each.id for each in results if isinstance(each, Cast | Blank)]
        ids += [each.terms.bill_id for each in self._rated]
        self._taken_back = numbers_of_deleted(write, [id_ for id_ in ids if id_ not in self._stored])
        self._lock_date = bill_lock_date(write)
        bookings = [each.booking for each in results if isinstance(each, Cast) and each.booking is not None]
        drawn = {id_ for each in bookings for id_ in each.credit_ids}
        draw = [each for each in results if isinstance(each, Rated | Blank)]
        self._drawing = Drawing(write, drawn | credits_of(draw, self._stored.values()), run)
        self._documents: list[Document | FilledDocument] = []
        self._changed: list[BillRecord] = []
        self._empty: list[BillRecord] = []
        self._cast: list[Cast] = []

    def cast(self, new: Cast | Blank) -> str:
        """Add a bill from a mould, or made whole before; gives its id. Refusals of drawing credit, and `bill_locked`;
        raises `DrawnMeanwhile`."""
        entries: Sequence[LedgerEntry] | None = None
        if isinstance(new, Blank):
            each, entries = self._drawing.finish_blank(new)
        else:
            each = new
        _require_open(each.next_day, self._lock_date)
        if each.booking is not None:
            if not self._drawing.stands(each.booking):
                raise DrawnMeanwhile
            entries = each.booking.entries
        if entries is not None:
            place = (each.of.period.end, each.id)
            self._drawing.book_entries(place, each.of.account_id, entries, remade=False)
        number = next_number(self._write, each.config, each.id, self._taken_back)
        self._documents.append(_document(each, number))
        self._cast.append(each)
        return each.id

    def rated(self, each: Rated) -> str | None:
        """Bring a bill to what was rated; gives its id, or None where none stands for it. Refusals of drawing credit,
        and `bill_locked`, `bill_state`."""
        before = self._stored.get(each.terms.bill_id)
        if before is not None and before.bill.locked:
            return None
        if before is not None and before.bill.status is BillStatus.APPROVED and _keeps(each.terms, self._run):
            return before.bill.id
        drawn = self._drawing.draw(each)
        fresh, as_written = made_of(drawn, self._run)
        _require_open(fresh.bill.end_date, self._lock_date)
        require_free(self._write, fresh.bill.id, charges_on(fresh.bill))
        if before is None and not fresh.bill.line_items and each.terms.config.value.suppressed_empty_bills:
            self._empty.append(fresh)
            return None
        after = fresh if before is None else renewed(before, fresh, self._run)
        if after is not before:
            after = numbered(self._write, each.terms.config.value, after, self._taken_back)
            same_lines = after.bill.line_items is fresh.bill.line_items
            self._documents.append(document_of(after, as_written if same_lines else None))
            self._changed.append(after)
            self._drawing.book(after, drawn)
        return fresh.bill.id

    def finish(self) -> None:
        """Write the bills, and what they say of others: which they adjust, which charges stand on them, what they draw
        of credit."""
        write, changed = self._write, self._changed
        write.put_documents(KIND, self._documents)
        cast = {each.id: each for each in self._cast}
        keep_empty(write, self._empty, [*cast, *(each.bill.id for each in changed if each.bill.version == 1)])
        done_looking(write, self._rated, changed, self._cast)
        keep_adjustments(write, changed)
        _look_again_at_cast(write, cast)
        charges: dict[str, Sequence[str]] = dict.fromkeys(cast, ())
        stand(write, charges | {each.bill.id: charges_on(each.bill) for each in changed})
        self._drawing.finish()


def _document(cast: Cast, number: str | None) -> Document | FilledDocument:
    """A new bill as it is stored, with its number where bills are numbered."""
    keys, text = cast.stored(number)
    sort = sort_of(cast.of.period.end)
    if cast.stencil is None:
        return Document(id=cast.id, sort=sort, keys=keys, body=text.encode())
    return FilledDocument(id=cast.id, sort=sort, keys=keys, stencil=cast.stencil, short=text)


def _look_again_at_cast(write: Transaction, cast: Mapping[str, Cast]) -> None:
    """Where bills from moulds are adjusted already (they were suppressed, or deleted, and now come back), the next ones
    look whether that is still right."""
    again = [wire.decode(BillRecord, cast[id_].body()) for id_ in adjusted_elsewhere(write, cast.keys())]
    look_again(write, again)


def _require_open(next_day: date, lock_date: date | None) -> None:
    """Refuse a bill of the time that the bill lock date has closed. Refusal `bill_locked`."""
    last_day = next_day - timedelta(days=1)
    if lock_date is not None and last_day <= lock_date:
        message = f"bills up to {lock_date} are locked, and the period of this one ended on {last_day}"
        raise Refusal("bill_locked", message)


def _keeps(terms: Terms, run: Run) -> bool:
    """Whether an approved bill stays as it is: what came late then stands on the next one
    (docs/decisions/0152-late-usage.md)."""
    return terms.config.value.adjusts_next_bill and not run.reopen
