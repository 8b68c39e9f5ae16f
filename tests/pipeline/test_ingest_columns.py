"""Many at once or one by one: the same verdicts, digests, journal entries and rows, whatever is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_members import KNOWN, METERS, members
from ingest_world import NORTH, NOW, body, measurement, world

from effort import drawing
from tallystick.pipeline.ingest import sorting
from tallystick.pipeline.ingest.columns import FEW
from tallystick.pipeline.ingest.rereading import forms_of, read_block
from tallystick.pipeline.ingest.sorting import Batch, Sorter
from tallystick.pipeline.ingest.splitting import split
from tallystick.pipeline.ingest.tail import appended
from tallystick.pipeline.mediate import mediate, project
from tallystick.ports import Block, UsageRow
from tallystick.stores.memory import MemoryUsage


def sort_out(members: Sequence[bytes], few: int, monkeypatch: pytest.MonkeyPatch) -> Batch:
    numbers = count(1)
    with monkeypatch.context() as patch:
        patch.setattr(sorting, "FEW", few)
        return Sorter(NORTH, KNOWN, NOW, lambda: f"new-{next(numbers)}").sort_out(split(body(*members)))


def rows_of(batch: Batch) -> list[UsageRow]:
    """What the candidates become in the usage store, each a row of its own."""
    size = len(batch.places)
    if not size:
        return []
    block = Block(organization_id=NORTH, kind="measurement", received=NOW, entries=batch.candidates.entries, first=1)
    part = appended(block, [(batch.candidates, np.ones(size, bool))])
    rows = mediate([part], lambda _, meter_id, __: METERS[meter_id.removesuffix("-id")]).rows
    rows += [row for each in part.blocks for row in each.rows()]
    return sorted(rows, key=lambda row: row.position)


@given(sent=st.lists(members(), min_size=1, max_size=12))
@settings(**drawing(150))
def test_many_at_once_are_as_one_by_one(sent: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        together = sort_out(sent, 0, patch)
        alone = sort_out(sent, 10**9, patch)
    assert together.strangers == alone.strangers
    assert sorted(together.bad) == sorted(alone.bad)
    assert (
        list(zip(together.places, together.uids, strict=False)) == list(zip(alone.places, alone.uids, strict=False))
        or together.strangers
    )
    assert [list(part) for part in together.candidates[:3]] == [list(part) for part in alone.candidates[:3]]
    assert rows_of(together) == rows_of(alone)


def test_the_usual_form_is_read_as_columns_and_all_else_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(uid: str, **changes: object) -> bytes:
        parts = {"uid": uid, "meter": "bare", "account": "acme", "ts": "2025-06-01T10:00:00Z", "income": {"n": 1.5}}
        return json.dumps(parts | changes).encode()

    members = [
        sent("a"),
        sent("b", ts="2025-06-01"),
        sent("c", ets="2025-06-01T10:00:00Z"),
        sent("d", income={"n": 1, "m": 2}),
        sent("e", income={"n": 10**20}),
        sent("f", meter="timed", income=None, measure={"n": 2}),
        sent("g", account="ümlaut", income={"n": 7}),
    ]
    batch = sort_out(members, 0, monkeypatch)
    (reading,) = batch.candidates.readings
    assert reading.columns.uids.to_pylist() == ["a", "b", "g"]
    assert reading.account_ids.to_pylist() == ["acme-id", "acme-id", "u-id"]
    assert [str(each) for each in reading.columns.numbers["n"].to_pylist()] == [
        "1.500000000000000000",
        "1.500000000000000000",
        "7.000000000000000000",
    ]
    assert list(batch.uids) == ["a", "b", "c", "d", "f", "g"]
    assert [each.uid for each in batch.bad] == ["e"]


@pytest.mark.parametrize(
    "number",
    [
        "1e30",
        "1.5e25",
        "-1E+37",
        "123456789012345678901234567890.5",
        "340282366920938463463374607431768211456.5",  # 2^128, and a half
        "0.3402823669209384634633746074317682114560",
        "99999999999999999999.5",
        "100000000000000000000.0",
        "0.000000000000000001",
        "25e-19",
        "676308255727573443.006971072178279270e-68",
        *(f"5.930309300901000030e-{exponent}" for exponent in range(17, 100)),
    ],
)
def test_a_number_of_many_digits_is_exact_or_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = '"meter":"bare","account":"acme","ts":"2025-06-01T10:00:00Z"'
    sent = [f'{{"uid":"{uid}",{parts},"income":{{"n":{number}}}}}'.encode() for uid in "ab"]
    together, alone = (sort_out(sent, few, monkeypatch) for few in (0, 10**9))
    assert sorted(together.bad) == sorted(alone.bad)
    assert rows_of(together) == rows_of(alone)


class TestProjection:
    """What the door read is projected as it is; what it did not keep is read again from the journal."""

    @pytest.mark.parametrize(("entries", "columns"), [(1, 0), (FEW, 0), (FEW + 1, FEW + 1), (50, 50)])
    def test_columns_are_set_up_for_many_only(
        self, entries: int, columns: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def original(uid: int) -> bytes:
            return json.dumps(measurement(str(uid), meter="bare", what=None, measure=None, income={"n": 1})).encode()

        batch = sort_out([original(uid) for uid in range(entries)], 10**9, monkeypatch)
        block = Block(
            organization_id=NORTH, kind="measurement", received=NOW, entries=batch.candidates.entries, first=1
        )
        part = read_block(block, lambda *_: forms_of("bare-id", 1, METERS["bare"]))
        assert sum(len(each) for each in part.blocks) == columns
        assert len(part.rest) == entries - columns

    def test_the_tail_and_the_journal_give_the_same_rows(self, tmp_path: Path) -> None:
        with world(tmp_path) as north:
            found = []
            for number in range(4):
                usual = [measurement(f"{number}/{each}", measure={"tokens": each + 0.5}) for each in range(20)]
                odd = [
                    measurement(f"{number}/0", measure={"tokens": 0.5}),  # a duplicate
                    measurement(None),
                    measurement(f"{number}/end", ets="2025-06-01T11:00:00Z"),
                    measurement(f"{number}/more", other={"colour": "red"}),
                    measurement(f"{number}/bad", measure={"tokens": "1"}),
                ]
                # The first of the four is of accounts that nobody knew, each time twice: 23 of 25 count.
                found += asyncio.run(north.post(*usual, *odd))
            assert [each["verdict"] for each in found].count("accepted") == 4 * 23
            kept, read = MemoryUsage(), MemoryUsage()
            while kept.mark < north.journal.last:
                project(north.journal, kept, north.records, 30, north.tail)
            while read.mark < north.journal.last:
                project(north.journal, read, north.records, 30)
            rows = list(kept.rows(NORTH))
            assert len(rows) == 4 * 23
            assert sorted(rows, key=lambda row: row.position) == sorted(read.rows(NORTH), key=lambda row: row.position)
