"""What a correction does to bills, in money, before it is applied. Nothing is written.

Bills that are made anew are made twice, as a run would make them now: with the usage there is, and as if the correction
had been applied. Bills that stay are reckoned as their memos will be. Both sides come from the one calculation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.aggregation import Question
from tallystick.core.bill import Bill, BillRecord, bill_id
from tallystick.core.bill_job import BillFailure
from tallystick.core.period import Instant, local_day
from tallystick.core.quantity import ZERO, add, subtract, total
from tallystick.core.simulated_bill import pairs_of
from tallystick.core.terms import AccountPeriod, Terms, period_of
from tallystick.core.usage_correction import BillEffect, Entry, EntryKind, LineEffect, Settlement
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run
from tallystick.pipeline.correction_memo import Reckoned, reckon
from tallystick.pipeline.late_usage import stays
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.periods import Billable, holding
from tallystick.pipeline.placing import stored_bills
from tallystick.pipeline.rate import Rated, load_terms, rate_terms
from tallystick.pipeline.simulate import drawn_bills
from tallystick.pipeline.supposing import Supposing
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage, UsageRow
from tallystick.ports.founded import config_of

MOST_PERIODS = 60  # billing periods without a bill that are looked at for one part of a correction

Side = Bill | BillFailure


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """What entries of a correction are about: which measurements go, which come, of whom and when."""

    account_ids: frozenset[str]
    meter_ids: frozenset[str]
    moments: tuple[Instant, ...]  # rising
    without: tuple[int, ...]
    added: tuple[UsageRow, ...]

    def concerns(self, question: Question) -> bool:
        """Whether the answer to a question may be another one."""
        if question.meter_id not in self.meter_ids:
            return False
        period = question.period
        return any(each < period.end and (question.reaches_back or each >= period.start) for each in self.moments)


def touched_by(entries: Iterable[Entry], added: Sequence[UsageRow]) -> Touched:
    """What these entries are about; `added` are the rows of those that add something."""
    every = list(entries)
    moments = {each.ts for each in every if each.ts is not None} | {row.ts for row in added}
    return Touched(
        account_ids=frozenset(each.account_id for each in every) | {row.account_id for row in added},
        meter_ids=frozenset(each.meter_id for each in every) | {row.meter_id for row in added},
        moments=tuple(sorted(moments)),
        without=tuple(each.position for each in every if each.kind is EntryKind.WITHDRAW and each.position is not None),
        added=tuple(added),
    )


def effects_of(
    records: OrganizationRecords, usage: OrganizationUsage, touched: Touched, *, as_of: Instant, up_to: int
) -> list[BillEffect]:
    """What becomes of each bill that the measurements are on, those of parents that pay included; oldest first. The
    usage store must hold the journal up to `up_to`."""
    config = config_of(records).value
    stored = touched_bills(records, touched)
    staying = [each for each in stored if stays(config, each.bill)]
    supposed: OrganizationUsage = Supposing(usage, touched.without, touched.added)
    sides = (usage, supposed)
    found: list[BillEffect] = []
    for record in staying:
        try:
            (before,), (after,) = (reckon(records, side, [record], up_to=up_to) for side in sides)
        except Refusal as refusal:
            found.append(_failed(record.bill, Settlement.MEMO, refusal.message))
        else:
            found.append(_of_staying(before, after))
    still_open = {each.bill.id: each for each in stored if not stays(config, each.bill)}
    found += _of_open(records, sides, touched, still_open, as_of=as_of, up_to=up_to)
    return sorted(found, key=lambda each: (each.account_code, each.start_date_time_utc, each.bill_id or ""))


def touched_bills(records: OrganizationRecords, touched: Touched) -> list[BillRecord]:
    """The stored bills that asked about measurements that are touched."""
    accounts = _bearers(records, touched)
    if not accounts or not touched.moments:
        return []
    day = (local_day(touched.moments[0], "UTC") - timedelta(days=1)).isoformat()
    where = DocumentWhere(equal={"account_id": accounts}, between={"end_date": (day, None)})
    bills = (wire.decode(BillRecord, each.body) for each in every_document(records, "bill", where))
    return [each for each in bills if any(touched.concerns(answer.question) for answer in each.evidence.answers)]


def _bearers(records: OrganizationRecords, touched: Touched) -> list[str]:
    """The accounts whose bills measure the accounts that are touched: these, and their parents."""
    accounts = records.get_many(Account, touched.account_ids)
    parents = {each.value.parent_account_id for each in accounts.values() if each.value.parent_account_id}
    return sorted({*accounts, *parents})


# ------------------------------------------------------------------------------------------------------ that stay


def _of_staying(before: Reckoned, after: Reckoned) -> BillEffect:
    bill = before.record.bill
    then, now = {each.line_item_id: each for each in before.lines}, {each.line_item_id: each for each in after.lines}
    lines = []
    for id_ in dict.fromkeys((*now, *then)):
        was, is_ = then.get(id_), now.get(id_)
        late = was.amount if was else ZERO
        whole = is_.amount if is_ else ZERO
        if late or whole:
            either = is_ or was
            assert either is not None, "a line is on one of the sides"
            billed = add(either.billed, either.elsewhere)
            lines.append(
                LineEffect(
                    description=either.description,
                    before=billed,
                    after=add(billed, whole),
                    difference=subtract(whole, late),
                    late=late,
                    line_item_id=id_,
                )
            )
    difference, late = total(each.difference for each in lines), total(each.late for each in lines)
    return BillEffect(
        **_head(bill),
        settlement=Settlement.MEMO,
        before=bill.bill_total,
        after=add(bill.bill_total, difference),
        difference=difference,
        late=late,
        bill_id=bill.id,
        status=bill.status.value,
        locked=bill.locked,
        lines=tuple(lines),
    )


# ------------------------------------------------------------------------------------------------------ made anew


def _of_open(
    records: OrganizationRecords,
    sides: tuple[OrganizationUsage, OrganizationUsage],
    touched: Touched,
    stored: dict[str, BillRecord],
    *,
    as_of: Instant,
    up_to: int,
) -> Iterator[BillEffect]:
    """The bills that a run makes anew, or makes for the first time."""
    periods = [period_of(each) for each in stored.values()]
    periods += _unbilled(records, touched, {each.key for each in periods}, as_of)
    loaded = load_terms(records, periods)
    run = Run(job_id="", as_of=as_of, up_to=up_to, actor_id="")
    terms = [each for each in loaded if isinstance(each, Terms)]
    rated: list[list[Rated | BillFailure]] = [rate_terms(side, terms, up_to=up_to) for side in sides]
    bills = [drawn_bills(records, of_side, run) for of_side in rated]
    for each, old, new, (was, is_) in zip(terms, *bills, zip(*rated, strict=True), strict=True):
        record = stored.get(each.bill_id)
        if isinstance(old, BillFailure) or isinstance(new, BillFailure):
            failure = next(side.message for side in (new, old) if isinstance(side, BillFailure))
            if record is not None:
                yield _failed(record.bill, Settlement.RERATE, failure)
            continue
        assert isinstance(was, Rated), "a bill was made of it"
        assert isinstance(is_, Rated), "a bill was made of it"
        if [answer.rows for answer in was.answers] != [answer.rows for answer in is_.answers]:
            yield _of_both(record, old, new)


def _of_both(record: BillRecord | None, old: Bill, new: Bill) -> BillEffect:
    difference = subtract(new.bill_total, old.bill_total)
    before = old.bill_total if record is None else record.bill.bill_total
    lines = [
        LineEffect(
            description=pair.description,
            before=pair.old_amount or ZERO,
            after=pair.new_amount or ZERO,
            difference=pair.difference,
            late=ZERO,
            units_before=pair.old_units,
            units_after=pair.new_units,
            unit=pair.unit,
        )
        for pair in pairs_of(old.line_items, new.line_items)
        if pair.difference or pair.old_units != pair.new_units
    ]
    return BillEffect(
        **_head(old),
        settlement=Settlement.RERATE,
        before=before,
        after=add(before, difference),
        difference=difference,
        late=ZERO,
        bill_id=None if record is None else record.bill.id,
        status=None if record is None else record.bill.status.value,
        lines=tuple(lines),
    )


def _unbilled(
    records: OrganizationRecords, touched: Touched, made: set[str], as_of: Instant
) -> Iterator[AccountPeriod]:
    """The billing periods without a bill that measurements are in, and the present one."""
    billable = Billable(records, _bearers(records, touched))
    seen, found = set(made), list[AccountPeriod]()
    reached: Instant | None = None
    for moment in (*touched.moments, as_of):
        if reached is not None and moment < reached and moment is not as_of:
            continue
        periods = [each for each in billable.periods(holding(moment)) if each.key not in seen]
        seen |= {each.key for each in periods}
        found += periods
        ends = [each.period.end for each in periods]
        reached = min(ends) if ends else None
        if len(found) >= MOST_PERIODS * max(1, len(touched.account_ids)):
            break
    ids = {bill_id(records.organization_id, each.key): each for each in found}
    there = stored_bills(records, ids)
    yield from (each for id_, each in ids.items() if id_ not in there)


def _head(bill: Bill) -> dict[str, Any]:
    names = ("account_id", "account_code", "billing_frequency", "start_date_time_utc", "end_date_time_utc", "currency")
    return {name: getattr(bill, name) for name in names}


def _failed(bill: Bill, settlement: Settlement, why: str) -> BillEffect:
    return BillEffect(
        **_head(bill),
        settlement=settlement,
        before=bill.bill_total,
        after=bill.bill_total,
        difference=ZERO,
        late=ZERO,
        bill_id=bill.id,
        status=bill.status.value,
        locked=bill.locked,
        failure=why,
    )
