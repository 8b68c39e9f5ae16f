"""Commands as people run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.cli.main import run
from tenant import Tenant

Run = Callable[..., str]


@pytest.fixture
def command(organization: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command against the running server, signed in through the environment; answers its stdout."""
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int = 0) -> str:
        answered = run(list(arguments))
        said = capsys.readouterr()
        assert answered == code, said.err
        return said.out + (said.err if code else "")

    return call
