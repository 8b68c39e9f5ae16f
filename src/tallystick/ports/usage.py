"""The usage store as the product needs it: what it is given, what it is asked, what it answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

import numpy as np
import pyarrow as pa

from tallystick.core.aggregation import Measured, Question
from tallystick.core.field_condition import Comparator
from tallystick.core.period import Instant
from tallystick.core.quantity import tidy
from tallystick.core.running import Collected
from tallystick.core.set_hash import SetHash
from tallystick.ports.arrow import leave_pandas_alone

leave_pandas_alone()  # before whoever makes the first array


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One mediated measurement. `numbers` and `texts` map declared field codes to values; `extra` is the JSON object
    of what the meter does not declare (None when nothing)."""

    position: int
    organization_id: str
    meter_id: str
    account_id: str
    uid: str
    ts: Instant
    ets: Instant | None
    received: Instant
    numbers: Mapping[str, Decimal]
    texts: Mapping[str, str]
    extra: str | None = None
    withdrawn: int | None = None  # the journal position of what takes it out; only told where it is read back


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A measurement, at the journal position `of`, that an entry at a later one takes out: it counts in no answer up to
    `position` or beyond. Meter, account and `ts` are those of the measurement."""

    position: int
    organization_id: str
    meter_id: str
    account_id: str
    of: int
    ts: Instant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsageBlock:
    """Mediated measurements of one meter as columns, in the order of their positions: many UsageRows in less room.

    Those that were not accepted have the position 0 and are not there; they need not be cut out of each column, for who
    puts blocks together does that. None of them has an end or undeclared fields. Numbers are decimal128(38, 18), `ts`
    is a timestamp in microseconds and in UTC."""

    organization_id: str
    meter_id: str
    received: Instant
    positions: np.ndarray
    account_ids: pa.Array
    uids: pa.Array
    ts: pa.Array
    numbers: Mapping[str, pa.Array]
    texts: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.positions)

    def taking(self, which: np.ndarray) -> UsageBlock:
        """Those of the measurements for which `which` is true."""
        mask = pa.array(which)
        return replace(
            self,
            positions=self.positions[which],
            account_ids=self.account_ids.filter(mask),
            uids=self.uids.filter(mask),
            ts=self.ts.filter(mask),
            numbers={code: column.filter(mask) for code, column in self.numbers.items()},
            texts={code: column.filter(mask) for code, column in self.texts.items()},
        )

    def rows(self) -> Iterator[UsageRow]:
        """The measurements one by one."""
        if not self.positions.all():
            yield from self.taking(self.positions > 0).rows()
            return
        numbers = {code: column.to_pylist() for code, column in self.numbers.items()}
        texts = {code: column.to_pylist() for code, column in self.texts.items()}
        heads = (self.positions.tolist(), self.account_ids.to_pylist(), self.uids.to_pylist(), self.ts.to_pylist())
        for at, (position, account_id, uid, ts) in enumerate(zip(*heads, strict=True)):
            yield UsageRow(
                position=position,
                organization_id=self.organization_id,
                meter_id=self.meter_id,
                account_id=account_id,
                uid=uid,
                ts=Instant.of(ts),
                ets=None,
                received=self.received,
                numbers={code: tidy(column[at]) for code, column in numbers.items()},
                texts={code: column[at] for code, column in texts.items()},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Keep the measurements of a meter whose text field has one of the values."""

    meter_id: str
    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCondition:
    """Keep the measurements of a meter of which a comparison with `value` holds. A number asks for the number that a
    field has, a text for its text; PRESENT and ABSENT look at no more of `value` than which of the two it is."""

    meter_id: str
    field: str
    comparator: Comparator
    value: Decimal | str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePlace:
    """Where a list of measurements goes on: below this one in the order of lists."""

    ts: Instant
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageColumn:
    """One number per row of a usage query: a function (SUM MIN MAX COUNT LATEST MEAN UNIQUE) over a field."""

    meter_id: str
    field: str
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """How rows are split: by "ACCOUNT"; by "TIME" with a `frequency` (HOUR DAY WEEK MONTH QUARTER) laid in the time
    zone of the query; by "DIMENSION", a text field of a meter."""

    by: str
    frequency: str | None = None
    meter_id: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A question of the data explorer. Times are UTC instants, `end` exclusive; None means unbounded or all. Only
    measurements at or below the journal position `up_to` count, all if it is None. `positions` asks for those at these
    places in the journal, `before` for what comes after a place in the order of lists, which is latest first."""

    start: Instant | None
    end: Instant | None
    meter_ids: tuple[str, ...] | None
    account_ids: tuple[str, ...] | None
    filters: tuple[UsageFilter, ...]
    columns: tuple[UsageColumn, ...]
    groups: tuple[UsageGroup, ...]
    limit: int
    zone: str
    up_to: int | None = None
    conditions: tuple[UsageCondition, ...] = ()
    positions: tuple[int, ...] | None = None
    before: UsagePlace | None = None
    greatest_first: bool = False  # by the total of the first column, not by the groups
    withdrawn: bool | None = False  # only what counts; True for only what was withdrawn, None for both
    accounts_from: str | None = None  # only accounts with ids at or above it …
    accounts_until: str | None = None  # … and below it


def at_positions(positions: tuple[int, ...]) -> UsageQuery:
    """The measurements at these places in the journal, also those that were withdrawn."""
    return UsageQuery(
        start=None,
        end=None,
        meter_ids=None,
        account_ids=None,
        filters=(),
        columns=(),
        groups=(),
        limit=len(positions),
        zone="UTC",
        positions=positions,
        withdrawn=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRun:
    """Measurements of one meter in the order of account, time and position: at most `most` after a place, if any.

    `query` says which, its limit and what it says of lists aside. With `as_text` numbers are plain text."""

    query: UsageQuery
    meter_id: str
    most: int
    after: tuple[str, Instant, int] | None = None
    as_text: bool = False


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """One row of a usage query with columns: the group values (account id, period start as Instant, or text; None where
    a measurement has no such field) and, per column, exact (total, count) or None where nothing was measured.
    For MEAN the value is total / count, for all else it is total."""

    groups: tuple[str | Instant | None, ...]
    values: tuple[tuple[Decimal, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalQuery:
    """When measurements with timestamps from `start` until `end` arrived: by meter, and by account if `by_account`.
    What was withdrawn has arrived all the same."""

    start: Instant
    end: Instant
    late_from: Instant  # what was received at or after it is late
    after: int = 0  # how many have journal positions above this is counted as well
    meter_ids: tuple[str, ...] | None = None
    account_ids: tuple[str, ...] | None = None
    by_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How many measurements a meter (and account) has in a window, how many of them came late or above a position, and
    when the last came. `drift` is how far arrival was behind the timestamp, in microseconds, negative where that lay in
    the future: the least, the one in the middle, that which 95 of a hundred do not exceed, the greatest. None where the
    question is by account."""

    meter_id: str
    account_id: str | None
    count: int
    late: int
    after: int
    last_received: Instant
    last_ts: Instant
    drift: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeclared:
    """A field that measurements of a meter carry and that the meter does not declare: in how many of a window, and the
    timestamps of the first and the last of these."""

    meter_id: str
    code: str
    count: int
    first_ts: Instant
    last_ts: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The measurements that an answer was made of: those of the question, of one of its segments, with journal
    positions above `above`.

    `segment` has a value for each of the question's segmented fields.
    """

    question: Question
    segment: tuple[str, ...] = ()
    above: int = 0


class Measuring(Protocol):
    """What is asked of the measurements of one organisation to bill them."""

    def measure(self, question: Question) -> Iterable[Measured]:
        """The exact answer, one row per account (and segment) that had measurements with the field. Totals are in
        their canonical form (`core.quantity.tidy`), so that every store gives the same bytes."""

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        """The answers of `measure` to several questions, in their order: those that are alike may be asked as one."""

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        """Those of the accounts that have measurements, of any meter, with a timestamp before an instant and a journal
        position above `after` and at most `up_to`; with the earliest timestamp of those. A withdrawal there counts as
        the measurement that it takes out."""


class OrganizationUsage(Measuring, Protocol):
    """Measurements of one organisation: reading."""

    def measure_as_if(
        self, question: Question, *, without: Collection[int], added: Sequence[UsageRow]
    ) -> Iterable[Measured]:
        """What the answer would be had the measurements at these journal positions never come, and had these others:
        they count whatever the position of the question. Nothing is kept."""

    def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
        """What a running answer of the question is made of (`core.running`), of the measurements above the journal
        position `after`: one for each account (and segment) that has any. None where there are more than `most` values,
        or where the store has no way to tell."""

    def by_stretch(self, behind: Behind, starts: Sequence[Instant]) -> dict[Instant, Measured]:
        """What the measurements behind an answer come to in each stretch of its period by itself: from each of `starts`
        (rising, the first at or before the period's) to the next. Stretches without any are left out.

        Of UNIQUE, a stretch counts the values that no stretch before it had, so that the stretches add up. All accounts
        of the question count as one. Not for questions that look at streams (gauges and correlated counts).
        """

    def behind(self, behind: Behind, after: tuple[Instant, str] | None, limit: int) -> list[UsageRow]:
        """The measurements themselves, the latest first (by timestamp, then uid), at most `limit + 1`; those after a
        (timestamp, uid) in that order.

        Of a gauge, they include those that held when the period began. Of other questions that reach back, only those
        in the period are named.
        """

    def set_of(self, behind: Behind) -> SetHash:
        """How many measurements are behind an answer, and the hash of them as a set: those that `behind` lists."""

    def arrivals(self, query: ArrivalQuery) -> list[Arrival]:
        """When measurements arrived, by meter and, if asked, account; those without any are left out."""

    def undeclared(self, meter_ids: Sequence[str], start: Instant, end: Instant, most: int) -> list[Undeclared]:
        """The fields that measurements of meters carry undeclared, the most frequent first, at most so many."""

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        """Rows of a query that has columns: latest time group first, at most `limit + 1` of them (the one more says
        that there is more)."""

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        """The measurements of a query without columns: latest first, at most `limit + 1`."""

    def count(self, query: UsageQuery) -> int:
        """How many measurements a query finds, whatever its columns, groups and limit."""

    def meters(self) -> list[str]:
        """The ids of the meters that measurements with fields have come for, in order."""

    def columns(self, run: UsageRun) -> pa.Table:
        """Measurements as columns: `account`, `uid`, `position`, `ts`, `ets`, `received`, `extra`, and `n.` or `t.` and
        the code for each field that any measurement of the meter had as a number or a text. Numbers are
        decimal128(38, 18), times are in microseconds and in UTC."""


class UsageStore(Protocol):
    """Measurements as columns, aggregated on demand. A projection of the journal: it can be rebuilt from it."""

    def organization(self, id: str) -> OrganizationUsage: ...

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        """Keep rows, and those of blocks, and record that the store holds the journal up to `mark`. After a crash in
        between, adding the same rows again counts nothing twice. Called by one thread.

        `withdrawn` take out what was counted before, from their own positions on; a measurement that is withdrawn twice
        is out from the first time on."""

    def arrived(self, organization_id: str) -> int:
        """The mark with which something of an organisation was last added since the store was opened; 0 if nothing
        was. To know whether usage is as it was, ask this before `mark`: it rises after it."""

    def position_by(self, moment: Instant) -> int:
        """The highest journal position of a measurement that was received by a moment, in any organisation; 0 if none
        was. What the journal has behind it was received later, or is no measurement."""

    @property
    def mark(self) -> int:
        """The journal position up to which the store is complete."""

    def close(self) -> None: ...
