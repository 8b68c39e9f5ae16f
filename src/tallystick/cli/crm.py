"""`tallystick crm`: accounts and contracts pulled from files of Salesforce and HubSpot, and what is told to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli.bill import account_id
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.cli.rows import open_rows
from tallystick.core import wire
from tallystick.core.crm import CrmSystem, CrmTable

app = typer.Typer(help="Accounts and contracts from a CRM, and what is told to it.", no_args_is_help=True)
AT_ONCE = 200  # rows of a request
SYSTEMS = {each.value.lower(): each for each in CrmSystem}
TABLES = {each.value.lower(): each for each in CrmTable}


@app.command("pull")
@connected
def pull(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="A file of CSV, JSON or JSON lines.", metavar="FILE")],
    system: Annotated[str, typer.Option("--from", help="salesforce or hubspot.")],
    table: Annotated[str, typer.Option(help="account, contract or opportunity; companies or deals.")],
    column: Annotated[
        list[str] | None, typer.Option(help="Where a field of ours stands, as FIELD=COLUMN; often.")
    ] = None,
    default: Annotated[
        list[str] | None, typer.Option(help="What holds where a row says nothing, as FIELD=VALUE; often.")
    ] = None,
    status: Annotated[list[str] | None, typer.Option(help="A status that counts, instead of the usual ones.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring accounts or contracts to what the rows of a file say; safe to run again. Fails where a row is refused."""
    body: dict[str, Any] = {
        "system": _one(system, SYSTEMS, "--from"),
        "table": _one(table, TABLES, "--table"),
        "columns": {name: [text] for name, text in _pairs(column, "--column")},
        "defaults": dict(_pairs(default, "--default")),
        "statuses": status,
        "dryRun": dry_run,
    }
    told: list[dict[str, Any]] = []
    rows = _rows(file)
    with connection.open() as client:
        while some := list(islice(rows, AT_ONCE)):
            answer = client.post("/crm/pull", {**body, "rows": some})
            told += [{**each, "row": each["row"] + len(told)} for each in answer["rows"]]
    counts = Counter(each["outcome"] for each in told)
    if json:
        print_json({"dryRun": dry_run, "rows": told})
    else:
        _print(told, counts, dry_run=dry_run)
    if counts["REFUSED"]:
        raise Failure(f"{counts['REFUSED']} of {len(told)} rows were refused")


@app.command("tell")
@connected
def tell(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    json: JsonOption = False,
) -> None:
    """Tell the CRM of an account's latest approved bill once more, by the event that webhooks carry."""
    with connection.open() as client:
        event = client.post(f"/accounts/{account_id(client, account)}/crmsummary")
    if json:
        print_json(event)
    else:
        say(f"told as the event {event['id']}")


def _print(told: list[dict[str, Any]], counts: Counter[str], *, dry_run: bool) -> None:
    print_table(
        ("row", "outcome", "external id", "code", "what"),
        [
            (
                each["row"],
                each["outcome"],
                each.get("externalId", ""),
                each.get("code", ""),
                each.get("reason") or ", ".join(each.get("changes", ())),
            )
            for each in told
            if each["outcome"] != "UNCHANGED"
        ],
    )
    parts = (
        f"{counts[outcome.upper()]} {outcome}" for outcome in ("created", "updated", "unchanged", "skipped", "refused")
    )
    say(("dry run: " if dry_run else "") + ", ".join(parts))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file: of JSON an array, or what Salesforce and HubSpot answer."""
    ending = file.suffix.lower()
    if ending == ".json":
        yield from _json_rows(file)
        return
    with open_rows(file, "ndjson" if ending in {".ndjson", ".jsonl"} else "csv") as reader:
        for row in reader.rows():
            if row.problem is not None:
                raise Failure(f"{file}: row {row.number}: {row.problem}")
            yield dict(row.cells)


def _json_rows(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_bytes()
        if text.lstrip().startswith(b"["):
            return wire.decode(list[dict[str, Any]], text)
        whole = wire.decode(dict[str, Any], text)
        return wire.convert(list[dict[str, Any]], whole.get("records", whole.get("results")))
    except OSError as problem:
        raise Failure(f"cannot read {file}: {problem.strerror}") from None
    except msgspec.MsgspecError as problem:
        raise Failure(f"{file} has no array of rows, nor one called records or results: {problem}") from None


def _one(text: str, among: dict[str, Any], option: str) -> str:
    found = among.get(text.lower())
    if found is None:
        raise Failure(f"{option}: must be one of {', '.join(among)}, got {text[:40]!r}")
    return str(found.value)


def _pairs(given: list[str] | None, option: str) -> Iterator[tuple[str, str]]:
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise Failure(f"{option}: give a field and what it is, as FIELD=VALUE; got {each[:40]!r}")
        yield name, value
