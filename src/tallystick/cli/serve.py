"""`tallystick serve`: one process with the API and the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.address import announced, browsable, refusal, running
from tallystick.cli.failure import Failure
from tallystick.cli.printing import remark
from tallystick.settings import read_settings


def serve(
    data: Annotated[Path | None, typer.Option(help="Data directory; made when it does not exist.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", min=1, max=65535)] = None,
) -> None:
    """Serve the API on a data directory until SIGTERM or Ctrl-C; what was begun is finished first.

    What is not given here comes from the environment: `tallystick settings` lists every setting.
    """
    try:
        settings = read_settings(data=None if data is None else str(data), host=host, port=port)
    except ValueError as problem:
        raise Failure(str(problem)) from None
    other = running(settings.directory)
    if other is not None:
        raise Failure(f"a server already runs on {settings.directory}: {other}")
    refused = refusal(settings.host, settings.port)
    if refused is not None:
        place = f"port {settings.port} of {settings.host}"
        raise Failure(f"cannot listen on {place}: {refused}; choose another with --port and --host")
    url = browsable(settings.host, settings.port)
    from tallystick.api import serving  # here: other commands need no server

    remark(f"serving {settings.directory} at {url}")
    with announced(settings.directory, url):
        serving.serve(settings)
