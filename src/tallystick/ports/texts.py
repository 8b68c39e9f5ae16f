"""Entities as they are written, for those who need little of very many."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from tallystick.core.entity import Text, Value


class Texts(Protocol):
    """The texts of entities of one organisation, and who refers to whom."""

    def texts(self, of: type[Value], name: str = "", among: Collection[str] = ()) -> Iterator[Text]:
        """The texts of all entities of a kind; given a name, of those whose id ("id"), or which refer by this field
        (Python name), to one of these. In no certain order, each once for each of these that it names."""

    def referred_to(self, besides: Collection[type[Value]], among: Collection[str] | None = None) -> set[str]:
        """The ids, of these or of all, that entities refer to which are of other kinds than `besides`."""
