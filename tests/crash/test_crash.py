"""Acknowledged means counted once, however the server ends: the short campaign. `make soak` is the long one.

The defects show that the oracle can tell: each is put into the running server, and must be found.
"""

from __future__ import annotations

import ast
import itertools
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from subprocess import Popen

import crash_oracle
import crash_power
import crash_sender
import pytest
from crash_campaign import PLACES, Campaign, DidNotStart, Stage, begin, random_plans
from crash_sender import Pace

from sorters import at_work
from tallystick import failpoints
from tallystick.failpoints import POINTS

# Each way to be killed: where, and at which turn.
PLANS = (
    ("journal.written", 5),
    ("random time", 1),
    ("journal.synced", 3),
    ("journal.segment", 1),
    ("while starting", 1),
    ("uids.put", 2),
    ("projection.inserted", 1),
    ("bills: bills written, not committed", 1),
    ("random time", 1),
)
AT_PLACES = {name for name, _ in PLANS} - {"random time", "while starting"}


def test_acknowledged_measurements_count_once_however_the_server_ends(tmp_path: Path, starter: Popen[str]) -> None:
    campaign = begin(tmp_path, starter, seed=7)
    try:
        campaign.run(iter(PLANS), cut_share=0.5)
        assert campaign.check() == []
        assert_that_the_oracle_sees_every_part(campaign)
    finally:
        campaign.stage.kill()
    assert campaign.score.reached == AT_PLACES
    assert campaign.score.cuts > 0
    assert campaign.acknowledged > 100
    assert '"journal/0000' in campaign.stage.record.read_text(), "the recording layer lies under the journal"


def assert_that_the_oracle_sees_every_part(campaign: Campaign) -> None:
    """Where something else had been sent than the server has, it says so: of each field, each sum and each bill."""
    expected = crash_oracle.read_logs(campaign.stage.logs)
    billed = [uid for uid, sent in expected.members.items() if sent["ts"].startswith(crash_oracle.BILLED_MONTH)]
    other = {"calls": "7777", "ts": "2025-05-31T00:00:00.000001Z", "account": "nobody", "model": "x", "note": "x"}
    changed = dict(zip(billed, other.items(), strict=False))
    for uid, (name, value) in changed.items():
        expected.members[uid] = {**expected.members[uid], name: value}
    expected.members["more"] = expected.members.pop(billed[len(changed)])
    shop = campaign.shop
    faults = crash_oracle.compare(expected, shop.reader(campaign.stage.port), shop.meter_id)
    assert {fault.split(": ")[1] for fault in faults if fault.startswith("changed")} == set(changed)
    assert {"lost: more", f"invented: {billed[len(changed)]}"} <= set(faults)
    assert {"export", "query", "bill"} <= {fault.partition(":")[0] for fault in faults}


def test_large_requests_count_once_whichever_process_ends(tmp_path: Path, starter: Popen[str]) -> None:
    """They are sorted out in a process of their own: that is killed, and then another one together with the server."""
    campaign = begin(tmp_path, starter, seed=10, senders=2, pace=Pace(least=300, most=400, pause=0.2))
    try:
        os.kill(sorter_of(campaign), signal.SIGKILL)
        campaign.wait_for(campaign.acknowledged + 1)
        sorter_of(campaign)
        campaign.stage.kill()
        campaign.stage.cut(campaign.chance, harsh=True)
        campaign.run(iter([("random time", 1)]), cut_share=0)
        assert campaign.check() == []
    finally:
        campaign.stage.kill()


