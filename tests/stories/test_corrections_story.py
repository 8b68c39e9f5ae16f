"""Duplicates found after a bill was locked: correction, memo, and a corrected total, with every step in the audit."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from m3ter import M3ter
from token_shop import WAIT_SECONDS, Event, bill_march, join, open_shop

from tallystick.core import wire

SENT = [Event("r-1", 10, "eu", 80), Event("r-2", 20, "eu", 60), Event("r-3", 30, "us", 90)]
AGAIN = [Event("r-2-retry", 20, "eu", 60), Event("r-3-retry", 30, "us", 90)]  # the client made a new uid for each try


def read(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, f"{response.request.url}: {response.status_code} {response.text}"
    return wire.decode(dict[str, Any], response.content)


def post(http: httpx.Client, path: str, body: object = None, status: int = 200) -> Any:
    return read(http.post(path, content=wire.encode({} if body is None else body)), status)


@pytest.fixture
def shop(client: M3ter, http: httpx.Client) -> dict[str, Any]:
    """March of acorn, billed, approved and locked: 10.00 + (100 × 1.00 + 280 × 0.50) + 90 × 0.10 = 259.00."""
    plan = open_shop(client)
    account = join(client, plan, "acorn")
    client.usage.submit(measurements=[each.measurement("acorn") for each in (*SENT, *AGAIN)])  # type: ignore[misc]  # objects as sent
    bill = bill_march(client, [account])[account]
    assert Decimal(str(bill.bill_total)) == Decimal("259.00")
    client.bills.update_status(bill.id, status="APPROVED")
    client.bills.lock(bill.id)
    return {"account": account, "bill": bill.id, "plan": plan}


def test_duplicates_of_a_locked_bill_are_given_back_by_a_memo(
    shop: dict[str, Any], client: M3ter, http: httpx.Client
) -> None:
    original = http.get(f"/bills/{shop['bill']}").content
    proof = read(http.get(f"/bills/{shop['bill']}/verification"))
    body = {"reason": "retries under new uids", "changes": [{"uid": "r-2-retry"}, {"uid": "r-3-retry"}]}
    draft = post(http, "/corrections", body)
    assert (draft["status"], draft["withdrawals"], draft["additions"], draft["previewed"]) == ("DRAFT", 2, 0, True)
    # 80 + 60 + 90 = 230 tokens: 10.00 + (100 × 1.00 + 130 × 0.50) + 90 × 0.10 = 184.00, which is 75.00 less.
    (money,) = draft["effects"]
    assert (money["currency"], money["bills"], money["rerated"], money["memos"]) == ("USD", 1, 0, -75)
    (acorn,) = read(http.get(f"/corrections/{draft['id']}/effects"))["data"]
    (bill,) = acorn["bills"]
    assert (bill["settlement"], bill["before"], bill["after"], bill["difference"]) == ("MEMO", 259, 184, -75)
    assert [(each["description"], each["difference"]) for each in bill["lines"]] == [("Tokens", -75)]
    assert total_of(http, "Tokens") == 380, "nothing has changed yet"

    applied = post(http, f"/corrections/{draft['id']}/apply", {"version": draft["version"]})
    assert (applied["status"], applied["memos"]) == ("APPLIED", 1)
    assert total_of(http, "Tokens") == 230
    (memo,) = read(http.get("/correctionmemos", params={"billId": shop["bill"]}))["data"]
    assert (memo["status"], memo["lineItemType"], memo["total"]) == ("DRAFT", "CREDIT_MEMO", -75)
    assert (memo["billTotal"], memo["correctedTotal"]) == (259, 184)
    (line,) = memo["lines"]
    assert (line["billed"], line["now"], line["amount"]) == (240, 165, -75)

    issued = post(http, f"/correctionmemos/{memo['id']}/issue", {"billDate": "2025-04-30"})
    assert issued["status"] == "ISSUED"
    april = bill_of(client, http, shop["account"], "2025-04-30")
    told = [(each["lineItemType"], each["subtotal"], each.get("referencedBillId")) for each in april["lineItems"]]
    assert told == [("STANDING_CHARGE", 10, None), ("CREDIT_MEMO", -75, shop["bill"])]
    assert april["billTotal"] == -65, "and no late usage besides"
    for id_ in (shop["bill"], april["id"]):
        assert read(http.get(f"/bills/{id_}/verification"))["verified"] is True

    assert http.get(f"/bills/{shop['bill']}").content == original
    assert read(http.get(f"/bills/{shop['bill']}/verification"))["replayedDigest"] == proof["recordedDigest"]
    assert steps(http, "usagecorrection") == ["CREATE", "UPDATE", "UPDATE", "UPDATE", "UPDATE"]
    assert steps(http, "correctionmemo") == ["CREATE", "UPDATE"]
    assert steps(http, "charge") == ["CREATE"]


def steps(http: httpx.Client, of: str) -> list[str]:
    """What the audit says was done to things of a kind, by whom one can name, oldest first."""
    found = read(http.get("/audit", params={"pageSize": 100, "entityType": of}))["data"]
    assert all(each["actorId"] for each in found)
    return [str(each["action"]) for each in found][::-1]


def test_a_measurement_that_was_ten_times_too_much_is_amended(shop: dict[str, Any], http: httpx.Client) -> None:
    """r-3 should have been 9: the sum is 299 and the greatest 80. 10.00 + (100 + 199 × 0.50) + 8.00 = 217.50.

    r-3-retry is withdrawn; had it been kept, the greatest would still be 90.
    """
    changes = [{"uid": "r-3", "measurement": {"measure": {"tokens": 9}}}, {"uid": "r-3-retry"}]
    draft = post(http, "/corrections", {"reason": "a wrong unit", "changes": changes})
    assert (draft["withdrawals"], draft["additions"]) == (2, 1)
    (acorn,) = read(http.get(f"/corrections/{draft['id']}/effects"))["data"]
    # 80 + 60 + 60 + 9 = 209 tokens: 10.00 + (100 + 109 × 0.50) + 80 × 0.10 = 172.50, which is 86.50 less than 259.00.
    assert acorn["bills"][0]["after"] == Decimal("172.5")
    post(http, f"/corrections/{draft['id']}/apply")
    (memo,) = read(http.get("/correctionmemos", params={"correctionId": draft["id"]}))["data"]
    assert sorted((each["description"], each["amount"]) for each in memo["lines"]) == [
        ("Peak", Decimal(-1)),
        ("Tokens", Decimal("-85.5")),
    ]
    (out, new, _) = read(http.get(f"/corrections/{draft['id']}/entries"))["data"]
    assert (out["kind"], out["uid"], new["kind"], new["replaces"]) == ("WITHDRAW", "r-3", "ADD", "r-3")


def total_of(http: httpx.Client, name: str) -> Decimal:
    """The tokens of all measurements that count."""
    meter = read(http.get("/meters"))["data"][0]["id"]
    column = {"meterId": meter, "fieldCode": "tokens", "fieldType": "MEASURE", "function": "SUM"}
    rows = post(http, "/usage/query", {"aggregations": [column]})["data"]
    return next(Decimal(value) for row in rows for value in row.values() if isinstance(value, Decimal | int))


def bill_of(client: M3ter, http: httpx.Client, account: str, day: str) -> dict[str, Any]:
    job = client.bill_jobs.create(account_ids=[account], last_date_in_billing_period=day)
    until = time.monotonic() + WAIT_SECONDS
    while job.status != "COMPLETE":
        assert time.monotonic() < until, job
        time.sleep(0.02)
        job = client.bill_jobs.retrieve(job.id)
    (id_,) = job.bill_ids or ()
    return dict(read(http.get(f"/bills/{id_}")))
