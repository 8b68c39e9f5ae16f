"""`tallystick measurement`: which lines of which bills a measurement is on, or why on none."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say


@connected
def measurement(
    connection: Connection,
    uid: Annotated[str, typer.Argument(help="The uid of a measurement.", metavar="UID")],
    json: JsonOption = False,
) -> None:
    """Show the lines of bills that a measurement is on, and for what else is counted of its meter why it is on none."""
    with connection.open() as client:
        found = client.get("/measurements/lines", uid=uid)
    if json:
        print_json(found)
        return
    if found["lines"]:
        rows = [
            (each["billId"], str(each["sequenceNumber"]), each["description"], each["aggregationName"])
            for each in found["lines"]
        ]
        print_table(("bill", "line", "for", "counted by"), rows, right=("line",))
    else:
        say(f"the measurement {found['uid']} is on no line")
    for each in found["others"]:
        name = each.get("aggregationName")
        say(f"{name}: {each['sentence']}" if name else each["sentence"])
