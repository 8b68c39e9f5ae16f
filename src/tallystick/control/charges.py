"""Charges: single amounts on an account (source: reference 2.7). What a locked bill shows stays as it is."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tallystick.control.bills import BillFilter, list_bills
from tallystick.control.contracts import require_contract_of
from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.core.bill import Bill
from tallystick.core.charge import Charge
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords, Page, Transaction

_CHUNK = 200


def bills_of(read: OrganizationRecords, charges: Collection[Entity[Charge]]) -> dict[str, Bill]:
    """Charge ids to the bills that have a line for them; what is on no bill yet is left out."""
    wanted = {each.id for each in charges}
    accounts = sorted({each.value.account_id for each in charges})
    found: dict[str, Bill] = {}
    page: Page | None = Page(size=_CHUNK) if accounts else None
    while page is not None and len(found) < len(wanted):
        bills = list_bills(read, BillFilter(account_ids=accounts), page)
        for bill in bills.rows:
            on_it = {line.charge_id for line in bill.line_items if line.charge_id is not None}
            found |= dict.fromkeys(on_it & wanted, bill)
        page = None if bills.next_token is None else Page(size=_CHUNK, token=bills.next_token)
    return found


def _check(draft: Draft[Charge]) -> Charge:
    value = draft.value
    require_currency(draft.read, value.currency)
    require_contract_of(draft.read, value.contract_id, value.account_id)
    if value.entity_id is not None:
        owner = the(draft.read, Balance, value.entity_id).account_id
        if owner != value.account_id:
            raise rule_broken("entityId", f"the balance {value.entity_id} is of the account {owner}")
    if draft.before is not None:
        _require_open(draft.read, draft.before)
        value = msgspec.structs.replace(value, schedule_id=draft.before.value.schedule_id)
    return value


def _require_open(read: Transaction, charge: Entity[Charge]) -> None:
    bill = bills_of(read, (charge,)).get(charge.id)
    if bill is not None and bill.locked:
        message = f"id: the charge {charge.id} is on the locked bill {bill.id} and stays as it is"
        raise Refusal("bill_locked", f"{message}; make another charge, with a negative amount to give back", field="id")


CHARGES = Noun(of=Charge, check=_check, check_removal=_require_open)
