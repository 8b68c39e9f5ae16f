"""Sorting out a request whose members are all written alike, without a Python value for every field.

`layouts.py` cuts the request into columns of text; here they become what `sorting.Sorter` makes of the same request:
Arrow reads times and numbers, and puts together the contents for the digests and the entries of the journal. Of each
member Python sees its uid and its content, and nothing else.

This takes what `columns.py` takes, where every member keeps every rule and all are of one meter and of known accounts.
For everything else `sort_out` gives None, and `Sorter` has to do it (tests/pipeline/test_ingest_uniform.py holds the
two together).
"""

from __future__ import annotations

from datetime import timedelta
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tallystick.core.measurement import MAX_METADATA, MAX_TEXT, MAX_UID, organization_bytes
from tallystick.core.period import Instant
from tallystick.pipeline.ingest.columns import Columns, Form, Unusual, exact, fixed_width, signs_of, times
from tallystick.pipeline.ingest.known import Known
from tallystick.pipeline.ingest.layouts import Cut, Layout, learn
from tallystick.pipeline.ingest.roster import ACCOUNT_ID, Roster
from tallystick.pipeline.ingest.sheets import Uids
from tallystick.pipeline.ingest.sorting import Batch
from tallystick.pipeline.ingest.splitting import MAX_BYTES
from tallystick.pipeline.ingest.tail import WIDTH, Candidates, Reading
from tallystick.ports.packed import Fixed, Packed, head_of_text, opening

LAYOUTS = 4  # that are tried of an organisation
SHORT_TEXT = 32  # msgpack: texts below this size have a head of one byte
BYTES_16 = 0xC5  # msgpack: a byte string whose size follows in two bytes
SIZED = 3  # bytes of such a head
LONGEST = 65_000  # bytes of a member whose entry has such a head
ACCOUNT, TS, UID = ("account",), ("ts",), ("uid",)


