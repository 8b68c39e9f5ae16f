"""Bring usage in by hand: rows of a table, counted exactly once like all other measurements."""

from __future__ import annotations

from collections import Counter

from tallystick.console.measurement_rows import HEADS, MOST_ROWS, members
from tallystick.console.page import Html, Page, Visit
from tallystick.control.meters import METERS
from tallystick.core.meter import Meter
from tallystick.core.user import May
from tallystick.pipeline.ingest import Verdict

AT_ONCE = 1_000
SHOWN = 20


def _form(visit: Visit) -> Html:
    return Html("upload.html", _values(visit))


def _values(visit: Visit) -> dict[str, object]:
    meters = list(visit.records.every(Meter))
    return {
        "meters": [(each.id, each.value.name) for each in meters],
        "columns": {each.value.name: [field.code for field in each.value.data_fields] for each in meters},
        "heads": HEADS,
        "most": MOST_ROWS,
        "counts": None,
        "wrong": (),
    }


def _upload(visit: Visit) -> Html:
    meter = METERS.retrieve(visit.records, visit.form.required("meterId"))
    rows = list(members(visit.form.raw("rows"), meter.value, visit.form.text("account")))
    counts: Counter[str] = Counter()
    wrong: list[tuple[int, Verdict]] = []
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        for at, verdict in enumerate(visit.app.intake.take(visit.organization.id, part).measurements, start=start + 2):
            counts[verdict.verdict] += 1
            if verdict.verdict in {"rejected", "conflict"} and len(wrong) < SHOWN:
                wrong.append((at, verdict))
    return Html("upload.html", _values(visit) | {"counts": counts, "wrong": wrong})


PAGES = (
    Page(
        method="GET",
        path="/measurements/upload",
        run=_form,
        title="Bring usage in by hand",
        may=May.CONFIGURE,
        section="explorer",
    ),
    Page(
        method="POST",
        path="/measurements/upload",
        run=_upload,
        title="Count rows of a table as measurements",
        may=May.CONFIGURE,
        section="explorer",
        again=_form,
    ),
)
