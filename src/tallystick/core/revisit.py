"""Which earlier bills the next bill of an account must look at again, because something happened to them since.

A bill looks for late usage of the bills before it. What it has looked at is done with up to its own journal position;
this says of which bills that is not yet so: those that became final after the latest look, and those whose adjustments
elsewhere no longer fit. With it no bill reads the history of its account (docs/decisions/0200-looking-back.md).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.period import Instant

KIND = "billrevisit"


class Reason(StrEnum):
    """Why a bill is to be looked at. Final ones only matter if something came after they were calculated."""

    LOCKED = "LOCKED"  # it became final
    APPROVED = "APPROVED"  # it became final where the organisation adjusts the next bill
    CHANGED = "CHANGED"  # it, or what adjusted it, is not what it was: adjustments are reckoned anew


class Revisit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A version of a bill that the next bill of its account and grouping looks at, once: document kind `billrevisit`.

    `up_to` is the journal position it was calculated from, `levels` the fingerprint of the counter adjustments that it
    reckons with, `end` the end of its period.
    """

    bill_id: str
    version: int
    account_id: str
    grouping: str
    reason: Reason
    end: Instant
    up_to: int
    levels: str

    @property
    def id(self) -> str:
        """A bill that changes once more is another one to look at."""
        return f"{self.bill_id}/{self.version}/{self.reason}"

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {"awaits": awaits(self.account_id, self.grouping, self.reason)}


def awaits(account_id: str, grouping: str, reason: Reason) -> str:
    """Of which bill series something waits for the next one, and why."""
    return f"{account_id}/{reason}/{grouping}"


def revisit(record: BillRecord, reason: Reason) -> Revisit:
    """A bill as one to look at."""
    bill, evidence = record.bill, record.evidence
    return Revisit(
        bill_id=bill.id,
        version=bill.version,
        account_id=bill.account_id,
        grouping=evidence.grouping,
        reason=reason,
        end=bill.end_date_time_utc,
        up_to=evidence.up_to,
        levels=evidence.late_levels,
    )


def once_final(record: BillRecord) -> Revisit | None:
    """What a bill is to be looked at for once it is approved or locked; None for a PENDING one."""
    if record.bill.locked:
        return revisit(record, Reason.LOCKED)
    return revisit(record, Reason.APPROVED) if record.bill.status is BillStatus.APPROVED else None
