"""The server is killed at every step of the hand-over to Stripe: the invoice is one, with one set of lines."""

from __future__ import annotations

import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
from crash_campaign import Stage
from token_shop import Event, bill_march, join, open_shop

from stripe_world import KEY, Stripe, stripe_running
from tallystick.core import wire
from tallystick.failpoints import VARIABLE
from tenant import Tenant, new_tenant

# One after the other: the run that was killed at one place is taken up at the start, and killed at the next.
PLACES = (
    "outbox.dispatched",
    "handover.started",
    "stripe.customer",
    "stripe.created",
    "stripe.lines",
    "stripe.finalized",
    "handover.performed",
)
USED = [Event("r-1", 10, "eu", 80), Event("r-2", 20, "eu", 60), Event("r-3", 30, "us", 90)]


def test_killed_at_each_step_the_invoice_is_one(tmp_path: Path, starter: Popen[str]) -> None:
    with stripe_running() as stripe:
        stage = Stage(tmp_path, starter, {"TALLYSTICK_STRIPE_URL": stripe.url, "TALLYSTICK_STRIPE_POLL_SECONDS": "1"})
        try:
            _story(stage, stripe)
        finally:
            stage.kill()


def _story(stage: Stage, stripe: Stripe) -> None:
    stage.start(**{VARIABLE: PLACES[0]})
    assert stage.wait_until_ready()
    tenant = new_tenant(stage)  # type: ignore[arg-type]  # a stage has what it takes: directory and url
    bill = _approved(tenant)
    _wait_for_the_end(stage)
    for place in PLACES[1:]:
        stripe.forget()  # as if a day had passed: no key of idempotency is known any more
        stage.start(**{VARIABLE: place})
        stage.wait_until_ready()
        _wait_for_the_end(stage)
    stripe.forget()
    stage.start()
    assert stage.wait_until_ready()
    http = tenant.http()
    _until(lambda: {each["status"] for each in _read(http.get("/integrationruns"))["data"]} == {"COMPLETE"})
    customers = stripe.get("/v1/customers", email="acorn@example.com", limit="100")["data"]
    assert len(customers) == 1
    (invoice,) = stripe.invoices(customers[0]["id"], bill)
    assert (invoice["status"], invoice["total"]) == ("open", 18400)  # 10.00 + 100 × 1.00 + 130 × 0.50 + 90 × 0.10
    lines = [each["metadata"]["tallystick_line"] for each in stripe.lines(invoice["id"])]
    assert (len(lines), len(set(lines))) == (3, 3)
    stripe.post(f"/v1/invoices/{invoice['id']}/pay", paid_out_of_band="true")
    _until(lambda: _read(http.get(f"/bills/{bill}/payments"))["paidState"] == "PAID")  # no webhook: it is asked


def _approved(tenant: Tenant) -> str:
    with tenant.sdk() as client:
        account = join(client, open_shop(client), "acorn")
        client.usage.submit(measurements=[each.measurement("acorn") for each in USED])  # type: ignore[misc]  # objects as sent
        bill = bill_march(client, [account])[account]
        body = {
            "entityType": "Bill",
            "destination": "STRIPE_TEST",
            "configData": {"sendOnApprovalOnly": True, "createCustomers": True},
            "credentials": {"type": "STRIPE_SIGNED_REQUEST", "apiKey": KEY},
        }
        _read(tenant.http().post("/integrationconfigs", json=body))
        client.bills.update_status(bill.id, status="APPROVED")
    return str(bill.id)


def _wait_for_the_end(stage: Stage) -> None:
    _until(lambda: not stage.alive())
    stage.kill()


def _until(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def _read(response: httpx.Response) -> Any:
    assert response.status_code == 200, f"{response.request.url}: {response.status_code} {response.text}"
    return wire.decode(dict[str, Any], response.content)
