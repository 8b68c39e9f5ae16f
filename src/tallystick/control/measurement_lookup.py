"""One measurement by its uid: everything that is known of it. Nothing is searched: the uid index says where it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from tallystick.control.events import EventFilter, list_events
from tallystick.control.failed_measurements import FailedFilter, list_failed
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import Bill, BillRecord
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ingest_failure import FailedMeasurement
from tallystick.core.measurement import uid_key
from tallystick.core.measurement_reading import JournalEntry, unpack
from tallystick.core.meter import Meter
from tallystick.core.period import Instant, local_day
from tallystick.ports import (
    Claim,
    DocumentWhere,
    Journal,
    OrganizationRecords,
    OrganizationUsage,
    Page,
    UidIndex,
    UsageRow,
)
from tallystick.ports.founded import config_of
from tallystick.ports.usage import at_positions

WAIT_SECONDS, POLL_SECONDS = 5.0, 0.02  # for uids that are about to be claimed
SHOWN = 20  # events and failed measurements that are shown of a uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the journal holds under a uid, and what became of it: `row` is None until it is projected."""

    position: int
    received: Instant
    entry: JournalEntry
    meter: Entity[Meter] | None  # as it stood when it validated the measurement
    account: Entity[Account] | None
    row: UsageRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMeasurement:
    """Everything known of a uid. Events tell of conflicts and rejections, and of duplicates where all of one request
    were of this uid."""

    uid: str
    accepted: Accepted | None
    bills: tuple[Bill, ...]
    failed: tuple[FailedMeasurement, ...]
    events: tuple[Event, ...]


def look_up(
    records: OrganizationRecords, usage: OrganizationUsage, uids: UidIndex, journal: Journal, uid: str
) -> KnownMeasurement:
    """What is known of a uid; nothing at all of one that was never sent."""
    claim = _claim(uids, uid_key(records.organization_id, uid), journal.last)
    accepted = None if claim is None else _accepted(records, usage, journal, claim.position)
    failed = list_failed(records, FailedFilter(uid=uid), Page(size=SHOWN)).rows
    events = list_events(records, EventFilter(uid=uid), Page(size=SHOWN)).rows
    bills = () if accepted is None or accepted.row is None else _bills(records, accepted.row)
    return KnownMeasurement(uid=uid, accepted=accepted, bills=bills, failed=failed, events=events)


def _claim(uids: UidIndex, key: bytes, last: int) -> Claim | None:
    """The claim on a uid. Measurements are acknowledged a moment before they are claimed: for one that may be among
    those up to the journal's end, the index is waited for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        complete = uids.mark >= last
        claim = uids.look_up([key]).get(key)
        if claim is not None or complete or time.monotonic() > deadline:
            return claim
        time.sleep(POLL_SECONDS)


def _accepted(
    records: OrganizationRecords, usage: OrganizationUsage, journal: Journal, position: int
) -> Accepted | None:
    block = next(
        (each for each in journal.read(position - 1) if each.first <= position <= each.last and each.entries), None
    )
    if block is None or block.organization_id != records.organization_id:
        return None  # claimed and not durable yet, or the hash of a uid that was never sent
    entry = unpack(block.entries[position - block.first])
    rows = usage.raw(at_positions((position,)))
    return Accepted(
        position=position,
        received=Instant.of(block.received),
        entry=entry,
        meter=records.at_version(Meter, entry.meter_id, entry.meter_version),
        account=records.get(Account, entry.account_id),
        row=rows[0] if rows else None,
    )


def _bills(records: OrganizationRecords, row: UsageRow) -> tuple[Bill, ...]:
    """The bills of its account that are of its time, whether or not a line of them counts it."""
    config = config_of(records)
    day = local_day(row.ts, config.value.timezone)
    where = DocumentWhere(
        equal={"account_id": [row.account_id]},
        between={"start_date": (None, day.isoformat()), "end_date": ((day + timedelta(days=1)).isoformat(), None)},
    )
    found = records.documents("bill", where, Page(size=SHOWN)).rows
    return tuple(wire.decode(BillRecord, each.body).bill for each in found)


def original_text(entry: JournalEntry) -> str:
    """The JSON that was sent, over several lines; every number as it was written."""
    return msgspec.json.format(entry.original, indent=2).decode(errors="replace")
