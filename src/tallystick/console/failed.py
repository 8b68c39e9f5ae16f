"""Failed measurements: what is wrong with them, one by one and many at once."""

from __future__ import annotations

import msgspec

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.correction_trial import check_sent, try_correction
from tallystick.control.failed_measurements import (
    FailedFilter,
    discard,
    get_failed,
    get_group,
    list_failed,
    list_groups,
    replay,
)
from tallystick.control.replay_jobs import cancel_job, create_job, list_jobs, read_job
from tallystick.core import wire
from tallystick.core.correction import Correction
from tallystick.core.failed_group import FailedGroup
from tallystick.core.ingest_failure import FailedMeasurement, FailureStatus
from tallystick.core.replay_job import ReplayAction
from tallystick.core.user import May
from tallystick.errors import CODES, Refusal
from tallystick.ports import Page as Part

SIZE = 25
LONGEST = 100_000  # characters of a measurement that a page shows

# What went wrong, as people say it; the code stands beside it.
REASONS = {
    "undefined_meter": "There is no such meter",
    "missing_field": "A field is missing",
    "wrong_category": "A field is in the wrong map",
    "duplicate_field": "A field is there twice",
    "invalid_number": "Not a number",
    "invalid_text": "A text is too long or has control characters",
    "invalid_timestamp": "The timestamp cannot be read",
    "timestamp_in_future": "The timestamp lies in the future",
    "invalid_account": "The account's code cannot be one",
    "unknown_account": "There is no such account",
    "uid_required": "It has no uid",
    "invalid_measurement": "It cannot be read at all",
    "invalid_event": "The event lacks what each must have",
    "unmapped_event": "No event mapping wants the event",
    "unmapped_field": "The event lacks what a mapping takes of it",
}


def _groups(visit: Visit) -> Html:
    closed = visit.query.flag("all") is True
    found = list_groups(visit.records, visit.query.page(highest=SIZE), closed=closed)
    jobs = list_jobs(visit.records, Part(size=10), active=True).rows
    values = {"groups": found.rows, "next_token": found.next_token, "closed": closed, "jobs": jobs}
    return Html("failed.html", {**values, "reasons": REASONS})


def _group(visit: Visit) -> Html:
    group = get_group(visit.records, visit.path["id"])
    return _group_page(visit, group, {})


def _group_page(visit: Visit, group: FailedGroup, more: dict[str, object]) -> Html:
    status = _status(visit.query.text("status"))
    wanted = FailedFilter(group_id=group.id, status=status)
    found = list_failed(visit.records, wanted, visit.query.page(highest=SIZE))
    jobs = list_jobs(visit.records, Part(size=5), group_id=group.id).rows
    values = {
        "group": group,
        "status": status,
        "statuses": tuple(FailureStatus),
        "rows": found.rows,
        "next_token": found.next_token,
        "jobs": jobs,
        "at_work": any(each.status.active for each in jobs),
        "reasons": REASONS,
        "trials": None,
        "shown": _shown,
    }
    return Html("failed_group.html", {**values, **more})


def _try(visit: Visit) -> Html:
    """The same page, and what the correction would make of the newest."""
    group = get_group(visit.records, visit.path["id"])
    trials = try_correction(visit.records, group.id, _correction(visit), visit.now)
    return _group_page(visit, group, {"trials": trials})


def _start(visit: Visit) -> Redirect | Html:
    if visit.form.flag("try"):
        return _try(visit)
    job = create_job(visit.desk, visit.path["id"], ReplayAction.REPLAY, correction=_correction(visit))
    return Redirect(f"/failed/groups/{job.group_id}", notice=f"{job.total:,} measurements are sent again.")


def _discard_all(visit: Visit) -> Redirect:
    reason = visit.form.required("reason")
    job = create_job(visit.desk, visit.path["id"], ReplayAction.DISCARD, reason=reason)
    return Redirect(f"/failed/groups/{job.group_id}", notice=f"{job.total:,} measurements are dismissed.")


def _cancel(visit: Visit) -> Redirect:
    job = cancel_job(visit.desk, read_job(visit.records, visit.path["id"]).id)
    return Redirect(f"/failed/groups/{job.group_id}", notice="The job goes no further.")


