"""`tallystick identity`: whose usage it is that names an API key, a workspace or a wallet, and what waits for one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.bill import account_id
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.cli.rows import Cells, format_of, open_rows

app = typer.Typer(help="Whose usage it is that names an API key, a workspace or a wallet.", no_args_is_help=True)

SHOWN = 12  # characters of a hash
TypeArgument = Annotated[str, typer.Argument(help="Type of the identity, such as apiKey.", metavar="TYPE")]
ValueArgument = Annotated[str, typer.Argument(help="Its value; - reads it from the standard input.", metavar="VALUE")]
FingerprintArgument = Annotated[str, typer.Argument(help="Fingerprint of an identity that usage waits for.")]
AccountOption = Annotated[str, typer.Option(help="Code of the account whose usage it is.")]
FromOption = Annotated[str | None, typer.Option("--from", help="From when on; always if absent.")]
UntilOption = Annotated[str | None, typer.Option(help="Until before when; for ever if absent.")]
PriorityOption = Annotated[int, typer.Option(help="Of several at a time the highest decides.", min=0)]


@app.command("list")
@connected
def list_(
    connection: Connection,
    account: Annotated[str | None, typer.Option(help="Code of an account: its identities only.")] = None,
    type: Annotated[str | None, typer.Option(help="Identities of this type only.")] = None,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 100,
    json: JsonOption = False,
) -> None:
    """List identities, newest first. Of secrets the fingerprint is shown."""
    with connection.open() as client:
        whose = None if account is None else account_id(client, account)
        found = client.every("/identities", accountId=whose, type=type)
        rows = [row for row, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(rows)
        return
    print_table(
        ("type", "identity", "account", "from", "until", "priority", "id"),
        [
            (
                row["type"],
                _shown(row),
                row["accountId"],
                row.get("startDate", ""),
                row.get("endDate", ""),
                row["priority"],
                row["id"],
            )
            for row in rows
        ],
        right=("priority",),
    )


@app.command("add")
@connected
def add(
    connection: Connection,
    type: TypeArgument,
    value: ValueArgument,
    account: AccountOption,
    start: FromOption = None,
    until: UntilOption = None,
    priority: PriorityOption = 0,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    shown: Annotated[bool, typer.Option("--shown", help="It is no secret: keep its value in words.")] = False,
    json: JsonOption = False,
) -> None:
    """Say whose usage an identity is. What waits for it counts within seconds."""
    with connection.open() as client:
        body = {"type": type, "value": _read(value), "sensitive": not shown, **_dates(start, until), "name": name}
        made = client.post("/identities", {**body, "priority": priority, "accountId": account_id(client, account)})
    _added(made, account, json=json)


@app.command("give")
@connected
def give(
    connection: Connection,
    fingerprint: FingerprintArgument,
    account: AccountOption,
    start: FromOption = None,
    until: UntilOption = None,
    priority: PriorityOption = 0,
    json: JsonOption = False,
) -> None:
    """Give an identity that usage waits for to an account, without knowing its value."""
    with connection.open() as client:
        waits = _that_waits(client, fingerprint)
        body = {"type": waits["type"], "hash": waits["hash"], "sensitive": "value" not in waits, **_dates(start, until)}
        made = client.post("/identities", {**body, "priority": priority, "accountId": account_id(client, account)})
    _added(made, account, json=json)


@app.command("dismiss")
@connected
def dismiss(
    connection: Connection,
    fingerprint: FingerprintArgument,
    reason: Annotated[str, typer.Option(help="Why its usage shall never count.")],
) -> None:
    """Decide that usage that waits for an identity shall never count. It stays visible with the reason."""
    dismissed = 0
    with connection.open() as client:
        waits = _that_waits(client, fingerprint)
        while True:
            told = client.post(f"/unmappedidentities/{waits['id']}/dismiss", {"reason": reason})
            dismissed += told["dismissed"]
            if not told["left"] or not told["dismissed"]:
                break
            say(f"dismissed: {dismissed:,}, left: {told['left']:,}")
    say(f"dismissed: {dismissed:,}")


@app.command("remove")
@connected
def remove(connection: Connection, id: Annotated[str, typer.Argument(help="Id of the entry.")]) -> None:
    """Take an entry out. What was counted by it stays with its account."""
    with connection.open() as client:
        client.delete(f"/identities/{id}")
    say(f"removed: {id}")


@app.command("unmapped")
@connected
def unmapped(
    connection: Connection,
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 100,
    json: JsonOption = False,
) -> None:
    """List the identities that usage waits for, what most waits for first."""
    with connection.open() as client:
        rows = [row for row, _ in zip(client.every("/unmappedidentities"), range(limit), strict=False)]
    if json:
        print_json(rows)
        return
    print_table(
        ("type", "identity", "waiting", "from", "until"),
        [(row["type"], _shown(row), row["count"], row["firstTs"], row["lastTs"]) for row in rows],
        right=("waiting",),
    )


@app.command("fingerprint")
@connected
def fingerprint(connection: Connection, type: TypeArgument, value: ValueArgument) -> None:
    """Say by which fingerprint an identity is known here. Nothing is kept."""
    with connection.open() as client:
        say(client.post("/identities/fingerprint", {"type": type, "value": _read(value)})["fingerprint"])


@app.command("import")
@connected
def import_(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet with type, value and account.", exists=True)],
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet, where the name does not tell.")] = None,
) -> None:
    """Add identities from a file: the columns type, value, account, and startDate, endDate, priority, name, sensitive.
    What is there already is passed over, so that this can be run again."""
    added = there = 0
    with connection.open() as client, open_rows(file, format or format_of(file)) as reader:
        for row in reader.rows():
            if row.problem is not None:
                raise Failure(f"{file.name}, row {row.number}: {row.problem}")
            body = _body(client, row.cells, f"{file.name}, row {row.number}")
            if _is_there(client, body):
                there += 1
            else:
                client.post("/identities", body)
                added += 1
    say(f"added: {added}, there already: {there}")


def _body(client: Client, cells: Cells, where: str) -> dict[str, Any]:
    told = {name: cell for name, cell in cells.items() if cell not in {None, ""}}
    for name in ("type", "value", "account"):
        if name not in told:
            raise Failure(f"{where}: {name} is missing")
    known = ("type", "value", "startDate", "endDate", "name")
    body: dict[str, Any] = {name: str(told[name]) for name in known if name in told}
    body["accountId"] = account_id(client, str(told["account"]))
    body["priority"] = int(str(told.get("priority", 0)))
    body["sensitive"] = str(told.get("sensitive", "true")).lower() != "false"
    return body


def _that_waits(client: Client, fingerprint: str) -> dict[str, Any]:
    """What waits for the identity with this fingerprint."""
    found = [each for each in client.every("/unmappedidentities") if each["hash"].startswith(fingerprint)]
    if len(found) != 1 or len(fingerprint) < SHOWN:
        raise Failure(f"{fingerprint}: no usage waits for an identity with this fingerprint of {SHOWN} characters")
    return dict(found[0])


def _is_there(client: Client, body: dict[str, Any]) -> bool:
    """Whether the same entry was made before: the identity of the account, with the same priority and from the same
    moment; dates are compared as the server understands them."""
    known_by = client.post("/identities/fingerprint", {"type": body["type"], "value": body["value"]})["hash"]
    entries = client.every("/identities", accountId=body["accountId"], type=body["type"])
    same = [each for each in entries if each["hash"] == known_by and each["priority"] == body["priority"]]
    return any(str(each.get("startDate", ""))[:10] == str(body.get("startDate", ""))[:10] for each in same)


def _added(made: dict[str, Any], account: str, *, json: bool) -> None:
    if json:
        print_json(made)
    else:
        say(f"usage of the {made['type']} {_shown(made)} is that of {account}: {made['id']}")


def _shown(row: dict[str, Any]) -> str:
    hint = f" …{row['hint']}" if "hint" in row else ""
    return str(row.get("value") or row["hash"][:SHOWN] + hint)


def _dates(start: str | None, until: str | None) -> dict[str, str | None]:
    return {"startDate": start, "endDate": until}


def _read(value: str) -> str:
    """The value, which need not stand where lists of processes show it."""
    return sys.stdin.read().strip() if value == "-" else value
