"""What is kept of measurements that did not count, and the event that tells of each.

The event has m3ter's shape and names (source: reference 2.12, 4.2), our error code beside them.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.event import Event, sort_stamp
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.usage_event import EventForm

EVENT_NAME = "ingest.validation.failure"
EVENT_TYPE = "IngestValidationFailure"
GROUPS = "5f0c7a52-3c1e-4f7b-9d0a-7a3f7f6d2b10"  # the namespace of the ids of groups
DOWNLOAD_PATH = "measurements/failedIngest/getDownloadUrl"

# Our code → m3ter's name for the failure; names that m3ter does not have follow its pattern.
FAILURE_TYPES = {
    "undefined_meter": "UndefinedMeter",
    "missing_field": "MissingField",
    "wrong_category": "WrongCategory",
    "duplicate_field": "DuplicateField",
    "invalid_number": "InvalidNumber",
    "invalid_text": "InvalidText",
    "invalid_timestamp": "InvalidTimestamp",
    "timestamp_in_future": "TimestampInFuture",
    "invalid_account": "InvalidAccountCode",
    "unknown_account": "UnknownAccount",
    "uid_required": "MissingUid",
    "invalid_measurement": "InvalidMeasurement",
    "duplicate": "DuplicateUid",
    "conflict": "ConflictingUid",
    "calculation_error": "CalculationError",
    "invalid_event": "InvalidEvent",
    "unmapped_event": "UnmappedEvent",
    "unmapped_field": "UnmappedField",
    "unmapped_identity": "UnmappedIdentity",
}


class FailureStatus(StrEnum):
    """Where a failed measurement stands."""

    OPEN = "OPEN"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"


class FailedMeasurement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A rejected measurement in the queue: the text that was sent, why it was rejected, and what became of it.

    `original` is the JSON as text, `original_base64` stands for it where it is no valid text. `uid` is the one it
    was given at the door if it had none, and the one it keeps when it is corrected. With a `form` it is not a
    measurement but an event of that form, which mappings make measurements of when it is sent again.
    """

    id: str
    status: FailureStatus
    code: str
    reason: str
    received: Instant
    uid: str
    event_id: str
    field: str | None = None
    meter: str | None = None
    account: str | None = None
    original: str | None = None
    original_base64: str | None = None
    closed: Instant | None = None
    closed_by: str | None = None
    discard_reason: str | None = None
    form: EventForm | None = None

    @property
    def sort(self) -> str:
        """Its place in lists."""
        return sort_stamp(self.received)

    @property
    def keys(self) -> dict[str, str]:
        """What it is found by."""
        keys = {"status": self.status.value, "code": self.code, "uid": self.uid}
        keys["grouped"] = grouped(self.group_id, self.status)
        if self.meter is not None and "\0" not in self.meter:
            keys["meter"] = self.meter
        return keys

    @property
    def group_id(self) -> str:
        """The group of what failed alike: by code, meter and field."""
        return named_id(GROUPS, wire.encode([self.code, self.meter, self.field]).decode())

    @property
    def sent(self) -> bytes:
        """The bytes that were sent."""
        if self.original_base64 is not None:
            return base64.b64decode(self.original_base64)
        return (self.original or "").encode()


def grouped(group_id: str, status: FailureStatus) -> str:
    """What the members of a group that stand so are found by."""
    return f"{group_id}/{status}"


def as_text(original: bytes) -> tuple[str | None, str | None]:
    """(text, None), or (None, base64) of bytes that are no text which every store can hold."""
    try:
        text = original.decode()
    except UnicodeDecodeError:
        return None, base64.b64encode(original).decode()
    if "\0" in text:
        return None, base64.b64encode(original).decode()
    return text, None


def failure_event(
    id: str, at: Instant, code: str, reason: str, *, organization_id: str, file: str, about: dict[str, Any]
) -> Event:
    """The event of one failure (or of the duplicates of one request). `file` names the stored original; `about` says
    what is known of the measurement, such as `uid`, `meter`, `account`, `measurement`."""
    link = f"/organizations/{organization_id}/{DOWNLOAD_PATH}?file={file}"
    known = {name: value for name, value in about.items() if value is not None}
    details = {
        "eventName": EVENT_NAME,
        "failureType": FAILURE_TYPES[code],
        "code": code,
        "reason": reason,
        "getDownloadUrl": link,
        **known,
    }
    return Event(id=id, event_name=EVENT_NAME, event_time=at, m3ter_event=details)
