"""Export schedules and destinations: what people keep of data exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from tallystick.control.desk import Desk, Draft, Noun
from tallystick.control.export_jobs import KIND, check_selection
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.export_clock import ScheduleType
from tallystick.core.export_job import ExportJob
from tallystick.core.export_types import (
    DestinationType,
    ExportDestination,
    ExportSchedule,
    ExportSource,
    sealed_for,
)
from tallystick.errors import Refusal
from tallystick.ports import DocumentWhere, Page, Transaction
from tallystick.ports.exports import Targets
from tallystick.ports.handover import Vault

LONGEST_NAME, LONGEST_CODE = 200, 80
V = TypeVar("V", ExportDestination, ExportSchedule)

_SCHEMES = {DestinationType.S3: "s3", DestinationType.GCS: "gs", DestinationType.LOCAL: "local"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where destinations are looked at and their secrets sealed."""

    targets: Targets
    vault: Vault


def save_destination(
    desk: Desk,
    gate: Gate,
    fields: Mapping[str, object],
    secret: str | None,
    *,
    id: str | None = None,
    version: int | None = None,
) -> Entity[ExportDestination]:
    """Keep a destination, a new one without an id. `fields` are those of the value (Python names). Without a secret the
    one that is kept goes on, as long as it is of the same key at the same endpoint. Refusals: `invalid_request`,
    `rule_broken` and `address_refused` for what the operator does not allow."""
    before = None if id is None else DESTINATIONS.retrieve(desk.records, id)
    own_id = desk.new_id() if before is None else before.id
    sealed = None if secret is None else gate.vault.seal(secret, sealed_for(own_id))
    if sealed is None and before is not None and _same_door(before.value, fields):
        sealed = before.value.sealed_secret
    try:
        value = ExportDestination(**{**fields, "sealed_secret": sealed})  # type: ignore[arg-type]  # read by their types before
    except ValueError as error:
        raise Refusal("invalid_request", str(error), field=str(error).partition(":")[0]) from None
    gate.targets.allowed(value)
    if before is None:
        return DESTINATIONS.create(replace(desk, new_id=lambda: own_id), value)
    return DESTINATIONS.update(desk, own_id, value, version)


def _same_door(before: ExportDestination, fields: Mapping[str, object]) -> bool:
    """A secret is not given to another endpoint than it was entered for."""
    return all(fields.get(name) == getattr(before, name) for name in ("access_key_id", "endpoint")) and bool(
        before.access_key_id
    )


def _check_destination(draft: Draft[ExportDestination]) -> ExportDestination:
    value, before = draft.value, draft.before.value if draft.before else None
    place = "/".join(each for each in (value.bucket_name, (value.prefix or "").strip("/")) if each)
    name = value.name or (before.name if before else f"{_SCHEMES[value.destination_type]}://{place}")
    return _named(value, before, name, draft.id)


def _check_removal(write: Transaction, entity: Entity[ExportDestination]) -> None:
    """Schedules that name it refuse by themselves; exports that are on their way to it do so here."""
    found = write.documents(KIND, DocumentWhere(equal={"active": ("true",)}), Page(size=500))
    for each in found.rows:
        if entity.id in wire.decode(ExportJob, each.body).selection.destination_ids:
            message = f"id: the export job {each.id} is on its way to this destination; delete it once that has ended"
            raise Refusal("in_use", message, field="id")


def _check_schedule(draft: Draft[ExportSchedule]) -> ExportSchedule:
    value, before = draft.value, draft.before.value if draft.before else None
    check_selection(draft.read, value)
    if value.cron_expression is None and value.schedule_type is None:
        value = msgspec.structs.replace(value, schedule_type=ScheduleType.DAY)
    if value.cron_expression is None and value.period is None:
        value = msgspec.structs.replace(value, period=1)
    if value.source_type is ExportSource.USAGE:
        name = f"Usage {value.time_period}".replace("_", " ").capitalize()
    else:
        kinds = ", ".join(value.operational_data_types or ())
        name = f"Operational data: {kinds.replace('_', ' ').lower()}"
    return _named(value, before, value.name or (before.name if before else name), draft.id)


def _named(value: V, before: V | None, name: str, id: str) -> V:
    """With a name and a code: those that are not given are those before, or are made, for m3ter's Python SDK has no
    arguments for them."""
    code = value.code or (before.code if before else None)
    if code is None:
        words = "-".join(part for part in "".join(c if c.isalnum() else " " for c in name.lower()).split() if part)
        code = f"{words[: LONGEST_CODE - 9]}-{id[:8]}"
    return msgspec.structs.replace(value, name=name[:LONGEST_NAME], code=code)


DESTINATIONS = Noun(of=ExportDestination, check=_check_destination, check_removal=_check_removal)
SCHEDULES = Noun(of=ExportSchedule, check=_check_schedule)
