"""E-mail by SMTP: bills as PDF, alerts, and events for colleagues, to each recipient a message of their own.

The Message-ID comes from the id of the hand-over and the recipient: a message that was sent twice, since the server
ended in between, is recognised. Who has got one is kept, so that another attempt goes only to those who have not.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from tallystick.core import wire
from tallystick.core.account import Account
from tallystick.core.bill import BillRecord, BillStatus
from tallystick.core.email import (
    EmailOptOut,
    EmailSent,
    EmailSettings,
    EmailTemplate,
    MessageKind,
    SendBills,
    addresses_in,
    alert_recipients,
    bill_recipients,
    kind_of,
    once_each,
)
from tallystick.core.entity import Entity
from tallystick.core.ids import named_id
from tallystick.core.integration import RunStatus
from tallystick.core.invoice_config import LOCALE_FIELD, own_field
from tallystick.core.period import Instant
from tallystick.email_text import best_words, fill
from tallystick.errors import Refusal
from tallystick.invoice.formats import Formats, locale_of
from tallystick.ports import Document, OrganizationRecords, Transaction, Where
from tallystick.ports.handover import HandedOver, HandOver
from tallystick.ports.mail import SENT, MailedBills, OptOutLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """How the mail server is reached. `security` is starttls, tls or none; without a user nobody signs in."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password_file: str = ""
    seconds: float = 10.0

    def connect(self) -> smtplib.SMTP:
        """A connection, encrypted and signed in as the settings say."""
        context = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.seconds, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.seconds)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                password = Path(self.password_file).read_text(encoding="utf-8").strip() if self.password_file else ""
                server.login(self.user, password)
        except BaseException:
            server.close()
            raise
        return server


