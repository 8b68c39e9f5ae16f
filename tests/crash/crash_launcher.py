"""Starts servers quickly: a process that has loaded the product and forks one child for each start.

    python crash_launcher.py        each line on stdin: {"arguments": [...], "environment": {...}, "log": PATH};
                                    each line on stdout: the child's process id, which leads a group of its own

The child runs the product's own `tallystick` program. With CRASH_RECORD it serves the same application, the journal's
`os` being the recording one of `crash_power.py`; with CRASH_DEFECT one of the defects below is put in on top, which
the tests must catch.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from crash_power import RecordingOs
from litestar import Litestar

from tallystick import app as wiring
from tallystick import failpoints
from tallystick.api import server, serving
from tallystick.cli import main as program
from tallystick.ports import Claim, UsageBlock, UsageRow
from tallystick.stores import journal_file, uid_index, uid_runs
from tallystick.stores.uid_index import SortedUidIndex
from tallystick.stores.usage_clickhouse import ClickHouseUsage

RECORD = "CRASH_RECORD"
DEFECT = "CRASH_DEFECT"
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
LATE_SECONDS = 10
STACKS = signal.SIGUSR2  # a server writes to its log where its threads are


# ---------------------------------------------------------------------------------------------------- defects


class LateSync:
    """`os` that says it has synced and does so later: measurements are answered before they are on disk."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def fdatasync(self, file: int) -> None:
        def later() -> None:
            with suppress(OSError, KeyError):
                self._real.fdatasync(file)

        threading.Timer(LATE_SECONDS, later).start()


class ForgetfulIndex(SortedUidIndex):
    """Says of every uid that it is new."""

    def look_up(self, _keys: Sequence[bytes]) -> dict[bytes, Claim]:
        return {}


class HastyUsage(ClickHouseUsage):
    """Keeps the mark before the rows."""

    def add(
        self, rows: Sequence[UsageRow], mark: int, blocks: Sequence[UsageBlock] = (), corrected: Collection[str] = ()
    ) -> None:
        if mark > self.mark:
            self._keep_mark(mark)
            failpoints.reached("projection.mediated")
        super().add(rows, mark, blocks, corrected)


def _answer_before_fsync() -> None:
    journal_file.os = LateSync(journal_file.os)  # type: ignore[attr-defined]  # a stand-in for the module


def _no_uid_check() -> None:
    wiring.SortedUidIndex = ForgetfulIndex  # type: ignore[misc]  # the wiring takes what it finds under the name


def _mark_before_insert() -> None:
    wiring.ClickHouseUsage = HastyUsage  # type: ignore[misc]  # the wiring takes what it finds under the name


DEFECTS: dict[str, Callable[[], None]] = {
    "answer before fsync": _answer_before_fsync,
    "no uid check": _no_uid_check,
    "mark before insert": _mark_before_insert,
}


def application() -> server.Front:
    """What the server process loads in place of the product's own."""
    data = Path(os.environ["TALLYSTICK_DATA"])
    for module in (journal_file, uid_index, uid_runs):
        module.os = RecordingOs(data, Path(os.environ[RECORD]))  # type: ignore[attr-defined]  # a stand-in
    if DEFECT in os.environ:
        DEFECTS[os.environ[DEFECT]]()
    return server.application()


# ----------------------------------------------------------------------------------------------------- starts


def main() -> None:
    """Fork a child for each line, until stdin is closed."""
    pa.array([], pa.string())  # these load what each server would load when it first uses them
    Litestar([], logging_config=None)
    # Orphans come here and are reaped at once, so that a group is gone when its processes are.
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads: a fork would leave their locks as they happen to be"
    print("ready", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(wanted)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)
        print(child, flush=True)


def _run(wanted: dict[str, Any]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        faulthandler.register(STACKS, all_threads=True)
        os.environ.update(wanted["environment"])
        if RECORD in os.environ:
            serving.serve = functools.partial(serving.serve, application="crash_launcher:application")
        code = program.run(wanted["arguments"])
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
