"""The way out to addresses that users give: what may be asked, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Failure(StrEnum):
    """Why there is no answer."""

    REFUSED = "REFUSED"  # the address is none that may be reached; nothing was connected to
    UNRESOLVED = "UNRESOLVED"  # the name has no address now
    CONNECTION = "CONNECTION"  # nobody listens, or the connection broke
    ENCRYPTION = "ENCRYPTION"  # the certificate is not good, or no TLS is spoken
    TIMEOUT = "TIMEOUT"  # no answer within the time
    PROTOCOL = "PROTOCOL"  # what came was no HTTP, or a head without end
    BUSY = "BUSY"  # as many requests to it as may be are on their way; nothing was sent
    STOPPING = "STOPPING"  # the server is being stopped


class NotAnswered(Exception):
    """A request that has no answer. `message` is for people and names the host."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `excerpt` is the first bytes of the body: no more is read. Header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    excerpt: bytes
    truncated: bool
    seconds: float


class Outside(Protocol):
    """Requests to addresses that users give. Only public ones, or what the operator allows; the connection goes to the
    very address that was looked at. Redirects are not followed."""

    def check(self, url: str, *, field: str = "url") -> None:
        """Refusal `address_refused` where requests to it would not be made. A name without an address passes: it is
        looked at again whenever a request is made."""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        excerpt: int = 4_096,
        seconds: float | None = None,
    ) -> Answer:
        """Ask; `seconds` is the most that all of it may take. NotAnswered where nothing came."""

    def close(self) -> None:
        """End what is on its way; nothing begins any more."""
