"""How an emitter is set up: where the server is, and what happens to measurements while it is away."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tallystick.client.sending import Credentials

BATCH_EVENTS, BATCH_BYTES = 1_000, 500_000  # what the server takes in one request


def state_directory() -> Path:
    """Where emitters spool unless they are told where: the user's directory for what programs must not lose."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(os.environ.get("TALLYSTICK_SPOOL") or Path(state) / "tallystick" / "spool")


def _environment(name: str) -> str:
    return os.environ.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitterSettings:
    """Settings of an emitter. Address and credentials are read from the environment where they are not given:
    TALLYSTICK_URL, TALLYSTICK_ORG_ID, TALLYSTICK_API_KEY, TALLYSTICK_API_SECRET.

    `spool`           directory for what the server has not taken yet, or None: then nothing outlives this process
    `write_ahead`     True: each measurement is in the spool before `emit` returns, and so survives the process
    `sync`            True: what is spooled is on the disk, not only with the operating system
    `memory_bytes`    most that waits in memory; beyond it measurements go to the spool
    `spool_bytes`     most that waits in the spool, of all processes that share it
    `when_full`       when neither has room: "block" the caller until one has, or "drop" the measurement and count it
    `block_seconds`   longest that a caller is blocked, then `Full` is raised; None: until there is room
    `linger_seconds`  how long a measurement may wait for company
    `exit_seconds`    how long the end of the process waits for the server, before the rest goes to the spool
    """

    url: str = field(default_factory=lambda: _environment("TALLYSTICK_URL") or "http://127.0.0.1:8400")
    organization: str = field(default_factory=lambda: _environment("TALLYSTICK_ORG_ID"))
    key: str = field(default_factory=lambda: _environment("TALLYSTICK_API_KEY"))
    secret: str = field(default_factory=lambda: _environment("TALLYSTICK_API_SECRET"), repr=False)
    spool: Path | str | None = field(default_factory=state_directory)
    write_ahead: bool = False
    sync: bool = False
    memory_bytes: int = 32 * 1024 * 1024
    spool_bytes: int = 1024 * 1024 * 1024
    when_full: Literal["block", "drop"] = "block"
    block_seconds: float | None = None
    batch_events: int = BATCH_EVENTS
    linger_seconds: float = 0.2
    exit_seconds: float = 5.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        missing = [name for name in ("organization", "key", "secret") if not getattr(self, name)]
        if missing:
            raise ValueError(f"{', '.join(missing)}: give it, or set TALLYSTICK_ORG_ID, _API_KEY and _API_SECRET")
        if self.write_ahead and self.spool is None:
            raise ValueError("write_ahead: there must be a spool to write ahead to")
        if not 1 <= self.batch_events <= BATCH_EVENTS:
            raise ValueError(f"batch_events: must be 1 to {BATCH_EVENTS:,}, got {self.batch_events}")

    @property
    def credentials(self) -> Credentials:
        """What a connection needs to know."""
        return Credentials(self.url.rstrip("/"), self.organization, self.key, self.secret)

    @property
    def directory(self) -> Path | None:
        """The spool of this organisation: measurements of another are never sent to it."""
        return None if self.spool is None else Path(self.spool) / self.organization
