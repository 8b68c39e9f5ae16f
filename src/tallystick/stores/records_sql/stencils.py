"""Bodies that are kept as what fills a stencil (`core.stencil`), and the stencils, each once for an organisation.

A stencil is known by a digest of its pieces and is never changed, so that what was read of one holds for ever.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tallystick.core import wire
from tallystick.core.stencil import Stencil
from tallystick.ports import FilledDocument, Kept
from tallystick.stores.records_sql.entities import Run
from tallystick.stores.records_sql.schema import stencil as table
from tallystick.stores.records_sql.statements import matches

_MARK = "\x01"  # no JSON begins with it
_BEGINS = len(_MARK) + 32  # then the id of the stencil, then what fills it
MOST = 200  # stencils that are remembered: they have some 20 KB each

# Stencils by their ids.
_BY_ID: Select[Any] = select(table.c.id, table.c.pieces).where(
    table.c.organization_id == bindparam("organization_id"), matches(table.c.id, "ids", single=False)
)
# Keep a stencil that is not there yet.
_KEEP = {
    "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
}
_known: OrderedDict[tuple[str, str], Stencil] = OrderedDict()
_guard = threading.Lock()


def body_in_short(document: FilledDocument) -> str:
    """The body of a document as it is kept."""
    return f"{_MARK}{document.stencil.id}{document.short}"


def keep_stencils(connection: Connection, organization_id: str, stencils: Iterable[Stencil]) -> None:
    """Keep the stencils of documents that are about to be written. Always asked of the database: what another
    transaction kept may have been rolled back."""
    rows = [
        {"organization_id": organization_id, "id": id_, "pieces": wire.encode(pieces).decode()}
        for id_, pieces in {each.id: each.pieces for each in stencils}.items()
    ]
    if rows:
        connection.execute(_KEEP[connection.dialect.name], rows)


def whole(run: Run, organization_id: str, bodies: Sequence[str]) -> list[bytes]:
    """Bodies as they were given, of what is kept of them."""
    return [each.body for each in kept(run, organization_id, [(body,) for body in bodies])]


def kept(run: Run, organization_id: str, rows: Sequence[Any]) -> list[Kept]:
    """Bodies as they are kept, of rows of a body and some keys."""
    wanted = {body[len(_MARK) : _BEGINS] for body, *_ in rows if body[:1] == _MARK}
    found = _stencils(run, organization_id, wanted) if wanted else {}
    return [
        Kept(found[body[len(_MARK) : _BEGINS]], body[_BEGINS:], keys) if body[:1] == _MARK else Kept(None, body, keys)
        for body, *keys in rows
    ]


def _stencils(run: Run, organization_id: str, ids: Iterable[str]) -> dict[str, Stencil]:
    with _guard:
        found = {id_: _known[organization_id, id_] for id_ in ids if (organization_id, id_) in _known}
    missing = [id_ for id_ in ids if id_ not in found]
    if missing:
        rows = run(_BY_ID, {"organization_id": organization_id, "ids": missing})
        found |= {row.id: Stencil(row.id, wire.decode(tuple[str, ...], row.pieces)) for row in rows}
    with _guard:
        for id_, each in found.items():
            _known[organization_id, id_] = each
            _known.move_to_end((organization_id, id_))
        while len(_known) > MOST:
            _known.popitem(last=False)
    return found
