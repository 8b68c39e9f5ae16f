"""E-mail on a running server with a real mail server: what is set up, and the link by which recipients decline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from mail_server import Mailbox, mail_server
from storefront import Storefront, read, refused, send

from tallystick.cli.launch import Server, free_port, launched
from tenant import Tenant, new_tenant


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mail_server() as there:
        yield there


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, box: Mailbox) -> Iterator[Server]:
    settings = {
        "TALLYSTICK_SMTP_HOST": "127.0.0.1",
        "TALLYSTICK_SMTP_PORT": str(box.port),
        "TALLYSTICK_SMTP_SECURITY": "none",
        "TALLYSTICK_SMTP_FROM": "billing@north.example",
        "TALLYSTICK_PUBLIC_URL": "https://billing.example",
    }
    with launched(tmp_path_factory.mktemp("mail"), free_port(), settings) as running:
        yield running


@pytest.fixture
def organization(server: Server) -> Tenant:
    return new_tenant(server)


def test_what_is_sent_is_said_once_and_changed(http: httpx.Client) -> None:
    first = read(http.get("/emailsettings"))
    assert (first["version"], first["sendBills"], first["sendAlerts"]) == (0, "NEVER", False)
    kept = read(send(http, "PUT", "/emailsettings", {"sendBills": "LOCKED", "copiesTo": ["a@north.example"]}))
    assert (kept["version"], kept["sendBills"], kept["copiesTo"]) == (1, "LOCKED", ["a@north.example"])
    assert read(http.get("/emailsettings")) == kept
    said = refused(send(http, "PUT", "/emailsettings", {"replyTo": "a@b\r\nBcc: c@d", "version": 1}))
    assert "replyTo: must be an address such as" in said["message"]
    assert refused(send(http, "PUT", "/emailsettings", {"version": 7}))["code"] == "version_mismatch"


def test_words_are_looked_at_before_they_are_kept(http: httpx.Client) -> None:
    words = {
        "messageKind": "BILL",
        "language": "fr",
        "subject": "Facture {{ bill.number }}",
        "text": "{{ bill.total }}",
    }
    assert read(send(http, "POST", "/emailtemplates/preview", words)) == {
        "subject": "Facture INV-1001",
        "text": "$1,234.50",
    }
    made = read(send(http, "POST", "/emailtemplates", words))
    assert read(http.get("/emailtemplates?messageKind=BILL&language=fr"))["data"] == [made]
    said = refused(send(http, "PUT", f"/emailtemplates/{made['id']}", {**words, "text": "{{ bill.totl }}"}))
    assert said["field"] == "text"


def test_an_alert_is_sent_and_its_link_ends_alerts(http: httpx.Client, organization: Tenant, box: Mailbox) -> None:
    """A balance that is below its threshold from the start fires within seconds."""
    read(send(http, "PUT", "/emailsettings", {"sendAlerts": True}))
    read(send(http, "POST", "/picklists/currency", {"name": "Euro", "code": "EUR"}))
    address = f"ap@{organization.id}.example"
    account = read(send(http, "POST", "/accounts", {"name": "Acme", "code": "acme", "emailAddress": address}))
    balance = {
        "name": "Credit",
        "code": "credit",
        "accountId": account["id"],
        "currency": "USD",
        "startDate": "2026-01-01T00:00:00Z",
        "endDate": "2090-01-01T00:00:00Z",
    }
    read(send(http, "POST", "/balances", balance))
    alert = {"accountId": account["id"], "type": "BALANCE_BELOW", "threshold": 10, "name": "Low", "currency": "USD"}
    read(send(http, "POST", "/spendalerts", alert))
    until = time.monotonic() + 20
    while address not in box.to():
        assert time.monotonic() < until, http.get("/events").text
        time.sleep(0.05)
    message = next(each for to, each in box.came if to == address)
    assert message["Subject"] == "Acme: Low has reached 10 USD"
    link = urlsplit(message["List-Unsubscribe"].strip("<>"))
    assert link.netloc == "billing.example"
    page = httpx.get(organization.url + link.path)
    assert (page.status_code, f"sends alerts about spend and credit to {address}" in page.text) == (200, True)
    assert read(http.get("/emailoptouts"))["data"] == [], "looking changes nothing"
    ended = httpx.post(organization.url + link.path, data={"List-Unsubscribe": "One-Click"})
    assert (ended.status_code, "No more alerts" in ended.text) == (200, True)
    (kept,) = read(http.get(f"/emailoptouts?address={address}"))["data"]
    assert (kept["messageKind"], kept["createdBy"]) == ("ALERT", "recipient")
    assert httpx.post(organization.url + link.path + "x").status_code in {400, 403}
    assert httpx.get(organization.url + "/unsubscribe/nonsense").status_code in {400, 403}


def test_an_approved_bill_is_sent_as_pdf(http: httpx.Client, organization: Tenant, box: Mailbox) -> None:
    store = Storefront(http)
    address = f"books@{organization.id}.example"
    account = read(http.get(f"/accounts/{store.ids['/accounts']}"))
    read(send(http, "PUT", f"/accounts/{account['id']}", {**account, "customFields": {"billingEmails": address}}))
    read(send(http, "PUT", "/emailsettings", {"sendBills": "APPROVED", "senderName": "North Billing"}))
    job = read(send(http, "POST", "/billjobs", {"lastDateInBillingPeriod": "2025-01-31"}))
    wait(lambda: read(http.get(f"/billjobs/{job['id']}"))["status"] == "COMPLETE")
    bill = read(http.get("/bills"))["data"][0]
    assert address not in box.to(), "a bill that nobody has approved is not sent"
    read(send(http, "PUT", f"/bills/{bill['id']}/status", {"status": "APPROVED"}))
    wait(lambda: address in box.to())
    message = next(each for to, each in box.came if to == address)
    assert message["Subject"] == bill["accountCode"], "in the words of the organisation's own template"
    assert message["From"] == "North Billing <billing@north.example>"
    (attached,) = message.iter_attachments()
    assert attached.get_content().startswith(b"%PDF-")


def wait(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)
