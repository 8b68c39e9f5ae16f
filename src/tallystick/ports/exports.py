"""What data exports need from outside: records that hold still, and stores that files are put into."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tallystick.core.entity import Entity
from tallystick.core.export_types import ExportDestination
from tallystick.ports import OrganizationRecords


class NotDelivered(Exception):
    """A destination did not take a file. `lasting` says that trying again is of no use as things are. The message is
    told to people: it names what to do, and no secret."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Snapshots(Protocol):
    """Records as they are at one moment."""

    def still(self, id: str) -> AbstractContextManager[OrganizationRecords]:
        """One organisation's records, of which every read within the block sees what was committed when it began. They
        are only read, by one thread, and keep nobody from writing."""


class Target(Protocol):
    """A destination that is open."""

    def put(self, path: str, file: Path) -> None:
        """Put a file under a path, all of it or nothing: who reads there never sees a part. What was there under the
        path is replaced, so that a repetition does no harm. Raises NotDelivered."""


class Targets(Protocol):
    """Opens destinations."""

    def open(self, organization_id: str, destination: Entity[ExportDestination]) -> Target:
        """Raises NotDelivered for what cannot be opened, such as a directory that the operator did not allow."""

    def allowed(self, destination: ExportDestination) -> None:
        """Refusals `rule_broken` and `address_refused` for a destination that the operator does not allow."""
