"""What a correction would make of failed measurements, before anything is sent again. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tallystick.control.event_mappings import mapper_of
from tallystick.control.failed_measurements import FailedFilter, list_failed
from tallystick.control.replay_jobs import member_of
from tallystick.core.account import Account
from tallystick.core.correction import Correction
from tallystick.core.identity import names_identity, with_placeholder
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.measurement import schema_of, validate
from tallystick.core.measurement_reading import read_measurement
from tallystick.core.meter import Meter
from tallystick.core.organization import UnknownAccounts
from tallystick.core.period import Instant
from tallystick.core.usage_event import read_event
from tallystick.errors import Rejection
from tallystick.ports import OrganizationRecords, Page
from tallystick.ports.founded import config_of


@dataclass(frozen=True, slots=True)
class Trial:
    """A failed measurement, what would be sent of it, and why it would be rejected again, if it would."""

    failed: FailedMeasurement
    sent: bytes | None
    problem: str | None


def try_correction(
    records: OrganizationRecords, group_id: str, correction: Correction | None, now: Instant, most: int = 5
) -> list[Trial]:
    """The newest open ones of a group as they would be sent. Whether a uid was claimed meanwhile is not looked at."""
    found = list_failed(records, FailedFilter(group_id=group_id, status=FailureStatus.OPEN), Page(size=most))
    return [_try(records, each, correction, now) for each in found.rows]


def _try(records: OrganizationRecords, failed: FailedMeasurement, correction: Correction | None, now: Instant) -> Trial:
    member = member_of(failed, correction)
    if isinstance(member, Rejection):
        return Trial(failed, None, member.reason)
    problem = check_sent(records, failed, member, now)
    return Trial(failed, member, None if problem is None else problem.reason)


def check_sent(records: OrganizationRecords, failed: FailedMeasurement, sent: bytes, now: Instant) -> Rejection | None:
    """Why what is sent again would be rejected, if it would: a measurement, or any of those that an event makes."""
    if failed.form is None:
        return check_member(records, sent, now)
    event = read_event(failed.form, sent)
    if isinstance(event, Rejection):
        return event
    mapped = mapper_of(records).map(event)
    found = (check_member(records, each, now) for each in mapped.members)
    return next(iter(mapped.faults), None) or next((each for each in found if each is not None), None)


def check_member(records: OrganizationRecords, member: bytes, now: Instant) -> Rejection | None:
    """Why ingest would reject a measurement, if it would; the rules are those of ingest."""
    sent = read_measurement(member)
    named = isinstance(sent, Rejection) and sent.field == "account" and names_identity(member)
    if named:  # with whatever account has its identity
        sent = read_measurement(with_placeholder(member))
    if isinstance(sent, Rejection):
        return sent
    meter = records.by_code(Meter, sent.meter)
    if meter is None:
        return Rejection("undefined_meter", f"meter: there is no meter with the code {sent.meter[:80]!r}", "meter")
    config = config_of(records)
    tolerance = timedelta(seconds=config.value.future_tolerance_seconds)
    found = validate(sent, schema_of(meter), now, tolerance)
    if isinstance(found, Rejection):
        return found
    if (
        not named
        and config.value.unknown_accounts is UnknownAccounts.QUEUE
        and records.by_code(Account, sent.account) is None
    ):
        reason = f"account: there is no account with the code {sent.account[:80]!r}"
        return Rejection("unknown_account", reason, "account")
    return None