def _one(visit: Visit) -> Html:
    failed = get_failed(visit.records, visit.path["id"])
    problem = check_sent(visit.records, failed, failed.sent, visit.now) if failed.status is FailureStatus.OPEN else None
    values = {"failed": failed, "text": _shown(failed), "reasons": REASONS, "problem": problem}
    return Html("failed_measurement.html", values)


def _replay_one(visit: Visit) -> Redirect:
    text = visit.form.text("measurement")
    take = visit.app.events.sender(visit.records.organization_id)
    failed = replay(visit.desk, visit.path["id"], None if text is None else text.encode(), take)
    return Redirect(f"/failed/measurements/{failed.id}", notice="It is accepted and counts now.")


def _discard_one(visit: Visit) -> Redirect:
    failed = discard(visit.desk, visit.path["id"], visit.form.required("reason")[:500])
    return Redirect(f"/failed/measurements/{failed.id}", notice="It is dismissed and will never count.")


def _correction(visit: Visit) -> Correction | None:
    """The rule that was typed; None where nothing was."""
    form = visit.form
    rule: dict[str, object] = {}
    for name in ("meter", "account"):
        if (code := form.text(name)) is not None:
            rule[name] = code
    if (place := form.text("renameField")) is not None:
        rule["renameFields"] = [{"field": place, "to": form.required("renameTo")}]
    if (place := form.text("readNumbers")) is not None:
        rule["readNumbers"] = [place]
    if (place := form.text("setField")) is not None:
        value = _value(form.text("setValue") or "", numeric=place.startswith(("measure.", "income.", "cost.")))
        rule["setFields"] = [{"field": place, "value": value, "onlyIfMissing": form.flag("onlyIfMissing")}]
    return wire.decode(Correction, wire.encode(rule)) if rule else None


def _value(text: str, *, numeric: bool) -> object:
    """What was typed as the value of a field: a number for fields of numbers, else the text."""
    if not numeric:
        return text
    try:
        return wire.number(text)
    except ValueError:
        raise Refusal("invalid_request", f"setValue: must be a number, got {text[:40]!r}", field="setValue") from None


def _shown(failed: FailedMeasurement) -> str:
    """What was sent, over several lines where it is JSON; every number as it was written."""
    try:
        return msgspec.json.format(failed.sent, indent=2).decode()[:LONGEST]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return failed.sent.decode(errors="replace")[:LONGEST]


def _status(text: str | None) -> FailureStatus:
    return FailureStatus(text) if text is not None and text in FailureStatus.__members__ else FailureStatus.OPEN


assert REASONS.keys() <= CODES.keys(), "each reason is a code of a rejection"

PAGES = (
    Page(method="GET", path="/failed", run=_groups, title="Failed measurements by what is wrong", section="failed"),
    Page(
        method="GET",
        path="/failed/groups/{id}",
        run=_group,
        title="One kind of failure: correct, replay or dismiss all",
        section="failed",
    ),
    Page(
        method="POST",
        path="/failed/groups/{id}/replay",
        run=_start,
        title="Replay all of a group",
        may=May.MEND,
        section="failed",
        again=_group,
    ),
    Page(
        method="POST",
        path="/failed/groups/{id}/discard",
        run=_discard_all,
        title="Dismiss all of a group",
        may=May.MEND,
        section="failed",
        again=_group,
    ),
    Page(method="POST", path="/failed/jobs/{id}/cancel", run=_cancel, title="Stop a replay", may=May.MEND),
    Page(
        method="GET",
        path="/failed/measurements/{id}",
        run=_one,
        title="One failed measurement: correct and replay it",
        section="failed",
    ),
    Page(
        method="POST",
        path="/failed/measurements/{id}/replay",
        run=_replay_one,
        title="Replay a failed measurement",
        may=May.MEND,
        section="failed",
        again=_one,
    ),
    Page(
        method="POST",
        path="/failed/measurements/{id}/discard",
        run=_discard_one,
        title="Dismiss a failed measurement",
        may=May.MEND,
        section="failed",
        again=_one,
    ),
)
