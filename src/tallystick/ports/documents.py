"""Documents: what is stored that is no configuration, and how it is looked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tallystick.core.stencil import Stencil


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A stored document that is no configuration: a bill, a job, an event, a failed measurement.

    `keys` are the texts it can be looked up by (field name to value); `sort` its place in lists; `body` its bytes,
    which the store keeps as they are."""

    id: str
    sort: str
    keys: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledDocument:
    """A document to be stored whose body is a stencil that is filled in: the store keeps the stencil once, and of the
    document what is filled in (`short`). What is read is a `Document` with the whole body."""

    id: str
    sort: str
    keys: Mapping[str, str]
    stencil: Stencil
    short: str

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self.stencil.whole(self.short).encode()


class Kept(NamedTuple):
    """The body of a document as it is kept: what fills a stencil, or where there is none, all of it; and some keys."""

    stencil: Stencil | None
    text: str
    keys: Sequence[str | None]

    @property
    def body(self) -> bytes:
        """The whole body."""
        return (self.text if self.stencil is None else self.stencil.whole(self.text)).encode()


@dataclass(frozen=True, slots=True)
class DocumentWhere:
    """A filter of documents: `equal` as in Where; `between` maps a key to its lowest (inclusive) and highest
    (inclusive) text, either of which may be None."""

    equal: Mapping[str, Collection[str]] | None = None
    between: Mapping[str, tuple[str | None, str | None]] | None = None
