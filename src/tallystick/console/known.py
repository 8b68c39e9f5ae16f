"""What was believed about a period of an account at a moment, and what changed since."""

from __future__ import annotations

from datetime import timedelta

from tallystick.console.page import Html, Page, Visit
from tallystick.control.accounts import ACCOUNTS
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.known import Knowledge
from tallystick.errors import Refusal
from tallystick.pipeline.known import known, position_at


def _known(visit: Visit) -> Html:
    account = ACCOUNTS.retrieve(visit.records, visit.path["id"])
    moment = visit.query.instant("at")
    found: Knowledge | None = None
    problem = ""
    if moment is not None:
        if moment > visit.now:
            raise Refusal("invalid_request", "at: is yet to come", field="at")
        request = BillJobRequest(account_ids=(account.id,), last_date_in_billing_period=visit.query.day("until"))
        position = position_at(visit.app.journal, visit.app.usage, moment)
        now = (visit.now, visit.app.usage.mark)
        try:
            found = known(visit.records, visit.usage, request, at=(moment, position), now=now, actor=visit.actor)
        except Refusal as refusal:
            problem = refusal.message
    a_day_ago = (visit.now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:00Z")
    return Html(
        "known.html", {"account": account, "found": found, "problem": problem, "a_day_ago": a_day_ago, "at": moment}
    )


PAGES = (
    Page(
        method="GET",
        path="/accounts/{id}/known",
        run=_known,
        title="What was known of a period of an account at a moment",
        section="accounts",
    ),
)
