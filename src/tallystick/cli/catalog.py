"""`tallystick catalog`: the catalogue as files: pulled, validated, planned with its effect in money, applied, reverted.

How a command ends: 0 done, or nothing to change; 1 failed; 2 (of `plan` alone) there are changes; 3 a second person
must approve first; 4 the catalogue was changed since the plan was made; 64 called wrongly.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tallystick.cli.catalog_files import Loaded, load, save, schema_text
from tallystick.cli.catalog_shown import print_plan, print_version, print_versions
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure, Refused
from tallystick.cli.printing import JsonOption, print_json, progress, remark, say
from tallystick.core.period import Instant, day_start, local_day

CHANGES, WAITS, DRIFT, CALLED_WRONGLY = 2, 3, 4, 64
POLL_SECONDS = 0.2
ACTIVE = {"PENDING", "RUNNING"}


class _Group(TyperGroup):
    """Ends a command that was called wrongly otherwise than all others do: 2 is what `plan` says of changes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as problem:
            if not isinstance(problem, Failure):
                problem.exit_code = CALLED_WRONGLY
            raise


app = typer.Typer(cls=_Group, help="The catalogue as files: pull, plan, apply, history, revert.", no_args_is_help=True)

DirectoryArgument = Annotated[Path, typer.Argument(help="Directory of the files.", metavar="DIR")]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="When prices change: a day (in the organisation's time zone), a time, or next-month."),
]
ReasonOption = Annotated[str | None, typer.Option(help="Why, for the history.")]
UntilOption = Annotated[
    str | None, typer.Option(help="Last day of the billing periods that are simulated; of the last month if absent.")
]
SimulateOption = Annotated[bool, typer.Option(help="Simulate the effect on bills.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")]
AtOnceOption = Annotated[
    bool, typer.Option("--at-once", help="Agree that what cannot be dated changes at once, with --from.")
]


@app.command("pull")
@connected
def pull(connection: Connection, directory: DirectoryArgument = Path("catalog"), json: JsonOption = False) -> None:
    """Write the catalogue to files, a section a file; what is there is overwritten."""
    with connection.open() as client:
        found = client.get("/catalog")
    changed = save(directory, found["catalog"])
    if json:
        print_json({"digest": found["digest"], "written": [str(each) for each in changed]})
        return
    say(f"{directory}: {len(changed)} files written" if changed else f"{directory}: as it was, nothing written")
    if found.get("unnamed"):
        remark(f"without a code of their own, called by their names: {', '.join(found['unnamed'])}")


@app.command("validate")
def validate(directory: DirectoryArgument = Path("catalog")) -> None:
    """Check files by themselves, without a server: every problem with its file and its line."""
    _whole(load(directory))
    say(f"{directory}: nothing wrong with these files; `tallystick catalog plan` holds them to the rules of the server")


