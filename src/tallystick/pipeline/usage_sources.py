"""What sources of usage bring is taken through the door, with the note of how far each was read.

Note and failures are written in one transaction, behind the journal: a stop at any moment leads to the same messages or
rows being read again; their uids are known and nothing of them was written (docs/decisions/0531-usage-sources.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick import decoders, failpoints
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.row_mapping import Cells, ColumnMap, Counts, parts_of, uid
from tallystick.core.usage_event import EventForm
from tallystick.core.usage_event_forms import STRUCTURED, documents
from tallystick.core.usage_source import (
    AsEvents,
    AsRows,
    FileProgress,
    SourceFile,
    SourceState,
    SourceStatus,
    UsageSource,
)
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.ingest import Intake
from tallystick.pipeline.ingest.failures import Failed
from tallystick.pipeline.ingest.members import with_uid
from tallystick.pipeline.ingest.verdicts import REJECTED, Reply, Verdict
from tallystick.pipeline.usage_events import EventIntake
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page, Transaction
from tallystick.ports.feeds import Batch, FileThere

STATE, FILE, SECRET = "usagesourcestate", "sourcefile", "usagesourcesecret"
FAILED_EVENT, FAILED_TYPE = "usagesource.failed", "UsageSourceFailed"
FILE_EVENT, FILE_TYPE = "usagesource.file.failed", "UsageSourceFileFailed"
NAMES = "b6a1c1f0-7d0c-4c1e-9d0e-53f1a0c2f0a7"  # the namespace of uids of what has none

Members = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """What it takes to take from a source."""

    records: OrganizationRecords
    intake: Intake
    events: EventIntake
    source: Entity[UsageSource]
    now: Callable[[], Instant]


# ------------------------------------------------------------------------------------------------ what is kept


def state_of(records: OrganizationRecords, source_id: str) -> SourceState:
    """How a source stands; one that was never looked at is STARTING."""
    document = records.document(STATE, source_id)
    return wire.decode(SourceState, document.body) if document is not None else SourceState(id=source_id)


def states_of(records: OrganizationRecords, source_ids: Sequence[str]) -> dict[str, SourceState]:
    """The same of several."""
    found = records.documents(STATE, DocumentWhere(equal={"id": source_ids}), Page(size=max(1, len(source_ids))))
    kept = {each.id: wire.decode(SourceState, each.body) for each in found.rows}
    return {id_: kept.get(id_, SourceState(id=id_)) for id_ in source_ids}


def note_state(reach: Reach, **changes: Any) -> SourceState:
    """Keep what changed of how a source stands. That it began to fail is told, once."""
    with reach.records.transaction() as write:
        before = state_of(write, reach.source.id)
        state = msgspec.structs.replace(before, **changes)
        if state == before:
            return before
        if state.status is SourceStatus.FAILING and before.status is not SourceStatus.FAILING:
            _tell(write, reach, FAILED_EVENT, FAILED_TYPE, state.error or "", state.version)
        return _put_state(write, state)


def _put_state(write: Transaction, state: SourceState) -> SourceState:
    kept = msgspec.structs.replace(state, version=state.version + 1)
    write.put_documents(STATE, [Document(id=kept.id, sort=kept.id, keys={}, body=wire.encode(kept))])
    return kept


def list_files(
    records: OrganizationRecords, source_id: str, page: Page, status: FileProgress | None = None
) -> Found[SourceFile]:
    """A page of the files of a source, those found last first."""
    equal = {"source_id": [source_id]} | ({} if status is None else {"status": [status.value]})
    found = records.documents(FILE, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(SourceFile, each.body) for each in found.rows), found.next_token)


def file_id(source_id: str, file: FileThere) -> str:
    """The id of a file as it lies there now: another once it was written anew."""
    return named_id(source_id, f"{file.name}\n{file.stamp}")


def known_files(records: OrganizationRecords, ids: Sequence[str]) -> dict[str, SourceFile]:
    """Those of the files that were begun, by id."""
    known: dict[str, SourceFile] = {}
    for first in range(0, len(ids), 500):
        some = ids[first : first + 500]
        found = records.documents(FILE, DocumentWhere(equal={"id": some}), Page(size=len(some)))
        known |= {each.id: wire.decode(SourceFile, each.body) for each in found.rows}
    return known


def _put_file(write: Transaction, file: SourceFile) -> None:
    keys = {"source_id": file.source_id, "status": file.status.value}
    write.put_documents(FILE, [Document(id=file.id, sort=file.sort, keys=keys, body=wire.encode(file))])


# ------------------------------------------------------------------------------------------------ what becomes of it


def members_of(mapping: object, name: str, value: bytes) -> Members:
    """The measurements of a message, each with a uid: its own, or one of the message's name. What cannot be read goes
    on as it is, so that the door says what is wrong with it."""
    if not value.strip():
        return ()
    if isinstance(mapping, AsRows):
        try:
            cells = _row().decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            return (value,)
        made = parts_of(cells, mapping.map_of(""))
        # Another source may make measurements of another meter of the same message.
        said = wire.canonical([name, mapping.meter, mapping.account]).decode()
        return (wire.encode({"uid": named_id(NAMES, said), **made}),)
    if isinstance(mapping, AsEvents):
        return _events(mapping.form, value)
    if b'"measurements"' in value:
        several = _several(value)
        if several is not None:
            return tuple(with_uid(each, named_id(NAMES, f"{name}/{at}")) for at, each in enumerate(several))
    return (with_uid(value, named_id(NAMES, name)),)


def _events(form: EventForm, value: bytes) -> Members:
    """The events of a message, which may have several as the body of a request has."""
    try:
        return tuple(documents(form, {"content-type": STRUCTURED}, value))
    except ValueError:
        return (value,)  # its verdict says what is wrong


def _several(value: bytes) -> list[bytes] | None:
    try:
        return [bytes(each) for each in _SEVERAL.decode(value).measurements]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def member_of_row(mapping: object, columns: ColumnMap, cells: Cells, met: Counts) -> bytes:
    """The measurement of a row of a file; its uid is its own, or one of its file and content."""
    if isinstance(mapping, AsEvents):
        return wire.encode(dict(cells))
    made = dict(cells) if not isinstance(mapping, AsRows) else parts_of(cells, columns)
    if not made.get("uid"):
        made = {**made, "uid": uid(cells, columns, met)}
    return wire.encode(made)


def member_of_problem(name: str, number: int, problem: str, cells: Cells) -> bytes:
    """A row that is none, as what waits with the failed measurements."""
    told = {"uid": named_id(NAMES, f"{name}/{number}"), "file": name, "row": number, "problem": problem}
    return wire.encode({**told, "cells": cells})


# ------------------------------------------------------------------------------------------------ taking it


def take_batch(reach: Reach, batch: Batch) -> None:
    """Take the messages of a stream and keep how far it is read. Refusal `busy`: send all of it again."""
    mapping = reach.source.value.mapping
    fresh = [each for each in batch.messages if not each.again]
    members = [member for each in fresh for member in members_of(mapping, each.name, each.value)]
    before = [each for each in batch.messages if each.again]
    again = [member for each in before for member in members_of(mapping, each.name, each.value)]
    if again:  # what failed of these is written down already, unless it counts now
        reach.intake.take(reach.records.organization_id, _measured(reach, again)[0], record=False)

    def keep(write: Transaction, reply: Reply) -> None:
        _count(write, reach, reply, received=len(fresh), places=batch.places)

    _take(reach, members, keep)


def take_rows(reach: Reach, members: Sequence[bytes], received: int) -> None:
    """Take rows of a query, some of which may have been read before: what is written down of them stays as it is.
    Refusal `busy`: send them again."""

    def keep(write: Transaction, reply: Reply) -> None:
        _count(write, reach, reply, received=received)

    _take(reach, members, keep, once=True)


def keep_places(reach: Reach, places: Mapping[str, str]) -> None:
    """Keep how far a source is read, all of which is in the journal."""
    with reach.records.transaction() as write:
        before = state_of(write, reach.source.id)
        _put_state(write, msgspec.structs.replace(before, places={**before.places, **places}))
    failpoints.reached("feed.kept")


def take_file(reach: Reach, file: SourceFile, members: Sequence[bytes], *, ended: bool) -> SourceFile:
    """Take rows of a file and keep how many they were; Refusal `busy`: nothing was kept, send them again."""
    kept = [file]

    def keep(write: Transaction, reply: Reply) -> None:
        counts = _count(write, reach, reply, received=len(members))
        kept[0] = msgspec.structs.replace(
            file,
            rows=file.rows + len(members),
            accepted=file.accepted + counts["accepted"],
            duplicates=file.duplicates + counts["duplicate"],
            failed=file.failed + _lost(counts),
            status=FileProgress.DONE if ended else FileProgress.TAKING,
            done=reach.now() if ended else None,
        )
        _put_file(write, kept[0])

    _take(reach, members, keep)
    return kept[0]


def fail_file(reach: Reach, file: SourceFile, reason: str) -> SourceFile:
    """The rest of a file cannot be read: it is left as it is, and told of."""
    failed = msgspec.structs.replace(file, status=FileProgress.FAILED, failure_reason=reason, done=reach.now())
    with reach.records.transaction() as write:
        _put_file(write, failed)
        _tell(write, reach, FILE_EVENT, FILE_TYPE, f"{file.name}: {reason}", 0, of=file.id)
    return failed


def _take(
    reach: Reach, members: Sequence[bytes], keep: Callable[[Transaction, Reply], None], *, once: bool = False
) -> None:
    measured, aside = _measured(reach, members)

    def keep_all(write: Transaction, reply: Reply) -> None:
        lost = [Verdict(index=0, uid=each.uid, verdict=REJECTED) for each in aside]
        keep(write, Reply(measurements=[*reply.measurements, *lost]))

    if measured or aside:
        reach.intake.take_along(reach.records.organization_id, measured, keep_all, aside=aside, once=once)
    else:
        with reach.records.transaction() as write:
            keep(write, Reply(measurements=[]))
    failpoints.reached("feed.kept")


def _measured(reach: Reach, members: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[Failed]]:
    """Measurements as they are; of events what the organisation's mappings make of them, and what they cannot."""
    mapping = reach.source.value.mapping
    if not isinstance(mapping, AsEvents):
        return members, ()
    return reach.events.mapped(reach.records.organization_id, mapping.form, members)


