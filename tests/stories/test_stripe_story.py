"""From usage to money: a bill is approved, is an invoice at Stripe of the same total, is paid there, and PAID here."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from token_shop import Event, bill_march, join, open_shop
from visitor import Visitor, signed_in

from stripe_world import KEY, SECRET, Stripe, stripe_running
from tallystick.cli.launch import Server, free_port, launched
from tallystick.cli.main import run
from tallystick.core import wire
from tenant import Tenant, new_tenant

USED = [Event("r-1", 10, "eu", 80), Event("r-2", 20, "eu", 60), Event("r-3", 30, "us", 90)]
# 230 tokens: a fee of 10.00 + (100 × 1.00 + 130 × 0.50) + the peak of 90 × 0.10 = 184.00
TOTAL, LINES = 18400, [1000, 16500, 900]


@pytest.fixture(scope="module")
def stripe() -> Iterator[Stripe]:
    with stripe_running() as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, stripe: Stripe) -> Iterator[Server]:
    """A server of its own, whose Stripe is the stand-in; nothing is asked of it, so that its webhook must tell all."""
    environment = {"TALLYSTICK_STRIPE_URL": stripe.url, "TALLYSTICK_STRIPE_POLL_SECONDS": "0"}
    with launched(tmp_path_factory.mktemp("house"), free_port(), environment) as running:
        yield running


@pytest.fixture
def tenant(house: Server, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    made = new_tenant(house)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command and answers what it prints."""

    def running(*arguments: str) -> str:
        assert run(list(arguments)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return running


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_a_bill_is_paid_at_stripe_and_known_to_be_paid_here(
    tenant: Tenant, stripe: Stripe, command: Callable[..., Any], tmp_path: Path
) -> None:
    http = tenant.http()
    with tenant.sdk() as client:
        account = join(client, open_shop(client), "acorn")
        client.usage.submit(measurements=[each.measurement("acorn") for each in USED])  # type: ignore[misc]  # objects as sent
        customer = stripe.customer(name="Acorn Ltd", email="acorn@example.com")
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "secret").write_text(SECRET)
        command("stripe", "connect", "--key-file", str(tmp_path / "key"))
        command("stripe", "connect", "--webhook-secret-file", str(tmp_path / "secret"), "--option", "autoAdvance=false")
        assert "the key works" in command("stripe", "check")
        assert customer in command("stripe", "customers", "--map")
        stripe.tell(command("stripe", "address").strip(), tenant.id)
        settings = command("stripe", "show", "--json")
        assert KEY not in settings
        assert json.loads(settings)["hasKey"]

        bill = bill_march(client, [account])[account]
        assert Decimal(str(bill.bill_total)) == Decimal("184.00")
        until(lambda: bool(stripe.invoices(customer)), "no draft came")
        assert [each["status"] for each in stripe.invoices(customer)] == ["draft"]
        client.bills.update_status(bill.id, status="APPROVED")
        until(lambda: stripe.invoices(customer)[-1]["status"] == "open", "no invoice came")
    (invoice,) = stripe.invoices(customer)
    assert (invoice["total"], invoice["metadata"]["tallystick_bill"]) == (TOTAL, bill.id)
    assert sorted(each["amount"] for each in stripe.lines(invoice["id"])) == sorted(LINES)
    before = http.get(f"/bills/{bill.id}").content

    stripe.http.post(f"/v1/invoices/{invoice['id']}/pay")  # without any way to pay: it fails, and Stripe tells of it
    until(lambda: standing(http, bill.id)["paidState"] == "FAILED", "that it failed was not told")
    stripe.post(f"/v1/invoices/{invoice['id']}/pay", paid_out_of_band="true")
    until(lambda: standing(http, bill.id)["paidState"] == "PAID", "that it was paid was not told")
    paid = standing(http, bill.id)
    assert (paid["paid"], paid["payments"][-1]["reference"]) == (184, invoice["id"])
    assert [each["id"] for each in read(http.get("/bills", params={"paidState": "PAID"}))["data"]] == [bill.id]
    assert http.get(f"/bills/{bill.id}").content == before
    assert f"bill {bill.id} is PAID: 184.00 of 184.00 USD" in command("payment", "show", "acorn")
    page = signed_in(tenant).get(f"/bills/{bill.id}")
    assert "Paid</span>" in page
    assert invoice["id"] in page
    runs = read(http.get("/integrationruns"))["data"]
    assert {each["status"] for each in runs} == {"COMPLETE"}
    names = {each["eventName"] for each in read(http.get("/events", params={"eventType": "BillPayment"}))["data"]}
    assert names == {"billing.bill.paymentfailed", "billing.bill.paid"}


