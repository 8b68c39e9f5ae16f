"""`tallystick bill bridge` and `verify`: why a bill is what it is, and that it still is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.bill import BillArgument, find_bill
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say

POLL_SECONDS = 0.2


def add_to(app: typer.Typer) -> None:
    """Add these commands to `tallystick bill`."""
    app.command("bridge")(bridge)
    app.command("verify")(verify)
    app.command("proof")(proof)


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


@connected
def verify(
    connection: Connection,
    bills: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of bills, or codes of accounts for their latest bills.", metavar="[BILL]..."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every bill of the organisation, by a job.")] = False,
    json: JsonOption = False,
) -> None:
    """Calculate bills again from what they recorded, and compare. Exits with 1 when one comes out differently."""
    if every == bool(bills):
        raise Failure("name bills, or say --all")
    with connection.open() as client:
        found = _all(client) if every else _some(client, bills or [])
    if json:
        print_json(found)
    else:
        say(f"{found['verified']:,} of {found['done']:,} bills stand up, {found['sealed']:,} of them sealed")
    for each in [] if json else found["failures"]:
        say(f"{each['accountCode']}, bill {each['billId']}: {each['difference']}")
    if found["failed"]:
        raise Failure(f"{found['failed']:,} bills do not come out as they are stored")


def _all(client: Client) -> dict[str, Any]:
    job: dict[str, Any] = client.post("/billverifications")
    while job["status"] in {"PENDING", "RUNNING"}:
        time.sleep(POLL_SECONDS)
        job = client.get(f"/billverifications/{job['id']}")
    return job


def _some(client: Client, bills: list[str]) -> dict[str, Any]:
    failures, sealed = [], 0
    for name in bills:
        found = find_bill(client, name)
        result = client.get(f"/bills/{found['id']}/verification")
        sealed += result["verified"] and result["sealed"]
        if not result["verified"]:
            told = {"billId": found["id"], "accountCode": found["accountCode"], "difference": result["difference"]}
            failures.append(told)
    verified = len(bills) - len(failures)
    return {
        "done": len(bills), "verified": verified, "sealed": sealed, "failed": len(failures), "failures": failures,
    }  # fmt: skip


@connected
def proof(
    connection: Connection,
    bill: BillArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; stdout if absent.")] = None,
) -> None:
    """Write the proof of a bill: a file from which anybody calculates it again, with `tallystick proof verify`."""
    with connection.open() as client:
        content = client.file(f"/bills/{find_bill(client, bill)['id']}/proof").content
    if output is None:
        typer.echo(content, nl=False)
        return
    output.write_bytes(content)
    say(f"wrote {output}")