@app.command("plan")
@connected
def plan(
    connection: Connection,
    directory: DirectoryArgument = Path("catalog"),
    effective_from: FromOption = None,
    until: UntilOption = None,
    simulation: SimulateOption = True,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> int:
    """Show what files would change, and what that does to bills. Ends with 0 for no change, 2 for changes."""
    loaded = load(directory)
    _whole(loaded)
    with connection.open() as client:
        body = _body(client, effective_from, until, reason, simulation=simulation)
        made = _planned(client, {"catalog": loaded.catalog, **body}, loaded)
    print_json(made) if json else print_plan(made)
    return 0 if made["status"] == "NO_CHANGE" else CHANGES


@app.command("apply")
@connected
def apply(
    connection: Connection,
    directory: DirectoryArgument = Path("catalog"),
    plan: Annotated[str | None, typer.Option(help="Apply this plan instead of planning the files anew.")] = None,
    effective_from: FromOption = None,
    until: UntilOption = None,
    simulation: SimulateOption = True,
    reason: ReasonOption = None,
    at_once: AtOnceOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Make the catalogue what files say, or what a plan says: all of it or nothing."""
    with connection.open() as client:
        if plan is not None:
            return _apply(client, client.get(f"/catalog/plans/{plan}"), reason, at_once=at_once, yes=yes, json=json)
        loaded = load(directory)
        _whole(loaded)
        body = _body(client, effective_from, until, reason, simulation=simulation)
        made = _planned(client, {"catalog": loaded.catalog, **body}, loaded)
        return _apply(client, made, reason, at_once=at_once, yes=yes, json=json)


@app.command("revert")
@connected
def revert(
    connection: Connection,
    version: Annotated[int, typer.Argument(help="Number of the version to go back to.", metavar="VERSION")],
    effective_from: FromOption = None,
    until: UntilOption = None,
    simulation: SimulateOption = True,
    reason: ReasonOption = None,
    at_once: AtOnceOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Go back to a version of the history: planned and applied like any other change."""
    with connection.open() as client:
        body = _body(client, effective_from, until, reason, simulation=simulation)
        made = _planned(client, {"toVersion": version, **body}, None)
        return _apply(client, made, reason, at_once=at_once, yes=yes, json=json)


@app.command("history")
@connected
def history(
    connection: Connection,
    version: Annotated[int | None, typer.Argument(help="Number of a version: shows what it changed.")] = None,
    json: JsonOption = False,
) -> None:
    """List what was applied: when, by whom, why."""
    with connection.open() as client:
        rows = client.every("/catalog/versions")
        found = list(rows) if version is None else [each for each in rows if each["number"] == version]
    if version is not None and not found:
        raise Failure(f"there is no version {version} of the catalogue")
    if json:
        print_json(found if version is None else found[0])
    elif version is None:
        print_versions(found)
    else:
        print_version(found[0])


@app.command("approve")
@connected
def approve(connection: Connection, plan: Annotated[str, typer.Argument(help="Id of a plan.")]) -> None:
    """Approve a plan that another user made."""
    with connection.open() as client:
        made = client.post(f"/catalog/plans/{plan}/approve")
    say(f"Plan {made['id']} is {made['status']}: `tallystick catalog apply --plan {made['id']}` applies it.")


@app.command("reject")
@connected
def reject(connection: Connection, plan: Annotated[str, typer.Argument(help="Id of a plan.")]) -> None:
    """Give a plan up: it cannot be applied any more."""
    with connection.open() as client:
        made = client.post(f"/catalog/plans/{plan}/reject")
    say(f"Plan {made['id']} is {made['status']}.")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the files."""
    sys.stdout.write(schema_text())


# ------------------------------------------------------------------------------------------------------ parts


def _whole(loaded: Loaded) -> None:
    """Failure with every problem of the files, a line each."""
    if loaded.problems:
        count = len(loaded.problems)
        raise Failure("\n".join((f"{count} problem{'s' if count > 1 else ''}", *loaded.problems)))


def _body(
    client: Client, effective_from: str | None, until: str | None, reason: str | None, *, simulation: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {"simulate": simulation}
    if effective_from is not None:
        body["effectiveFrom"] = _moment(client, effective_from)
    if until is not None:
        body["lastDateInBillingPeriod"] = _day("--until", until).isoformat()
    if reason is not None:
        body["reason"] = reason
    return body


def _moment(client: Client, text: str) -> str:
    if "T" in text:
        try:
            return Instant.parse(text).wire()
        except ValueError as problem:
            raise Failure(f"--from: {problem}") from None
    zone = client.get("/organizationconfig")["timezone"]
    if text == "next-month":
        today = local_day(Instant.of(datetime.now(UTC)), zone)
        day = date(today.year + today.month // 12, today.month % 12 + 1, 1)
    else:
        day = _day("--from", text)
    return day_start(day, zone).wire()


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option}: must be a day such as 2025-07-01, got {text!r}") from None


def _planned(client: Client, body: dict[str, Any], loaded: Loaded | None) -> dict[str, Any]:
    try:
        made: dict[str, Any] = client.post("/catalog/plans", body)
    except Refused as problem:
        where = loaded.where(problem.field) if loaded is not None else ""
        raise (Failure(f"{where}: {problem.said}") if where else problem) from None
    with progress() as bar:
        task = bar.add_task("Simulating", total=(made.get("simulation") or {}).get("total"))
        while (made.get("simulation") or {}).get("status") in ACTIVE:
            time.sleep(POLL_SECONDS)
            made = client.get(f"/catalog/plans/{made['id']}")
            bar.update(task, completed=(made.get("simulation") or {}).get("done", 0))
    return made


def _apply(client: Client, made: dict[str, Any], reason: str | None, *, at_once: bool, yes: bool, json: bool) -> int:
    if not json:
        print_plan(made)
    if made["status"] == "NO_CHANGE":
        if json:
            print_json(made)
        return 0
    if made["status"] == "AWAITING_APPROVAL":
        remark(f"another user must approve it: `tallystick catalog approve {made['id']}`, or in the console")
        if json:
            print_json(made)
        return WAITS
    if not yes and not (sys.stdin.isatty() and typer.confirm("Apply this plan?")):
        raise Failure(f"nothing was applied: say --yes, or apply --plan {made['id']} --yes")
    body = {"atOnce": at_once, **({"reason": reason} if reason is not None else {})}
    try:
        version = client.post(f"/catalog/plans/{made['id']}/apply", body)
    except Refused as problem:
        ends = {"catalog_changed": DRIFT, "approval_required": WAITS}
        problem.exit_code = ends.get(problem.code, problem.exit_code)
        raise
    if json:
        print_json(version)
    else:
        say(f"Applied as version {version['number']}.")
        if "effectiveFrom" in version:
            say(
                "The files say what holds from then on; `tallystick catalog pull` writes the prices until then as well."
            )
    return 0
