"""The queue of measurements that could not be counted: look at them, correct and replay them, or discard them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tallystick.control.desk import Desk
from tallystick.control.events import mark_all_actioned
from tallystick.core import wire
from tallystick.core.failed_group import SOME_OPEN, FailedGroup, with_closed, with_counted, with_failures
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus, grouped
from tallystick.core.usage_event import EventForm
from tallystick.errors import CODES, Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction

FAILED = "failedmeasurement"
GROUP = "failedgroup"
# Verdicts that mean: it counts, now or since before, as soon as somebody has its
# identity, or never, since a mapping says so of the event.
COUNTED = {"accepted", "duplicate", "waiting", "ignored"}


class Verdicted(Protocol):
    """What ingest says of a measurement."""

    @property
    def verdict(self) -> str: ...
    @property
    def code(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def field(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Resent:
    """What is sent again: a measurement, or an event of a form that made none."""

    form: EventForm | None
    member: bytes


TakeAgain = Callable[[Sequence[Resent]], Sequence[Verdicted]]
"""Ingest of what is sent again: a verdict for each, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedFilter:
    """Which failed measurements are wanted."""

    status: FailureStatus | None = None
    code: str | None = None
    meter: str | None = None
    uid: str | None = None
    ids: Collection[str] | None = None
    group_id: str | None = None


def list_failed(records: OrganizationRecords, wanted: FailedFilter, page: Page) -> Found[FailedMeasurement]:
    """A page of failed measurements, newest first. Of a group the open ones, unless another status is asked for."""
    if wanted.group_id is not None:
        status = wanted.status or FailureStatus.OPEN
        where = DocumentWhere(equal={"grouped": (grouped(wanted.group_id, status),)})
        found = records.documents(FAILED, where, page)
        return Found(tuple(read_failed(each) for each in found.rows), found.next_token)
    texts = {"status": wanted.status, "code": wanted.code, "meter": wanted.meter, "uid": wanted.uid}
    equal: dict[str, Collection[str]] = {name: (text,) for name, text in texts.items() if text is not None}
    if wanted.ids is not None:
        equal["id"] = wanted.ids
    found = records.documents(FAILED, DocumentWhere(equal=equal), page)
    return Found(tuple(read_failed(each) for each in found.rows), found.next_token)


def get_failed(records: OrganizationRecords, id: str) -> FailedMeasurement:
    """One failed measurement; Refusal `not_found`."""
    return read_failed(_document(records, id))


def replay(desk: Desk, id: str, corrected: bytes | None, take: TakeAgain) -> FailedMeasurement:
    """Send a failed measurement through ingest again, corrected or as it was, under its own uid.

    It never claimed that uid, so what is accepted now counts once; replaying twice finds a duplicate. `take` is
    ingest. When it is rejected again, or its uid was claimed by other content meanwhile, it stays in the queue, and
    the Refusal says why. Refusal `rule_broken` when it is not open or the correction has another uid.
    """
    failed = get_failed(desk.records, id)
    _require_open(failed)
    (verdict,) = take([Resent(failed.form, under_its_uid(failed, corrected))])
    if verdict.verdict not in COUNTED:
        code = verdict.code if verdict.code in CODES else "rule_broken"
        assert code is not None
        raise Refusal(code, f"measurement: {verdict.verdict} again: {verdict.reason}", field=verdict.field)
    return _close(desk, id, FailureStatus.REPLAYED, None)


def discard(desk: Desk, id: str, reason: str) -> FailedMeasurement:
    """Decide that a failed measurement shall never count. It stays visible with the reason."""
    return _close(desk, id, FailureStatus.DISCARDED, reason)


def read_failed(document: Document) -> FailedMeasurement:
    """The failed measurement in a stored document."""
    return wire.decode(FailedMeasurement, document.body)


def close_many(
    desk: Desk, write: Transaction, ids: Collection[str], status: FailureStatus, reason: str | None
) -> list[FailedMeasurement]:
    """Close those of them that are open, and count that in their groups; gives what was closed."""
    found = write.documents(FAILED, DocumentWhere(equal={"id": ids}), Page(size=max(len(ids), 1)))
    opened = [failed for each in found.rows if (failed := read_failed(each)).status is FailureStatus.OPEN]
    closed = [
        msgspec.structs.replace(failed, status=status, closed=desk.now, closed_by=desk.actor.id, discard_reason=reason)
        for failed in opened
    ]
    write.put_documents(FAILED, [_failed_document(each) for each in closed])
    for group_id, number in Counter(each.group_id for each in closed).items():
        _put_group(write, with_closed(_group(write, group_id), status, number))
    mark_all_actioned(write, [each.event_id for each in closed], desk.now)
    return closed


