"""`tallystick source`: sources are made, looked at, rested and deleted; files of measurements are sent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

Run = Callable[..., str]
SOURCE = {"name": "Nightly", "code": "nightly", "configuration": {"type": "FOLDER", "path": "in"}}
METER = {
    "name": "LLM",
    "code": "llm",
    "dataFields": [{"category": "MEASURE", "code": "tokens", "name": "Tokens", "unit": "{token}"}],
    "derivedFields": [],
}


def typed(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(value).encode())))


def test_a_source_from_its_file_to_its_end(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "source.json"
    file.write_text(json.dumps({**SOURCE, "paused": True}))
    assert "nightly is made" in command("source", "put", str(file))
    assert "FOLDER" in command("source", "list")
    typed(monkeypatch, {**SOURCE, "paused": True, "name": "Nightly files"})
    assert "nightly is changed" in command("source", "put", "-")
    assert json.loads(command("source", "show", "nightly"))["name"] == "Nightly files"
    assert "goes on" in command("source", "resume", "nightly")
    assert "rests" in command("source", "pause", "nightly")
    assert json.loads(command("source", "files", "nightly", "--json")) == []
    typed(monkeypatch, {"username": "u", "password": "p"})
    assert "takes no credentials" in command("source", "credentials", "nightly", code=1)
    assert "has no credentials" in command("source", "credentials", "nightly", "--forget")
    assert "is deleted" in command("source", "delete", "nightly")
    assert "there is no source" in command("source", "show", "nightly", code=1)
    assert "no such file" in command("source", "put", str(tmp_path / "x.json"), code=1).lower()


def test_a_file_of_measurements_is_sent(command: Run, http: httpx.Client, tmp_path: Path) -> None:
    assert http.post("/meters", json=METER).status_code == 200
    fields = {"meter": "llm", "account": "acorn", "ts": "2025-03-01T00:00:00Z", "measure": {"tokens": 1}}
    file = tmp_path / "usage.json"
    file.write_text(json.dumps({"measurements": [{**fields, "uid": "a"}, {**fields, "uid": "b"}]}))
    assert command("source", "upload", str(file)) == "2 rows, 0 counted before, 0 failed\n"
    assert command("source", "upload", str(file)) == "2 rows, 2 counted before, 0 failed\n"
    file.write_text(json.dumps([{**fields, "uid": "c", "meter": "no-meter"}]))
    assert "1 rows, 0 counted before, 1 failed" in command("source", "upload", str(file), code=1)
    file.write_text("[1, 2")
    assert "breaks off" in command("source", "upload", str(file), code=1)
    assert json.loads(command("source", "upload", str(file), "--json", code=1).splitlines()[0] or "{}") is not None
