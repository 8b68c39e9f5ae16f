"""Counter adjustments: the level that a counter of an account has from a day on, one for each day (reference 2.8)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from tallystick.control.desk import Desk, Draft, Noun, rule_broken
from tallystick.core.counter_types import CounterAdjustment
from tallystick.core.entity import Entity
from tallystick.ports import Found, OrganizationRecords, Page, Where

Days = tuple[date | None, date | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentFilter:
    """Which adjustments a list shows. `dates` is inclusive at both ends, `end_dates` at its start only.

    An adjustment ends on the day of the next one of its account and counter; the latest has no end.
    """

    counter_id: str
    account_id: str | None = None
    ids: Collection[str] | None = None
    dates: Days = (None, None)
    end_dates: Days = (None, None)
    ascending: bool | None = None


def find(records: OrganizationRecords, wanted: AdjustmentFilter, page: Page) -> Found[Entity[CounterAdjustment]]:
    """One page: by day where `ascending` says so, newest first otherwise; the token is the offset of the next page."""
    equal: dict[str, Collection[str]] = {"counter_id": (wanted.counter_id,)}
    if wanted.account_id is not None:
        equal["account_id"] = (wanted.account_id,)
    rows = list(records.every(CounterAdjustment, Where(equal=equal)))
    ends = _ends(rows) if wanted.end_dates != (None, None) else {}
    shown = [row for row in rows if _holds(wanted, row, ends.get(row.id))]
    if wanted.ascending is None:
        shown.reverse()
    else:
        shown.sort(key=lambda row: (row.value.date, row.id), reverse=not wanted.ascending)
    start = int(page.token or 0)
    end = start + page.size
    return Found(tuple(shown[start:end]), str(end) if end < len(shown) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What an account has of a counter on a day, since when, and what comes next; 0 without a day before the first."""

    counter_id: str
    value: int
    since: date | None
    following: Entity[CounterAdjustment] | None


def levels_of(adjustments: Collection[Entity[CounterAdjustment]], on: date) -> list[Level]:
    """The levels of one account's counters on a day, from all of its adjustments."""
    by_counter: dict[str, list[Entity[CounterAdjustment]]] = {}
    for each in sorted(adjustments, key=lambda each: each.value.date):
        by_counter.setdefault(each.value.counter_id, []).append(each)
    return [_level(counter_id, rows, on) for counter_id, rows in by_counter.items()]


def _level(counter_id: str, rows: Collection[Entity[CounterAdjustment]], on: date) -> Level:
    past = [each for each in rows if each.value.date <= on]
    return Level(
        counter_id=counter_id,
        value=past[-1].value.value if past else 0,
        since=past[-1].value.date if past else None,
        following=next((each for each in rows if each.value.date > on), None),
    )


def set_level(desk: Desk, value: CounterAdjustment) -> Entity[CounterAdjustment]:
    """Say what an account has from a day on: a new adjustment, or another level for the one there is of that day."""
    where = Where(equal={"account_id": (value.account_id,), "counter_id": (value.counter_id,)})
    with desk.records.transaction() as write:
        there = next((each for each in write.every(CounterAdjustment, where) if each.value.date == value.date), None)
        if there is None:
            return COUNTER_ADJUSTMENTS.create_within(desk, write, value, desk.new_id())
        return COUNTER_ADJUSTMENTS.update_within(desk, write, there, value, there.version)


def _ends(rows: Collection[Entity[CounterAdjustment]]) -> dict[str, date]:
    """The day on which each adjustment is followed by the next of its account."""
    in_order = sorted(rows, key=lambda row: (row.value.account_id, row.value.date))
    return {
        row.id: then.value.date for row, then in pairwise(in_order) if row.value.account_id == then.value.account_id
    }


def _holds(wanted: AdjustmentFilter, row: Entity[CounterAdjustment], end: date | None) -> bool:
    first, last = wanted.dates
    day = row.value.date
    if wanted.ids is not None and row.id not in wanted.ids:
        return False
    if (first is not None and day < first) or (last is not None and day > last):
        return False
    ends_from, ends_before = wanted.end_dates
    return (ends_from is None or end is None or end >= ends_from) and (
        ends_before is None or (end is not None and end < ends_before)
    )


def _check(draft: Draft[CounterAdjustment]) -> CounterAdjustment:
    value = draft.value
    where = Where(equal={"account_id": (value.account_id,), "counter_id": (value.counter_id,)})
    for other in draft.read.every(CounterAdjustment, where):
        if other.id != draft.id and other.value.date == value.date:
            message = f"the counter adjustment {other.id} is for the same account, counter and day ({value.date})"
            raise rule_broken("date", f"{message}; change that one instead")
    return value


COUNTER_ADJUSTMENTS = Noun(of=CounterAdjustment, check=_check)
