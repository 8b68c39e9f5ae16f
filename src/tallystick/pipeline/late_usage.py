"""Find late usage, and late changes of levels, of bills that stay as they are; adjust them on the bill at hand.

A bill stays when it is locked, and when it is approved where the organisation adjusts the next bill. What it would say
now is rated from the terms it recorded. Who has late usage is one question to the usage store for many accounts; only
their earlier bills are read (docs/decisions/0152-late-usage.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from tallystick.core import wire
from tallystick.core.adjustment import KIND, Adjustment, adjustments_of, elsewhere
from tallystick.core.aggregation import Measured, Question
from tallystick.core.bill import Answer, Bill, BillRecord, BillStatus, EarlierBill
from tallystick.core.bill_job import BillFailure
from tallystick.core.late_levels import ahead_until, levels_now, mark_of
from tallystick.core.late_policy import LatePolicies, LatePolicy, policies_of
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Frequency, Period
from tallystick.core.rating import questions
from tallystick.core.terms import Terms
from tallystick.errors import Refusal
from tallystick.pipeline.ledger import every_document
from tallystick.pipeline.lookback import Look, look_again, looks_back, read_earlier
from tallystick.pipeline.meter import Measurements, measure
from tallystick.pipeline.rate import Rated, failure_of
from tallystick.pipeline.replay import adjusted_by, terms_of_earlier
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, OrganizationUsage, Transaction
from tallystick.ports.usage import Measuring

BILL = "bill"


class _Late(msgspec.Struct, frozen=True):
    """An earlier bill that may have to be adjusted on the bill at hand: its lines then and the terms it was made of."""

    earlier: EarlierBill
    terms: Terms
    keeps: bool  # it stays as it is; else it has its late usage itself


def looks_of(records: OrganizationRecords, usage: Measuring, every: Iterable[Terms], *, up_to: int) -> dict[str, Look]:
    """The earlier bills that the bills of these terms look at, by their ids; those without any are left out."""
    # A bill of a single day is made beside the others: what comes late waits for one of those.
    looking = [each for each in every if each.of.frequency is not Frequency.AD_HOC]
    return looks_back(records, usage, looking, up_to=up_to)


def with_adjustments(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    results: Sequence[Rated | BillFailure],
    *,
    up_to: int,
    looks: Mapping[str, Look] | None = None,
) -> list[Rated | BillFailure]:
    """Rated account periods with lines for the late usage of earlier bills, in their order. Nothing is written.
    `looks` are those of `looks_of`, where they are known.

    An account whose earlier bills cannot be rated any more is a failure in its place.
    """
    rated = [each for each in results if isinstance(each, Rated) and each.terms.of.frequency is not Frequency.AD_HOC]
    if looks is None:
        looks = looks_of(records, usage, (each.terms for each in rated), up_to=up_to)
    stored = adjustments_about(records, {record.bill.id for look in looks.values() for record in look.bills})
    adjusted = dict(stored)
    done: dict[str, Rated | BillFailure] = {}
    for each in sorted((_with_levels(one) for one in rated), key=lambda one: (one.terms.period.end, one.terms.bill_id)):
        own_id, look = each.terms.bill_id, looks.get(each.terms.bill_id)
        if look is None:
            done[own_id] = each
            continue
        looked = tuple(record.bill.id for record in look.bills)
        seen = tuple(adjustment for id_ in looked for adjustment in stored.get(id_, ()))
        marked = msgspec.structs.replace(each, looked=looked, seen=seen, revisits=look.revisits)
        try:
            done[own_id] = found = _adjusted(records, usage, marked, look, adjusted)
        except Refusal as refusal:
            done[own_id] = failure_of(each.terms.of, refusal)
            continue
        made = {adjustment.adjusted_bill_id: adjustment for adjustment in _made(found)}
        for id_ in looked:
            others = [one for one in adjusted.get(id_, ()) if one.bill_id != own_id]
            adjusted[id_] = [*others, made[id_]] if id_ in made else others
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
            now = _answers(earlier, wanted, measure(usage, {account_id: wanted})[account_id])
        rated = adjusted_by(records, rated, msgspec.structs.replace(earlier, now=now), terms)
    return rated


def was_overtaken(write: Transaction, results: Iterable[object]) -> bool:
    """Whether what the adjustments were reckoned from has changed in the meantime: then they are reckoned anew."""
    rated = [each for each in results if isinstance(each, Rated) and each.looked]
    if not rated:
        return False
    adjusted = adjustments_about(write, {id_ for each in rated for id_ in each.looked})
    if any(tuple(one for id_ in each.looked for one in adjusted.get(id_, ())) != each.seen for each in rated):
        return True
    versions = {earlier.bill_id: earlier.version for each in rated for earlier in each.earlier}
    return {each.bill.id: each.bill.version for each in read_earlier(write, versions)} != versions


def keep_adjustments(write: Transaction, changed: Sequence[BillRecord]) -> None:
    """Keep what these bills adjust, in the place of what they adjusted before. Where others adjust one of these, the
    next bill looks whether that is still right."""
    fresh = {each.id: each for record in changed for each in _of(record)}
    stale = [each.id for each in _documents(write, KIND, "bill_id", [record.bill.id for record in changed])]
    write.remove_documents(KIND, [each for each in stale if each not in fresh])
    write.put_documents(KIND, [adjustment_document(each) for each in fresh.values()])
    elsewhere_ = adjustments_about(write, {record.bill.id for record in changed})
    look_again(write, [record for record in changed if record.bill.id in elsewhere_])


def adjusted_elsewhere(records: OrganizationRecords, bill_ids: Collection[str]) -> list[str]:
    """Those of these bills (ids) that other bills adjust."""
    return sorted(adjustments_about(records, set(bill_ids)))


def drop_adjustments(write: Transaction, of_bill: str) -> None:
    """Forget what a bill adjusted, because it is deleted: the next one adjusts it."""
    dropped = [wire.decode(Adjustment, each.body) for each in _documents(write, KIND, "bill_id", [of_bill])]
    write.remove_documents(KIND, [each.id for each in dropped])
    look_again(write, read_earlier(write, {each.adjusted_bill_id for each in dropped}))


def _with_levels(rated: Rated) -> Rated:
    return msgspec.structs.replace(rated, late_levels=mark_of(rated.terms, rated.terms.period.end))


# ------------------------------------------------------------------------------------------------------ adjusting


def _adjusted(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    rated: Rated,
    look: Look,
    adjusted: Mapping[str, Sequence[Adjustment]],
) -> Rated:
    late = list(_late_bills(records, rated, look, adjusted))
    asked: dict[str, dict[Question, None]] = {rated.terms.account.id: {}}
    for each in late:
        if each.keeps:
            asked[rated.terms.account.id].update(dict.fromkeys(questions(each.terms, rated.up_to)))
    measured = measure(usage, asked)[rated.terms.account.id]
    for each in late:
        wanted = questions(each.terms, rated.up_to) if each.keeps else ()
        now = _answers(each.earlier, wanted, measured)
        earlier = msgspec.structs.replace(each.earlier, now=now if each.keeps else each.earlier.then)
        same = _rows(earlier.now) == _rows(earlier.then) and earlier.levels is None
        if same and not earlier.elsewhere:
            continue
        rated = adjusted_by(records, rated, earlier, each.terms)
    return rated


def _answers(earlier: EarlierBill, wanted: Iterable[Question], measured: Measurements) -> tuple[Answer, ...]:
    """What is measured now; of the meters whose late usage is only reported, what was measured then."""
    then = dict(_rows(earlier.then)) if earlier.reported else {}
    kept = {one: then.get(msgspec.structs.replace(one, up_to=0)) for one in wanted if one.meter_id in earlier.reported}
    return tuple(
        Answer(question=one, rows=measured[one] if (rows := kept.get(one)) is None else rows) for one in wanted
    )


def _rows(answers: Sequence[Answer]) -> list[tuple[Question, tuple[Measured, ...]]]:
    """What was measured, whatever position it was read up to."""
    return [(msgspec.structs.replace(each.question, up_to=0), each.rows) for each in answers]


def _late_bills(
    records: OrganizationRecords,
    rated: Rated,
    look: Look,
    adjusted: Mapping[str, Sequence[Adjustment]],
) -> Iterator[_Late]:
    """Those of the account's earlier bills that stay as they are or are adjusted on other bills."""
    terms, config, policies = rated.terms, rated.terms.config.value, read_late_policies(records)
    staying = [each for each in look.around if stays(config, each.bill)]
    for record in look.bills:
        keeps = stays(config, record.bill)
        reported = policies.reported(answer.question.meter_id for answer in record.evidence.answers)
        counted = _without_memos(adjusted.get(record.bill.id, ()), record, reported)
        others = elsewhere(counted, record.bill.id, terms.bill_id)
        if keeps or others:
            earlier, then = earlier_of(records, record, others, staying)
            earlier = msgspec.structs.replace(earlier, reported=reported)
            if keeps:
                earlier = msgspec.structs.replace(earlier, levels=levels_now(then, terms.agreements))
            yield _Late(earlier, then, keeps)


