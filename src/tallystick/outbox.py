"""The outbox: each event is written in the transaction of the change that it tells of, and waits there for its
hand-over if anybody wants it (docs/decisions/0470-handover.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.core import wire
from tallystick.core.event import Event, noun, noun_of
from tallystick.core.integration import NOTIFICATION, IntegrationConfig, Waiting, wants
from tallystick.failpoints import reached
from tallystick.ports import Document, Transaction

EVENT = "event"
OUTBOX = "outbox"  # the kind of document that says that an event waits
INTEGRATION_EVENT = "IntegrationEvent"  # the type of events that tell how a hand-over went


def event_document(
    event: Event,
    *,
    event_type: str,
    account_id: str | None = None,
    resource_id: str | None = None,
    uid: str | None = None,
) -> Document:
    """An event as it is stored: found by name, type, account, resource and uid, newest first."""
    keys = {"event_name": event.event_name, "event_type": event_type}
    if account_id is not None:
        keys["account_id"] = account_id
    if resource_id is not None:
        keys["resource_id"] = resource_id
    if uid is not None and "\0" not in uid:
        keys["uid"] = uid
    return Document(id=event.id, sort=event.sort, keys=keys, body=wire.encode(event))


def put_events(write: Transaction, events: Sequence[Document]) -> None:
    """Keep events, and have those handed over that somebody wants as things stand: within the transaction of the
    change, so that there is never one without the other. Every event is written by this.

    An event that is put again is not handed over again, since its runs have the same ids.
    """
    if not events:
        return
    write.put_documents(EVENT, events)
    listeners = Listeners(write)
    if not listeners:
        return
    waiting = [each for event in events if (each := listeners.waiting(event)) is not None]
    if not waiting:
        return
    number = write.next_number(OUTBOX, 1)
    write.put_documents(
        OUTBOX,
        [
            Document(id=each.event_id, sort=f"{number:015d}-{place:07d}", keys={}, body=wire.encode(each))
            for place, each in enumerate(waiting)
        ],
    )
    reached("outbox.written")


class Listeners:
    """Who wants to be told of what, as it stands in a transaction."""

    def __init__(self, write: Transaction) -> None:
        self._configs = [each for each in write.every(IntegrationConfig) if each.value.enabled]

    def __bool__(self) -> bool:
        return bool(self._configs)

    def waiting(self, event: Document) -> Waiting | None:
        """An event with those who want it; None where nobody does."""
        of_type, resource = event.keys["event_type"], event.keys.get("resource_id")
        if of_type == INTEGRATION_EVENT:
            # What tells of a hand-over that failed is looked up here; handed over itself, it could fail for ever.
            return None
        name = event.keys["event_name"]
        about = noun(NOTIFICATION) if of_type == NOTIFICATION else noun_of(name)
        configs = tuple(each.id for each in self._configs if wants(each.value, name, about, resource))
        if not configs:
            return None
        return Waiting(
            event_id=event.id,
            noun=about,
            subject=resource or event.id,
            entity_id=resource,
            account_id=event.keys.get("account_id"),
            configs=configs,
        )