def _count(
    write: Transaction, reach: Reach, reply: Reply, *, received: int, places: Mapping[str, str] | None = None
) -> Counter[str]:
    """Add to the counts of the source, and keep how far it is read; returns the verdicts by name."""
    failpoints.reached("feed.taken")
    counts = Counter(each.verdict for each in reply.measurements)
    before = state_of(write, reach.source.id)
    state = msgspec.structs.replace(
        before,
        places={**before.places, **(places or {})},
        received=before.received + received,
        accepted=before.accepted + counts["accepted"],
        duplicates=before.duplicates + counts["duplicate"],
        failed=before.failed + _lost(counts),
        last_received=reach.now() if received else before.last_received,
    )
    _put_state(write, state)
    return counts


def _lost(counts: Counter[str]) -> int:
    """How many did not count, or wait for an account."""
    return counts.total() - counts["accepted"] - counts["duplicate"]


def _tell(
    write: Transaction, reach: Reach, name: str, type: str, reason: str, turn: int, *, of: str | None = None
) -> None:
    value, now = reach.source.value, reach.now()
    said = {"eventName": name, "usageSourceId": reach.source.id, "code": value.code, "reason": reason}
    id_ = named_id(of or reach.source.id, f"event {turn}")
    event = Event(id=id_, event_name=name, event_time=now, m3ter_event=said)
    put_events(write, [event_document(event, event_type=type, resource_id=reach.source.id)])


class _Several(msgspec.Struct, frozen=True):
    measurements: list[msgspec.Raw]


_SEVERAL = msgspec.json.Decoder(_Several)


def _row() -> msgspec.json.Decoder[dict[str, Any]]:
    return decoders.build(dict[str, Any], float_hook=wire.number)
