"""A reconciliation at the console: said, run with a file, looked at down to the measurement, corrected."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest
from visitor import Visitor

METER = {
    "name": "LLM",
    "code": "llm",
    "dataFields": [{"category": "MEASURE", "code": "tokens", "name": "Tokens", "unit": "{token}"}],
    "derivedFields": [],
}


@pytest.fixture
def counted(http: httpx.Client) -> httpx.Client:
    """Three calls of acorn on a day, one of them twice."""
    assert http.post("/meters", json=METER).status_code == 200
    account = {"name": "Acorn", "code": "acorn", "emailAddress": "a@example.com"}
    assert http.post("/accounts", json=account).status_code == 200
    calls = [
        {"uid": uid, "meter": "llm", "account": "acorn", "ts": f"2025-03-01T{hour:02}:00:00Z", "measure": {"tokens": n}}
        for uid, hour, n in (("c1", 1, 100), ("c1-again", 1, 100), ("c2", 2, 300))
    ]
    assert http.post("/measurements", content=json.dumps({"measurements": calls})).json()["result"] == "accepted"
    return http


def ended(visitor: Visitor, path: str) -> str:
    until = time.monotonic() + 30
    while "Accuracy by account and field" not in (text := visitor.get(path)):
        assert time.monotonic() < until, text
        time.sleep(0.05)
    return text


def test_a_log_is_sent_and_every_difference_is_shown_with_its_cause(counted: httpx.Client, admin: Visitor) -> None:
    admin.get("/reconciliations/new")
    fields = {
        "name": "Gateway's log",
        "comparison": "RECORDS",
        "type": "UPLOAD",
        "measures": "llm.tokens = total",
        "column-account": "customer",
        "column-uid": "id",
        "column-ts": "at",
    }
    refused = admin.post("/reconciliations", {**fields, "measures": "llm.bytes"}, 422)
    assert "the meter llm has no field" in refused
    assert "Gateway&#39;s log" in refused, "what was typed stays"
    made = admin.post("/reconciliations", fields)
    path = re.search(r'action="(/reconciliations/[0-9a-f-]{36}/runs)"', made)
    assert path is not None
    log = b"id,customer,at,total\nc1,acorn,2025-03-01T01:00:00Z,100\nc2,acorn,2025-03-01T02:00:00Z,600\n"
    days = {"first": "2025-03-01", "last": "2025-03-01", "format": "csv"}
    assert "choose the file" in admin.post(path[1], days, 422)
    sent = admin.send(path[1], days, {"file": log})
    run = sent.url.path
    text = ended(admin, run)
    # Of 700 tokens, 100 are extra and 300 differ: 1 − 400/700 is 42.86%.
    assert "42.86%" in text
    assert "The same measurement under another uid" in text
    assert "×1/2" in text
    findings = admin.get(f"{run}/findings?cause=DUPLICATE")
    assert "/explorer/measurement?uid=c1-again" in findings
    assert "uid=c2" not in findings
    assert "42.86%" in admin.get("/reconciliations")

    admin.get(run)
    drafted = admin.post(f"{run}/correction", {"cause": ["DUPLICATE", "UNIT_FACTOR"], "reason": "The gateway repeated"})
    assert "2 withdrawn, 1 added once it is applied" in drafted
    assert "choose what to correct" in admin.post(f"{run}/correction", {"reason": "x"}, 422)
    assert "is needed" in admin.post(f"{run}/correction", {"cause": "DUPLICATE"}, 422)


def test_what_is_typed_wrong_is_said_beside_it(counted: httpx.Client, admin: Visitor) -> None:
    admin.get("/reconciliations/new")
    fields = {"name": "Totals", "comparison": "TOTALS", "type": "SQL", "measures": "llm.tokens"}
    assert "source.connection: must be given" in admin.post("/reconciliations", fields, 422)
    assert "write meter.field" in admin.post("/reconciliations", {**fields, "measures": "tokens"}, 422)
    query = {**fields, "connection": "lake", "query": "SELECT 1", "hour": "6", "days": "2"}
    made = admin.post("/reconciliations", query)
    assert "every day at 06:00" in made
    path = re.search(r'action="(/reconciliations/[0-9a-f-]{36})/runs"', made)
    assert path is not None
    assert "must be 1 to 366 days" in admin.post(path[1] + "/runs", {"first": "2025-03-02", "last": "2025-03-01"}, 422)
    failed = admin.send(path[1] + "/runs", {"first": "2025-03-01", "last": "2025-03-02"}).url.path
    until = time.monotonic() + 30
    while "has named no database" not in admin.get(failed):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "Totals is deleted" in admin.post(path[1] + "/delete")
