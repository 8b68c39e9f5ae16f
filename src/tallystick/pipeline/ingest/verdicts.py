"""The answer to a request of measurements: a verdict on each member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from tallystick.core.ingest_failure import FailedMeasurement
from tallystick.core.measurement_reading import read_measurement, unpack
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.claim import Outcome
from tallystick.pipeline.ingest.columns import signs_of
from tallystick.pipeline.ingest.failures import Failed, NotCounted, Repeated
from tallystick.pipeline.ingest.identities import CODE as UNMAPPED
from tallystick.pipeline.ingest.identities import WAITING, Waiter, describe
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.sorting import Batch, Told
from tallystick.pipeline.ingest.splitting import MAX_MEASUREMENTS
from tallystick.pipeline.ingest.tally import meter_named
from tallystick.ports.packed import Buffer

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


def not_counted(batch: Batch, known: Known, outcomes: Sequence[Outcome]) -> NotCounted:
    """The members that are to be written down."""
    bad = [each._replace(known_meter=each.meter or "") if each.meter in known.schemas else each for each in batch.bad]
    found = NotCounted(failed=bad, repeated=[])
    for at in _others(outcomes):
        outcome, place, uid = outcomes[at], batch.places[at], batch.uids[at]
        text = unpack(batch.candidates.entries[at]).original
        if outcome is Outcome.DUPLICATE:
            found.repeated.append(Repeated(place, uid, meter_named(text, known.schemas)))
        else:
            sent = read_measurement(text)
            assert not isinstance(sent, Rejection), "a candidate was read before"
            account_id = known.accounts[sent.account]
            found.failed.append(Failed(place, text, uid, None, sent.meter, sent.account, account_id, sent.meter))
    return found


def _others(outcomes: Sequence[Outcome]) -> list[int]:
    """Where something else than an acceptance stands."""
    accepted = Outcome.ACCEPTED  # members of an enumeration are looked up slowly
    return [at for at, outcome in enumerate(outcomes) if outcome is not accepted]


def verdicts(
    batch: Batch, outcomes: Sequence[Outcome], queue: Mapping[int, FailedMeasurement], indices: Sequence[int]
) -> list[Verdict]:
    """The verdict on every member, in order.

    `queue`: place → the failed measurement that waits there; `indices`: place → index within the member's request.
    """
    told = _of_candidates(batch, outcomes, indices)
    if not batch.bad:
        return told
    by_place = dict(zip(batch.places, told, strict=True)) | {
        bad.place: rejected(bad, queue.get(bad.place), indices[bad.place], generated=bad.place in batch.generated)
        for bad in batch.bad
    }
    return [by_place[place] for place in range(len(indices))]


def reply_json(batch: Batch, outcomes: Sequence[Outcome], queue: Mapping[int, FailedMeasurement]) -> bytes:
    """The reply to a request, as JSON; where it was told what that would be, only the rest is put in between."""
    told = batch.told
    if told is None or batch.bad:
        return _JSON.encode(Reply(measurements=verdicts(batch, outcomes, queue, range(batch.size))))
    parts: list[Buffer] = []
    data, after = memoryview(told.data), 0
    for at in _others(outcomes):
        if at > after:
            parts.append(data[told.start(after) : told.ends[at - 1]])
        parts.append(_JSON.encode(_verdict(batch, at, outcomes[at], batch.places[at])))
        after = at + 1
    if after < len(outcomes):
        parts.append(data[told.start(after) :])
    return b'{"result":"accepted","measurements":[%b]}' % b",".join(parts)


def told_if_accepted(batch: Batch, uids: pa.Array) -> Told:
    """The verdicts on the candidates of a request, should all of them be accepted; `uids` are theirs.

    JSON has the usual uid as it is, so Arrow puts it between what is the same for all; else see `told_one_by_one`.
    """
    if batch.generated or not len(uids) or not _spelled_alike(uids):
        return told_one_by_one(batch)
    openings = _OPENINGS[: len(uids)] if isinstance(batch.places, range) else _OPENINGS.take(pa.array(batch.places))
    joined = pc.binary_join_element_wise(openings, uids, _CLOSING, "")
    _, bounds, data = joined.buffers()
    ends = np.frombuffer(bounds, np.int32)[1 : len(joined) + 1].astype(np.int64) - 1
    return Told(memoryview(data).cast("B")[: int(ends[-1])], ends)


def told_one_by_one(batch: Batch) -> Told:
    """The same of uids of any kind."""
    outcomes = [Outcome.ACCEPTED] * len(batch.places)
    each = list(map(_JSON.encode, _of_candidates(batch, outcomes, range(batch.size))))
    sizes = np.fromiter(map(len, each), np.int64, len(each))
    return Told(b",".join(each), np.cumsum(sizes + 1) - 1)


def _spelled_alike(texts: pa.Array) -> bool:
    """Whether JSON spells the texts, not sliced from others, without any escape."""
    signs = signs_of(texts)
    return bool(((signs >= ord(" ")) & (signs != ord('"')) & (signs != ord("\\"))).all())


def _of_candidates(batch: Batch, outcomes: Sequence[Outcome], indices: Sequence[int]) -> list[Verdict]:
    numbers = indices if len(batch.places) == len(indices) else [indices[place] for place in batch.places]
    told = list(map(Verdict, numbers, batch.uids, outcomes))
    for at, outcome in enumerate(outcomes):
        if outcome is Outcome.CONFLICT:
            told[at] = _verdict(batch, at, outcome, told[at].index)
    if batch.generated:
        for at, place in enumerate(batch.places):
            if place in batch.generated:
                told[at] = _verdict(batch, at, outcomes[at], told[at].index)
    return told


def _verdict(batch: Batch, at: int, outcome: Outcome, index: int) -> Verdict:
    """The verdict on one candidate."""
    made = Verdict(index, batch.uids[at], outcome, uid_generated=batch.places[at] in batch.generated)
    if outcome is not Outcome.CONFLICT:
        return made
    return replace(made, code=outcome.value, reason=CONFLICT_REASON, field="uid")


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


_JSON = msgspec.json.Encoder()
# What goes before and after a uid in the verdict on a member that was accepted.
_OPENINGS = pa.array([f'{{"index":{place},"uid":"' for place in range(MAX_MEASUREMENTS)])
_CLOSING = pa.scalar('","verdict":"accepted"},')
