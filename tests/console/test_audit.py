"""Who did what: by people and programs, through pages and API; the same entries on both."""

from __future__ import annotations

from typing import Any

import httpx
from visitor import Visitor, add_user, signed_in

from tallystick.core.user import Role
from tenant import Tenant


def entries(http: httpx.Client, **query: object) -> list[dict[str, Any]]:
    """Every entry that matches, oldest first."""
    rows: list[dict[str, Any]] = []
    token = None
    while True:
        asked = {name: str(value) for name, value in {**query, "nextToken": token}.items() if value is not None}
        page = http.get("/audit", params=asked).json()
        rows += page["data"]
        token = page.get("nextToken")
        if not token:
            return rows[::-1]


def test_the_life_of_a_product(http: httpx.Client, organization: Tenant) -> None:
    made = http.post("/products", json={"name": "Storage", "code": "storage"}, headers={"x-request-id": "mine-1"})
    assert made.headers["x-request-id"] == "mine-1"
    it = made.json()["id"]
    http.put(f"/products/{it}", json={"name": "Disk", "code": "storage", "version": 1})
    http.delete(f"/products/{it}")
    rows = entries(http, entityId=it)
    assert [(row["action"], row["version"], row["entityName"]) for row in rows] == [
        ("CREATE", 1, "Storage"),
        ("UPDATE", 2, "Disk"),
        ("DELETE", 3, "Disk"),
    ]
    assert rows[0]["requestId"] == "mine-1"
    assert {(row["actorType"], row["actorName"]) for row in rows} == {("SERVICE_USER", "first service user")}
    assert rows[1]["changes"] == [{"field": "name", "before": "Storage", "after": "Disk"}]
    assert {"field": "code", "before": "storage"} in rows[2]["changes"]


def test_numbers_have_no_gaps_and_what_was_refused_leaves_none(http: httpx.Client) -> None:
    for code in ("a", "a", "b"):  # the second is refused
        http.post("/products", json={"name": code, "code": code})
    rows = entries(http)
    assert [row["sequenceNumber"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["entityName"] for row in rows[-2:]] == ["a", "b"]
    assert entries(http, pageSize=1) == rows


def test_filters(http: httpx.Client) -> None:
    product = http.post("/products", json={"name": "Storage", "code": "storage"}).json()
    http.post("/accounts", json={"name": "Acme", "code": "acme", "emailAddress": "a@acme.example"})
    assert [row["entityType"] for row in entries(http, entityType="account")] == ["account"]
    assert [row["entityId"] for row in entries(http, action="CREATE", entityType="product")] == [product["id"]]
    mine = product["createdBy"]
    assert {row["actorId"] for row in entries(http, actorId=mine)} == {mine}
    at = product["dtCreated"]
    assert product["id"] in [row["entityId"] for row in entries(http, startDate=at)]
    assert product["id"] not in [row["entityId"] for row in entries(http, endDate=at)]
    assert entries(http, entityId="\x00") == []


def test_keys_and_people_are_in_it_without_their_secrets(http: httpx.Client, organization: Tenant) -> None:
    key = http.post("/serviceusers", json={"name": "Importer", "scopes": ["all"]}).json()
    http.delete(f"/serviceusers/{key['id']}")
    assert [row["action"] for row in entries(http, entityId=key["id"])] == ["CREATE", "REVOKE"]
    user = add_user(organization)
    Visitor(organization.url).sign_in(user["email"])
    rows = entries(http, entityId=user["userId"])
    assert [(row["action"], row["actorType"]) for row in rows] == [
        ("CREATE", "OPERATOR"),
        ("SET_PASSWORD", "OPERATOR"),
        ("SIGN_IN", "USER"),
    ]
    everything = http.get("/audit").text
    assert "argon2" not in everything
    assert key["apiSecret"] not in everything


def test_nobody_sees_the_audit_of_others(http: httpx.Client, new_organization: Any) -> None:
    made = http.post("/products", json={"name": "Storage", "code": "storage"}).json()
    with new_organization().http() as other:
        assert entries(other, entityId=made["id"]) == []


def test_the_page_tells_the_same(http: httpx.Client, admin: Visitor) -> None:
    made = http.post("/accounts", json={"name": "<b>Acme</b>", "code": "acme", "emailAddress": "a@acme.example"}).json()
    http.put(f"/accounts/{made['id']}", json={"name": "Acme", "code": "acme", "emailAddress": "b@acme.example"})
    page = admin.get("/audit")
    assert "&lt;b&gt;Acme&lt;/b&gt;" in page
    assert "<b>Acme" not in page
    assert '<del><span class="unseen">before: </span>a@acme.example</del>' in page
    history = admin.get(f"/audit?id={made['id']}")
    assert history.count("history</a>") == 2
    assert "Nothing matches." in admin.get("/audit?to=2001-01-01")
    assert "must be a date" in admin.get("/audit?to=tomorrow", 400)


def test_what_changed_of_users_is_for_administrators(admin: Visitor, organization: Tenant) -> None:
    """Others see everything but users and keys."""
    email = add_user(organization, Role.SUPPORT, "secret.person@company.example")["email"]
    assert email in admin.get("/audit?kind=user")
    page = signed_in(organization, Role.READ_ONLY).get("/audit?kind=user")
    assert "Create user" in " ".join(page.split())
    assert email not in page
