"""What did we believe at a moment about a period, and what changed since (docs/decisions/0454-what-was-known.md).

Both answers are the one calculation of bills: once with the usage up to the journal position of that moment and the
configuration as it stood, once with all that there is now. Nothing is written.
"""

from __future__ import annotations

from typing import Any

from tallystick.core import wire
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.entity import Entity
from tallystick.core.known import (
    Believed,
    Knowledge,
    bridge_of,
    configured_since,
    difference_of,
    stored_bill,
    usage_since,
)
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline.overlay import Overlay
from tallystick.pipeline.preview import preview_bill
from tallystick.pipeline.replay import KINDS
from tallystick.ports import Actor, Journal, OrganizationRecords, OrganizationUsage, UsageStore


def position_at(journal: Journal, usage: UsageStore, moment: Instant) -> int:
    """The journal position up to which something was known at a moment: everything up to it was received by then."""
    position = usage.position_by(moment)
    for block in journal.read(position):  # what is no measurement, or not counted yet
        if block.received > moment:
            break
        position = max(position, block.last)
    return position


def known(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    request: BillJobRequest,
    *,
    at: tuple[Instant, int],
    now: tuple[Instant, int],
    actor: Actor,
) -> Knowledge:
    """What was believed `at` a moment and its journal position about the period of the request, against `now`.

    Refusals: those of a preview, of now; what was not there then is said in the answer.
    """
    moment, position = at
    before = as_it_stood(records, moment)
    then, problem = _made(before, usage, request, actor, moment, position)
    present, trouble = _made(records, usage, request, actor, *now)
    shown = present or then
    if shown is None:
        raise Refusal("no_billing_period", f"accountIds: {trouble}", field="accountIds")
    document = records.document("bill", shown.bill.id)
    kept = [] if document is None else [wire.decode(BillRecord, document.body).bill]
    return Knowledge(
        account_id=shown.bill.account_id,
        start_date=shown.bill.start_date_time_utc,
        end_date=shown.bill.end_date_time_utc,
        then=Believed(known_at=moment, journal_position=position, bill=then.bill if then else None, problem=problem),
        now=Believed(known_at=now[0], journal_position=now[1], bill=present.bill if present else None, problem=trouble),
        stored=stored_bill(kept, shown.bill, moment),
        difference=difference_of(then, present),
        bridge=bridge_of(then, present),
        usage=tuple(usage_since(then, present)),
        configuration=tuple(configured_since(then, present)),
    )


def as_it_stood(records: OrganizationRecords, moment: Instant) -> Overlay:
    """The records with all that bills are made of as it stood at a moment."""
    changed: dict[str, dict[str, Entity[Any] | None]] = {
        kind: dict(records.changed_since(of, moment)) for kind, of in KINDS.items()
    }
    return Overlay.showing(records, changed)


def _made(
    records: OrganizationRecords,
    usage: OrganizationUsage,
    request: BillJobRequest,
    actor: Actor,
    moment: Instant,
    position: int,
) -> tuple[BillRecord | None, str]:
    try:
        return preview_bill(records, usage, request, actor=actor, now=moment, up_to=position), ""
    except Refusal as refusal:
        if refusal.code.name not in {"no_billing_period", "unknown_reference"}:
            raise
        return None, refusal.message
