"""E-mail to a real mail server: bills as PDF, alerts, events; each recipient once, none who declined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from handing_world import ORGANIZATION, HandingWorld
from mail_server import Mailbox, mail_server

from tallystick.cli.launch import free_port
from tallystick.control.desk import Desk
from tallystick.control.emails import OPT_OUTS, TEMPLATES, SignedLinks, current_settings, opt_out, update_settings
from tallystick.core.account import Account
from tallystick.core.bill import BillStatus
from tallystick.core.email import EmailOptOut, EmailSettings, EmailTemplate, MessageKind, SendBills
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.integration import Destination, IntegrationConfig
from tallystick.errors import Refusal
from tallystick.integrations.email import Email, MailServer
from tallystick.outbox import event_document, put_events
from tallystick.pipeline.handover import choose, dispatch, due_runs, keep, perform, take
from tallystick.pipeline.old_events import forget_events, forget_runs
from tallystick.ports import Actor, DocumentWhere, Page
from tallystick.ports.mail import SENT

ADA = Actor(id="ada", kind="SERVICE_USER")
ACME = named_id(ORGANIZATION, "acme")
PDF = b"%PDF-1.7 of the bill"


class Bills:
    """Bills as this test says they stand, by id."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}

    def record(self, _: object, bill_id: str) -> Any:
        return self.there.get(bill_id)

    def pdf(self, _: object, record: Any) -> tuple[str, bytes]:
        return f"INV-7-{record.bill.account_code}.pdf", PDF

    def organization_name(self, _: object) -> str:
        return "North Ltd"

    def language(self, _: object) -> str:
        return "en-GB"


