"""E-mail to customers and colleagues: who gets which, in which words, and who wants none (an extension of ours)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from tallystick.core.account import Account
from tallystick.core.entity import Name, Value
from tallystick.core.invoice_config import LocaleName, own_field
from tallystick.core.spend_alert import EVENT_NAME as ALERT_FIRED

MAX_ADDRESS = 254
MAX_COPIES = 20
MAX_SUBJECT, MAX_BODY = 500, 20_000
BILL_CHANGED = "billing.bill.updated"  # approving and locking change a bill
_OF_BILLS = "billing.bill."
# Custom fields of an account: further addresses that its bills go to, with commas, and who looks after it here.
BILLING_FIELD, OWNER_FIELD = "billingEmails", "ownerEmail"
# One mailbox, written plainly: no names, no quotes, no lists, nothing that a header could be broken with.
_ADDRESS = re.compile(r"[^\s@<>\",;:()\[\]\\\x00-\x20\x7f-\x9f]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
EmailAddress = Annotated[str, msgspec.Meta(min_length=3, max_length=MAX_ADDRESS)]


class MessageKind(StrEnum):
    """What a message is about: what people can have in words of their own, and decline."""

    BILL = "BILL"  # a bill, as PDF
    ALERT = "ALERT"  # a spend alert fired
    EVENT = "EVENT"  # any other event, for colleagues


class SendBills(StrEnum):
    """When bills are sent."""

    NEVER = "NEVER"
    APPROVED = "APPROVED"
    LOCKED = "LOCKED"


class EmailSettings(Value, frozen=True, kw_only=True):
    """What an organisation sends. Bills go to the account's address, those of its custom field `billingEmails`, and
    `copies_to`; alerts to the alert's own address, to the account's, and to its owner (`ownerEmail`)."""

    kind: ClassVar[str] = "emailsettings"

    sender_name: Name | None = None
    reply_to: EmailAddress | None = None
    send_bills: SendBills = SendBills.NEVER
    send_alerts: bool = False
    copies_to: Annotated[tuple[EmailAddress, ...], msgspec.Meta(max_length=MAX_COPIES)] = ()

    def check(self) -> None:
        if self.sender_name is not None and not self.sender_name.isprintable():
            raise ValueError("senderName: must be printable characters in one line")
        if self.reply_to is not None:
            require_address(self.reply_to, "replyTo")
        for each in self.copies_to:
            require_address(each, "copiesTo")


class EmailTemplate(Value, frozen=True, kw_only=True):
    """The words of a kind of message in a language. `html` may be left out: then only text is sent."""

    kind: ClassVar[str] = "emailtemplate"
    filters: ClassVar[tuple[str, ...]] = ("message_kind", "language")

    message_kind: MessageKind
    language: LocaleName
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SUBJECT)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_BODY)]
    html: Annotated[str, msgspec.Meta(max_length=MAX_BODY)] | None = None


class EmailOptOut(Value, frozen=True, kw_only=True):
    """Somebody who wants no messages of a kind."""

    kind: ClassVar[str] = "emailoptout"
    filters: ClassVar[tuple[str, ...]] = ("address", "message_kind")

    address: EmailAddress
    message_kind: MessageKind

    def check(self) -> None:
        require_address(self.address, "address")
        if self.address != self.address.lower():
            raise ValueError(f"address: write it as {self.address.lower()!r}")


class EmailSent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """That a message went to an address, so that it does not go twice."""

    run_id: str
    message_id: str
    address: str


def is_address(text: str) -> bool:
    """Whether a text is one plain address."""
    return len(text) <= MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None


def require_address(text: str, field: str) -> None:
    """ValueError where a text is no plain address."""
    if not is_address(text):
        raise ValueError(f"{field}: must be an address such as billing@customer.example, got {text[:80]!r}")


def addresses_in(text: str | None) -> tuple[str, ...]:
    """The plain addresses of a text with commas; what is none is left out."""
    return tuple(each for part in (text or "").split(",") if is_address(each := part.strip()))


def once_each(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each address once, in small letters, in order."""
    return tuple(dict.fromkeys(each.lower() for each in addresses if is_address(each)))


def bill_recipients(account: Account, settings: EmailSettings) -> tuple[str, ...]:
    """Who gets the bills of an account."""
    return once_each(
        (account.email_address, *addresses_in(own_field(account, BILLING_FIELD)), *settings.copies_to),
    )


def alert_recipients(account: Account | None, own: str | None) -> tuple[str, ...]:
    """Who is told of an alert: its own address, the account's, and the owner's."""
    given = [own or ""]
    if account is not None:
        given += [account.email_address, *addresses_in(own_field(account, OWNER_FIELD))]
    return once_each(given)


def kind_of(event_name: str) -> MessageKind:
    """What a message about an event is."""
    if event_name.startswith(_OF_BILLS):
        return MessageKind.BILL
    return MessageKind.ALERT if event_name == ALERT_FIRED else MessageKind.EVENT


def languages_for(wanted: str) -> tuple[str, ...]:
    """Languages in which words are looked for, best first: de-AT, then de, then en."""
    named = wanted.replace("_", "-")
    return tuple(dict.fromkeys((named, named.partition("-")[0], "en")))
