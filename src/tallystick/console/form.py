"""What a form sends: names to the texts that were typed, read by type. A malformed one is a Refusal that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.web.query import QueryString

MOST_FIELDS = 2_000
GROUPED = re.compile(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")  # 1,234.5: a comma means nothing else
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form in the order they were sent; a name may come several times."""

    values: Mapping[str, tuple[str, ...]]
    files: Mapping[str, bytes] = field(default_factory=dict)  # those that were chosen, by the name of the field

    def text(self, name: str) -> str | None:
        """The text that was typed, without surrounding space; None when nothing was."""
        given = self.values.get(name, ())
        return (given[0].strip() or None) if given else None

    def raw(self, name: str) -> str:
        """The text exactly as it was typed: passwords."""
        given = self.values.get(name, ())
        return given[0] if given else ""

    def required(self, name: str) -> str:
        """The text that was typed; Refusal when nothing was."""
        text = self.text(name)
        if text is None:
            raise Refusal("invalid_request", f"{name}: is needed", field=name)
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        """Everything sent under a name: checkboxes, rows of a table."""
        return tuple(text.strip() for text in self.values.get(name, ()))

    def flag(self, name: str) -> bool:
        """Whether a checkbox is ticked."""
        return bool(self.text(name))

    def number(self, name: str, *, lowest: int, highest: int) -> int | None:
        """A whole number between two bounds."""
        return self._one(name).number(name, lowest=lowest, highest=highest)

    def decimal(self, name: str) -> Decimal | None:
        """An exact decimal number. Whether it is in bounds, the value it becomes part of says."""
        text = self.text(name)
        if text is None:
            return None
        try:
            value = Decimal(text.replace(",", "") if GROUPED.fullmatch(text) else text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            raise Refusal("invalid_request", f"{name}: must be a number, got {text[:40]!r}", field=name)
        return value

    def day(self, name: str) -> date | None:
        """A calendar day: `2025-01-31`."""
        return self._one(name).day(name)

    def instant(self, name: str) -> Instant | None:
        """A date and time in UTC, or a date (its midnight, UTC)."""
        return self._one(name).instant(name)

    def choice(self, name: str, of: type[E]) -> E | None:
        """One of the words of an enumeration."""
        text = self.text(name)
        if text is None:
            return None
        if text not in of.__members__.values():
            message = f"{name}: must be one of {', '.join(of)}, got {text[:40]!r}"
            raise Refusal("invalid_request", message, field=name)
        return of(text)

    def _one(self, name: str) -> QueryString:
        """The text of a field, to be read as one of a query is."""
        text = self.text(name)
        return QueryString({} if text is None else {name: text})


def read_form(body: bytes) -> Form:
    """The fields of a body in the form that browsers send (`application/x-www-form-urlencoded`)."""
    values: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except (UnicodeDecodeError, ValueError):
        message = f"form: must be at most {MOST_FIELDS} fields, percent-encoded in UTF-8"
        raise Refusal("invalid_request", message) from None
    for name, value in pairs:
        values.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form({name: tuple(given) for name, given in values.items()})


def read_multipart(body: bytes, content_type: str) -> Form:
    """The fields and files of a body in the form that browsers send files in (`multipart/form-data`)."""
    values: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    try:
        for part, content in _parts(body, parse_options_header(content_type)[1].get("boundary", "")):
            if part.filename:
                files[part.name] = content
            elif part.filename is None:  # empty: a field for a file in which none was chosen
                values.setdefault(part.name, []).append(content.decode().replace("\r\n", "\n"))
    except (MultipartError, UnicodeDecodeError, LookupError) as problem:
        message = f"form: must be at most {MOST_FIELDS} fields and files as multipart/form-data in UTF-8: {problem}"
        raise Refusal("invalid_request", message) from None
    return Form({name: tuple(given) for name, given in values.items()}, files)


def _parts(body: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    content: list[bytes] = []
    with PushMultipartParser(boundary, len(body), max_segment_count=MOST_FIELDS) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                part, content = event, []
            elif event:
                content.append(event)
            else:
                yield part, b"".join(content)
