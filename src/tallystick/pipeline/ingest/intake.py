"""The door for measurements: from the bytes of a request to a verdict on each member.

split      the body into raw members; a body of another shape is refused as a whole
sort out   each member: read, held against its meter, attributed; a bad one never harms the others
claim      the uids of the good ones; those that are new are on disk when this returns (`claim.py`)
record     what did not count, then answer
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol

import msgspec

from tallystick.core.measurement import Measurement, uid_key, validate
from tallystick.core.measurement_reading import JournalEntry, given_uid, pack, read_measurement
from tallystick.core.period import Instant
from tallystick.errors import Rejection
from tallystick.pipeline.ingest.claim import Candidate, Claimer, Outcome
from tallystick.pipeline.ingest.failures import Failed, Log, Repeated
from tallystick.pipeline.ingest.known import Directory, Known
from tallystick.pipeline.ingest.splitting import split
from tallystick.ports import Clock, Records

REJECTED = "rejected"
CONFLICT_REASON = "uid: counted before with other content; the first stays and this one is not counted"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What became of one measurement: accepted, duplicate, conflict or rejected (then `code` and `reason` say why).

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


class HasIntake(Protocol):
    """An app that takes measurements."""

    @property
    def intake(self) -> Intake: ...


async def ingest(app: HasIntake, organization_id: str, body: bytes) -> bytes:
    """The reply, as JSON, to `POST /measurements` with this body. Refusals: see `Intake.answer`."""
    return await app.intake.answer(organization_id, body)


class _Stranger(NamedTuple):
    """A member whose account code is not known yet."""

    code: str


class _Good(NamedTuple):
    """A valid member with its place in the request."""

    place: int
    original: bytes
    uid: str
    measurement: Measurement
    account_id: str
    candidate: Candidate


@dataclass(slots=True)
class _Batch:
    """A request sorted out: one entry per member in either list, and the codes that stopped it from being so."""

    good: list[_Good] = field(default_factory=list)
    bad: list[Failed] = field(default_factory=list)
    strangers: dict[str, None] = field(default_factory=dict)  # in the order met
    generated: set[int] = field(default_factory=set)


class Intake:
    """Takes measurements for all organisations. `new_id` gives ids and the uids of measurements without one."""

    def __init__(
        self, records: Records, claimer: Claimer, clock: Clock, new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self._records = records
        self._claimer = claimer
        self._clock = clock
        self._new_id = new_id
        self._directory = Directory(records, new_id)

    async def answer(self, organization_id: str, body: bytes) -> bytes:
        """The reply to a request, as JSON, once what was accepted is on disk and what was not is recorded.

        Refusals: `payload_too_large`, `invalid_request` (nothing was looked at), `busy` (nothing was kept, or the
        recording failed: send all of it again), `forbidden` (no such organisation).
        """
        received = self._clock.now()
        members = split(body)
        known = self._directory.current(organization_id)
        if known is None:
            known = await asyncio.to_thread(self._directory.refresh, organization_id)
        batch = self._sort_out(organization_id, members, known, received)
        while batch.strangers:
            known = await asyncio.to_thread(self._directory.enrol, organization_id, batch.strangers, received)
            batch = self._sort_out(organization_id, members, known, received)
        outcomes: list[Outcome] = []
        if batch.good:
            candidates = [each.candidate for each in batch.good]
            outcomes = await self._claimer.claim(organization_id, received, candidates)
        failed, repeated = _not_counted(batch, outcomes)
        waiting: dict[int, str] = {}
        if failed or repeated:
            waiting = await asyncio.to_thread(self._log(organization_id, received).write, failed, repeated)
        return _REPLY.encode(_reply(batch, outcomes, waiting))

    def take(self, organization_id: str, members: Sequence[bytes], *, record: bool = True) -> Reply:
        """The same for a caller that may block and has the members already. Without `record`, what does not count
        is only told."""
        received = self._clock.now()
        known = self._directory.refresh(organization_id)
        batch = self._sort_out(organization_id, members, known, received)
        while batch.strangers:
            known = self._directory.enrol(organization_id, batch.strangers, received)
            batch = self._sort_out(organization_id, members, known, received)
        candidates = [each.candidate for each in batch.good]
        outcomes = self._claimer.claim_in_thread(organization_id, received, candidates) if candidates else []
        failed, repeated = _not_counted(batch, outcomes)
        waiting: dict[int, str] = {}
        if record and (failed or repeated):
            waiting = self._log(organization_id, received).write(failed, repeated)
        return _reply(batch, outcomes, waiting)

    def _log(self, organization_id: str, received: Instant) -> Log:
        return Log(self._records.organization(organization_id), received, self._new_id)

    def _sort_out(
        self, organization_id: str, members: Iterable[bytes | msgspec.Raw], known: Known, received: Instant
    ) -> _Batch:
        """Read, validate and attribute every member; `strangers` when an account code must be looked up first."""
        batch = _Batch()
        tolerance = timedelta(seconds=known.config.future_tolerance_seconds)
        for index, member in enumerate(members):
            measurement = read_measurement(member)
            if isinstance(measurement, Rejection):
                uid = given_uid(member) or self._give_uid(batch, index)
                batch.bad.append(Failed(index, bytes(member), uid, measurement))
                continue
            uid = measurement.uid or self._give_uid(batch, index)
            checked = _check(measurement, known, received, tolerance)
            if isinstance(checked, _Stranger):
                batch.strangers[checked.code] = None
                continue
            account_id = known.accounts.get(measurement.account)
            if isinstance(checked, Rejection):
                uid = uid if checked.field != "uid" else self._give_uid(batch, index)
                meter, account = measurement.meter[:80], measurement.account[:80]
                batch.bad.append(Failed(index, bytes(member), uid, checked, meter, account, account_id))
                continue
            assert account_id is not None
            schema = known.schemas[measurement.meter]
            original = bytes(member)
            entry = pack(
                JournalEntry(
                    account_id=account_id,
                    meter_id=schema.meter_id,
                    meter_version=schema.version,
                    uid=uid,
                    original=original,
                )
            )
            candidate = Candidate(uid_key(organization_id, uid), checked, entry)
            batch.good.append(_Good(index, original, uid, measurement, account_id, candidate))
        return batch

    def _give_uid(self, batch: _Batch, index: int) -> str:
        batch.generated.add(index)
        return self._new_id()


def _check(
    measurement: Measurement, known: Known, received: Instant, tolerance: timedelta
) -> bytes | Rejection | _Stranger:
    """The digest of a valid member's content, or why it does not count, or the account that must be looked up."""
    schema = known.schemas.get(measurement.meter)
    if schema is None:
        reason = f"meter: there is no meter with the code {measurement.meter[:80]!r}"
        return Rejection("undefined_meter", reason, "meter")
    if not measurement.uid and known.config.require_measurement_uid:
        return Rejection("uid_required", "uid: is missing; this organization requires one", "uid")
    checked = validate(measurement, schema, received, tolerance)
    if isinstance(checked, Rejection):
        return checked
    if measurement.account not in known.accounts:
        return known.refused.get(measurement.account) or _Stranger(measurement.account)
    return checked.content


