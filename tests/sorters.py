"""The processes that a server sorts out large requests in, seen from outside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def at_work(processes: Iterable[int]) -> int | None:
    """Which of the processes has used the memory that large requests are handed over in, if one has."""
    for each in processes:
        with suppress(OSError):
            if b"apart_process" not in Path(f"/proc/{each}/cmdline").read_bytes():
                continue
            maps = Path(f"/proc/{each}/smaps").read_text()
            if re.search(r"memfd:tallystick.*\nSize.*\n(?:.*Size.*\n)*Rss: +[1-9]", maps):
                return each
    return None
