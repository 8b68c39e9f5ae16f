"""How often somebody may try to sign in: counted by address of the person and by address of the machine."""

from __future__ import annotations

from tallystick.core.period import Instant
from tallystick.errors import Refusal

SECONDS = 900
MOST_PER_EMAIL = 10
MOST_PER_ADDRESS = 50
MOST_KEYS = 50_000  # what is remembered is bounded, whoever tries


class Attempts:
    """Failed attempts within a quarter of an hour, in memory: after a restart the counting begins anew."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}  # how many, and since when

    def require_room(self, email: str, address: str, now: Instant) -> None:
        """Refusal `too_many_attempts` when this person, or this machine, failed too often of late."""
        for key, most in ((f"email {email}", MOST_PER_EMAIL), (f"address {address}", MOST_PER_ADDRESS)):
            count, since = self._failed.get(key, (0, 0.0))
            if count >= most and now.timestamp() - since < SECONDS:
                raise Refusal("too_many_attempts", "email: too many attempts to sign in failed; wait a while")

    def failed(self, email: str, address: str, now: Instant) -> None:
        """Count one that failed."""
        if len(self._failed) >= MOST_KEYS:
            self._failed.clear()
        for key in (f"email {email}", f"address {address}"):
            count, since = self._failed.get(key, (0, 0.0))
            expired = now.timestamp() - since >= SECONDS
            self._failed[key] = (1, now.timestamp()) if expired else (count + 1, since)

    def succeeded(self, email: str) -> None:
        """Forget what a person got wrong before."""
        self._failed.pop(f"email {email}", None)
