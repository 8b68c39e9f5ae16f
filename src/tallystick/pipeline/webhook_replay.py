"""Deliver again: one hand-over to a webhook, or all since a moment. Each keeps its id, so that receivers tell them from
new ones, and gets its attempts anew."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tallystick.core.integration import RUN, UNFINISHED, RunStatus
from tallystick.core.period import Instant
from tallystick.core.webhook import Webhook
from tallystick.errors import Refusal
from tallystick.pipeline.handover import read_run, run_again
from tallystick.ports import Actor, Document, DocumentWhere, OrganizationRecords, Page

AT_ONCE = 500  # hand-overs that are queued in one transaction


class Replayed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many hand-overs were queued again, and how many were not, for they are under way anyway."""

    replayed: int
    under_way: int


def replay_run(records: OrganizationRecords, run_id: str, *, actor: Actor, now: Instant) -> Replayed:
    """Deliver one again. Refusal `not_found` where its hand-over is no longer kept, or it was a test."""
    document = records.document(RUN, run_id)
    if document is None:
        message = "runId: there is no such hand-over, or it is no longer kept; a test is sent again as a new one"
        raise Refusal("not_found", message, field="runId")
    return _again(records, [document], actor=actor, now=now)


def replay_since(
    records: OrganizationRecords,
    webhook_id: str,
    span: tuple[Instant, Instant | None],
    *,
    failed_only: bool,
    actor: Actor,
    now: Instant,
) -> Replayed:
    """Deliver again what was to be delivered to a webhook from a moment on, up to another (exclusive)."""
    since, until = span
    replayed = under_way = 0
    where, page = DocumentWhere(equal={"destination_id": (webhook_id,)}), Page(size=AT_ONCE)
    while True:
        found = records.documents(RUN, where, page)
        runs = [(document, read_run(document)) for document in found.rows]
        wanted = [
            document
            for document, run in runs
            if since <= run.created
            and (until is None or run.created < until)
            and not (failed_only and run.status is RunStatus.COMPLETE)
        ]
        done = _again(records, wanted, actor=actor, now=now)
        replayed, under_way = replayed + done.replayed, under_way + done.under_way
        # Runs lie in the order in which their events happened, the latest first.
        if found.next_token is None or (runs and runs[-1][1].created < since):
            return Replayed(replayed=replayed, under_way=under_way)
        page = Page(size=AT_ONCE, token=found.next_token)


def _again(records: OrganizationRecords, documents: Sequence[Document], *, actor: Actor, now: Instant) -> Replayed:
    if not documents:
        return Replayed(replayed=0, under_way=0)
    replayed = 0
    with records.transaction() as write:
        wanted = DocumentWhere(equal={"id": [each.id for each in documents]})
        for document in write.documents(RUN, wanted, Page(size=len(documents), oldest_first=True)).rows:
            run = read_run(document)
            if run.status in UNFINISHED:
                continue
            run_again(write, document, now)
            replayed += 1
            if run.destination_id is not None:
                write.note("REPLAY", Webhook.kind, run.destination_id, at=now, by=actor)
    return Replayed(replayed=replayed, under_way=len(documents) - replayed)
