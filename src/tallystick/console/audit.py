"""Who did what: every change, latest first, with what it changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

from tallystick.console.page import Html, Page, Visit
from tallystick.control.audit import told
from tallystick.control.desk import LABELS
from tallystick.core.period import Instant
from tallystick.core.user import May, User
from tallystick.errors import Refusal
from tallystick.ports import AuditWhere, Where
from tallystick.ports import Page as Part

SIZE = 50
ACTIONS = (
    "CREATE",
    "UPDATE",
    "DELETE",
    "CALCULATE",
    "REVOKE",
    "HOLD",
    "INVITE",
    "SIGN_IN",
    "SET_PASSWORD",
    "RENEW_SECRET",
    "PLAN",
    "APPROVE",
    "REJECT",
    "APPLY",
    "PAY",
    "REVERSE_PAYMENT",
)
EVERYBODY = Where()
OTHER_KINDS = {
    "bill": "bill",
    "billhold": "hold of a bill",
    "billjob": "bill job",
    "ledgerentry": "balance transaction",
    "journal": "journal entries",
    "failedmeasurement": "failed measurement",
    "replayjob": "replay of failed measurements",
    "reconciliationrun": "run of a reconciliation",
    "sourceupload": "file of a second source",
    "measurementfile": "file of measurements",
    "statementjob": "statement",
    "portalsession": "portal visit",
    "catalogplan": "plan of the catalogue",
    "usagecorrection": "correction of usage",
    "correctionmemo": "memo of a correction",
    "serviceuser": "API key",
}
# Where a thing has a page of its own.
PAGES_OF = {
    "account": "/accounts/{}",
    "bill": "/bills/{}",
    "billhold": "/bills/{}",
    "usagecorrection": "/corrections/{}",
    "meter": "/meters/{}",
    "reconciliation": "/reconciliations/{}",
    "reconciliationrun": "/reconciliationruns/{}",
    "plan": "/plans/{}",
    "user": "/users",
}

PRIVATE = frozenset({"user", "serviceuser"})  # of these, others than administrators see that something was done


def _audit(visit: Visit) -> Html:
    query = visit.query
    first, last = query.day("from"), query.day("to")
    where = AuditWhere(
        actor_id=query.text("actor"),
        kind=query.text("kind"),
        id=query.text("id"),
        action=query.text("action"),
        since=None if first is None else _midnight(visit, first),
        until=None if last is None else _midnight(visit, last, 1),
    )
    rows, next_token = told(visit.app.records, visit.records, where, Part(size=SIZE, token=query.text("nextToken")))
    if not visit.may(May.ADMINISTER):
        rows = tuple(replace(row, label="", changes=()) if row.entry.kind in PRIVATE else row for row in rows)
    kinds = {**LABELS, **OTHER_KINDS}
    people = [(each.id, each.value.name) for each in visit.records.find(User, EVERYBODY, Part(size=100)).rows]
    return Html(
        "audit.html",
        {
            "rows": rows,
            "next_token": next_token,
            "labels": kinds,
            "kinds": [("", "Anything"), *sorted(kinds.items(), key=lambda each: each[1])],
            "actions": [("", "Any action"), *((each, each.replace("_", " ").capitalize()) for each in ACTIONS)],
            "people": [("", "Anybody"), *people, ("operator", "The operator"), ("server", "The server itself")],
            "pages_of": PAGES_OF,
        },
    )


def _midnight(visit: Visit, day: date, later: int = 0) -> Instant:
    """The midnight that begins a day, or one `later`, in the organisation's zone."""
    try:
        return Instant.of(datetime.combine(day + timedelta(days=later), time(), visit.zone))
    except (OverflowError, ValueError):
        raise Refusal("invalid_request", f"from, to: {day} is beyond what a calendar holds") from None


PAGES = (Page(method="GET", path="/audit", run=_audit, title="Who did what, with what changed", section="settings"),)
