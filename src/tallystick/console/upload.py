"""Bring usage in by hand: rows of a table, pasted or as a file, counted exactly once like all other measurements."""

from __future__ import annotations

from collections import Counter

from tallystick.console.form import Form
from tallystick.console.measurement_rows import HEADS, MOST_ROWS, members
from tallystick.console.page import Html, Page, Visit
from tallystick.control.meters import METERS
from tallystick.core.meter import Meter
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.ingest import Verdict
from tallystick.web.encoding import unpacked

AT_ONCE = 1_000
FILE_BYTES = 10_000_000  # of a file, also once it is unpacked
FORM_BYTES = FILE_BYTES + 1_100_000  # what is pasted and chosen beside it
GZIP = b"\x1f\x8b"
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
    rows = list(members(_table(visit.form), meter.value, visit.form.text("account")))
    counts: Counter[str] = Counter()
    wrong: list[tuple[int, Verdict]] = []
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        for at, verdict in enumerate(visit.app.intake.take(visit.organization.id, part).measurements, start=start + 2):
            counts[verdict.verdict] += 1
            if verdict.verdict in {"rejected", "conflict"} and len(wrong) < SHOWN:
                wrong.append((at, verdict))
    return Html("upload.html", _values(visit) | {"counts": counts, "wrong": wrong})


def _table(form: Form) -> str:
    """The text of the file, packed or not, or else what was pasted."""
    file = form.files.get("file")
    if file is None:
        return form.raw("rows")
    if file.startswith(GZIP):
        file = unpacked(file, "gzip", FILE_BYTES)
    if len(file) > FILE_BYTES:
        message = f"file: has more than {FILE_BYTES:,} bytes; use `tallystick import` for larger files"
        raise Refusal("invalid_request", message, field="file")
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal("invalid_request", "file: is no text in UTF-8; save it as CSV in UTF-8", field="file") from None


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
        file_bytes=FORM_BYTES,
    ),
)
