"""The explorer: what it shows is what the API answers; files are harmless; one measurement with all that is known."""

from __future__ import annotations

import csv
import io
import re
import time
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from storefront import read, send
from visitor import Visitor, signed_in

from tallystick.cli.launch import Server
from tallystick.core import wire
from tallystick.core.user import Role
from tenant import Tenant, new_tenant

HOSTILE = "=cmd|' /C calc'!A0<script>alert(1)</script>\""
FIELDS = [
    {"code": "tokens", "name": "Tokens <b>", "category": "MEASURE", "unit": "{token}"},
    {"code": "model", "name": "Model", "category": "WHAT"},
    {"code": "note", "name": "Note", "category": "METADATA"},
]
# uid, account, time, tokens, model; the organisation's clocks are Berlin's.
CALLS = [
    ("a", "acme", "2025-01-31T22:30:00Z", "1", "x"),
    ("b", "acme", "2025-01-31T23:30:00Z", "2", "x"),  # 1 February in Berlin
    ("c/d?e&f", "beta", "2025-02-10T12:00:00Z", "1234567890123456789.000000000000000001", "y"),
    (HOSTILE[:50], HOSTILE[:80], "2025-02-11T12:00:00Z", "-8", HOSTILE),
]
FEBRUARY = {"from": "2025-02-01", "to": "2025-02-28"}


def sent(uid: str, account: str, ts: str, tokens: str, model: str) -> bytes:
    whole = {"uid": uid, "meter": "llm", "account": account, "ts": ts, "what": {"model": model}}
    rest = {"metadata": {"note": HOSTILE}} | ({} if uid == "a" else {"where": {"rack": HOSTILE}})  # undeclared
    return wire.encode({**whole, **rest})[:-1] + b',"measure":{"tokens":' + tokens.encode() + b"}}"


@pytest.fixture(scope="module")
def used(server: Server) -> Tenant:
    """An organisation that has these."""
    tenant = new_tenant(server)
    with tenant.http() as http:
        _fill(http)
    return tenant


@pytest.fixture(scope="module")
def reader(used: Tenant) -> Visitor:
    """Who looks at them."""
    return signed_in(used, Role.READ_ONLY)


def _fill(http: httpx.Client) -> None:
    config = read(http.get("/organizationconfig"))
    read(send(http, "PUT", "/organizationconfig", {**config, "timezone": "Europe/Berlin"}))
    read(send(http, "POST", "/meters", {"name": "LLM", "code": "llm", "dataFields": FIELDS, "derivedFields": []}))
    body = b'{"measurements":[' + b",".join(sent(*each) for each in CALLS) + b"]}"
    verdicts = read(http.post("/measurements", content=body))["measurements"]
    assert {each["verdict"] for each in verdicts} == {"accepted"}, verdicts
    until = time.monotonic() + 20
    while len(read(send(http, "POST", "/usage/query", {}))["data"]) < len(CALLS):
        assert time.monotonic() < until
        time.sleep(0.02)


def uids(page: str) -> list[str]:
    found = re.findall(r'<a href="/explorer/measurement\?uid=[^"]*"><code>(.*?)</code>', page)
    return [unescape(each) for each in found]


