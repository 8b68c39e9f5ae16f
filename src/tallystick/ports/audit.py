"""Who did what: an entry for every change, written in the transaction that makes it and never again.

On whose behalf something runs is said once, where a request or a job begins (`acting`); the stores read it when they
write an entry, so that no act can forget to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tallystick.ports import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """On whose behalf something runs, by which request, and when that began."""

    actor: Actor
    at: datetime
    request_id: str = ""


ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextmanager
def acting(origin: Origin) -> Iterator[None]:
    """What is written inside is written on behalf of this origin."""
    token = ORIGIN.set(origin)
    try:
        yield
    finally:
        ORIGIN.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change. `number` rises by one from 1 on in each organisation, without gaps.

    Of entities, `version` is the one that the change made, and what changed is told by it and the one before. Of
    documents (bills, jobs, ledger entries), `change` is JSON of the `core.difference.Difference`s. `count` above 1 is
    a change of many at once by the server itself, such as the bills of a job; `id` is then the job's.
    """

    number: int
    at: datetime
    actor_id: str
    actor_kind: str
    request_id: str
    action: str
    kind: str
    id: str
    version: int | None = None
    count: int = 1
    change: bytes = b"[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWhere:
    """A filter of entries: every part that is given must hold. From `since` on, before `until`."""

    actor_id: str | None = None
    kind: str | None = None
    id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Signer(Protocol):
    """Signs with a key of the server's own (Ed25519), and checks what anybody signed so. Keys and signatures are
    hexadecimal."""

    @property
    def public_key(self) -> str: ...

    def sign(self, text: bytes) -> str: ...

    def signed(self, text: bytes, signature: str, public_key: str) -> bool:
        """Whether the signature is the key's, of this text."""
