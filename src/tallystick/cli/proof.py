"""`tallystick proof`: check the proof of a bill, without the server that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, say

app = typer.Typer(help="Check the proof of a bill, without the server that made it.", no_args_is_help=True)


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A proof, as `tallystick bill proof` writes it.", metavar="FILE")],
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="The key that the proof must be signed with.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check a proof of a bill: nothing is asked of any server. Exits with 1 when anything is wrong, and names it all.

    Every line and the signature are checked, the bill is calculated again from the configuration and the measurements,
    and both are held against the digests that were kept.
    """
    from tallystick.proof_check import check_file  # here: it loads what calculates, which other commands do not need

    try:
        found = check_file(file, public_key)
    except OSError as problem:
        raise Failure(f"cannot read {file}: {problem}") from None
    if json:
        faults = [{"part": each.part, "name": each.name, "message": each.message} for each in found.faults]
        print_json({"verified": not faults, "faults": faults})
    manifest = found.manifest
    for each in () if json else found.faults:
        say(f"{each}")
    if found.faults or manifest is None:
        raise Failure(f"{file} proves nothing: {len(found.faults)} things are wrong, the first: {found.faults[0]}")
    if not json:
        parts = manifest.parts
        say(
            f"the bill {manifest.bill_id} of {manifest.account_code}, {manifest.bill_total} {manifest.currency}, is"
            f" what its {parts['measurement'].records:,} measurements and"
            f" {parts['configuration'].records:,} versions of what was configured come to"
        )
        say(f"signed with {manifest.public_key}" + ("" if public_key else ": ask who sent it whether that is theirs"))
