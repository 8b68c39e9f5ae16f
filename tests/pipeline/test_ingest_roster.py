"""Accounts are found by their codes, many at once: those that the map has, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effort import drawing
from tallystick.pipeline.ingest import roster
from tallystick.pipeline.ingest.roster import Roster

CODES = st.one_of(
    st.text(min_size=1, max_size=3),
    st.text(alphabet="ab", min_size=6, max_size=18),
    st.integers(0, 99).map(lambda number: f"customer-{number:02d}-of-the-northern-branch-office"),
    st.integers(0, 99).map(lambda number: f"{'long-' * 16}{number:02d}"),  # alike in all that is hashed
)


def accounts(codes: Sequence[str], first: int = 0) -> dict[str, str]:
    return {code: str(UUID(int=number)) for number, code in enumerate(codes, first)}


def ids(found: Roster, codes: Sequence[str]) -> list[str] | None:
    column = found.ids(pa.array(codes, pa.string()))
    return None if column is None else column.to_pylist()


@given(
    known=st.lists(CODES, min_size=1, max_size=40, unique=True),
    later=st.lists(CODES, max_size=40),
    others=st.lists(CODES, min_size=1, max_size=5),
    places=st.sampled_from([2, 16, 2**22]),
)
@settings(**drawing(80))
def test_as_the_map_has_them(known: list[str], later: list[str], others: list[str], places: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roster, "MOST_PLACES", places)
        table = accounts(known)
        found = Roster(table)
        for _ in range(3):  # the table is made of what was looked up in the map
            assert ids(found, known) == list(table.values())
        for code, id_ in accounts(later, first=1000).items():
            table.setdefault(code, id_)
        for _ in range(3):
            asked = [*known, *later]
            assert ids(found, asked) == [table[each] for each in asked]
            expected = [table.get(each) for each in others]
            assert ids(found, others) == (None if None in expected else expected)
            assert ids(found, [*known, ""]) is None


def test_codes_are_looked_up_in_the_table_once_enough_are_known() -> None:
    class Counting(dict[str, str]):
        asked = 0

        def get(self, code: str, default: str = "") -> str:  # type: ignore[override]  # one way to ask is counted
            self.asked += 1
            return super().get(code, default)

    table = Counting(accounts([f"account-{number}" for number in range(3_000)]))
    found = Roster(table)
    for _ in range(4):
        assert ids(found, list(table)) == list(table.values())
    assert table.asked < 3_000 + 4 * 150  # the first time all; then those whose place another has


@pytest.mark.parametrize("id_", ["short", "ü" * 36, "", "x" * 37])
def test_an_account_with_another_kind_of_id_is_left_to_whoever_asks(id_: str) -> None:
    table = {**accounts(["a", "b"]), "c": id_}
    found = Roster(table)
    for _ in range(3):
        assert ids(found, ["a", "b", "a"]) == [table["a"], table["b"], table["a"]]
        assert ids(found, ["a", "c"]) is None
