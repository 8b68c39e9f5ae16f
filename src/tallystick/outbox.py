"""The outbox: each event is written in the transaction of the change that it tells of, and waits there for its
hand-over if anybody wants it (docs/decisions/0470-handover.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tallystick.core import wire
from tallystick.core.event import Event, noun, noun_of
from tallystick.core.integration import IntegrationConfig, Waiting, wants
from tallystick.core.notification import EVENT_TYPE, FAILED_TYPE, NotificationConfiguration
from tallystick.failpoints import reached
from tallystick.ports import Document, Transaction, Where

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
    """Who wants to be told of what, as it stands in a transaction: enabled integrations, and active rules."""

    def __init__(self, write: Transaction) -> None:
        self._configs = [each for each in write.every(IntegrationConfig) if each.value.enabled]
        active = Where(equal={"active": ("true",)})
        self._rules: dict[str, list[tuple[str, int]]] = {}
        for rule in write.every(NotificationConfiguration, active):
            self._rules.setdefault(rule.value.event_name, []).append((rule.id, rule.version))

    def __bool__(self) -> bool:
        return bool(self._configs or self._rules)

    def want(self, about: str, names: Collection[str]) -> bool:
        """Whether anybody wants any event of these names, which are about a noun."""
        return any(name in self._rules for name in names) or any(
            wants(each.value, name, about, each.value.entity_id) for each in self._configs for name in names
        )

    def waiting(self, event: Document) -> Waiting | None:
        """An event with those who want it; None where nobody does."""
        of_type, resource = event.keys["event_type"], event.keys.get("resource_id")
        name = event.keys["event_name"]
        if of_type == INTEGRATION_EVENT:
            # What tells of a hand-over that failed is looked up here; handed over itself, it could fail for ever.
            return None
        about = noun(EVENT_TYPE) if of_type == EVENT_TYPE else noun_of(name)
        configs = tuple(each.id for each in self._configs if wants(each.value, name, about, resource))
        # Rules are about what happened, not about what other rules made of it: those could go round in circles.
        rules = () if of_type in {EVENT_TYPE, FAILED_TYPE} else tuple(self._rules.get(name, ()))
        if not configs and not rules:
            return None
        return Waiting(
            event_id=event.id,
            noun=about,
            subject=resource or event.id,
            entity_id=resource,
            account_id=event.keys.get("account_id"),
            configs=configs,
            rules=rules,
        )