@dataclass(frozen=True, slots=True)
class _Letter:
    """What a run sends: to whom, in which words, with which values. `key` is what nobody gets twice."""

    kind: MessageKind
    recipients: tuple[str, ...]
    values: Mapping[str, object]
    key: str
    language: str
    attachment: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Email:
    """Fulfils `Performer`."""

    server: MailServer
    bills: MailedBills
    links: OptOutLinks

    def perform(self, what: HandOver) -> HandedOver:
        """Send what the event of a run asks for to everybody who is to have it and has not got it yet."""
        if not self.server.host or not self.server.sender:
            why = "no mail server is set: TALLYSTICK_SMTP_HOST and TALLYSTICK_SMTP_FROM; then retry this run"
            return HandedOver(status=RunStatus.ERROR, error=why)
        try:
            letter = self._letter(what)
            if letter is None:
                return HandedOver(status=RunStatus.COMPLETE, log="nothing to send")
            left = [each for each in letter.recipients if not _declined(what.records, each, letter.kind)]
            left = [each for each in left if what.records.document(SENT, named_id(letter.key, each)) is None]
            messages = [(each, self._message(what, letter, each)) for each in left]
        except Refusal as refused:
            if refused.code.retry:  # many invoices are being printed
                return HandedOver(status=RunStatus.AWAITING_RETRY, error=refused.message)
            return HandedOver(status=RunStatus.ERROR, error=f"the message cannot be made: {refused.message}")
        return self._send(what, letter, messages)

    def _send(self, what: HandOver, letter: _Letter, messages: Sequence[tuple[str, EmailMessage]]) -> HandedOver:
        sent: list[EmailSent] = []
        refused: list[str] = []
        away: str | None = None
        if messages:
            try:
                with self.server.connect() as server:
                    for address, message in messages:
                        problem = _hand_in(server, self.server.sender, address, message)
                        if problem is None:
                            told = EmailSent(run_id=what.run.id, message_id=str(message["Message-ID"]), address=address)
                            sent.append(told)
                        elif problem[0]:
                            refused.append(f"{address}: {problem[1]}")
                        else:
                            away = f"{address}: {problem[1]}"
            except smtplib.SMTPAuthenticationError:
                error = "the mail server refuses user and password (TALLYSTICK_SMTP_USER, …_PASSWORD_FILE)"
                return HandedOver(status=RunStatus.AUTH_FAILED, error=error, also=_kept(letter, sent))
            except (OSError, smtplib.SMTPException) as problem:
                away = away or f"the mail server cannot be reached: {type(problem).__name__}: {_line(str(problem))}"
        return _outcome(sent, refused, away, _kept(letter, sent))

    def _letter(self, what: HandOver) -> _Letter | None:
        kind = kind_of(what.event.event_name)
        if "to" in what.config.value.config_data:
            return self._event(what)
        if kind is MessageKind.BILL:
            return self._bill(what)
        return self._alert(what) if kind is MessageKind.ALERT else self._event(what)

    def _bill(self, what: HandOver) -> _Letter | None:
        """The bill that an event is about, where it is as far as the settings want it."""
        records, settings = what.records, settings_of(what.records)
        record = self.bills.record(records, what.run.entity_id)
        if record is None or not _ready(record, settings.send_bills):
            return None
        account = records.get(Account, record.bill.account_id)
        if account is None:
            return None
        language = own_field(account.value, LOCALE_FIELD) or self.bills.language(records)
        formats, bill = Formats(locale_of(language)), record.bill
        values = {
            "seller": settings.sender_name or self.bills.organization_name(records),
            "account": {"name": account.value.name, "code": account.value.code},
            "bill": {
                "number": bill.sequential_invoice_number or bill.account_code,
                "total": formats.money(bill.bill_total, bill.currency),
                "currency": bill.currency,
                "start": formats.day(bill.start_date),
                "end": formats.day(max(bill.start_date, bill.end_date - timedelta(days=1))),
                "due": formats.day(bill.due_date),
            },
        }
        return _Letter(
            kind=MessageKind.BILL,
            recipients=bill_recipients(account.value, settings),
            values=values,
            # The same bill goes once; one that was calculated anew after it was sent goes again.
            key=named_id(bill.id, f"email/{bill.last_calculated_date.stamp()}"),
            language=language,
            attachment=self.bills.pdf(records, record),
        )

    def _alert(self, what: HandOver) -> _Letter | None:
        records, settings, told = what.records, settings_of(what.records), what.event.m3ter_event
        if not settings.send_alerts:
            return None
        account = records.get(Account, str(told.get("accountId") or "")) if told.get("accountId") else None
        language = (own_field(account.value, LOCALE_FIELD) if account else None) or self.bills.language(records)
        formats = Formats(locale_of(language))
        values = {
            "seller": settings.sender_name or self.bills.organization_name(records),
            "account": {
                "name": account.value.name if account else "",
                "code": account.value.code if account else "",
            },
            "alert": {
                "name": str(told.get("name") or told.get("type") or ""),
                "type": str(told.get("type") or ""),
                "threshold": _number(formats, told.get("threshold")),
                "value": _number(formats, told.get("value")),
                "unit": str(told.get("currency") or ""),
            },
        }
        recipients = alert_recipients(account.value if account else None, str(told.get("email") or ""))
        return _Letter(MessageKind.ALERT, recipients, values, what.run.id, language)

    def _event(self, what: HandOver) -> _Letter | None:
        """Any other event, to the addresses that the configuration names."""
        to = what.config.value.config_data.get("to")
        recipients = once_each(to if isinstance(to, list | tuple) else addresses_in(str(to or "")))
        if not recipients:
            message = 'nobody is named: give addresses as configData.to, such as {"to": ["ops@your.example"]}'
            raise Refusal("rule_broken", message, field="configData")
        language = self.bills.language(what.records)
        fields = tuple(
            {"name": name, "value": str(value)}
            for name, value in what.event.m3ter_event.items()
            if name != "eventName" and isinstance(value, str | int | Decimal)
        )
        values = {
            "seller": settings_of(what.records).sender_name or self.bills.organization_name(what.records),
            "event": {"name": what.event.event_name, "time": what.event.event_time.wire(), "fields": fields},
        }
        return _Letter(MessageKind.EVENT, recipients, values, what.run.id, language)

    def _message(self, what: HandOver, letter: _Letter, address: str) -> EmailMessage:
        """The message to one recipient. Headers are made by the library from values, so nothing can add one."""
        settings = settings_of(what.records)
        link = self.links.link(what.records.organization_id, address, letter.kind)
        own = [each.value for each in what.records.every(EmailTemplate)]
        words = fill(best_words(own, letter.kind, letter.language), {**letter.values, "unsubscribe": link or ""})
        message = EmailMessage(policy=SMTP)
        user, _, domain = self.server.sender.rpartition("@")
        message["From"] = Address(_line(str(letter.values["seller"])), user, domain)
        local, _, host = address.rpartition("@")
        message["To"] = Address("", local, host)
        if settings.reply_to:
            message["Reply-To"] = settings.reply_to
        message["Subject"] = words.subject
        message["Date"] = format_datetime(what.event.event_time)
        message["Message-ID"] = f"<{named_id(what.run.id, address)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        if link is not None:
            message["List-Unsubscribe"] = f"<{link}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(words.text)
        if words.html is not None:
            message.add_alternative(words.html, subtype="html")
        if letter.attachment is not None:
            name, content = letter.attachment
            message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
        return message


