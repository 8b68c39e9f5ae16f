"""How values become the texts of columns: instants that sort, and texts that both databases can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from tallystick.core.period import Instant
from tallystick.errors import Refusal

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def stamp(moment: datetime) -> str:
    """An instant as text of fixed width that sorts as time does: `2023-11-01T00:00:00.000000Z`."""
    return Instant.of(moment).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> Instant:
    """The instant that `stamp` wrote."""
    return Instant.fromisoformat(text)


def storable(text: str) -> bool:
    """Whether both databases can hold the text: PostgreSQL has no NUL, neither has half a surrogate pair."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable_of(texts: Iterable[str]) -> list[str]:
    """Those of the texts that both databases can hold, each once; looked at together where they are plain."""
    found = list(dict.fromkeys(texts))
    return found if _plain("".join(found)) else [each for each in found if storable(each)]


def require_all_storable(texts: Mapping[str, str]) -> None:
    """Refusal `invalid_request` when a database could not hold one of these texts, which are by field."""
    if not _plain("".join(texts.values())):
        for field, text in texts.items():
            require_storable(text, field)


def _plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


def require_storable(text: str, field: str) -> str:
    """The text, or Refusal `invalid_request` when a database could not hold it."""
    if storable(text):
        return text
    raise Refusal(
        "invalid_request",
        f"{field}: {text[:80]!r} has a character that cannot be stored (NUL or half a surrogate pair); remove it",
        field=field,
    )


def has_escaped_nul(json: bytes) -> bool:
    """Whether a JSON text has a NUL character in one of its strings."""
    return b"\\u0000" in json and _ESCAPED_NUL.search(json) is not None
