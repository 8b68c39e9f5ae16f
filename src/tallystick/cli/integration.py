"""`tallystick integration`: what is handed over to outside services, how that went, and handing over again."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="Integrations: what is handed over where, and how that went.", no_args_is_help=True)

ConfigArgument = Annotated[str, typer.Argument(help="Id of the integration configuration.")]


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List integration configurations."""
    with connection.open() as client:
        found = list(client.every("/integrationconfigs"))
    if json:
        print_json(found)
    else:
        rows = [
            (each["id"], each.get("name", ""), each["entityType"], each["destination"], _state(each["enabled"]))
            for each in found
        ]
        print_table(("integration", "name", "what", "where", "state"), rows)


@app.command("runs")
@connected
def runs(
    connection: Connection,
    status: Annotated[str, typer.Option(help="Only runs that stand so, such as ERROR.")] = "",
    integration: Annotated[str, typer.Option(help="Only runs of this integration configuration.")] = "",
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List hand-overs, those of the latest events first, with how they went."""
    given = {"status": status.upper(), "integrationConfigId": integration}
    with connection.open() as client:
        every = client.every("/integrationruns", **{key: text for key, text in given.items() if text})
        found = [run for run, _ in zip(every, range(limit), strict=False)]
    if json:
        print_json(found)
    else:
        rows = [
            (each["id"], each["destination"], each["entityType"], each["status"], each.get("error", ""))
            for each in found
        ]
        print_table(("run", "where", "what", "status", "error"), rows)


@app.command("retry")
@connected
def retry(connection: Connection, run: Annotated[str, typer.Argument(help="Id of the run.")]) -> None:
    """Hand over again what a run is about, under its id."""
    with connection.open() as client:
        client.post(f"/integrationruns/{run}/retry", {})
    say(f"the run {run} is handed over again")


@app.command("enable")
@connected
def enable(connection: Connection, integration: ConfigArgument) -> None:
    """Hand over from now on."""
    with connection.open() as client:
        client.post(f"/integrationconfigs/{integration}/enable", {})
    say(f"the integration {integration} is enabled")


@app.command("disable")
@connected
def disable(connection: Connection, integration: ConfigArgument) -> None:
    """Hand nothing over until it is enabled again."""
    with connection.open() as client:
        client.post(f"/integrationconfigs/{integration}/disable", {})
    say(f"the integration {integration} is disabled")


def _state(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
