"""The parsers under text that was right once and then was cut, spliced and sprinkled with what hurts.

`make fuzz` draws a hundred times as much as `make test`.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS

from effort import drawing

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EXAMPLES = 200

MEMBERS = [
    b'{"uid":"a","account":"acme","meter":"m","ts":"2025-06-01T10:00:00Z","measure":{"n":1.5},"what":{"t":"x"}}',
    b'{"account":"a","meter":"m","ts":"2025-06-01","ets":"2025-06-02T00:00+02:00","uid":null,"measure":{"n":-1e-05}}',
    b'{"account":"a","meter":"m","ts":"2025-06-01","measure":{"n":1},"what":{"t":""},"who":{"w":"\\u00e9"},"where":null}',
    b'{"account":"a","meter":"m","ts":"2025-06-01","other":{},"metadata":{"k":"v"},"income":{"i":1},"cost":{"c":0.1}}',
]
SEEDS: dict[str, list[bytes]] = {
    "member": MEMBERS,
    "many": [*MEMBERS, MEMBERS[0].replace(b'"meter":"m",', b"")],
    "body": [b'{"measurements":[%b,%b]}' % (MEMBERS[0], MEMBERS[1]), b'{"x":1,"measurements":[{}, 5]}'],
    "time": [b"2025-06-01T10:00:00.123456+14:00", b"20250601T102400Z", b"2025-W22-7T10", b"2024-02-29"],
    "quantity": [b"-12.5e-7", b"99999999999999999999", b"0.000000000000000001"],
    "expression": [
        b"n * 2 + isnull(m, 0) / 3 - (a ^ 2) % 7",
        b"b AND t IN ('eu', \"us\") OR NOT n >= 1e3 ? Math.max(n, 1) : -m",
        b"Math.round(n) == 3 ? t + 'x' : null",
    ],
    "packed": [b"\0" + gzip.compress(b"abc" * 400, mtime=0), b"\1" + zstd.compress(b"abc" * 400)],
}
HURTFUL: Sequence[bytes] = [
    *(b"NaN", b"Infinity", b"1e400", b"1E+99999999999999999999", b"9" * 400, b"-0", b"01", b"1_0", b"null", b"true"),
    *(b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff", b"\0", b"\n", b"\xef\xbb\xbf", "１".encode(), "é".encode()),
    *(b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"\\", b"(", b")", b"(" * 300, b"[" * 300, b'{"a":' * 300),
    *(b"T24:00", b":60", b"+14:00", b"Z", b"-", b"W", b"%", b"^", b"^99", b"/0", b"!", b"Math.", b"IN", b"?", b"//"),
]


@st.composite
def spoilt(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed after some cuts, insertions and repetitions."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 12))
        piece = draw(
            st.one_of(
                st.sampled_from(HURTFUL),
                st.binary(max_size=4),
                st.just(data[at : at + cut] * 2),
                st.sampled_from(seeds),
            )
        )
        data = data[:at] + piece + data[at + cut :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_documented_rejections(name: str) -> None:
    @settings(**drawing(EXAMPLES))
    @given(spoilt(SEEDS[name]))
    def try_it(data: bytes) -> None:
        TARGETS[name](data)

    try_it()
