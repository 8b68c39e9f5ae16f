"""What the changes of a correction come to: entries for the journal, each checked, each with what it is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.measurement import MAX_UID, category_map, uid_key
from tallystick.core.meter import Meter
from tallystick.core.quantity import plain
from tallystick.core.usage_correction import MOST_CHANGES, Change, Entry, EntryKind, replacement
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import Intake
from tallystick.pipeline.mediate import rows_of
from tallystick.ports import (
    Clock,
    Journal,
    OrganizationRecords,
    OrganizationUsage,
    Records,
    UidIndex,
    UsageRow,
    UsageStore,
)
from tallystick.ports.usage import at_positions

_CHUNK = 1_000


class HasUsage(Protocol):
    """An app whose usage can be corrected."""

    @property
    def clock(self) -> Clock: ...
    @property
    def records(self) -> Records: ...
    @property
    def usage(self) -> UsageStore: ...
    @property
    def uids(self) -> UidIndex: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def intake(self) -> Intake: ...


@dataclass(frozen=True)
class Reach:
    """What a correction of one organisation looks at."""

    app: HasUsage
    organization_id: str

    @cached_property
    def records(self) -> OrganizationRecords:
        return self.app.records.organization(self.organization_id)

    @cached_property
    def usage(self) -> OrganizationUsage:
        return self.app.usage.organization(self.organization_id)


def entries_of(
    reach: Reach,
    id: str,
    changes: Iterable[Change],
    found: Sequence[UsageRow] = (),
    *,
    first: int = 1,
    known: Collection[tuple[EntryKind, str]] = (),
) -> list[Entry]:
    """What changes come to for the correction `id`, numbered from `first` on: withdrawals with their measurements,
    additions checked as at the door. A uid that is named twice, or is `known`, is a problem of the second.

    Refusal `rule_broken` for more than MOST_CHANGES.
    """
    wanted = list(changes)
    if len(wanted) + len(found) + first - 1 > MOST_CHANGES:
        message = f"changes: a correction has at most {MOST_CHANGES:,}; make several, of a part of the time each"
        raise Refusal("rule_broken", message, field="changes")
    rows = {row.uid: row for row in found}
    rows |= _look_up(reach, [each.uid for each in wanted if each.uid is not None and each.uid not in rows])
    wanted = [*wanted, *(Change(uid=row.uid) for row in found)]
    named = _Names(reach.records, rows.values())
    pairs: list[tuple[Entry | None, Entry | None]] = []
    added: list[tuple[int, bytes]] = []
    for place, change in enumerate(wanted):
        row = None if change.uid is None else rows.get(change.uid)
        out = None if change.uid is None else _withdrawal(change.uid, row, named)
        new = None
        if change.measurement is not None:
            new = Entry(number=0, kind=EntryKind.ADD, uid="", replaces=change.uid)
            original = {} if row is None else named.original(row)
            uid = _uid_of_its_own(change.uid, id, first + place)
            added.append((place, wire.encode(replacement(original, change.measurement, uid))))
        pairs.append((out, new))
    for place, entry in _checked(reach, added):
        out, new = pairs[place]
        assert new is not None, "what was checked is to be added"
        pairs[place] = (out, msgspec.structs.replace(entry, replaces=new.replaces))
    return list(_once(pairs, known, first))


def _uid_of_its_own(uid: str | None, id: str, number: int) -> str:
    """What a replacement is called that was given no uid: after the original and the correction, where that fits."""
    own = f"{uid}~{id[:8]}"
    return own if uid is not None and len(own) <= MAX_UID else f"{id[:8]}.{number}"


def _once(
    pairs: Iterable[tuple[Entry | None, Entry | None]], known: Collection[tuple[EntryKind, str]], first: int
) -> Iterator[Entry]:
    """The entries with their numbers. Of a withdrawal and its replacement both are made, or neither; and nothing is
    withdrawn or added twice."""
    seen, number = set(known), first
    for pair in pairs:
        both = [each for each in pair if each is not None]
        problem = next((each.problem for each in both if each.problem), None)
        again = next((each.uid for each in both if (each.kind, each.uid) in seen), None)
        if problem is None and again is not None:
            problem = f"uid: {again!r} is named twice by this correction"
        for each in both:
            if problem is None:
                seen.add((each.kind, each.uid))
            yield msgspec.structs.replace(each, number=number, problem=problem)
            number += 1


def _withdrawal(uid: str, row: UsageRow | None, named: _Names) -> Entry:
    if row is None:
        problem = f"uid: no measurement was accepted under {uid[:60]!r}, or it is not counted yet"
        return Entry(number=0, kind=EntryKind.WITHDRAW, uid=uid, problem=problem)
    gone = "uid: the measurement was withdrawn before" if row.withdrawn is not None else None
    entry = named.entry(EntryKind.WITHDRAW, row)
    return msgspec.structs.replace(entry, position=row.position, problem=gone)


def _checked(reach: Reach, added: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, Entry]]:
    """The additions, at their places, as they would be counted."""
    if not added:
        return
    rows, problems = rows_to_add(reach, [raw for _, raw in added])
    named = _Names(reach.records, rows.values())
    for at, (place, raw) in enumerate(added):
        row = rows.get(at)
        entry = named.entry(EntryKind.ADD, row) if row else Entry(number=0, kind=EntryKind.ADD, uid="")
        yield (
            place,
            msgspec.structs.replace(entry, measurement=wire.decode(dict[str, Any], raw), problem=problems.get(at)),
        )


def rows_to_add(reach: Reach, members: Sequence[bytes]) -> tuple[dict[int, UsageRow], dict[int, str]]:
    """What measurements would be counted as, by their places; and why others would not."""
    batch = reach.app.intake.sorted_out(reach.organization_id, members)
    problems = {each.place: each.rejection.reason for each in batch.bad if each.rejection}
    claimed = reach.app.uids.look_up(batch.candidates.keys)
    taken = [key in claimed for key in batch.candidates.keys]
    made = rows_of(reach.app.records, reach.organization_id, reach.app.clock.now(), batch.candidates.entries)
    for place, used in zip(batch.places, taken, strict=True):
        if used:
            problems[place] = "uid: is used already; a replacement has a uid of its own"
    return dict(zip(batch.places, made, strict=True)), problems


def _look_up(reach: Reach, uids: Sequence[str]) -> dict[str, UsageRow]:
    """The measurements under these uids that are counted or were; nothing is searched."""
    found: dict[str, UsageRow] = {}
    for first in range(0, len(uids), _CHUNK):
        part = uids[first : first + _CHUNK]
        claims = reach.app.uids.look_up([uid_key(reach.organization_id, uid) for uid in part])
        positions = tuple(sorted({claim.position for claim in claims.values()}))
        if positions:
            rows = reach.usage.raw(at_positions(positions))
            wanted = set(part)
            found |= {row.uid: row for row in rows if row.uid in wanted}
    return found


class _Names:
    """Codes of the accounts and meters that rows are of, and what was sent of a row."""

    def __init__(self, records: OrganizationRecords, rows: Iterable[UsageRow]) -> None:
        every = list(rows)
        self._accounts = records.codes(Account, {row.account_id for row in every})
        self._meters: dict[str, Entity[Meter]] = records.get_many(Meter, {row.meter_id for row in every})

    def entry(self, kind: EntryKind, row: UsageRow) -> Entry:
        values = {code: plain(value) for code, value in row.numbers.items()} | dict(row.texts)
        return Entry(
            number=0,
            kind=kind,
            uid=row.uid,
            account_id=row.account_id,
            account_code=self._accounts.get(row.account_id, ""),
            meter_id=row.meter_id,
            meter_code=self._meters[row.meter_id].value.code if row.meter_id in self._meters else "",
            ts=row.ts,
            values=values,
        )

    def original(self, row: UsageRow) -> dict[str, Any]:
        """What a measurement says, as JSON that a client would send: its declared fields, in their present maps, and
        what the meter does not declare."""
        made: dict[str, Any] = dict(wire.decode(dict[str, Any], row.extra)) if row.extra else {}
        meter = self._meters.get(row.meter_id)
        for field in meter.value.data_fields if meter else ():
            value = row.numbers.get(field.code, row.texts.get(field.code))
            if value is not None:
                name = category_map(field.category)
                made[name] = {**made.get(name, {}), field.code: value}
        head = {"account": self._accounts.get(row.account_id), "meter": meter.value.code if meter else None}
        ets = None if row.ets is None else row.ets.wire()
        return {"uid": row.uid, **head, "ts": row.ts.wire(), "ets": ets, **made}
