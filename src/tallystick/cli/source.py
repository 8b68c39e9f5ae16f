"""`tallystick source`: where usage is fetched from, how each source stands; files of measurements, sent by a link."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.core import wire

PATH = "/usagesources"
UPLOADS = "/fileuploads/measurements"
PART = 1_048_576
POLL_SECONDS = 0.2

app = typer.Typer(help="Where usage is fetched from by itself, and files of measurements.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="Code of a source.", metavar="CODE")]


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List sources with how each stands."""
    with connection.open() as client:
        rows = list(client.every(PATH))
    if json:
        print_json(rows)
        return
    shown = [(row, row["state"]) for row in rows]
    print_table(
        ("code", "type", "state", "received", "accepted", "duplicates", "failed", "waiting", "error"),
        [
            (
                row["code"],
                row["configuration"]["type"],
                state["status"],
                *(state[name] for name in ("received", "accepted", "duplicates", "failed")),
                "" if state["lag"] is None else state["lag"],
                state["error"] or "",
            )
            for row, state in shown
        ],
        right=("received", "accepted", "duplicates", "failed", "waiting"),
    )


@app.command("show")
@connected
def show(connection: Connection, code: Code) -> None:
    """Print a source as JSON, with how far it was read."""
    with connection.open() as client:
        print_json(_found(client, code))


@app.command("put")
@connected
def put(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="JSON of a source, as the API has it; - reads it from standard input.")],
) -> None:
    """Make a source, or change the one that has its code."""
    text = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    try:
        body = wire.decode(dict[str, Any], text)
    except ValueError as problem:
        raise Failure(f"{file}: {problem}") from None
    with connection.open() as client:
        known = next((row for row in client.every(PATH, codes=str(body.get("code", "")))), None)
        made = client.post(PATH, body) if known is None else client.put(f"{PATH}/{known['id']}", body)
    say(f"the source {made['code']} is {'made' if known is None else 'changed'}")


@app.command("credentials")
@connected
def credentials(
    connection: Connection,
    code: Code,
    forget: Annotated[bool, typer.Option("--forget", help="Forget what was given.")] = False,
) -> None:
    """Set what a source is read with: JSON on standard input, such as {"username": …, "password": …}."""
    body = {} if forget else wire.decode(dict[str, str], sys.stdin.buffer.read())
    with connection.open() as client:
        kept = client.put(f"{PATH}/{_found(client, code)['id']}/credentials", body)
    say(f"the source {code} has {'credentials' if kept['hasCredentials'] else 'no credentials'}")


@app.command("pause")
@connected
def pause(connection: Connection, code: Code) -> None:
    """Let a source rest."""
    _do(connection, code, lambda client, path: client.post(f"{path}/pause"), "rests")


@app.command("resume")
@connected
def resume(connection: Connection, code: Code) -> None:
    """Let a source go on where it was."""
    _do(connection, code, lambda client, path: client.post(f"{path}/resume"), "goes on")


@app.command("delete")
@connected
def delete(connection: Connection, code: Code) -> None:
    """Delete a source; what came from it stays counted."""
    _do(connection, code, lambda client, path: client.delete(path), "is deleted")


def _do(connection: Connection, code: str, act: Callable[[Client, str], object], outcome: str) -> None:
    with connection.open() as client:
        act(client, f"{PATH}/{_found(client, code)['id']}")
    say(f"the source {code} {outcome}")


@app.command("files")
@connected
def files(
    connection: Connection,
    code: Code,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 100,
    json: JsonOption = False,
) -> None:
    """List the files of a source with what became of their rows, the latest first."""
    with connection.open() as client:
        found = client.every(f"{PATH}/{_found(client, code)['id']}/files")
        rows = [row for row, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(rows)
        return
    names = ("rows", "accepted", "duplicates", "failed")
    print_table(
        ("file", "state", *names, "why"),
        [(row["name"], row["status"], *(row[name] for name in names), row["failureReason"] or "") for row in rows],
        right=names,
    )


@app.command("upload")
@connected
def upload(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help='JSON file: {"measurements": […]} or the bare list.', metavar="FILE")],
    json: JsonOption = False,
) -> None:
    """Send a file of measurements by a link, up to 1 GiB, and wait until it is taken. Exits with 1 when rows failed."""
    if not file.is_file():
        raise Failure(f"{file}: there is no such file")
    asked = {
        "fileName": file.name[:100],
        "contentType": "application/json",
        "contentLength": file.stat().st_size,
    }
    with connection.open() as client:
        link = client.post(f"{UPLOADS}/generateUploadUrl", asked)
        with file.open("rb") as body:
            reply = httpx.put(link["url"], content=iter(lambda: body.read(PART), b""), headers=link["headers"])
        if reply.is_error:
            raise Failure(f"{file}: {reply.json()['message']}")
        job = client.get(f"{UPLOADS}/jobs/{link['jobId']}")
        while job["status"] == "running":
            time.sleep(POLL_SECONDS)
            job = client.get(f"{UPLOADS}/jobs/{link['jobId']}")
    if json:
        print_json(job)
    elif job["status"] == "failed":
        raise Failure(f"{file}: {job['failureReason']}")
    else:
        counts = (f"{job.get(name, 0):,} {told}" for name, told in _COUNTS)
        say(", ".join(counts))
    if job["status"] == "failed" or job.get("failedRows", 0):
        raise typer.Exit(1)


def _found(client: Client, code: str) -> dict[str, Any]:
    row = next((row for row in client.every(PATH, codes=code)), None)
    if row is None:
        raise Failure(f"there is no source with the code {code!r}")
    return row


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise Failure(f"{file}: {problem.strerror}") from None


_COUNTS = (("processedRows", "rows"), ("duplicateRows", "counted before"), ("failedRows", "failed"))
