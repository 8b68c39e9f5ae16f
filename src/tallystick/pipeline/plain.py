"""Which accounts are plain (`core.plain_account`): read as little of each as tells it from the others.

The way of everybody else, which reads and decodes all that an account may have agreed to, stays the reference: what
comes of either is the same. So whatever might have a say that is not looked at here makes an account one of those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tallystick.core.account import Account, AccountPlan
from tallystick.core.adjustment import KIND as ADJUSTMENT
from tallystick.core.anomaly import AnomalyPolicy
from tallystick.core.bill import bill_id
from tallystick.core.entitlement import Entitlement
from tallystick.core.entity import Value
from tallystick.core.identity import Identity
from tallystick.core.memo import BillMemo
from tallystick.core.plain_account import Group, groups, read_accounts
from tallystick.core.revisit import KIND as REVISIT
from tallystick.core.revisit import Reason, awaits
from tallystick.core.spend_alert import SpendAlert
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import DocumentWhere, OrganizationRecords, Page, Where

BILL = "bill"
# What may refer to a plain account: its account plan, which is looked at, and what no bill depends on.
NO_MATTER: tuple[type[Value], ...] = (AccountPlan, AnomalyPolicy, Entitlement, Identity, SpendAlert)


def plain_groups(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> list[Group]:
    """Those of the account periods that are of plain accounts without any bills, in groups of those that are alike.

    An account that has bills may have to look back at them; one with several periods here may have to as well."""
    times = Counter(each.account_id for each in periods)
    places = {
        each.account_id: place
        for place, each in enumerate(periods)
        if times[each.account_id] == 1 and each.frequency.has_periods and not each.grouping
    }
    ids = sorted(places)
    if not ids:
        return []
    others = records.referred_to(NO_MATTER, ids) | with_bills(records, ids) | _with_memos(records, periods)
    found = read_accounts(records.texts(Account, "id", ids), records.texts(AccountPlan, "account_id", ids))
    return groups(sorted((places[id_], each) for id_, _, each in found if each and id_ not in others), periods)


def with_bills(records: OrganizationRecords, account_ids: Sequence[str]) -> set[str]:
    """Those of the accounts that have bills, or of which something is kept beside bills (of those that are of no
    grouping): bills of all others have nothing to look back at."""
    found: set[str] = set()
    for kind in (BILL, EMPTY, ADJUSTMENT):
        found |= _named(records, kind, "account_id", account_ids)
    waiting = [awaits(account_id, "", why) for account_id in account_ids for why in Reason]
    return found | {key.partition("/")[0] for key in _named(records, REVISIT, "awaits", waiting)}


def _named(records: OrganizationRecords, kind: str, key: str, values: Sequence[str]) -> set[str]:
    """Those of the values of a key that documents of a kind have; all of them where there are more documents than
    values: to tell which is not worth it then."""
    rows = records.keys_of(kind, DocumentWhere(equal={key: values}), (key,), len(values))
    return set(values) if len(rows) > len(values) else {value for (value,) in rows if value is not None}


def _with_memos(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> set[str]:
    """The accounts of those of the periods that there are memos for: of bills that were deleted."""
    if not records.find(BillMemo, Where(), Page(size=1)).rows:
        return set()
    accounts = {bill_id(records.organization_id, each.key): each.account_id for each in periods}
    return {accounts[each.value.bill_id] for each in records.every(BillMemo, Where(equal={"bill_id": list(accounts)}))}
