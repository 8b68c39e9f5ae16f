"""`tallystick account`: who is billed, with their plans, their credit and their bills."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.bill import account_id, money, plain, print_bills
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.printing import JsonOption, print_json, print_table, say

SHOWN_BILLS = 6

app = typer.Typer(help="Who is billed: accounts with their plans, credit and bills.", no_args_is_help=True)


@app.command("list")
@connected
def list_(
    connection: Connection,
    parent: Annotated[str | None, typer.Option(help="Code of an account: its children only.")] = None,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 100,
    json: JsonOption = False,
) -> None:
    """List accounts, newest first."""
    with connection.open() as client:
        path = "/accounts" if parent is None else f"/accounts/{account_id(client, parent)}/children"
        rows = [row for row, _ in zip(client.every(path), range(limit), strict=False)]
    if json:
        print_json(rows)
    else:
        print_table(
            ("account", "name", "currency", "email", "id"),
            [
                (row["code"], row["name"], row.get("currency", ""), row.get("emailAddress", ""), row["id"])
                for row in rows
            ],
        )


@app.command("show")
@connected
def show(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    json: JsonOption = False,
) -> None:
    """Show an account: its parent and children, its plans, what is left of its credit, and its latest bills."""
    with connection.open() as client:
        found = _everything(client, account_id(client, account))
    if json:
        print_json(found)
    else:
        _print(found)


def _everything(client: Client, id: str) -> dict[str, Any]:
    account = client.get(f"/accounts/{id}")
    parent = account.get("parentAccountId")
    plans = list(client.every("/accountplans", account=id))
    names = [each["planId"] for each in plans if each.get("planId")]
    known = {row["id"]: row for row in client.every("/plans", ids=names)} if names else {}
    return {
        "account": account,
        "parent": client.get(f"/accounts/{parent}") if parent else None,
        "children": list(client.every(f"/accounts/{id}/children")),
        "plans": [each | {"plan": known.get(each.get("planId"))} for each in plans],
        "balances": [
            each | {"live": client.get(f"/balances/{each['id']}/live")}
            for each in client.every("/balances", accountId=id)
        ],
        "commitments": list(client.every("/commitments", accountId=id)),
        "bills": client.get("/bills", accountId=id, pageSize=SHOWN_BILLS)["data"],
    }


def _print(found: dict[str, Any]) -> None:
    account = found["account"]
    say(f"{account['name']} ({account['code']})  {account.get('emailAddress', '')}".rstrip())
    if found["parent"] is not None:
        say(f"child of {found['parent']['name']} ({found['parent']['code']})")
    if found["children"]:
        say("parent of " + ", ".join(str(each["code"]) for each in found["children"]))
    print_table(
        ("plan", "from", "to"),
        [
            (
                each["plan"]["name"] if each["plan"] else f"group {each.get('planGroupId', '')}",
                each["startDate"],
                each.get("endDate", ""),
            )
            for each in found["plans"]
        ],
    )
    credit = [
        (each["name"], each["code"], money(each["amount"]), money(each["live"]["value"]), each["currency"])
        for each in found["balances"]
    ]
    credit += [
        (each.get("name", "Commitment"), "", money(each["amount"]), money(_left(each)), each["currency"])
        for each in found["commitments"]
    ]
    if credit:
        print_table(("credit", "code", "booked", "left now", "currency"), credit, right=("booked", "left now"))
    print_bills(found["bills"])


def _left(commitment: dict[str, Any]) -> Any:
    return commitment["amount"] - commitment.get("amountSpent", 0)


@app.command("known")
@connected
def known(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    at: Annotated[str, typer.Option("--at", help="The moment, such as 2025-02-03T12:00:00Z.", metavar="MOMENT")],
    until: Annotated[
        str | None, typer.Option(help="Last day of the billing period; the open one if absent.", metavar="DATE")
    ] = None,
    json: JsonOption = False,
) -> None:
    """What was known at a moment about a billing period, and what changed since: usage, configuration, money."""
    with connection.open() as client:
        path = f"/accounts/{account_id(client, account)}/known"
        found = client.get(path, knownAt=at, lastDateInBillingPeriod=until)
    if json:
        print_json(found)
        return
    for name in ("then", "now"):
        bill = found[name].get("bill")
        said = f"{bill['billTotal']} {bill['currency']}" if bill else f"no bill: {found[name].get('problem')}"
        say(f"{name}, with the journal up to {found[name]['journalPosition']}: {said}")
    if found["bridge"]:
        say(found["bridge"]["sentence"])
    for each in found["usage"]:
        then, now = plain(each["totalThen"]), plain(each["totalNow"])
        say(f"{each['method']} of {each['field']}: {then} then, {now} now")
    for each in found["configuration"]:
        say(f"{each['kind']} {each['id']}: version {each['versionThen']} then, {each['versionNow']} now")
