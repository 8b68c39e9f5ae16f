"""`tallystick export`: usage, bills and all that is configured as files, made by the server and fetched."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.line import TIMEOUT
from tallystick.cli.printing import JsonOption, print_json, print_table, progress, remark, say

app = typer.Typer(help="Usage, bills and all that is configured, as files.", no_args_is_help=True)

POLL_SECONDS, SLOWEST_POLL_SECONDS = 0.1, 2.0
ACTIVE = {"PENDING", "RUNNING"}
JobArgument = Annotated[str, typer.Argument(help="Id of an export job.", metavar="JOB")]
FormatOption = Annotated[str, typer.Option("--format", help="csv, jsonl or parquet.")]
ToOption = Annotated[Path | None, typer.Option("--to", help="File or directory to write to; here if absent.")]
DestinationOption = Annotated[list[str], typer.Option("--destination", help="Id of a destination; may be repeated.")]
NONE: list[str] = []  # of an option that may be repeated; nothing is ever put into it
NO_FETCH = "Only ask for it: print the job, and fetch nothing."


@app.command("usage")
@connected
def usage(
    connection: Connection,
    start: Annotated[str, typer.Option("--from", help="First day, such as 2026-01-01, or an instant.")],
    end: Annotated[str, typer.Option("--until", help="The day before which it ends, or an instant.")],
    meter: Annotated[list[str], typer.Option(help="Only this meter, by id; may be repeated.")] = NONE,
    account: Annotated[list[str], typer.Option(help="Only this account, by id; may be repeated.")] = NONE,
    form: FormatOption = "csv",
    destination: DestinationOption = NONE,
    to: ToOption = None,
    ask: Annotated[bool, typer.Option("--ask", help=NO_FETCH)] = False,
) -> None:
    """Export measurements by when they happened."""
    body: dict[str, Any] = {"sourceType": "USAGE", "startDate": start, "endDate": end}
    body |= {"meterIds": meter, "accountIds": account}
    _export(connection, body, form, destination, to, ask=ask)


@app.command("records")
@connected
def records(
    connection: Connection,
    types: Annotated[
        list[str], typer.Argument(help="Types such as BILLS BILL_LINE_ITEMS ACCOUNTS.", metavar="TYPE...")
    ],
    form: FormatOption = "csv",
    destination: DestinationOption = NONE,
    to: ToOption = None,
    ask: Annotated[bool, typer.Option("--ask", help=NO_FETCH)] = False,
) -> None:
    """Export what is configured, billed and booked, as it is now."""
    body = {"sourceType": "OPERATIONAL", "operationalDataTypes": [each.upper() for each in types]}
    _export(connection, body, form, destination, to, ask=ask)


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List export jobs, the latest first."""
    with connection.open() as client:
        found = list(client.every("/dataexports/jobs"))
    if json:
        print_json(found)
        return
    rows = [
        (
            each["dateCreated"],
            each["sourceType"],
            each["exportFileFormat"],
            each.get("rowCount", ""),
            each.get("fileCount", ""),
            each["status"],
            each["id"],
        )
        for each in found
    ]
    print_table(("asked for", "what", "format", "rows", "files", "status", "id"), rows, right=("rows", "files"))


@app.command("show")
@connected
def show(
    connection: Connection,
    job: JobArgument,
    manifest: Annotated[bool, typer.Option("--manifest", help="The files of the job instead.")] = False,
) -> None:
    """Show a job; with --manifest what it consists of."""
    with connection.open() as client:
        print_json(client.get(f"/dataexports/jobs/{job}" + ("/manifest" if manifest else "")))


@app.command("download")
@connected
def download(connection: Connection, job: JobArgument, to: ToOption = None) -> None:
    """Fetch what a job made, once it has ended."""
    with connection.open() as client:
        _fetch(client, _wait(client, job), to)


def _export(
    connection: Connection, body: dict[str, Any], form: str, destinations: list[str], to: Path | None, *, ask: bool
) -> None:
    asked = {**body, "exportFileFormat": form.upper(), "destinationIds": destinations}
    with connection.open() as client:
        job_id = client.post("/dataexports/adhoc", asked)["jobId"]
        if ask:
            print_json({"jobId": job_id})
            return
        _fetch(client, _wait(client, job_id), to)


def _wait(client: Client, id: str) -> dict[str, Any]:
    """A job once it has ended well."""
    pause = POLL_SECONDS
    job: dict[str, Any] = client.get(f"/dataexports/jobs/{id}")
    with progress(of="rows") as bar:
        bar.add_task("exporting", total=None)
        while job["status"] in ACTIVE:
            time.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
            job = client.get(f"/dataexports/jobs/{id}")
    if job["status"] != "SUCCEEDED":
        raise Failure(f"the export {id} is {job['status']}: {job.get('failure', 'no reason is known')}")
    return job


def _fetch(client: Client, job: dict[str, Any], to: Path | None) -> None:
    """Write the download as it comes; nothing is left of one that breaks off."""
    link = client.get(f"/dataexports/jobs/{job['id']}/getdownloadurl")["url"]
    try:
        with httpx.stream("GET", link, timeout=TIMEOUT) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Failure(f"the download was refused: {answer.read().decode(errors='replace')[:300]}")
            found = re.search(r'filename="([^"/\\]+)"', answer.headers.get("content-disposition", ""))
            name = found[1] if found else f"export-{job['id']}"
            path = Path(name) if to is None else to / name if to.is_dir() else to
            unfinished = path.with_name(path.name + ".part")
            try:
                with unfinished.open("wb") as out:
                    for block in answer.iter_bytes():
                        out.write(block)
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)
    except httpx.HTTPError as problem:
        raise Failure(f"the download broke off: {problem}") from None
    except OSError as problem:
        raise Failure(f"cannot write {problem.filename}: {problem.strerror}") from None
    remark(f"{job['rowCount']} rows in {job['fileCount']} files, of journal position {job['journalPosition']}")
    say(str(path))
