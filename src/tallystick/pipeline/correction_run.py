"""Look at corrections and apply them, step by step; each step can be done again after a stop in between.

preview   what it does to bills, a part of its accounts at a time
write     withdrawals and additions into the journal, at once
settle    once that is counted: memos for the bills that stay, and the correction is APPLIED
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.measurement_reading import WithdrawalEntry, pack_withdrawal
from tallystick.core.period import Instant
from tallystick.core.usage_correction import (
    BillEffect,
    CorrectionStatus,
    Entry,
    EntryKind,
    UsageCorrection,
    with_effects,
)
from tallystick.errors import Refusal
from tallystick.pipeline.correction_effect import Touched, effects_of, touched_bills, touched_by
from tallystick.pipeline.correction_entries import Reach, rows_to_add
from tallystick.pipeline.correction_memo import Reckoned, draft_memos, reckon, was_overtaken
from tallystick.pipeline.corrections import (
    EFFECT_KIND,
    KIND,
    every_entry,
    forget_effects,
    moved,
    put_correction,
    read_correction,
    require,
)
from tallystick.pipeline.late_usage import stays
from tallystick.ports import Actor, Document, DocumentWhere, Found, OrganizationRecords, Page, UsageRow
from tallystick.ports.founded import config_of

AT_ONCE = 20  # accounts of a correction that is looked at while somebody waits
PART = 50  # accounts that are looked at together
TRIES = 5


class BillsOfAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a correction does to the bills of one account: document kind `correctioneffect`."""

    account_id: str
    account_code: str
    bills: tuple[BillEffect, ...]


def corrections_waiting(records: OrganizationRecords) -> list[UsageCorrection]:
    """Some of the corrections that the server has something to do for, oldest first."""
    found = records.documents(KIND, DocumentWhere(equal={"waits": ["true"]}), Page(size=20)).rows
    return [wire.decode(UsageCorrection, each.body) for each in found][::-1]


# ------------------------------------------------------------------------------------------------------ preview


def preview_correction(reach: Reach, id: str, *, up_to: int, now: Instant) -> UsageCorrection:
    """Reckon what a draft does to bills with the usage up to a position, and keep it with the draft. A draft that was
    changed meanwhile stays to be looked at. Refusals: `not_found`, `correction_state`."""
    before = read_correction(reach.records, id)
    require(before, CorrectionStatus.DRAFT)
    effects: list[BillEffect] = []
    for touched in _parts(reach, every_entry(reach.records, id)):
        effects += effects_of(reach.records, reach.usage, touched, as_of=now, up_to=up_to)
    by_account: dict[str, list[BillEffect]] = {}
    for each in effects:
        by_account.setdefault(each.account_id, []).append(each)
    with reach.records.transaction() as write:
        correction = read_correction(write, id)
        done = correction.previewed and not before.previewed  # by the server, at the same time
        if done or correction.version != before.version:
            return correction
        bills = tuple(effects)
        correction = msgspec.structs.replace(
            correction,
            previewed=True,
            up_to=up_to,
            effects=with_effects((), bills),
            memos=sum(bool(each.memo) for each in bills),
            failures=sum(each.failure is not None for each in bills),
        )
        forget_effects(write, id)
        write.put_documents(EFFECT_KIND, [_effect_document(id, each) for each in by_account.values()])
        put_correction(write, correction)
    return correction


def list_effects(records: OrganizationRecords, id: str, page: Page) -> Found[BillsOfAccount]:
    """A page of the accounts whose bills a correction changes, those with the greatest change first."""
    found = records.documents(EFFECT_KIND, DocumentWhere(equal={"correction_id": [id]}), page)
    return Found(tuple(wire.decode(BillsOfAccount, each.body) for each in found.rows), found.next_token)


def _effect_document(id: str, bills: Sequence[BillEffect]) -> Document:
    first = bills[0]
    change = sum(abs(each.difference) + abs(each.late) for each in bills)
    body = BillsOfAccount(account_id=first.account_id, account_code=first.account_code, bills=tuple(bills))
    return Document(
        id=f"{id}/{first.account_id}",
        sort=f"{int(change * 10**6):030}",
        keys={"correction_id": id, "account_id": first.account_id},
        body=wire.encode(body),
    )


def _parts(reach: Reach, entries: Sequence[Entry]) -> Iterator[Touched]:
    """What a correction touches, some accounts at a time; those that one account pays for are looked at together."""
    rows = _added(reach, entries)
    accounts = reach.records.get_many(Account, {each.account_id for each in entries})
    families: dict[str, list[Entry]] = {}
    for each in entries:
        account = accounts.get(each.account_id)
        payer = account.value.parent_account_id if account else None
        families.setdefault(payer or each.account_id, []).append(each)
    payers = sorted(families)
    for first in range(0, len(payers), PART):
        chosen = [each for id_ in payers[first : first + PART] for each in families[id_]]
        yield touched_by(chosen, [rows[each.number] for each in chosen if each.number in rows])


