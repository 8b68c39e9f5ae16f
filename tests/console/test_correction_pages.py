"""Corrections at the console: drafted from the explorer and from uids, looked at, applied, and their memos decided."""

from __future__ import annotations

import re

import httpx
import pytest
from storefront import Storefront, read
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def locked(http: httpx.Client) -> str:
    """January of acme, locked: a standing charge of 20.00 and 40 + 40 + 8 bytes at 0.25: 42.00."""
    return Storefront(http).locked_january()


def values(page: str) -> list[str]:
    """The exact amounts of a page, in order."""
    return re.findall(r'data-value="(-?[0-9.]+)"', page)


def test_duplicates_are_withdrawn_and_their_memo_is_issued(
    locked: str, admin: Visitor, http: httpx.Client, organization: Tenant
) -> None:
    """The 40 bytes that were sent twice are 10.00 too much."""
    admin.get("/corrections")
    assert "uids: is needed" in admin.post("/corrections", {"reason": "x"}, 422)
    page = admin.post("/corrections", {"reason": f"sent twice {HOSTILE}", "uids": "u1-again\nnever-sent"})
    assert HOSTILE not in page
    assert "sent twice &lt;script&gt;" in page
    assert "stays; a memo" in page
    assert "no measurement was accepted under" in page
    assert {"42", "32", "-10"} <= {each.removesuffix(".00") for each in values(page)}
    id_ = read(http.get("/corrections"))["data"][0]["id"]
    reader = signed_in(organization, Role.READ_ONLY)
    assert "Apply" not in reader.get(f"/corrections/{id_}")
    support = signed_in(organization, Role.SUPPORT)
    support.get(f"/corrections/{id_}")
    support.post(f"/corrections/{id_}/apply", {"version": "1"}, 403)

    admin.get(f"/corrections/{id_}")
    page = admin.post(f"/corrections/{id_}/apply", {"version": "1"})
    assert "Applied; 1 memos are drafted." in page
    memo = read(http.get("/correctionmemos"))["data"][0]
    assert f"/correctionmemos/{memo['id']}/issue" in page
    assert "it stands on the next open bill" in admin.post(f"/correctionmemos/{memo['id']}/issue")
    assert "takes the difference up" in admin.post(f"/correctionmemos/{memo['id']}/discard")
    assert "u1-again" not in admin.get("/explorer?from=2025-01-01&to=2025-01-31")
    assert "u1-again" in admin.get("/explorer?from=2025-01-01&to=2025-01-31&withdrawn=true")
    one = admin.get("/explorer/measurement?uid=u1-again")
    assert "Withdrawn" in one
    assert f"/corrections/{id_}" in one


def test_all_that_the_explorer_found_is_drafted_and_discarded(locked: str, admin: Visitor, http: httpx.Client) -> None:
    address = "?from=2025-01-01&to=2025-01-31&accounts=acme&field1=bytes&is1=EQUAL&value1=40"
    found = admin.get(f"/explorer{address}")
    assert "Drafts the withdrawal of all" in found
    page = admin.post(f"/corrections{address}", {"found": "true", "reason": "a test"})
    (made,) = read(http.get("/corrections"))["data"]
    assert (made["source"], made["withdrawals"], made["status"]) == ("FILTER", 2, "DRAFT")
    assert {"42", "22", "-20"} <= {each.removesuffix(".00") for each in values(page)}
    assert "Looked at again" in admin.post(f"/corrections/{made['id']}/preview")
    assert "Nothing has changed" in admin.post(f"/corrections/{made['id']}/discard")
    assert "this is for one that is DRAFT" in admin.post(f"/corrections/{made['id']}/apply", {}, 422)
