"""Ids that are made from what they name: the same for ever, so that doing something again finds what was done."""

from __future__ import annotations

from hashlib import sha1

_FREE_BITS = ~(0xF << 76 | 0b11 << 62)  # all but those that say which kind of UUID it is
_VERSION_5 = 5 << 76 | 0b10 << 62


def named_id(namespace: str, name: str) -> str:
    """The id of a name within a namespace, which is an id itself: a UUID of version 5 (RFC 9562).

    The same as `str(uuid5(UUID(namespace), name))`, at a third of the cost: a bill has one for each line.
    """
    digest = sha1(bytes.fromhex(namespace.replace("-", "")) + name.encode(), usedforsecurity=False).digest()
    text = f"{int.from_bytes(digest[:16], 'big') & _FREE_BITS | _VERSION_5:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
