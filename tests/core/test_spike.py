"""What day is out of the ordinary: the same weekday of the weeks before says."""

from __future__ import annotations

import pytest

from tallystick.core.spike import spike

ROWS = [
    (200, [100, 100, 100, 100], 100, True),  # twice as much
    (199, [100, 100, 100, 100], None, None),
    (51, [100, 100, 100, 100], None, None),
    (50, [100, 100, 100, 100], 100, False),  # half as much
    (0, [100, 100, 100, 100], 100, False),
    (160, [60, 100], 80, True),
    (49, [1, 1, 1, 1], None, None),  # too few
    (500, [], None, None),  # nothing to hold it against
    (50, [0, 0], 0, True),
    (0, [0, 0], None, None),
]


@pytest.mark.parametrize(("count", "weeks", "usual", "rose"), ROWS)
def test_spikes(count: int, weeks: list[int], usual: int | None, rose: bool | None) -> None:
    found = spike(count, weeks)
    assert (None if found is None else found.usual, None if found is None else found.rose) == (usual, rose)
