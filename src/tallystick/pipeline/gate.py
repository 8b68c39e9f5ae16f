"""The gate: whether an account may use a feature, answered from memory.

How an account stands is computed from its bills (`entitlements`) and kept. Nothing that came since can be missing from
an answer for longer than the bound it states: while no usage was projected and nothing was written since, what is kept
is still true; else it is computed anew, beside the answers while it is young, before the answer once it is too old or
something was configured.

Burst limits, and what was let pass a moment ago and is not counted yet, are known to this process alone
(docs/decisions/0542-the-gate.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from tallystick.core.account import Account
from tallystick.core.entitlement import (
    Allowance,
    BurstLeft,
    BurstUnit,
    Grant,
    judge,
    remaining,
    whole_seconds,
    window_of,
)
from tallystick.core.entity import Entity
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, subtract, total
from tallystick.errors import Refusal
from tallystick.pipeline.entitlements import Standing, standings
from tallystick.ports import Clock, OrganizationRecords, OrganizationUsage

MOST = 20_000  # accounts that are kept
HELD = timedelta(seconds=3)  # how long what was let pass counts before it is surely in the journal
TOGETHER = timedelta(milliseconds=50)  # what passes within so long is held as one
SAMPLED = timedelta(milliseconds=250)  # how often it is noted how far the journal is

READ = ("bill", "ledgerentry")  # the kinds of documents that have a say in a bill
Stamp = tuple[int, ...]  # of what an answer is made from: while it is the same, nothing of it was written
Ask = Callable[[], tuple[OrganizationRecords, OrganizationUsage, int]]


class _Kept(NamedTuple):
    standing: Standing
    stamp: Stamp
    looked: Instant  # when it was last known to be true
    measured: Instant  # what was in the journal by then is in it


class Gate:
    """Answers for all organisations. Safe to use from several threads; `seconds` is how old an answer may be, and
    `last` says which position of the journal is the last."""

    def __init__(self, clock: Clock, seconds: Decimal, last: Callable[[], int] = lambda: 0) -> None:
        self._clock, self._last = clock, last
        self._samples: deque[tuple[Instant, int]] = deque()  # when, and how far the journal was then
        self._seconds = seconds
        self._bound = timedelta(microseconds=int(seconds * 1_000_000))
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._refreshing: set[tuple[str, str]] = set()
        self._burst_room = MOST
        self._bursts: dict[tuple[str, str, BurstUnit], tuple[int, Decimal]] = {}
        self._passed: dict[tuple[str, str], deque[tuple[Instant, Decimal]]] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="entitlements")

    def close(self) -> None:
        """End what is under way."""
        self._threads.shutdown(cancel_futures=True)

    def allowances(self, ask: Ask, account_id: str) -> list[Allowance]:
        """What an account may use, feature by feature in order of their codes. Refusal `not_found`."""
        kept, now = self._current(ask, account_id)
        with self._lock:
            return [self._answer(kept, kept.standing.grants[code], ZERO, now) for code in sorted(kept.standing.grants)]

    def check(self, ask: Ask, account_id: str, feature: str, quantity: Decimal) -> Allowance:
        """Whether so much more of a feature (code or id) may be used; of 0, whether any more. Refusal `not_found`."""
        return self._decide(ask, account_id, feature, quantity, take=False)

    def consume(self, ask: Ask, account_id: str, feature: str, quantity: Decimal) -> Allowance:
        """The same; where it may, it is taken from the burst limits, and counts until it is measured."""
        return self._decide(ask, account_id, feature, quantity, take=True)

    def _decide(self, ask: Ask, account_id: str, feature: str, quantity: Decimal, *, take: bool) -> Allowance:
        kept, now = self._current(ask, account_id)
        grants = kept.standing.grants
        grant = grants.get(feature) or next((each for each in grants.values() if each.feature_id == feature), None)
        if grant is None:
            raise Refusal("not_found", f"feature: there is no feature {feature[:80]!r}", field="feature")
        with self._lock:
            answer = self._answer(kept, grant, quantity, now)
            if not (take and answer.allowed and grant.entitlement is not None):
                return answer
            if len(self._bursts) > self._burst_room:
                past = [key for key, found in self._bursts.items() if found[0] != window_of(key[2], now)[0]]
                for key in past:
                    del self._bursts[key]
                self._burst_room = max(MOST, 2 * len(self._bursts))
            for each in grant.entitlement.burst:
                key, number = (grant.entitlement_id, account_id, each.per), window_of(each.per, now)[0]
                self._bursts[key] = (number, add(self._used_of(key, number), quantity))
            if grant.entitlement.counts:
                self._hold((account_id, grant.feature_id), quantity, now)
            return self._answer(kept, grant, ZERO, now, taken=answer)

    def _answer(
        self, kept: _Kept, grant: Grant, quantity: Decimal, now: Instant, taken: Allowance | None = None
    ) -> Allowance:
        """The answer, with the lock held. `taken`: what was decided before so much was taken."""
        standing, given = kept.standing, grant.entitlement
        reserved = self._reserved((standing.account_id, grant.feature_id), kept.measured, now)
        burst = tuple(self._burst(standing.account_id, grant, now)) if given is not None and given.allowed else ()
        judged = judge(grant, quantity, reserved, burst) if taken is None else taken
        limit, left = remaining(grant, reserved)
        until = _until(judged.reason, quantity, grant, burst)
        return Allowance(
            feature=grant.feature.code,
            name=grant.feature.name,
            allowed=judged.allowed,
            reason=judged.reason,
            why=judged.why,
            as_of=kept.looked,
            up_to=standing.up_to,
            stale_seconds_at_most=self._seconds,
            entitlement_id=grant.entitlement_id or None,
            level=None if given is None else given.level,
            unit=grant.unit or None,
            used=None if grant.used is None else add(grant.used, reserved),
            limit=limit,
            soft_limit=None if given is None else given.soft_limit,
            hard_limit=None if given is None else given.hard_limit,
            grace=None if given is None else given.grace,
            remaining=left,
            period_start=None if grant.period is None else grant.period.start,
            resets_at=None if grant.period is None else grant.period.end,
            burst=burst,
            credit=grant.credit,
            retry_after=None if until is None else whole_seconds(now, until),
        )

    # ---------------------------------------------------------------------------------------------- counting here

    def _burst(self, account_id: str, grant: Grant, now: Instant) -> Iterable[BurstLeft]:
        assert grant.entitlement is not None, "asked of what is given only"
        for each in grant.entitlement.burst:
            number, ends = window_of(each.per, now)
            used = self._used_of((grant.entitlement_id, account_id, each.per), number)
            yield BurstLeft(per=each.per, limit=each.limit, remaining=subtract(each.limit, used), resets_at=ends)

    def _used_of(self, key: tuple[str, str, BurstUnit], number: int) -> Decimal:
        found = self._bursts.get(key)
        return ZERO if found is None or found[0] != number else found[1]

    def _hold(self, key: tuple[str, str], quantity: Decimal, now: Instant) -> None:
        passed = self._passed.setdefault(key, deque())
        if passed and now - passed[-1][0] < TOGETHER:
            quantity = add(passed.pop()[1], quantity)
        passed.append((now, quantity))

    def _reserved(self, key: tuple[str, str], measured: Instant, now: Instant) -> Decimal:
        """What was let pass too short a time before what is measured to be surely in it."""
        passed = self._passed.get(key)
        if not passed:
            return ZERO
        if passed[-1][0] > now:  # the clock was set back: it counts from now on
            passed = self._passed[key] = deque([(now, total(quantity for _, quantity in passed))])
        while passed and passed[0][0] < measured - HELD:
            passed.popleft()
        if not passed:
            del self._passed[key]
        return total(quantity for _, quantity in passed)

    # ---------------------------------------------------------------------------------------------- keeping

    def _current(self, ask: Ask, account_id: str) -> tuple[_Kept, Instant]:
        records, usage, up_to = ask()
        key, now = (records.organization_id, account_id), self._clock.now()
        with self._lock:
            kept = self._kept.get(key)
            measured = self._measured(up_to, now)
            if kept is not None and kept.looked > now:  # the clock was set back: nobody knows how old it is
                del self._kept[key]
                kept = None
        stamp = stamp_of(records)
        if kept is not None and self._holds(kept, stamp, up_to, now):
            kept = kept._replace(looked=now, measured=measured)
            self._keep(key, kept)
            return kept, now
        if kept is None or not self._young(kept, stamp, now):
            kept = self._look(key, records, usage, up_to)
        elif now - kept.looked >= self._bound / 2:
            self._refresh(key, ask)
        return kept, now

    def _young(self, kept: _Kept, stamp: Stamp, now: Instant) -> bool:
        """Whether it may still be answered by, though usage has come: what people configure is seen at once."""
        return stamp[0] == kept.stamp[0] and now - kept.looked < self._bound and now < kept.standing.changes

    @staticmethod
    def _holds(kept: _Kept, stamp: Stamp, up_to: int, now: Instant) -> bool:
        """Whether nothing has happened since."""
        same = kept.stamp == stamp and kept.standing.up_to == up_to
        return same and kept.standing.as_of <= now < kept.standing.changes

    def _look(self, key: tuple[str, str], records: OrganizationRecords, usage: OrganizationUsage, up_to: int) -> _Kept:
        now, stamp = self._clock.now(), stamp_of(records)  # before the look, which may then only know more
        found = standings(records, usage, (key[1],), now=now, up_to=up_to)
        if key[1] not in found:
            raise Refusal("not_found", f"id: there is no account {key[1][:80]!r}", field="id")
        with self._lock:
            measured = self._measured(up_to, now)
        kept = _Kept(found[key[1]], stamp, now, measured)
        self._keep(key, kept)
        return kept

    def look_ahead(self, ask: Ask, account_ids: Sequence[str]) -> dict[str, Standing]:
        """How these accounts stand, which is kept for who asks next, as far as there is room."""
        records, usage, up_to = ask()
        now, stamp = self._clock.now(), stamp_of(records)
        found = standings(records, usage, account_ids, now=now, up_to=up_to)
        with self._lock:
            measured = self._measured(up_to, now)
        for id_, standing in found.items():
            key = (records.organization_id, id_)
            if key in self._kept or len(self._kept) < MOST:
                self._keep(key, _Kept(standing, stamp, now, measured))
        return found

    def _measured(self, up_to: int, now: Instant) -> Instant:
        """By when what is in the journal up to a position, and so is measured, was there. With the lock held."""
        samples, last = self._samples, self._last()
        while samples and samples[-1][0] > now:  # the clock was set back
            samples.pop()
        if last <= up_to:
            samples.clear()
            samples.append((now, last))
        elif not samples or now - samples[-1][0] >= SAMPLED:
            samples.append((now, last))
        while len(samples) > 1 and samples[1][1] <= up_to:
            samples.popleft()
        return samples[0][0]

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        with self._lock:
            there = self._kept.get(key)
            if there is None or there.looked <= kept.looked:
                self._kept[key] = kept
                self._kept.move_to_end(key)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def _refresh(self, key: tuple[str, str], ask: Ask) -> None:
        with self._lock:
            if key in self._refreshing:
                return
            self._refreshing.add(key)

        def refresh() -> None:
            try:
                self._look(key, *ask())
            finally:
                with self._lock:
                    self._refreshing.discard(key)

        self._threads.submit(refresh)


def stamp_of(records: OrganizationRecords) -> Stamp:
    """Of all that has a say in the bill that would be made now, besides usage."""
    return (records.revision, *(records.documents_written(each) for each in READ))


def find_account(records: OrganizationRecords, named: str) -> Entity[Account]:
    """An account by its code, or else by its id; Refusal `not_found`."""
    found = records.by_code(Account, named) or (records.get(Account, named) if len(named) == 36 else None)
    if found is None:
        raise Refusal("not_found", f"id: there is no account {named[:80]!r} in this organisation", field="id")
    return found


def _until(reason: str, quantity: Decimal, grant: Grant, burst: Iterable[BurstLeft]) -> Instant | None:
    """When what is refused may be tried again."""
    if reason == "BURST_LIMIT":
        passed = [each.resets_at for each in burst if quantity > each.remaining or each.remaining <= 0]
        return max(passed, default=None)
    return grant.period.end if reason == "HARD_LIMIT" and grant.period is not None else None
