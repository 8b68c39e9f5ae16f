"""Contracts: what an account has agreed to for a time (source: reference 2.5, 3.8).

Account plans, credits and charges of the account, or of its children, may name it; while one does, it stays.
"""

from __future__ import annotations

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use, rule_broken, the
from tallystick.core.account import Account
from tallystick.core.contract import Contract
from tallystick.ports import OrganizationRecords


def require_contract_of(read: OrganizationRecords, contract_id: str | None, account_id: str) -> None:
    """Refuse a contract that is neither the account's own nor its parent's; absent is allowed."""
    if contract_id is None:
        return
    contract = the(read, Contract, contract_id)
    account = the(read, Account, account_id)
    if contract.account_id not in {account_id, account.parent_account_id}:
        message = f"the contract {contract_id} is of the account {contract.account_id}, not of {account_id}"
        raise rule_broken("contractId", f"{message} or its parent")


def _check(draft: Draft[Contract]) -> Contract:
    if draft.before is not None and draft.before.value.account_id != draft.value.account_id:
        users = draft.read.users_of(draft.id)
        if users:
            raise in_use("contract", draft.id, users, field="accountId")
    protection = draft.value.price_protection
    if protection is not None:
        require_currency(draft.read, protection.currency)
    return draft.value


CONTRACTS = Noun(of=Contract, check=_check)
