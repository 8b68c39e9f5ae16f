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
    "event": [
        # CloudEvents, structured, batched and binary; then each other form by its place in the list of forms.
        b'\0\1{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2025-06-01T10:00:00Z","data":{"n":1}}',
        b'\0\2[{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJuIjoxfQ=="},{"id":2}]',
        b'\0\5{"n": 1, "account": "a"}',
        (
            b'\1\0{"event_id":"e","customer_id":"c","timestamp":"2025-06-01T10:00:00Z","event_type":"t","value":2,'
            b'"data":{"n":1e-5,"account":7,"off":true},"attributes":{"t":["x"]}}'
        ),
        b'\1\3{"id":1,"time":"2025-06-01"}\n{"id":"2","time":5}',
        b'\2\0{"type":"track","event":"Call","messageId":"1","timestamp":"2025-06-01T10:00:00Z","properties":{}}',
        b'\4\0{"batch":[{"uuid":"1","event":"call","timestamp":"2025-06-01"}]}',
        (
            b'\5\0{"series":[{"metric":"m","type":1,"tags":["a:b","c"],"points":[[1748772000,1.5],{"timestamp":1,"value":2}],'
            b'"resources":[{"type":"host","name":"h"}]}]}'
        ),
        (
            b'\6\0{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"v"}}]},"scopeMetrics":['
            b'{"scope":{"name":"s"},"metrics":[{"name":"m","unit":"1","sum":{"aggregationTemporality":1,"isMonotonic":true,'
            b'"dataPoints":[{"asInt":"5","timeUnixNano":"1748772000000000000","startTimeUnixNano":"1","flags":0,'
            b'"attributes":[{"key":"t","value":{"intValue":"1"}}]},{"asDouble":1.5}]}},{"name":"h","histogram":{"dataPoints":['
            b'{"count":"3","sum":4.5,"bucketCounts":["1","2"],"explicitBounds":[1.5]}]}}]}]}]}'
        ),
    ],
    "header": [b'"a \\" b"', b"%C3%A9%ff", b"plain"],
    "crm_row": [
        b'\0{"Id":"001000000000001","Name":"Acme","BillingStreet":"1 Road\\nHall","ParentId":"001000000000002"}',
        b'\1{"Id":"800000000000001AAA","AccountId":"001","StartDate":"2024-03-01","EndDate":"2024-12-31","ContractTerm":12}',
        b'\2{"id":"5","properties":{"name":"Acme","address":"x"},"associations":{"companies":{"results":[{"id":"7"}]}}}',
        b'\3{"id":"5","properties":{"hs_object_id":1,"closedate":"1709251200000","dealname":"D","amount":1e5}}',
    ],
    "cells": [
        b'\0{"t":"2025-06-01T10:00:00Z","a":"acme","u":"1","n":"1.5","w":"x"}',
        b'\1{"t":1748772000,"a":5,"n":-1e-5,"w":true}',
        b'\2{"t":"1748772000123.5","a":"","n":" 7 ","w":null}',
    ],
    "cell_of_csv": [b"=1+1", b"a;=1", b"\t@x", b' "-1;b', "＝1;\xa0+2".encode(), b"'it's"],
    "cron": [b"*/15 * * * *", b"0 0 29 2 *", b"7,22 9-17 * * MON-FRI", b"45 23 L * *", b"0 0 1-7/2 * 1#2"],
    "packed": [b"\0" + gzip.compress(b"abc" * 400, mtime=0), b"\1" + zstd.compress(b"abc" * 400)],
}
HURTFUL: Sequence[bytes] = [
    *(b"NaN", b"Infinity", b"1e400", b"1E+99999999999999999999", b"9" * 400, b"-0", b"01", b"1_0", b"null", b"true"),
    *(b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff", b"\0", b"\n", b"\xef\xbb\xbf", "１".encode(), "é".encode()),
    *(b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"\\", b"(", b")", b"(" * 300, b"[" * 300, b'{"a":' * 300),
    *(b"T24:00", b":60", b"+14:00", b"Z", b"-", b"W", b"%", b"^", b"^99", b"/0", b"!", b"Math.", b"IN", b"?", b"//"),
    *(
        b"9999-12-31",
        b"1e999999",
        b"-1e-999999",
        b"9223372036854775807",
        b"99999999999999",
        b";=",
        b"\t=",
        b"*/1",
        b"L",
    ),
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
