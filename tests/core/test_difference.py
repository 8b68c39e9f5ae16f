"""What a change changed, field by field."""

from __future__ import annotations

import pytest

from tallystick.core.difference import LONGEST, MOST, differences

ROWS = [
    (None, b"{}", []),
    (b'{"a":1}', b'{"a":1}', []),
    (b'{"a":1,"b":"x"}', b'{"b":"y","a":1}', [("b", "x", "y")]),
    (None, b'{"a":1,"b":{"c":true}}', [("a", None, "1"), ("b.c", None, "true")]),
    (b'{"a":"x"}', None, [("a", "x", None)]),
    (b'{"a":1.0}', b'{"a":1.00}', []),
    (b'{"a":0.1}', b'{"a":0.10000000000000000001}', [("a", "0.1", "0.10000000000000000001")]),
    (b'{"a":1}', b'{"a":"1"}', [("a", "1", "1")]),
    (b'{"a":{"b":1}}', b'{"a":5}', [("a", '{"b":1}', "5")]),
    (b'{"a":[1,2]}', b'{"a":[1,3,4]}', [("a[1]", "2", "3"), ("a[2]", None, "4")]),
    (b'{"a":[{"b":1},{"b":2}]}', b'{"a":[{"b":1}]}', [("a[1].b", "2", None)]),
    (b'{"a":null}', b'{"a":false}', [("a", None, "false")]),
]


@pytest.mark.parametrize(("before", "after", "expected"), ROWS)
def test_field_by_field(before: bytes | None, after: bytes | None, expected: list[tuple[str, str, str]]) -> None:
    assert [(each.field, each.before, each.after) for each in differences(before, after)] == expected


def test_shallow_tells_of_lists_how_long_they_are() -> None:
    before, after = b'{"lines":[1,2],"status":"PENDING","n":[1]}', b'{"lines":[1,2,3],"status":"APPROVED","n":[2]}'
    told = [(each.field, each.before, each.after) for each in differences(before, after, shallow=True)]
    assert told == [("lines", "2 of them", "3 of them"), ("status", "PENDING", "APPROVED")]


def test_what_is_told_is_bounded() -> None:
    many = b"{" + b",".join(b'"f%d":1' % number for number in range(2 * MOST)) + b"}"
    assert len(differences(None, many)) == MOST
    (long,) = differences(None, b'{"a":"' + b"x" * 9_000 + b'"}')
    assert long.after is not None
    assert len(long.after) == LONGEST
