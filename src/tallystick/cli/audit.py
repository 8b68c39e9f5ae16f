"""`tallystick audit`: that the trail of who did what is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, say
from tallystick.core import wire

app = typer.Typer(help="That the audit of who did what is as it was written.", no_args_is_help=True)


@app.command("checkpoint")
@connected
def checkpoint(connection: Connection) -> None:
    """Print a signed note of the last entry, as one line of JSON. Keep it where nobody who can write to the database
    can: `tallystick audit checkpoint >> checkpoints.jsonl` once a day."""
    with connection.open() as client:
        print_json(client.get("/audit/checkpoint"))


@app.command("verify")
@connected
def verify(
    connection: Connection,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="File of checkpoints, one a line, that was kept elsewhere.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="The key that the checkpoints must be signed with.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Walk the chain of all entries, and name the first that is not what was written. Exits with 1 when there is one.

    Without a checkpoint, whoever rewrote the whole chain goes unnoticed.
    """
    kept = [] if checkpoint is None else _read(checkpoint)
    with connection.open() as client:
        result = client.post("/audit/verification", {"checkpoints": kept, "publicKey": public_key})
    if json:
        print_json(result)
    if not result["verified"]:
        raise Failure(f"the audit is not as it was written: {result['fault']['reason']}")
    if not json:
        against = f" and agree with {len(kept)} checkpoint{'s' if len(kept) != 1 else ''}" if kept else ""
        say(f"the {result['entries']:,} entries of the audit are as they were written{against}")


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text().splitlines()
        kept = [wire.decode(dict[str, Any], line) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as problem:
        raise Failure(f"cannot read checkpoints from {path}: {problem}") from None
    if not kept:
        raise Failure(f"there is no checkpoint in {path}")
    return kept
