"""Reconciliation runs as they are asked for, kept and shown; what each has found stands beside it, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Instant, day_start
from tallystick.core.reconciliation import AccuracyLevel, Reconciliation, ReconciliationRequest, SourceType
from tallystick.core.reconciliation_run import (
    Cause,
    FindingKind,
    ReconciliationFinding,
    ReconciliationGroup,
    ReconciliationRun,
    ReconciliationStatus,
)
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.ports import (
    Actor,
    Document,
    DocumentWhere,
    Found,
    OrganizationRecords,
    Page,
    Transaction,
)
from tallystick.ports.founded import config_of

KIND = "reconciliationrun"
GROUP_KIND = "reconciliationgroup"
FINDING_KIND = "reconciliationfinding"
EVENT_NAME, EVENT_TYPE = "reconciliation.differs", "ReconciliationDiffers"
AT_ONCE = 20  # runs of an organisation that are looked at in one turn
REMOVED_AT_ONCE = 1_000
KEPT_RUNS = 100  # of a reconciliation: what they found is kept; older ones keep their results alone
_WIDTH, _FINEST = 45, 18  # digits of a quantity in its place in the list


def zone_of(records: OrganizationRecords, asked: Reconciliation) -> str:
    """The time zone of a source's days."""
    config = config_of(records)
    return asked.timezone or config.value.timezone


def create_run(
    records: OrganizationRecords, request: ReconciliationRequest, *, id: str, actor: Actor, now: Instant, up_to: int
) -> ReconciliationRun:
    """Keep a new run, PENDING; one that has the id already stays as it is. Refusals: `unknown_reference`,
    `rule_broken` when an upload is missing or given in vain."""
    asked = records.get(Reconciliation, request.reconciliation_id)
    if asked is None:
        message = f"reconciliationId: there is no reconciliation {request.reconciliation_id} in this organisation"
        raise Refusal("unknown_reference", message, field="reconciliationId")
    uploads = asked.value.source.type is SourceType.UPLOAD
    if uploads != (request.upload_id is not None):
        what = "send the file first and name its uploadId" if uploads else "the source is fetched; leave it out"
        raise Refusal("rule_broken", f"uploadId: {what}", field="uploadId")
    if records.document(KIND, id) is not None:
        return read_run(records, id)
    zone = zone_of(records, asked.value)
    with records.transaction() as write:
        if write.document(KIND, id) is not None:
            return read_run(write, id)
        run = ReconciliationRun(
            id=id,
            version=1,
            reconciliation_id=asked.id,
            reconciliation_version=asked.version,
            name=asked.value.name,
            comparison=asked.value.comparison,
            status=ReconciliationStatus.PENDING,
            request=request,
            timezone=zone,
            start=day_start(request.start_date, zone),
            end=day_start(request.end_date, zone),
            up_to=up_to if request.up_to is None else min(request.up_to, up_to),
            dt_created=now,
            created_by=actor.id,
            dt_last_modified=now,
        )
        put_run(write, run)
    return run


def definition_of(records: OrganizationRecords, run: ReconciliationRun) -> Reconciliation:
    """What a run compares, as it stood when it was asked for."""
    entity: Entity[Reconciliation] | None = records.at_version(
        Reconciliation, run.reconciliation_id, run.reconciliation_version
    )
    assert entity is not None, "a run is of a version that was kept"
    return entity.value


def put_run(write: Transaction, run: ReconciliationRun) -> None:
    """Write a run as it is."""
    write.put_documents(KIND, [Document(id=run.id, sort=run.sort, keys=run.keys, body=wire.encode(run))])


def moved(run: ReconciliationRun, now: Instant, **changes: Any) -> ReconciliationRun:
    """The next version of a run."""
    return msgspec.structs.replace(run, version=run.version + 1, dt_last_modified=now, **changes)


def read_run(records: OrganizationRecords, id: str) -> ReconciliationRun:
    """One run; Refusal `not_found`."""
    document = records.document(KIND, id)
    if document is None:
        raise Refusal("not_found", f"id: there is no reconciliation run {id[:40]!r} in this organisation", field="id")
    return wire.decode(ReconciliationRun, document.body)


def list_runs(
    records: OrganizationRecords, page: Page, *, reconciliation_id: str | None = None, active: bool = False
) -> Found[ReconciliationRun]:
    """A page of runs, newest first; with `active` only those that have something left to do."""
    equal = {} if reconciliation_id is None else {"reconciliation_id": [reconciliation_id]}
    equal |= {"active": ["true"]} if active else {}
    found = records.documents(KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(ReconciliationRun, each.body) for each in found.rows), found.next_token)


def runs_to_do(records: OrganizationRecords) -> list[ReconciliationRun]:
    """Some runs that have something left to do, oldest first."""
    return list(list_runs(records, Page(size=AT_ONCE), active=True).rows)[::-1]


def tell(write: Transaction, run: ReconciliationRun) -> None:
    """Tell of a run that failed or is less than GOOD, in the transaction that ends it: once for each run."""
    if run.status is ReconciliationStatus.COMPLETE and run.level is AccuracyLevel.GOOD:
        return
    said: dict[str, object] = {
        "eventName": EVENT_NAME,
        "reconciliationId": run.reconciliation_id,
        "reconciliationRunId": run.id,
        "name": run.name,
        "startDate": run.request.start_date,
        "endDate": run.request.end_date,
        "accuracy": run.accuracy,
        "level": run.level,
        "reason": run.failure,
    }
    details = {name: value for name, value in said.items() if value is not None}
    id_ = named_id(run.id, "event")
    event = Event(id=id_, event_name=EVENT_NAME, event_time=run.dt_last_modified, m3ter_event=details)
    put_events(write, [event_document(event, event_type=EVENT_TYPE, account_id=None, resource_id=run.id)])


