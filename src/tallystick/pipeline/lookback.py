"""Find the earlier bills that the bills at hand must look at: those with late usage, and those that wait to be seen.

No bill reads its account's history. The bill before has looked at what was final then, up to its own journal position;
so late usage since concerns the bills that end after the earliest of it, and beside those only the few that a
`core.revisit` waits for (docs/decisions/0200-looking-back.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, timedelta

import msgspec

from tallystick.core import wire
from tallystick.core.adjustment import KIND as ADJUSTMENT
from tallystick.core.adjustment import Adjustment
from tallystick.core.bill import BillRecord, BillStatus, bill_id
from tallystick.core.cast import Cast
from tallystick.core.late_levels import mark_of
from tallystick.core.paid_ahead import paid_ahead
from tallystick.core.period import Frequency, Instant, local_day
from tallystick.core.revisit import KIND, Reason, Revisit, awaits, revisit
from tallystick.core.terms import Terms
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.rate import Rated
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.pipeline.suppressed import empty_bills
from tallystick.ports import (
    Document,
    DocumentWhere,
    OrganizationRecords,
    Page,
    Transaction,
)
from tallystick.ports.usage import Measuring

BILL = "bill"
FEW = Page(size=10)
BEGINNING = Instant(1, 1, 2, tzinfo=UTC)  # of all time that bills can be about


class Look(msgspec.Struct, frozen=True):
    """The earlier bills that one bill looks at, oldest first; those and the ones that follow where they charge in
    advance; and the revisits (ids) that are done with then."""

    bills: tuple[BillRecord, ...]
    around: tuple[BillRecord, ...]
    revisits: tuple[str, ...]


class _Bill(msgspec.Struct, frozen=True, rename="camel"):
    account_id: str
    billing_frequency: Frequency
    start: Instant = msgspec.field(name="startDateTimeUTC")
    end: Instant = msgspec.field(name="endDateTimeUTC")


class _Evidence(msgspec.Struct, frozen=True, rename="camel"):
    up_to: int
    late_levels: str = ""
    grouping: str = ""


class _Previous(msgspec.Struct, frozen=True):
    """A stored bill read without its lines: up to where it has looked."""

    bill: _Bill
    evidence: _Evidence


def read_earlier(records: OrganizationRecords, ids: Collection[str], making: Collection[str] = ()) -> list[BillRecord]:
    """The stored bills with these ids, and the empty ones that were suppressed, which are final but for those that are
    being made."""
    if not ids:
        return []
    where = {"id": sorted(ids)}
    stored = every_document(records, BILL, DocumentWhere(equal=where))
    return [*empty_bills(records, where, making), *(wire.decode(BillRecord, each.body) for each in stored)]


def looks_back(
    records: OrganizationRecords, usage: Measuring, every: Sequence[Terms], *, up_to: int
) -> dict[str, Look]:
    """What the bills of these terms look at, by their ids; those that have nothing to look at are left out."""
    terms = {each.bill_id: each for each in every}
    waiting = _waiting(records, every)
    late = _Late(usage, every, up_to)
    before = _before(records, every, late)
    since = {id_: found.evidence.up_to if found else 0 for id_, found in before.items()}
    late.ask(since)
    wanted = _adjusted_by(records, [each.bill_id for each in every])
    for id_, bill_ids in _seen_late(terms, waiting, late).items():
        wanted.setdefault(id_, set()).update(bill_ids)
    affected = {id_: first for id_ in terms if (first := late.earliest(id_, since[id_]))}
    affected |= {id_: BEGINNING for id_, each in terms.items() if _has_late_levels(each, before[id_])}
    bills = _read(records, every, wanted, affected)
    revisits = {id_: tuple(each.id for each in some) for id_, some in waiting.items()}
    return {
        id_: Look(own, (*own, *following(records, own, terms.keys())), revisits.get(id_, ()))
        for id_ in terms
        if (own := bills.get(id_, ())) or id_ in waiting
    }


def _seen_late(
    terms: Mapping[str, Terms], waiting: Mapping[str, Sequence[Revisit]], late: _Late
) -> dict[str, list[str]]:
    """Of the bills that wait those (ids) that something happened to, by the bills at hand."""
    finals = {id_: [each for each in some if each.reason is not Reason.CHANGED] for id_, some in waiting.items()}
    unseen = {id_: min(each.up_to for each in some) for id_, some in finals.items() if some}
    late.ask(unseen)
    found: dict[str, list[str]] = {}
    for id_, revisits in waiting.items():
        earliest = late.earliest(id_, unseen.get(id_))
        found[id_] = [
            each.bill_id
            for each in revisits
            if each.reason is Reason.CHANGED
            or (earliest is not None and each.end > earliest)
            or each.levels != mark_of(terms[id_], each.end)
        ]
    return found


def _has_late_levels(terms: Terms, before: _Previous | None) -> bool:
    """Whether counter adjustments of days before a bill have changed since the bill before: as nobody knows which, it
    looks at all bills."""
    if before is None:
        return bool(mark_of(terms, terms.period.start))
    return mark_of(terms, before.bill.end) != before.evidence.late_levels


def done_looking(write: Transaction, rated: Iterable[Rated], kept: Iterable[BillRecord], cast: Iterable[Cast]) -> None:
    """Forget what has been looked at by those of the rated bills that are kept, and by those that were cast."""
    ids = {record.bill.id for record in kept}
    done = [one for each in rated if each.terms.bill_id in ids for one in each.revisits]
    write.remove_documents(KIND, [*done, *(one for each in cast for one in each.revisits)])


def look_again(write: Transaction, changed: Sequence[BillRecord]) -> None:
    """Let the next bills look at these again: what others adjust of them is reckoned anew."""
    write.put_documents(KIND, [revisit_document(revisit(each, Reason.CHANGED)) for each in changed])


def revisit_document(each: Revisit) -> Document:
    """A revisit as it is stored."""
    return Document(id=each.id, sort=each.end.stamp(), keys=each.keys, body=wire.encode(each))


# ------------------------------------------------------------------------------------------------------ waiting


def _waiting(records: OrganizationRecords, every: Sequence[Terms]) -> dict[str, list[Revisit]]:
    """What waits for bills, by their ids."""
    if not every:
        return {}
    final = [Reason.LOCKED]
    if every[0].config.value.adjusts_next_bill:
        final.append(Reason.APPROVED)
    keys = {
        each.bill_id: [awaits(each.account.id, each.of.grouping, why) for why in (*final, Reason.CHANGED)]
        for each in every
    }
    where = DocumentWhere(
        equal={"awaits": list(dict.fromkeys(key for own in keys.values() for key in own))},
        between={"sort": (None, max(each.period.start for each in every).stamp())},
    )
    found: dict[str, list[Revisit]] = {}
    for document in every_document(records, KIND, where):
        found.setdefault(document.keys["awaits"], []).append(wire.decode(Revisit, document.body))
    waiting = {
        each.bill_id: [one for key in keys[each.bill_id] for one in found.get(key, ()) if one.end <= each.period.start]
        for each in every
    }
    return {id_: revisits for id_, revisits in waiting.items() if revisits}


def _adjusted_by(records: OrganizationRecords, bill_ids: Sequence[str]) -> dict[str, set[str]]:
    """The bills that stored bills with these ids adjust: those that are made again adjust them again."""
    found: dict[str, set[str]] = {}
    if bill_ids:
        for each in every_document(records, ADJUSTMENT, DocumentWhere(equal={"bill_id": bill_ids})):
            adjustment = wire.decode(Adjustment, each.body)
            found.setdefault(adjustment.bill_id, set()).add(adjustment.adjusted_bill_id)
    return found


# ------------------------------------------------------------------------------------------------------ late usage


class _Late:
    """Since when there is late usage of bills: one question for all bills that start and ask alike."""

    def __init__(self, usage: Measuring, every: Iterable[Terms], up_to: int) -> None:
        self._usage, self._up_to = usage, up_to
        self._terms = {each.bill_id: each for each in every}
        self._found: dict[tuple[str, int], Instant | None] = {}

    def ask(self, after: Mapping[str, int]) -> None:
        """Find late usage of these bills that came after these journal positions."""
        together: dict[tuple[int, Instant], dict[str, list[str]]] = {}
        for id_, position in after.items():
            if (id_, position) not in self._found:
                self._found[id_, position] = None
                bills = together.setdefault((position, self._terms[id_].period.start), {})
                for account_id in self._terms[id_].measured_accounts:
                    bills.setdefault(account_id, []).append(id_)
        for (position, start), bills in together.items():
            if position >= self._up_to:
                continue
            late = self._usage.late_accounts(sorted(bills), before=start, after=position, up_to=self._up_to)
            for account_id, first in late.items():
                for id_ in bills[account_id]:
                    known = self._found[id_, position]
                    self._found[id_, position] = first if known is None else min(first, known)

    def nothing(self, id: str) -> None:
        """A bill has none before it, to which anything could be late."""
        self._found[id, 0] = None

    def earliest(self, id: str, after: int | None) -> Instant | None:
        """The earliest moment of usage of a bill that is late, of what came after a position that was asked for."""
        return None if after is None else self._found[id, after]


def _before(records: OrganizationRecords, every: Sequence[Terms], late: _Late) -> dict[str, _Previous | None]:
    """The bills that have looked before these, by the ids of these."""
    found = _previous_bills(records, every)
    without = [each for each in every if found[each.bill_id] is None]
    for each in without if len(without) <= FEW.size else ():  # of many, one question for all usage is the cheaper
        if not any(next(_falling(records, each, kind), None) for kind in (BILL, EMPTY)):
            late.nothing(each.bill_id)
    late.ask({id_: 0 for id_, previous in found.items() if previous is None})
    for each in every:  # a gap in the grid, or another grid: where there is anything late, the latest bill of all
        id_ = each.bill_id
        if found[id_] is None and (late.earliest(id_, 0) or mark_of(each, each.period.start)):
            found[id_] = _latest(records, each)
    return found


def _previous_bills(records: OrganizationRecords, every: Sequence[Terms]) -> dict[str, _Previous | None]:
    """The stored bills of the billing periods before, by the ids of the bills at hand."""
    before: dict[str, str] = {}
    for terms in every:
        grid, of = terms.account_plans[0].grid if terms.account_plans else None, terms.of
        if grid and (grid.frequency, grid.interval) == (of.frequency, of.interval):
            earlier = msgspec.structs.replace(of, period=grid.previous(of.period))
            before[terms.bill_id] = bill_id(records.organization_id, earlier.key)
    ids = DocumentWhere(equal={"id": sorted(set(before.values()))})
    kinds = (EMPTY, BILL) if before else ()
    stored = [each for kind in kinds for each in every_document(records, kind, ids)]
    found = {each.id: wire.decode(_Previous, each.body) for each in stored}
    mixed = _consolidated_before(records, [each for each in every if each.of.frequency is Frequency.MIXED])
    return {each.bill_id: mixed.get(each.bill_id) or found.get(before.get(each.bill_id, "")) for each in every}


def _consolidated_before(records: OrganizationRecords, every: Sequence[Terms]) -> dict[str, _Previous]:
    """The consolidated bills that ended where these begin: they have no grid that says which those are."""
    if not every:
        return {}
    equal = {
        "account_id": sorted({each.account.id for each in every}),
        "billing_frequency": [Frequency.MIXED.value],
        "end_date": sorted({local_day(each.period.start, each.zone).isoformat() for each in every}),
    }
    rows = [
        wire.decode(_Previous, each.body)
        for kind in (EMPTY, BILL)
        for each in every_document(records, kind, DocumentWhere(equal=equal))
    ]
    ended = {(each.bill.account_id, each.bill.end, each.evidence.grouping): each for each in rows}
    keys = {each.bill_id: (each.account.id, each.period.start, each.of.grouping) for each in every}
    return {id_: ended[key] for id_, key in keys.items() if key in ended}


def _latest(records: OrganizationRecords, terms: Terms) -> _Previous | None:
    """The account's bill with the latest start, of those that ended by now: it has looked at the most bills. The
    later a bill starts, the more bills it looks at; none that ends by the start of the best so far starts later."""
    best: _Previous | None = None
    for kind in (BILL, EMPTY):
        for document in _falling(records, terms, kind):
            if best is not None and Instant.parse(document.sort) <= best.bill.start:
                break
            each = wire.decode(_Previous, document.body)
            looks = each.bill.billing_frequency is not Frequency.AD_HOC and each.evidence.grouping == terms.of.grouping
            if looks and document.id != terms.bill_id and (best is None or each.bill.start > best.bill.start):
                best = each
    return best


def _falling(records: OrganizationRecords, terms: Terms, kind: str) -> Iterator[Document]:
    """The account's bills that ended by the start of these terms, latest first, read as far as they are asked for."""
    ended = {"sort": (None, terms.period.start.wire())}
    where = DocumentWhere(equal={"account_id": (terms.account.id,)}, between=ended)
    page: Page | None = FEW
    while page is not None:
        found = records.documents(kind, where, page)
        yield from found.rows
        page = Page(size=FEW.size, token=found.next_token) if found.next_token else None


