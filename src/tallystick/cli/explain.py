"""`tallystick explain` and `tallystick verify`: why a bill says what it says, and that it still does."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.bill import BillArgument, find_bill
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, say


@connected
def explain(
    connection: Connection,
    bill: BillArgument,
    line: Annotated[
        int | None, typer.Argument(help="Number of a line, as `bill show` prints it; all if absent.", metavar="LINE")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Explain a bill, or one line of it: each line as one sentence and as the steps of its arithmetic."""
    with connection.open() as client:
        found = find_bill(client, bill)
        lines = explanations(client, found["id"])
    if line is not None:
        lines = [each for each in lines if each["sequenceNumber"] == line]
        if not lines:
            raise Failure(f"there is no line {line} on this bill: its lines have the numbers that `bill show` prints")
    if json:
        print_json(lines)
    else:
        print_explanation(lines)


@connected
def verify(connection: Connection, bill: BillArgument, json: JsonOption = False) -> None:
    """Calculate a bill again from what it recorded, and compare. Exits with 1 when it comes out differently."""
    with connection.open() as client:
        found = find_bill(client, bill)
        result: dict[str, Any] = client.get(f"/bills/{found['id']}/verification")
    if json:
        print_json(result)
    elif result["verified"]:
        say(f"the bill {found['id']} matches: calculated again, it has the same digest {result['recordedDigest']}")
    if not result["verified"]:
        raise Failure(f"the bill {found['id']} does not match: {result['difference']}")


def explanations(client: Client, bill_id: str) -> list[dict[str, Any]]:
    """The explanation of every line of a bill, in their order."""
    lines: list[dict[str, Any]] = client.get(f"/bills/{bill_id}/explanation")["lines"]
    return lines


def print_explanation(lines: list[dict[str, Any]]) -> None:
    """Each line: its sentence, and its steps below it."""
    for each in lines:
        say(f"{each['sequenceNumber']}. {each['sentence']}")
        for step in each["steps"]:
            say(f"     {step}")