def _without_memos(
    adjustments: Sequence[Adjustment], record: BillRecord, reported: Collection[str]
) -> Sequence[Adjustment]:
    """What others have adjusted of a bill. Of meters whose late usage is only reported, what memos of corrections
    settled stays settled: no bill reckons it anew."""
    if not reported or not any(each.memo for each in adjustments):
        return adjustments
    billed = {line.id for line in record.bill.line_items if line.meter_id and line.meter_id not in reported}
    return [
        msgspec.structs.replace(each, amounts={id_: amount for id_, amount in each.amounts.items() if id_ in billed})
        if each.memo
        else each
        for each in adjustments
    ]


def earlier_of(
    records: OrganizationRecords, record: BillRecord, others: dict[str, Decimal], staying: Sequence[BillRecord]
) -> tuple[EarlierBill, Terms]:
    """A stored bill as one that is adjusted, of which others have adjusted so much; and the terms that it was made of.
    `staying` are it and the bills after it that stay as they are."""
    bill, evidence = record.bill, record.evidence
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
    return earlier, terms_of_earlier(records, bill.account_id, earlier)


def stays(config: OrganizationConfig, bill: Bill) -> bool:
    """Whether a bill stays as it is, so that what comes late stands on the next one."""
    return bill.locked or (bill.status is BillStatus.APPROVED and config.adjusts_next_bill)


