"""Rebuild, backup and restore: what follows from the journal is made again, equal to the last digit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import msgspec
import pytest
from crash_campaign import Campaign, begin

from tallystick.cli.main import run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, starter: Popen[str]) -> Iterator[Campaign]:
    """A campaign that has ended, its server stopped."""
    campaign = begin(tmp_path_factory.mktemp("upkeep"), starter, seed=3, accounts=4)
    campaign.wait_for(300)
    assert campaign.check() == []
    campaign.stage.stop()
    yield campaign
    campaign.stage.kill()


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    """What a command prints, on stdout or as its error."""
    capsys.readouterr()
    assert run([str(each) for each in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_projection_deleted_by_hand_comes_back_with_the_same_digest(
    stopped: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = stopped.stage
    first = said(capsys, "rebuild", "--data", stage.directory)
    assert "the same as before" in first
    shutil.rmtree(stage.directory / "usage")
    again = said(capsys, "rebuild", "--data", stage.directory, "--uids")
    assert again == first.replace("the same as before", "it was incomplete before")
    shutil.rmtree(stage.directory / "usage")
    stage.start()  # a server makes it again too
    assert stage.wait_until_ready()
    assert stopped.check() == []
    stage.stop()
    assert said(capsys, "rebuild", "--data", stage.directory) == first


def test_a_digest_sees_one_measurement_more(stopped: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    """The check can fail: rows put in behind the journal's back are noticed, and gone after a rebuild."""
    from tallystick.stores.usage_clickhouse import ClickHouseUsage

    first = said(capsys, "rebuild", "--data", stopped.stage.directory)
    usage = ClickHouseUsage(stopped.stage.directory / "usage")
    usage._connection.command("INSERT INTO tallystick.measurement SELECT * FROM tallystick.measurement LIMIT 1")
    usage.close()
    again = said(capsys, "rebuild", "--data", stopped.stage.directory)
    assert "other than before" in again
    assert again.partition(", other")[0] == first.partition(", the same")[0]


def test_a_backup_is_restored_to_the_same_server(
    stopped: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = stopped.stage
    digest = said(capsys, "rebuild", "--data", stage.directory).split()[-5].rstrip(",")
    assert "files, journal up to position" in said(capsys, "backup", tmp_path / "copy", "--data", stage.directory)
    manifest = msgspec.json.decode((tmp_path / "copy" / "backup.json").read_bytes())
    assert manifest["usage"] == digest
    assert {"records.sqlite", "keys/signing.key"} < set(manifest["files"])
    assert said(capsys, "restore", tmp_path / "copy", "--data", tmp_path / "new").endswith(f"digest {digest}\n")
    original, stage.directory = stage.directory, tmp_path / "new"
    try:
        stage.start()
        assert stage.wait_until_ready()
        assert stopped.check() == []  # the same token opens it, and everything is there
        stage.stop()
    finally:
        stage.kill()
        stage.directory = original


def test_what_backup_and_restore_refuse(stopped: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, copy, new = stopped.stage.directory, tmp_path / "copy", tmp_path / "new"
    assert "it has no journal" in said(capsys, "backup", copy, "--data", tmp_path / "none", code=1)
    said(capsys, "backup", copy, "--data", data)
    assert "is not empty" in said(capsys, "backup", copy, "--data", data, code=1)
    assert "is not empty" in said(capsys, "restore", copy, "--data", data, code=1)
    assert "is no complete backup" in said(capsys, "restore", data, "--data", new, code=1)
    segment = min((copy / "journal").glob("*.journal"))
    content = segment.read_bytes()
    segment.write_bytes(content[:-1] + b"?")
    assert f"{segment} is not what was backed up" in said(capsys, "restore", copy, "--data", new, code=1)
    stopped.stage.start()
    assert stopped.stage.wait_until_ready()
    try:
        for arguments in (["backup", tmp_path / "other"], ["rebuild"]):
            assert "a server runs on" in said(capsys, *arguments, "--data", data, code=1)
    finally:
        stopped.stage.stop()
