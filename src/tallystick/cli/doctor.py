"""`tallystick doctor`: look an installation over, and say what to do about what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from tallystick.cli.address import running
from tallystick.cli.connection import Connection
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table
from tallystick.core import wire
from tallystick.core.period import Instant
from tallystick.settings import read_settings

if TYPE_CHECKING:
    from tallystick.checkup import Finding

CLOCK_WARNING_SECONDS = 5.0


def doctor(
    data: Annotated[
        Path | None, typer.Option("--data", help="Data directory (TALLYSTICK_DATA); a server may run on it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check an installation: settings, libraries, disk, keys, journal, records, projections, the running server.

    Changes nothing. Exits with 1 when something has failed; a warning alone is no failure.
    """
    try:
        settings = read_settings(data=None if data is None else str(data))
    except ValueError as problem:
        raise Failure(str(problem)) from None
    try:
        from tallystick.checkup import FAILED, look_over  # here: it loads every engine, and one may not load
    except ImportError as problem:
        raise Failure(f"an engine is not installed as it should be: {problem}; install the package anew") from None
    served = running(settings.directory) is not None
    findings = list(look_over(settings, served=served))
    if served:
        findings += _server(settings.directory)
    if json:
        print_json(findings)
    else:
        print_table(
            ("check", "result", "found", "what to do"),
            [(each.check, each.result, each.found, each.hint) for each in findings],
        )
    failed = [each.check for each in findings if each.result == FAILED]
    if failed:
        raise Failure(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")


def _server(directory: Path) -> Iterator[Finding]:
    """What a running server says of itself, and its clock against that of this command."""
    from tallystick.checkup import OK, WARNING, Finding, compared

    with Connection(data=directory).operator() as client:
        status = wire.decode(dict[str, Any], client.raw("GET", "/operator/status", again=True).content)
    stores = compared(status["journal"], status["usage"], status["uids"], status.get("damage"))
    yield msgspec.structs.replace(stores, check="server", found=f"{status['version']} answers; {stores.found}")
    apart = abs(Instant.parse(status["now"]).timestamp() - time.time())
    late = apart > CLOCK_WARNING_SECONDS
    yield Finding(
        check="clock",
        result=WARNING if late else OK,
        found=f"{apart:.1f} s apart from the server's",
        hint="set both clocks by NTP" if late else "",
    )
