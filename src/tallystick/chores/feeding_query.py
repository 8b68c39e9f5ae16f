"""How the rows of a query are read, over and over, from the greatest watermark so far."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Event
from typing import Any

from tallystick import failpoints
from tallystick.app import App
from tallystick.chores.feeding_acts import MOST, patiently, running
from tallystick.core.row_mapping import ColumnMap
from tallystick.core.usage_source import WATERMARK, AsRows, SqlFrom
from tallystick.errors import Refusal
from tallystick.pipeline import usage_sources
from tallystick.pipeline.usage_sources import Reach, member_of_row

REMEMBERED = 200_000  # rows that were sent last and are not sent again: most of what is read again


# A page of rows: how many the query asks for at most, said by a number at its end, or behind SELECT TOP.
_PAGE = re.compile(
    r"(?:\blimit\s+(\d+)(?:\s+offset\s+\d+)?|\bfetch\s+(?:first|next)\s+(\d+)\s+rows?\s+only)\s*;?\s*$"
    r"|^\s*select\s+top\s*\(?\s*(\d+)",
    re.IGNORECASE,
)


def read_query(app: App, reach: Reach, source: SqlFrom, stopping: Event) -> Generator[None, None, None]:
    """Look again every so often. A look begins at the watermark, or as much earlier as rows may come late, and asks on
    from the greatest that it met, as long as that leads further: so that a query with a LIMIT gets to the end."""
    sent: dict[bytes, None] = {}
    most = page_of(source.query)
    while not stopping.is_set():
        state = usage_sources.state_of(reach.records, reach.source.id)
        kept = state.places.get(WATERMARK, source.start_at)
        place, on = earlier(kept, source.overlap_seconds), True
        while on and not stopping.is_set():
            look = _Look(reach, source, sent, most)
            with app.sources.rows(
                reach.records.organization_id, source.connection, source.query, {WATERMARK: place}
            ) as found:
                running(reach, None)
                for members in look.chunks(found):
                    failpoints.reached("feed.read")
                    patiently(stopping, partial(usage_sources.take_rows, reach, members, len(members)))
                    yield
            for old in list(sent)[: max(0, len(sent) - REMEMBERED)]:
                del sent[old]
            after = place if look.greatest is None else text_of_mark(look.greatest)
            look.require_way_on(place, after)
            if after != kept and not (source.overlap_seconds and _is_before(after, kept)):
                usage_sources.keep_places(reach, {WATERMARK: after})
                kept = after
            on = after != place and (look.rows > 0 or most is not None)
            place = after
            yield
        stopping.wait(source.interval_seconds)


def page_of(query: str) -> int | None:
    """How many rows a query has at most, where it says so by a number."""
    found = _PAGE.search(query)
    return None if found is None else int(next(each for each in found.groups() if each is not None))


def _is_before(mark: str, other: str) -> bool:
    """Of two watermarks that are times."""
    try:
        return datetime.fromisoformat(mark) < datetime.fromisoformat(other)
    except (ValueError, TypeError):  # written in two ways: then what was met last holds
        return False


class _Look:
    """The rows of one asking: those that were not sent just before, and the greatest watermark of all."""

    def __init__(self, reach: Reach, source: SqlFrom, sent: dict[bytes, None], most: int | None) -> None:
        self._reach = reach
        self._column = source.watermark_column
        self._sent = sent
        self._most = most
        self._read = 0
        self.rows = 0
        self.greatest: Any = None

    def require_way_on(self, before: str, after: str) -> None:
        """Refusal where what lies behind this page can never be reached."""
        if self._most is not None and self._read >= self._most and after == before:
            message = (
                f"query: {self._read:,} rows and perhaps more have the same watermark {before[:40]!r}, and the LIMIT "
                f"is {self._most:,}: those behind would never be read; make it larger"
            )
            raise Refusal("source_failed", message)

    def chunks(self, found: Iterator[Mapping[str, object]]) -> Iterator[list[bytes]]:
        mapping = self._reach.source.value.mapping
        assert isinstance(mapping, AsRows), "a query has rows"
        columns, members = mapping.map_of(self._reach.source.id), list[bytes]()
        for cells in found:
            self._note(cells)
            member = _member(mapping, columns, cells)
            digest = hashlib.blake2b(member, digest_size=16).digest()
            if digest in self._sent:
                continue
            self._sent[digest] = None
            self.rows += 1
            members.append(member)
            if len(members) == MOST:
                yield members
                members = []
        if members:
            yield members

    def _note(self, cells: Mapping[str, object]) -> None:
        if self._column not in cells:
            message = f"watermarkColumn: the query has no column {self._column!r}; it has {', '.join(cells)}"
            raise Refusal("source_failed", message)
        mark: Any = cells[self._column]
        self._read += 1
        try:
            if self._most is not None and mark is not None and self.greatest is not None and mark < self.greatest:
                message = f"query: with a LIMIT it must be in order: end it with ORDER BY {self._column} LIMIT …"
                raise Refusal("source_failed", message)
            if mark is not None and (self.greatest is None or mark > self.greatest):
                self.greatest = mark
        except TypeError:
            message = f"watermarkColumn: {self._column!r} must be of one type, so that one can be the greatest"
            raise Refusal("source_failed", message) from None


def _member(mapping: AsRows, columns: ColumnMap, cells: Mapping[str, object]) -> bytes:
    return member_of_row(mapping, columns, cells, _Once())


class _Once:
    """Rows of a query are told apart by their uids alone."""

    def count(self, _: bytes) -> int:
        return 1


def earlier(mark: str, seconds: int) -> str:
    """A watermark so much earlier, written as it was."""
    if not seconds:
        return mark
    try:
        moment = datetime.fromisoformat(mark) - timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        message = f"overlapSeconds: the watermark must be a time then, such as 2026-03-01T00:00:00, got {mark[:40]!r}"
        raise Refusal("source_failed", message) from None
    return moment.isoformat(sep=" " if " " in mark else "T")


def text_of_mark(mark: object) -> str:
    """A watermark as the query is given it, and as it is kept."""
    if isinstance(mark, datetime | date):
        return mark.isoformat()
    return f"{mark:f}" if isinstance(mark, Decimal) else str(mark)
