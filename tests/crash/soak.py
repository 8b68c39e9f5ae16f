"""`make soak`: the long campaign, 1,000 kills and a million acknowledged measurements, a third of the kills with a
power cut. Every so often, and at the end, the oracle compares all of it; exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# Run as a program: what the tests find through pytest's settings.
sys.path.insert(0, str(Path(__file__).parent.parent))

from crash_campaign import Campaign, begin, launcher, random_plans
from crash_sender import Pace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def main() -> int:
    """Run until both targets are reached, or the time is over."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.randrange(10**6)
    directory = Path(tempfile.mkdtemp(prefix="tallystick-soak-", dir=asked.directory))
    console = Console()
    console.print(f"seed {seed}; everything is in {directory}")
    began = time.monotonic()
    with launcher() as starter:
        campaign = begin(
            directory,
            starter,
            seed=seed,
            accounts=asked.accounts,
            senders=4,
            pace=Pace(10, 400, 0.18),  # four in ten are large requests, which have a process of their own
            TALLYSTICK_SEGMENT_BYTES="1000000",
            TALLYSTICK_BILL_CHUNK="20",
            TALLYSTICK_FOUNDRY_BILLS="40",
        )
        try:
            with _progress(console) as progress:
                campaign.patience = 2.0
                campaign.between = _Watch(asked, progress, began)
                campaign.run(random_plans(campaign.chance), cut_share=asked.cuts)
        finally:
            faults = _end(campaign, console, began)
    if not faults and not asked.keep:
        shutil.rmtree(directory)
    return 1 if faults else 0


def _end(campaign: Campaign, console: Console, began: float) -> list[str]:
    try:
        faults = campaign.check()
    finally:
        campaign.stage.kill()
    score = campaign.score
    lost = sum(fault.startswith("lost") for fault in faults)
    twice = sum(fault.startswith("twice") for fault in faults)
    starts = score.restart_seconds
    console.print(
        f"{score.kills.total():,} kills, {score.cuts:,} of them with a power cut;"
        f" {campaign.acknowledged:,} measurements acknowledged; {campaign.unknown:,} batches sent again;"
        f" {score.checks} checks;"
        f" ready after {median(starts):.2f} s (median), {max(starts):.2f} s (most); {time.monotonic() - began:.0f} s"
    )
    for name, times in sorted(score.kills.items()):
        console.print(f"  {times:>5}  {name}")
    for fault in faults:
        console.print(fault, style="red", markup=False)
    console.print("0 lost, 0 twice, nothing else differs" if not faults else f"{lost}+ lost, {twice}+ twice: see above")
    return faults


class _Watch:
    """Moves the progress bars after each kill, and says when it is enough."""

    def __init__(self, asked: argparse.Namespace, progress: Progress, began: float) -> None:
        self._asked = asked
        self._progress = progress
        self._until = began + asked.minutes * 60
        self._kills = progress.add_task("kills", total=asked.kills)
        self._measurements = progress.add_task("acknowledged", total=asked.measurements)

    def __call__(self, campaign: Campaign) -> bool:
        kills, acknowledged = campaign.score.kills.total(), campaign.acknowledged
        self._progress.update(self._kills, completed=kills)
        self._progress.update(self._measurements, completed=acknowledged)
        if not self._progress.console.is_terminal and kills % 25 == 0:
            print(f"{kills} kills, {acknowledged} acknowledged, {campaign.score.cuts} power cuts", flush=True)
        if kills % self._asked.check_every == 0:
            campaign.interim_check()
        reached = kills >= self._asked.kills and acknowledged >= self._asked.measurements
        return reached or bool(campaign.score.faults) or time.monotonic() > self._until


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000, help="kills at least (1,000)")
    parser.add_argument("--measurements", type=int, default=1_000_000, help="acknowledged at least (1,000,000)")
    parser.add_argument("--minutes", type=float, default=600, help="end after so many minutes in any case (600)")
    parser.add_argument("--cuts", type=float, default=0.33, help="share of the kills with a power cut (0.33)")
    parser.add_argument("--accounts", type=int, default=100, help="accounts (100)")
    parser.add_argument("--check-every", type=int, default=200, help="kills between two checks of everything (200)")
    parser.add_argument("--seed", type=int, help="of all chance but the timing (drawn)")
    parser.add_argument("--directory", type=Path, help="where to put the data (temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep the data of a run without faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
