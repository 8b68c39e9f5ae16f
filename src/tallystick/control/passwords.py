"""Passwords: hashed with Argon2id, a few at a time, so that signing in never takes the server from anybody else."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tallystick.errors import Refusal

SHORTEST, LONGEST = 10, 256
WAITING = 4  # of the threads that requests have: more would let sign-ins take them all
_HASHER = PasswordHasher()  # the parameters that the library's maintainers recommend
_ROOM = threading.BoundedSemaphore(WAITING)
_ONE = threading.Lock()  # a hash takes 64 MiB and a processor: one at a time


def hashed(password: str, email: str = "") -> str:
    """What is kept of a password. Refusal `invalid_request` for one that is too short, too long or the address."""
    if not SHORTEST <= len(password) <= LONGEST:
        message = f"password: must have {SHORTEST} to {LONGEST} characters"
        raise Refusal("invalid_request", message, field="password")
    if password.strip().lower() == email:
        raise Refusal("invalid_request", "password: must not be the email address", field="password")
    with _Turn():
        return _HASHER.hash(password)


def verify(kept: str, password: str) -> bool:
    """Whether this is the password that was kept. Takes as long when there is none (`kept` empty)."""
    with _Turn():
        try:
            right = _HASHER.verify(kept or _nobodys(), password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
        return right and bool(kept)


class _Turn:
    """A turn to hash; Refusal `busy` when too many wait already."""

    def __enter__(self) -> None:
        if not _ROOM.acquire(blocking=False):
            raise Refusal("busy", "password: too many people are signing in at this moment")
        _ONE.acquire()

    def __exit__(self, *_: object) -> None:
        _ONE.release()
        _ROOM.release()


_KEPT: list[str] = []


def _nobodys() -> str:
    """A hash of a password that nobody has."""
    if not _KEPT:
        _KEPT.append(_HASHER.hash("a password that nobody has"))
    return _KEPT[0]