def read_late_policies(records: OrganizationRecords) -> LatePolicies:
    """What an organisation wants done about late usage."""
    return records.remembered(
        "late policies", lambda read: policies_of([each.value for each in read.every(LatePolicy)])
    )


# ------------------------------------------------------------------------------------------------------ stored


def adjustments_about(records: OrganizationRecords, bill_ids: set[str]) -> dict[str, list[Adjustment]]:
    """What bills adjust of these, by the bill that is adjusted."""
    found: dict[str, list[Adjustment]] = {}
    for each in _documents(records, KIND, "adjusted_bill_id", sorted(bill_ids)):
        adjustment = wire.decode(Adjustment, each.body)
        found.setdefault(adjustment.adjusted_bill_id, []).append(adjustment)
    return found


def _made(rated: Rated) -> list[Adjustment]:
    """What a rated account period adjusts."""
    return adjustments_of(rated.terms.account.id, rated.terms.bill_id, (each.item for each in rated.lines))


def _of(record: BillRecord) -> list[Adjustment]:
    return adjustments_of(record.bill.account_id, record.bill.id, record.bill.line_items)


def _documents(records: OrganizationRecords, kind: str, key: str, values: Sequence[str]) -> list[Document]:
    return list(every_document(records, kind, DocumentWhere(equal={key: values}))) if values else []


def adjustment_document(adjustment: Adjustment) -> Document:
    """What is adjusted of a bill, as it is stored."""
    keys = {
        "account_id": adjustment.account_id,
        "bill_id": adjustment.bill_id,
        "adjusted_bill_id": adjustment.adjusted_bill_id,
    }
    return Document(id=adjustment.id, sort=adjustment.bill_id, keys=keys, body=wire.encode(adjustment))
