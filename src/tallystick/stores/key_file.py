"""The keys of a data directory: files of random bytes that only their owner can read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def signing_key(directory: Path) -> bytes:
    """The key that tokens of this data directory are signed with; made on first use."""
    return random_key(directory, "signing.key")


def random_key(directory: Path, name: str) -> bytes:
    """32 random bytes that are made on first use and stay."""
    path = directory / "keys" / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        _make(path)
        return path.read_bytes()


def _make(path: Path) -> None:
    """Write a new key, whole or not at all: an empty file would be a key that everybody knows."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another process was first: its key holds
        os.link(fresh, path)
    fresh.unlink()
