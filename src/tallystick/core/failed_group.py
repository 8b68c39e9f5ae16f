"""Failed measurements that failed alike: one group for each code, meter and field, with kept counts.

The counts are kept rather than counted, so that a queue of millions is seen at a glance: whoever adds to the queue or
takes from it writes them in the same transaction (docs/decisions/0290-groups-of-failed-measurements.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.period import Instant

SHOWN = 200  # characters of a meter, a field or a reason that a group shows
SOME_OPEN = f"{1:012d}"  # the least `sort` of a group that somebody should look at


class FailedGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why measurements failed, how many did, and one of them. `open` ones still wait for somebody."""

    id: str
    code: str
    meter: str | None = None
    field: str | None = None
    open: int = 0
    replayed: int = 0
    discarded: int = 0
    first_seen: Instant
    last_seen: Instant
    example_id: str
    example_reason: str

    @property
    def sort(self) -> str:
        """Its place in lists, which fall: most open ones first."""
        return f"{self.open:012d}"

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"code": self.code} | ({} if self.meter is None else {"meter": self.meter})

    @property
    def count(self) -> int:
        """How many ever failed so."""
        return self.open + self.replayed + self.discarded


def with_failures(groups: dict[str, FailedGroup], failed: Iterable[FailedMeasurement]) -> dict[str, FailedGroup]:
    """The groups, which are those of the failed measurements as far as they are known, with new open ones counted."""
    found = dict(groups)
    for each in failed:
        before = found.get(each.group_id)
        if before is None:
            found[each.group_id] = FailedGroup(
                id=each.group_id,
                code=each.code,
                meter=None if each.meter is None else _shown(each.meter),
                field=None if each.field is None else _shown(each.field),
                open=1,
                first_seen=each.received,
                last_seen=each.received,
                example_id=each.id,
                example_reason=_shown(each.reason),
            )
            continue
        found[each.group_id] = msgspec.structs.replace(
            before,
            open=before.open + 1,
            first_seen=min(before.first_seen, each.received),
            last_seen=max(before.last_seen, each.received),
            example_id=each.id,
            example_reason=_shown(each.reason),
        )
    return found


def with_counted(group: FailedGroup) -> FailedGroup:
    """The group after one of its discarded ones turned out to count."""
    return msgspec.structs.replace(group, discarded=group.discarded - 1, replayed=group.replayed + 1)


def with_closed(group: FailedGroup, status: FailureStatus, number: int) -> FailedGroup:
    """The group after so many of its open ones were replayed or discarded."""
    assert number <= group.open, f"the group {group.id} has {group.open} open ones, {number} were closed"
    if status is FailureStatus.REPLAYED:
        return msgspec.structs.replace(group, open=group.open - number, replayed=group.replayed + number)
    assert status is FailureStatus.DISCARDED, "what is closed was replayed or discarded"
    return msgspec.structs.replace(group, open=group.open - number, discarded=group.discarded + number)


def _shown(text: str) -> str:
    return text[:SHOWN].replace("\0", "\N{REPLACEMENT CHARACTER}")
