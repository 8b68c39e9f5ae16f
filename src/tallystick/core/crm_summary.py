"""What a CRM is told of an account: its bill, what it used, and what it was billed so far, as an event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from tallystick.core.bill import Bill, LineItemType
from tallystick.core.event import Event
from tallystick.core.external_mapping import ExternalMapping
from tallystick.core.ids import named_id
from tallystick.core.period import Instant
from tallystick.core.quantity import ZERO, add, tidy, total

EVENT_NAME = "crm.account.summary"
EVENT_TYPE = "CrmAccountSummary"
MOST_LINES = 100  # of usage, the largest amounts first
# What rules over these events may refer to.
EVENT_FIELDS = {
    "new.accountId": "String",
    "new.accountCode": "String",
    "new.billId": "String",
    "new.billTotal": "Number",
    "new.currency": "String",
    "new.startDate": "String",
    "new.endDate": "String",
    "new.dueDate": "String",
    "new.bills": "Number",
    "new.billedToDate": "Number",
}


def summary_event(
    bill: Bill,
    mappings: Iterable[ExternalMapping],
    totals: Sequence[tuple[str, Decimal]],
    now: Instant,
    *,
    times: str,
) -> Event:
    """What is told of an approved bill. `totals` are the approved bills of the account, this one too, as (currency,
    total); `times` tells this telling apart from others of the same bill."""
    same = [amount for currency, amount in totals if currency == bill.currency]
    details: dict[str, Any] = {
        "eventName": EVENT_NAME,
        "accountId": bill.account_id,
        "accountCode": bill.account_code,
        "externalIds": [
            {
                "externalSystem": each.external_system,
                "externalTable": each.external_table,
                "externalId": each.external_id,
            }
            for each in mappings
        ],
        "billId": bill.id,
        "invoiceNumber": bill.sequential_invoice_number,
        "billTotal": tidy(bill.bill_total),
        "currency": bill.currency,
        "startDate": bill.start_date.isoformat(),
        "endDate": bill.end_date.isoformat(),
        "dueDate": bill.due_date.isoformat(),
        "usage": _usage(bill),
        "bills": len(same),
        "billedToDate": tidy(total(same)),
    }
    return Event(
        id=named_id(bill.id, f"{EVENT_NAME}/{times}"),
        event_name=EVENT_NAME,
        event_time=now,
        m3ter_event={name: value for name, value in details.items() if value is not None},
    )


def _usage(bill: Bill) -> list[dict[str, Any]]:
    """What was used, by what it is counted by: the charges of usage, credit not taken off."""
    found: dict[str, dict[str, Any]] = {}
    for line in bill.line_items:
        of = line.aggregation_id or line.compound_aggregation_id
        if line.line_item_type is not LineItemType.USAGE or of is None:
            continue
        before = found.get(of)
        found[of] = {
            "aggregationId": of,
            "description": line.description,
            "productCode": line.product_code or "",
            "quantity": tidy(add(before["quantity"] if before else ZERO, line.quantity)),
            "unit": line.unit,
            "amount": tidy(add(before["amount"] if before else ZERO, line.converted_subtotal)),
        }
    return sorted(found.values(), key=lambda each: (-each["amount"], each["aggregationId"]))[:MOST_LINES]