# ------------------------------------------------------------------------------------------------------ reading


def _read(
    records: OrganizationRecords,
    every: Sequence[Terms],
    wanted: Mapping[str, set[str]],
    affected: Mapping[str, Instant],
) -> dict[str, tuple[BillRecord, ...]]:
    """The stored bills that each bill looks at, oldest first: the `wanted` ones, and the final ones that end after the
    moment from which on its usage is `affected`."""
    making = {each.bill_id for each in every}
    ids = {id_ for some in wanted.values() for id_ in some}
    found = {each.bill.id: each for each in read_earlier(records, ids, making)}
    late = [each for each in every if each.bill_id in affected]
    first: dict[str, Instant] = {}
    for each in late:
        moment = affected[each.bill_id]
        first[each.account.id] = min(moment, first.get(each.account.id, moment))
    for record in _final_bills(records, late, first, making):
        found.setdefault(record.bill.id, record)
    by_account: dict[str, list[BillRecord]] = {}
    for record in sorted(found.values(), key=lambda one: (one.bill.end_date_time_utc, one.bill.id)):
        by_account.setdefault(record.bill.account_id, []).append(record)
    looks = {}
    for each in every:
        own = wanted.get(each.bill_id, set())
        moment = affected.get(each.bill_id, each.period.start)
        bills = [
            record
            for record in by_account.get(each.account.id, ())
            if record.bill.id in own or record.bill.end_date_time_utc > moment
            if record.bill.end_date_time_utc <= each.period.start and record.evidence.grouping == each.of.grouping
        ]
        if bills:
            looks[each.bill_id] = tuple(bills)
    return looks


