"""Where the server's time goes: py-spy on the worker process while a load runs, summed up by thread and function.

py-spy is no dependency: `pip install py-spy`, then `run.py --profile PATH_OF_PY_SPY`. Samples are of threads that hold
the interpreter's lock: what runs without it (the engines, the disk) does not show, and threads that give it up often
come out too small. How much processor time each thread takes is in /proc/PID/task.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from stage import descendants

from tallystick.cli.launch import Server

SAMPLES_A_SECOND = 200
SHOWN = 25
PRODUCT = "(tallystick/"
START_UP = ("(tallystick/cli/", "serve (tallystick/api/serving.py")  # what every sample of the main thread lies in


@contextmanager
def profiled(server: Server, profiler: Path | None, name: str, directory: Path) -> Iterator[None]:
    """Profile the server's worker while entered, then print where the time went; nothing without a profiler."""
    if profiler is None:
        yield
        return
    worker = max([server.process.pid, *descendants(server.process.pid)], key=_threads)
    raw = directory / f"profile-{name}.txt"
    command = [str(profiler), "record", "--pid", str(worker), "--gil", "--threads", "--format", "raw"]
    process = subprocess.Popen(
        [*command, "--rate", str(SAMPLES_A_SECOND), "--duration", "3600", "--output", str(raw)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    if raw.exists():
        _show(name, raw)


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except FileNotFoundError:
        return 0


def _show(name: str, raw: Path) -> None:
    """Print shares of the samples: of each thread, and of each function with and without what it calls."""
    threads, own, inclusive = Counter[str](), Counter[str](), Counter[str]()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        functions = [frame.rpartition(":")[0] for frame in frames]
        threads[thread.partition(": ")[2] or thread] += int(count)
        own[functions[-1] if functions else thread] += int(count)
        for each in set(functions):
            if PRODUCT in each and not any(start in each for start in START_UP):
                inclusive[each] += int(count)
    total = sum(threads.values()) or 1
    table = Table(title=f"{name}: {total:,} samples with the interpreter's lock held")
    for column in ("share", "thread", "share", "own", "share", "with what it calls"):
        table.add_column(column, justify="right" if column == "share" else "left", overflow="fold")
    columns = [_rows(counter, total) for counter in (threads, own, inclusive)]
    for number in range(SHOWN):
        table.add_row(*(cell for rows in columns for cell in (rows[number] if number < len(rows) else ("", ""))))
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 220
    console.print(table)


def _rows(counter: Counter[str], total: int) -> list[tuple[str, str]]:
    return [(f"{100 * count / total:.1f}%", each) for each, count in counter.most_common(SHOWN)]
