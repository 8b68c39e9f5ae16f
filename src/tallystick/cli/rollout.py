"""`tallystick rollout`: shadow plans, experiments and migrations, which bring other prices to customers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.bill import money
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.core import wire

app = typer.Typer(help="Shadow plans, experiments and plan migrations.", no_args_is_help=True)
PATHS = {"shadow": "/shadowplans", "experiment": "/experiments", "migration": "/planmigrations"}

Kind = Annotated[str, typer.Argument(help="shadow, experiment or migration.", metavar="KIND")]
Named = Annotated[str, typer.Argument(help="Its code.", metavar="CODE")]
File = Annotated[str, typer.Argument(help="JSON file with it, in the fields of the API; - is stdin.", metavar="FILE")]


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List shadow plans, experiments and migrations."""
    with connection.open() as client:
        found = {kind: list(client.every(path)) for kind, path in PATHS.items()}
    if json:
        print_json(found)
        return
    rows = [
        (kind, each["code"], each["name"], each.get("startDate", each.get("notBefore")), _ends(each))
        for kind, of_kind in found.items()
        for each in of_kind
    ]
    print_table(("kind", "code", "name", "from", "until"), rows)


@app.command("create")
@connected
def create(connection: Connection, kind: Kind, file: File, json: JsonOption = False) -> None:
    """Create a shadow plan, an experiment or a migration from a file."""
    with connection.open() as client:
        made = client.post(_path(kind), _body(file))
    if json:
        print_json(made)
    else:
        say(f"{kind} {made['code']}: {made['id']}")


@app.command("preview")
@connected
def preview(connection: Connection, file: File, json: JsonOption = False) -> None:
    """Show whom a migration would move, and when. Nothing is kept."""
    with connection.open() as client:
        rows = client.post("/planmigrations/preview", _body(file))["data"]
    if json:
        print_json(rows)
    else:
        _print_moves(rows)


@app.command("show")
@connected
def show(connection: Connection, kind: Kind, code: Named, json: JsonOption = False) -> None:
    """Show what one has come to: shadow bills and moves, the outcome by variant, or the accounts that were moved."""
    path = _path(kind)
    with connection.open() as client:
        made = _named(client, path, code)
        one = f"{path}/{made['id']}"
        report = {} if kind == "migration" else client.get(f"{one}/report")
        moves = [] if kind == "experiment" else list(client.every(f"{one}/moves"))
    if json:
        print_json({**made, "report": report, "moves": moves})
    elif kind == "experiment":
        _print_variants(report)
    else:
        if kind == "shadow":
            _print_shadow(report)
        _print_moves(moves)


@app.command("delete")
@connected
def delete(connection: Connection, kind: Kind, code: Named) -> None:
    """Delete one, with what it has found. Accounts that were moved stay where they are."""
    path = _path(kind)
    with connection.open() as client:
        client.delete(f"{path}/{_named(client, path, code)['id']}")


def _path(kind: str) -> str:
    if kind not in PATHS:
        raise Failure(f"KIND: must be one of {', '.join(PATHS)}, got {kind!r}")
    return PATHS[kind]


def _body(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        return wire.decode(dict[str, Any], text.encode())
    except (OSError, ValueError) as problem:
        raise Failure(f"cannot read {name}: {problem}") from None


def _named(client: Client, path: str, code: str) -> dict[str, Any]:
    found = [each for each in client.every(path, codes=code) if each["code"] == code]
    if not found:
        raise Failure(f"there is none with the code {code!r}")
    return found[0]


def _ends(made: dict[str, Any]) -> str:
    return str(made.get("switchDate") or made.get("endDate") or "")


def _print_shadow(report: dict[str, Any]) -> None:
    columns = ("currency", "bills", "as it is", "shadow", "difference", "rise", "fall")
    rows = [
        (
            each["currency"],
            each["bills"],
            money(each["oldTotal"]),
            money(each["newTotal"]),
            money(each["difference"]),
            each["rises"],
            each["falls"],
        )
        for each in report["effects"]
    ]
    print_table(columns, rows, right=columns[1:])


def _print_variants(report: dict[str, Any]) -> None:
    rows = []
    for each in report["variants"]:
        for revenue in each["revenue"] or [None]:
            told = [money(revenue["revenue"]), money(revenue["averageBill"])] if revenue else ["", ""]
            currency = revenue["currency"] if revenue else ""
            rows.append((each["code"], each["accounts"], each["churned"], currency, *told))
    columns = ("variant", "accounts", "churned", "currency", "revenue", "average bill")
    print_table(columns, rows, right=("accounts", "churned", "revenue", "average bill"))


def _print_moves(rows: list[dict[str, Any]]) -> None:
    told = [(each["accountCode"], each.get("movedAt", ""), each.get("failure", "")) for each in rows]
    if told:
        print_table(("account", "from", "why not"), told)
