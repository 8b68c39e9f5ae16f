"""The query of a request: names to raw texts, read by type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Page

DEFAULT_PAGE = 100
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class QueryString:
    """The query of a request: names to raw texts. Reading a malformed value is a Refusal that names it."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """The text given, or None when absent or empty."""
        return self.values.get(name) or None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A comma-joined list (`ids=a,b`), or None when absent."""
        text = self.text(name)
        return None if text is None else tuple(part for part in text.split(",") if part)

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        text = self.text(name)
        if text is None:
            return None
        if text.lower() not in {"true", "false"}:
            raise Refusal("invalid_request", f"{name}: must be true or false, got {text[:40]!r}", field=name)
        return text.lower() == "true"

    def choice(self, name: str, of: type[E]) -> E | None:
        """One of the texts that there are to choose from."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return of(text)
        except ValueError:
            message = f"{name}: must be one of {', '.join(of)}, got {text[:40]!r}"
            raise Refusal("invalid_request", message, field=name) from None

    def number(self, name: str, *, lowest: int, highest: int) -> int | None:
        """A whole number between two bounds."""
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 19 and lowest <= int(text) <= highest):
            message = f"{name}: must be a whole number from {lowest} to {highest}, got {text[:40]!r}"
            raise Refusal("invalid_request", message, field=name)
        return int(text)

    def month(self, name: str) -> str | None:
        """A calendar month: `2025-01`."""
        text = self.text(name)
        if text is not None and not _MONTH.fullmatch(text):
            message = f"{name}: must be a month such as 2025-01, got {text[:40]!r}"
            raise Refusal("invalid_request", message, field=name)
        return text

    def day(self, name: str) -> date | None:
        """A calendar day: `2025-01-31` (of a date and time, its day)."""
        text = self.text(name)
        if text is None:
            return None
        try:
            if "T" in text:
                Instant.parse(text)
            return date.fromisoformat(text.partition("T")[0])
        except ValueError:
            raise Refusal("invalid_request", f"{name}: must be a date, got {text[:40]!r}", field=name) from None

    def instant(self, name: str) -> Instant | None:
        """A date and time, or a date (its midnight, UTC)."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return Instant.parse(text)
        except ValueError as problem:
            raise Refusal("invalid_request", f"{name}: {problem}", field=name) from None

    def page(self, *, highest: int = 100) -> Page:
        """`pageSize` and `nextToken`."""
        size = self.number("pageSize", lowest=1, highest=highest)
        return Page(size=size or min(DEFAULT_PAGE, highest), token=self.text("nextToken"))


def query_string(text: bytes) -> QueryString:
    """The query, percent-decoded; a name given twice counts as a comma-joined list."""
    values: dict[str, str] = {}
    try:
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as problem:
        message = f"query: percent-encode UTF-8; {problem.object[:40]!r} is none"
        raise Refusal("invalid_request", message, field="query") from None
    for name, value in pairs:
        values[name] = f"{values[name]},{value}" if name in values else value
    return QueryString(values)
