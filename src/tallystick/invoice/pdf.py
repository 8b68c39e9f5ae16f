"""From an invoice view to PDF: typeset by processes of their own, a few at a time, each job within a time limit.

The same view gives the same bytes: the data is all that a template sees, and the file is dated with the invoice date.
"""

from __future__ import annotations

import base64
import logging
import os
import struct
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from queue import Empty, LifoQueue

import msgspec

from tallystick.errors import Refusal
from tallystick.invoice import typesetter
from tallystick.invoice.fonts import font_directories
from tallystick.invoice.templates import template_text
from tallystick.invoice.view import InvoiceView

log = logging.getLogger(__name__)

PROCESSES = 2
SECONDS = 20  # that a job may take; a bill of 500 lines takes less than one
WAITING = 8  # requests that may wait for a process; others are told to come back
JOBS_EACH = 500  # then a process is replaced, so that what a compiler remembers stays bounded


# What an interpreter may need to start at all; nothing else is any business of a template.
_ENVIRONMENT = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}


class Printed(msgspec.Struct, frozen=True):
    """A PDF, and the characters that no font has a shape for: they are printed as boxes."""

    pdf: bytes
    missing: str


class _Process:
    """One typesetting process, started when it is first needed."""

    def __init__(self, fonts: list[Path]) -> None:
        self._fonts = fonts
        self._running: subprocess.Popen[bytes] | None = None
        self._jobs = 0

    def run(self, job: bytes, template: bytes) -> tuple[dict[str, str], bytes] | None:
        """The answer to a job, or None where the process ended over it."""
        if self._running is None or self._running.poll() is not None or self._jobs >= JOBS_EACH:
            self.close()
            command = [sys.executable, "-I", typesetter.__file__, *map(str, self._fonts)]
            self._running = subprocess.Popen(  # noqa: S603  our own interpreter, on a file of ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
            )
            self._jobs = 0
        self._jobs += 1
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        try:
            self._running.stdin.write(typesetter.frame(job) + typesetter.frame(template))
            self._running.stdin.flush()
            answers = typesetter.frames(self._running.stdout)
            return msgspec.json.decode(next(answers), type=dict[str, str]), next(answers)
        except (OSError, StopIteration, struct.error):
            self.close()
            return None

    def close(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None


class Printer:
    """Prints invoices. `directory` is the operator's: templates, words and fonts in it come before ours."""

    def __init__(self, directory: Path | None = None, *, processes: int = PROCESSES, seconds: int = SECONDS) -> None:
        self.directory = directory
        self._seconds = seconds
        fonts = font_directories(None if directory is None else directory / "fonts")
        self._processes = [_Process(fonts) for _ in range(processes)]
        self._free: LifoQueue[_Process] = LifoQueue()  # the one that is warm first
        for process in self._processes:
            self._free.put(process)
        self._room = threading.BoundedSemaphore(processes + WAITING)

    def print(self, view: InvoiceView, organization_id: str = "") -> Printed:
        """An invoice as PDF.

        Refusals: `busy` where too many wait; `rule_broken` where the template cannot be typeset, with what the compiler
        says, or takes too long.
        """
        if not self._room.acquire(blocking=False):
            raise Refusal("busy", "many invoices are being printed; ask again in a moment")
        try:
            return self._printed(view, organization_id)
        finally:
            self._room.release()

    def _printed(self, view: InvoiceView, organization_id: str) -> Printed:
        template = template_text("invoice.typ", self.directory, organization_id)
        job = msgspec.json.encode(
            {
                "data": data_of(view).decode(),
                "root": str(template.directory),
                "seconds": self._seconds,
                "timestamp": _seconds_of(view.day),
            }
        )
        try:
            process = self._free.get(timeout=2 * self._seconds)
        except Empty:
            raise Refusal("busy", "many invoices are being printed; ask again in a moment") from None
        try:
            answer = process.run(job, template.text.encode())
        finally:
            self._free.put(process)
        if answer is None:
            message = f"the invoice template takes more than {self._seconds} seconds, or too much memory"
            raise Refusal("rule_broken", message)
        said, pdf = answer
        if "error" in said and view.logo is not None:
            log.warning("an invoice is printed without its logo: %s", said["error"][:300])
            return self._printed(msgspec.structs.replace(view, logo=None), organization_id)
        if "error" in said:
            raise Refusal("rule_broken", f"the invoice template cannot be typeset: {said['error'][:300]}")
        if said["missing"]:
            log.warning("no font has a shape for %s: put one into the fonts of the invoice directory", said["missing"])
        return Printed(pdf, said["missing"])

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()


def data_of(view: InvoiceView) -> bytes:
    """What a template is given, in JSON: the view, with its logo as a list of bytes, for the template's language knows
    no base64."""
    data = msgspec.to_builtins(view)
    if view.logo is not None:
        kind = "png" if view.logo.media_type.endswith("png") else "svg"
        data["logo"] = {"format": kind, "bytes": list(base64.b64decode(view.logo.content))}
    return msgspec.json.encode(data)


def _seconds_of(day: str) -> int:
    at = date.fromisoformat(day)
    return max(int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()), 0)
