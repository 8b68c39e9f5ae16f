"""Bill runs: started for a date, watched while they run, with what could not be billed; and previews."""

from __future__ import annotations

from tallystick.app import JobToRun
from tallystick.console.bill import groups_of
from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.bill_lists import accounts_named
from tallystick.control.desk import new_id
from tallystick.core.account import Account
from tallystick.core.bill_job import BillJob, BillJobRequest
from tallystick.core.entity import Entity
from tallystick.core.period import Frequency
from tallystick.core.user import May
from tallystick.errors import Refusal
from tallystick.pipeline.bill_job import cancel_job, create_job, list_job_states, read_job
from tallystick.pipeline.preview import preview_bill

PAGE_ROWS = 25
MOST_FAILURES = 200
FREQUENCIES = (Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY, Frequency.ANNUALLY)


def _jobs(visit: Visit) -> Html:
    found = list_job_states(visit.records, visit.query.page(highest=PAGE_ROWS))
    return Html(
        "bill_jobs.html",
        {
            "rows": found.rows,
            "next_token": found.next_token,
            "running": any(each.status.active for each in found.rows),
            "frequencies": (("", "Every frequency"), *((each.value, each.value.capitalize()) for each in FREQUENCIES)),
        },
    )


def _start(visit: Visit) -> Redirect:
    form = visit.form
    codes = (form.text("accounts") or "").replace(",", " ").split()
    request = BillJobRequest(
        account_ids=tuple(dict.fromkeys(_account_id(visit, code, "accounts") for code in codes)) or None,
        billing_frequency=form.choice("billingFrequency", Frequency),
        last_date_in_billing_period=form.day("lastDateInBillingPeriod"),
        bill_date=form.day("billDate"),
    )
    request.check()
    job = create_job(
        visit.records, request, id=new_id(), actor=visit.actor, now=visit.now, up_to=visit.app.journal.last
    )
    visit.app.jobs.put(JobToRun(visit.organization.id, job.id))
    return Redirect(f"/jobs/{job.id}", notice="The run has begun.")


def _account_id(visit: Visit, code: str, field: str) -> str:
    account = visit.records.by_code(Account, code)
    if account is None:
        raise Refusal("unknown_reference", f"{field}: there is no account with the code {code[:40]!r}", field=field)
    return account.id


def _job(visit: Visit) -> Html:
    job = read_job(visit.records, visit.path["id"])
    failures = job.failures[:MOST_FAILURES]
    return Html(
        "bill_job.html",
        {
            "job": job,
            "failures": failures,
            "codes": visit.records.codes(Account, {each.account_id for each in failures}) if failures else {},
            "asked": _asked(job),
        },
    )


def _asked(job: BillJob) -> str:
    """What a run is of, in words."""
    which = "all accounts" if job.account_ids is None else f"{len(job.account_ids)} chosen accounts"
    frequency = "" if job.billing_frequency is None else f"{job.billing_frequency.lower()} bills of "
    until = f", periods that end with {job.last_date_in_billing_period}" if job.last_date_in_billing_period else ""
    again = job.type == "RECALCULATE"
    return f"{job.total} bills made again" if again else f"{frequency}{which}{until}".capitalize()


def _cancel(visit: Visit) -> Redirect:
    cancel_job(visit.records, visit.path["id"], actor=visit.actor, now=visit.now)
    return Redirect(f"/jobs/{visit.path['id']}", notice="The run stops; the bills that it has made stay.")


def _preview(visit: Visit) -> Html:
    """The bill that an account would get now; a form that asks for the account, where none is named."""
    text = visit.query.text("account")
    values: dict[str, object] = {"bill": None, "problem": "", "groups": (), "account": text or "", "up_to": 0}
    if text is None:
        return Html("bill_preview.html", values)
    up_to = visit.app.usage.mark
    try:
        account = _account(visit, text)
        request = BillJobRequest(account_ids=(account.id,), billing_frequency=_frequency(visit))
        record = preview_bill(visit.records, visit.usage, request, actor=visit.actor, now=visit.now, up_to=up_to)
    except Refusal as refusal:
        return Html("bill_preview.html", values | {"problem": refusal.message})
    found = {"bill": record.bill, "groups": groups_of(record), "account": account.value.name, "up_to": up_to}
    return Html("bill_preview.html", values | found)


def _account(visit: Visit, text: str) -> Entity[Account]:
    """The account with a code, else the first one whose name or code has the text in it."""
    account = visit.records.by_code(Account, text)
    if account is None and (found := accounts_named(visit.records, text)):
        account = visit.records.get(Account, found[0])
    if account is None:
        raise Refusal("not_found", f"There is no account whose name or code has {text[:40]!r} in it.")
    return account


def _frequency(visit: Visit) -> Frequency | None:
    text = visit.query.text("billingFrequency")
    return Frequency(text) if text in FREQUENCIES else None


PAGES = (
    Page(method="GET", path="/jobs", run=_jobs, title="Bill runs", section="jobs"),
    Page(method="POST", path="/jobs", run=_start, title="Start a bill run", may=May.BILL, section="jobs", again=_jobs),
    Page(method="GET", path="/jobs/{id}", run=_job, title="A bill run and how far it has come", section="jobs"),
    Page(
        method="POST",
        path="/jobs/{id}/cancel",
        run=_cancel,
        title="Stop a bill run",
        may=May.BILL,
        section="jobs",
        again=_job,
    ),
    Page(method="GET", path="/preview", run=_preview, title="The bill of an open period, estimated", section="bills"),
)
