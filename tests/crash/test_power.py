"""The power cut of the tests: it takes what was not synced, and never more."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from crash_power import RecordingOs, cut


class Killed(Exception):
    """The process ends here."""


class EndsAtReplace:
    """`os` of a process that is killed just before or just after it replaces a file."""

    def __init__(self, when: str) -> None:
        self._when = when

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def replace(self, source: Path, target: Path) -> None:
        if self._when == "after":
            os.replace(source, target)
        raise Killed


def write(layer: RecordingOs, path: Path, size: int) -> None:
    file = layer.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(file, b"x" * size)
    layer.fsync(file)
    layer.close(file)


@pytest.mark.parametrize(("old", "new"), [(205, 223), (223, 150), (100, 100)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_is_replaced_is_the_old_or_the_new_one_whole(tmp_path: Path, when: str, old: int, new: int) -> None:
    uids, record = tmp_path / "uids", tmp_path / "record"
    uids.mkdir()
    for seed in range(20):
        first = RecordingOs(tmp_path, record)
        write(first, uids / "runs", old)
        second = RecordingOs(tmp_path, record, EndsAtReplace(when))
        write(second, uids / "runs.new", new)
        with pytest.raises(Killed):
            second.replace(uids / "runs.new", uids / "runs")
        cut(tmp_path, record, random.Random(seed))
        assert (uids / "runs").stat().st_size == (old if when == "before" else new)


def test_a_process_that_is_killed_while_it_notes_a_sync_was_never_told_of_it(tmp_path: Path) -> None:
    journal, record = tmp_path / "journal", tmp_path / "record"
    journal.mkdir()
    for name in ("0001", "0002"):
        layer = RecordingOs(tmp_path, record)
        write(layer, journal / name, 100)
        for directory in (journal, tmp_path):
            layer.fsync(layer.open(directory, os.O_RDONLY))
        with record.open("ab") as torn:
            torn.write(b'["journal", ["00')
        (journal / name).write_bytes(b"x" * 180)
    (journal / "0003").write_bytes(b"x")
    cut(tmp_path, record, random.Random(1), harsh=True)
    assert {each.name: each.stat().st_size for each in journal.iterdir()} == {"0001": 100, "0002": 100}
