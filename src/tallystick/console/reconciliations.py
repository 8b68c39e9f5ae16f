"""Reconciliations: usage against a second source, each run with its accuracy, and every difference with its cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from tallystick.console.form import Form
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control import organization_config
from tallystick.control.desk import new_id
from tallystick.control.reconciliations import RECONCILIATIONS
from tallystick.control.source_uploads import create_upload
from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import local_day
from tallystick.core.reconciliation import (
    AccuracyLevel,
    Reconciliation,
    ReconciliationBasis,
    ReconciliationRequest,
    SourceFormat,
    SourceType,
)
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.reconciliation_runs import create_run, list_runs
from tallystick.ports import Page as Part
from tallystick.ports import Where
from tallystick.ports.founded import config_of

SIZE = 25
FILE_BYTES = 10_000_000
GZIP = b"\x1f\x8b"
SOURCES = (
    ("UPLOAD", "A file that is sent"),
    ("FILE", "A file of the operator's folder"),
    ("SQL", "A query to a database"),
)
FORMATS = (("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet"))
# A line of the form: meter.field, then the column where it has another name, then COUNT where not the sum is compared.
MEASURE = re.compile(r"(?P<meter>.+)\.(?P<field>[^.=\s]+)(?:\s*=\s*(?P<column>.+?))?(?:\s+(?P<function>SUM|COUNT))?")
COLUMNS = ("account", "uid", "day", "ts", "meter", "field", "value")
HELP = {
    "account": "by code or id",
    "uid": "of records",
    "day": "of totals",
    "ts": "of records; empty: times are not compared",
    "meter": "of sources of several meters",
    "field": "of the long form, with a row for each field",
    "value": "of the long form",
}


def _list(visit: Visit) -> Html:
    found = RECONCILIATIONS.find(visit.records, Where(), visit.query.page(highest=SIZE))
    latest = {each.id: list_runs(visit.records, Part(size=1), reconciliation_id=each.id).rows for each in found.rows}
    return Html("reconciliations.html", {"rows": found.rows, "latest": latest, "next_token": found.next_token})


def _new(visit: Visit) -> Html:
    return Html(
        "reconciliation_form.html",
        {
            "comparisons": [(each.value, each.value.capitalize()) for each in ReconciliationBasis],
            "types": SOURCES,
            "connections": [("", "None"), *((each, each) for each in _connections(visit))],
            "columns": [(each, HELP[each]) for each in COLUMNS],
            "hours": [("", "Never"), *((str(hour), f"{hour:02}:00") for hour in range(24))],
        },
    )


def _connections(visit: Visit) -> Sequence[str]:
    """The databases that may be asked; none where the operator's file of them is not as it must be."""
    try:
        return visit.app.sources.connections(visit.organization.id)
    except Refusal:
        return ()


def _create(visit: Visit) -> Redirect:
    made = RECONCILIATIONS.create(visit.desk, wire.decode(Reconciliation, wire.encode(_asked(visit.form))))
    return Redirect(f"/reconciliations/{made.id}", notice="Now run it over some days.")


def _asked(form: Form) -> dict[str, object]:
    """What was typed, as the body of a create."""
    source = {"type": form.required("type")}
    source |= {name: text for name in ("path", "connection", "query") if (text := form.text(name)) is not None}
    given = {name: text for name in COLUMNS if (text := form.text(f"column-{name}")) is not None}
    hour = form.number("hour", lowest=0, highest=23)
    days = form.number("days", lowest=1, highest=35) or 1
    return {
        "name": form.required("name"),
        "comparison": form.required("comparison"),
        "source": source,
        "measures": [_measure(line.strip()) for line in form.required("measures").splitlines() if line.strip()],
        "columns": given,
        "timezone": form.text("timezone"),
        "schedule": None if hour is None else {"hour": hour, "days": days},
    }


def _measure(line: str) -> dict[str, str]:
    found = MEASURE.fullmatch(line)
    if found is None:
        message = f"measures: write meter.field, or meter.field = column, got {line[:60]!r}"
        raise Refusal("invalid_request", message, field="measures")
    return {name: text for name, text in found.groupdict().items() if text is not None}


def _one(visit: Visit) -> Html:
    asked = RECONCILIATIONS.retrieve(visit.records, visit.path["id"])
    found = list_runs(visit.records, visit.query.page(highest=SIZE), reconciliation_id=asked.id)
    yesterday = local_day(visit.now, asked.value.timezone or visit.config.timezone) - timedelta(days=1)
    return Html(
        "reconciliation.html",
        {
            "asked": asked,
            "rows": found.rows,
            "next_token": found.next_token,
            "running": any(each.status.active for each in found.rows),
            "yesterday": yesterday,
            "formats": FORMATS,
            "uploads": asked.value.source.type is SourceType.UPLOAD,
            "gates": visit.config.required_reconciliation_id == asked.id,
            "gate": visit.config.bill_requires,
        },
    )


