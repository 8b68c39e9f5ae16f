"""A server process of one's own: started, waited for until it answers, and stopped in order."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tallystick.cli.address import answers, browsable, refusal
from tallystick.cli.failure import Failure

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 60
LOG_SHOWN = 2_000  # characters of the log that a failed start shows
PORTS = range(20_000, 32_000)  # below those that a system gives to outgoing connections


def free_port(preferred: int = 0) -> int:
    """A port that nobody listens on: the preferred one if it is free.

    One that the system would choose may go to the next outgoing connection before the server listens.
    """
    port = preferred or secrets.choice(PORTS)
    while refusal(HOST, port):
        port = secrets.choice(PORTS)
    return port


@contextmanager
def launched(directory: Path, port: int, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server on the data directory; its log is `server.log` there. Failure when it does not come up."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = Server(directory, port, environment or {})
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


class Server:
    """A running server process."""

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.url = browsable(HOST, port)
        self.log = directory / "server.log"
        command = [sys.executable, "-m", "tallystick.cli", "serve", "--data", str(directory), "--host", HOST]
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches us first and we stop it in order.
            self.process = subprocess.Popen(  # noqa: S603  the command is ours, word for word
                [*command, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return once the server answers."""
        until = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if self.process.poll() is not None or time.monotonic() > until:
                said = self.log.read_text(errors="replace")[-LOG_SHOWN:]
                raise Failure(f"the server did not start; its log {self.log} ends with:\n{said}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to drain and stop, and wait; answers its exit code. A server that does not stop is killed."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End it and its worker at once, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
