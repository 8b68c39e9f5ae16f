"""Forget events that are old, but for those that are yet to be handed over; and hand-overs that were over long ago
(docs/decisions/0568-history.md)."""

from __future__ import annotations

from datetime import timedelta

from tallystick.core import wire
from tallystick.core.integration import RUN, IntegrationRun
from tallystick.core.period import Instant
from tallystick.outbox import EVENT, OUTBOX
from tallystick.ports import DocumentWhere, OrganizationRecords, Page
from tallystick.ports.mail import SENT

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


def forget_runs(records: OrganizationRecords, before: Instant, most: int = AT_ONCE) -> int:
    """Remove some runs that ended before a moment and whose events are no longer kept, with the notes of whom they sent
    e-mail to. Returns how many runs were removed.

    While its event is kept, a run can be handed over again, and an event that is told again finds its run.
    """
    page = Page(size=most, oldest_first=True)
    while True:
        found = records.documents(RUN, DocumentWhere(), page)
        runs = [wire.decode(IntegrationRun, each.body) for each in found.rows]
        ended = {
            each.id: each.event_id for each in runs if each.dt_completed is not None and each.dt_completed < before
        }
        events = DocumentWhere(equal={"id": set(ended.values())})
        there = {id_ for (id_,) in records.keys_of(EVENT, events, ("id",), len(ended))} if ended else set()
        gone = [id_ for id_, event_id in ended.items() if event_id not in there]
        if gone:
            with records.transaction() as write:
                notes = write.keys_of(SENT, DocumentWhere(equal={"run_id": gone}), ("id",), most * 100)
                write.remove_documents(SENT, [id_ for (id_,) in notes if id_ is not None])
                write.remove_documents(RUN, gone)
            return len(gone)
        if found.next_token is None or runs[-1].created >= before:
            return 0
        page = Page(size=most, token=found.next_token, oldest_first=True)
