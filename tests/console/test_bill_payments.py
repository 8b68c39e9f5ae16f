"""The payment of a bill on its page and in the list: recorded, seen, taken back; by those who may."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from storefront import Storefront, read, send
from visitor import Visitor, signed_in

from tallystick.core.user import Role
from tenant import Tenant

HOSTILE = "<b>bank</b>"
KEY = re.compile(r'name="key" value="([0-9a-f-]{36})"')


@pytest.fixture
def bill(http: httpx.Client, admin: Visitor) -> str:
    """The approved bill of January 2025: 20.00."""
    Storefront(http)
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    until = time.monotonic() + 30
    while job["status"] != "COMPLETE":
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = read(http.get(f"/billjobs/{job['id']}"))
    id_ = str(job["billIds"][0])
    assert "Nothing was told of its payment" not in admin.get(f"/bills/{id_}"), "nobody owes a bill that is pending"
    admin.post(f"/bills/{id_}/approve")
    return id_


def test_a_payment_is_recorded_seen_everywhere_and_taken_back(
    bill: str, admin: Visitor, http: httpx.Client, organization: Tenant
) -> None:
    path = f"/bills/{bill}"
    page = admin.get(path)
    assert "Nothing was told of its payment yet." in page
    assert "It is overdue" in page
    typed = {"told": "PAYMENT", "paidAmount": "5", "system": HOSTILE, "reference": "T-1", "paidAt": "2025-02-03"}
    typed["key"] = KEY.findall(page)[0]
    assert "the bill is partially paid" in admin.post(f"{path}/payments", typed)
    page = admin.post(f"{path}/payments", typed)
    assert page.count("<code>T-1</code>") == 1, "the same form sent twice counts once"
    assert HOSTILE not in page
    assert "must be above 0, got none" in admin.post(f"{path}/payments", {"told": "PAYMENT"}, status=422)
    assert "say what happened" in admin.post(f"{path}/payments", {}, status=422)

    listed = admin.get("/bills")
    assert "Partially paid</span>" in listed
    assert "Overdue</span>" in listed
    assert path in admin.get("/bills?paid=OVERDUE")
    assert path in admin.get("/bills?paid=PARTIALLY_PAID&account=acme")
    assert "No bill is like this." in admin.get("/bills?paid=PAID")

    reader = signed_in(organization, Role.READ_ONLY)
    seen = reader.get(path)
    assert "T-1" in seen
    assert "Record a payment" not in seen
    assert "Take back" not in seen
    assert reader.send(f"{path}/payments", typed).status_code == 403
    (payment,) = read(http.get(f"{path}/payments"))["payments"]
    assert reader.send(f"{path}/payments/{payment['id']}/reverse").status_code == 403
    assert payment["at"] == "2025-02-03T00:00:00.000Z"
    assert "the bill is unpaid" in admin.post(f"{path}/payments/{payment['id']}/reverse")
    assert "(taken back)" in admin.get(path)
    assert "Reverse payment" in admin.get("/audit")
