"""The key that access tokens are signed with: a file in the data directory that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def signing_key(directory: Path) -> bytes:
    """The key that tokens of this data directory are signed with; made on first use."""
    path = directory / "keys" / "signing.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()
