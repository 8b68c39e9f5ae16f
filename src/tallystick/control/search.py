"""The search language of m3ter's `search` operations (source: reference 1.4): `name~Acme$currency:USD`.

Terms are joined by `$`. A term is a key, a comparator and a value: `:` equals, `~` starts with (capitals or not),
`>` `>=` `<` `<=` compare: instants as instants, all else as text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Found

Field = str | datetime | tuple[str, ...] | Decimal | None  # numbers are only sorted by
Row = TypeVar("Row")

_COMPARATORS = {":": operator.eq, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_PLURALS = {"ids": "id", "codes": "code", "productIds": "productId"}


@dataclass(frozen=True, slots=True)
class Term:
    """One condition, as written."""

    key: str
    comparator: str
    value: str

    def holds(self, found: Field) -> bool:
        """Whether a field with this value meets the condition; a field that is absent meets none."""
        if found is None:
            return False
        assert not isinstance(found, Decimal), f"{self.key} is a number, which is no key of a search"
        if isinstance(found, tuple):
            return any(self.holds(each) for each in found)
        if isinstance(found, datetime):
            return bool(_COMPARATORS[self.comparator](found, self._instant()))
        if self.comparator == "~":
            return found.casefold().startswith(self.value.casefold())
        return bool(_COMPARATORS[self.comparator](found, self.value))

    def _instant(self) -> Instant:
        try:
            return Instant.parse(self.value)
        except ValueError as problem:
            raise _unreadable(f"{self.key}: {problem}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched: all the terms (or any), sorted by a field, from an offset on, at most `size` rows."""

    terms: tuple[Term, ...]
    any_term: bool = False
    sort_by: str | None = None
    descending: bool = False
    offset: int = 0
    size: int = 10

    def holds(self, field: Callable[[str], Field]) -> bool:
        """Whether something with these fields is found."""
        results = (_meets(term, field) for term in self.terms)
        return not self.terms or (any(results) if self.any_term else all(results))

    def equal_to(self, key: str) -> str | None:
        """The text that a field must equal in all that is found, if the terms demand one."""
        if self.any_term:
            return None
        return next((term.value for term in self.terms if (term.key, term.comparator) == (key, ":")), None)


def _meets(term: Term, field: Callable[[str], Field]) -> bool:
    """A term with the plural of a key (`codes:a,b`) takes a comma-joined list of values."""
    singular = _PLURALS.get(term.key)
    if singular is None:
        return term.holds(field(term.key))
    return any(Term(singular, term.comparator, value).holds(field(singular)) for value in term.value.split(","))


def read_terms(text: str | None, keys: Collection[str], instants: Collection[str] = ()) -> tuple[Term, ...]:
    """Read a search query over these keys; Refusal `invalid_request` for anything else.

    A `$` inside a value is no separator unless a key and a comparator follow it. `instants` are the keys of dates,
    which have no prefix to search by.
    """
    if not text:
        return ()
    names = "|".join(sorted(map(re.escape, keys), key=len, reverse=True))
    whole = re.compile(rf"({names})(>=|<=|[><:~])(.*)", re.DOTALL)
    terms: list[Term] = []
    for part in re.split(rf"\$(?=(?:{names})(?:[><:~]))", text):
        match = whole.fullmatch(part)
        if match is None:
            raise _unreadable(f"{part[:60]!r} is no term such as name~Acme; the keys are {', '.join(keys)}")
        term = Term(*match.groups())
        if term.key in instants:
            if term.comparator == "~":
                raise _unreadable(f"{term.key} is a date: compare it with : > >= < <=")
            term.holds(Instant.parse("2000-01-01"))  # refuses a value that is no date
        terms.append(term)
    return tuple(terms)


def searched(rows: Iterable[Row], fields: Callable[[Row], Callable[[str], Field]], wanted: Search) -> Found[Row]:
    """One page of the rows that are found. Rows come oldest first and are given newest first unless they are sorted;
    the token is the offset of the next page."""
    found = [row for row in rows if wanted.holds(fields(row))]
    found.reverse()
    sort_by = wanted.sort_by
    if sort_by is not None:
        found = sorted_rows(found, lambda row: fields(row)(sort_by), descending=wanted.descending)
    end = wanted.offset + wanted.size
    return Found(rows=tuple(found[wanted.offset : end]), next_token=str(end) if end < len(found) else None)


def sorted_rows(rows: Sequence[Row], key: Callable[[Row], Field], *, descending: bool) -> list[Row]:
    """Rows in the order of a field; those without it come last either way."""
    present = [row for row in rows if key(row) is not None]
    absent = [row for row in rows if key(row) is None]
    return sorted(present, key=lambda row: _order(key(row)), reverse=descending) + absent


def _order(value: Field) -> Any:  # of one field, so all are of one type
    if isinstance(value, Decimal):
        return value
    return Instant.of(value).isoformat() if isinstance(value, datetime) else str(value)


def _unreadable(what: str) -> Refusal:
    return Refusal("invalid_request", f"searchQuery: {what}", field="searchQuery")
