"""Find late usage, and late changes of levels, of bills that stay as they are; adjust them on the bill at hand.

A bill stays when it is locked, and when it is approved where the organisation adjusts the next bill. What it would say
now is rated from the terms it recorded. Who has late usage is one question to the usage store for many accounts; only
their earlier bills are read (docs/decisions/0152-late-usage.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from tallystick.core import wire
from tallystick.core.adjustment import KIND, Adjustment, adjustments_of, elsewhere
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import Answer, BillRecord, BillStatus, EarlierBill, bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.late_levels import ahead_until, joined, levels_now, mark_of
from tallystick.core.period import Frequency, Instant, Period, local_day
from tallystick.core.rating import questions
from tallystick.core.terms import Terms
from tallystick.errors import Refusal
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.meter import measure
from tallystick.pipeline.rate import Rated, failure_of
from tallystick.pipeline.replay import adjusted_by, terms_of_earlier
from tallystick.pipeline.suppressed import empty_bills
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Transaction

BILL = "bill"


class _Bill(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a stored bill that says whether it is final."""

    account_id: str
    status: BillStatus
    locked: bool
    end: Instant = msgspec.field(name="endDateTimeUTC")


class _Evidence(msgspec.Struct, frozen=True, rename="camel"):
    up_to: int
    late_up_to: int = 0
    late_levels: str = ""
    grouping: str = ""


class _Previous(msgspec.Struct, frozen=True):
    """The bill before the one at hand, read without its lines."""

    bill: _Bill
    evidence: _Evidence


class _Late(msgspec.Struct, frozen=True):
    """An earlier bill that may have to be adjusted on the bill at hand: its lines then and the terms it was made of."""

    earlier: EarlierBill
    terms: Terms
    keeps: bool  # it stays as it is; else it has its late usage itself


def with_adjustments(
    records: OrganizationRecords, usage: OrganizationUsage, results: Sequence[Rated | BillFailure], *, up_to: int
) -> list[Rated | BillFailure]:
    """Rated account periods with lines for the late usage of earlier bills, in their order. Nothing is written.

    An account whose earlier bills cannot be rated any more is a failure in its place.
    """
    # A bill of a single day is made beside the others: what comes late waits for one of those.
    rated = [each for each in results if isinstance(each, Rated) and each.terms.of.frequency is not Frequency.AD_HOC]
    stored = _adjustments(records, {each.terms.account.id for each in rated})
    adjusted = dict(stored)
    making = {each.terms.bill_id for each in rated}
    previous = _previous_bills(records, [each.terms for each in rated], making)
    late = _with_late_usage(usage, rated, previous, up_to) | _with_late_levels(rated, previous)
    looked = {each.terms.bill_id for each in rated if each.terms.bill_id in late or each.terms.account.id in adjusted}
    bills = _bills_of(records, {each.terms.account.id for each in rated if each.terms.bill_id in looked}, making)
    done: dict[str, Rated | BillFailure] = {}
    for each in sorted(rated, key=lambda one: (one.terms.period.end, one.terms.bill_id)):
        account_id, own_id = each.terms.account.id, each.terms.bill_id
        marked = _marked(each, previous[own_id], up_to)
        marked = msgspec.structs.replace(marked, seen=tuple(stored.get(account_id, ())))
        done[own_id] = marked
        if own_id not in looked:
            continue
        before = adjusted.get(account_id, [])
        try:
            found = _adjusted(records, usage, marked, bills.get(account_id, ()), before)
        except Refusal as refusal:
            done[own_id] = failure_of(each.terms.of, refusal)
            continue
        done[own_id] = found
        adjusted[account_id] = [*(one for one in before if one.bill_id != own_id), *_made(found)]
    return [done.get(each.terms.bill_id, each) if isinstance(each, Rated) else each for each in results]


