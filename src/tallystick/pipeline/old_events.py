"""Forget events that are old, but for those that are yet to be handed over."""

from __future__ import annotations

from datetime import timedelta

from tallystick.core.integration import RUN
from tallystick.core.period import Instant
from tallystick.outbox import EVENT, OUTBOX
from tallystick.ports import DocumentWhere, OrganizationRecords, Page

AT_ONCE = 500  # events that are removed in one transaction


def forget_events(records: OrganizationRecords, before: Instant, most: int = AT_ONCE) -> int:
    """Remove some events that happened before a moment, but for those that are yet to be handed over. Returns how many
    were removed."""
    last = Instant.of(before - timedelta(microseconds=1)).stamp()
    where, page = DocumentWhere(between={"sort": (None, last)}), Page(size=most, oldest_first=True)
    while True:
        found = records.documents(EVENT, where, page)
        ids = [each.id for each in found.rows]
        if not ids:
            return 0
        waiting = {id_ for (id_,) in records.keys_of(OUTBOX, DocumentWhere(equal={"id": ids}), ("id",), len(ids))}
        runs = records.keys_of(RUN, DocumentWhere(equal={"event_id": ids}), ("event_id", "lane"), most * 100)
        waiting |= {event_id for event_id, lane in runs if lane is not None}
        old = [id_ for id_ in ids if id_ not in waiting]
        if old:
            with records.transaction() as write:
                write.remove_documents(EVENT, old)
            return len(old)
        if found.next_token is None:
            return 0
        page = Page(size=most, token=found.next_token, oldest_first=True)