def _run(visit: Visit) -> Redirect:
    asked = RECONCILIATIONS.retrieve(visit.records, visit.path["id"])
    first, last = _day(visit.form, "first"), _day(visit.form, "last")
    body = {"reconciliationId": asked.id, "startDate": first, "endDate": _day_after(last)}
    wire.decode(ReconciliationRequest, wire.encode(body))  # before the file is kept
    request = wire.decode(ReconciliationRequest, wire.encode({**body, "uploadId": _sent(visit, asked)}))
    up_to = visit.app.journal.last
    run = create_run(visit.records, request, id=new_id(), actor=visit.actor, now=visit.now, up_to=up_to)
    return Redirect(f"/reconciliationruns/{run.id}", notice="The comparison has begun.")


def _day(form: Form, name: str) -> date:
    day = form.day(name)
    if day is None:
        raise Refusal("invalid_request", f"{name}: is needed", field=name)
    return day


def _day_after(last: date) -> date:
    if last == date.max:
        raise Refusal("invalid_request", "last: is the end of the calendar", field="last")
    return last + timedelta(days=1)


def _sent(visit: Visit, asked: Entity[Reconciliation]) -> str | None:
    """The file that was chosen, kept."""
    if asked.value.source.type is not SourceType.UPLOAD:
        return None
    content = visit.form.files.get("file")
    if content is None:
        raise Refusal("invalid_request", "file: choose the file to compare with", field="file")
    if len(content) > FILE_BYTES:
        message = f"file: has more than {FILE_BYTES:,} bytes; use `tallystick reconcile run` for larger files"
        raise Refusal("invalid_request", message, field="file")
    form = visit.form.choice("format", SourceFormat) or SourceFormat.CSV
    ending = ".gz" if content.startswith(GZIP) else ""
    return create_upload(visit.desk, visit.app.sources, f"upload.{form}{ending}", content).id


def _gate(visit: Visit) -> Redirect:
    """Have bills wait for it, or no longer. Another reconciliation that they wait for stays as it is."""
    asked = RECONCILIATIONS.retrieve(visit.records, visit.path["id"])
    level = visit.form.choice("level", AccuracyLevel)
    config = config_of(visit.records)
    if level is None and config.value.required_reconciliation_id != asked.id:
        return Redirect(f"/reconciliations/{asked.id}", notice="Bills do not wait for it.")
    gate = None if level is None else {"reconciliationId": asked.id, "level": level}
    body = {**wire.decode(dict[str, object], wire.encode(config.value)), "billRequires": gate}
    value = wire.decode(OrganizationConfig, wire.encode(body))
    organization_config.update(visit.desk, value, config.version)
    notice = "Bills no longer wait for it." if level is None else f"Bills wait for it to reach {level.capitalize()}."
    return Redirect(f"/reconciliations/{asked.id}", notice=notice)


def _delete(visit: Visit) -> Redirect:
    gone = RECONCILIATIONS.delete(visit.desk, visit.path["id"])
    return Redirect("/reconciliations", notice=f"{gone.value.name} is deleted.")


PAGES = (
    Page(
        method="GET",
        path="/reconciliations",
        run=_list,
        title="Reconciliations, each with its latest accuracy",
        section="reconciliations",
    ),
    Page(
        method="GET",
        path="/reconciliations/new",
        run=_new,
        title="Say what is held against which source",
        may=May.CONFIGURE,
        section="reconciliations",
    ),
    Page(
        method="POST",
        path="/reconciliations",
        run=_create,
        title="Keep a reconciliation",
        may=May.CONFIGURE,
        section="reconciliations",
        again=_new,
    ),
    Page(
        method="GET",
        path="/reconciliations/{id}",
        run=_one,
        title="A reconciliation: run it, and its runs",
        section="reconciliations",
    ),
    Page(
        method="POST",
        path="/reconciliations/{id}/runs",
        run=_run,
        title="Run a reconciliation over some days",
        may=May.MEND,
        section="reconciliations",
        again=_one,
        file_bytes=FILE_BYTES + 100_000,
    ),
    Page(
        method="POST",
        path="/reconciliations/{id}/gate",
        run=_gate,
        title="Have bills wait for a reconciliation",
        may=May.ADMINISTER,
        section="reconciliations",
        again=_one,
    ),
    Page(
        method="POST",
        path="/reconciliations/{id}/delete",
        run=_delete,
        title="Delete a reconciliation",
        may=May.CONFIGURE,
        section="reconciliations",
        again=_one,
    ),
)
