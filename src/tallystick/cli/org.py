"""`tallystick org`: the organisations of a data directory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.connection import Connection, DataOption, organizations
from tallystick.cli.printing import JsonOption, print_json, print_table
from tallystick.core import wire

app = typer.Typer(help="The organisations of a data directory.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the new organisation.", metavar="NAME")],
    currency: Annotated[str, typer.Option(help="Currency that it bills in.")] = "USD",
    data: DataOption = None,
) -> None:
    """Create an organisation and its first service user. Prints one JSON object: orgId, apiKey, apiSecret.

    The secret is shown this once: only a digest of it is kept.
    """
    with Connection(data=data).operator() as client:
        body = wire.encode({"name": name, "currency": currency})
        reply = client.raw("POST", "/operator/organizations", body, again=False)
        print_json(wire.decode(dict[str, Any], reply.content))


@app.command("list")
def list_(data: DataOption = None, json: JsonOption = False) -> None:
    """List the organisations of a data directory."""
    with Connection(data=data).operator() as client:
        rows = organizations(client)
    if json:
        print_json(rows)
    else:
        print_table(("id", "name", "created"), [(row["id"], row["name"], row["created"]) for row in rows])