class MailingWorld(HandingWorld):
    """An organisation that sends e-mail, really."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory)
        self.bills = Bills()
        self.email = Email(
            MailServer(host="127.0.0.1", port=port, security="none", sender="billing@north.example", seconds=2),
            self.bills,
            SignedLinks(b"k" * 32, "https://billing.example"),
        )

    def desk(self) -> Desk:
        return Desk(records=self.records, actor=ADA, now=self.now)

    def account(self, email: str = "ap@acme.example", **fields: str) -> None:
        value = Account(name="Acme & Sons", code="acme", email_address=email, custom_fields=fields or None)
        with self.records.transaction() as write:
            write.insert(Entity(id=ACME, version=1, value=value, **self._written()))  # type: ignore[arg-type]  # the times

    def settings(self, **given: Any) -> None:
        update_settings(self.desk(), EmailSettings(**given), None)

    def billed(self, *, status: BillStatus = BillStatus.APPROVED, locked: bool = False) -> None:
        """The bill stands so from now on, and an event tells of it."""
        bill = SimpleNamespace(
            id=named_id(ORGANIZATION, "bill jan"),
            account_id=ACME,
            account_code="acme",
            status=status,
            locked=locked,
            sequential_invoice_number="INV-7",
            bill_total=Decimal("1234.5"),
            currency="EUR",
            start_date=date(2026, 1, 1),
            end_date=date(2026, 2, 1),
            due_date=date(2026, 3, 1),
            last_calculated_date=self.now,
        )
        self.bills.there[bill.id] = SimpleNamespace(bill=bill)
        self.bill("jan")

    def alerted(self, email: str | None) -> None:
        said = {
            "eventName": "spendalert.fired",
            "accountId": ACME,
            "type": "SPEND_ABOVE",
            "threshold": Decimal(1000),
            "value": Decimal("1012.5"),
            "currency": "EUR",
            "name": "Budget\r\nBcc: all@acme.example",
        }
        event = Event(
            id=named_id(ORGANIZATION, f"alert {self.now}"),
            event_name="spendalert.fired",
            event_time=self.now,
            m3ter_event=said | ({"email": email} if email else {}),
        )
        with self.records.transaction() as write:
            put_events(write, [event_document(event, event_type="SpendAlertFired", account_id=ACME)])

    def hand_over(self, ids: list[str]) -> int:
        taken = take(self.records, ids, self.now)
        outcomes = [(what.run, perform({Destination.EMAIL: self.email}, what)) for what in taken]
        keep(self.records, outcomes, self.now, self.attempts)
        return len(outcomes)

    def statuses(self) -> list[str]:
        return [each.status.value for each in self.runs()]


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mail_server() as there:
        yield there


@pytest.fixture
def world(tmp_path: Path, box: Mailbox) -> Iterator[MailingWorld]:
    world = MailingWorld(tmp_path, box.port)
    yield world
    world.store.close()


def body_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_an_approved_bill_is_sent_as_pdf_to_everybody_who_gets_bills(world: MailingWorld, box: Mailbox) -> None:
    world.account(billingEmails="books@acme.example, AP@acme.example, nonsense")
    world.settings(
        send_bills=SendBills.APPROVED,
        sender_name="North Billing",
        reply_to="help@north.example",
        copies_to=("archive@north.example",),
    )
    world.billed()
    assert world.round() == 1
    assert box.to() == ["ap@acme.example", "books@acme.example", "archive@north.example"]
    message = box.came[0][1]
    assert message["Subject"] == "Invoice INV-7 from North Billing: €1,234.50"
    assert message["From"] == "North Billing <billing@north.example>"
    assert (message["To"], message["Reply-To"]) == ("ap@acme.example", "help@north.example")
    assert "1 Jan 2026 to 31 Jan 2026" in body_of(message)
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("INV-7-acme.pdf", "application/pdf")
    assert attached.get_content() == PDF
    assert world.statuses() == ["COMPLETE"]


@pytest.mark.parametrize(
    ("when", "status", "locked", "sent"),
    [
        (SendBills.APPROVED, BillStatus.PENDING, False, 0),
        (SendBills.APPROVED, BillStatus.APPROVED, False, 1),
        (SendBills.LOCKED, BillStatus.APPROVED, False, 0),
        (SendBills.LOCKED, BillStatus.APPROVED, True, 1),
        (SendBills.APPROVED, BillStatus.PENDING, True, 1),
    ],
)
def test_bills_go_when_the_organisation_wants_it(
    world: MailingWorld, box: Mailbox, when: SendBills, status: BillStatus, locked: bool, sent: int
) -> None:
    world.account()
    world.settings(send_bills=when)
    world.billed(status=status, locked=locked)
    world.round()
    assert len(box.came) == sent
    assert world.statuses() == ["COMPLETE"]


def test_a_bill_goes_once_and_again_only_when_it_was_calculated_anew(world: MailingWorld, box: Mailbox) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED)
    world.billed()
    world.round()
    world.bill("jan")  # something else happened to it: it was locked, say
    world.round()
    assert len(box.came) == 1
    world.after(days=1)
    world.billed()
    world.round()
    assert len(box.came) == 2


def test_without_a_wish_nothing_is_sent_and_nothing_waits(world: MailingWorld, box: Mailbox) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED, send_alerts=True)
    assert len(list(world.records.every(IntegrationConfig))) == 2
    world.settings()
    world.billed()
    world.alerted("me@acme.example")
    assert world.round() == 0
    assert box.came == []


def test_an_alert_is_told_to_its_address_the_customer_and_the_owner(world: MailingWorld, box: Mailbox) -> None:
    world.account(ownerEmail="olga@north.example", invoiceLocale="de-AT")
    world.settings(send_alerts=True)
    world.alerted("me@acme.example")
    world.round()
    assert box.to() == ["me@acme.example", "ap@acme.example", "olga@north.example"]
    message = box.came[0][1]
    assert "hat 1000 EUR erreicht" in re.sub(r"(?<=1)[^0-9](?=000)", "", message["Subject"])
    assert "Acme & Sons: Budget Bcc: all@acme.example" in message["Subject"]
    assert message["Bcc"] is None, "what users wrote adds no header"


@pytest.mark.parametrize("name", ["North\r\nBcc: all@acme.example", "North\rLtd", "North\u2028Ltd", "North\x0bLtd"])
def test_a_name_of_more_than_one_line_is_a_sender_in_one(
    world: MailingWorld, box: Mailbox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(world.bills, "organization_name", lambda _: name)
    world.account()
    world.settings(send_bills=SendBills.APPROVED)
    world.billed()
    world.round()
    assert world.statuses() == ["COMPLETE"]
    (_, message) = box.came[0]
    assert message["Bcc"] is None
    assert message["From"].addresses[0].addr_spec == "billing@north.example"
    assert message["From"].addresses[0].display_name == " ".join(name.split())


def test_a_recipient_ends_messages_of_a_kind(world: MailingWorld, box: Mailbox) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED, send_alerts=True)
    world.alerted(None)
    world.round()
    (_, message) = box.came[0]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://billing.example/unsubscribe/")
    assert link in body_of(message)
    token = SignedLinks(b"k" * 32, "").read(link.rpartition("/")[2])
    assert (token.address, token.kind, token.organization_id) == ("ap@acme.example", MessageKind.ALERT, ORGANIZATION)
    for _ in range(2):
        opt_out(world.desk(), token.address, token.kind)
    world.after(days=1)
    world.alerted(None)
    world.billed()
    world.round()
    assert [message["Subject"][:7] for _, message in box.came[1:]] == ["Invoice"], "bills still come"
    with pytest.raises(Refusal, match="not made by this server"):
        SignedLinks(b"x" * 32, "").read(link.rpartition("/")[2])
    with pytest.raises(Refusal, match="wants no messages of this kind already"):
        OPT_OUTS.create(world.desk(), EmailOptOut(address=token.address, message_kind=token.kind))


def test_a_server_that_is_away_gets_the_same_message_once_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    world = MailingWorld(tmp_path, port)
    world.account(billingEmails="books@acme.example")
    world.settings(send_bills=SendBills.APPROVED)
    world.billed()
    world.round()
    assert world.statuses() == ["AWAITING_RETRY"]
    assert "the mail server cannot be reached: ConnectionRefusedError" in (world.runs()[0].error or "")
    box = Mailbox(refuses={"books@acme.example": "450 come back later"})
    with mail_server(port, box):
        world.after(hours=1)
        world.round()
        assert (world.statuses(), box.to()) == (["AWAITING_RETRY"], ["ap@acme.example"])
        box.refuses.clear()
        world.after(hours=1)
        world.round()
    assert (world.statuses(), box.to()) == (["COMPLETE"], ["ap@acme.example", "books@acme.example"])
    run = world.runs()[0]
    wanted = [f"<{named_id(run.id, each)}@north.example>" for each in box.to()]
    assert [message["Message-ID"] for _, message in box.came] == wanted
    world.store.close()


def test_whom_an_alert_went_to_is_forgotten_with_its_run_but_a_bill_never_goes_twice(
    world: MailingWorld, box: Mailbox
) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED, send_alerts=True)
    world.billed()
    calculated = world.now
    world.alerted(None)
    world.round()
    assert len(box.came) == 2
    world.after(days=500)
    while forget_events(world.records, world.now):
        pass
    assert forget_runs(world.records, world.now) == 2
    assert len(world.records.documents(SENT, DocumentWhere(), Page()).rows) == 1
    world.bills.there[named_id(ORGANIZATION, "bill jan")].bill.last_calculated_date = calculated
    world.bill("jan")  # it is locked, for instance
    world.round()
    assert len(box.came) == 2


def test_a_message_that_was_sent_before_the_server_ended_has_the_same_id_again(
    world: MailingWorld, box: Mailbox
) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED)
    world.billed()
    dispatch(world.records, world.now)
    (config_id,) = due_runs(world.records, world.now, 9).runs
    for _ in range(2):  # what was performed and not kept is performed again
        (what,) = take(world.records, choose(world.records, config_id, world.now, 1, ()), world.now)
        world.email.perform(what)
    assert len({message["Message-ID"] for _, message in box.came}) == 1
    assert len(box.came) == 2


def test_a_recipient_whom_the_server_refuses_is_an_error_that_says_what_to_do(
    world: MailingWorld, box: Mailbox
) -> None:
    world.account(email="gone@acme.example", billingEmails="books@acme.example")
    world.settings(send_bills=SendBills.APPROVED)
    box.refuses["gone@acme.example"] = "550 no such user"
    world.billed()
    world.round()
    assert box.to() == ["books@acme.example"], "the others get theirs"
    (run,) = world.runs()
    assert run.status.value == "ERROR"
    assert run.error == (
        "the mail server refuses gone@acme.example: 550 no such user; correct the address, then retry this run"
    )


def test_events_go_to_colleagues_that_a_configuration_names(world: MailingWorld, box: Mailbox) -> None:
    names = {"eventNames": ["webhook.*"]}
    for name, to in (("ops", ["ops@north.example", "not an address"]), ("nobody", [])):
        value = IntegrationConfig(entity_type="Event", destination=Destination.EMAIL, config_data={**names, "to": to})
        with world.records.transaction() as write:
            write.insert(Entity(id=named_id(ORGANIZATION, name), version=1, value=value, **world._written()))  # type: ignore[arg-type]  # the times
    world.bill("jan", "webhook.disabled")
    world.round()
    assert box.to() == ["ops@north.example"]
    assert "number: jan.1" in body_of(box.came[0][1])
    assert sorted(world.statuses()) == ["COMPLETE", "ERROR"]
    assert any("nobody is named" in (each.error or "") for each in world.runs())


def test_without_a_mail_server_a_run_says_which_setting_is_missing(world: MailingWorld) -> None:
    world.email = replace(world.email, server=replace(world.email.server, host=""))
    world.account()
    world.settings(send_bills=SendBills.APPROVED)
    world.billed()
    world.round()
    assert "TALLYSTICK_SMTP_HOST" in (world.runs()[0].error or "")


def test_words_of_ones_own_come_before_ours(world: MailingWorld, box: Mailbox) -> None:
    world.account()
    world.settings(send_bills=SendBills.APPROVED)
    words = EmailTemplate(
        message_kind=MessageKind.BILL,
        language="en-GB",
        subject="Bill\n{{ bill.number }}",
        text="{{ account.name }}",
        html="<p>{{ account.name }}</p>",
    )
    made = TEMPLATES.create(world.desk(), words)
    with pytest.raises(Refusal, match="there are words for BILL in en-GB"):
        TEMPLATES.create(world.desk(), words)
    world.billed()
    world.round()
    message = box.came[0][1]
    assert message["Subject"] == "Bill INV-7"
    assert body_of(message).strip() == "Acme & Sons"
    assert body_of(message, "html").strip() == "<p>Acme &amp; Sons</p>"
    assert TEMPLATES.delete(world.desk(), made.id).id == made.id


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("subject", "{{ bill.nmber }}", "has no attribute 'nmber'"),
        ("text", "{% for a in b %}", "Unexpected end of template"),
        ("text", "{{ 9 * 9 }}", "Mul in line 1 is more than words may do here"),
        ("text", "{{ account.__class__ }}", "cannot be filled in"),
        (
            "html",
            "{% for a in seller %}{% for b in seller %}x{% endfor %}{% endfor %}",
            "a list within a list",
        ),
        ("text", "{{ account.name|center(99999) }}", "the filter center is none of"),
        ("text", "{{ cycler('a') }}", "Call in line 1 is more"),
        ("text", "{% include 'base.html' %}", "Include in line 1 is more"),
        ("text", "{% set a = 1 %}", "Assign in line 1 is more"),
    ],
)
def test_words_that_cannot_be_filled_in_are_refused_at_save(
    world: MailingWorld, part: str, text: str, said: str
) -> None:
    words: dict[str, Any] = {"subject": "s", "text": "t", part: text}
    with pytest.raises(Refusal) as refused:
        TEMPLATES.create(world.desk(), EmailTemplate(message_kind=MessageKind.BILL, language="en", **words))
    assert (refused.value.code.name, refused.value.field) == ("rule_broken", part)
    assert said in refused.value.message
    assert current_settings(world.records) is None


@pytest.mark.parametrize(
    "address",
    ["a@b\nBcc: c@d", "a b@c.example", '"a"@b.example', "a@b@c", "a,b@c.example", "<a@b.example>", "a@", "@b"],
)
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be an address such as"):
        EmailSettings(reply_to=address)
    with pytest.raises(ValueError, match="must be an address such as"):
        EmailSettings(copies_to=(address,))
