"""Every page of the console with ids of another organisation: nothing is there, and nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from portal_world import Seller, open_seller
from storefront import rollouts
from visitor import signed_in

from tallystick.console.site import PAGES
from tenant import Tenant

# What takes long to make: failed measurements and their replays, simulations. Read through the same bound records.
ELSEWHERE = {"failed", "playground"}


RESTING = {"name": "Files", "code": "files", "configuration": {"type": "FOLDER"}, "paused": True}
DISPUTED = {"reason": "USAGE", "description": "It was less"}


def ids_of(seller: Seller) -> dict[str, str]:
    """An id of the organisation for the first word of each path."""
    http, store = seller.http, seller.store
    bill = seller.bills["acme"]
    lines = http.get(f"/bills/{bill}").json()["lineItems"]
    line = next(each["id"] for each in lines if each.get("aggregationId"))
    return {
        **{path.strip("/"): one for path, one in (store.ids | rollouts(http, store.ids)).items()},
        "compounds": store.ids["/compoundaggregations"],
        "keys": store.ids["/serviceusers"],
        "settings": store.ids["/picklists/creditreasons"],
        "bills": bill,
        "jobs": http.get("/billjobs").json()["data"][0]["id"],
        "users": http.get("/users").json()["data"][0]["id"],
        **catalog_of(http),
        "reconciliationruns": reconciled(http, store.ids["/reconciliations"]),
        **corrected(http, store.ids["/accounts"]),
        "unmappedusage": unmapped(http),
        "usagesources": http.post("/usagesources", json=RESTING).json()["id"],
        **webhook(http),
        **handed_over(http),
        "events": http.get("/events").json()["data"][0]["id"],
        "notifications": store.ids["/notifications/configurations"],
        "integrations": store.ids["/integrationconfigs"],
        "disputes": http.post("/disputes", json={"billId": bill, **DISPUTED}).json()["id"],
        "{session}": seller.link("acme")["id"],
        "{line}": line,
        "{kind}": "creditreasons",
        "{template}": store.ids["/emailtemplates"],
        "{optout}": store.ids["/emailoptouts"],
        "exports": store.ids["/dataexports/schedules"],
        "{schedule}": store.ids["/dataexports/schedules"],
        "{destination}": store.ids["/dataexports/destinations"],
    }


def webhook(http: httpx.Client) -> dict[str, str]:
    """A webhook, and an attempt to deliver to it."""
    path = "/integrationdestinations/webhooks"
    made = http.post(path, json={"name": "ledger", "url": "https://hooks.invalid/"}).json()["id"]
    return {"webhooks": made, "{delivery}": http.post(f"{path}/{made}/ping").json()["id"]}


def handed_over(http: httpx.Client) -> dict[str, str]:
    """A run of the storefront's integration, which is told of measurements that were lost."""
    lost = {"uid": "lost", "meter": "nowhere", "account": "acme", "ts": "2025-01-10T00:00:00Z", "measure": {"bytes": 1}}
    assert http.post("/measurements", json={"measurements": [lost]}).status_code == 200
    until = time.monotonic() + 30
    while not (runs := http.get("/integrationruns").json()["data"]):
        assert time.monotonic() < until, "nothing was handed over"
        time.sleep(0.05)
    return {"{run}": runs[0]["id"]}


def unmapped(http: httpx.Client) -> str:
    """An identity that usage waits for."""
    member = {
        "uid": "waits",
        "meter": "traffic",
        "identity": {"type": "key", "value": "k"},
        "ts": "2025-01-10T00:00:00Z",
    }
    fields = {"measure": {"bytes": 1}, "where": {"region": "eu"}, "metadata": {"file": "a"}}
    assert http.post("/measurements", json={"measurements": [{**member, **fields}]}).status_code == 200
    return str(http.get("/unmappedidentities").json()["data"][0]["id"])


def catalog_of(http: httpx.Client) -> dict[str, str]:
    """A plan of the catalogue that waits, and a version that was applied before."""
    versions = []
    for name in ("One", "Two"):
        body = {"catalog": {"products": [{"name": name, "code": "storage"}]}, "simulate": False}
        plan = http.post("/catalog/plans", json=body).json()["id"]
        if name == "One":
            versions.append(http.post(f"/catalog/plans/{plan}/apply", json={}).json()["id"])
    return {"catalog": plan, "{plan}": plan, "{version}": versions[0]}


def corrected(http: httpx.Client, account: str) -> dict[str, str]:
    """A draft, and the memo of a correction of a bill that was locked for it."""
    rows = http.post("/usage/query", json={"accountIds": [account]}).json()["data"]
    own = [each for each in http.get("/bills").json()["data"] if each["accountId"] == account]
    bill = next(each for each in own if each["status"] == "APPROVED")
    assert http.put(f"/bills/{bill['id']}/lock").status_code == 200
    within = [row for row in rows if bill["startDate"] <= row["ts"][:10] < bill["endDate"]]
    body = {"reason": "sent twice", "changes": [{"uid": row["uid"]} for row in within]}
    applied = http.post("/corrections", json=body).json()["id"]
    assert http.post(f"/corrections/{applied}/apply", json={}).json()["status"] == "APPLIED"
    (memo,) = http.get("/correctionmemos").json()["data"]
    others = {"reason": "sent twice", "changes": [{"uid": row["uid"]} for row in rows if row not in within]}
    return {"corrections": http.post("/corrections", json=others).json()["id"], "correctionmemos": memo["id"]}


def reconciled(http: httpx.Client, reconciliation: str) -> str:
    """A run of a reconciliation, which is looked at while it is at work as well."""
    upload = http.post("/sourceuploads", params={"name": "log.csv"}, content=b"uid,account,ts,bytes\n").json()["id"]
    days = {"startDate": "2025-01-10", "endDate": "2025-01-11", "uploadId": upload}
    run = http.post("/reconciliationruns", json={"reconciliationId": reconciliation, **days})
    return str(run.json()["id"])


def test_no_page_takes_an_id_of_another_organization(
    organization: Tenant, http: httpx.Client, new_organization: Callable[[], Tenant]
) -> None:
    owner, stranger = signed_in(organization), signed_in(new_organization())
    seller = open_seller(organization, http)
    ids = ids_of(seller)
    before = {path: http.get(path).json() for path in ("/users", "/accounts", "/plans", "/bills", "/pricings")}
    stranger.get("/")
    fields = {
        "form-token": stranger.token,
        "role": "READ_ONLY",
        "amount": "1",
        "name": "x",
        "code": "x",
        "version": "1",
    }
    wrong = []
    for page in PAGES:
        first = page.path.split("/")[1]
        if "{" not in page.path or first in ELSEWHERE:
            continue
        path = "/".join(ids.get(part, ids[first]) if "{" in part else part for part in page.path.split("/"))
        if page.method == "GET":
            assert owner.http.get(path).status_code == 200, (
                f"{path} shows nothing to its owner: the test is worth nothing"
            )
            reply = stranger.http.get(path)
        else:
            reply = stranger.http.post(path, data=fields, headers={"origin": organization.url}, follow_redirects=False)
        own_kind = page.path == "/settings/lists/{kind}"  # names no thing of anybody
        if reply.status_code not in {400, 404, 422} and not own_kind:
            wrong.append(f"{page.method} {page.path}: {reply.status_code}")
    assert wrong == []
    assert before == {path: http.get(path).json() for path in before}
