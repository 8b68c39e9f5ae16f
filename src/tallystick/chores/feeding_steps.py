"""How sources are read, step by step: streams batch by batch, files chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event

from tallystick import failpoints
from tallystick.app import App
from tallystick.chores.feeding_acts import MOST, patiently, running
from tallystick.chores.feeding_query import read_query
from tallystick.core.row_mapping import ColumnMap
from tallystick.core.usage_source import (
    AsRows,
    FileProgress,
    FolderFrom,
    KafkaFrom,
    KinesisFrom,
    S3From,
    SourceFile,
    SqlFrom,
)
from tallystick.occurrences import Occurrences
from tallystick.pipeline import usage_sources
from tallystick.pipeline.rows import Row, Unreadable, format_of, open_rows
from tallystick.pipeline.usage_sources import Reach, file_id, member_of_problem, member_of_row, note_state
from tallystick.ports import Page
from tallystick.ports.feeds import FileThere, Shelf

WAIT_SECONDS = 0.5  # for messages, when none are there
REMEMBERED_FILES = 2_000  # the latest, of which it is known when the server starts again what they were called first
LOOK_SECONDS = 10.0  # how often it is kept how many messages wait


def steps_of(app: App, reach: Reach, credentials: Mapping[str, str], stopping: Event) -> Generator[None, None, None]:
    """Read a source until told to stop; each step leaves everything kept. Refusals: `source_failed` and such."""
    configuration = reach.source.value.configuration
    match configuration:
        case KafkaFrom() | KinesisFrom():
            return _stream(app, reach, configuration, credentials, stopping)
        case FolderFrom() | S3From():
            return _shelf(app, reach, configuration, credentials, stopping)
        case SqlFrom():
            return read_query(app, reach, configuration, stopping)


# ------------------------------------------------------------------------------------------------ streams


def _stream(
    app: App, reach: Reach, source: KafkaFrom | KinesisFrom, credentials: Mapping[str, str], stopping: Event
) -> Generator[None, None, None]:
    places = usage_sources.state_of(reach.records, reach.source.id).places
    group = f"tallystick-{reach.source.id}"
    with closing(app.feeds.stream(source, group, credentials, places)) as stream:
        running(reach, None)  # nobody knows yet what waits
        looked = time.monotonic()
        while not stopping.is_set():
            batch = stream.read(MOST, WAIT_SECONDS)
            if batch.messages or batch.places:
                failpoints.reached("feed.read")
                patiently(stopping, partial(usage_sources.take_batch, reach, batch))
                stream.done()
            if time.monotonic() - looked > LOOK_SECONDS:
                running(reach, stream.lag())
                looked = time.monotonic()
            yield


# ------------------------------------------------------------------------------------------------ files


def _shelf(
    app: App, reach: Reach, source: FolderFrom | S3From, credentials: Mapping[str, str], stopping: Event
) -> Generator[None, None, None]:
    done: set[str] = set()
    names = _Names(reach)
    with closing(app.feeds.shelf(reach.records.organization_id, source, credentials)) as shelf:
        while not stopping.is_set():
            there = {file_id(reach.source.id, each): each for each in shelf.files()}
            done &= there.keys()
            known = usage_sources.known_files(reach.records, [id_ for id_ in there if id_ not in done])
            done |= {id_ for id_, each in known.items() if each.status is not FileProgress.TAKING}
            for id_, each in known.items():
                if each.status is FileProgress.DONE:  # the server was stopped before it was put away
                    shelf.finished(there[id_])
            left = [id_ for id_ in there if id_ not in done]
            names.see(there.values())
            running(reach, len(left))
            for count, id_ in enumerate(left, 1):
                whole = yield from _file(reach, shelf, there[id_], known.get(id_), names.first(there[id_]), stopping)
                if stopping.is_set():
                    return
                if whole:
                    done.add(id_)
                note_state(reach, lag=len(left) - count)
            yield
            stopping.wait(source.interval_seconds)


class _Names:
    """What files were called when they were first read. A file that is renamed keeps what its rows are known by, else
    they would count once more."""

    def __init__(self, reach: Reach) -> None:
        self._first: dict[str, tuple[str, str]] = {}  # by body: what it is called, and was first
        found = usage_sources.list_files(reach.records, reach.source.id, Page(size=REMEMBERED_FILES))
        for each in reversed(found.rows):
            if each.body:
                self._first[each.body] = each.name, each.known_as or each.name
        self._bodies: dict[str, str] = {}  # of the files that are there, by name

    def see(self, there: Iterable[FileThere]) -> None:
        """These files are there now."""
        self._bodies = {each.name: each.body for each in there}

    def first(self, there: FileThere) -> str:
        """What a file was called first. One that has another's body is another while both are there (a second link),
        and so is one that has the name of another that is still there under a new one."""
        if not there.body:
            return there.name
        before, first = self._first.get(there.body, (there.name, there.name))
        if before != there.name and self._bodies.get(before) == there.body:
            return there.name
        others = {body for body, (_, name) in self._first.items() if name == first and body != there.body}
        if there.body not in self._first and others & set(self._bodies.values()):
            first = f"{there.name} ({there.body})"
        self._first[there.body] = there.name, first
        return first


def _file(
    reach: Reach, shelf: Shelf, there: FileThere, known: SourceFile | None, known_as: str, stopping: Event
) -> Generator[None, None, bool]:
    """Take what is left of a file; False where it changed meanwhile, and is to be looked at again."""
    file = known or SourceFile(
        id=file_id(reach.source.id, there),
        source_id=reach.source.id,
        name=there.name,
        size=there.size,
        stamp=there.stamp,
        status=FileProgress.TAKING,
        found=reach.now(),
        body=there.body,
        known_as=None if known_as == there.name else known_as,
    )
    try:
        with shelf.opened(there) as path:
            for members, ended in _chunks(reach, there, file.known_as or there.name, path, file.rows):
                failpoints.reached("feed.read")
                if not shelf.is_as_it_was(there):
                    if file.rows:
                        usage_sources.fail_file(reach, file, "was written or taken away while it was read")
                    return False
                file = patiently(stopping, partial(usage_sources.take_file, reach, file, members, ended=ended))
                yield
    except Unreadable as problem:
        if not file.rows and not shelf.is_as_it_was(there):
            return False
        usage_sources.fail_file(reach, file, str(problem))
        return True
    shelf.finished(there)
    return True


def _chunks(reach: Reach, there: FileThere, name: str, path: Path, taken: int) -> Iterator[tuple[list[bytes], bool]]:
    """The measurements of a file behind the rows that were taken, and whether they are the last."""
    mapping = reach.source.value.mapping
    origin = f"{there.origin}/{name}"
    columns = mapping.map_of(origin) if isinstance(mapping, AsRows) else ColumnMap(plain={}, fields=(), source=origin)
    members: list[bytes] = []
    with open_rows(path, format_of(Path(there.name))) as reader, closing(Occurrences()) as met:
        for number, row in enumerate(reader.rows(), 1):
            made = _member(mapping, columns, origin, row, met)
            if number <= taken:
                continue
            members.append(made)
            if len(members) == MOST:
                yield members, False
                members = []
    yield members, True


def _member(mapping: object, columns: ColumnMap, origin: str, row: Row, met: Occurrences) -> bytes:
    if row.problem is not None:
        return member_of_problem(origin, row.number, row.problem, row.cells)
    return member_of_row(mapping, columns, row.cells, met)
