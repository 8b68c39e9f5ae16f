"""Integration runs as people look at them: how each hand-over went."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from tallystick.core import wire
from tallystick.core.integration import RUN, Destination, IntegrationRun, RunStatus
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, Found, OrganizationRecords, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted; each that is None says nothing."""

    ids: Collection[str] | None = None
    config_id: str | None = None
    destination_id: str | None = None
    destination: Destination | None = None
    entity_type: str | None = None
    entity_ids: Collection[str] | None = None
    event_id: str | None = None
    status: RunStatus | None = None
    start: Instant | None = None
    end: Instant | None = None

    def where(self) -> DocumentWhere:
        """The part that the store can answer."""
        texts = {
            "config_id": self.config_id,
            "destination_id": self.destination_id,
            "entity_type": self.entity_type,
            "event_id": self.event_id,
            "status": self.status,
        }
        equal: dict[str, Collection[str]] = {name: (str(text),) for name, text in texts.items() if text is not None}
        if self.ids is not None:
            equal["id"] = self.ids
        if self.entity_ids is not None:
            equal["entity_id"] = self.entity_ids
        return DocumentWhere(equal=equal)

    def keeps(self, run: IntegrationRun) -> bool:
        """The rest."""
        return (
            (self.destination is None or run.destination is self.destination)
            and (self.start is None or run.created >= self.start)
            and (self.end is None or run.created < self.end)
        )


def list_runs(records: OrganizationRecords, wanted: RunFilter, page: Page) -> Found[IntegrationRun]:
    """A page of runs, those of the latest events first. A page of which none is wanted is passed over."""
    while True:
        found = records.documents(RUN, wanted.where(), page)
        runs = tuple(run for each in found.rows if wanted.keeps(run := read_run(each)))
        if runs or found.next_token is None:
            return Found(runs, found.next_token)
        page = replace(page, token=found.next_token)


def get_run(records: OrganizationRecords, id: str) -> IntegrationRun:
    """One run; Refusal `not_found`."""
    return read_run(_document(records, id))


def latest_runs(
    records: OrganizationRecords, entity_type: str, entity_ids: Collection[str]
) -> dict[str, IntegrationRun]:
    """The latest run about each of some entities, by their ids."""
    found = {}
    for each in dict.fromkeys(entity_ids):
        where = RunFilter(entity_type=entity_type, entity_ids=(each,)).where()
        for document in records.documents(RUN, where, Page(size=1)).rows:
            found[each] = read_run(document)
    return found


def read_run(document: Document) -> IntegrationRun:
    """The run in a stored document."""
    return wire.decode(IntegrationRun, document.body)


def _document(records: OrganizationRecords, id: str) -> Document:
    document = records.document(RUN, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no integration run {id[:40]!r} in this organization", field="id")
    return document
