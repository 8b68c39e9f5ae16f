"""Statements of bills over HTTP: links to the usage behind a bill, as JSON and as CSV, and what the links open."""

from __future__ import annotations

import msgspec

from tallystick.api.crud import desk_of
from tallystick.api.routing import Call, Raw, Route
from tallystick.control import bills, statement_jobs
from tallystick.core import wire
from tallystick.core.statement import as_csv
from tallystick.core.statement_types import StatementJobStatus
from tallystick.errors import Refusal
from tallystick.web.links import sign

DOWNLOAD = "statements/download"
JSON, CSV = "json", "csv"
TAG = "Statements"


class StatementLinkReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the statement can be fetched without a token, for five minutes."""

    download_url: str


def link_to(call: Call, job_id: str, form: str) -> str:
    """A link to the statement that a job made."""
    path = f"/organizations/{call.organization_id}/{DOWNLOAD}"
    return call.base_url + sign(call.app.key, path, {"statement": job_id, "format": form}, call.now)


def create_csv(call: Call) -> StatementLinkReply:
    """Make the statement of a bill now, as JSON and CSV."""
    bill_id = bills.get_bill(call.records, call.path["id"]).bill.id
    desk = desk_of(call)
    (job,) = statement_jobs.create_jobs(desk, [bill_id], csv=True, filters=None, batch=False)
    done = statement_jobs.run_job(desk, call.usage, job.id, call.app.usage.mark)
    if done is None:
        raise Refusal("busy", "the usage of this bill is being read in; its statement will be made after that")
    if done.statement_job_status is not StatementJobStatus.COMPLETE:
        raise Refusal("rule_broken", f"id: there is no statement of this bill: {done.failure}", field="id")
    return StatementLinkReply(download_url=link_to(call, job.id, CSV))


def retrieve_csv(call: Call) -> StatementLinkReply:
    """The latest statement of a bill as CSV."""
    return _latest(call, CSV)


def retrieve_json(call: Call) -> StatementLinkReply:
    """The latest statement of a bill as JSON."""
    return _latest(call, JSON)


def _latest(call: Call, form: str) -> StatementLinkReply:
    bill_id = bills.get_bill(call.records, call.path["id"]).bill.id
    job = statement_jobs.latest_complete(call.records, bill_id, csv=form == CSV)
    if job is None:
        message = f"id: the bill {bill_id} has no {form.upper()} statement; ask for one with a statement job"
        raise Refusal("not_found", message, field="id")
    return StatementLinkReply(download_url=link_to(call, job.id, form))


def download(call: Call) -> Raw:
    """The statement itself; the link was checked before."""
    statement = statement_jobs.read_statement(call.records, call.query.text("statement") or "")
    name = f"statement-{statement.account_code}-{statement.start_date}"
    if call.query.text("format") == CSV:
        return Raw(as_csv(statement), "text/csv", f"{name}.csv")
    return Raw(wire.encode(statement), "application/json", f"{name}.json")


ROUTES = (
    Route(
        method="POST",
        path="/bills/{id}/statement/csv",
        run=create_csv,
        summary="Make the statement of a bill, with a short-lived link to it as CSV",
        tag=TAG,
        scope="config:update",
        reply=StatementLinkReply,
    ),
    Route(
        method="GET",
        path="/bills/{id}/statement/csv",
        run=retrieve_csv,
        summary="Get a short-lived link to a bill's statement as CSV",
        tag=TAG,
        scope="config:retrieve",
        reply=StatementLinkReply,
    ),
    Route(
        method="GET",
        path="/bills/{id}/statement/json",
        run=retrieve_json,
        summary="Get a short-lived link to a bill's statement as JSON",
        tag=TAG,
        scope="config:retrieve",
        reply=StatementLinkReply,
    ),
    Route(
        method="GET",
        path="/" + DOWNLOAD,
        run=download,
        summary="Fetch a statement, by such a link",
        tag=TAG,
        scope="config:retrieve",
        reply=Raw,
        query={
            "statement": "The job that made it.",
            "format": "csv or json.",
            "expires": "When the link ends, in seconds since 1970.",
            "signature": "What proves the link.",
        },
        signed=True,
    ),
)
