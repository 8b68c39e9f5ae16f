"""An organisation that takes measurements: real journal, real index, real records, and a clock turned by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from ingest_members import KNOWN

from records_file import new_records
from tallystick.control.organization_config import initialise
from tallystick.core import wire
from tallystick.core.entity import Entity, Value
from tallystick.core.measurement_reading import read_measurement, uid_of, unpack
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.pipeline.ingest import Claimer, Intake, Tail
from tallystick.pipeline.ingest.apart import Apart
from tallystick.ports import DocumentWhere, Organization, OrganizationRecords, Page
from tallystick.stores.journal_file import FileJournal
from tallystick.stores.uid_index import SortedUidIndex

NOW = Instant.parse("2025-06-01T12:00:00Z")
NORTH = "00000000-0000-4000-8000-00000000000a"
SOUTH = "00000000-0000-4000-8000-00000000000b"
IDENTITY_KEY = b"k" * 32
FIELDS = (
    DataField(code="model", name="Model", category=Category.WHAT),
    DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="{token}"),
)


class HandClock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: Instant = NOW) -> None:
        self.time = now

    def now(self) -> Instant:
        return self.time

    def turn(self, by: timedelta) -> None:
        self.time = Instant.of(self.time + by)


class World:
    """Everything that ingest touches, on a directory; `reopen` is a restart."""

    def __init__(self, directory: Path, *, max_waiting: int = 200_000, apart: Sequence[Apart] = ()) -> None:
        self.directory = directory
        self.max_waiting = max_waiting
        self.apart = apart
        self.clock = HandClock()
        self._numbers = count(1)
        self.records = new_records(directory / "records.sqlite")
        for each in (NORTH, SOUTH):
            self.records.add_organization(Organization(id=each, name=each, created=NOW))
            initialise(self.records.organization(each), "USD", NOW)
            self.add(Meter(name="LLM", code="llm", data_fields=FIELDS, derived_fields=()), organization=each)
        self.open()

    def open(self) -> None:
        self.journal = FileJournal(self.directory / "journal")
        self.index = SortedUidIndex(self.directory / "uids")
        self.tail = Tail()
        self.claimer = Claimer(self.journal, self.index, self.tail, max_waiting=self.max_waiting)
        self.claimer.start()
        self.intake = Intake(self.records, self.claimer, self.clock, identity_key=IDENTITY_KEY, apart=self.apart)

    def close(self) -> None:
        self.claimer.close()
        self.index.close()
        self.journal.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def organization(self, id: str = NORTH) -> OrganizationRecords:
        return self.records.organization(id)

    def add(self, value: Value, *, organization: str = NORTH, id: str | None = None) -> str:
        """Keep an entity; gives its id."""
        entity = Entity(
            id=id or f"10000000-0000-4000-8000-{next(self._numbers):012d}",
            version=1,
            value=value,
            created=NOW,
            created_by="test",
            modified=NOW,
            modified_by="test",
        )
        with self.organization(organization).transaction() as write:
            write.insert(entity)
        return entity.id

    def set(self, organization: str = NORTH, **settings: Any) -> None:
        """Change settings of the organisation."""
        records = self.organization(organization)
        before = records.get(OrganizationConfig, organization)
        assert before is not None
        value = msgspec.structs.replace(before.value, **settings)
        with records.transaction() as write:
            write.replace(
                Entity(
                    id=before.id,
                    version=before.version + 1,
                    value=value,
                    created=before.created,
                    created_by="test",
                    modified=NOW,
                    modified_by="test",
                )
            )

    async def post(self, *members: Any, organization: str = NORTH, least: int = 0) -> list[dict[str, Any]]:
        """Send members (objects, or bytes taken as JSON as they stand) in one request of at least so many bytes; gives
        the verdicts."""
        reply = wire.decode(dict[str, Any], await self.intake.answer(organization, body(*members).ljust(least)))
        assert reply["result"] == "accepted"
        verdicts: list[dict[str, Any]] = reply["measurements"]
        assert [each["index"] for each in verdicts] == list(range(len(members)))
        return verdicts

    def documents(self, kind: str, organization: str = NORTH, **equal: str) -> list[dict[str, Any]]:
        """The bodies of the stored documents of a kind, newest first."""
        where = DocumentWhere(equal={name: (text,) for name, text in equal.items()})
        found = self.organization(organization).documents(kind, where, Page(size=1000))
        return [wire.decode(dict[str, Any], each.body) for each in found.rows]

    def journaled(self) -> list[tuple[str, str]]:
        """(organisation, uid) of every entry, in order."""
        entries = [(block.organization_id, unpack(each)) for block in self.journal.read(0) for each in block.entries]
        found: list[tuple[str, str]] = []
        for organization_id, entry in entries:
            read = read_measurement(entry.original)
            assert not isinstance(read, Rejection)
            found.append((organization_id, uid_of(entry, read)))
        return found


def body(*members: Any) -> bytes:
    parts = [each if isinstance(each, bytes) else wire.encode(each) for each in members]
    return b'{"measurements":[' + b",".join(parts) + b"]}"


def measurement(uid: str | None = None, **changes: Any) -> dict[str, Any]:
    """A good measurement; changes of None leave a part out."""
    whole: Mapping[str, Any] = {
        "uid": uid,
        "meter": "llm",
        "account": "acme",
        "ts": "2025-06-01T10:00:00Z",
        "what": {"model": "small"},
        "measure": {"tokens": 10},
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def post(north: World, *members: Any, organization: str = NORTH) -> list[dict[str, Any]]:
    return asyncio.run(north.post(*members, organization=organization))


def verdicts(north: World, *members: Any, organization: str = NORTH) -> list[str]:
    """The verdict of each member, or the code where it was rejected."""
    found = post(north, *members, organization=organization)
    return [each["code"] if each["verdict"] == "rejected" else each["verdict"] for each in found]


def start(apart: Apart) -> None:
    """Ask until it is there."""
    deadline = time.monotonic() + 60
    while asyncio.run(apart.sort_out(NORTH, body(b"{}"), KNOWN, NOW)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def world(directory: Path, **settings: Any) -> Iterator[World]:
    opened = World(directory, **settings)
    try:
        yield opened
    finally:
        opened.close()
        opened.records.close()