def sorter_of(campaign: Campaign) -> int:
    """The process that large requests are sorted out in, once it has been at work."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        campaign.wait_for(campaign.acknowledged + 1)
        if sorter := at_work(campaign.stage.processes()):
            return sorter
    raise AssertionError("large requests are not sorted out apart")


@pytest.mark.parametrize(
    ("defect", "place", "found"),
    [
        (None, None, None),
        ("answer before fsync", None, "lost"),
        ("no uid check", None, "twice"),
        ("mark before insert", ("projection.mediated", 2), "lost"),
    ],
)
def test_a_server_with_a_defect_is_found_out(
    tmp_path: Path, starter: Popen[str], defect: str | None, place: tuple[str, int] | None, found: str | None
) -> None:
    """The same short life for all: load, a kill, a power cut that takes everything that was not synced."""
    given = {"CRASH_DEFECT": defect} if defect else {}
    campaign = begin(tmp_path, starter, seed=8, accounts=3, **given)
    try:
        campaign.wait_for(100)
        campaign.stage.kill()
        campaign.stage.cut(campaign.chance, harsh=True)
        campaign.run(iter([place or ("random time", 1)]), cut_share=0)
        faults = campaign.check()
    except DidNotStart as problem:
        if "measurements are missing" not in str(problem):
            raise
        faults = [f"lost: {problem}"]  # the uid index is on disk, and knows what the journal lacks
    finally:
        campaign.stage.kill()
    kinds = {fault.partition(":")[0] for fault in faults}
    assert kinds == set() if found is None else found in kinds, faults


def test_the_oracle_the_senders_and_the_power_cuts_know_nothing_of_the_product() -> None:
    for module in (crash_oracle, crash_sender, crash_power):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        names = [
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            )
        ]
        assert [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names] == []


def test_damage_inside_the_journal_stops_the_server_with_the_place(tmp_path: Path, starter: Popen[str]) -> None:
    campaign = begin(tmp_path, starter, seed=9, accounts=1, TALLYSTICK_SEGMENT_BYTES="100000000")
    stage = campaign.stage
    campaign.wait_for(100)
    stage.kill()
    (*_, last) = sorted((stage.directory / "journal").glob("*.journal"))
    content = bytearray(last.read_bytes())
    content[60] ^= 1
    last.write_bytes(content)
    stage.start()
    with pytest.raises(DidNotStart, match=rf"the journal is damaged: .*{last.name} at byte 21: .*restore this file"):
        stage.wait_until_ready()
    stage.kill()
    for sender in campaign.senders:
        sender.give_up()


def test_a_second_server_on_the_same_directory_refuses_to_start(tmp_path: Path, starter: Popen[str]) -> None:
    first = Stage(tmp_path / "first", starter, {})
    second = Stage(tmp_path / "second", starter, {})
    second.directory = first.directory
    first.start()
    try:
        assert first.wait_until_ready()
        second.start()
        with pytest.raises(DidNotStart, match="a server already runs on"):
            second.wait_until_ready()
        second.kill()
        # The address file is a courtesy; the lock is what counts.
        (first.directory / "server.json").unlink()
        second.start()
        with pytest.raises(DidNotStart, match="is in use: another server runs on this data directory"):
            second.wait_until_ready()
        assert first.alive()
    finally:
        second.kill()
        first.kill()


def test_the_soak_uses_every_way_to_be_killed() -> None:
    used = {name for name, _ in itertools.islice(random_plans(random.Random(1)), 2_000)}
    assert used == {"random time", "while starting", *PLACES}


def test_every_place_in_the_code_is_listed_and_every_listed_place_is_in_the_code() -> None:
    source = Path(str(failpoints.__file__)).parent
    text = "".join(path.read_text() for path in source.rglob("*.py"))
    named = set(re.findall(r'\breached\("([^"]+)"\)', text))
    steps = set(re.findall(r'\bfailpoint\("([^"]+)"\)', text))
    assert named | {failpoints.BILLS + step for step in steps} == set(POINTS)


@pytest.mark.parametrize("asked", ["nowhere", "uids.put=0", "uids.put=x", "uids.put=", "=1"])
def test_a_place_that_does_not_exist_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="TALLYSTICK_FAILPOINT: must be NAME or NAME=TIMES"):
        failpoints.arm({failpoints.VARIABLE: asked})
    failpoints.arm({})
