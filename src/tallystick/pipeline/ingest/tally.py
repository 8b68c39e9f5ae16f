"""Keep the numbers of what did not count, by day and meter, in the transaction that writes it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from tallystick.core import wire
from tallystick.core.intake_tally import KIND, NO_METER, Cell, IntakeTally, tallied, tally_id
from tallystick.ports import Document, DocumentWhere, Page, Transaction

Numbers = Mapping[tuple[Cell, str], int]  # by day and meter, and by code
NO_NUMBERS: Numbers = {}


class _Named(msgspec.Struct):
    meter: str


_NAMED = msgspec.json.Decoder(_Named)


def meter_named(member: bytes | msgspec.Raw, meters: Iterable[str]) -> str:
    """The meter that a measurement names, if it is one of these."""
    try:
        named = _NAMED.decode(member).meter
    except msgspec.MsgspecError:
        return NO_METER
    return named if named in meters else NO_METER


def keep_numbers(write: Transaction, numbers: Iterable[Numbers]) -> None:
    """Add numbers to those that are kept."""
    found: Counter[tuple[Cell, str]] = Counter()
    for each in numbers:
        found.update(each)
    cells = {cell for cell, _ in found}
    if not cells:
        return
    ids = [tally_id(cell) for cell in cells]
    kept = {
        each.id: wire.decode(IntakeTally, each.body)
        for each in write.documents(KIND, DocumentWhere(equal={"id": ids}), Page(size=len(ids))).rows
    }
    after = [
        tallied(kept.get(tally_id(cell)), cell, [(code, found[at, code]) for at, code in found if at == cell])
        for cell in sorted(cells)
    ]
    documents = [
        Document(id=each.id, sort=each.day.isoformat(), keys=each.keys, body=wire.encode(each)) for each in after
    ]
    write.put_documents(KIND, documents)
