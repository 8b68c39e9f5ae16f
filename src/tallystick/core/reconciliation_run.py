"""What a reconciliation found: the run, a row for each account and field, and each measurement or day that is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.period import Instant
from tallystick.core.reconciliation import AccuracyLevel, ReconciliationBasis, ReconciliationRequest

MAX_FINDINGS = 100_000  # kept of a run, and counted beyond
NAMED_PROBLEMS = 20


class ReconciliationStatus(StrEnum):
    """FAILED is a run that could not read its source; one that found the two unlike is COMPLETE."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self in {ReconciliationStatus.PENDING, ReconciliationStatus.RUNNING}


class FindingKind(StrEnum):
    """MISSING is in the source and not here, EXTRA is here and not in the source, DIFFERING in both and unlike."""

    MISSING = "MISSING"
    EXTRA = "EXTRA"
    DIFFERING = "DIFFERING"


class Cause(StrEnum):
    """Why, most likely."""

    DUPLICATE = "DUPLICATE"  # the same measurement under another uid
    LATE = "LATE"  # it came after what was compared, or the last of the period have not come yet
    TIME_SHIFT = "TIME_SHIFT"  # whole quarters of hours away: a time zone, a day that ends elsewhere
    OTHER_TIME = "OTHER_TIME"  # another time, by no time zone
    OTHER_ACCOUNT = "OTHER_ACCOUNT"  # counted for another account than the source says
    UNIT_FACTOR = "UNIT_FACTOR"  # a constant factor, as between units
    OTHER_VALUE = "OTHER_VALUE"
    FAILED = "FAILED"  # it waits in the queue of failed measurements
    WITHDRAWN = "WITHDRAWN"  # it was taken out of what counts
    OTHER_METER = "OTHER_METER"  # its uid is that of a measurement of another meter
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"  # the source names an account that is not known here
    LOST = "LOST"  # it never came
    ONLY_HERE = "ONLY_HERE"  # the source does not know it


class ReconciliationCause(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How often a run found a cause, with what it says in most of them."""

    cause: Cause
    findings: int
    accounts: int
    detail: str = ""


class ReconciledField(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One measure over all accounts: sums of sizes, in the field's unit. `accuracy` is a percentage, to 0.01."""

    meter: str
    field: str
    function: str
    source: Decimal
    product: Decimal
    missing: Decimal
    extra: Decimal
    differing: Decimal
    accuracy: Decimal
    level: AccuracyLevel


class ReconciliationRun(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One comparison. `accuracy` is 1 − (missing + extra + |differing|) / source, as a percentage to 0.01: of one
    measure by quantity; of several, of unlike units, each counted by its share of the source's values. With RECORDS,
    `recordAccuracy` is the same by number of measurements. The accuracy decides the `level`, or the share of rows that
    could be read where that is worse."""

    id: str
    version: int
    reconciliation_id: str
    reconciliation_version: int
    name: str
    comparison: ReconciliationBasis
    status: ReconciliationStatus
    request: ReconciliationRequest
    timezone: str
    start: Instant
    end: Instant
    up_to: int
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    phase: str = ""
    rows: int = 0
    rows_outside: int = 0
    rows_repeated: int = 0
    rows_unreadable: int = 0
    problems: tuple[str, ...] = ()
    accuracy: Decimal | None = None
    record_accuracy: Decimal | None = None
    level: AccuracyLevel | None = None
    records: int = 0
    missing: int = 0
    extra: int = 0
    differing: int = 0
    fields: tuple[ReconciledField, ...] = ()
    causes: tuple[ReconciliationCause, ...] = ()
    groups: int = 0
    findings: int = 0
    findings_kept: int = 0
    failure: str | None = None

    @property
    def last_day(self) -> date:
        """The last day that is compared."""
        return self.request.end_date - timedelta(days=1)

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return self.dt_created.stamp()

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        return {
            "reconciliation_id": self.reconciliation_id,
            "status": self.status.value,
            "active": "true" if self.status.active else "false",
            "level": "" if self.level is None else self.level.value,
            "start_date": self.request.start_date.isoformat(),
            "end_date": self.request.end_date.isoformat(),
        }


class ReconciliationGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An account and a measure in a run: sums of sizes in the field's unit, and the most frequent cause."""

    id: str
    run_id: str
    account_id: str
    account: str  # its code, or what the source calls it
    meter: str
    field: str
    function: str
    source: Decimal
    product: Decimal
    missing: Decimal
    extra: Decimal
    differing: Decimal
    accuracy: Decimal
    level: AccuracyLevel
    findings: int = 0
    cause: Cause | None = None
    detail: str = ""


class ReconciliationFinding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something amiss. Of RECORDS it is about a measurement (`uid`), of TOTALS about a day of an account. `quantity` is
    what it counts in the accuracy. `values` are the fields that the source has of a missing measurement."""

    id: str
    run_id: str
    kind: FindingKind
    cause: Cause
    account_id: str
    account: str
    meter: str
    field: str
    quantity: Decimal
    detail: str = ""
    day: date | None = None
    uid: str | None = None
    ts: Instant | None = None
    source_ts: Instant | None = None
    source: Decimal | None = None
    product: Decimal | None = None
    other_uid: str | None = None
    other_account_id: str | None = None
    failed_id: str | None = None
    values: Mapping[str, Decimal] = {}
    parts: tuple[tuple[Cause, Decimal], ...] = ()
