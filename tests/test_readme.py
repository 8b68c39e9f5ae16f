"""The README's first bill, run as it stands there: m3ter's own client against a real server."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from tallystick.cli.main import run
from tenant import Tenant

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
WAIT_SECONDS = 30


def python_block() -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def wait_for_a_bill(http: httpx.Client) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not http.get("/bills").json()["data"]:
        assert time.monotonic() < until, f"no bill after {WAIT_SECONDS} s"
        time.sleep(0.1)


def test_the_first_bill_is_as_the_readme_says(
    organization: Tenant, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("M3TER_BASE_URL", organization.url)
    monkeypatch.setenv("M3TER_ORG_ID", organization.id)
    monkeypatch.setenv("M3TER_API_KEY", organization.key)
    monkeypatch.setenv("M3TER_API_SECRET", organization.secret)
    exec(compile(python_block(), "README.md", "exec"), {})  # noqa: S102  the block is ours
    wait_for_a_bill(http)

    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["bill", "show", "acorn"]) == 0
    shown = capsys.readouterr().out
    # 20.00 + 5,000 x 0.02 + 10,000 x 0.015 = 20.00 + 100.00 + 150.00
    assert re.search(r"Total +270\.00", shown), shown
    assert "20.00" in shown
    assert "250.00" in shown
    assert run(["explain", "acorn"]) == 0
    explained = capsys.readouterr().out
    assert "5,000" in explained
    assert "0.015" in explained
    assert run(["verify", "acorn"]) == 0