def test_days_are_those_of_the_organisation(reader: Visitor) -> None:
    assert uids(reader.get("/explorer?" + urlencode(FEBRUARY))) == [HOSTILE[:50], "c/d?e&f", "b"]
    assert uids(reader.get("/explorer?from=2025-01-01&to=2025-01-31")) == ["a"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"accounts": "acme"}, ["b"]),
        ({"accounts": "acme,beta"}, ["c/d?e&f", "b"]),
        ({"field1": "tokens", "is1": "LESS", "value1": "0"}, [HOSTILE[:50]]),
        ({"field1": "model", "is1": "CONTAINS", "value1": "<script>"}, [HOSTILE[:50]]),
        ({"field1": "model", "value1": "x", "field2": "tokens", "is2": "GREATER", "value2": "1"}, ["b"]),
        ({"field1": "weight", "is1": "ABSENT"}, [HOSTILE[:50], "c/d?e&f", "b"]),
    ],
)
def test_filters(reader: Visitor, query: dict[str, str], found: list[str]) -> None:
    page = reader.get("/explorer?" + urlencode({**FEBRUARY, **query}))
    assert uids(page) == found
    assert f'data-value="{len(found)}">{len(found)}</data> match' in page


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ({"by": "MONTH"}, ["1234567890123456783.000000000000000001"]),
        ({"by": "DAY", "function": "COUNT"}, ["1", "1", "1"]),
        ({"by": "ACCOUNT"}, ["1234567890123456789.000000000000000001", "2", "-8"]),
        ({"by": "field:model", "function": "MAX"}, ["1234567890123456789.000000000000000001", "2", "-8"]),
        ({"by": "DAY", "of": "model", "function": "UNIQUE"}, ["1", "1", "1"]),
    ],
)
def test_charts_are_exact(reader: Visitor, query: dict[str, str], values: list[str]) -> None:
    page = reader.get("/explorer?" + urlencode({**FEBRUARY, **query}))
    drawn = page[page.index("<main") : page.index("Measurements <span")]
    assert re.findall(r'<td[^>]*data-value="([^"]*)"', drawn) == values


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"accounts": "nobody"}, "there is no account 'nobody'"),
        ({"field1": "model", "is1": "LESS", "value1": "1"}, "LESS is not for texts"),
        ({"field1": "tokens", "value1": "many"}, "must be a finite number"),
        ({"function": "SUM", "of": "model"}, "SUM cannot be applied"),
        ({"by": "field:note"}, "only text fields other than METADATA"),
        ({"nextToken": "x"}, "is not a token of this list"),
    ],
)
def test_what_cannot_be_asked_is_said(reader: Visitor, query: dict[str, str], says: str) -> None:
    assert says in unescape(reader.get("/explorer?" + urlencode({**FEBRUARY, **query}), status=400))


def test_a_file_holds_every_digit_and_no_formula(reader: Visitor) -> None:
    reply = reader.http.get("/explorer/download?" + urlencode({**FEBRUARY, "as": "csv"}))
    assert "attachment" in reply.headers["content-disposition"]
    head, *rows = csv.reader(io.StringIO(reply.text))
    assert head[-4:] == ["tokens", "model", "note", "undeclared"]
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    assert [each["tokens"] for each in cells] == ["-8", "1234567890123456789.000000000000000001", "2"]
    assert cells[0]["uid"] == "'" + HOSTILE[:50]
    assert cells[0]["model"] == cells[0]["note"] == "'" + HOSTILE
    assert not [cell for row in rows for cell in row if cell[:1] in "=+@" and cell]
    lines = reader.http.get("/explorer/download?" + urlencode({**FEBRUARY, "as": "jsonl"})).text.splitlines()
    read_again = [wire.decode(dict[str, Any], each.encode()) for each in lines]
    assert [each["uid"] for each in read_again] == [HOSTILE[:50], "c/d?e&f", "b"]
    assert '"undeclared":{"where":{"rack":' in lines[0]


def test_one_measurement_with_all_that_is_known(used: Tenant, reader: Visitor) -> None:
    other = sent("b", "acme", "2025-01-31T23:30:00Z", "99", "x")
    again = sent(*CALLS[1])
    with used.http() as http:
        for member in (other, again):
            read(http.post("/measurements", content=b'{"measurements":[' + member + b"]}"))
        read(send(http, "POST", "/measurements", {"measurements": [{"uid": "lost", "meter": "gone"}]}))
    page = unescape(reader.get("/explorer?uid=b"))
    assert "LLM, version 1" in page
    assert '"tokens": 2' in page
    assert "Conflict" in page
    assert '"tokens":99' in page, "the content that does not count"
    assert "Duplicate" in page
    hostile = reader.get("/explorer/measurement?" + urlencode({"uid": HOSTILE[:50]}))
    assert "<script>alert" not in hostile
    assert "<script>alert" in unescape(hostile)
    assert "No measurement nothing" in reader.get("/explorer/measurement?uid=nothing", status=404)
    assert "Does not count" in reader.get("/explorer/measurement?uid=lost")
