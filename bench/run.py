"""`make bench`: measure the product through its HTTP API, beside limits measured in the same run.

Figures are only written when every total is what was sent, exactly; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import bills
import emitter
import entitlements
import ingest
import live_balance
import pages
import queries
import restart
import scaling
import simulated_month
from results import CheckFailed, Figure, collect, show, this_machine, write
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
PARTS = (
    "batches",
    "singles",
    "bills",
    "scaling",
    "restart",
    "queries",
    "live",
    "pages",
    "simulation",
    "emitter",
    "entitlements",
)


def main() -> int:
    """Run what was asked for; 1 when a check failed."""
    asked = _arguments()
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-", dir=asked.directory))
    machine = this_machine(directory)
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console)
    try:
        with bar as progress:
            figures = _figures(asked, directory, progress)
    except CheckFailed as problem:
        console.print(f"The totals do not hold, so nothing is written: {problem}", style="red", soft_wrap=True)
        return 1
    finally:
        if asked.keep:
            console.print(f"Data and server logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    results = collect(machine, figures, quick=asked.quick)
    write(results, asked.results)
    show(results)
    return 0


def _figures(asked: argparse.Namespace, directory: Path, progress: Progress) -> list[Figure]:
    options = ingest.Options(
        directory=directory,
        seconds=asked.seconds,
        connections=asked.connections,
        single_connections=asked.single_connections,
        accounts=asked.accounts,
        stored=asked.stored,
        uids=asked.uids,
        measurements=asked.measurements,
        quick=asked.quick,
        progress=progress,
        profiler=asked.profile,
    )
    parts = {
        "batches": ingest.batches,
        "singles": ingest.singles,
        "bills": bills.bills,
        "scaling": scaling.scaling,
        "restart": restart.restarts,
        "queries": queries.queries,
        "live": live_balance.live,
        "pages": pages.pages,
        "simulation": simulated_month.simulation,
        "emitter": emitter.emitter,
        "entitlements": entitlements.entitlements,
    }
    return [figure for name in asked.only for figure in parts[name](options)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long each load lasts (60; quick: 3)")
    parser.add_argument(
        "--accounts", type=int, help="accounts of the traffic and of the bill run (10,000; quick: 1,000)"
    )
    parser.add_argument("--stored", type=int, help="measurements stored before a restart (1,000,000; quick: 20,000)")
    parser.add_argument("--uids", type=int, default=0, help="uids in the index before a restart (as many as stored)")
    parser.add_argument(
        "--measurements",
        type=int,
        help="measurements stored for usage queries (20,000,000; quick: 20,000), a million of them for balances, pages",
    )
    parser.add_argument("--connections", type=int, default=8, help="connections that send batches (8)")
    parser.add_argument("--single-connections", type=int, default=256, help="connections that send singles (256)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure only these parts")
    parser.add_argument("--quick", action="store_true", help="a short run that shows it works; its figures mean little")
    parser.add_argument(
        "--directory", type=Path, help="where to put the data: the disk to measure (temporary directory)"
    )
    parser.add_argument(
        "--results", type=Path, default=HERE / "results.json", help="file to write (bench/results.json)"
    )
    parser.add_argument("--profile", type=Path, metavar="PY_SPY", help="profile the server with this py-spy meanwhile")
    parser.add_argument("--keep", action="store_true", help="keep the data and the server logs")
    asked = parser.parse_args()
    if asked.profile is not None and not asked.profile.is_file():
        parser.error(f"--profile {asked.profile}: there is no such program; `pip install py-spy`, then give its path")
    asked.seconds = asked.seconds or (3.0 if asked.quick else 60.0)
    asked.stored = asked.stored or (20_000 if asked.quick else 1_000_000)
    asked.measurements = asked.measurements or (20_000 if asked.quick else 20_000_000)
    asked.accounts = asked.accounts or (1_000 if asked.quick else 10_000)
    return asked


if __name__ == "__main__":
    sys.exit(main())
