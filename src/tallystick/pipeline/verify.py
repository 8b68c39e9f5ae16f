"""Replay a bill from what it recorded, and say whether it comes out the same.

Everything is read as it was: configuration at the recorded versions, usage up to the recorded journal position. What
has been edited or has arrived since makes no difference (promise 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tallystick.core.bill import Answer, Bill, BillRecord, calculated_content, digest_of
from tallystick.core.bill_job import BillFailure
from tallystick.core.entity import Used
from tallystick.core.quantity import ZERO, negate, plain
from tallystick.core.rating import ENGINE_VERSION
from tallystick.core.wire import canonical
from tallystick.errors import Refusal
from tallystick.pipeline.bill import Run, bill_of
from tallystick.pipeline.late_usage import readjusted
from tallystick.pipeline.ledger import read_draws
from tallystick.pipeline.rate import Rated, rate_terms, with_draws
from tallystick.pipeline.replay import terms_then
from tallystick.pipeline.seal import broken_set, read_seal
from tallystick.ports import OrganizationRecords, OrganizationUsage


class Verification(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a bill stands up: `verified` when the stored bill, and the bill calculated again, have the recorded
    digest, and the measurements behind it are those that were sealed (`sealed`: whether there is a
    seal, which bills get when they are approved). `difference` says in words where they part first."""

    bill_id: str
    verified: bool
    recorded_digest: str
    replayed_digest: str | None
    up_to: int
    engine_version: str
    difference: str | None = None
    sealed: bool = False


def verify_bill(records: OrganizationRecords, usage: OrganizationUsage, record: BillRecord) -> Verification:
    """Calculate a stored bill again and compare. The usage store must hold the journal up to the recorded position."""
    evidence, bill = record.evidence, record.bill
    replayed, trouble = _replay(records, usage, record)
    difference = trouble
    if difference is None and digest_of(bill, record.workings) != evidence.digest:
        difference = "the stored bill is not the one that its digest was made of: it was changed after calculation"
    if replayed is not None and replayed.evidence.digest != evidence.digest:
        difference = _first_difference(record, replayed) or difference
    seal = read_seal(records, record)
    if difference is None and seal is not None:
        difference = broken_set(usage, record, seal)
    return Verification(
        bill_id=bill.id,
        verified=difference is None,
        recorded_digest=evidence.digest,
        replayed_digest=replayed.evidence.digest if replayed else None,
        up_to=evidence.up_to,
        engine_version=evidence.engine_version,
        difference=difference,
        sealed=seal is not None,
    )


def _replay(
    records: OrganizationRecords, usage: OrganizationUsage, record: BillRecord
) -> tuple[BillRecord | None, str | None]:
    """The bill calculated again, or why it cannot be."""
    evidence, bill = record.evidence, record.bill
    try:
        terms = terms_then(records, record)
        (rated,) = rate_terms(usage, [terms], up_to=evidence.up_to)
        if isinstance(rated, BillFailure):
            return None, f"the bill cannot be calculated from what it recorded: {rated.message}"
        rated = readjusted(records, usage, rated, evidence.earlier)
        drawn = with_draws(rated, {each.credit_id: each for each in evidence.openings})
    except Refusal as refusal:
        return None, f"the bill cannot be calculated from what it recorded: {refusal.message}"
    run = Run(job_id=bill.bill_job_id, as_of=evidence.as_of, up_to=evidence.up_to, actor_id=bill.created_by)
    return bill_of(drawn, run), _different_draws(records, bill, drawn)


def _different_draws(records: OrganizationRecords, bill: Bill, replayed: Rated) -> str | None:
    """Where the ledger says something else than the bill about what was drawn of credit."""
    booked = {(each.credit_id, each.from_rollover): negate(each.amount) for each in read_draws(records, bill.id)}
    drawn = {(each.credit_id, each.from_rollover): each.amount for each in replayed.draws}
    for key in sorted(booked.keys() | drawn.keys()):
        said, done = booked.get(key, ZERO), drawn.get(key, ZERO)
        if said != done:
            return f"the credit {key[0]}: the ledger says {plain(said)} was drawn, the replay {plain(done)}"
    return None


# ------------------------------------------------------------------------------------------------------ differences


def _first_difference(stored: BillRecord, replayed: BillRecord) -> str | None:
    """The first thing that differs: what was used, what was measured, then the lines, then the bill."""
    found = _different_uses(stored.evidence.uses, replayed.evidence.uses)
    found = found or _different_answers(stored.evidence.answers, replayed.evidence.answers)
    found = found or _different_lines(stored.bill, replayed.bill)
    if found is None:
        before = calculated_content(stored.bill, stored.workings)
        after = calculated_content(replayed.bill, replayed.workings)
        names = (name for name in before if canonical(before[name]) != canonical(after[name]))
        name = next(names, None)
        found = name and f"{name}: the bill says {_short(before[name])}, the replay {_short(after[name])}"
    if found and stored.evidence.engine_version != ENGINE_VERSION:
        found += f" (the bill was made by engine {stored.evidence.engine_version}, this is {ENGINE_VERSION})"
    return found


def _different_uses(stored: Sequence[Used], replayed: Sequence[Used]) -> str | None:
    missing = [used for used in stored if used not in set(replayed)]
    return f"the {missing[0].kind} {missing[0].id} was used for the bill and not for the replay" if missing else None


def _different_answers(stored: Sequence[Answer], replayed: Sequence[Answer]) -> str | None:
    now = {answer.question: answer.rows for answer in replayed}
    for answer in stored:
        rows = now.get(answer.question)
        if rows != answer.rows:
            question = answer.question
            what = f"{question.method} of {question.field} from {question.period.start.wire()}"
            what = f"{what} to {question.period.end.wire()}, read up to position {question.up_to}"
            return f"{what}: the bill measured {_short(answer.rows)}, the replay {_short(rows)}"
    return None


def _different_lines(stored: Bill, replayed: Bill) -> str | None:
    for before, after in zip(stored.line_items, replayed.line_items, strict=False):
        if before != after:
            names = zip(before.__struct_fields__, before.__struct_encode_fields__, strict=True)
            wire_name, name = next((w, n) for n, w in names if getattr(before, n) != getattr(after, n))
            was, now = _short(getattr(before, name)), _short(getattr(after, name))
            line = f"line {before.sequence_number} ({before.description})"
            return f"{line}, {wire_name}: the bill says {was}, the replay {now}"
    if len(stored.line_items) != len(replayed.line_items):
        return f"the bill has {len(stored.line_items)} lines, the replay {len(replayed.line_items)}"
    return None


def _short(value: object) -> str:
    text = canonical(value).decode()
    return text if len(text) <= 200 else text[:200] + " …"
