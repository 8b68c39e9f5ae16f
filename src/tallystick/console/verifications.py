"""Verifications of all bills: started, watched while they run, and the bills that do not stand up."""

from __future__ import annotations

from tallystick.console.page import Html, Page, Redirect, Visit
from tallystick.control.desk import new_id
from tallystick.pipeline.verify_job import create_job, list_jobs


def _list(visit: Visit) -> Html:
    found = list_jobs(visit.records, visit.query.page(highest=20))
    running = any(each.active for each in found.rows)
    return Html("verifications.html", {"rows": found.rows, "next_token": found.next_token, "running": running})


def _start(visit: Visit) -> Redirect:
    create_job(visit.records, id=new_id(), actor=visit.actor, now=visit.now)
    return Redirect("/verifications", notice="All bills are being verified.")


PAGES = (
    Page(method="GET", path="/verifications", run=_list, title="Verifications of all bills", section="bills"),
    Page(method="POST", path="/verifications", run=_start, title="Verify all bills", section="bills", again=_list),
)
