"""What a run finds: figures with their workload and what they were compared with, and the machine they hold for."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class CheckFailed(Exception):
    """The product's totals are not what was sent: the figures mean nothing."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A limit measured in the same run; `ratio` = the figure's value / this value."""

    name: str
    value: float
    unit: str
    ratio: float


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number. `p50` and `p99` are of single answers, in `spread_unit`; None where there are none.

    `others` is the share of the machine's processors that programs other than server and load took meanwhile.
    """

    name: str
    workload: str
    value: float
    unit: str
    p50: float | None = None
    p99: float | None = None
    spread_unit: str = "ms"
    others: float | None = None
    compared_with: tuple[Comparison, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. `load` is the one-minute load average before the run: above 0.5 others were at work."""

    cpu: str
    cores: int
    memory_gib: float
    disk: str
    kernel: str
    python: str
    load: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, as bench/results.json holds it."""

    machine: Machine
    when: str
    quick: bool
    figures: tuple[Figure, ...]


def check(name: str, found: object, expected: object) -> None:
    """Raise CheckFailed unless both are equal."""
    if found != expected:
        raise CheckFailed(f"{name}: {found}, but it must be {expected}")


def compare(value: float, name: str, other: float, unit: str) -> Comparison:
    """How a value stands to a limit."""
    return Comparison(name=name, value=rounded(other), unit=unit, ratio=rounded(value / other))


def percentile(values: Sequence[float], rank: int) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * rank // 100) - 1)] if ordered else 0.0


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds with a sensible number of digits."""
    return rounded(seconds * 1000)


def rounded(value: float) -> float:
    """Three significant digits after the point for small numbers, none for large ones: more would be noise."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.3g}")


def this_machine(directory: Path) -> Machine:
    """The machine, and the file system that the data directory is on."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        disk=_file_system(directory),
        kernel=platform.release(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """The kind of the mount that a directory is on: the longest mount point that it lies under."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    under = [(point, kind) for point, kind in mounts if directory.resolve().is_relative_to(point)]
    return max(under, key=lambda mount: len(mount[0]))[1] if under else "unknown"


def collect(machine: Machine, figures: Sequence[Figure], *, quick: bool) -> Results:
    """A run that ended now."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Results(machine=machine, when=when, quick=quick, figures=tuple(figures))


def write(results: Results, path: Path) -> None:
    """Replace the file in one step."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    fresh.replace(path)


def show(results: Results) -> None:
    """Print the figures as a table."""
    machine = results.machine
    table = Table(title=f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.disk}")
    for column in ("figure", "value", "p50", "p99", "others", "compared with", "ratio"):
        table.add_column(column, justify="left" if column in {"figure", "compared with"} else "right")
    for figure in results.figures:
        others = figure.compared_with
        table.add_row(
            figure.name,
            f"{figure.value:,} {figure.unit}",
            "" if figure.p50 is None else f"{figure.p50:,} {figure.spread_unit}",
            "" if figure.p99 is None else f"{figure.p99:,} {figure.spread_unit}",
            "" if figure.others is None else f"{figure.others:.0%}",
            "\n".join(f"{each.name}: {each.value:,} {each.unit}" for each in others),
            "\n".join(f"{each.ratio:,}" for each in others),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    if machine.load > machine.cores / 4:
        console.print(f"Load average was {machine.load} before the run: other programs were at work.")
