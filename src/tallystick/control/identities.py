"""Identities: whose usage it is that names an API key, a workspace or a wallet; and what waits for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.control.failed_measurements import Verdicted, count_after_all, put_discarded
from tallystick.core import wire
from tallystick.core.identity import GROUP, KIND, Identity, UnmappedIdentity, UnmappedUsage, decisive, group_id
from tallystick.core.ids import named_id
from tallystick.core.ingest_failure import EVENT_TYPE, FailedMeasurement, FailureStatus, failure_event
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction, Where

CHUNK = 500
CHUNKS = 20  # of what waits that are sent in one turn
MOST_ADDED = 100  # identities whose waiting usage is added up
WAITING = "waiting"  # the verdict on what is still nobody's
THERE = {"accepted", "duplicate"}  # the verdicts on what counts
CODE = "unmapped_identity"
NAMED = 100  # how many uids the event of a dismissal names; it counts them all


def _check(draft: Draft[Identity]) -> Identity:
    value = draft.value
    for each in draft.read.every(Identity, Where(equal={"hash": (value.hash,)})):
        if each.id != draft.id and each.value.priority == value.priority and value.overlaps(each.value):
            message = (
                f"the identity {each.id} says whose usage it is at some of the same times with the same priority "
                f"{value.priority}; end one of them before the other starts, or give one a higher priority"
            )
            raise rule_broken("priority", message)
    return value


IDENTITIES = Noun(of=Identity, check=_check)


def list_unmapped(records: OrganizationRecords, page: Page, *, type: str | None = None) -> Found[UnmappedIdentity]:
    """A page of the identities that usage waits for, what most waits for first."""
    found = records.documents(GROUP, DocumentWhere(equal={"type": (type,)} if type is not None else {}), page)
    return Found(tuple(wire.decode(UnmappedIdentity, each.body) for each in found.rows), found.next_token)


def get_unmapped(records: OrganizationRecords, id: str) -> UnmappedIdentity:
    """One identity that usage waits for; Refusal `not_found`."""
    document = records.document(GROUP, id)
    if document is None:
        raise Refusal("not_found", f"id: no usage waits for an identity {id[:40]!r} in this organisation", field="id")
    return wire.decode(UnmappedIdentity, document.body)


def unmapped_usage(records: OrganizationRecords) -> int:
    """How many measurements wait, of the identities that most wait for."""
    return sum(each.count for each in list_unmapped(records, Page(size=MOST_ADDED)).rows)


def list_waiting(
    records: OrganizationRecords, page: Page, *, hash: str | None = None, meter: str | None = None
) -> Found[UnmappedUsage]:
    """A page of the measurements that wait for somebody to have their identity, newest first."""
    texts = {"identity": hash, "meter": meter}
    equal: dict[str, Collection[str]] = {name: (text,) for name, text in texts.items() if text is not None}
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(UnmappedUsage, each.body) for each in found.rows), found.next_token)


def identities_of(records: OrganizationRecords, hashes: Collection[str]) -> list[Identity]:
    """What is said of these identities, at whatever time."""
    return [each.value for each in records.every(Identity, Where(equal={"hash": tuple(hashes)}))] if hashes else []


class Dismissal(msgspec.Struct, frozen=True, kw_only=True):
    """How many measurements of an identity were dismissed, and how many of it still wait."""

    dismissed: int
    left: int


def dismiss(desk: Desk, id: str, reason: str, chunks: int = CHUNKS) -> Dismissal:
    """Decide that what waits for an identity shall never count: it becomes discarded failed measurements, with the
    reason, and claims no uid. As much as is done in one turn, 500 in a transaction; what is `left` is for the next.

    What has found its account by now is left alone: it counts by itself. What comes later waits as ever. Refusal
    `not_found`.
    """
    group = get_unmapped(desk.records, id)
    dismissed, token = 0, None
    for _ in range(chunks):
        with desk.records.transaction() as write:
            page = list_waiting(write, Page(size=CHUNK, token=token), hash=group.hash)
            identities = list(write.every(Identity, Where(equal={"hash": (group.hash,)})))
            chosen = [each for each in page.rows if decisive(identities, each.ts) is None]
            if chosen:
                _discard(desk, write, group, chosen, reason)
                close_waiting(write, chosen)
        dismissed += len(chosen)
        token = page.next_token
        if token is None:
            break
    left = desk.records.document(GROUP, id)
    return Dismissal(dismissed=dismissed, left=0 if left is None else wire.decode(UnmappedIdentity, left.body).count)


def _discard(
    desk: Desk, write: Transaction, group: UnmappedIdentity, usages: Sequence[UnmappedUsage], reason: str
) -> None:
    """Keep usage as discarded failed measurements, and tell of all of it in one event, which asks nobody to act."""
    why = f"identity: nobody has the {group.type} {group.value or group.fingerprint}, and its usage was dismissed"
    event_id = named_id(usages[0].dismissed_id, "event")
    about: dict[str, object] = {"count": len(usages), "uids": [each.uid for each in usages[:NAMED]]}
    organization_id = desk.records.organization_id
    event = failure_event(
        event_id, desk.now, CODE, why, organization_id=organization_id, file=f"event%2F{event_id}", about=about
    )
    event = msgspec.structs.replace(event, dt_actioned=desk.now)
    put_events(write, [event_document(event, event_type=EVENT_TYPE, resource_id=group.id)])
    put_discarded(
        write,
        [
            FailedMeasurement(
                id=each.dismissed_id,
                status=FailureStatus.DISCARDED,
                code=CODE,
                reason=why,
                field="identity",
                received=each.received,
                uid=each.uid,
                meter=each.meter,
                event_id=event_id,
                original=each.original,
                closed=desk.now,
                closed_by=desk.actor.id,
                discard_reason=reason,
            )
            for each in usages
        ],
    )


def close_waiting(write: Transaction, usages: Iterable[UnmappedUsage]) -> list[UnmappedUsage]:
    """Take what has been sent on out of what waits, and out of the counts; gives what was gone already."""
    done = list(usages)
    ids = [each.id for each in done]
    there = write.documents(KIND, DocumentWhere(equal={"id": ids}), Page(size=max(len(ids), 1))).rows
    write.remove_documents(KIND, [each.id for each in there])
    left = {each.id for each in there}
    for known_by, number in Counter(each.identity_hash for each in done if each.id in left).items():
        group = get_unmapped(write, group_id(known_by))
        if group.count == number:
            write.remove_document(GROUP, group.id)
            continue
        fewer = msgspec.structs.replace(group, count=group.count - number)
        keys = {"type": fewer.type}
        write.put_documents(GROUP, [Document(id=fewer.id, sort=fewer.sort, keys=keys, body=wire.encode(fewer))])
    return [each for each in done if each.id not in left]


TakeMany = Callable[[Sequence[bytes]], Sequence[Verdicted]]
"""Ingest of measurements: a verdict for each, in their order."""


def attribute_waiting(records: OrganizationRecords, take: TakeMany, chunks: int = CHUNKS) -> bool:
    """Send what waits for an identity that is somebody's now through ingest, and take it out of what waits. Returns
    whether there is more of it.

    What was sent and not taken out, after a crash, is sent again and found to be there: its uid counts once.
    """
    done = 0
    for known_by in _somebodys(records):
        token: str | None = None
        while True:
            page = list_waiting(records, Page(size=CHUNK, token=token), hash=known_by)
            identities = list(records.every(Identity, Where(equal={"hash": (known_by,)})))
            ready = [each for each in page.rows if decisive(identities, each.ts) is not None]
            if ready:
                if done == chunks:
                    return True
                told = take([each.original.encode() for each in ready])
                gone = {
                    each: verdict.verdict
                    for each, verdict in zip(ready, told, strict=True)
                    if verdict.verdict != WAITING
                }
                with records.transaction() as write:
                    missed = close_waiting(write, gone)
                    # Dismissed since it was sent on, which its identity, taken away meanwhile, did not prevent.
                    count_after_all(write, [each.dismissed_id for each in missed if gone[each] in THERE])
                done += 1
            token = page.next_token
            if token is None:
                break
    return False


def _somebodys(records: OrganizationRecords) -> list[str]:
    """The hashes of identities that usage waits for and that somebody has, at whatever time."""
    found: list[str] = []
    token: str | None = None
    while True:
        page = list_unmapped(records, Page(size=CHUNK, token=token))
        found += sorted({each.hash for each in identities_of(records, [each.hash for each in page.rows])})
        token = page.next_token
        if token is None:
            return found