def readjusted(
    records: OrganizationRecords, usage: OrganizationUsage, rated: Rated, recorded: Sequence[EarlierBill]
) -> Rated:
    """A bill rated again, with the adjustments of the earlier bills that it recorded, measured again."""
    account_id = rated.terms.account.id
    for earlier in recorded:
        terms, now = terms_of_earlier(records, account_id, earlier), earlier.now
        if now != earlier.then:
            wanted = questions(terms, rated.up_to)
            measured = measure(usage, {account_id: wanted})[account_id]
            now = tuple(Answer(question=one, rows=measured[one]) for one in wanted)
        rated = adjusted_by(records, rated, msgspec.structs.replace(earlier, now=now), terms)
    return rated


def was_overtaken(write: Transaction, results: Iterable[Rated | BillFailure]) -> bool:
    """Whether what the adjustments were reckoned from has changed in the meantime: then they are reckoned anew."""
    rated = [each for each in results if isinstance(each, Rated) and (each.earlier or each.seen)]
    if not rated:
        return False
    adjusted = _adjustments(write, {each.terms.account.id for each in rated})
    if any(tuple(adjusted.get(each.terms.account.id, ())) != each.seen for each in rated):
        return True
    versions = {earlier.bill_id: earlier.version for each in rated for earlier in each.earlier}
    stored = [wire.decode(BillRecord, each.body) for each in _documents(write, BILL, "id", sorted(versions))]
    stored += empty_bills(write, {"id": sorted(versions)}, ())
    return {each.bill.id: each.bill.version for each in stored} != versions


def keep_adjustments(write: Transaction, changed: Sequence[BillRecord]) -> None:
    """Keep what these bills adjust, in the place of what they adjusted before."""
    fresh = {each.id: each for record in changed for each in _of(record)}
    for stale in _documents(write, KIND, "bill_id", [record.bill.id for record in changed]):
        if stale.id not in fresh:
            write.remove_document(KIND, stale.id)
    write.put_documents(KIND, [_document(each) for each in fresh.values()])


def drop_adjustments(write: Transaction, of_bill: str) -> None:
    """Forget what a bill adjusted, because it is deleted: the next one adjusts it."""
    for each in _documents(write, KIND, "bill_id", [of_bill]):
        write.remove_document(KIND, each.id)


# ------------------------------------------------------------------------------------------------------ finding


def _with_late_usage(
    usage: OrganizationUsage, rated: Sequence[Rated], previous: Mapping[str, _Previous | None], up_to: int
) -> set[str]:
    """The bills (by id) whose account has usage from before their period that no bill has looked at."""
    together: dict[tuple[int, Instant], dict[str, str]] = {}
    for each in rated:
        before = previous[each.terms.bill_id]
        after = before.evidence.late_up_to if before else 0
        of_bill = together.setdefault((after, each.terms.period.start), {})
        of_bill |= dict.fromkeys(each.terms.measured_accounts, each.terms.bill_id)
    found: set[str] = set()
    for (after, start), bills in together.items():
        late = usage.late_accounts(sorted(bills), before=start, after=after, up_to=up_to)
        found |= {bills[account_id] for account_id in late}
    return found


def _with_late_levels(rated: Sequence[Rated], previous: Mapping[str, _Previous | None]) -> set[str]:
    """The bills (by id) of whose account counter adjustments of days before their period have changed since the bill
    before."""
    found: set[str] = set()
    for each in rated:
        before = previous[each.terms.bill_id]
        known = before.evidence.late_levels if before else ""
        if mark_of(each.terms, each.terms.period.start) != known:
            found.add(each.terms.bill_id)
    return found


