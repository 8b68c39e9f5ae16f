"""Who is calling: checks a request's token, and remembers for a moment what it found."""

from __future__ import annotations

from tallystick.api.auth import Grant, read_token
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Records

REMEMBER_SECONDS = 1  # a revoked service user is refused after at most this long
REMEMBER_TOKENS = 10_000


class Door:
    """Checks bearer tokens. What it remembers is bounded in number and in time."""

    def __init__(self, records: Records, key: bytes) -> None:
        self._records = records
        self._key = key
        self._seen: dict[str, tuple[Grant, float]] = {}

    def admit(self, authorization: str | None, now: Instant) -> Grant:
        """The grant of a request's Authorization header, or Refusal `forbidden`."""
        moment = now.timestamp()
        known = self._seen.get(authorization or "")
        if known is not None and 0 <= moment - known[1] < REMEMBER_SECONDS:
            return known[0]
        grant = read_token(self._key, authorization, now)
        if grant.actor.kind == "SERVICE_USER":
            user = self._records.service_user(grant.actor.id)
            if user is None or user.revoked is not None:
                raise Refusal("forbidden", "Authorization: the service user of this token was revoked")
        if len(self._seen) >= REMEMBER_TOKENS:
            self._seen.clear()
        self._seen[authorization or ""] = (grant, moment)
        return grant
