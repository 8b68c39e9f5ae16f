"""Watch prepaid credit: what a balance is worth now, with the usage that no bill has drawn yet. Nothing is written.

It is what the ledger holds less what the open bills would draw if they were made now, by the very calculation that
makes them (docs/decisions/0113-live-values.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.burn_down import daily_rate
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.core.ledger import LedgerCause, LedgerEntry, expired_at, value_of
from tallystick.core.period import Grid, Instant, Period, intersect, stretch
from tallystick.core.quantity import negate, subtract, total
from tallystick.core.terms import AccountPeriod
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, bill_of, read_bills
from tallystick.pipeline.ledger import KIND, Book, entries_of, every_document
from tallystick.pipeline.periods import NOTHING_ELSE, Also, Billable, Choice
from tallystick.pipeline.rate import FEW, Rated, failure_of, rate_accounts, with_draws
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage, Where

FURTHEST_BACK = 400  # periods without a bill that are looked for before the present one
ALL_TIME = stretch(None, None)
NO_JOB = ""  # what is looked at is of no job


class OpenDraw(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the bill of one open period would draw from a balance, in the balance's currency."""

    account_id: str
    bill_id: str
    start_date: Instant
    end_date: Instant
    amount: Decimal


class LiveValue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a balance is worth at a moment, in its currency.

    `value` = what was added by then, less what bills have drawn, less what open bills would draw, less what expired.
    `ledger_value` is the sum of all its transactions, as `amount` of the balance shows it. Usage counts up to the
    journal position `up_to`.
    """

    balance_id: str
    currency: str
    as_of: Instant
    up_to: int
    ledger_value: Decimal
    open_draws: tuple[OpenDraw, ...]
    expired: Decimal
    value: Decimal


def live_values(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    balances: Sequence[Entity[Balance]],
    *,
    now: Instant,
    up_to: int,
) -> list[LiveValue | BillFailure]:
    """What balances are worth now, in their order; a failure where a bill that may draw from one cannot be made."""
    opened_now = _open(records, balances, now)
    payers = opened_now.payers
    rated = rate_accounts(records, usage, opened_now.periods, up_to=up_to)
    failed = {payers[each.account_id]: each for each in rated if isinstance(each, BillFailure)}
    starts = {each.id: each.value.start_date for each in balances}
    starts |= {
        credit.id: credit.window.start for each in rated if isinstance(each, Rated) for credit in each.terms.credits
    }
    ledger = entries_of_all(records, starts)
    by_now = [each for each in ledger if _counts(each, max(now, starts[each.credit_id]))]
    run = Run(job_id=NO_JOB, as_of=now, up_to=up_to, actor_id="")
    opened = drawn_by_open_bills([each for each in rated if isinstance(each, Rated)], by_now, run, failed)
    held = {each.id: value_of([entry for entry in ledger if entry.credit_id == each.id]) for each in balances}
    return [failed.get(each.value.account_id) or _worth(each, by_now, opened, held[each.id], run) for each in balances]


class _Open(NamedTuple):
    """The bills that may draw from balances, from one moment until another: until a billing period ends, say."""

    periods: Sequence[AccountPeriod]
    payers: Mapping[str, str]  # the owner of a balance by account that draws from it
    present: Period


def _open(records: OrganizationRecords, balances: Collection[Entity[Balance]], now: Instant) -> _Open:
    def read(reading: OrganizationRecords) -> _Open:
        owners = {balance.value.account_id for balance in balances}
        children = list(reading.every(Account, Where(equal={"parent_account_id": sorted(owners)}))) if owners else []
        payers = {each.id: each.value.parent_account_id or each.id for each in children} | {id_: id_ for id_ in owners}
        since = min((each.value.start_date for each in balances), default=None)
        periods, present = open_periods(reading, sorted(payers), since, now)
        return _Open(periods, payers, present)

    if len(balances) > FEW:
        return read(records)
    key = ("open", *((each.value.account_id, each.value.start_date) for each in balances))
    return records.remembered(key, read, lambda found: found.present.start <= now < found.present.end)


def _counts(entry: LedgerEntry, now: Instant) -> bool:
    """Whether an entry counts by a moment: what bills have drawn does, what is added later does not."""
    return entry.entity_type is LedgerCause.BILL or entry.applied_date <= now


def entries_of_all(records: OrganizationRecords, credit_ids: Collection[str]) -> Sequence[LedgerEntry]:
    """Every entry of these credits."""
    if not credit_ids:
        return []

    def read(reading: OrganizationRecords) -> Sequence[LedgerEntry]:
        where = DocumentWhere(equal={"credit_id": sorted(credit_ids)})
        return [wire.decode(LedgerEntry, each.body) for each in every_document(reading, KIND, where)]

    return records.remembered(("entries", frozenset(credit_ids)), read) if len(credit_ids) <= FEW else read(records)


def drawn_by_open_bills(
    rated: Sequence[Rated], ledger: Sequence[LedgerEntry], run: Run, failed: dict[str, BillFailure]
) -> dict[str, tuple[Rated, list[LedgerEntry]]]:
    """What open bills draw, one after the other, by bill. What cannot be drawn is added to `failed`, by who pays."""
    redrawn = {each.terms.bill_id for each in rated}
    stays = {each.entity_id for each in ledger if each.entity_type is LedgerCause.BILL} - redrawn
    book = Book([each for each in ledger if each.entity_id not in redrawn], stays)
    opened: dict[str, tuple[Rated, list[LedgerEntry]]] = {}
    for each in rated:
        owners = {credit.id: credit.entity.value.account_id for credit in each.terms.credits}
        try:
            drawn = with_draws(each, book.openings(each.terms))
        except Refusal as refusal:
            failed |= dict.fromkeys(owners.values(), failure_of(each.terms.of, refusal))
            continue
        entries = entries_of(bill_of(drawn, run).bill, drawn.draws, owners)
        book.book(each.terms.bill_id, entries)
        opened[each.terms.bill_id] = (each, entries)
    return opened


def _worth(
    balance: Entity[Balance],
    ledger: Sequence[LedgerEntry],
    opened: Mapping[str, tuple[Rated, list[LedgerEntry]]],
    held: Decimal,
    run: Run,
) -> LiveValue:
    now, value = run.as_of, balance.value
    fresh = [each for _, entries in opened.values() for each in entries if each.credit_id == balance.id]
    there = [each for each in ledger if each.credit_id == balance.id and each.entity_id not in opened] + fresh
    left = value_of(there)
    expired = expired_at(value, left, negate(value_of([each for each in there if each.from_rollover])), now)
    return LiveValue(
        balance_id=balance.id,
        currency=value.currency,
        as_of=now,
        up_to=run.up_to,
        ledger_value=held,
        open_draws=tuple(open_draw(opened[each.entity_id][0], each) for each in fresh),
        expired=expired,
        value=subtract(left, expired),
    )


def open_draw(rated: Rated, entry: LedgerEntry) -> OpenDraw:
    """What an entry that an open bill would make draws."""
    period = rated.terms.period
    return OpenDraw(
        account_id=rated.terms.account.id,
        bill_id=entry.entity_id,
        start_date=period.start,
        end_date=period.end,
        amount=negate(entry.amount),
    )


def open_periods(
    records: OrganizationRecords, account_ids: Sequence[str], since: Instant | None, now: Instant
) -> tuple[list[AccountPeriod], Period]:
    """The billing periods of accounts that are not settled for good: the present ones, with or without a bill that is
    not locked, and those before them that have no bill. In the order in which bills draw; and since when and until when
    they are the same, if nothing is written. Those that end by `since` are left out; without it there are none."""
    present = _Present(now)
    if not account_ids or since is None:
        return [], present.shared
    found: list[AccountPeriod] = []
    billable = Billable(records, account_ids)
    for back in range(FURTHEST_BACK + 1):
        chosen = billable.periods(present.before(back), also=NOTHING_ELSE if back else Also.EARLIER_DAYS)
        chosen = [of for of in chosen if of.period.end > since]
        stored = read_bills(records, [bill_id(records.organization_id, of.key) for of in chosen])
        ids = {of.key: stored.get(bill_id(records.organization_id, of.key)) for of in chosen}
        still_open = [of for of in chosen if (kept := ids[of.key]) is None or (not back and not kept.bill.locked)]
        if back and not still_open:
            break
        found += still_open
    return sorted(found, key=lambda of: (of.period.end, bill_id(records.organization_id, of.key))), present.shared


class _Present:
    """Where a moment is in billing grids. `shared` is the time in which it is at the same place in each of them."""

    def __init__(self, now: Instant) -> None:
        self._now = now
        self.shared = ALL_TIME

    def before(self, back: int) -> Choice:
        """Of each billing grid the period so many before the one that the moment is in."""

        def choose(grid: Grid) -> Period | None:
            index = grid.index_of(self._now)
            shared = intersect(self.shared, grid.period(index))
            assert shared is not None, "each of them holds the moment"
            self.shared = shared
            period = grid.period(index - back)
            return period if period.start < period.end else None

        return choose


def drawn_a_day(draws: Sequence[OpenDraw], now: Instant) -> Decimal:
    """What is drawn of a credit a day: what the open bills draw, since the first of them began."""
    rates = [daily_rate(each.amount, Period(each.start_date, each.end_date), min(now, each.end_date)) for each in draws]
    return total(rates)
