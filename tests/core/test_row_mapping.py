"""From a row to a measurement: numbers and times that no clock and no quantity can have."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tallystick.core.row_mapping import TimeUnit, columns_of, parts_of
from tallystick.core.source_rows import text_of


@pytest.mark.parametrize("text", ["1e9999", "1e30", "-1e30", "99999999999999999999999999999999"])
@pytest.mark.parametrize("unit", [TimeUnit.SECONDS, TimeUnit.NANOSECONDS])
def test_a_time_beyond_all_times_goes_on_as_it_is_and_the_door_says_what_is_wrong(text: str, unit: TimeUnit) -> None:
    columns = columns_of([("ts", "at"), ("account", "who")], meter="llm", time_unit=unit)
    assert parts_of({"at": text, "who": "acorn"}, columns) == {"meter": "llm", "ts": text, "account": "acorn"}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Decimal("1E+999999999"), "1E+999999999"),
        (Decimal("1E-999999999"), "1E-999999999"),
        (Decimal("1E+20"), "100000000000000000000"),
        (Decimal("0.00"), "0.00"),
        (Decimal("NaN"), "NaN"),
    ],
)
def test_a_number_is_written_out_only_where_that_has_an_end(cell: Decimal, text: str) -> None:
    assert text_of(cell) == text