def _final_bills(
    records: OrganizationRecords, late: Sequence[Terms], first: Mapping[str, Instant], making: Collection[str]
) -> Iterator[BillRecord]:
    """The stored bills of accounts with late usage that are final and that end after it."""
    if not late:
        return
    ended = {"sort": (min(first.values()).wire(), max(each.period.start for each in late).wire())}
    equal: dict[str, Collection[str]] = {"account_id": sorted(first)}
    yield from empty_bills(records, equal, making, between=ended)
    final: list[dict[str, Collection[str]]] = [{"locked": ["true"]}]
    if late[0].config.value.adjusts_next_bill:
        final.append({"locked": ["false"], "status": [BillStatus.APPROVED.value]})
    for more in final:
        for document in every_document(records, BILL, DocumentWhere(equal=equal | more, between=ended)):
            if Instant.parse(document.sort) > first[document.keys["account_id"]]:
                yield wire.decode(BillRecord, document.body)


def following(
    records: OrganizationRecords, bills: Iterable[BillRecord], making: Collection[str]
) -> Iterator[BillRecord]:
    """The stored bills of the periods that these charge in advance."""
    for record in bills:
        bill = record.bill
        if paid_ahead(bill.line_items, bill.end_date_time_utc):
            next_day = (bill.end_date + timedelta(days=1)).isoformat()
            equal = {"account_id": (bill.account_id,), "billing_frequency": (bill.billing_frequency.value,)}
            yield from empty_bills(records, equal, making, between={"end_date": (next_day, None)})
            holding = {"start_date": (None, bill.end_date.isoformat()), "end_date": (next_day, None)}
            for document in every_document(records, BILL, DocumentWhere(equal=equal, between=holding)):
                yield wire.decode(BillRecord, document.body)
