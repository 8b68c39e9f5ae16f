"""Start the processes of a server. Imports no engine: what it imports is there when the worker is forked."""

from __future__ import annotations

import gc
import os

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings

from tallystick.settings import Settings


def serve(settings: Settings, application: str = "tallystick.api.server:application") -> None:
    """Serve an application, by its name, until SIGTERM or SIGINT.

    Granian forks the process that serves. This one has loaded nothing by then that runs threads, whose locks a fork
    would leave as they happen to be: the engines are loaded, and the stores opened, in the worker alone.
    """
    settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ.update(settings.environment())
    # What is loaded from here on stays: to look for cycles among it, again and again, is a fifth of the start. The
    # process that serves goes on looking once it has loaded; this one only waits.
    gc.disable()
    Granian(
        application,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        runtime_mode=RuntimeModes.mt,  # a thread for the sockets alone: a quarter more single measurements
        loop=Loops.uvloop,
        factory=True,
        websockets=False,
        http=HTTPModes.http1,  # an idle connection of HTTP/2 would never be closed
        http1_settings=HTTP1Settings(header_read_timeout=1000 * settings.idle_seconds),
        backlog=4096,
        backpressure=settings.connections,
        workers_kill_timeout=20,
        log_access=False,
    ).serve()
