"""Processes beside this one: this program's own interpreter on a module of its own, spoken to over a socket.

Such a process gets numbers of open files as its arguments, the other end of the socket first. It holds nothing that
could be lost, and ends when nobody is left at this end, however this process ended.
"""

from __future__ import annotations

import gc
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection


def start(module: str, *files: int) -> tuple[Connection, subprocess.Popen[bytes]]:
    """Start a process; gives the way to speak to it, and the process, which may be killed."""
    ours, theirs = socket.socketpair()
    with theirs:
        given = (theirs.fileno(), *files)
        process = subprocess.Popen(  # noqa: S603  our own interpreter, on a module of ours
            [sys.executable, "-P", "-m", module, *map(str, given)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=given,
        )
    return Connection(ours.detach()), process


def begin() -> tuple[Connection, list[int]]:
    """What such a process does first: the way to speak to who started it, and the other files that it was given."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # who started this one ends it
    gc.freeze()  # as in the first process, see api.server.application
    gc.set_threshold(100_000, 20, 100)
    connection, *files = map(int, sys.argv[1:])
    return Connection(connection), files