def _previous_bills(
    records: OrganizationRecords, every: Sequence[Terms], making: Collection[str]
) -> dict[str, _Previous | None]:
    """The stored bills of the billing periods before, by the ids of the bills at hand."""
    before: dict[str, str] = {}
    for terms in every:
        grid, of = terms.account_plans[0].grid if terms.account_plans else None, terms.of
        if grid and (grid.frequency, grid.interval) == (of.frequency, of.interval):
            earlier = msgspec.structs.replace(of, period=grid.previous(of.period))
            before[terms.bill_id] = bill_id(records.organization_id, earlier.key)
    ids = sorted(set(before.values()))
    found = {each.bill.id: _previous(each) for each in empty_bills(records, {"id": ids}, making)}
    found |= {each.id: wire.decode(_Previous, each.body) for each in _documents(records, BILL, "id", ids)}
    mixed = _consolidated_before(records, [each for each in every if each.of.frequency is Frequency.MIXED], making)
    return {each.bill_id: mixed.get(each.bill_id) or found.get(before.get(each.bill_id, "")) for each in every}


def _previous(record: BillRecord) -> _Previous:
    bill, evidence = record.bill, record.evidence
    return _Previous(
        _Bill(account_id=bill.account_id, status=bill.status, locked=bill.locked, end=bill.end_date_time_utc),
        _Evidence(evidence.up_to, evidence.late_up_to, evidence.late_levels, evidence.grouping),
    )


def _consolidated_before(
    records: OrganizationRecords, every: Sequence[Terms], making: Collection[str]
) -> dict[str, _Previous]:
    """The consolidated bills that ended where these begin: they have no grid that says which those are."""
    if not every:
        return {}
    equal = {
        "account_id": sorted({each.account.id for each in every}),
        "billing_frequency": [Frequency.MIXED.value],
        "end_date": sorted({local_day(each.period.start, each.zone).isoformat() for each in every}),
    }
    rows = [_previous(each) for each in empty_bills(records, equal, making)]
    rows += [wire.decode(_Previous, each.body) for each in every_document(records, BILL, DocumentWhere(equal=equal))]
    ended = {(each.bill.account_id, each.bill.end, each.evidence.grouping): each for each in rows}
    keys = {each.bill_id: (each.account.id, each.period.start, each.of.grouping) for each in every}
    return {id_: ended[key] for id_, key in keys.items() if key in ended}


def _marked(rated: Rated, previous: _Previous | None, up_to: int) -> Rated:
    """With the position up to which late usage is on some bill, and the levels that bills reckon with: the present
    ones, unless an earlier bill may still take what came late itself."""
    terms = rated.terms
    mark, levels = up_to, mark_of(terms, terms.period.end)
    if previous is not None and not _stays(terms, previous.bill.status, locked=previous.bill.locked):
        before, own = previous.evidence, mark_of(terms, terms.period.end, terms.period.start)
        mark, levels = min(before.late_up_to, before.up_to), joined(before.late_levels, own)
    return msgspec.structs.replace(rated, late_up_to=mark, late_levels=levels)


def _stays(terms: Terms, status: BillStatus, *, locked: bool) -> bool:
    return locked or (status is BillStatus.APPROVED and terms.config.value.adjusts_next_bill)


# ------------------------------------------------------------------------------------------------------ adjusting


def _adjusted(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    rated: Rated,
    bills: Sequence[BillRecord],
    adjusted: Sequence[Adjustment],
) -> Rated:
    late = list(_late_bills(records, rated, bills, adjusted))
    asked: dict[str, dict[Question, None]] = {rated.terms.account.id: {}}
    for each in late:
        if each.keeps:
            asked[rated.terms.account.id].update(dict.fromkeys(questions(each.terms, rated.up_to)))
    measured = measure(usage, asked)[rated.terms.account.id]
    for each in late:
        wanted = questions(each.terms, rated.up_to) if each.keeps else ()
        now = tuple(Answer(question=one, rows=measured[one]) for one in wanted)
        earlier = msgspec.structs.replace(each.earlier, now=now if each.keeps else each.earlier.then)
        same = _rows(earlier.now) == _rows(earlier.then) and earlier.levels is None
        if same and not earlier.elsewhere:
            continue
        rated = adjusted_by(records, rated, earlier, each.terms)
    return rated


