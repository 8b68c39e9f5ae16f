"""`tallystick export`: asked for, waited for, fetched."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from tallystick.cli.main import run
from tenant import Tenant


def test_exports_from_the_command_line(
    organization: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str, code: int = 0) -> str:
        assert run(["export", *arguments]) == code
        heard = capsys.readouterr()
        return heard.out if code == 0 else heard.err

    path = Path(said("usage", "--from", "2025-01-01", "--until", "2025-02-01").strip())
    assert path.name.endswith("_measurements.csv.gz")
    assert gzip.decompress(path.read_bytes()).startswith(b"uid,meterId,")
    to = tmp_path / "all.zip"
    assert said("records", "accounts", "BILLS", "--format", "jsonl", "--to", str(to)).strip() == str(to)
    with zipfile.ZipFile(to) as archive:
        kinds = sorted(each["type"] for each in json.loads(archive.read("manifest.json"))["files"])
    assert kinds == ["account", "bill"]
    asked = json.loads(said("records", "METERS", "--ask"))["jobId"]
    there = said("download", asked, "--to", str(tmp_path)).strip()
    assert Path(there).parent == tmp_path
    assert json.loads(said("show", asked, "--manifest"))["fileCount"] == 1
    assert json.loads(said("list", "--json"))[0]["id"] == asked
    assert "SUCCEEDED" in said("list")
    assert "operationalDataTypes" in said("records", "INVOICES", code=1)
    assert not list(tmp_path.glob("*.part"))
