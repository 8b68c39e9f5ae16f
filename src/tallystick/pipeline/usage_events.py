"""Usage that other programs tell of as events: read, mapped to measurements, and sent through the one door for those.

split    the body into events (`core.usage_event_forms`); one in which none can be told apart is refused
map      each event, by the organisation's event mappings, to any number of measurements
take     all measurements at once through `Intake`: uids, verdicts, durability and the failed queue are the same
record   what no mapping wants or can make a measurement of, as it was sent: replayed, it is mapped again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tallystick.core.event_mapping import EventMapping, Mapped, Mapper
from tallystick.core.meter import Meter
from tallystick.core.usage_event import EventForm, UsageEvent, given_event_uid, read_event
from tallystick.core.usage_event_forms import documents
from tallystick.errors import Refusal, Rejection
from tallystick.pipeline.ingest import Intake, Verdict
from tallystick.pipeline.ingest.failures import Failed
from tallystick.ports import Records

MAX_EVENTS = 20_000  # of a request
IGNORED, REJECTED = "ignored", "rejected"
# Of several measurements of an event the worst says what became of it.
WORST_FIRST = (REJECTED, "conflict", "waiting", "accepted", "duplicate")


class EventVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of one event: rejected where a mapping failed or none wanted it (then `code` and `reason` say why and
    it waits as a failed measurement), ignored, or the worst that became of its measurements."""

    index: int
    id: str | None = None
    verdict: str
    code: str | None = None
    reason: str | None = None
    field: str | None = None
    failed_measurement_id: str | None = None
    measurements: tuple[Verdict, ...] = ()


class _Read(msgspec.Struct, frozen=True):
    """An event as it was sent, what it is, and what it makes."""

    text: bytes
    event: UsageEvent | Rejection
    mapped: Mapped


class Resent(Protocol):
    """What is sent again: a failed measurement, or an event of a form that made none."""

    @property
    def form(self) -> EventForm | None: ...
    @property
    def member(self) -> bytes: ...


class EventIntake:
    """Takes usage events for all organisations. Any thread may ask; every act blocks."""

    def __init__(self, records: Records, intake: Intake) -> None:
        self._records = records
        self._intake = intake
        self._mappers: dict[str, tuple[int, Mapper]] = {}

    def receive(
        self, organization_id: str, form: EventForm, headers: Mapping[str, str], body: bytes
    ) -> list[EventVerdict]:
        """A verdict on each event of a request's body, in order; `headers` by their names in lower case.

        Refusals: `invalid_request` (nothing was looked at), `busy` (send all of it again), `forbidden`.
        """
        try:
            texts = documents(form, headers, body)
        except ValueError as problem:
            raise Refusal("invalid_request", str(problem), field=str(problem).partition(":")[0]) from None
        if len(texts) > MAX_EVENTS:
            message = f"body: {len(texts):,} events; at most {MAX_EVENTS:,} in one request"
            raise Refusal("invalid_request", message, field="body")
        return self.take(organization_id, form, texts)

    def take(
        self, organization_id: str, form: EventForm, texts: Sequence[bytes], *, record: bool = True
    ) -> list[EventVerdict]:
        """The same of events that were told apart. Without `record`, what does not count is only told."""
        mapper = self._mapper(organization_id)
        read = [_read(mapper, form, text) for text in texts]
        members = [member for each in read for member in each.mapped.members]
        told = self._intake.take(organization_id, members, record=record).measurements if members else []
        failed = _failed(form, read)
        queue = self._intake.set_aside(organization_id, failed) if failed and record else {}
        verdicts, at = [], 0
        for place, each in enumerate(read):
            own, at = told[at : at + len(each.mapped.members)], at + len(each.mapped.members)
            waits = queue.get(place)
            verdicts.append(_verdict(place, each, own, None if waits is None else waits.id))
        return verdicts

    def mapped(self, organization_id: str, form: EventForm, texts: Sequence[bytes]) -> tuple[list[bytes], list[Failed]]:
        """What events make, for a caller that takes it: measurements, and what becomes none (`Intake.take_along`)."""
        mapper = self._mapper(organization_id)
        read = [_read(mapper, form, text) for text in texts]
        return [member for each in read for member in each.mapped.members], _failed(form, read)

    def send_again(self, organization_id: str, sent: Sequence[Resent]) -> list[Verdict | EventVerdict]:
        """Measurements and events of the failed queue once more; what fails again is in the queue already."""
        found: dict[int, Verdict | EventVerdict] = {}
        for form in {each.form for each in sent}:
            places = [place for place, each in enumerate(sent) if each.form is form]
            members = [sent[place].member for place in places]
            told: Sequence[Verdict | EventVerdict] = (
                self._intake.take(organization_id, members, record=False).measurements
                if form is None
                else self.take(organization_id, form, members, record=False)
            )
            found |= dict(zip(places, told, strict=True))
        return [found[place] for place in range(len(sent))]

    def sender(self, organization_id: str) -> Callable[[Sequence[Resent]], Sequence[Verdict | EventVerdict]]:
        """`send_again` for one organisation."""
        return lambda sent: self.send_again(organization_id, sent)

    def _mapper(self, organization_id: str) -> Mapper:
        records = self._records.organization(organization_id)
        revision = records.revision  # read first: what is committed meanwhile makes the mapper stale, not wrong
        known = self._mappers.get(organization_id)
        if known is None or known[0] != revision:
            known = revision, Mapper.of(list(records.every(EventMapping)), records.every(Meter))
            self._mappers[organization_id] = known
        return known[1]


def _read(mapper: Mapper, form: EventForm, text: bytes) -> _Read:
    event = read_event(form, text)
    return _Read(text, event, Mapped(faults=(event,)) if isinstance(event, Rejection) else mapper.map(event))


def _failed(form: EventForm, read: Sequence[_Read]) -> list[Failed]:
    """Events that make no measurement, or not all that they should."""
    return [
        Failed(place, each.text, given_event_uid(each.event, each.text), each.mapped.faults[0], form=form)
        for place, each in enumerate(read)
        if each.mapped.faults
    ]


def _verdict(index: int, read: _Read, told: Sequence[Verdict], failed_id: str | None) -> EventVerdict:
    event_id = None if isinstance(read.event, Rejection) else read.event.id
    measurements = tuple(told)
    if read.mapped.faults:
        code, reason, field = read.mapped.faults[0].code, read.mapped.faults[0].reason, read.mapped.faults[0].field
        return EventVerdict(
            index=index,
            id=event_id,
            verdict=REJECTED,
            code=code,
            reason=reason,
            field=field,
            failed_measurement_id=failed_id,
            measurements=measurements,
        )
    if not told:
        return EventVerdict(index=index, id=event_id, verdict=IGNORED)
    worst = min(told, key=lambda each: WORST_FIRST.index(each.verdict))
    return EventVerdict(
        index=index,
        id=event_id,
        verdict=str(worst.verdict),
        code=worst.code,
        reason=worst.reason,
        field=worst.field,
        failed_measurement_id=worst.failed_measurement_id,
        measurements=measurements,
    )
