"""Writing down what did not count, before the answer goes out: the queue of failed measurements, and events.

A rejected measurement waits in the queue and has an event. A conflicting one has an event that holds it. Duplicates
of one request share one event: a client that sends everything again must not drown the records
(docs/decisions/0042-events-of-ingest.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from tallystick.core import wire
from tallystick.core.event import Event
from tallystick.core.failed_group import FailedGroup, with_failures
from tallystick.core.ingest_failure import EVENT_TYPE, FailedMeasurement, FailureStatus, as_text, failure_event
from tallystick.core.intake_tally import CONFLICT, DUPLICATE, NO_METER
from tallystick.core.period import Instant
from tallystick.core.usage_event import EventForm
from tallystick.errors import Rejection
from tallystick.outbox import EVENT, event_document, put_events
from tallystick.pipeline.ingest.tally import NO_NUMBERS, Numbers, keep_numbers
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction

FAILED = "failedmeasurement"
FAILED_GROUP = "failedgroup"
GROUPS_AT_ONCE = 500
NAMED_DUPLICATES = 100  # how many uids the event of a request's duplicates names; it counts them all


class Failed(NamedTuple):
    """A member of a request that did not count: where it stood, what it was, and why."""

    place: int
    original: bytes
    uid: str
    rejection: Rejection | None  # None: its uid was claimed before, with other content
    meter: str | None = None
    account: str | None = None
    account_id: str | None = None
    known_meter: str = NO_METER  # the meter, if there is one of that code
    form: EventForm | None = None  # of what is no measurement but an event


class Repeated(NamedTuple):
    """A member whose uid was claimed before with the same content."""

    place: int
    uid: str
    known_meter: str = NO_METER


class NotCounted(NamedTuple):
    """What of a request, or of several, is to be written down, each in the order of the members."""

    failed: list[Failed]
    repeated: list[Repeated]

    def __bool__(self) -> bool:
        return bool(self.failed or self.repeated)

    def split(self, ends: Sequence[int]) -> list[NotCounted]:
        """The same for each of several requests, whose members end before these places."""
        parts = [NotCounted([], []) for _ in ends]
        for failed in self.failed:
            parts[bisect_right(ends, failed.place)].failed.append(failed)
        for repeated in self.repeated:
            parts[bisect_right(ends, repeated.place)].repeated.append(repeated)
        return parts


class Notes(NamedTuple):
    """What is written down of some requests: failed measurements by their places, events, and how many there were."""

    queue: dict[int, FailedMeasurement]
    events: list[Document]
    numbers: Numbers = NO_NUMBERS


def write(records: OrganizationRecords, notes: Sequence[Notes]) -> None:
    """Keep everything in one transaction, and the counts of the groups."""
    with records.transaction() as transaction:
        write_within(transaction, notes)


def write_within(transaction: Transaction, notes: Sequence[Notes]) -> None:
    """The same as part of a larger transaction."""
    queue = [failed for each in notes for failed in each.queue.values()]
    if queue:
        transaction.put_documents(FAILED, [failed_document(each) for each in queue])
        _count(transaction, queue)
    put_events(transaction, [document for each in notes for document in each.events])
    keep_numbers(transaction, [each.numbers for each in notes])


def unwritten(records: OrganizationRecords, found: NotCounted) -> NotCounted:
    """What of it was not written down before under its uid. That something was counted before is not."""
    known: set[str] = set()
    for kind, failed in (
        (FAILED, [each for each in found.failed if each.rejection is not None]),
        (EVENT, [each for each in found.failed if each.rejection is None]),
    ):
        uids = [each.uid for each in failed]
        for first in range(0, len(uids), GROUPS_AT_ONCE):
            some = uids[first : first + GROUPS_AT_ONCE]
            rows = records.keys_of(kind, DocumentWhere(equal={"uid": some}), ("uid",), 10 * len(some))
            known |= {uid for (uid,) in rows if uid is not None}
    return NotCounted([each for each in found.failed if each.uid not in known], [])


def _count(transaction: Transaction, queue: Sequence[FailedMeasurement]) -> None:
    ids = list({each.group_id for each in queue})
    known: dict[str, FailedGroup] = {}
    for first in range(0, len(ids), GROUPS_AT_ONCE):
        some = ids[first : first + GROUPS_AT_ONCE]
        found = transaction.documents(FAILED_GROUP, DocumentWhere(equal={"id": some}), Page(size=len(some)))
        known |= {each.id: wire.decode(FailedGroup, each.body) for each in found.rows}
    transaction.put_documents(FAILED_GROUP, [group_document(each) for each in with_failures(known, queue).values()])


@dataclass(frozen=True, slots=True)
class Scribe:
    """Says for whom and when requests are noted down."""

    organization_id: str
    received: Instant
    new_id: Callable[[], str]

    def note(self, requests: Sequence[NotCounted]) -> Notes:
        """What there is to write down of requests that came together."""
        queue: dict[int, FailedMeasurement] = {}
        events: list[Document] = []
        for failed, repeated in requests:
            for each in failed:
                event_id = self.new_id()
                file = f"event/{event_id}"
                if each.rejection is not None:
                    kept = self._queue_entry(each, each.rejection, event_id)
                    queue[each.place] = kept
                    file = f"{FAILED}/{kept.id}"
                events.append(self._failure_event(each, event_id, file))
            if repeated:
                events.append(self._repeated_event(repeated))
        return Notes(queue, events, self._numbers(requests))

    def _numbers(self, requests: Sequence[NotCounted]) -> Numbers:
        day = self.received.date()
        failed = [each for request in requests for each in request.failed]
        repeated = [each for request in requests for each in request.repeated]
        return Counter(
            [((day, each.known_meter), each.rejection.code if each.rejection else CONFLICT) for each in failed]
            + [((day, each.known_meter), DUPLICATE) for each in repeated]
        )

    def _queue_entry(self, failed: Failed, rejection: Rejection, event_id: str) -> FailedMeasurement:
        text, in_base64 = as_text(failed.original)
        return FailedMeasurement(
            id=self.new_id(),
            status=FailureStatus.OPEN,
            code=rejection.code,
            reason=rejection.reason,
            field=rejection.field,
            received=self.received,
            uid=failed.uid,
            meter=failed.meter,
            account=failed.account,
            event_id=event_id,
            original=text,
            original_base64=in_base64,
            form=failed.form,
        )

    def _failure_event(self, failed: Failed, event_id: str, file: str) -> Document:
        about: dict[str, object] = {"uid": failed.uid, "meter": failed.meter, "account": failed.account}
        if failed.rejection is None:
            code = "conflict"
            reason = f"uid: {failed.uid!r} was counted before with other content; the first stays"
            about["measurement"], about["measurementBase64"] = as_text(failed.original)
        else:
            code, reason = failed.rejection.code, failed.rejection.reason
            about["field"] = failed.rejection.field
            about["failedMeasurementId"] = file.rpartition("/")[2]
        event = self._event(event_id, code, reason, file, about)
        return event_document(
            event,
            event_type=EVENT_TYPE,
            account_id=failed.account_id,
            resource_id=file.rpartition("/")[2],
            uid=failed.uid,
        )

    def _repeated_event(self, repeated: Sequence[Repeated]) -> Document:
        event_id = self.new_id()
        uids = [each.uid for each in repeated[:NAMED_DUPLICATES]]
        reason = f"measurements of this request that were counted before and not counted again: {len(repeated)}"
        about: dict[str, object] = {"count": len(repeated), "uids": uids}
        # Found by its uid if it is of one only: a document has one text for each key.
        uid = uids[0] if len(set(uids)) == 1 and len(uids) == len(repeated) else None
        event = self._event(event_id, "duplicate", reason, f"event/{event_id}", about)
        return event_document(event, event_type=EVENT_TYPE, uid=uid)

    def _event(self, id: str, code: str, reason: str, file: str, about: dict[str, object]) -> Event:
        return failure_event(
            id,
            self.received,
            code,
            reason,
            organization_id=self.organization_id,
            file=quote(file, safe=""),
            about=about,
        )


def group_document(group: FailedGroup) -> Document:
    """A group of failed measurements as it is stored: most open ones first."""
    return Document(id=group.id, sort=group.sort, keys=group.keys, body=wire.encode(group))


def failed_document(entry: FailedMeasurement) -> Document:
    """A failed measurement as it is stored: found by status, code, meter and uid, newest first."""
    return Document(id=entry.id, sort=entry.sort, keys=entry.keys, body=wire.encode(entry))
