"""Data exports: those that were made, with a form for another, schedules, and where the files go."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import msgspec

from tallystick.console.page import Html, Page, Redirect, Visit, act
from tallystick.control import export_jobs
from tallystick.control.data_exports import DESTINATIONS, SCHEDULES, Gate, save_destination
from tallystick.core import wire
from tallystick.core.entity import Value
from tallystick.core.export_clock import ScheduleType, TimePeriod, next_due
from tallystick.core.export_types import (
    AdHocExport,
    DestinationType,
    ExportDestination,
    ExportFileFormat,
    ExportSchedule,
    ExportSource,
    OperationalType,
    PartitionOrder,
)
from tallystick.core.period import Instant
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.ports import Page as Part
from tallystick.ports import Where
from tallystick.web.links import sign

V = TypeVar("V", bound=Value)

SECTION = "exports"
ROWS = 50
_SOURCES = ((ExportSource.USAGE, "Usage"), (ExportSource.OPERATIONAL, "What is configured, billed and booked"))
_TEXTS = ("bucketName", "prefix", "iamRoleArn", "endpoint", "region", "accessKeyId")
_GOOGLE = ("projectNumber", "poolId", "providerId", "serviceAccountEmail")


def _forms(visit: Visit) -> dict[str, Any]:
    """What the forms for exports and schedules offer."""
    destinations = visit.records.find(ExportDestination, Where(), Part(size=ROWS)).rows
    return {
        "sources": _SOURCES,
        "formats": [(each, each.value) for each in ExportFileFormat],
        "types": [(each, each.value.replace("_", " ").capitalize()) for each in OperationalType],
        "destinations": [(each.id, each.value.name) for each in destinations],
    }


def _jobs(visit: Visit) -> Html:
    found = export_jobs.list_jobs(visit.records, visit.query.page(highest=ROWS))
    schedules = visit.records.get_many(ExportSchedule, {job.schedule_id for job in found.rows if job.schedule_id})
    until = {job.id: Instant.of(job.finished_at + export_jobs.DOWNLOADED) for job in found.rows if job.finished_at}
    shown = {
        "rows": found.rows,
        "next_token": found.next_token,
        "schedules": {id_: each.value.name for id_, each in schedules.items()},
        "links": {job.id: _link(visit, job.id) for job in found.rows if job.kept and visit.now < until[job.id]},
        "active": any(job.status.active for job in found.rows),
    }
    return Html("exports.html", {**shown, **_forms(visit)})


def _link(visit: Visit, job_id: str) -> str:
    """Where its files are, for a quarter of an hour."""
    path = f"/organizations/{visit.organization.id}/dataexports/download"
    return sign(visit.app.key, path, {"job": job_id}, visit.now, export_jobs.LINK_SECONDS)


def _asked(visit: Visit) -> dict[str, Any]:
    """What both forms say of what is exported."""
    form = visit.form
    source = form.choice("sourceType", ExportSource) or ExportSource.USAGE
    asked: dict[str, Any] = {
        "sourceType": source,
        "exportFileFormat": form.choice("exportFileFormat", ExportFileFormat) or ExportFileFormat.CSV,
        "destinationIds": form.texts("destinationIds"),
    }
    if source is ExportSource.OPERATIONAL:
        asked["operationalDataTypes"] = form.texts("operationalDataTypes")
    return asked


def _read(of: type[V], asked: dict[str, Any]) -> V:
    """A value from what was typed; what it refuses is told beside the field."""
    try:
        return wire.decode(of, wire.encode({name: value for name, value in asked.items() if value is not None}))
    except msgspec.ValidationError as problem:
        said = str(problem).partition(" - at `")[0]
        path = str(problem).rpartition("`$.")[2].rstrip("`") if "`$." in str(problem) else said.partition(":")[0]
        raise Refusal("invalid_request", said, field=path.partition("[")[0]) from None


def _ask(visit: Visit) -> Redirect:
    asked = _asked(visit)
    if asked["sourceType"] is ExportSource.USAGE:
        asked |= {"startDate": visit.moment("startDate"), "endDate": visit.moment("endDate")}
    job = export_jobs.create_job(visit.desk, _read(AdHocExport, asked), up_to=visit.app.journal.last)
    return Redirect("/exports", notice=f"The export {job.id} is being made.")


def _schedules(visit: Visit) -> Html:
    found = SCHEDULES.find(visit.records, Where(), visit.query.page(highest=ROWS))
    following = {}
    for each in found.rows:
        value = each.value
        timing = (value.schedule_type or ScheduleType.DAY, value.period or 1, value.offset or 0, value.cron_expression)
        following[each.id] = next_due(*timing, now=visit.now)
    shown = {
        "rows": found.rows,
        "next_token": found.next_token,
        "following": following,
        "units": [("", "By cron expression"), *((each, each.value.capitalize()) for each in ScheduleType)],
        "periods": [("", "–"), *((each, each.value.replace("_", " ").capitalize()) for each in TimePeriod)],
    }
    return Html("export_schedules.html", {**shown, **_forms(visit)})


def _schedule(visit: Visit) -> Redirect:
    form, asked = visit.form, _asked(visit)
    if asked["sourceType"] is ExportSource.USAGE:
        asked["timePeriod"] = form.choice("timePeriod", TimePeriod)
    asked |= {
        "name": form.text("name"),
        "scheduleType": form.choice("scheduleType", ScheduleType),
        "period": form.number("period", lowest=1, highest=4_320),
        "offset": form.number("offset", lowest=0, highest=59),
        "cronExpression": form.text("cronExpression"),
    }
    made = SCHEDULES.create(visit.desk, _read(ExportSchedule, asked))
    return Redirect("/exports/schedules", notice=f"The schedule {made.value.name} is kept.")


def _end_schedule(visit: Visit) -> Redirect:
    gone = SCHEDULES.delete(visit.desk, visit.path["schedule"])
    return Redirect("/exports/schedules", notice=f"The schedule {gone.value.name} is deleted; its exports stay.")


def _destinations(visit: Visit) -> Html:
    found = DESTINATIONS.find(visit.records, Where(), visit.query.page(highest=ROWS))
    shown = {
        "rows": found.rows,
        "next_token": found.next_token,
        "kinds": [(each, each.value) for each in DestinationType],
        "orders": [(PartitionOrder.TIME_FIRST, "Time first"), (PartitionOrder.TYPE_FIRST, "Type first")],
    }
    return Html("export_destinations.html", shown)


def _keep_destination(visit: Visit) -> Redirect:
    form = visit.form
    asked = {name: form.text(name) for name in ("name", *_TEXTS, *_GOOGLE)}
    asked |= {
        "destinationType": form.choice("destinationType", DestinationType),
        "partitionOrder": form.choice("partitionOrder", PartitionOrder),
    }
    written = dict(zip(ExportDestination.__struct_encode_fields__, ExportDestination.__struct_fields__, strict=True))
    fields = {written[name]: value for name, value in asked.items() if value is not None}
    gate = Gate(targets=visit.app.targets, vault=visit.app.vault)
    made = save_destination(visit.desk, gate, fields, form.text("secretAccessKey"))
    return Redirect("/exports/destinations", notice=f"The destination {made.value.name} is kept.")


def _end_destination(visit: Visit) -> Redirect:
    gone = DESTINATIONS.delete(visit.desk, visit.path["destination"])
    return Redirect("/exports/destinations", notice=f"The destination {gone.value.name} is deleted.")


_act = partial(act, may=May.CONFIGURE, section=SECTION)

PAGES = (
    Page(method="GET", path="/exports", run=_jobs, title="Data exports", section=SECTION),
    _act("/exports", _ask, "Export data", again=_jobs),
    Page(method="GET", path="/exports/schedules", run=_schedules, title="Schedules of exports", section=SECTION),
    _act("/exports/schedules", _schedule, "Make a schedule of exports", again=_schedules),
    _act("/exports/schedules/{schedule}/delete", _end_schedule, "Delete a schedule of exports"),
    Page(method="GET", path="/exports/destinations", run=_destinations, title="Where exports go", section=SECTION),
    _act("/exports/destinations", _keep_destination, "Make a destination of exports", again=_destinations),
    _act("/exports/destinations/{destination}/delete", _end_destination, "Delete a destination of exports"),
)
