"""`tallystick reconcile`: usage against a second source, and what is amiss. The exit code tells how accurate it is."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import ID_LENGTH, Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, progress, remark, say
from tallystick.core import wire

app = typer.Typer(
    help="Usage against a second source: how accurate it is, and the cause of every difference.", no_args_is_help=True
)

PART = 4_194_304  # bytes that are sent at once
POLL_SECONDS, SLOWEST_POLL_SECONDS = 0.1, 2.0
ACTIVE = {"PENDING", "RUNNING"}
EXITS = {"GOOD": 0, "WARNING": 3, "RED": 4}
NAMED_GROUPS = 20

NamedArgument = Annotated[str, typer.Argument(help="Name or id of a reconciliation.", metavar="RECONCILIATION")]
RunArgument = Annotated[str, typer.Argument(help="Id of a run.", metavar="RUN")]


@app.command("create")
@connected
def create(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="JSON file that says what is compared with what.", metavar="FILE")],
) -> None:
    """Keep what a reconciliation compares; prints it with its id. See docs/guides/reconciliation.md."""
    try:
        asked = wire.decode(dict[str, Any], file.read_bytes())
    except (OSError, msgspec.MsgspecError) as problem:
        raise Failure(f"{file}: cannot be read as a JSON object: {problem}") from None
    with connection.open() as client:
        print_json(client.post("/reconciliations", asked))


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List the reconciliations, each with its latest run."""
    with connection.open() as client:
        kept = list(client.every("/reconciliations"))
        latest = {each["id"]: _latest(client, each["id"]) for each in kept}
    if json:
        print_json([{**each, "latestRun": latest[each["id"]]} for each in kept])
        return
    rows = []
    for each in kept:
        run = latest[each["id"]] or {}
        days = f"{run['request']['startDate']} to {_last_day(run)}" if run else "never"
        told = (days, run.get("status", ""), _percent(run.get("accuracy")), run.get("level", ""))
        rows.append((each["name"], each["comparison"], each["source"]["type"], *told, each["id"]))
    columns = ("reconciliation", "by", "source", "latest days", "status", "accuracy", "level", "id")
    print_table(columns, rows, right=("accuracy",))


@app.command("run")
@connected
def run(
    connection: Connection,
    reconciliation: NamedArgument,
    file: Annotated[
        Path | None, typer.Argument(help="The file to compare with, where the source is an UPLOAD.", metavar="FILE")
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="The first day, such as 2026-03-01; yesterday if absent.")] = "",
    until: Annotated[str, typer.Option("--until", help="The last day; the first one if absent.")] = "",
    up_to: Annotated[
        int | None, typer.Option(help="Compare what was counted up to this journal position, such as a bill's.")
    ] = None,
    accept: Annotated[str, typer.Option(help="The level that is good enough: GOOD or WARNING.")] = "GOOD",
    json: JsonOption = False,
) -> None:
    """Compare usage with a source, and print what is amiss.

    Exits with 0 when it is GOOD (above 99.5%), 3 for WARNING (98 to 99.5%), 4 for RED, 1 when it could not be run.
    """
    if accept not in EXITS or accept == "RED":
        raise Failure(f"--accept: must be GOOD or WARNING, got {accept!r}")
    first = _day("--from", from_) if from_ else date.today() - timedelta(days=1)  # noqa: DTZ011  # of who types it
    last = _day("--until", until) if until else first
    body = {"startDate": first.isoformat(), "endDate": (last + timedelta(days=1)).isoformat(), "upTo": up_to}
    with connection.open() as client:
        body["reconciliationId"] = _find(client, reconciliation)["id"]
        if file is not None:
            body["uploadId"] = _send(client, file)
        asked = {name: value for name, value in body.items() if value is not None}
        _tell(client, _wait(client, client.post("/reconciliationruns", asked)), accept, json=json)


@app.command("show")
@connected
def show(
    connection: Connection,
    run: RunArgument,
    accept: Annotated[str, typer.Option(help="The level that is good enough: GOOD or WARNING.")] = "GOOD",
    json: JsonOption = False,
) -> None:
    """Show a run, once it has ended. The exit code is that of `tallystick reconcile run`."""
    with connection.open() as client:
        _tell(client, _wait(client, client.get(f"/reconciliationruns/{run}")), accept, json=json)