def cancel_run(records: OrganizationRecords, id: str, *, now: Instant) -> ReconciliationRun:
    """Stop a run; what it has found so far stays, and one that has ended stays as it is."""
    with records.transaction() as write:
        run = read_run(write, id)
        if run.status.active:
            run = moved(run, now, status=ReconciliationStatus.CANCELLED, phase="")
            put_run(write, run)
    return run


def put_found(
    write: Transaction, findings: Sequence[ReconciliationFinding], groups: Sequence[ReconciliationGroup] = ()
) -> None:
    """Write what a run has found: the greatest first in their lists."""
    if findings:
        write.put_documents(FINDING_KIND, [_finding_document(each) for each in findings])
    if groups:
        write.put_documents(GROUP_KIND, [_group_document(each) for each in groups])


def forget_found(records: OrganizationRecords, run_id: str) -> None:
    """Take away what a run has found, before it begins anew or goes."""
    for kind in (FINDING_KIND, GROUP_KIND):
        while True:
            where = DocumentWhere(equal={"run_id": [run_id]})
            rows = records.documents(kind, where, Page(size=REMOVED_AT_ONCE)).rows
            if not rows:
                break
            with records.transaction() as write:
                write.remove_documents(kind, [each.id for each in rows])


def forget_old_findings(records: OrganizationRecords, reconciliation_id: str, now: Instant) -> None:
    """Keep what the latest runs of a reconciliation found. Of older ones the results stay: bills may wait for them."""
    where, page = DocumentWhere(equal={"reconciliation_id": [reconciliation_id]}), Page(size=KEPT_RUNS)
    token = records.documents(KIND, where, page).next_token
    if token is None:
        return
    for old in records.documents(KIND, where, Page(size=AT_ONCE, token=token)).rows:
        run = wire.decode(ReconciliationRun, old.body)
        if run.findings_kept or run.groups:
            forget_found(records, run.id)
            with records.transaction() as write:
                put_run(write, moved(run, now, findings_kept=0, groups=0))


def list_findings(
    records: OrganizationRecords,
    run_id: str,
    page: Page,
    *,
    kind: FindingKind | None = None,
    cause: Cause | None = None,
    account_id: str | None = None,
) -> Found[ReconciliationFinding]:
    """A page of what is amiss, the greatest quantities first."""
    equal = {"run_id": [run_id]}
    equal |= {"type": [kind.value]} if kind is not None else {}
    equal |= {"cause": [cause.value]} if cause is not None else {}
    equal |= {"account_id": [account_id]} if account_id is not None else {}
    found = records.documents(FINDING_KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(ReconciliationFinding, each.body) for each in found.rows), found.next_token)


def list_groups(
    records: OrganizationRecords, run_id: str, page: Page, *, level: AccuracyLevel | None = None
) -> Found[ReconciliationGroup]:
    """A page of accounts and measures, the least accurate first."""
    equal = {"run_id": [run_id]} | ({"level": [level.value]} if level is not None else {})
    found = records.documents(GROUP_KIND, DocumentWhere(equal=equal), page)
    return Found(tuple(wire.decode(ReconciliationGroup, each.body) for each in found.rows), found.next_token)


def days_not_passed(
    records: OrganizationRecords, reconciliation_id: str, level: AccuracyLevel, first: date, end: date
) -> tuple[list[date], ReconciliationRun | None]:
    """The days from `first` until before `end` of which the latest run that covers them did not reach a level, and the
    run that fell short (None where there is none of the day)."""
    equal, between = (
        {"reconciliation_id": [reconciliation_id], "status": [ReconciliationStatus.COMPLETE.value]},
        {
            "start_date": (None, (end - timedelta(days=1)).isoformat()),
            "end_date": ((first + timedelta(days=1)).isoformat(), None),
        },
    )
    where = DocumentWhere(equal=equal, between=between)
    open_days = {first + timedelta(days=each) for each in range((end - first).days)}
    failed: list[date] = []
    short: ReconciliationRun | None = None
    page: Page | None = Page(size=KEPT_RUNS)
    while page is not None and open_days:
        found = records.documents(KIND, where, page)
        for document in found.rows:
            run = wire.decode(ReconciliationRun, document.body)
            covered = {each for each in open_days if run.request.start_date <= each < run.request.end_date}
            open_days -= covered
            if covered and (run.level is None or run.level.rank > level.rank):
                failed += covered
                short = short or run
        page = Page(size=KEPT_RUNS, token=found.next_token) if found.next_token else None
    return sorted([*failed, *open_days]), short


def _finding_document(finding: ReconciliationFinding) -> Document:
    keys = {"run_id": finding.run_id, "type": finding.kind.value, "cause": finding.cause.value}
    keys |= {"account_id": finding.account_id} if finding.account_id else {}
    return Document(id=finding.id, sort=_place(finding.quantity), keys=keys, body=wire.encode(finding))


def _group_document(group: ReconciliationGroup) -> Document:
    keys = {"run_id": group.run_id, "level": group.level.value}
    keys |= {"account_id": group.account_id} if group.account_id else {}
    sort = f"{10_000 - int(group.accuracy.scaleb(2)):05}"  # falling: the worst first
    return Document(id=group.id, sort=sort, keys=keys, body=wire.encode(group))


def _place(quantity: Decimal) -> str:
    """A quantity as text that sorts as it does."""
    return f"{quantity:0{_WIDTH}.{_FINEST}f}"
