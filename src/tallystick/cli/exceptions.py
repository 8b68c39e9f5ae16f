"""`tallystick exceptions` and `tallystick dispute`: bespoke terms of customers, and disputes on bills."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.bill import find_bill
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="Bespoke terms of customers: who answers for them, and what drifts.", no_args_is_help=True)
disputes = typer.Typer(help="Disputes on bills: open, take up, resolve.", no_args_is_help=True)


@app.command("list")
@connected
def list_(
    connection: Connection,
    drift: Annotated[bool, typer.Option("--drift", help="Only contracts that drift from what was agreed.")] = False,
    json: JsonOption = False,
) -> None:
    """List every bespoke term, those to be looked at first."""
    with connection.open() as client:
        rows = list(client.every("/bespoketerms", drift="true" if drift else None))
    if json:
        print_json(rows)
        return
    print_table(
        ("kind", "account", "what", "owner", "review", "approved by", "to be looked at"),
        [
            (
                each["kind"],
                each["accountCode"],
                each["name"],
                each.get("owner", ""),
                str(each.get("reviewDate", "")),
                each.get("approvedBy", ""),
                ", ".join(each.get("concerns", ())),
            )
            for each in rows
        ],
    )


@app.command("count")
@connected
def count(connection: Connection, json: JsonOption = False) -> None:
    """Count bespoke terms by kind, and those to be looked at."""
    with connection.open() as client:
        kinds = client.get("/bespoketerms/counts")["kinds"]
    if json:
        print_json(kinds)
        return
    heads = ("kind", "terms", "withoutOwner", "reviewDue", "notApproved", "drifting")
    shown = ("kind", "terms", "without owner", "review due", "not approved", "drifting")
    print_table(shown, [tuple(str(each[name]) for name in heads) for each in kinds], right=shown[1:])


@disputes.command("list")
@connected
def list_disputes(
    connection: Connection,
    state: Annotated[str | None, typer.Option(help="OPEN, UNDER_REVIEW, RESOLVED or WITHDRAWN.")] = None,
    json: JsonOption = False,
) -> None:
    """List disputes, newest first."""
    with connection.open() as client:
        rows = list(client.every("/disputes", state=state))
    if json:
        print_json(rows)
        return
    heads = ("id", "billId", "reason", "state", "outcome", "credited")
    print_table(
        ("dispute", "bill", "reason", "state", "outcome", "credited"),
        [tuple(str(each.get(name, "")) for name in heads) for each in rows],
        right=("credited",),
    )


@disputes.command("open")
@connected
def open_(
    connection: Connection,
    bill: Annotated[str, typer.Argument(help="Id of a bill, or the code of an account.", metavar="BILL")],
    description: Annotated[str, typer.Argument(help="What is disputed, in words.", metavar="DESCRIPTION")],
    reason: Annotated[str, typer.Option(help="USAGE, PRICE, DUPLICATE, SERVICE or OTHER.")] = "OTHER",
    line: Annotated[int | None, typer.Option(help="Number of the line; the whole bill if absent.")] = None,
    amount: Annotated[str | None, typer.Option(help="How much is disputed.")] = None,
    json: JsonOption = False,
) -> None:
    """Open a dispute on a bill, or on a line of it."""
    with connection.open() as client:
        found = find_bill(client, bill)
        body = {"billId": found["id"], "reason": reason, "description": description}
        if line is not None:
            body["lineItemId"] = next(
                (each["id"] for each in found["lineItems"] if each["sequenceNumber"] == line), str(line)
            )
        made = client.post("/disputes", body | ({"amount": amount} if amount else {}))
    if json:
        print_json(made)
    else:
        say(f"opened the dispute {made['id']}")


@disputes.command("resolve")
@connected
def resolve(
    connection: Connection,
    dispute: Annotated[str, typer.Argument(help="Id of a dispute.", metavar="DISPUTE")],
    outcome: Annotated[str, typer.Argument(help="ACCEPTED, PARTLY_ACCEPTED or REJECTED.", metavar="OUTCOME")],
    note: Annotated[str, typer.Option("--note", help="What was found.")],
    credit: Annotated[str | None, typer.Option(help="What is given back.")] = None,
    on: Annotated[str | None, typer.Option(help="The bill that gives it; the disputed one if absent.")] = None,
    json: JsonOption = False,
) -> None:
    """Resolve a dispute; what is given back is a credit on an open bill."""
    body = {"outcome": outcome, "note": note}
    with connection.open() as client:
        if credit is not None:
            body |= {"credit": credit}
        if on is not None:
            body |= {"memoBillId": find_bill(client, on)["id"]}
        made = client.post(f"/disputes/{dispute}/resolution", body)
    if json:
        print_json(made)
    else:
        back = f", {made['credited']} given back on the bill {made['memoBillId']}" if "credited" in made else ""
        say(f"resolved the dispute {made['id']}: {made['outcome']}{back}")
