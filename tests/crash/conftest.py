"""What the crash tests share: the process that starts servers."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import Popen

import pytest
from crash_campaign import launcher


@pytest.fixture(scope="session")
def starter() -> Iterator[Popen[str]]:
    """Starts servers quickly."""
    with launcher() as process:
        yield process