class Uniform:
    """What is remembered of an organisation: the layouts that its requests had of late, and its accounts."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.roster = Roster(known.accounts)
        self._layouts: list[Layout] = []

    def cut(self, body: bytes) -> tuple[Layout, Cut] | None:
        """The columns of a request, and its layout; None where its members are not all written alike."""
        for layout in self._layouts:
            if (found := layout.cut(body)) is not None:
                return layout, found
        learnt = learn(body)
        if learnt is None or learnt in self._layouts or (found := learnt.cut(body)) is None:
            return None
        self._layouts = [learnt, *self._layouts[: LAYOUTS - 1]]
        return learnt, found


def sort_out(organization_id: str, uniform: Uniform, received: Instant, body: bytes) -> Batch | None:
    """What `Sorter` makes of a request; None where it has to be asked."""
    found = uniform.cut(body) if len(body) <= MAX_BYTES else None
    if found is None:
        return None
    layout, cut = found
    known = uniform.known
    form = known.forms.by_meter.get(layout.meter)
    if form is None or set(cut.texts) != {ACCOUNT, TS, UID, *form.texts} or set(cut.numbers) != set(form.numbers):
        return None
    account_ids = uniform.roster.ids(cut.texts[ACCOUNT])
    if account_ids is None:
        return None
    try:
        columns = _columns(form, cut, received + timedelta(seconds=known.config.future_tolerance_seconds))
        entries = _entries(form, account_ids, cut.members)
    except Unusual:
        return None
    candidates = Candidates(
        keys=_keys(organization_id, columns.uids),
        contents=_contents(form, columns, cut.texts[ACCOUNT]),
        entries=entries,
        readings=[] if form.schema.derives else [Reading(form.schema.meter_id, account_ids, columns)],
    )
    return Batch(candidates, places=range(len(account_ids)), uids=Uids(columns.uids))


def _columns(form: Form, cut: Cut, latest: Instant) -> Columns:
    """The values as columns; Unusual where one of them breaks a rule."""
    uids = cut.texts[UID]
    if not (_sizes(uids).all() and _shorter(uids, MAX_UID)):
        raise Unusual
    texts = {path: cut.texts[path] for path in form.texts}
    if not all(_shorter(text, MAX_METADATA if path[0] == "metadata" else MAX_TEXT) for path, text in texts.items()):
        raise Unusual
    return Columns(
        uids=uids,
        ts=times(cut.texts[TS], latest),
        numbers={path[-1]: exact(cut.numbers[path]) for path in form.numbers},
        texts={path[-1]: text for path, text in texts.items()},
    )


def _keys(organization_id: str, uids: pa.Array) -> Fixed:
    """`core.measurement.uid_keys`, side by side."""
    prefix, seed = organization_bytes(organization_id)
    digests = b"".join(map(xxhash.xxh3_128_digest, _list(_binary(uids)), repeat(seed)))
    keys = np.empty((len(uids), WIDTH), np.uint8)
    keys[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    keys[:, len(prefix) :] = np.frombuffer(digests, np.uint8).reshape(-1, 16)[:, : WIDTH - len(prefix)]
    return Fixed(keys.tobytes(), WIDTH)


def _contents(form: Form, columns: Columns, codes: pa.Array) -> Fixed:
    """`core.measurement.digest_contents`, side by side."""
    numbers = list(columns.numbers.values())
    width = fixed_width(columns.ts, numbers).shape[1]
    head = opening(3 + len(form.texts), [form.shape, bytes(width)])[:-width]
    parts = [_rows(fixed_width(columns.ts, numbers, head))]
    for text in (codes, *columns.texts.values()):
        parts += [_heads(text), _binary(text)]
    contents = pc.binary_join_element_wise(*parts, b"")
    return Fixed(b"".join(map(xxhash.xxh3_128_digest, _list(contents))), WIDTH)


def _heads(texts: pa.Array) -> pa.Array:
    """What msgpack writes before each text."""
    sizes = _sizes(texts)
    if (sizes < SHORT_TEXT).all():
        return _rows((sizes | 0xA0).astype(np.uint8).reshape(-1, 1))
    return pa.array(map(head_of_text, sizes.tolist()), pa.binary())


def _entries(form: Form, account_ids: pa.Array, members: pa.Array) -> Packed:
    """`core.measurement_reading.pack_many`, packed. Each size is written in two bytes, also where one would do, so
    that what comes before the members is equally long."""
    schema, sizes = form.schema, _sizes(members)
    if int(sizes.max()) > LONGEST:
        raise Unusual
    one = opening(5, ["-" * ACCOUNT_ID, schema.meter_id, schema.version, None])
    heads = np.empty((len(members), SIZED + len(one) + SIZED), np.uint8)
    heads[:, :SIZED] = _sized(sizes + len(one) + SIZED)
    heads[:, SIZED:-SIZED] = np.frombuffer(one, np.uint8)
    heads[:, -SIZED:] = _sized(sizes)
    at = SIZED + one.index(b"-" * ACCOUNT_ID)
    heads[:, at : at + ACCOUNT_ID] = signs_of(account_ids).reshape(-1, ACCOUNT_ID)
    entries = pc.binary_join_element_wise(_rows(heads), members, b"")
    ends = np.frombuffer(entries.buffers()[1], np.int32)[1 : len(entries) + 1].astype(np.int64)
    return Packed([memoryview(entries.buffers()[2]).cast("B")[: int(ends[-1])]], ends)


def _sized(sizes: np.ndarray) -> np.ndarray:
    """What msgpack writes before byte strings, each size in two bytes."""
    rows = np.empty((len(sizes), SIZED), np.uint8)
    rows[:, 0] = BYTES_16
    rows[:, 1:] = sizes.astype(">u2").view(np.uint8).reshape(-1, 2)
    return rows


def _rows(matrix: np.ndarray) -> pa.Array:
    """The rows of a matrix of bytes."""
    ends = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(matrix), [None, pa.py_buffer(ends), pa.py_buffer(matrix)])


def _sizes(texts: pa.Array) -> np.ndarray:
    """Bytes of each text; texts that are not sliced from others."""
    return np.diff(np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1))


def _shorter(texts: pa.Array, most: int) -> bool:
    return bool((_sizes(texts) <= most).all())


def _binary(texts: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(), len(texts), texts.buffers())


def _list(texts: pa.Array) -> list[Any]:
    found: list[Any] = texts.to_numpy(zero_copy_only=False).tolist()
    return found
