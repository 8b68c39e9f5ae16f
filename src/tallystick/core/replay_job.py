"""A job on many failed measurements: replay those of a group, corrected alike, or discard them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tallystick.core.correction import Correction
from tallystick.core.period import Instant

NAMED_PROBLEMS = 20  # different reasons that a job names; it counts all that stay


class ReplayAction(StrEnum):
    """What is done to each."""

    REPLAY = "REPLAY"
    DISCARD = "DISCARD"


class ReplayJobStatus(StrEnum):
    """How far a job is."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self in {ReplayJobStatus.PENDING, ReplayJobStatus.RUNNING}


class ReplayProblem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why some of them do not count now either, and one of those."""

    reason: str
    count: int
    example_id: str


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What shall be done to the open ones of a group. Of `total`, `done` were looked at: `closed` of them left the
    queue, `kept` stay in it, and what is neither was closed by somebody else meanwhile."""

    id: str
    version: int
    group_id: str
    action: ReplayAction
    status: ReplayJobStatus
    total: int
    done: int
    closed: int
    kept: int
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    correction: Correction | None = None
    reason: str | None = None
    problems: tuple[ReplayProblem, ...] = ()
    next_token: str | None = None

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return self.dt_created.stamp()

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"group_id": self.group_id, "active": "true" if self.status.active else "false"}


def with_problem(problems: tuple[ReplayProblem, ...], reason: str, example_id: str) -> tuple[ReplayProblem, ...]:
    """The problems with one more counted: under its own reason as long as there is room for another."""
    for place, each in enumerate(problems):
        if each.reason == reason:
            counted = msgspec.structs.replace(each, count=each.count + 1)
            return (*problems[:place], counted, *problems[place + 1 :])
    if len(problems) >= NAMED_PROBLEMS:
        return problems
    return (*problems, ReplayProblem(reason=reason, count=1, example_id=example_id))
