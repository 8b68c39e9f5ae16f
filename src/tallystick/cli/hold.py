"""`tallystick hold`: bills that wait for a look, why, and their release; and usage that is out of the ordinary."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from tallystick.cli.bill import find_bill
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="Bills that are held: why, and their release with a reason.", no_args_is_help=True)

BillArgument = Annotated[str, typer.Argument(help="Bill id, or an account's code: its latest bill.", metavar="BILL")]


class Reason(StrEnum):
    """What was behind what looked unusual."""

    BUG = "bug"
    ABUSE = "abuse"
    GROWTH = "growth"


@app.command("list")
@connected
def list_(
    connection: Connection,
    released: Annotated[bool, typer.Option("--released", help="Those that were released instead.")] = False,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List held bills with what holds them, the latest held first."""
    with connection.open() as client:
        found = client.every("/billholds", state="RELEASED" if released else "HELD")
        holds = [hold for hold, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(holds)
    else:
        rows = [(hold["billId"], hold["dtHeld"], "; ".join(_why(hold))) for hold in holds]
        print_table(("bill", "held since", "why"), rows)


@app.command("place")
@connected
def place(
    connection: Connection,
    bill: BillArgument,
    note: Annotated[str, typer.Option(help="Why it is held.")],
) -> None:
    """Hold a pending bill, so that nobody approves it before it is released."""
    with connection.open() as client:
        client.post(f"/bills/{find_bill(client, bill)['id']}/hold", {"note": note})
    say(f"the bill {bill} is held")


@app.command("release")
@connected
def release(
    connection: Connection,
    bill: BillArgument,
    reason: Annotated[Reason, typer.Option(help="What was behind what looked unusual.")],
    note: Annotated[str, typer.Option(help="What else there is to say of it.")] = "",
) -> None:
    """Release a held bill. It can be approved then."""
    with connection.open() as client:
        client.post(f"/bills/{find_bill(client, bill)['id']}/release", {"reason": reason.value.upper(), "note": note})
    say(f"the bill {bill} is released: {reason.value}")


@connected
def anomalies(
    connection: Connection,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as SPIKE.")] = None,
    account: Annotated[str | None, typer.Option(help="Only of the account with this id.")] = None,
    since: Annotated[str | None, typer.Option(help="Only of this day and later ones.")] = None,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 50,
    json: JsonOption = False,
) -> None:
    """List usage that is out of the ordinary, the latest day first."""
    with connection.open() as client:
        found = client.every("/anomalies", kind=kind, accountId=account, dayStart=since)
        rows = [each for each, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(rows)
    else:
        print_table(
            ("day", "kind", "account", "what"),
            [(each["day"], each["kind"], each.get("accountId", "–"), each["message"]) for each in rows],
        )


def _why(hold: dict[str, Any]) -> list[str]:
    seen = hold.get("anomalies") or [each for past in hold.get("releases", ()) for each in past.get("anomalies", ())]
    found = [f"{each['kind']} on {each['day']}: {each['measured']}, usually {each['usual']}" for each in seen]
    return [*found, *([hold["note"]] if hold.get("note") else [])]