def test_what_is_not_signed_by_stripe_is_refused(house: Server, tenant: Tenant) -> None:
    url = f"{house.url}/stripe/webhook"
    config: dict[str, Any] = {"entityType": "Bill", "destination": "STRIPE_TEST"}
    config["credentials"] = {"type": "STRIPE_SIGNED_REQUEST", "webhookSecret": SECRET}
    id_ = read(tenant.http().post("/integrationconfigs", json=config))["id"]
    body = b'{"id":"evt_1","type":"customer.created","created":1,"data":{"object":{}}}'
    for signature, status in ((signed(body), 200), (signed(body), 200), (signed(body + b" "), 403)):
        where = {"organization": tenant.id, "integration": id_}
        reply = httpx.post(url, params=where, content=body, headers={"Stripe-Signature": signature})
        assert reply.status_code == status, "what is of no concern is taken, once and again"
    for query in ("", f"?organization={tenant.id}&integration={tenant.id}", "?organization=x&integration=y"):
        reply = httpx.post(f"{house.url}/stripe/webhook{query}", content=b"{}")
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


def test_stripe_is_set_up_in_the_console(tenant: Tenant, stripe: Stripe) -> None:
    admin = signed_in(tenant)
    with tenant.sdk() as client:
        account = client.accounts.create(name="Birch", code="birch", email_address="birch@example.com").id
    customer = stripe.customer(name="<b>Birch</b>", email="birch@example.com")
    assert "Connect Stripe" in admin.get("/settings/stripe")
    wrong = admin.post("/settings/stripe", {"destination": "STRIPE_TEST", "apiKey": "sk_live_1"}, status=422)
    assert "needs a secret key that begins with" in wrong
    page = admin.post("/settings/stripe", {"destination": "STRIPE_TEST", "apiKey": KEY})
    assert KEY not in page
    assert "/stripe/webhook?organization=" in page
    id_ = next(each["id"] for each in read(tenant.http().get("/integrationconfigs"))["data"])
    assert "the key works" in admin.post(f"/settings/stripe/{id_}/check")
    ticked = {"sendOnApprovalOnly": "true", "finalize": "true", "collectionMethod": "charge_automatically"}
    admin.post(f"/settings/stripe/{id_}/settings", ticked)
    stands = read(tenant.http().get(f"/stripe/{id_}"))
    assert stands["configData"] == {
        "sendOnApprovalOnly": True,
        "finalize": True,
        "autoAdvance": False,
        "createCustomers": False,
        "collectionMethod": "charge_automatically",
    }
    admin.post(f"/settings/stripe/{id_}/secrets", {"webhookSecret": SECRET})
    assert read(tenant.http().get(f"/stripe/{id_}"))["hasWebhookSecret"]
    page = admin.get(f"/settings/stripe?integration={id_}&suggest=true")
    assert "Map to &lt;b&gt;Birch&lt;/b&gt;" in page
    page = admin.post(f"/settings/stripe/{id_}/accounts", {"accountId": account, "customerId": customer})
    assert f"<code>{customer}</code>" in page
    again = admin.post(f"/settings/stripe/{id_}/accounts", {"accountId": account, "customerId": "cus_2"}, status=422)
    assert "is mapped already" in again
    stripe.fail(status=401, type="authentication_error", message=f"Invalid API Key provided: {KEY}")
    refused = admin.post(f"/settings/stripe/{id_}/check", status=422)
    assert "Invalid API Key provided: [key]" in refused
    assert Visitor(tenant.url).http.get("/settings/stripe").url.path == "/sign-in"


def signed(body: bytes) -> str:
    """The header, made as Stripe's documents say."""
    moment = int(time.time())
    return f"t={moment},v1={hmac.new(SECRET.encode(), f'{moment}.'.encode() + body, sha256).hexdigest()}"


def standing(http: httpx.Client, bill: str) -> Any:
    return read(http.get(f"/bills/{bill}/payments"))


def read(response: httpx.Response) -> Any:
    assert response.status_code == 200, f"{response.request.url}: {response.status_code} {response.text}"
    return wire.decode(dict[str, Any], response.content)