def _not_counted(batch: _Batch, outcomes: Sequence[Outcome]) -> tuple[list[Failed], list[Repeated]]:
    failed, repeated = list(batch.bad), list[Repeated]()
    for each, outcome in zip(batch.good, outcomes, strict=True):
        if outcome is Outcome.DUPLICATE:
            repeated.append(Repeated(each.place, each.uid))
        elif outcome is Outcome.CONFLICT:
            sent = each.measurement
            failed.append(Failed(each.place, each.original, each.uid, None, sent.meter, sent.account, each.account_id))
    return failed, repeated


def _reply(batch: _Batch, outcomes: Sequence[Outcome], waiting: dict[int, str]) -> Reply:
    generated = batch.generated
    verdicts: list[Verdict] = []
    for each, outcome in zip(batch.good, outcomes, strict=True):
        conflict = outcome is Outcome.CONFLICT
        verdicts.append(
            Verdict(
                index=each.place,
                uid=each.uid,
                verdict=outcome.value,
                uid_generated=each.place in generated,
                code=outcome.value if conflict else None,
                reason=CONFLICT_REASON if conflict else None,
                field="uid" if conflict else None,
            )
        )
    for bad in batch.bad:
        assert bad.rejection is not None
        verdicts.append(
            Verdict(
                index=bad.place,
                uid=bad.uid,
                verdict=REJECTED,
                uid_generated=bad.place in generated,
                code=bad.rejection.code,
                reason=bad.rejection.reason,
                field=bad.rejection.field,
                failed_measurement_id=waiting.get(bad.place),
            )
        )
    if batch.bad:
        verdicts.sort(key=lambda verdict: verdict.index)
    return Reply(measurements=verdicts)


_REPLY = msgspec.json.Encoder()
