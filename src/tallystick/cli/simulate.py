"""`tallystick simulate`: what bills of a past period would be under another catalogue, for every customer."""

from __future__ import annotations

import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.bill import account_id, money
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, progress, remark, say
from tallystick.core import wire

POLL_SECONDS = 0.2
SHOWN = 10  # winners, and losers
ACTIVE = {"PENDING", "RUNNING"}


@connected
def simulate(
    connection: Connection,
    candidate: Annotated[
        str | None,
        typer.Argument(help="JSON file of the candidate (- is stdin); the catalogue as it is if absent."),
    ] = None,
    until: Annotated[str, typer.Option(help="Last day of the billing periods, such as 2025-01-31.")] = "",
    plan: Annotated[str | None, typer.Option(help="Code of a plan: only accounts that have it.")] = None,
    account: Annotated[list[str] | None, typer.Option(help="Code of an account; all if absent.")] = None,
    segment_by: Annotated[
        list[str] | None, typer.Option(help="plan, product, billingFrequency or customFields.NAME; up to three.")
    ] = None,
    cap: Annotated[
        str | None, typer.Option(help="Percentage by which no bill may rise more: what that costs is told.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every bill to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Simulate bills under a candidate: old and new bill of every customer, winners and losers, segments, the cost of a
    cap, margins. Nothing is changed."""
    body: dict[str, Any] = {"candidate": _candidate(candidate), "lastDateInBillingPeriod": _day(until)}
    if segment_by:
        body["segmentBy"] = segment_by
    if cap is not None:
        body["cap"] = {"percent": _percent(cap)}
    with connection.open() as client:
        if account:
            body["accountIds"] = [account_id(client, code) for code in account]
        if plan is not None:
            body["planId"] = _plan_id(client, plan)
        made = _wait(client, client.post("/simulations", body))
        ends = {
            which: client.get(f"/simulations/{made['id']}/bills", outcome=which, pageSize=SHOWN)["data"]
            for which in ("RISES", "FALLS", "FAILS")
        }
        if csv is not None:
            csv.write_bytes(client.file(f"/simulations/{made['id']}/csv").content)
    if made["status"] != "COMPLETE":
        raise Failure(f"the simulation {made['id']} ended as {made['status']}: {made.get('failure', '')}")
    if json:
        print_json({**made, "winners": ends["FALLS"], "losers": ends["RISES"], "failures": ends["FAILS"]})
    else:
        _print(made, ends)


def _candidate(name: str | None) -> object:
    if name is None:
        return {}
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        return wire.decode(dict[str, Any], text.encode())
    except (OSError, ValueError) as problem:
        raise Failure(f"cannot read the candidate {name}: {problem}") from None


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Failure(f"--until: name the last day of the billing periods, such as 2025-01-31; got {text!r}") from None


def _percent(text: str) -> Decimal:
    try:
        return Decimal(text.removesuffix("%"))
    except ArithmeticError:
        raise Failure(f"--cap: give a percentage such as 20; got {text!r}") from None


def _plan_id(client: Client, code: str) -> str:
    found = [each["id"] for each in client.every("/plans") if each["code"] == code]
    if not found:
        raise Failure(f"there is no plan with the code {code!r}")
    return str(found[0])


def _wait(client: Client, made: dict[str, Any]) -> dict[str, Any]:
    with progress() as bar:
        task = bar.add_task("Simulating", total=made["total"])
        while made["status"] in ACTIVE:
            time.sleep(POLL_SECONDS)
            made = client.get(f"/simulations/{made['id']}")
            bar.update(task, completed=made["done"])
    return made


def _print(made: dict[str, Any], ends: dict[str, list[dict[str, Any]]]) -> None:
    say(f"{made['done']} bills of periods that end with {made['request']['lastDateInBillingPeriod']}")
    columns = (
        "customers",
        "bills",
        "as it is",
        "would be",
        "difference",
        "rise",
        "fall",
        "same",
        "cap costs",
        "margin",
    )
    rows = [_row(f"all in {each['currency']}", each) for each in made["effects"]]
    rows += [_row(f"{each['by']} {each['value']}", each["effect"]) for each in made.get("segments", ())]
    print_table(columns, rows, right=columns[1:])
    for which, title in (("RISES", "pay more"), ("FALLS", "pay less")):
        if ends[which]:
            say(f"\nThose who would {title}, most first")
            print_table(
                ("account", "as it is", "would be", "difference", "capped"),
                [
                    (
                        each["accountCode"],
                        money(each["oldTotal"]),
                        money(each["newTotal"]),
                        money(each["difference"]),
                        money(each["cappedTotal"]) if "cappedTotal" in each else "",
                    )
                    for each in ends[which]
                ],
                right=("as it is", "would be", "difference", "capped"),
            )
    if made["failed"]:
        remark(f"{made['failed']} bills cannot be compared, such as")
        for each in ends["FAILS"]:
            remark(f"  {each['accountCode']}: {each['failure']}")


def _row(name: str, effect: dict[str, Any]) -> tuple[object, ...]:
    margin = ""
    if effect["measured"]:
        cost = Decimal(effect["cost"])
        old, new = (Decimal(effect[f"{side}MeasuredCharges"]) - cost for side in ("old", "new"))
        margin = f"{money(old)} → {money(new)}"
    return (
        name,
        effect["bills"],
        money(effect["oldTotal"]),
        money(effect["newTotal"]),
        money(effect["difference"]),
        effect["rises"],
        effect["falls"],
        effect["same"],
        money(effect["capCost"]) if effect["capBills"] else "",
        margin,
    )
