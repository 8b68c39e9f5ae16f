"""The answer to a request of measurements: a verdict on each member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from tallystick.core.ingest_failure import FailedMeasurement
from tallystick.core.measurement_reading import read_measurement
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.claim import Outcome
from tallystick.pipeline.ingest.failures import Failed, NotCounted, Repeated
from tallystick.pipeline.ingest.identities import CODE as UNMAPPED
from tallystick.pipeline.ingest.identities import WAITING, Waiter, describe
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.sorting import Batch, Member
from tallystick.pipeline.ingest.tally import meter_named

REJECTED = "rejected"
CONFLICT_REASON = "uid: counted before with other content; the first stays and this one is not counted"


class Verdict(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What became of one measurement: accepted, duplicate, conflict or rejected (then `code` and `reason` say
    why); or waiting, for an account that has its identity.

    `uid_generated`: the measurement had none and was given this one. `failed_measurement_id`: where it waits.
    """

    index: int
    uid: str
    verdict: str
    uid_generated: bool = False
    code: str | None = None
    reason: str | None = None
    field: str | None = None
    failed_measurement_id: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request of measurements: m3ter's `result`, and our verdict on each member, in order."""

    result: str = "accepted"
    measurements: list[Verdict]

    def untold(self) -> Reply:
        """The same where nothing was written down: no verdict says where it was."""
        return Reply(measurements=[replace(each, failed_measurement_id=None) for each in self.measurements])


def not_counted(batch: Batch, members: Sequence[Member], known: Known, outcomes: Sequence[Outcome]) -> NotCounted:
    """The members that are to be written down."""
    bad = [each._replace(known_meter=each.meter or "") if each.meter in known.schemas else each for each in batch.bad]
    found = NotCounted(failed=bad, repeated=[])
    for at, outcome in enumerate(outcomes):
        if outcome is Outcome.ACCEPTED:
            continue
        place, uid = batch.places[at], batch.uids[at]
        if outcome is Outcome.DUPLICATE:
            found.repeated.append(Repeated(place, uid, meter_named(members[place], known.schemas)))
        else:
            sent = read_measurement(members[place])
            assert not isinstance(sent, Rejection), "a candidate was read before"
            account_id = known.accounts[sent.account]
            text = bytes(members[place])
            found.failed.append(Failed(place, text, uid, None, sent.meter, sent.account, account_id, sent.meter))
    return found


def verdicts(
    batch: Batch, outcomes: Sequence[Outcome], queue: Mapping[int, FailedMeasurement], indices: Sequence[int]
) -> list[Verdict]:
    """The verdict on every member, in order.

    `queue`: place → the failed measurement that waits there; `indices`: place → index within the member's request.
    """
    numbers = indices if len(batch.places) == len(indices) else [indices[place] for place in batch.places]
    told = list(map(Verdict, numbers, batch.uids, outcomes))
    for at, outcome in enumerate(outcomes):
        if outcome is Outcome.CONFLICT:
            told[at] = replace(told[at], code=outcome.value, reason=CONFLICT_REASON, field="uid")
    if batch.generated:
        for at, place in enumerate(batch.places):
            if place in batch.generated:
                told[at] = replace(told[at], uid_generated=True)
    if not batch.bad:
        return told
    by_place = dict(zip(batch.places, told, strict=True)) | {
        bad.place: rejected(bad, queue.get(bad.place), indices[bad.place], generated=bad.place in batch.generated)
        for bad in batch.bad
    }
    return [by_place[place] for place in range(len(indices))]


def rejected(bad: Failed, waits: FailedMeasurement | None, index: int, *, generated: bool) -> Verdict:
    """The verdict on a member that was rejected; `generated`: its uid is one that it was given."""
    assert bad.rejection is not None
    return Verdict(
        index=index,
        uid=bad.uid,
        verdict=REJECTED,
        uid_generated=generated,
        code=bad.rejection.code,
        reason=bad.rejection.reason,
        field=bad.rejection.field,
        failed_measurement_id=None if waits is None else waits.id,
    )


def set_aside(waiter: Waiter, *, waits: bool) -> Verdict:
    """The verdict on a member whose identity is nobody's: it waits, or conflicts with what waits under its uid."""
    uid = waiter.usage.uid
    if not waits:
        reason = "uid: waits already with other content; the first stays and this one is not counted"
        return Verdict(waiter.place, uid, Outcome.CONFLICT, code=Outcome.CONFLICT.value, reason=reason, field="uid")
    return Verdict(
        waiter.place,
        uid,
        WAITING,
        uid_generated=waiter.generated,
        code=UNMAPPED,
        reason=describe(waiter),
        field="identity",
    )
