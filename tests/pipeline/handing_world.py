"""An organisation that hands over: events happen, integrations want them, and a receiver notes what reaches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path

from records_file import new_records
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.integration import RUN, Destination, IntegrationConfig, IntegrationRun, RunStatus
from tallystick.core.period import Instant
from tallystick.outbox import EVENT, event_document, put_events
from tallystick.pipeline.handover import choose, dispatch, due_runs, keep, perform, read_run, take
from tallystick.ports import DocumentWhere, Organization, Page
from tallystick.ports.handover import HandedOver, HandOver

ORGANIZATION = "00000000-0000-4000-8000-000000000001"
BEGAN = Instant.parse("2026-03-01T00:00:00Z")
DONE = HandedOver(status=RunStatus.COMPLETE, external_id="x-1")
LATER = HandedOver(status=RunStatus.AWAITING_RETRY, error="503 from the target")


class Receiver:
    """Notes what reaches it, by run, and answers as it is told: by default that all is well."""

    def __init__(self) -> None:
        self.got: list[HandOver] = []
        self.answer: Callable[[HandOver], HandedOver] = lambda _: DONE

    def perform(self, what: HandOver) -> HandedOver:
        self.got.append(what)
        return self.answer(what)

    def events(self) -> list[str]:
        """The names of the bills in what came, in order."""
        return [what.event.m3ter_event["number"] for what in self.got]

    def effects(self) -> Counter[str]:
        """What a receiver that tells repetitions by their ids has done, by event."""
        return Counter({what.run.id: what.event.id for what in self.got}.values())


class HandingWorld:
    """One organisation on a store of its own, with the clock turned by hand."""

    def __init__(self, directory: Path) -> None:
        self.store = new_records(directory / "records.db")
        self.store.add_organization(Organization(id=ORGANIZATION, name="North", created=BEGAN))
        self.records = self.store.organization(ORGANIZATION)
        self.now = BEGAN
        self.receiver = Receiver()
        self.attempts = 10
        self._numbers = count(1)

    def after(self, **span: int) -> None:
        self.now = Instant.of(self.now + timedelta(**span))

    def integration(self, name: str, entity_type: str = "Bill", **more: object) -> str:
        """A new integration; its id comes from its name."""
        id_ = named_id(ORGANIZATION, name)
        value = IntegrationConfig(entity_type=entity_type, destination=Destination.WEBHOOK, name=name, **more)  # type: ignore[arg-type]  # fields by name
        with self.records.transaction() as write:
            write.insert(Entity(id=id_, version=1, value=value, **self._written()))  # type: ignore[arg-type]  # the times
        return id_

    def change(self, id: str, **fields: object) -> None:
        with self.records.transaction() as write:
            before = write.get(IntegrationConfig, id)
            assert before is not None
            value = IntegrationConfig(
                **{name: getattr(before.value, name) for name in before.value.__struct_fields__} | fields
            )
            write.replace(Entity(id=id, version=before.version + 1, value=value, **self._written()))  # type: ignore[arg-type]  # the times

    def delete(self, id: str) -> None:
        with self.records.transaction() as write:
            before = write.get(IntegrationConfig, id)
            assert before is not None
            write.remove(before, at=self.now, by="ada")

    def _written(self) -> Mapping[str, object]:
        return {"created": self.now, "created_by": "ada", "modified": self.now, "modified_by": "ada"}

    def bill(self, name: str, event_name: str = "billing.bill.updated", event_type: str = "BillEvent") -> str:
        """Something happens to a bill; returns the id of the event."""
        number = f"{name}.{next(self._numbers)}"
        bill_id = named_id(ORGANIZATION, f"bill {name}")
        event = Event(
            id=named_id(ORGANIZATION, f"event {number}"),
            event_name=event_name,
            event_time=self.now,
            m3ter_event={"number": number},
        )
        with self.records.transaction() as write:
            put_events(write, [event_document(event, event_type=event_type, resource_id=bill_id)])
        return event.id

    def round(self) -> int:
        """Hand over what is due now, as the worker does; returns how many runs were performed."""
        while dispatch(self.records, self.now):
            pass
        done = 0
        for config_id in due_runs(self.records, self.now, 100).runs:
            while mine := choose(self.records, config_id, self.now, 3, ()):
                done += self.hand_over(mine)
        return done

    def hand_over(self, ids: list[str]) -> int:
        taken = take(self.records, ids, self.now)
        outcomes = [(what.run, perform({Destination.WEBHOOK: self.receiver}, what)) for what in taken]
        keep(self.records, outcomes, self.now, self.attempts)
        return len(outcomes)

    def runs(self) -> list[IntegrationRun]:
        """All runs, those of the latest events first."""
        return [read_run(each) for each in self.records.documents(RUN, DocumentWhere(), Page(size=500)).rows]

    def status_of(self, event_id: str) -> list[str]:
        return [each.status.value for each in self.runs() if each.event_id == event_id]

    def failures(self) -> list[str]:
        """The names of the events that tell of hand-overs that failed."""
        where = DocumentWhere(equal={"event_type": ("IntegrationEvent",)})
        return sorted(each.keys["event_name"] for each in self.records.documents(EVENT, where, Page(size=500)).rows)
