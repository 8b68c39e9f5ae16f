"""The chain of an audit: the digest of each entry covers all that it says and the digest of the entry before, so that
nothing can be changed, taken out, put in or moved without changing every digest behind it.

Whoever rewrites the whole chain is caught by a checkpoint that was kept elsewhere: a signed note of one digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from tallystick.core import wire
from tallystick.core.period import Instant

START = ""  # the digest before the first entry
FORMAT = 1

Fact = str | int | None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the last entry of an audit was at a moment, signed with Ed25519. Key and signature are hexadecimal."""

    organization_id: str
    sequence_number: int
    digest: str
    dt_created: Instant
    public_key: str
    signature: str = ""
    format: int = FORMAT

    def signed_text(self) -> bytes:
        """What the signature is of: all the rest as JSON with sorted names and without spaces."""
        return wire.canonical(
            {
                "digest": self.digest,
                "dtCreated": self.dt_created.wire(),
                "format": self.format,
                "organizationId": self.organization_id,
                "publicKey": self.public_key,
                "sequenceNumber": self.sequence_number,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An entry as it stands in the store. `content` is the digest of the version of an entity that it tells of, and
    `found` that of what stands there now (None: nothing)."""

    number: int
    facts: tuple[Fact, ...]
    digest: str
    content: str = ""
    found: str | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The first bad entry is not before `first` and not after `last`; mostly both are the same."""

    first: int
    last: int
    reason: str


def content_digest(body: bytes) -> str:
    """The digest of a version of an entity."""
    return sha256(body).hexdigest()


def link_digest(before: str, facts: tuple[Fact, ...]) -> str:
    """The digest of an entry that says these things behind an entry with the digest `before`."""
    return sha256(wire.encode((before, *facts))).hexdigest()


def first_fault(links: Iterable[Link], written: int, seen: Mapping[int, str]) -> tuple[int, Fault | None]:
    """Walk a chain from its first entry: how many were walked, and the first fault.

    `written` is how many entries there must be at least, and `seen` the digests by number that checkpoints tell.
    """
    before, agreed, count = START, 0, 0
    for link in links:
        count += 1
        reason = _fault_of(link, count, before)
        if reason:
            return count, Fault(first=count, last=count, reason=f"entry {count} {reason}")
        if link.number in seen:
            if seen[count] != link.digest:
                return count, _rewritten(agreed + 1, count)
            agreed = count
        before = link.digest
    expected = max([written, *seen])
    if count < expected:
        reason = f"entry {count + 1} is missing, and so are all after it: {expected} were written"
        return count, Fault(first=count + 1, last=count + 1, reason=reason)
    return count, None


def _fault_of(link: Link, expected: int, before: str) -> str:
    if link.number != expected:
        return "is missing"
    if link.digest != link_digest(before, link.facts):
        return "is not what was written there: its digest is not that of what it says behind the entry before"
    if link.content and link.content != link.found:
        state = "is gone" if link.found is None else "was changed since"
        return f"tells of a version of an entity that {state}"
    return ""


def _rewritten(first: int, last: int) -> Fault:
    reason = f"entry {last} is not the one that the checkpoint has seen: one from {first} to {last} was written anew"
    return Fault(first=first, last=last, reason=f"{reason}, and all that follow it")
