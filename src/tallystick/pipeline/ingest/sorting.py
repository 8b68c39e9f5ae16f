"""Sorting out a request: which members may count, and what is wrong with the others.

Members of the usual form go through `columns`, many at once. Each of the others is read, held against its meter and
attributed by itself, so that a bad one never harms those beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from tallystick.core.measurement import Measurement, account_code_fault, uid_key, uid_keys, validate
from tallystick.core.measurement_reading import JournalEntry, given_uid, pack, pack_many, read_measurement
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.columns import FEW, Form, Row, partition
from tallystick.pipeline.ingest.failures import Failed
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.tail import Candidates, Reading
from tallystick.ports.packed import Buffer

Member = bytes | msgspec.Raw
T = TypeVar("T")


class Told(NamedTuple):
    """The verdicts on candidates as JSON, should all of them be accepted, with commas in between; and where each ends
    (int64)."""

    data: Buffer
    ends: np.ndarray

    def start(self, at: int) -> int:
        """Where the verdict on a candidate begins."""
        return int(self.ends[at - 1]) + 1 if at else 0


@dataclass(slots=True)
class Batch:
    """A request sorted out. `places` and `uids` say which members the candidates are; `strangers` are account codes, in
    the order met, that must be looked up before the request can be sorted out; then the rest means nothing. `told` is
    there when the request was sorted out apart."""

    candidates: Candidates
    places: Sequence[int]
    uids: Sequence[str]
    bad: list[Failed] = field(default_factory=list)
    strangers: dict[str, None] = field(default_factory=dict)
    generated: set[int] = field(default_factory=set)  # places of members that were given a uid
    told: Told | None = None

    @property
    def size(self) -> int:
        """How many members the request has."""
        return len(self.places) + len(self.bad)


class _Stranger(NamedTuple):
    """A member whose account code is not known yet."""

    code: str


class _Part(NamedTuple):
    """Candidates that were found together."""

    places: Sequence[int]
    uids: Sequence[str]
    keys: Sequence[bytes]
    contents: Sequence[bytes]
    entries: Sequence[bytes]
    reading: Reading | None = None


class _One(NamedTuple):
    """A candidate that was found by itself."""

    place: int
    uid: str
    key: bytes
    content: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class Sorter:
    """Sorts out what an organisation sent."""

    organization_id: str
    known: Known
    received: Instant
    new_id: Callable[[], str]

    def sort_out(self, members: Sequence[Member]) -> Batch:
        """Read, validate and attribute every member."""
        batch = Batch(Candidates((), (), ()), (), ())
        parts: list[_Part] = []
        rest: Sequence[int] = range(len(members))
        if len(members) > FEW:
            rows = self.known.forms.rows(members)
            taken: set[int] = set()
            for kind, places in partition(rows):
                form = self.known.forms.by_row.get(kind)
                if form is not None and (part := self._part(form, rows, places, members)) is not None:
                    parts.append(part)
                    taken.update(part.places)
            rest = [place for place in rest if place not in taken] if len(taken) < len(members) else ()
        ones = [one for place in rest if (one := self._one(batch, place, members[place])) is not None]
        if ones:
            places, uids, keys, contents, entries = map(list, zip(*ones, strict=True))
            parts.append(_Part(places, uids, keys, contents, entries))
        if not batch.strangers:
            batch.places, batch.uids, batch.candidates = _joined(parts)
        return batch

    def content_of(self, measurement: Measurement) -> str | Rejection:
        """The digest of what a measurement says, or why it could not count, whosever it is."""
        checked = self._check(measurement)
        if isinstance(checked, _Stranger):
            checked = self._held(measurement)
        return checked if isinstance(checked, Rejection) else checked.hex()

    # ------------------------------------------------------------------------------------------- many at once

    def _part(self, form: Form, rows: Sequence[Row], places: list[int], members: Sequence[Member]) -> _Part | None:
        """Those of the rows that can be read as columns and whose accounts are known; the others stay with the rest."""
        accounts = self.known.accounts
        known = rows if len(places) == len(rows) else [rows[place] for place in places]
        taken, checked = form.most(known, self._latest)
        if checked is None:
            return None
        try:
            account_ids = list(map(accounts.__getitem__, checked.codes))
        except KeyError:
            known = [place for place in places if rows[place].account in accounts]
            return self._part(form, rows, known, members) if known else None
        places = [places[at] for at in taken] if len(taken) < len(places) else places
        schema = form.schema
        originals = list(map(bytes, members if len(places) == len(members) else [members[place] for place in places]))
        return _Part(
            places=places,
            uids=checked.uids,
            keys=uid_keys(self.organization_id, checked.uids),
            contents=checked.contents,
            entries=pack_many(account_ids, schema.meter_id, schema.version, originals),
            reading=None
            if schema.derives
            else Reading(schema.meter_id, pa.array(account_ids, pa.string()), checked.columns),
        )

    # --------------------------------------------------------------------------------------------- one by one

    def _one(self, batch: Batch, place: int, member: Member) -> _One | None:
        measurement = read_measurement(member)
        if isinstance(measurement, Rejection):
            uid = given_uid(member) or self._give_uid(batch, place)
            batch.bad.append(Failed(place, bytes(member), uid, measurement))
            return None
        checked = self._check(measurement)
        if isinstance(checked, _Stranger):
            batch.strangers[checked.code] = None
            return None
        account_id = self.known.accounts.get(measurement.account)
        if isinstance(checked, Rejection):
            usable = measurement.uid and checked.field != "uid"
            uid = measurement.uid if measurement.uid and usable else self._give_uid(batch, place)
            meter, account = measurement.meter[:80], measurement.account[:80]
            batch.bad.append(Failed(place, bytes(member), uid, checked, meter, account, account_id))
            return None
        assert account_id is not None
        uid = measurement.uid or self._give_uid(batch, place)
        schema = self.known.schemas[measurement.meter]
        entry = JournalEntry(
            account_id=account_id,
            meter_id=schema.meter_id,
            meter_version=schema.version,
            uid=None if measurement.uid else uid,
            original=bytes(member),
        )
        return _One(place, uid, uid_key(self.organization_id, uid), checked, pack(entry))

    def _check(self, measurement: Measurement) -> bytes | Rejection | _Stranger:
        """The digest of a valid member's content, or why it does not count, or the account that must be looked up."""
        known = self.known
        schema = known.schemas.get(measurement.meter)
        if schema is None:
            reason = f"meter: there is no meter with the code {measurement.meter[:80]!r}"
            return Rejection("undefined_meter", reason, "meter")
        if not measurement.uid and known.config.require_measurement_uid:
            return Rejection("uid_required", "uid: is missing; this organization requires one", "uid")
        held = self._held(measurement)
        if isinstance(held, Rejection):
            return held
        if measurement.account not in known.accounts:
            code = measurement.account
            return known.refused.get(code) or account_code_fault(code) or _Stranger(code)
        return held

    def _held(self, measurement: Measurement) -> bytes | Rejection:
        """The same of a measurement of a meter there is, whatever its account."""
        checked = validate(measurement, self.known.schemas[measurement.meter], self.received, self._tolerance)
        return checked if isinstance(checked, Rejection) else checked.content

    def _give_uid(self, batch: Batch, place: int) -> str:
        batch.generated.add(place)
        return self.new_id()

    @property
    def _tolerance(self) -> timedelta:
        return timedelta(seconds=self.known.config.future_tolerance_seconds)

    @property
    def _latest(self) -> datetime:
        return self.received + self._tolerance


def _joined(parts: Sequence[_Part]) -> tuple[Sequence[int], Sequence[str], Candidates]:
    """The candidates of all parts in the order of the request: of two with one uid the first must have it."""
    if not parts:
        return (), (), Candidates((), (), ())
    if len(parts) == 1:
        part = parts[0]
        readings = [] if part.reading is None else [part.reading]
        return part.places, part.uids, Candidates(part.keys, part.contents, part.entries, readings)
    order = np.argsort(np.concatenate([part.places for part in parts])).tolist()
    ranks = np.argsort(order)
    starts = np.cumsum([0, *(len(part.places) for part in parts)])
    readings = [
        part.reading.at(ranks[start : start + len(part.places)])
        for part, start in zip(parts, starts, strict=False)
        if part.reading is not None
    ]

    def laid(column: Callable[[_Part], Sequence[T]]) -> list[T]:
        unordered = [each for part in parts for each in column(part)]
        return [unordered[at] for at in order]

    candidates = Candidates(
        laid(lambda part: part.keys), laid(lambda part: part.contents), laid(lambda part: part.entries), readings
    )
    return laid(lambda part: part.places), laid(lambda part: part.uids), candidates
