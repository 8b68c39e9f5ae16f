"""`tallystick event-mapping` and `tallystick event-source`: how events of other programs become measurements."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.cli.rows import Cells, format_of, open_rows

app = typer.Typer(help="Which events of other programs count, and how.", no_args_is_help=True)
sources = typer.Typer(help="Programs that send events and sign in by a secret of their own.", no_args_is_help=True)

CALCULATION = "="  # what begins so in a cell of a file is a calculation, anything else a path


class Form(StrEnum):
    """In which words events are told."""

    CLOUDEVENTS = "cloudevents"
    PLAIN = "plain"
    SEGMENT = "segment"
    RUDDERSTACK = "rudderstack"
    POSTHOG = "posthog"
    DATADOG = "datadog"
    OTLP = "otlp"


FormOption = Annotated[Form, typer.Option(help="In which words its events are told.")]


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List event mappings, newest first."""
    with connection.open() as client:
        rows = list(client.every("/eventmappings"))
    if json:
        print_json(rows)
        return
    print_table(
        ("code", "form", "source", "type", "when", "meter", "account", "id"),
        [
            (
                row["code"],
                row.get("form", ""),
                row.get("source", ""),
                row.get("type", ""),
                row.get("when", ""),
                "ignored" if row["ignore"] else row["meterId"],
                _from(row),
                row["id"],
            )
            for row in rows
        ],
    )


@app.command("import")
@connected
def import_(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON, a mapping in each row.", exists=True)],
    format: Annotated[str | None, typer.Option(help="csv or ndjson, where the name does not tell.")] = None,
) -> None:
    """Make or change event mappings from a file, by their codes. Columns as in the API, `meter` for that of the meter,
    and one for each field, such as fields.tokens; in a CSV a cell is a path, or a calculation after =."""
    made = changed = 0
    with connection.open() as client, open_rows(file, format or format_of(file)) as reader:
        meters = {each["code"]: each["id"] for each in client.every("/meters")}
        for row in reader.rows():
            where = f"{file.name}, row {row.number}"
            if row.problem is not None:
                raise Failure(f"{where}: {row.problem}")
            body = _body(row.cells, meters, where)
            before = next(iter(client.every("/eventmappings", codes=body["code"])), None)
            if before is None:
                client.post("/eventmappings", body)
                made += 1
            else:
                client.put(f"/eventmappings/{before['id']}", {**body, "version": before["version"]})
                changed += 1
    say(f"made: {made}, changed: {changed}")


@app.command("try")
@connected
def try_(
    connection: Connection,
    file: Annotated[Path, typer.Argument(help="JSON as a sender would send it.", exists=True)],
    form: FormOption = Form.PLAIN,
) -> None:
    """Show what the event mappings make of events. Nothing counts."""
    try:
        event = msgspec.Raw(file.read_bytes())
        msgspec.json.decode(event)
    except msgspec.DecodeError as problem:
        raise Failure(f"{file.name}: is no JSON: {problem}") from None
    with connection.open() as client:
        print_json(client.post("/eventmappings/try", {"form": form.name, "event": event}))


@app.command("remove")
@connected
def remove(connection: Connection, code: Annotated[str, typer.Argument(help="Code of an event mapping.")]) -> None:
    """Delete an event mapping. What was counted by it stays."""
    with connection.open() as client:
        client.delete(f"/eventmappings/{_by_code(client, '/eventmappings', code)['id']}")
    say(f"removed: {code}")


@sources.command("list")
@connected
def list_sources(connection: Connection, json: JsonOption = False) -> None:
    """List event sources, newest first."""
    with connection.open() as client:
        rows = list(client.every("/eventsources"))
    if json:
        print_json(rows)
        return
    columns = ("code", "name", "form", "enabled", "id")
    print_table(columns, [[row[name] for name in columns] for row in rows])


@sources.command("create")
@connected
def create_source(
    connection: Connection,
    code: Annotated[str, typer.Argument(help="Code of the new event source.")],
    form: FormOption,
    name: Annotated[str | None, typer.Option(help="What people call it; the code if absent.")] = None,
) -> None:
    """Make an event source, and show its address and its secret, this once."""
    with connection.open() as client:
        made = client.post("/eventsources", {"code": code, "name": name or code, "form": form.name})
        told = client.post(f"/eventsources/{made['id']}/secret", {})
    print_json({"id": made["id"], **told})


@sources.command("secret")
@connected
def renew_secret(
    connection: Connection,
    code: Annotated[str, typer.Argument(help="Code of an event source.")],
    keep_hours: Annotated[int, typer.Option(help="How long those before it hold.", min=0, max=720)] = 24,
) -> None:
    """Give an event source a new secret, and show it, this once."""
    with connection.open() as client:
        source = _by_code(client, "/eventsources", code)
        print_json(client.post(f"/eventsources/{source['id']}/secret", {"keepHours": keep_hours}))


def _by_code(client: Client, path: str, code: str) -> dict[str, Any]:
    found = next(iter(client.every(path, codes=code)), None)
    if found is None:
        raise Failure(f"{code}: there is none of this code")
    return found


def _from(row: dict[str, Any]) -> str:
    """Where the account comes from."""
    if "identity" in row:
        return f"by {row['identity']['type']} from {row['identity']['value']}"
    return str(row.get("account", ""))


def _body(cells: Cells, meters: dict[str, str], where: str) -> dict[str, Any]:
    """What a row says; a name with a dot is of a part, as in fields.tokens or identity.type."""
    body: dict[str, Any] = {}
    for name, cell in cells.items():
        if cell in {None, ""} if not isinstance(cell, dict | list) else False:
            continue
        whole, _, part = name.partition(".")
        source = part if whole in {"fields", "identity"} else name
        told = {"calculation": cell[1:].strip()} if isinstance(cell, str) and cell.startswith(CALCULATION) else cell
        if source in {"ignore", "enabled", "sensitive"} and isinstance(cell, str):
            told = cell.lower() == "true"
        if part and whole in {"fields", "identity"}:
            body.setdefault(whole, {})[part] = told
        else:
            body[name] = told
    if "code" not in body:
        raise Failure(f"{where}: code is missing")
    meter = body.pop("meter", None)
    if meter is not None:
        if meter not in meters:
            raise Failure(f"{where}: there is no meter with the code {meter}")
        body["meterId"] = meters[meter]
    return {"name": body["code"], **body}