def _added(reach: Reach, entries: Sequence[Entry]) -> dict[int, UsageRow]:
    """The rows of what is added, by the numbers of their entries."""
    adding = [each for each in entries if each.kind is EntryKind.ADD]
    if not adding:
        return {}
    rows, _ = rows_to_add(reach, [wire.encode(each.measurement) for each in adding])
    return {adding[place].number: row for place, row in rows.items()}


# ------------------------------------------------------------------------------------------------------ applying


def apply_correction(
    records: OrganizationRecords, id: str, *, actor: Actor, now: Instant, version: int | None = None
) -> UsageCorrection:
    """Decide that a draft, which was looked at, is applied. Refusals: `not_found`, `correction_state` for one that
    nobody has looked at, `version_mismatch`."""
    with records.transaction() as write:
        correction = read_correction(write, id)
        require(correction, CorrectionStatus.DRAFT)
        if version is not None and version != correction.version:
            message = f"version: the correction is at version {correction.version}, the request names {version}"
            raise Refusal("version_mismatch", message, field="version")
        if not correction.previewed:
            raise Refusal("correction_state", f"the correction {id} is still being looked at; read it again")
        if not correction.withdrawals and not correction.additions:
            raise Refusal("correction_state", f"none of the changes of the correction {id} can be made; discard it")
        correction = moved(correction, now, actor.id, status=CorrectionStatus.APPLYING, applied_by=actor.id)
        put_correction(write, correction)
    return correction


def carry_out(reach: Reach, id: str, *, now: Instant) -> UsageCorrection:
    """Take an APPLYING correction one step further: into the journal, and, once that is counted, to its memos. Doing it
    again changes nothing of what is counted.

    Where it cannot be done any more (a uid was taken meanwhile) it is a DRAFT again, to be looked at.
    """
    correction = read_correction(reach.records, id)
    if correction.status is not CorrectionStatus.APPLYING:
        return correction
    if correction.position is None:
        return _write(reach, correction, now)
    if reach.app.usage.mark < correction.position:
        return correction
    entries = every_entry(reach.records, id)
    for _ in range(TRIES):
        settled = _settle(reach, entries, id, now)
        if settled is not None:
            return settled
    raise Refusal("busy", f"the bills of the correction {id} keep changing; it is settled later")


def _write(reach: Reach, correction: UsageCorrection, now: Instant) -> UsageCorrection:
    entries = every_entry(reach.records, correction.id)
    added = [wire.encode(each.measurement) for each in entries if each.kind is EntryKind.ADD]
    withdrawn = [_withdrawal(correction.id, each) for each in entries if each.kind is EntryKind.WITHDRAW]
    by = correction.applied_by or correction.created_by
    try:
        reach.app.intake.correct(reach.organization_id, added, withdrawn)
    except Refusal as refusal:
        if refusal.code.retry:
            raise
        changes: dict[str, object] = {"status": CorrectionStatus.DRAFT, "previewed": False, "applied_by": None}
    else:
        changes = {"position": reach.app.journal.last}
    with reach.records.transaction() as write:
        standing = read_correction(write, correction.id)
        if standing.version == correction.version:
            standing = moved(standing, now, by, **changes)
            put_correction(write, standing)
    return standing


def _withdrawal(id: str, entry: Entry) -> bytes:
    assert entry.position is not None, "a withdrawal without a problem names a measurement"
    assert entry.ts is not None, "a measurement has a timestamp"
    made = WithdrawalEntry(
        uid=entry.uid,
        of=entry.position,
        meter_id=entry.meter_id,
        account_id=entry.account_id,
        ts=entry.ts.stamp(),
        correction_id=id,
    )
    return pack_withdrawal(made)


def _settle(reach: Reach, entries: Sequence[Entry], id: str, now: Instant) -> UsageCorrection | None:
    """Draft memos for the bills that stay; None where one of them changed meanwhile."""
    config = config_of(reach.records)
    up_to = reach.app.usage.mark
    reckoned: list[Reckoned] = []
    for touched in _parts(reach, entries):
        staying = [each for each in touched_bills(reach.records, touched) if stays(config.value, each.bill)]
        reckoned += reckon(reach.records, reach.usage, staying, up_to=up_to)
    with reach.records.transaction() as write:
        correction = read_correction(write, id)
        if correction.status is not CorrectionStatus.APPLYING:
            return correction
        if was_overtaken(write, reckoned):
            return None
        by = correction.applied_by or correction.created_by
        memos = draft_memos(write, correction, reckoned, actor=Actor(by, "USER"), now=now, up_to=up_to)
        status = CorrectionStatus.APPLIED
        correction = moved(correction, now, by, status=status, dt_applied=now, memos=len(memos))
        put_correction(write, correction)
    return correction
