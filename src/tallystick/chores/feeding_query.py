"""How the rows of a query are read, over and over, from the greatest watermark so far."""

from __future__ import annotations

import hashlib
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


def read_query(app: App, reach: Reach, source: SqlFrom, stopping: Event) -> Generator[None, None, None]:
    """Ask again every so often; at once as long as that leads further, so that a query with a LIMIT gets to the end."""
    sent: dict[bytes, None] = {}
    while not stopping.is_set():
        state = usage_sources.state_of(reach.records, reach.source.id)
        before = state.places.get(WATERMARK, source.start_at)
        look = _Look(reach, source, sent)
        asked = {WATERMARK: earlier(before, source.overlap_seconds)}
        with app.sources.rows(reach.records.organization_id, source.connection, source.query, asked) as found:
            running(reach, None)
            for members in look.chunks(found):
                failpoints.reached("feed.read")
                patiently(stopping, partial(usage_sources.take_rows, reach, members, len(members)))
                yield
        for old in list(sent)[: max(0, len(sent) - REMEMBERED)]:
            del sent[old]
        after = before if look.greatest is None else text_of_mark(look.greatest)
        if after != before:
            usage_sources.keep_places(reach, {WATERMARK: after})
        yield
        if after == before or not look.rows:
            stopping.wait(source.interval_seconds)


class _Look:
    """The rows of one asking: those that were not sent just before, and the greatest watermark of all."""

    def __init__(self, reach: Reach, source: SqlFrom, sent: dict[bytes, None]) -> None:
        self._reach = reach
        self._column = source.watermark_column
        self._sent = sent
        self.rows = 0
        self.greatest: Any = None

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
        try:
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
