"""`tallystick event`: what happened, the latest first, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table

app = typer.Typer(help="Events: what happened, and what came of it.", no_args_is_help=True)


@app.command("list")
@connected
def list_(
    connection: Connection,
    name: Annotated[str, typer.Option(help="Only events of this name, such as billing.bill.updated.")] = "",
    about: Annotated[str, typer.Option(help="Only events about the entity with this id.")] = "",
    rule: Annotated[str, typer.Option(help="Only what the notification rule with this code made.")] = "",
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List events, the latest first."""
    given = {"eventName": name, "resourceId": about, "notificationCode": rule}
    with connection.open() as client:
        found = client.every("/events", **{key: text for key, text in given.items() if text})
        events = [event for event, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(events)
    else:
        print_table(("event", "name", "when"), [(each["id"], each["eventName"], each["eventTime"]) for each in events])


@app.command("show")
@connected
def show(connection: Connection, event: Annotated[str, typer.Argument(help="Id of the event.")]) -> None:
    """Show an event, and the hand-overs that it made, as JSON."""
    with connection.open() as client:
        found = client.get(f"/events/{event}")
        runs = list(client.every("/integrationruns", eventId=event))
    print_json({**found, "integrationRuns": runs})
