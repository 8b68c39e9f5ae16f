"""Draft corrections of usage, keep them, and say what is in them. Nothing here changes what is counted.

`draft_correction` is the one way in: changes are named by uid, found by a filter, or come from whatever compared usage
with another source. What cannot be done of a correction is kept with the reason, and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.core.usage_correction import (
    Change,
    CorrectionSource,
    CorrectionStatus,
    Entry,
    EntryKind,
    UsageCorrection,
)
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach, entries_of
from tallystick.pipeline.ledger import every_document
from tallystick.ports import (
    Actor,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    Page,
    Transaction,
    UsageRow,
)

KIND = "usagecorrection"
ENTRY_KIND = "correctionentry"
EFFECT_KIND = "correctioneffect"
_CHUNK = 1_000


class Drafting(msgspec.Struct, frozen=True, kw_only=True):
    """Why a correction is drafted, by whom, when, and from what. `id` is chosen by the caller."""

    id: str
    reason: str
    source: CorrectionSource
    actor: Actor
    now: Instant
    source_id: str | None = None


def draft_correction(
    reach: Reach, drafting: Drafting, changes: Iterable[Change] = (), found: Sequence[UsageRow] = ()
) -> UsageCorrection:
    """Keep a new correction, a DRAFT that nobody has looked at: these changes, and the withdrawal of the measurements
    that were `found` otherwise. Nothing is counted otherwise before it is applied.

    A change that cannot be made (an unknown uid, a measurement that is withdrawn already or cannot be read) becomes an
    entry with the problem. Refusal `rule_broken` where there is nothing to do, or more than MOST_CHANGES.
    """
    now = drafting.now
    correction = UsageCorrection(
        id=drafting.id,
        version=1,
        status=CorrectionStatus.DRAFT,
        source=drafting.source,
        reason=drafting.reason,
        withdrawals=0,
        additions=0,
        problems=0,
        accounts=0,
        previewed=False,
        up_to=0,
        effects=(),
        memos=0,
        dt_created=now,
        created_by=drafting.actor.id,
        dt_last_modified=now,
        last_modified_by=drafting.actor.id,
        source_id=drafting.source_id,
    )
    entries = entries_of(reach, correction.id, changes, found)
    if not entries:
        raise Refusal("rule_broken", "changes: there is nothing to correct; name measurements, or widen the filter")
    with reach.records.transaction() as write:
        correction = _with_entries(write, correction, entries)
        put_correction(write, correction)
    return correction


def add_changes(
    reach: Reach, id: str, changes: Iterable[Change], *, actor: Actor, now: Instant, found: Sequence[UsageRow] = ()
) -> UsageCorrection:
    """Put more changes into a draft, which is to be looked at again. Refusals: `not_found`, `correction_state`."""
    before = read_correction(reach.records, id)
    require(before, CorrectionStatus.DRAFT)
    known = [(each.kind, each.uid) for each in every_entry(reach.records, id)]
    entries = entries_of(reach, id, changes, found, first=before.entries + 1, known=known)
    with reach.records.transaction() as write:
        standing = read_correction(write, id)
        if standing.version != before.version:
            raise Refusal("correction_state", f"the correction {id} was changed meanwhile; add the changes again")
        correction = _with_entries(write, standing, entries)
        correction = moved(correction, now, actor.id, previewed=False, effects=(), memos=0, failures=0)
        put_correction(write, correction)
        forget_effects(write, id)
    return correction


def discard_correction(records: OrganizationRecords, id: str, *, actor: Actor, now: Instant) -> UsageCorrection:
    """Drop a draft; it stays to be seen. Refusals: `not_found`, `correction_state`."""
    with records.transaction() as write:
        correction = read_correction(write, id)
        require(correction, CorrectionStatus.DRAFT)
        status = CorrectionStatus.DISCARDED
        correction = moved(correction, now, actor.id, status=status, dt_discarded=now, discarded_by=actor.id)
        put_correction(write, correction)
    return correction


# ------------------------------------------------------------------------------------------------------ reading


def read_correction(records: OrganizationRecords, id: str) -> UsageCorrection:
    """One correction; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no correction {id[:40]!r} in this organization", field="id")
    return wire.decode(UsageCorrection, document.body)


