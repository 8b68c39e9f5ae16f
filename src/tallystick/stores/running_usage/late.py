"""Since when there is late usage, asked again and again: the store is asked once, and again only where something came
that is old enough to matter. Usage is rarely old, so that what came is judged by the oldest of it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow.compute as pc

from tallystick.core.period import Instant
from tallystick.ports import OrganizationUsage, UsageBlock, UsageRow, Withdrawn

MOST_ANSWERS = 20_000
MOST_ADDED = 20_000  # additions of which the oldest usage is known

Key = tuple[str, str, Instant, int]  # organisation, account, before which moment, after which position


class _Added(NamedTuple):
    """The oldest usage of each organisation in what was added up to a position."""

    mark: int
    oldest: Mapping[str, Instant]


class _Answer(NamedTuple):
    """Since when an account has late usage, of what came up to a position."""

    up_to: int
    first: Instant | None


class Late:
    """One thread adds, any thread asks."""

    def __init__(self, mark: int) -> None:
        self._lock = threading.Lock()
        self._added: deque[_Added] = deque()
        self._known_from = mark  # of what was added above this position the oldest is known
        self._answers: OrderedDict[Key, _Answer] = OrderedDict()

    def add(
        self, rows: Sequence[UsageRow], blocks: Sequence[UsageBlock], withdrawn: Sequence[Withdrawn], mark: int
    ) -> None:
        """What is about to be added to the store. Nobody asks for it before the store says that it is there; should it
        not get there, this says only that the store is to be asked."""
        came = [(each.organization_id, each.ts) for each in rows]
        came += [(each.organization_id, each.ts) for each in withdrawn]
        came += [(each.organization_id, Instant.of(pc.min(each.ts).as_py())) for each in blocks if len(each)]
        oldest: dict[str, Instant] = {}
        for organization_id, ts in came:
            oldest[organization_id] = min(ts, oldest.get(organization_id, ts))
        with self._lock:
            self._added.append(_Added(mark, oldest))
            while len(self._added) > MOST_ADDED:
                self._known_from = self._added.popleft().mark

    def accounts(
        self,
        usage: OrganizationUsage,
        organization_id: str,
        account_ids: Sequence[str],
        *,
        before: Instant,
        after: int,
        up_to: int,
    ) -> dict[str, Instant]:
        """What the store, which is complete up to the position, would answer."""
        found: dict[str, Instant] = {}
        for account_id in account_ids:
            first = self._first(usage, (organization_id, account_id, before, after), up_to)
            if first is not None:
                found[account_id] = first
        return found

    def _first(self, usage: OrganizationUsage, key: Key, up_to: int) -> Instant | None:
        organization_id, account_id, before, after = key
        with self._lock:
            known = self._answers.get(key, _Answer(after, None))
            same = known.up_to == up_to or self._nothing_old(organization_id, before, known.up_to, up_to)
        if same:
            first = known.first
        elif known.up_to > up_to:  # asked of what held before
            return usage.late_accounts([account_id], before=before, after=after, up_to=up_to).get(account_id)
        else:
            more = usage.late_accounts([account_id], before=before, after=known.up_to, up_to=up_to).get(account_id)
            first = min((each for each in (known.first, more) if each is not None), default=None)
        with self._lock:
            there = self._answers.get(key)
            if there is None or there.up_to <= up_to:
                self._answers[key] = _Answer(up_to, first)
                self._answers.move_to_end(key)
            if len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        return first

    def _nothing_old(self, organization_id: str, before: Instant, after: int, up_to: int) -> bool:
        """Whether nothing that came between two positions is from before a moment. With the lock held."""
        if after < self._known_from or after > up_to:
            return False
        for each in reversed(self._added):
            if each.mark <= after:
                break
            if each.oldest.get(organization_id, before) < before:
                return False
        return True
