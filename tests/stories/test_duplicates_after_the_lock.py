"""Duplicates are found after a bill was locked: a reconciliation, a correction and a memo lead to the right total.

The original bill stays, byte for byte, and every step is in the audit, whose chain holds.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
from m3ter import M3ter
from storefront import read, send
from token_shop import Event, bill_march, expected_total, join, open_shop

TRUE = [Event(f"r-{number}", 60 * number, "eu" if number % 2 else "us", 7 + number % 5) for number in range(40)]
# The gateway repeated every tenth request under another uid, and sent the last one with ten times its tokens.
COPIES = [replace(each, uid=f"{each.uid}-retry") for each in TRUE[::10]]
WRONG = replace(TRUE[-1], tokens=10 * TRUE[-1].tokens)
COUNTED = [*TRUE[:-1], WRONG, *COPIES]


def exact(response: httpx.Response) -> Any:
    """An answer with its numbers as they are written."""
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_float=Decimal, parse_int=Decimal)


def waited(http: httpx.Client, path: str) -> dict[str, Any]:
    """What something comes to once it has ended."""
    until = time.monotonic() + 60
    while (found := exact(http.get(path)))["status"] in {"PENDING", "INITIALIZING", "RUNNING", "APPLYING"}:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return dict(found)


def reconciled(http: httpx.Client, reconciliation: str, log: bytes) -> dict[str, Any]:
    """A run over March against the gateway's log."""
    upload = read(http.post("/sourceuploads", params={"name": "gateway.csv"}, content=log))["id"]
    days = {"startDate": "2025-03-01", "endDate": "2025-04-01"}
    asked = {"reconciliationId": reconciliation, "uploadId": upload, **days}
    return waited(http, f"/reconciliationruns/{read(send(http, 'POST', '/reconciliationruns', asked))['id']}")


def test_duplicates_found_after_the_lock_lead_to_a_corrected_total(client: M3ter, http: httpx.Client) -> None:
    plan = open_shop(client)
    acorn = join(client, plan, "acorn")
    usage: list[Any] = [each.measurement("acorn") for each in COUNTED]
    client.usage.submit(measurements=usage)
    bill = bill_march(client, [acorn])[acorn]
    assert Decimal(str(bill.bill_total)) == expected_total(COUNTED)
    read(send(http, "POST", "/bills/approve", {"billIds": [bill.id]}))
    read(http.put(f"/bills/{bill.id}/lock"))
    locked = http.get(f"/bills/{bill.id}").content

    # The gateway's log is uploaded. Of its tokens, the copies are extra and the wrong one differs.
    columns = {"uid": "request", "account": "customer", "ts": "at"}
    measures = [{"meter": "requests", "field": "tokens", "column": "tokens"}]
    asked = {"name": "Gateway log", "comparison": "RECORDS", "source": {"type": "UPLOAD"}, "measures": measures}
    made = read(send(http, "POST", "/reconciliations", {**asked, "columns": columns}))["id"]
    rows = [each.measurement("acorn") for each in TRUE]
    lines = [f"{row['uid']},acorn,{row['ts']},{row['measure']['tokens']}" for row in rows]
    log = "\n".join(["request,customer,at,tokens", *lines]).encode()
    run = reconciled(http, made, log)
    tokens = sum(each.tokens for each in TRUE)
    amiss = sum(each.tokens for each in COPIES) + 9 * TRUE[-1].tokens
    assert run["accuracy"] == round((1 - Decimal(amiss) / tokens) * 100, 2)
    assert run["level"] == "RED"
    findings = exact(http.get(f"/reconciliationruns/{run['id']}/findings"))["data"]
    assert {each["uid"]: each["cause"] for each in findings} == {
        **{each.uid: "DUPLICATE" for each in COPIES},
        WRONG.uid: "UNIT_FACTOR",
    }

    # A correction is drafted from it; it says what it comes to, and nothing has changed yet.
    reason = "The gateway repeated requests under new uids"
    draft = exact(send(http, "POST", f"/reconciliationruns/{run['id']}/correction", {"reason": reason}))
    difference = expected_total(TRUE) - expected_total(COUNTED)
    assert (draft["status"], draft["withdrawals"], draft["additions"]) == ("DRAFT", len(COPIES) + 1, 1)
    (effect,) = draft["effects"]
    assert (effect["memos"], effect["rerated"], effect["currency"]) == (difference, 0, "USD")
    assert reconciled(http, made, log)["level"] == "RED"

    # It is applied: the locked bill gets a memo, line by line, which is issued and stands on the bill of April.
    read(send(http, "POST", f"/corrections/{draft['id']}/apply", {"version": int(draft["version"])}))
    assert waited(http, f"/corrections/{draft['id']}")["status"] == "APPLIED"
    (memo,) = exact(http.get("/correctionmemos", params={"correctionId": draft["id"]}))["data"]
    assert (memo["billId"], memo["status"]) == (bill.id, "DRAFT")
    assert memo["total"] == difference == sum(line["amount"] for line in memo["lines"])
    assert memo["correctedTotal"] == expected_total(TRUE)
    read(send(http, "POST", f"/correctionmemos/{memo['id']}/issue", {"billDate": "2025-04-30"}))
    job = read(send(http, "POST", "/billjobs", {"accountIds": [acorn], "lastDateInBillingPeriod": "2025-04-30"}))
    april = exact(http.get(f"/bills/{waited(http, '/billjobs/' + job['id'])['billIds'][0]}"))
    assert april["billTotal"] == Decimal(10) + difference, "the fee of April, and the memo"

    # The bill is what it was, and still verifies; usage agrees with the log, wherever the measurements are now.
    assert http.get(f"/bills/{bill.id}").content == locked
    assert exact(http.get(f"/bills/{bill.id}/verification"))["verified"] is True
    after = reconciled(http, made, log)
    assert (after["accuracy"], after["level"], after.get("findings", 0)) == (100, "GOOD", 0)

    steps = [
        (each["entityType"], each["entityId"])
        for kind in ("reconciliation", "reconciliationrun", "usagecorrection", "correctionmemo", "bill")
        for each in read(http.get("/audit", params={"entityType": kind}))["data"]
    ]
    for step in (
        ("reconciliation", made),
        ("reconciliationrun", run["id"]),
        ("usagecorrection", draft["id"]),
        ("correctionmemo", memo["id"]),
        ("bill", bill.id),
    ):
        assert step in steps, step
    assert read(send(http, "POST", "/audit/verification", {"checkpoints": []}))["verified"] is True
