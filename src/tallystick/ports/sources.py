"""Second sources, which counted usage is held against: files that were sent, files of a folder, and queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Sources(Protocol):
    """What an operator lets be read, and what was sent. Nothing of another organisation can be named. `stored` is what
    a file that is sent is called: an id of ours, and an ending."""

    def append(self, organization_id: str, stored: str, content: bytes, offset: int) -> int:
        """Put a part of a file that is sent where it belongs, durably; returns how long the file then is. What is there
        already is passed over: sending a part again is safe. Refusal `rule_broken` when a part before it is missing."""

    def drop(self, organization_id: str, stored: str) -> None:
        """Forget a file that was sent."""

    def upload(self, organization_id: str, stored: str) -> Path:
        """Where a file that was sent lies. Refusal `not_found`."""

    def file(self, organization_id: str, path: str) -> Path:
        """A file of the organisation's folder. Refusals: `not_found`, `forbidden` for what lies outside."""

    def connections(self, organization_id: str) -> Sequence[str]:
        """The names of the databases that the organisation may ask."""

    def rows(
        self, organization_id: str, connection: str, query: str, parameters: Mapping[str, str]
    ) -> AbstractContextManager[Iterator[Mapping[str, object]]]:
        """The rows of a query, read as they come. Nothing is written there. Refusals: `not_found`, `source_failed`."""
