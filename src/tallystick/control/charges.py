"""Charges: single amounts on an account (source: reference 2.7). What a locked bill shows stays as it is."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tallystick.control.bills import KIND as BILL
from tallystick.control.contracts import require_contract_of
from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, rule_broken, the
from tallystick.core.charge import Charge
from tallystick.core.credit_types import Balance
from tallystick.core.entity import Entity
from tallystick.errors import Refusal
from tallystick.ports import Document, DocumentWhere, OrganizationRecords, Page, Transaction

PLACES = "billedcharge"  # documents by the id of a charge, kept when its bill is made: the bill it stands on


def bills_of(read: OrganizationRecords, charges: Collection[Entity[Charge]]) -> dict[str, Document]:
    """Charge ids to the bills, as stored, that they stand on; what stands on no bill is left out."""
    if not charges:
        return {}
    of_charges = DocumentWhere(equal={"id": [each.id for each in charges]})
    places = read.documents(PLACES, of_charges, Page(size=len(charges))).rows
    where = DocumentWhere(equal={"id": {each.keys["bill_id"] for each in places}})
    bills = {each.id: each for each in read.documents(BILL, where, Page(size=len(charges))).rows} if places else {}
    return {each.id: bills[each.keys["bill_id"]] for each in places if each.keys["bill_id"] in bills}


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
    if charge.value.memo is not None:
        message = f"id: the charge {charge.id} is a line of the memo {charge.value.memo.memo_id}; discard that one"
        raise Refusal("rule_broken", message, field="id")
    bill = bills_of(read, (charge,)).get(charge.id)
    if bill is not None and bill.keys["locked"] == "true":
        message = f"id: the charge {charge.id} is on the locked bill {bill.id} and stays as it is"
        raise Refusal("bill_locked", f"{message}; make another charge, with a negative amount to give back", field="id")


CHARGES = Noun(of=Charge, check=_check, check_removal=_require_open)
