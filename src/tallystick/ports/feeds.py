"""Where usage is fetched from: streams of messages, and shelves of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tallystick.core.usage_source import FolderFrom, KafkaFrom, KinesisFrom, S3From


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream. `name` is the same whenever it is read, and of no other; `again`: it lies before the
    place that was remembered, so it was taken already."""

    name: str
    value: bytes
    again: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that were read together, and how far each part of the stream is read with them."""

    messages: Sequence[Message]
    places: Mapping[str, str]


class Stream(Protocol):
    """An open stream. Used by one thread. What does not answer is Refusal `source_failed`."""

    def read(self, most: int, seconds: float) -> Batch:
        """What has come, waiting a while for something to come."""

    def done(self) -> None:
        """All that was read is in the journal: tell the stream, where it wants to know."""

    def lag(self) -> int | None:
        """How many messages wait, if that can be told."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FileThere:
    """A file that may be read. `stamp` changes whenever the file does; `origin` and `name` together name it for all.
    `body` is the same when it is renamed, where that can be told, and not of two files at a time."""

    name: str
    size: int
    stamp: str
    origin: str
    body: str = ""


class Shelf(Protocol):
    """Where files are. Used by one thread. What does not answer is Refusal `source_failed`."""

    def files(self) -> Sequence[FileThere]:
        """Those that are whole, oldest first."""

    def opened(self, file: FileThere) -> AbstractContextManager[Path]:
        """The file, on this machine for a while."""

    def is_as_it_was(self, file: FileThere) -> bool:
        """Whether what was read of a file until now is of the file that was found."""

    def finished(self, file: FileThere) -> None:
        """The file is done: put it away, where that is wanted."""

    def close(self) -> None: ...


class Feeds(Protocol):
    """Opens sources. Refusals: `source_failed` where one cannot be reached, or may not be."""

    def stream(
        self, source: KafkaFrom | KinesisFrom, group: str, credentials: Mapping[str, str], places: Mapping[str, str]
    ) -> Stream:
        """A stream, from the places that are remembered, else from where it says. `group` is what reads it."""

    def shelf(self, organization_id: str, source: FolderFrom | S3From, credentials: Mapping[str, str]) -> Shelf:
        """A folder or a bucket."""

    def require_allowed(self, source: object) -> None:
        """Refusal `rule_broken` for a host that the operator does not let sources connect to."""