def put_discarded(write: Transaction, failed: Sequence[FailedMeasurement]) -> None:
    """Keep as discarded what never was in the queue, and count it in its groups."""
    assert all(each.status is FailureStatus.DISCARDED for each in failed), "it is decided that these never count"
    write.put_documents(FAILED, [_failed_document(each) for each in failed])
    numbers = Counter(each.group_id for each in failed)
    known = {id_: group for id_ in numbers if (group := _known_group(write, id_)) is not None}
    for group in with_failures(known, failed).values():
        _put_group(write, with_closed(group, FailureStatus.DISCARDED, numbers[group.id]))


def count_after_all(write: Transaction, ids: Collection[str]) -> None:
    """Note of those that were discarded that they count nevertheless."""
    for document in write.documents(FAILED, DocumentWhere(equal={"id": ids}), Page(size=max(len(ids), 1))).rows:
        failed = read_failed(document)
        if failed.status is FailureStatus.DISCARDED:
            counted = msgspec.structs.replace(failed, status=FailureStatus.REPLAYED)
            write.put_documents(FAILED, [_failed_document(counted)])
            _put_group(write, with_counted(_group(write, failed.group_id)))


def list_groups(records: OrganizationRecords, page: Page, *, closed: bool = False) -> Found[FailedGroup]:
    """A page of groups that have open ones, most of them first; with `closed` all groups there ever were."""
    between = {} if closed else {"sort": (SOME_OPEN, None)}
    found = records.documents(GROUP, DocumentWhere(between=between), page)
    return Found(tuple(wire.decode(FailedGroup, each.body) for each in found.rows), found.next_token)


def get_group(records: OrganizationRecords, id: str) -> FailedGroup:
    """One group; Refusal `not_found`."""
    return _group(records, id)


def _group(records: OrganizationRecords, id: str) -> FailedGroup:
    group = _known_group(records, id)
    if group is None:
        message = f"id: there is no group {id[:40]!r} of failed measurements in this organization"
        raise Refusal("not_found", message, field="id")
    return group


def _known_group(records: OrganizationRecords, id: str) -> FailedGroup | None:
    document = records.document(GROUP, id)
    return None if document is None else wire.decode(FailedGroup, document.body)


def _put_group(write: Transaction, group: FailedGroup) -> None:
    write.put_documents(GROUP, [Document(id=group.id, sort=group.sort, keys=group.keys, body=wire.encode(group))])


def _failed_document(failed: FailedMeasurement) -> Document:
    return Document(id=failed.id, sort=failed.sort, keys=failed.keys, body=wire.encode(failed))


def _close(desk: Desk, id: str, status: FailureStatus, reason: str | None) -> FailedMeasurement:
    with desk.records.transaction() as write:
        _require_open(read_failed(_document(write, id)))
        (closed,) = close_many(desk, write, [id], status, reason)
    return closed


def under_its_uid(failed: FailedMeasurement, corrected: bytes | None) -> bytes:
    """The measurement to send: the correction or the original, with the uid that it was given at the door. An event has
    none: what it makes has its uid by what the event is."""
    if failed.form is not None:
        return failed.sent if corrected is None else corrected
    try:
        parts = _PARTS.decode(failed.sent if corrected is None else corrected)
        uid = _TEXT.decode(parts["uid"]) if "uid" in parts else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Refusal(
            "invalid_request", f"measurement: send a corrected object: {problem}", field="measurement"
        ) from None
    if corrected is None or not uid:
        parts["uid"] = msgspec.Raw(msgspec.json.encode(failed.uid))
    elif uid != failed.uid:
        message = f"uid: a failed measurement is replayed under its own uid {failed.uid!r}, got {uid[:50]!r}"
        raise Refusal("rule_broken", message, field="uid")
    return msgspec.json.encode(parts)


def _require_open(failed: FailedMeasurement) -> None:
    if failed.status is not FailureStatus.OPEN:
        raise Refusal(
            "rule_broken", f"status: it is {failed.status} already; only an OPEN one can change", field="status"
        )


def _document(records: OrganizationRecords, id: str) -> Document:
    document = records.document(FAILED, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no failed measurement {id[:40]!r} in this organization", field="id")
    return document


_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)
