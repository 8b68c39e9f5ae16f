"""Reading the journal's entries as columns, as the door read them: for a projection that fell behind or starts anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tallystick.core.measurement import LATEST, Schema, fields_of
from tallystick.core.measurement_reading import JournalEntry, unpack
from tallystick.core.meter import Meter
from tallystick.pipeline.ingest.columns import FEW, Form, Forms
from tallystick.pipeline.ingest.tail import Appended, Reading
from tallystick.ports import Block, UsageBlock

FindForms = Callable[[str, str, int], Forms | None]
"""(organisation, meter id, version) → how its measurements are read as columns, if they are: its one form."""


def forms_of(meter_id: str, version: int, meter: Meter) -> Forms:
    """How the measurements of a version of a meter are read."""
    return Forms([Form(meter.code, Schema(meter_id, version, fields_of(meter)))])


def read_block(block: Block, find_forms: FindForms, after: int = 0) -> Appended:
    """The entries of a block above a position: as columns where many are of the usual form."""
    entries = [
        (position, packed, unpack(packed))
        for position, packed in enumerate(block.entries, block.first)
        if position > after
    ]
    by_forms: dict[Forms, list[tuple[int, JournalEntry]]] = {}
    for position, _, entry in entries if len(entries) > FEW else ():
        forms = None if entry.uid else find_forms(block.organization_id, entry.meter_id, entry.meter_version)
        if forms is not None:
            by_forms.setdefault(forms, []).append((position, entry))
    blocks: list[UsageBlock] = []
    read: set[int] = set()
    for forms, found in by_forms.items():
        (form,) = forms.all
        rows = forms.rows([entry.original for _, entry in found])
        usual = [at for at, row in enumerate(rows) if row is not None]
        which, checked = form.most([rows[at] for at in usual], LATEST)
        if checked is None:
            continue
        taken = [usual[at] for at in which]
        positions = np.array([found[at][0] for at in taken], np.uint64)
        account_ids = pa.array([found[at][1].account_id for at in taken], pa.string())
        reading = Reading(form.schema.meter_id, account_ids, checked.columns)
        blocks.append(reading.block(block.organization_id, block.received, positions))
        read.update(positions.tolist())
    rest = [(position, packed) for position, packed, _ in entries if position not in read]
    return Appended(block.organization_id, block.received, max(block.first, after + 1), block.last, blocks, rest)
