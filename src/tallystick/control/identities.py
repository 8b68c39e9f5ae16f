"""Identities: whose usage it is that names an API key, a workspace or a wallet; and what waits for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from tallystick.control.desk import Draft, Noun, rule_broken
from tallystick.control.failed_measurements import Verdicted
from tallystick.core import wire
from tallystick.core.identity import GROUP, KIND, Identity, UnmappedIdentity, UnmappedUsage, decisive, group_id
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction, Where

CHUNK = 500
CHUNKS = 20  # of what waits that are sent in one turn
MOST_ADDED = 100  # identities whose waiting usage is added up
WAITING = "waiting"  # the verdict on what is still nobody's


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


def close_waiting(write: Transaction, usages: Iterable[UnmappedUsage]) -> None:
    """Take what has been sent on out of what waits, and out of the counts. What is gone already stays so."""
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
                gone = [each for each, verdict in zip(ready, told, strict=True) if verdict.verdict != WAITING]
                with records.transaction() as write:
                    close_waiting(write, gone)
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