def _rows(answers: Sequence[Answer]) -> list[tuple[Question, tuple[Measured, ...]]]:
    """What was measured, whatever position it was read up to."""
    return [(msgspec.structs.replace(each.question, up_to=0), each.rows) for each in answers]


def _late_bills(
    records: OrganizationRecords, rated: Rated, bills: Sequence[BillRecord], adjusted: Sequence[Adjustment]
) -> Iterator[_Late]:
    """The account's earlier bills, oldest first, that stay as they are or are adjusted on other bills."""
    terms = rated.terms
    staying = [each for each in bills if _stays(terms, each.bill.status, locked=each.bill.locked)]
    for record in bills:
        bill, evidence = record.bill, record.evidence
        if bill.end_date_time_utc > terms.period.start or evidence.grouping != terms.of.grouping:
            continue
        stays = _stays(terms, bill.status, locked=bill.locked)
        others = elsewhere(adjusted, bill.id, terms.bill_id)
        if not stays and not others:
            continue
        earlier = EarlierBill(
            bill_id=bill.id,
            version=bill.version,
            currency=bill.currency,
            billing_frequency=bill.billing_frequency,
            bill_frequency_interval=bill.bill_frequency_interval,
            period=Period(bill.start_date_time_utc, bill.end_date_time_utc),
            uses=evidence.uses,
            parameters=evidence.parameters,
            up_to=evidence.up_to,
            then=evidence.answers,
            now=(),
            elsewhere=others,
            grouping=evidence.grouping,
            before=evidence.before,
            ahead_until=ahead_until(record, staying),
        )
        then = terms_of_earlier(records, bill.account_id, earlier)
        if stays:
            earlier = msgspec.structs.replace(earlier, levels=levels_now(then, terms.agreements))
        yield _Late(earlier, then, stays)


# ------------------------------------------------------------------------------------------------------ stored


def _bills_of(
    records: OrganizationRecords, account_ids: set[str], making: Collection[str]
) -> dict[str, list[BillRecord]]:
    """The bills of accounts, stored or suppressed, oldest first."""
    ids = sorted(account_ids)
    every = empty_bills(records, {"account_id": ids}, making)
    every += [wire.decode(BillRecord, each.body) for each in _documents(records, BILL, "account_id", ids)]
    found: dict[str, list[BillRecord]] = {}
    for record in sorted(every, key=lambda each: (each.bill.end_date_time_utc, each.bill.id)):
        found.setdefault(record.bill.account_id, []).append(record)
    return found


def _adjustments(records: OrganizationRecords, account_ids: set[str]) -> dict[str, list[Adjustment]]:
    """What bills of accounts adjust, by account."""
    found: dict[str, list[Adjustment]] = {}
    for each in _documents(records, KIND, "account_id", sorted(account_ids)):
        adjustment = wire.decode(Adjustment, each.body)
        found.setdefault(adjustment.account_id, []).append(adjustment)
    return found


def _made(rated: Rated) -> list[Adjustment]:
    """What a rated account period adjusts."""
    return adjustments_of(rated.terms.account.id, rated.terms.bill_id, (each.item for each in rated.lines))


def _of(record: BillRecord) -> list[Adjustment]:
    return adjustments_of(record.bill.account_id, record.bill.id, record.bill.line_items)


def _documents(records: OrganizationRecords, kind: str, key: str, values: Sequence[str]) -> list[Document]:
    return list(every_document(records, kind, DocumentWhere(equal={key: values}))) if values else []


def _document(adjustment: Adjustment) -> Document:
    keys = {
        "account_id": adjustment.account_id,
        "bill_id": adjustment.bill_id,
        "adjusted_bill_id": adjustment.adjusted_bill_id,
    }
    return Document(id=adjustment.id, sort=adjustment.bill_id, keys=keys, body=wire.encode(adjustment))
