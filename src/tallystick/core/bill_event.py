"""Events of bills: one was made, changed or deleted. They show the head of the bill; its lines are asked for."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from tallystick.core import wire
from tallystick.core.bill import BillStatus
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.period import Frequency, Instant

EVENT_TYPE = "BillChange"


class BillHead(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What an event shows of a bill."""

    id: str
    version: int
    account_id: str
    account_code: str
    status: BillStatus
    locked: bool
    start_date: date
    end_date: date
    bill_date: date
    due_date: date
    billing_frequency: Frequency
    currency: str
    bill_total: Decimal
    bill_job_id: str
    dt_last_modified: Instant
    last_modified_by: str
    purchase_order_number: str | None = None
    sequential_invoice_number: str | None = None
    dt_approved: Instant | None = None
    approved_by: str | None = None
    dt_locked: Instant | None = None


class _Stored(msgspec.Struct):
    bill: BillHead


def read_head(body: bytes) -> BillHead:
    """The head of a stored bill; its lines are passed over unread."""
    return wire.decode(_Stored, body).bill


def event_name(action: str) -> str:
    """`billing.bill.created`."""
    return f"billing.bill.{action}"


def bill_event(action: str, head: BillHead, before: BillHead | None, at: Instant) -> Event:
    """The event of a change, with `new` and `old` as those of configuration have them. Its id follows from what the
    bill is now, so that the same change is told once."""
    details: dict[str, Any] = {"eventName": event_name(action)}
    if action != "deleted":
        details["new"] = head
    old = head if action == "deleted" else before
    if old is not None:
        details["old"] = old
    now = sha256(wire.encode(head)).hexdigest()
    return Event(
        id=named_id(head.id, f"{action}/{head.version}/{now}"),
        event_name=event_name(action),
        event_time=at,
        m3ter_event=wire.decode(dict[str, Any], wire.encode(details)),
    )
