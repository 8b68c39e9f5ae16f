"""Reconciliations over HTTP: a file in parts, a run, its pages, events and audit; a bill job that waits for it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from storefront import Storefront, read, refused, send

DAY = "2025-01-10"
JANUARY = {"startDate": "2025-01-01", "endDate": "2025-02-01"}


@pytest.fixture
def shop(http: httpx.Client) -> Storefront:
    return Storefront(http)


def measurement(uid: str, amount: int) -> dict[str, object]:
    measures = {"measure": {"bytes": amount}, "where": {"region": "eu"}, "metadata": {"file": "a.txt"}}
    return {"uid": uid, "meter": "traffic", "account": "acme", "ts": f"{DAY}T12:00:00Z", **measures}


def log(*rows: tuple[str, int]) -> bytes:
    return b"uid,account,ts,bytes\n" + b"".join(f"{u},acme,{DAY}T12:00:00Z,{n}\n".encode() for u, n in rows)


def sent(http: httpx.Client, content: bytes, part: int = 20) -> str:
    """A file, part by part; every part twice."""
    upload = read(http.post("/sourceuploads", params={"name": "log.csv"}, content=content[:part]))
    for first in range(part, len(content), part):
        for _ in range(2):
            path = f"/sourceuploads/{upload['id']}/parts"
            upload = read(http.post(path, params={"offset": first}, content=content[first : first + part]))
    assert upload["bytes"] == len(content)
    return str(upload["id"])


def compared(http: httpx.Client, reconciliation: str, content: bytes, **days: str) -> dict[str, Any]:
    body = {"reconciliationId": reconciliation, "uploadId": sent(http, content), **(days or JANUARY)}
    run: dict[str, Any] = read(send(http, "POST", "/reconciliationruns", body))
    return ended(http, "/reconciliationruns", run)


def ended(http: httpx.Client, noun: str, job: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + 30
    while job["status"] in {"PENDING", "INITIALIZING", "RUNNING"}:
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"{noun}/{job['id']}"))
    return job


def test_a_run_is_told_page_by_page_and_heard_of(shop: Storefront) -> None:
    http, made = shop.http, shop.ids["/reconciliations"]
    shop.measure(measurement("a", 60), measurement("b", 40), measurement("x", 5))
    run = compared(http, made, log(("a", 60), ("b", 50), ("c", 90)))
    # Of 200 bytes, 90 are missing, 5 extra and 10 differ: 1 − 105/200.
    assert (run["status"], run["accuracy"], run["recordAccuracy"], run["level"]) == ("COMPLETE", 47.5, 0, "RED")
    assert (run["missing"], run["extra"], run["differing"], run["rows"]) == (1, 1, 1, 3)
    path = f"/reconciliationruns/{run['id']}"
    page = read(http.get(f"{path}/findings", params={"pageSize": "2"}))
    assert [(each["uid"], each["cause"]) for each in page["data"]] == [("c", "LOST"), ("b", "OTHER_VALUE")]
    rest = read(http.get(f"{path}/findings", params={"pageSize": "2", "nextToken": page["nextToken"]}))
    assert [(each["uid"], each["quantity"]) for each in rest["data"]] == [("x", 5)]
    for query, uids in (({"kind": "EXTRA"}, ["x"]), ({"cause": "LOST"}, ["c"]), ({"accountId": made}, [])):
        assert [each["uid"] for each in read(http.get(f"{path}/findings", params=query))["data"]] == uids
    (group,) = read(http.get(f"{path}/groups", params={"level": "RED"}))["data"]
    assert (group["account"], group["source"], group["product"]) == ("acme", 200, 105)
    assert read(http.get(f"{path}/groups", params={"level": "GOOD"}))["data"] == []
    refused(http.get(f"{path}/findings", params={"cause": "MAGIC"}))

    assert compared(http, made, log(("a", 60), ("b", 40), ("x", 5)))["level"] == "GOOD"
    events = read(http.get("/events", params={"eventName": "reconciliation.differs"}))["data"]
    assert [each["m3terEvent"]["reconciliationRunId"] for each in events] == [run["id"]]
    audit = read(http.get("/audit", params={"entityType": "reconciliationrun"}))["data"]
    assert [each["action"] for each in audit] == ["CREATE", "CREATE"]
    draft = read(send(http, "POST", f"{path}/correction", {"reason": "As logged", "causes": ["LOST"]}))
    assert (draft["status"], draft["source"], draft["sourceId"]) == ("DRAFT", "RECONCILIATION", run["id"])


def test_what_cannot_be_run_is_refused_at_once(shop: Storefront) -> None:
    http, made = shop.http, shop.ids["/reconciliations"]
    for body, said in (
        ({"reconciliationId": made, **JANUARY}, "send the file first"),
        ({"reconciliationId": shop.ids["/meters"], **JANUARY}, "there is no reconciliation"),
        ({"reconciliationId": made, "startDate": "2025-01-02", "endDate": "2025-01-02"}, "must be 1 to 366 days"),
    ):
        assert said in refused(send(http, "POST", "/reconciliationruns", body))["message"]
    for name in ("log.txt", "", "a\nb.csv"):
        assert "name" in refused(http.post("/sourceuploads", params={"name": name}, content=b"a"))["message"]
    upload = sent(http, log(("a", 1)))
    assert (
        "send the part"
        in refused(http.post(f"/sourceuploads/{upload}/parts", params={"offset": 1_000}, content=b"a"))["message"]
    )
    assert read(http.delete(f"/sourceuploads/{upload}"))["id"] == upload
    refused(http.get(f"/sourceuploads/{upload}"), 404)


def test_a_bill_job_says_what_its_bills_wait_for(shop: Storefront) -> None:
    http, made = shop.http, shop.ids["/reconciliations"]
    shop.measure(measurement("a", 60))
    config = read(http.get("/organizationconfig"))
    gate = {"reconciliationId": made, "level": "GOOD"}
    read(send(http, "PUT", "/organizationconfig", {**config, "billRequires": gate}))
    asked = {"lastDateInBillingPeriod": "2025-01-31"}
    job = ended(http, "/billjobs", read(send(http, "POST", "/billjobs", asked)))
    (failure,) = job["failures"]
    assert (failure["code"], job["billIds"]) == ("reconciliation_required", [])
    assert f"tallystick reconcile run {made}" in failure["message"]
    assert "is used by" in refused(http.delete(f"/reconciliations/{made}"))["message"]
    assert compared(http, made, log(("a", 60)))["level"] == "GOOD"
    job = ended(http, "/billjobs", read(send(http, "POST", "/billjobs", asked)))
    assert (len(job["billIds"]), job["failures"]) == (1, [])
