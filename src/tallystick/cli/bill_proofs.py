"""`tallystick bill bridge` and others: why a bill is what it is, and proof of it."""

from __future__ import annotations

import typer

from tallystick.cli.bill import BillArgument, find_bill
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say


def add_to(app: typer.Typer) -> None:
    """Add these commands to `tallystick bill`."""
    app.command("bridge")(bridge)


@connected
def bridge(connection: Connection, bill: BillArgument, json: JsonOption = False) -> None:
    """Go from the bill before to this one in five steps: volume, price, mix, credits and corrections."""
    with connection.open() as client:
        found = client.get(f"/bills/{find_bill(client, bill)['id']}/bridge")
    if json:
        print_json(found)
        return
    say(found["sentence"])
    if found["steps"]:
        rows = [("Bill before", f"{found['totalBefore']}")]
        rows += [(step["cause"].capitalize(), f"{step['amount']}") for step in found["steps"]]
        print_table(
            ("step", found["currency"]), [*rows, ("This bill", f"{found['total']}")], right=(found["currency"],)
        )
