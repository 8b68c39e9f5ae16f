"""A whole product in one process that counts a history and holds it against second sources, its clock by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tallystick.app import App, build
from tallystick.chores.chore import Left
from tallystick.chores.reconciling import Reconciler
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.desk import Desk, new_id
from tallystick.control.meters import METERS
from tallystick.control.organizations import create_organization
from tallystick.control.reconciliations import RECONCILIATIONS
from tallystick.control.source_uploads import create_upload
from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.core.meter import Category, DataField, Meter
from tallystick.core.period import Instant
from tallystick.core.reconciliation import Reconciliation, ReconciliationRequest
from tallystick.core.reconciliation_run import ReconciliationFinding, ReconciliationGroup, ReconciliationRun
from tallystick.pipeline.mediate import project
from tallystick.pipeline.reconciliation_runs import create_run, list_findings, list_groups, read_run
from tallystick.ports import Actor, OrganizationRecords, Page
from tallystick.settings import Settings

ADA = Actor("ada", "SERVICE_USER")
UPLOADED: dict[str, Any] = {
    "name": "Application log",
    "source": {"type": "UPLOAD"},
    "measures": [{"meter": "llm", "field": "tokens"}],
}
BY_UID = {**UPLOADED, "comparison": "RECORDS", "columns": {"ts": "ts"}}
BY_DAY = {**UPLOADED, "comparison": "TOTALS"}


class Clock:
    def __init__(self, now: str) -> None:
        self.time = Instant.parse(now)

    def now(self) -> Instant:
        return self.time


class Works:
    """One organisation with a meter of tokens, and accounts."""

    def __init__(
        self, directory: Path, accounts: Sequence[str], now: str = "2026-04-02T12:00:00Z", **more: str
    ) -> None:
        self.clock = Clock(now)
        self.app: App = build(Settings(data=str(directory / "data"), **more), self.clock)
        self.id = create_organization(self.app.records, "North", "USD", self.clock.now()).organization.id
        fields = (
            DataField(code="tokens", name="Tokens", category=Category.MEASURE, unit="{token}"),
            DataField(code="bytes", name="Bytes", category=Category.MEASURE, unit="By"),
        )
        self.meter = METERS.create(self.desk, Meter(name="LLM", code="llm", data_fields=fields[:1], derived_fields=()))
        METERS.create(self.desk, Meter(name="Files", code="files", data_fields=fields[1:], derived_fields=()))
        self.accounts = {
            code: ACCOUNTS.create(self.desk, Account(name=code, code=code, email_address=f"{code}@example.com")).id
            for code in accounts
        }
        self.chore = Reconciler()

    @property
    def records(self) -> OrganizationRecords:
        return self.app.records.organization(self.id)

    @property
    def desk(self) -> Desk:
        return Desk(records=self.records, actor=ADA, now=self.clock.now())

    def count(self, events: Iterable[Mapping[str, object]]) -> int:
        """Send measurements and have them counted; gives the journal's end."""
        members = [json.dumps(each).encode() for each in events]
        for first in range(0, len(members), 1_000):
            self.app.intake.take(self.id, members[first : first + 1_000])
        while self.app.usage.mark < self.app.journal.last:
            project(self.app.journal, self.app.usage, self.app.records)
        return self.app.journal.last

    def define(self, asked: Mapping[str, Any]) -> Entity[Reconciliation]:
        return RECONCILIATIONS.create(self.desk, wire.decode(Reconciliation, wire.encode(asked)))

    def run(
        self,
        asked: Mapping[str, Any] | Entity[Reconciliation],
        first: date,
        end: date,
        content: bytes | None = None,
        *,
        name: str = "log.csv",
        up_to: int | None = None,
    ) -> ReconciliationRun:
        """Run a reconciliation to its end."""
        entity = asked if isinstance(asked, Entity) else self.define(asked)
        upload = None if content is None else create_upload(self.desk, self.app.sources, name, content).id
        request = ReconciliationRequest(
            reconciliation_id=entity.id, start_date=first, end_date=end, upload_id=upload, up_to=up_to
        )
        now, last = self.clock.now(), self.app.journal.last
        run = create_run(self.records, request, id=new_id(), actor=ADA, now=now, up_to=last)
        self.work()
        return read_run(self.records, run.id)

    def work(self) -> int:
        """Do what there is to do; gives how many looks it took."""
        looks = 1
        while self.chore.look(self.app, self.id) is Left.MORE:
            looks += 1
        return looks

    def findings(self, run: ReconciliationRun, **only: Any) -> list[ReconciliationFinding]:
        return list(list_findings(self.records, run.id, Page(size=10_000), **only).rows)

    def groups(self, run: ReconciliationRun) -> dict[str, ReconciliationGroup]:
        return {each.account: each for each in list_groups(self.records, run.id, Page(size=1_000)).rows}


def as_csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as a file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
