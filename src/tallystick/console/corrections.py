"""Corrections of usage: drafted from uids or from what the explorer found, with their effect in money, then decided."""

from __future__ import annotations

import time

import msgspec

from tallystick.console import explorer
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.desk import new_id
from tallystick.control.usage_query import checked_query
from tallystick.core.usage_correction import (
    MOST_AT_ONCE,
    MOST_CHANGES,
    Change,
    CorrectionSource,
    CorrectionStatus,
    UsageCorrection,
)
from tallystick.core.usage_request import UsageRequest
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.correction_memo import discard_memo, issue_memo, list_memos
from tallystick.pipeline.correction_run import (
    AT_ONCE,
    apply_correction,
    carry_out,
    list_effects,
    preview_correction,
)
from tallystick.pipeline.corrections import (
    Drafting,
    discard_correction,
    draft_correction,
    list_corrections,
    list_entries,
    read_correction,
)
from tallystick.ports import Page as Part
from tallystick.ports import UsageRow

SIZE = 50
WAIT_SECONDS, POLL_SECONDS = 3.0, 0.02  # for what was applied to be counted
MOODS = {"DRAFT": "wait", "APPLYING": "busy", "APPLIED": "good", "DISCARDED": "quiet", "ISSUED": "good"}


def _list(visit: Visit) -> Html:
    found = list_corrections(visit.records, visit.query.page(highest=SIZE))
    values = {"rows": found.rows, "next_token": found.next_token, "moods": MOODS, "most": MOST_AT_ONCE}
    return Html("corrections.html", values)


def _draft(visit: Visit) -> Redirect:
    """From uids that were typed, or from all that the explorer's filter (in the address) finds."""
    reason = visit.form.required("reason")[:500]
    asked = explorer.asked_for(visit) if visit.form.flag("found") else None
    source = CorrectionSource.CHANGES if asked is None else CorrectionSource.FILTER
    drafting = Drafting(id=new_id(), reason=reason, source=source, actor=visit.actor, now=visit.now)
    if asked is None:
        uids = visit.form.required("uids").split()
        if len(uids) > MOST_AT_ONCE:
            message = f"uids: at most {MOST_AT_ONCE:,} at once; `tallystick correction draft --file` takes more"
            raise Refusal("invalid_request", message, field="uids")
        made = draft_correction(_reach(visit), drafting, [Change(uid=uid) for uid in uids])
    else:
        made = draft_correction(_reach(visit), drafting, (), _found(visit, asked))
    return Redirect(f"/corrections/{_looked_at(visit, made).id}")


def _found(visit: Visit, asked: UsageRequest) -> list[UsageRow]:
    query, _ = checked_query(visit.records, msgspec.structs.replace(asked, limit=MOST_CHANGES, next_token=None))
    found = visit.usage.raw(query)
    if len(found) > MOST_CHANGES:
        message = f"found: more than {MOST_CHANGES:,} measurements match; correct some days after the others"
        raise Refusal("rule_broken", message, field="found")
    return found


def _one(visit: Visit) -> Html:
    made = read_correction(visit.records, visit.path["id"])
    effects = list_effects(visit.records, made.id, visit.query.page(highest=SIZE))
    entries = list_entries(visit.records, made.id, Part(size=SIZE, token=visit.query.text("entries")))
    memos = list_memos(visit.records, Part(size=SIZE), correction_id=made.id)
    values = {
        "made": made,
        "is_draft": made.status is CorrectionStatus.DRAFT,
        "at_work": made.status is CorrectionStatus.APPLYING
        or (made.status is CorrectionStatus.DRAFT and not made.previewed),
        "accounts": effects.rows,
        "next_token": effects.next_token,
        "entries": entries.rows,
        "more_entries": entries.next_token,
        "memos": memos.rows,
        "moods": MOODS,
    }
    return Html("correction.html", values)


def _again(visit: Visit) -> Redirect:
    made = preview_correction(_reach(visit), visit.path["id"], up_to=visit.app.usage.mark, now=visit.now)
    return Redirect(f"/corrections/{made.id}", notice="Looked at again, with the usage there is now.")


def _apply(visit: Visit) -> Redirect:
    version = visit.form.number("version", lowest=1, highest=2**31)
    made = apply_correction(visit.records, visit.path["id"], actor=visit.actor, now=visit.now, version=version)
    reach, until = _reach(visit), time.monotonic() + WAIT_SECONDS
    while made.status is CorrectionStatus.APPLYING and time.monotonic() < until:
        made = carry_out(reach, made.id, now=visit.now)
        time.sleep(POLL_SECONDS if made.status is CorrectionStatus.APPLYING else 0)
    done = made.status is CorrectionStatus.APPLIED
    notice = f"Applied; {made.memos:,} memos are drafted." if done else "It is being applied."
    return Redirect(f"/corrections/{made.id}", notice=notice)


def _discard(visit: Visit) -> Redirect:
    made = discard_correction(visit.records, visit.path["id"], actor=visit.actor, now=visit.now)
    return Redirect(f"/corrections/{made.id}", notice="Discarded. Nothing has changed.")


def _issue(visit: Visit) -> Redirect:
    memo = issue_memo(visit.records, visit.path["id"], actor=visit.actor, now=visit.now)
    return Redirect(f"/corrections/{memo.correction_id}", notice="Issued: it stands on the next open bill.")


def _drop(visit: Visit) -> Redirect:
    memo = discard_memo(visit.records, visit.path["id"], actor=visit.actor, now=visit.now)
    notice = "Discarded: the next bill takes the difference up as late usage."
    return Redirect(f"/corrections/{memo.correction_id}", notice=notice)


def _looked_at(visit: Visit, made: UsageCorrection) -> UsageCorrection:
    if made.accounts > AT_ONCE:
        return made
    return preview_correction(_reach(visit), made.id, up_to=visit.app.usage.mark, now=visit.now)


def _reach(visit: Visit) -> Reach:
    return Reach(visit.app, visit.organization.id)


def _page(method: str, path: str, run: object, title: str, may: May = May.SEE, again: object = None) -> Page:
    more = {} if again is None else {"again": again}
    return Page(method=method, path=path, run=run, title=title, may=may, section="corrections", **more)  # type: ignore[arg-type]  # the named fields of Page


PAGES = (
    _page("GET", "/corrections", _list, "Corrections of usage"),
    _page("POST", "/corrections", _draft, "Draft a correction", May.MEND, _list),
    _page("GET", "/corrections/{id}", _one, "A correction, with its effect in money per account and bill"),
    _page("POST", "/corrections/{id}/preview", _again, "Look at a draft again", May.MEND, _one),
    _page("POST", "/corrections/{id}/apply", _apply, "Apply a correction", May.BILL, _one),
    _page("POST", "/corrections/{id}/discard", _discard, "Discard a correction", May.MEND, _one),
    _page("POST", "/correctionmemos/{id}/issue", _issue, "Issue the memo of a correction", May.BILL),
    _page("POST", "/correctionmemos/{id}/discard", _drop, "Discard the memo of a correction", May.BILL),
)
