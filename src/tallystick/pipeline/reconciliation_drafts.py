"""From what a reconciliation found to a draft of a correction: what makes the count agree with the source.

Nothing is counted otherwise before somebody has looked at the draft and applied it (`pipeline.corrections`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.core import wire
from tallystick.core.measurement import category_map
from tallystick.core.meter import Meter
from tallystick.core.period import Instant
from tallystick.core.reconciliation import ReconciliationBasis
from tallystick.core.reconciliation_run import (
    Cause,
    FindingKind,
    ReconciliationFinding,
    ReconciliationRun,
    ReconciliationStatus,
)
from tallystick.core.usage_correction import MOST_CHANGES, Change, CorrectionSource, Entry, EntryKind, UsageCorrection
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.corrections import ENTRY_KIND, Drafting, draft_correction
from tallystick.pipeline.reconciliation_runs import definition_of, list_findings, read_run
from tallystick.ports import Actor, DocumentWhere, OrganizationRecords, Page

ADDED = frozenset({Cause.LOST})
WITHDRAWN = frozenset({Cause.DUPLICATE, Cause.ONLY_HERE})
CHANGED = frozenset({Cause.OTHER_ACCOUNT, Cause.TIME_SHIFT, Cause.OTHER_TIME, Cause.UNIT_FACTOR, Cause.OTHER_VALUE})
CORRECTABLE = ADDED | WITHDRAWN | CHANGED
BY_ITSELF = CORRECTABLE - {Cause.ONLY_HERE}  # what no source knows is withdrawn only where somebody asks for it
PAGE = 1_000


def draft_from_run(
    reach: Reach, run_id: str, causes: Sequence[Cause], *, id: str, reason: str, actor: Actor, now: Instant
) -> UsageCorrection:
    """Draft a correction that makes usage agree with the source of a run, for findings of some causes (those of
    `BY_ITSELF` where none is named). Refusals: `not_found`; `rule_broken` where the run is not complete, names no
    measurements or has nothing to correct."""
    run = read_run(reach.records, run_id)
    if run.comparison is not ReconciliationBasis.RECORDS:
        what = "totals name no measurements; compare with RECORDS of the same days to correct them"
        raise Refusal("rule_broken", f"id: {what}", field="id")
    if run.status is not ReconciliationStatus.COMPLETE:
        raise Refusal("rule_broken", f"id: the run is {run.status}; only a complete one can be corrected", field="id")
    wanted = set(causes or BY_ITSELF)
    if not wanted <= CORRECTABLE:
        what = ", ".join(sorted(wanted - CORRECTABLE))
        raise Refusal("rule_broken", f"causes: {what} cannot be corrected by withdrawing or adding", field="causes")
    changes = list(_changes(reach.records, run, wanted))
    drafting = Drafting(
        id=id, reason=reason, source=CorrectionSource.RECONCILIATION, actor=actor, now=now, source_id=run.id
    )
    return draft_correction(reach, drafting, changes)


def _changes(records: OrganizationRecords, run: ReconciliationRun, causes: set[Cause]) -> Iterator[Change]:
    """What to change, one change for each uid."""
    maps = _maps(records, run)
    merged: dict[str, tuple[Cause, dict[str, Any]]] = {}
    for finding in _findings(records, run.id):
        if finding.cause in causes and finding.uid is not None:
            _, measurement = merged.setdefault(finding.uid, (finding.cause, {}))
            if finding.cause not in WITHDRAWN:
                _put(measurement, finding, maps)
        if len(merged) > MOST_CHANGES:
            message = f"causes: more than {MOST_CHANGES:,} measurements; correct one cause after the other"
            raise Refusal("rule_broken", message, field="causes")
    for uid, (cause, measurement) in merged.items():
        if cause in WITHDRAWN:
            yield Change(uid=uid)
        elif cause in ADDED:
            yield Change(measurement={"uid": uid, **measurement})
        else:
            yield Change(uid=uid, measurement=measurement)


def _put(measurement: dict[str, Any], finding: ReconciliationFinding, maps: dict[tuple[str, str], str]) -> None:
    """Put what the source says into the JSON of a measurement."""
    if finding.cause in ADDED:
        measurement["meter"] = finding.meter
    if finding.kind is FindingKind.MISSING:  # the finding is about the account that the source says
        measurement["account"] = finding.account
    if finding.source_ts is not None:
        measurement["ts"] = finding.source_ts.wire()
    for code, value in finding.values.items():
        measurement.setdefault(maps[finding.meter, code], {})[code] = value


def _maps(records: OrganizationRecords, run: ReconciliationRun) -> dict[tuple[str, str], str]:
    """In which map of a measurement each field stands, by meter and field code."""
    found: dict[tuple[str, str], str] = {}
    for each in definition_of(records, run).measures:
        meter = records.by_code(Meter, each.meter)
        fields = () if meter is None else meter.value.data_fields
        found |= {(each.meter, field.code): category_map(field.category) for field in fields}
        found.setdefault((each.meter, each.field), "measure")
    return found


def _findings(records: OrganizationRecords, run_id: str) -> Iterator[ReconciliationFinding]:
    token = None
    while True:
        found = list_findings(records, run_id, Page(size=PAGE, token=token))
        yield from found.rows
        token = found.next_token
        if token is None:
            return


def replacements_of(records: OrganizationRecords, uids: Sequence[str]) -> dict[str, list[str]]:
    """The uids of what corrections put in the place of measurements that they withdrew."""
    found: dict[str, list[str]] = {}
    for first in range(0, len(uids), PAGE):
        where = DocumentWhere(equal={"uid": uids[first : first + PAGE]})
        for document in records.documents(ENTRY_KIND, where, Page(size=10 * PAGE)).rows:
            entry = wire.decode(Entry, document.body)
            if entry.kind is EntryKind.WITHDRAW and entry.problem is None:
                correction_id = document.id.rpartition("/")[0]
                after = records.document(ENTRY_KIND, f"{correction_id}/{entry.number + 1}")
                added = None if after is None else wire.decode(Entry, after.body)
                if added is not None and added.kind is EntryKind.ADD and added.replaces == entry.uid:
                    found.setdefault(entry.uid, []).append(added.uid)
    return found