def settings_of(records: OrganizationRecords) -> EmailSettings:
    """What the organisation sends; nothing where nobody said."""
    there = records.get(EmailSettings, records.organization_id)
    return EmailSettings() if there is None else there.value


def _ready(record: BillRecord, when: SendBills) -> bool:
    if when is SendBills.NEVER:
        return False
    bill = record.bill
    return bill.locked or (when is SendBills.APPROVED and bill.status is BillStatus.APPROVED)


def _declined(records: OrganizationRecords, address: str, kind: MessageKind) -> bool:
    where = Where(equal={"address": (address,), "message_kind": (kind.value,)})
    found: Sequence[Entity[EmailOptOut]] = list(records.every(EmailOptOut, where))
    return bool(found)


def _hand_in(server: smtplib.SMTP, sender: str, address: str, message: EmailMessage) -> tuple[bool, str] | None:
    """Give a message to the server; what is wrong, and whether that stays so."""
    try:
        server.send_message(message, sender, [address])
    except smtplib.SMTPRecipientsRefused as refused:
        code, why = next(iter(refused.recipients.values()))
        return code >= 500, f"{code} {_line(why.decode('utf-8', 'replace'))}"
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refused:
        said: object = refused.smtp_error  # bytes, though some versions give text
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return refused.smtp_code >= 500, f"{refused.smtp_code} {_line(text)}"
    except smtplib.SMTPNotSupportedError as refused:
        return True, _line(str(refused))
    return None


def _outcome(
    sent: Sequence[EmailSent], refused: Sequence[str], away: str | None, kept: Callable[[Transaction, Instant], None]
) -> HandedOver:
    log = "; ".join(f"{each.address} {each.message_id}" for each in sent) or None
    if away is not None:
        return HandedOver(status=RunStatus.AWAITING_RETRY, error=away, log=log, also=kept)
    if refused:
        why = f"the mail server refuses {'; '.join(refused)}; correct the address, then retry this run"
        return HandedOver(status=RunStatus.ERROR, error=why, log=log, also=kept)
    first = sent[0].message_id if sent else None
    return HandedOver(status=RunStatus.COMPLETE, external_id=first, log=log, also=kept)


def _kept(letter: _Letter, sent: Sequence[EmailSent]) -> Callable[[Transaction, Instant], None]:
    """Keeps who has got the message: as long as its run is kept, but for a bill as long as the bill may be sent."""

    def keep(write: Transaction, now: Instant) -> None:
        keys = {} if letter.kind is MessageKind.BILL else {"run_id": letter.key}
        documents = [
            Document(id=named_id(letter.key, each.address), sort=now.stamp(), keys=keys, body=wire.encode(each))
            for each in sent
        ]
        if documents:
            write.put_documents(SENT, documents)

    return keep


def _number(formats: Formats, value: object) -> str:
    return formats.number(value if isinstance(value, Decimal) else Decimal(str(value))) if value is not None else ""


def _line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:300]
