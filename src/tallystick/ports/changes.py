"""What a transaction changes, told to whoever makes events of it, within the transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tallystick.core.entity import Entity
from tallystick.ports import Document, FilledDocument, Transaction


class Action(StrEnum):
    """What became of something, as the names of events say it."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entity that was written: as it is now or, when it was taken away, as it was last."""

    action: Action
    entity: Entity[Any]
    at: datetime


class Witness(Protocol):
    """Sees every change of a transaction, so that none can be made without being told."""

    def entities(self, write: Transaction, changes: Sequence[Change]) -> None:
        """Entities were written; nothing else will be."""

    def documents(self, write: Transaction, kind: str, documents: Sequence[Document | FilledDocument]) -> None:
        """Documents are about to be written; what stands there still stands."""

    def removal(self, write: Transaction, kind: str, ids: Collection[str]) -> None:
        """Documents are about to be removed."""
