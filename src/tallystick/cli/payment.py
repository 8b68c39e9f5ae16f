"""`tallystick payment`: whether bills are paid, what was told of that, and payments that people record."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from tallystick.cli.bill import find_bill, money
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="Whether bills are paid, and payments that people record.", no_args_is_help=True)

BillArgument = Annotated[
    str, typer.Argument(help="Id of a bill, or the code of an account for its latest bill.", metavar="BILL")
]


class Told(StrEnum):
    """What can be recorded of a bill without an amount."""

    FAILED = "failed"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


@app.command("list")
@connected
def list_(
    connection: Connection,
    state: Annotated[
        str | None, typer.Option(help="unpaid, partially_paid, paid, failed, uncollectible or void.")
    ] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what should have been paid before today.")] = False,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 50,
    json: JsonOption = False,
) -> None:
    """List approved bills with how their payment stands, the latest period first."""
    with connection.open() as client:
        found = client.every("/billpayments", paidState=state and state.upper(), overdue="true" if overdue else None)
        rows = [each for each, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(rows)
    else:
        print_table(
            ("bill", "state", "due", "paid", "of", "currency"),
            [
                (
                    each["billId"],
                    _state(each),
                    each["dueDate"],
                    money(each["paid"]),
                    money(each["billTotal"]),
                    each["currency"],
                )
                for each in rows
            ],
            right=("paid", "of"),
        )


@app.command("show")
@connected
def show(connection: Connection, bill: BillArgument, json: JsonOption = False) -> None:
    """Show how the payment of a bill stands, with everything that was told of it."""
    with connection.open() as client:
        found = client.get(f"/bills/{find_bill(client, bill)['id']}/payments")
    _print(found, json=json)


@app.command("record")
@connected
def record(
    connection: Connection,
    bill: BillArgument,
    amount: Annotated[str | None, typer.Option(help="What was paid, in the currency of the bill.")] = None,
    told: Annotated[Told | None, typer.Option("--told", help="What happened instead of a payment.")] = None,
    at: Annotated[str | None, typer.Option(help="When, such as 2025-03-04T10:00:00Z; now if absent.")] = None,
    system: Annotated[str | None, typer.Option(help="Where it comes from, such as BANK.")] = None,
    reference: Annotated[str | None, typer.Option(help="Its reference there, such as a transfer's number.")] = None,
    note: Annotated[str | None, typer.Option(help="What else there is to say.")] = None,
    once: Annotated[str | None, typer.Option(help="A name of this payment: recorded again, it counts once.")] = None,
    json: JsonOption = False,
) -> None:
    """Record a payment of a bill, or that there is none."""
    body: dict[str, object | None] = {
        "type": told.value.upper() if told else "PAYMENT",
        "amount": amount,
        "paidAt": at,
        "system": system,
        "reference": reference,
        "note": note,
        "idempotencyKey": once,
    }
    with connection.open() as client:
        given = {name: each for name, each in body.items() if each is not None}
        found = client.post(f"/bills/{find_bill(client, bill)['id']}/payments", given)
    _print(found, json=json)


@app.command("reverse")
@connected
def reverse(
    connection: Connection,
    bill: BillArgument,
    payment: Annotated[str, typer.Argument(help="Id of what is taken back.", metavar="PAYMENT")],
    note: Annotated[str, typer.Option(help="Why.")] = "",
    json: JsonOption = False,
) -> None:
    """Take back what was recorded, as if it had never been told."""
    with connection.open() as client:
        path = f"/bills/{find_bill(client, bill)['id']}/payments/{payment}/reversal"
        found = client.post(path, {"note": note})
    _print(found, json=json)


def _print(found: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(found)
        return
    say(
        f"bill {found['billId']} is {_state(found)}: {money(found['paid'])} of {money(found['billTotal'])}"
        f" {found['currency']}, due {found['dueDate']}"
    )
    rows = [
        (
            each["id"],
            each["at"],
            each["type"],
            money(each["amount"]) if "amount" in each else "–",
            " ".join((each.get("system", "MANUAL"), each.get("reference", ""))).strip(),
        )
        for each in found["payments"]
    ]
    if rows:
        print_table(("payment", "when", "what", found["currency"], "from"), rows, right=(found["currency"],))


def _state(found: dict[str, Any]) -> str:
    return f"{found['paidState']}, overdue" if found["overdue"] else str(found["paidState"])
