"""`tallystick job`: bill jobs, how far they are, and what could not be billed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.bill import require_no_failures, wait_for
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table

app = typer.Typer(help="Bill jobs: how far they are, and what could not be billed.", no_args_is_help=True)


@app.command("list")
@connected
def list_(
    connection: Connection,
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List bill jobs, newest first."""
    with connection.open() as client:
        found = client.every("/billjobs", active="true" if active else None)
        jobs = [job for job, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(jobs)
    else:
        print_table(
            ("job", "type", "status", "done", "of", "created"),
            [
                (job["id"], job.get("type", ""), job["status"], _done(job), job.get("total") or 0, job["dtCreated"])
                for job in jobs
            ],
            right=("done", "of"),
        )


@app.command("show")
@connected
def show(
    connection: Connection,
    job: Annotated[str | None, typer.Argument(help="Id of a bill job; the latest if absent.", metavar="JOB")] = None,
    json: JsonOption = False,
) -> None:
    """Show a bill job, with a progress bar until it has ended. Exits with 1 when an account could not be billed."""
    with connection.open() as client:
        found = wait_for(client, client.get(f"/billjobs/{job or _latest(client)}"))
    if json:
        print_json(found)
    else:
        rows = [(found["id"], found["status"], _done(found), found.get("total") or 0, len(found["failures"]))]
        print_table(("job", "status", "done", "of", "failed"), rows, right=("done", "of", "failed"))
    require_no_failures(found)


def _latest(client: Client) -> str:
    jobs = client.get("/billjobs", pageSize=1)["data"]
    if not jobs:
        raise Failure("there is no bill job yet: `tallystick bill run` makes one")
    return str(jobs[0]["id"])


def _done(job: dict[str, Any]) -> int:
    return int((job.get("total") or 0) - (job.get("pending") or 0))