@app.command("findings")
@connected
def findings(
    connection: Connection,
    run: RunArgument,
    kind: Annotated[str | None, typer.Option(help="Only MISSING, EXTRA or DIFFERING.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only of this cause, such as DUPLICATE.")] = None,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 50,
    json: JsonOption = False,
) -> None:
    """List what is missing, extra or differs, the greatest quantities first."""
    with connection.open() as client:
        every = client.every(f"/reconciliationruns/{run}/findings", kind=kind, cause=cause)
        found = [each for each, _ in zip(every, range(limit), strict=False)]
    if json:
        print_json(found)
        return
    columns = ("kind", "cause", "account", "field", "day", "uid", "source", "here", "detail")
    rows = [
        (
            each["kind"],
            each["cause"],
            each["account"],
            f"{each['meter']}.{each['field']}",
            each.get("day", ""),
            each.get("uid", ""),
            each.get("source", ""),
            each.get("product", ""),
            each.get("detail", ""),
        )
        for each in found
    ]
    print_table(columns, rows, right=("source", "here"))


def _find(client: Client, named: str) -> dict[str, Any]:
    if len(named) == ID_LENGTH and named.count("-") == 4:
        found: dict[str, Any] = client.get(f"/reconciliations/{named}")
        return found
    rows = [each for each in client.every("/reconciliations") if named in {each["name"], each.get("code")}]
    if len(rows) != 1:
        which = "there is no reconciliation" if not rows else f"{len(rows)} reconciliations are"
        raise Failure(f"{which} named {named!r}: `tallystick reconcile list` shows them with their ids")
    return rows[0]


def _latest(client: Client, id: str) -> dict[str, Any] | None:
    rows = client.get("/reconciliationruns", reconciliationId=id, pageSize=1)["data"]
    return rows[0] if rows else None


def _send(client: Client, file: Path) -> str:
    """Send a file, part by part."""
    try:
        with file.open("rb") as parts, progress(of="bytes") as bar:
            task = bar.add_task("sending", total=file.stat().st_size)
            part = parts.read(PART)
            upload = client.send("/sourceuploads", part, name=file.name)
            sent = len(part)
            while part := parts.read(PART):
                bar.update(task, completed=sent)
                upload = client.send(f"/sourceuploads/{upload['id']}/parts", part, offset=sent)
                sent += len(part)
            bar.update(task, completed=sent)
    except OSError as problem:
        raise Failure(f"{file}: {problem.strerror or problem}") from None
    return str(upload["id"])


def _wait(client: Client, run: dict[str, Any]) -> dict[str, Any]:
    """Poll a run until it has ended; shows how many rows were read."""
    pause = POLL_SECONDS
    with progress(of="rows") as bar:
        task = bar.add_task("comparing", total=None)
        while run["status"] in ACTIVE:
            time.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
            run = client.get(f"/reconciliationruns/{run['id']}")
            bar.update(task, description=run.get("phase") or "comparing", completed=run.get("rows", 0))
    return run


def _tell(client: Client, run: dict[str, Any], accept: str, *, json: bool) -> None:
    """Print a run that has ended, and leave with its exit code."""
    if json:
        print_json(run)
    if run["status"] != "COMPLETE":
        raise Failure(f"the run {run['id']} is {run['status']}: {run.get('failure', 'somebody stopped it')}")
    if not json:
        _table(client, run)
    code = EXITS[run["level"]]
    if code > EXITS[accept]:
        raise typer.Exit(code)


def _table(client: Client, run: dict[str, Any]) -> None:
    of_records = f", {_percent(run['recordAccuracy'])} of measurements" if "recordAccuracy" in run else ""
    rows = f"{run.get('rows', 0):,} rows, {run.get('findings', 0):,} findings"
    say(f"{run['level']}: {_percent(run['accuracy'])}{of_records}; {rows} (run {run['id']})")
    for cause in run.get("causes", ()):
        detail = f" ({cause['detail']})" if cause.get("detail") else ""
        say(f"  {cause['cause']}{detail}: {cause['findings']:,} of {cause['accounts']:,} accounts")
    for problem in run.get("problems", ()):
        remark(problem)
    every = client.every(f"/reconciliationruns/{run['id']}/groups")
    groups = [each for each, _ in zip(every, range(NAMED_GROUPS), strict=False)]
    columns = ("account", "field", "source", "here", "missing", "extra", "differing", "accuracy", "level", "cause")
    print_table(
        columns,
        [
            (
                each["account"],
                f"{each['meter']}.{each['field']}",
                *(each[name] for name in ("source", "product", "missing", "extra", "differing")),
                _percent(each["accuracy"]),
                each["level"],
                " ".join(filter(None, (each.get("cause"), each.get("detail")))),
            )
            for each in groups
        ],
        right=("source", "here", "missing", "extra", "differing", "accuracy"),
    )
    if run.get("groups", 0) > len(groups):
        remark(f"the {len(groups)} least accurate of {run['groups']:,} are shown; --json and the API tell all")


def _percent(accuracy: object) -> str:
    return "" if accuracy is None else f"{accuracy:.2f}%"


def _last_day(run: dict[str, Any]) -> str:
    return (date.fromisoformat(run["request"]["endDate"]) - timedelta(days=1)).isoformat()


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option}: must be a day such as 2026-03-01, got {text!r}") from None