def list_corrections(
    records: OrganizationRecords, page: Page, *, status: CorrectionStatus | None = None
) -> Found[UsageCorrection]:
    """A page of corrections, newest first."""
    where = DocumentWhere(equal={} if status is None else {"status": [status.value]})
    found = records.documents(KIND, where, page)
    return Found(tuple(wire.decode(UsageCorrection, each.body) for each in found.rows), found.next_token)


def list_entries(records: OrganizationRecords, id: str, page: Page) -> Found[Entry]:
    """A page of what a correction withdraws and adds, in order."""
    found = records.documents(ENTRY_KIND, DocumentWhere(equal={"correction_id": [id]}), page)
    return Found(tuple(wire.decode(Entry, each.body) for each in found.rows), found.next_token)


def every_entry(records: OrganizationRecords, id: str) -> list[Entry]:
    """All entries of a correction that can be made, in order."""
    found = every_document(records, ENTRY_KIND, DocumentWhere(equal={"correction_id": [id]}))
    entries = [wire.decode(Entry, each.body) for each in found]
    return sorted((each for each in entries if each.problem is None), key=lambda each: each.number)


def entries_about(records: OrganizationRecords, uid: str, page: Page) -> list[tuple[UsageCorrection, Entry]]:
    """The corrections that a measurement was withdrawn or added by, the latest first, with what they say of it."""
    rows = records.documents(ENTRY_KIND, DocumentWhere(equal={"uid": [uid]}), page).rows
    return [(read_correction(records, each.keys["correction_id"]), wire.decode(Entry, each.body)) for each in rows]


def require(correction: UsageCorrection, *allowed: CorrectionStatus) -> None:
    """Refuse what is not for a correction as it stands. Refusal `correction_state`."""
    if correction.status not in allowed:
        message = f"the correction {correction.id} is {correction.status}; this is for one that is {allowed[0]}"
        raise Refusal("correction_state", message)


def moved(correction: UsageCorrection, now: Instant, by: str, **changes: Any) -> UsageCorrection:
    """A correction with changes, at its next version."""
    return msgspec.structs.replace(
        correction, version=correction.version + 1, dt_last_modified=now, last_modified_by=by, **changes
    )


def put_correction(write: Transaction, correction: UsageCorrection) -> None:
    """Keep a correction."""
    keys = {"status": correction.status.value, "waits": "true" if _waits(correction) else "false"}
    document = Document(id=correction.id, sort=correction.dt_created.stamp(), keys=keys, body=wire.encode(correction))
    write.put_documents(KIND, [document])


def forget_effects(write: Transaction, id: str) -> None:
    """Forget what a correction was said to do to bills, as it is reckoned anew."""
    stale = every_document(write, EFFECT_KIND, DocumentWhere(equal={"correction_id": [id]}))
    write.remove_documents(EFFECT_KIND, [each.id for each in stale])


def _waits(correction: UsageCorrection) -> bool:
    """Whether the server has something to do for it."""
    is_draft = correction.status is CorrectionStatus.DRAFT
    return correction.status is CorrectionStatus.APPLYING or (is_draft and not correction.previewed)


def _with_entries(write: Transaction, correction: UsageCorrection, entries: Sequence[Entry]) -> UsageCorrection:
    """Keep entries, and count them in."""
    documents = [_entry_document(correction.id, each) for each in entries]
    for first in range(0, len(documents), _CHUNK):
        write.put_documents(ENTRY_KIND, documents[first : first + _CHUNK])
    good = [each for each in entries if each.problem is None]
    withdrawn = sum(each.kind is EntryKind.WITHDRAW for each in good)
    accounts = {each.account_id for each in (*good, *every_entry(write, correction.id))}
    return msgspec.structs.replace(
        correction,
        withdrawals=correction.withdrawals + withdrawn,
        additions=correction.additions + len(good) - withdrawn,
        problems=correction.problems + len(entries) - len(good),
        accounts=len(accounts),
    )


def _entry_document(id: str, entry: Entry) -> Document:
    return Document(
        id=f"{id}/{entry.number}",
        sort=f"{10**9 - entry.number:09}",  # lists begin with the greatest
        keys={"correction_id": id, "uid": entry.uid},
        body=wire.encode(entry),
    )
