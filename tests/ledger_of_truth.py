"""A generated history with planted faults: what an application did, and what of it was counted, each as a list.

The faults are planted in what is counted, so that the application's own log is the second source. What a reconciliation
must answer is computed here from the two lists, in another way than the product's: cell by cell, with fractions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

ACCOUNTS = ("acorn", "alder", "aspen", "beech", "birch", "cedar", "elm", "fir")
FIRST, DAYS = date(2026, 3, 1), 14
PER_DAY = 24  # events of an account


@dataclass(frozen=True)
class Event:
    """One call: when, whose, and how many tokens."""

    uid: str
    account: str
    ts: datetime
    tokens: int

    def wire(self) -> dict[str, object]:
        ts = self.ts.astimezone(ZoneInfo("UTC")).isoformat()
        return {"uid": self.uid, "meter": "llm", "account": self.account, "ts": ts, "measure": {"tokens": self.tokens}}


@dataclass
class Planted:
    """What was done to which uids."""

    duplicates: set[str] = field(default_factory=set)  # the uids of the copies
    lost: set[str] = field(default_factory=set)
    shifted: set[str] = field(default_factory=set)
    misattributed: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)


def truth(zone: str = "UTC", seed: int = 6) -> list[Event]:
    """What happened: on every day at irregular times, some in the last hour of it."""
    chance = random.Random(seed)
    tz = ZoneInfo(zone)
    events = []
    for account in ACCOUNTS:
        for day in range(DAYS):
            midnight = datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), tz)
            seconds = sorted(chance.sample(range(82_800), PER_DAY - 3)) + sorted(
                chance.sample(range(82_800, 86_400), 3)
            )
            for number, second in enumerate(seconds):
                tokens = chance.randrange(1_000, 50_000)
                uid = f"{account}-{day:02}-{number:02}"
                events.append(Event(uid, account, midnight + timedelta(seconds=second), tokens))
    return events


def with_faults(events: Sequence[Event], seed: int = 7) -> tuple[list[Event], Planted]:
    """What was counted: 2% twice, 1% lost, an hour of aspen late by one (over midnight), birch as beech, cedar ×2."""
    chance = random.Random(seed)
    planted, counted = Planted(), []
    shifted_hour = datetime.combine(FIRST + timedelta(days=5), datetime.min.time(), ZoneInfo("UTC")) + timedelta(
        hours=23
    )
    for each in events:
        event = each
        if chance.random() < 0.01:
            planted.lost.add(each.uid)
            continue
        if each.account == "aspen" and shifted_hour <= each.ts < shifted_hour + timedelta(hours=1):
            event = replace(event, ts=event.ts + timedelta(hours=1))
            planted.shifted.add(each.uid)
        if each.account == "birch":
            event = replace(event, account="beech")
            planted.misattributed.add(each.uid)
        if each.account == "cedar":
            event = replace(event, tokens=2 * event.tokens)
            planted.doubled.add(each.uid)
        counted.append(event)
        if chance.random() < 0.02:
            copy = replace(event, uid=f"{event.uid}-again")
            counted.append(copy)
            planted.duplicates.add(copy.uid)
    return counted, planted


Cell = tuple[str, date]


def cell(event: Event, zone: str = "UTC") -> Cell:
    return event.account, event.ts.astimezone(ZoneInfo(zone)).date()


def daily(events: Sequence[Event], zone: str = "UTC") -> dict[Cell, int]:
    """Totals by account and day."""
    totals: dict[Cell, int] = {}
    for each in events:
        totals[cell(each, zone)] = totals.get(cell(each, zone), 0) + each.tokens
    return totals


def accuracy_by_uid(source: Sequence[Event], counted: Sequence[Event], accounts: Sequence[str] = ACCOUNTS) -> Decimal:
    """1 − (missing + extra + |differing|) / source: what is elsewhere is missing in one place, extra in the other."""
    theirs, ours = {each.uid: each for each in source}, {each.uid: each for each in counted}
    amiss = 0
    for uid in theirs.keys() | ours.keys():
        one, other = theirs.get(uid), ours.get(uid)
        if one is not None and other is not None and cell(one) == cell(other):
            amiss += abs(one.tokens - other.tokens) if one.account in accounts else 0
        else:
            amiss += one.tokens if one is not None and one.account in accounts else 0
            amiss += other.tokens if other is not None and other.account in accounts else 0
    return percent(amiss, sum(each.tokens for each in source if each.account in accounts))


def accuracy_by_day(source: dict[Cell, int], counted: dict[Cell, int], accounts: Sequence[str] = ACCOUNTS) -> Decimal:
    """The same of totals: what is amiss of a day is the difference."""
    cells = [each for each in source.keys() | counted.keys() if each[0] in accounts]
    amiss = sum(abs(source.get(each, 0) - counted.get(each, 0)) for each in cells)
    return percent(amiss, sum(source.get(each, 0) for each in cells))


def percent(amiss: int, source: int) -> Decimal:
    """To 0.01%, and not below 0."""
    share = max(Fraction(0), 1 - Fraction(amiss, source)) * 10_000
    return Decimal(round(share)).scaleb(-2).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
