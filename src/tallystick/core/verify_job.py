"""A verification of many bills: how far it is, and which of them do not stand up."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tallystick.core.period import Instant

NAMED = 100  # bills that a job names; it counts all


class VerificationStatus(StrEnum):
    """How far a verification is."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"


class BillThatFails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A bill that does not stand up, and where it parts first."""

    bill_id: str
    account_code: str
    difference: str


class VerificationJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A verification of all bills that there were when it began. Of `done`, `verified` stand up (`sealed` of them also
    against the set hashes that were kept), `failed` do not: the first of them are named."""

    id: str
    version: int
    status: VerificationStatus
    done: int
    verified: int
    sealed: int
    failed: int
    failures: tuple[BillThatFails, ...]
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    next_token: str | None = None

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self.status in {VerificationStatus.PENDING, VerificationStatus.RUNNING}
