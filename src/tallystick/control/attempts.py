"""How often somebody may try to sign in: counted by address of the person and by address of the machine."""

from __future__ import annotations

import ipaddress
import threading

from tallystick.core.period import Instant
from tallystick.core.user import MAX_EMAIL
from tallystick.errors import Refusal

SECONDS = 900
MOST_PER_EMAIL = 10
MOST_PER_ADDRESS = 50
MOST_KEYS = 50_000  # what is remembered is bounded, whoever tries
IPV6_PREFIX = 64  # what one customer of a provider has at least: each of its addresses is as good as another


class Attempts:
    """Failed attempts within a quarter of an hour, in memory: after a restart the counting begins anew."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}  # how many, and since when
        self._one = threading.Lock()

    def require_room(self, email: str, address: str, now: Instant) -> None:
        """Refusal `too_many_attempts` when this person, or this machine, failed too often of late."""
        for key, most in zip(_keys(email, address), (MOST_PER_EMAIL, MOST_PER_ADDRESS), strict=True):
            count, since = self._failed.get(key, (0, 0.0))
            if count >= most and now.timestamp() - since < SECONDS:
                raise Refusal("too_many_attempts", "email: too many attempts to sign in failed; wait a while")

    def failed(self, email: str, address: str, now: Instant) -> None:
        """Count one that failed."""
        at = now.timestamp()
        with self._one:
            if len(self._failed) >= MOST_KEYS:
                self._make_room(at)
            for key in _keys(email, address):
                count, since = self._failed.get(key, (0, 0.0))
                self._failed[key] = (1, at) if at - since >= SECONDS else (count + 1, since)

    def succeeded(self, email: str) -> None:
        """Forget what a person got wrong before."""
        with self._one:
            self._failed.pop(_keys(email, "")[0], None)

    def _make_room(self, at: float) -> None:
        """Forget what expired; were that little, the half that failed least: a flood of attempts with ever new names
        makes nobody's count begin anew."""
        kept = sorted(
            (each for each in self._failed.items() if at - each[1][1] < SECONDS), key=lambda each: -each[1][0]
        )
        self._failed = dict(kept[: MOST_KEYS // 2])


def _keys(email: str, address: str) -> tuple[str, str]:
    """What is counted, in bounded length: whoever has not signed in may type anything."""
    return f"email {email[:MAX_EMAIL]}", f"address {_network(address)}"


def _network(address: str) -> str:
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return address[:MAX_EMAIL]
    if read.version == 4:
        return str(read)
    return str(read.ipv4_mapped or ipaddress.ip_network((read, IPV6_PREFIX), strict=False).network_address)
