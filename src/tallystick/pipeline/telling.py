"""Tell of what changes: every entity and every bill that a transaction writes has its event in that transaction.

The store calls this for each transaction, so that nothing can be changed without being told. Of many bills at once, as
a bill run writes them, events are made only where somebody listens (docs/decisions/0473-events-of-everything.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tallystick.core import bill_event, configuration_event
from tallystick.core.account import Account
from tallystick.core.bill_event import BillHead, read_head
from tallystick.core.period import Instant
from tallystick.outbox import Listeners, event_document, put_events
from tallystick.ports import Document, DocumentWhere, FilledDocument, Page, Transaction
from tallystick.ports.changes import Action, Change

BILL = "bill"
FEW = 100  # bills at once that are told of even where nobody listens
NAMES = tuple(bill_event.event_name(action) for action in Action)


class Telling:
    """Fulfils `Witness`."""

    def entities(self, write: Transaction, changes: Sequence[Change]) -> None:
        """Tell of entities that were written, in their order."""
        put_events(write, [_entity_event(write, each) for each in changes])

    def documents(self, write: Transaction, kind: str, documents: Sequence[Document | FilledDocument]) -> None:
        """Tell of bills that are about to be written."""
        if kind != BILL or not documents or not _worth_telling(write, len(documents)):
            return
        before = _heads(write, [each.id for each in documents])
        events = []
        for each in documents:
            head, old = read_head(each.body), before.get(each.id)
            if head != old:
                events.append(_bill_event(Action.CREATED if old is None else Action.UPDATED, head, old))
        put_events(write, events)

    def removal(self, write: Transaction, kind: str, ids: Collection[str]) -> None:
        """Tell of bills that are about to be deleted."""
        if kind != BILL or not ids or not _worth_telling(write, len(ids)):
            return
        put_events(write, [_bill_event(Action.DELETED, head, None) for head in _heads(write, ids).values()])


def _worth_telling(write: Transaction, count: int) -> bool:
    return count <= FEW or Listeners(write).want(BILL, NAMES)


def _heads(write: Transaction, ids: Collection[str]) -> dict[str, BillHead]:
    found = write.documents(BILL, DocumentWhere(equal={"id": ids}), Page(size=len(ids)))
    return {each.id: read_head(each.body) for each in found.rows}


def _bill_event(action: Action, head: BillHead, before: BillHead | None) -> Document:
    event = bill_event.bill_event(action, head, before, head.dt_last_modified)
    return event_document(event, event_type=bill_event.EVENT_TYPE, account_id=head.account_id, resource_id=head.id)


def _entity_event(write: Transaction, change: Change) -> Document:
    entity = change.entity
    old = None
    if change.action is Action.UPDATED:
        old = write.at_version(type(entity.value), entity.id, entity.version - 1)
    event = configuration_event.configuration_event(
        write.organization_id, change.action, entity, old, Instant.of(change.at)
    )
    account = entity.id if isinstance(entity.value, Account) else getattr(entity.value, "account_id", None)
    return event_document(event, event_type=configuration_event.EVENT_TYPE, account_id=account, resource_id=entity.id)
