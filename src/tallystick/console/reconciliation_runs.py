"""A run of a reconciliation: how accurate the count is by account and field, why not wholly, and what is amiss."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.desk import new_id
from tallystick.core.account import Account
from tallystick.core.reconciliation import AccuracyLevel, ReconciliationBasis
from tallystick.core.reconciliation_run import Cause, FindingKind, ReconciliationStatus
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.correction_entries import Reach
from tallystick.pipeline.correction_run import AT_ONCE, preview_correction
from tallystick.pipeline.reconciliation_drafts import CORRECTABLE, draft_from_run
from tallystick.pipeline.reconciliation_runs import cancel_run, list_findings, list_groups, read_run

SIZE = 50
# What is most likely wrong, as people say it.
CAUSES = {
    Cause.DUPLICATE: "The same measurement under another uid",
    Cause.LATE: "It came later, or has not come yet",
    Cause.TIME_SHIFT: "A time zone: whole quarters of hours away",
    Cause.OTHER_TIME: "Another time",
    Cause.OTHER_ACCOUNT: "Counted for another account",
    Cause.UNIT_FACTOR: "Another unit: a constant factor",
    Cause.OTHER_VALUE: "Another value",
    Cause.FAILED: "It waits among the failed measurements",
    Cause.WITHDRAWN: "It was withdrawn",
    Cause.OTHER_METER: "Its uid is of another meter",
    Cause.UNKNOWN_ACCOUNT: "An account that is not known here",
    Cause.LOST: "It never came",
    Cause.ONLY_HERE: "The source does not know it",
}
assert CAUSES.keys() == set(Cause), "each cause is said"
MOODS = {AccuracyLevel.GOOD: "good", AccuracyLevel.WARNING: "wait", AccuracyLevel.RED: "bad"}


def _run(visit: Visit) -> Html:
    run = read_run(visit.records, visit.path["id"])
    found = list_groups(visit.records, run.id, visit.query.page(highest=SIZE))
    by_uid = run.comparison is ReconciliationBasis.RECORDS
    return Html(
        "reconciliation_run.html",
        {
            "run": run,
            "last": run.last_day,
            "rows": found.rows,
            "next_token": found.next_token,
            "causes": CAUSES,
            "moods": MOODS,
            "by_uid": by_uid,
            "correctables": CORRECTABLE,
            "correctable": by_uid
            and run.status is ReconciliationStatus.COMPLETE
            and any(each.cause in CORRECTABLE for each in run.causes),
        },
    )


def _findings(visit: Visit) -> Html:
    run = read_run(visit.records, visit.path["id"])
    kind, cause, account = (visit.query.text(name) or "" for name in ("kind", "cause", "account"))
    entity = visit.records.by_code(Account, account) if account else None
    found = list_findings(
        visit.records,
        run.id,
        visit.query.page(highest=SIZE),
        kind=FindingKind(kind) if kind in FindingKind.__members__ else None,
        cause=Cause(cause) if cause in Cause.__members__ else None,
        account_id=entity.id if entity is not None else account or None,
    )
    return Html(
        "reconciliation_findings.html",
        {
            "run": run,
            "last": run.last_day,
            "rows": found.rows,
            "next_token": found.next_token,
            "causes": CAUSES,
            "kinds": [("", "Anything"), *((each.value, each.value.capitalize()) for each in FindingKind)],
            "reasons": [("", "Any cause"), *((each.cause.value, CAUSES[each.cause]) for each in run.causes)],
        },
    )


def _cancel(visit: Visit) -> Redirect:
    run = cancel_run(visit.records, visit.path["id"], now=visit.now)
    return Redirect(f"/reconciliationruns/{run.id}", notice="The comparison goes no further.")


def _correct(visit: Visit) -> Redirect:
    chosen = visit.form.texts("cause")
    if not chosen:
        raise Refusal("invalid_request", "cause: choose what to correct", field="cause")
    causes = tuple(Cause(each) for each in chosen if each in Cause.__members__)
    reach = Reach(visit.app, visit.organization.id)
    made = draft_from_run(
        reach,
        visit.path["id"],
        causes,
        id=new_id(),
        reason=visit.form.required("reason")[:500],
        actor=visit.actor,
        now=visit.now,
    )
    if made.accounts <= AT_ONCE:
        made = preview_correction(reach, made.id, up_to=visit.app.usage.mark, now=visit.now)
    notice = f"Drafted: {made.withdrawals:,} withdrawn, {made.additions:,} added once it is applied."
    return Redirect(f"/corrections/{made.id}", notice=notice)


PAGES = (
    Page(
        method="GET",
        path="/reconciliationruns/{id}",
        run=_run,
        title="A run of a reconciliation: accuracy by account and field, and causes",
        section="reconciliations",
    ),
    Page(
        method="GET",
        path="/reconciliationruns/{id}/findings",
        run=_findings,
        title="What a reconciliation found missing, extra or differing",
        section="reconciliations",
    ),
    Page(
        method="POST",
        path="/reconciliationruns/{id}/cancel",
        run=_cancel,
        title="Stop a run of a reconciliation",
        may=May.MEND,
        section="reconciliations",
        again=_run,
    ),
    Page(
        method="POST",
        path="/reconciliationruns/{id}/correction",
        run=_correct,
        title="Draft a correction from what a reconciliation found",
        may=May.MEND,
        section="reconciliations",
        again=_run,
    ),
)
