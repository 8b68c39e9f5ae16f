"""`tallystick scorecard`: how good metering and billing were in a month."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table


@connected
def scorecard(
    connection: Connection,
    month: Annotated[str | None, typer.Option(help="Such as 2025-01; the present month if absent.")] = None,
    json: JsonOption = False,
) -> None:
    """Show the scorecard of a month: each measure green, amber or red."""
    with connection.open() as client:
        found = client.get("/scorecard", month=month)
    if json:
        print_json(found)
        return
    print_table(
        ("measure", "light", "value", "green", "amber", found["month"]),
        [
            (
                each["measure"],
                each["light"],
                "–" if each["value"] is None else f"{each['value']} {each['unit']}",
                str(each["green"]),
                str(each["amber"]),
                each["sentence"],
            )
            for each in found["scores"]
        ],
        right=("value", "green", "amber"),
    )
