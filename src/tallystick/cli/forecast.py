"""`tallystick forecast`: what the open billing periods of an account come to at this pace."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.bill import account_id, plain
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say


@connected
def forecast(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    json: JsonOption = False,
) -> None:
    """Forecast what the open billing periods of an account come to, by the method PACE: what adds up goes on as it has
    since the period began."""
    with connection.open() as client:
        found = client.get(f"/accounts/{account_id(client, account)}/forecast")
    if json:
        print_json(found)
        return
    print_table(
        ("from", "to", "so far", f"by {found['method'].lower()}", "to pay", ""),
        [
            (
                each["startDate"],
                each["endDate"],
                plain(each["soFar"]),
                "–" if each["forecast"] is None else plain(each["forecast"]),
                "–" if each["toPay"] is None else plain(each["toPay"]),
                each["currency"],
            )
            for each in found["periods"]
        ],
        right=("so far", f"by {found['method'].lower()}", "to pay"),
    )
    for problem in found["problems"]:
        say(problem)
