"""Accounts: who is billed. A parent has children, and a child has none (source: reference 2.5, 3.9, 5.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from tallystick.control.currencies import require_currency
from tallystick.control.desk import Draft, Noun, in_use, rule_broken
from tallystick.control.search import Field, Search, searched
from tallystick.core.account import Account
from tallystick.core.entity import Entity
from tallystick.ports import DocumentWhere, Found, OrganizationRecords, Page, Transaction, Where

MAX_CHILDREN = 999
MAX_EMAIL = 254
# One @ with something before it and a domain after it; what is deliverable only sending can tell.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s.\x00-\x1f\x7f]+(\.[^@\s.\x00-\x1f\x7f]+)*")


def children(records: OrganizationRecords, id: str, page: Page) -> Found[Entity[Account]]:
    """One page of the accounts whose parent this is, newest first; Refusal `not_found` for an unknown parent."""
    parent = ACCOUNTS.retrieve(records, id)
    return records.find(Account, _children_of(parent.id), page)


# The keys of a search. `ids` and `codes` take a comma-joined list.
SEARCH_KEYS = (
    "name",
    "code",
    "codes",
    "currency",
    "purchaseOrderNumber",
    "parentAccountId",
    "id",
    "ids",
    "createdBy",
    "lastModifiedBy",
    "dtCreated",
)
SORT_KEYS = (
    "name",
    "code",
    "currency",
    "purchaseOrderNumber",
    "parentAccountId",
    "emailAddress",
    "id",
    "createdBy",
    "lastModifiedBy",
    "dtCreated",
    "dtLastModified",
)


def search(records: OrganizationRecords, wanted: Search) -> Found[Entity[Account]]:
    """One page of a search, newest first unless it is sorted; the token is the offset of the next page."""
    return searched(records.every(Account, _narrowed(wanted)), _fields, wanted)


def _narrowed(wanted: Search) -> Where:
    """What the store can filter by itself; the rest is looked at here."""
    stored = {"id": "id", "code": "code", "currency": "currency", "parentAccountId": "parent_account_id"}
    equal = {stored[key]: (value,) for key in stored if (value := wanted.equal_to(key)) is not None}
    return Where(equal=equal)


def _fields(entity: Entity[Account]) -> Callable[[str], Field]:
    value = entity.value
    fields: dict[str, Field] = {
        "name": value.name,
        "code": value.code,
        "currency": value.currency,
        "purchaseOrderNumber": value.purchase_order_number,
        "parentAccountId": value.parent_account_id,
        "emailAddress": value.email_address,
        "id": entity.id,
        "createdBy": entity.created_by,
        "lastModifiedBy": entity.modified_by,
        "dtCreated": entity.created,
        "dtLastModified": entity.modified,
    }
    return fields.__getitem__


def _check(draft: Draft[Account]) -> Account:
    value = draft.value
    if len(value.email_address) > MAX_EMAIL or not _EMAIL.fullmatch(value.email_address):
        raise rule_broken("emailAddress", f"must be an e-mail address, got {value.email_address[:60]!r}")
    require_currency(draft.read, value.currency)
    if value.parent_account_id is not None:
        _require_parent(draft, value.parent_account_id)
    return value


def _require_parent(draft: Draft[Account], parent_id: str) -> None:
    """Two levels and no more: so there is no cycle either."""
    if parent_id == draft.id:
        raise rule_broken("parentAccountId", "an account cannot be its own parent")
    parent = draft.read.get(Account, parent_id)
    assert parent is not None, "references are checked before the rules of the noun"
    if parent.value.parent_account_id is not None:
        grandparent = parent.value.parent_account_id
        message = f"the account {parent_id} is itself a child (of {grandparent}); a hierarchy has two levels"
        raise rule_broken("parentAccountId", message)
    if draft.before is not None and draft.read.find(Account, _children_of(draft.id), Page(size=1)).rows:
        message = f"the account {draft.id} has children of its own; a hierarchy has two levels"
        raise rule_broken("parentAccountId", message)
    if draft.before is not None and draft.before.value.parent_account_id == parent_id:
        return
    siblings = draft.read.find(Account, _children_of(parent_id), Page(size=MAX_CHILDREN)).rows
    if len(siblings) >= MAX_CHILDREN:
        raise rule_broken("parentAccountId", f"the account {parent_id} has {MAX_CHILDREN} children, the most allowed")


def _children_of(parent_id: str) -> Where:
    return Where(equal={"parent_account_id": (parent_id,)})


def _check_removal(read: Transaction, entity: Entity[Account]) -> None:
    bills = read.documents("bill", DocumentWhere(equal={"account_id": (entity.id,)}), Page(size=10)).rows
    if bills:
        raise in_use("account", entity.id, [("bill", bill.id) for bill in bills])


ACCOUNTS = Noun(of=Account, check=_check, check_removal=_check_removal)
