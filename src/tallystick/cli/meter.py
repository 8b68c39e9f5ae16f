"""`tallystick meter`: what each meter counts, in a sentence, and how it is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.bill import plain
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="What meters count, and how they are.", no_args_is_help=True)


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List meters with a sentence that says what each takes."""
    with connection.open() as client:
        found = list(client.every("/meterhealth"))
    if json:
        print_json(found)
    else:
        print_table(("meter", "definition"), [(each["code"], each["definition"]) for each in found])


@app.command("health")
@connected
def health(
    connection: Connection,
    meter: Annotated[
        str | None, typer.Argument(help="Code of a meter; all of them if absent.", metavar="METER")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Text field that says where measurements come from; with a METER.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show how meters are over the last thirty days. Exits with 1 when days are missing."""
    with connection.open() as client:
        found = [_one(client, meter, source)] if meter else list(client.every("/meterhealth"))
    if json:
        print_json(found)
    else:
        _print(found)
    missing = [each["code"] for each in found if each["missingDays"]]
    if missing:
        raise Failure(f"days are missing of {', '.join(missing)}")


def _one(client: Client, code: str, source: str | None) -> dict[str, Any]:
    found = client.get("/meters", codes=code)["data"]
    if not found:
        raise Failure(f"there is no meter {code!r}")
    answer: dict[str, Any] = client.get(f"/meters/{found[0]['id']}/health", sourceField=source)
    return answer


def _print(found: list[dict[str, Any]]) -> None:
    columns = ("measured", "excluded", "again", "conflicts", "failed", "complete", "behind")
    print_table(
        ("meter", *columns, "last came"),
        [
            (
                each["code"],
                each["measurements"],
                each["excluded"],
                each["duplicates"],
                each["conflicts"],
                each["failures"],
                f"{plain(each['completeness'])}%" if "completeness" in each else "–",
                f"{each['drift']['median']} ms" if "drift" in each else "–",
                each.get("lastReceived", "never"),
            )
            for each in found
        ],
        right=columns,
    )
    for each in found:
        for day in each["missingDays"]:
            say(f"{each['code']}: nothing came on {day}")
        for field in each.get("fields", ()):
            kept = "" if field["declared"] else ", which the meter does not declare,"
            what = f"{field['change'].lower()}" if "change" in field else "is sent"
            say(f"{each['code']}: the field {field['code']}{kept} {what} ({field['firstDay']} to {field['lastDay']})")
        for source in each.get("sources") or ():
            say(f"{each['code']}: {source['measurements']} of {source['source']}, the last on {source['lastDay']}")
