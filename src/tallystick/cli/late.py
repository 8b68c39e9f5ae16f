"""`tallystick late`: what came after the periods of bills, and where it was billed."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.bill import account_id
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say


@connected
def late(
    connection: Connection,
    account: Annotated[str | None, typer.Argument(help="Code of an account; all if absent.", metavar="ACCOUNT")] = None,
    since: Annotated[str | None, typer.Option(help="Only bills of this day and later ones.")] = None,
    limit: Annotated[int, typer.Option(help="How many rows to show at most.", min=1)] = 100,
    json: JsonOption = False,
) -> None:
    """List usage that came after the period of its bill, and where it was billed: bill by bill, meter by meter."""
    with connection.open() as client:
        only = None if account is None else account_id(client, account)
        found = client.every("/lateusage", accountId=only, billDateStart=since)
        rows = [each for each, _ in zip(found, range(limit), strict=False)]
        meters = {each["id"]: each["code"] for each in client.every("/meters")}
    if json:
        print_json(rows)
        return
    if not rows:
        say("nothing came late")
        return
    print_table(
        ("account", "period until", "meter", "late", "after the bill", "last came", "where it was billed"),
        [
            (
                each["accountCode"],
                each["endDate"],
                meters.get(each["meterId"], each["meterId"]),
                each["late"],
                each["afterBill"],
                each["lastReceived"],
                _where(each),
            )
            for each in rows
        ],
        right=("late", "after the bill"),
    )


def _where(row: dict[str, object]) -> str:
    adjusted = row["adjustedOn"]
    assert isinstance(adjusted, list), "a list of bills"
    told = ", ".join(f"{each['amount']} on {each['billId']}" for each in adjusted)
    return f"{row['outcome']}: {told}" if told else str(row["outcome"])
