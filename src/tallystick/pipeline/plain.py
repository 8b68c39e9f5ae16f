"""Which accounts are plain (`core.plain_account`): read as little of each as tells it from the others.

The way of everybody else, which reads and decodes all that an account may have agreed to, stays the reference: what
comes of either is the same. So whatever might have a say that is not looked at here makes an account one of those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tallystick.core.account import Account, AccountPlan
from tallystick.core.anomaly import AnomalyPolicy
from tallystick.core.bill import bill_id
from tallystick.core.entitlement import Entitlement
from tallystick.core.entity import Value
from tallystick.core.identity import Identity
from tallystick.core.memo import BillMemo
from tallystick.core.plain_account import Group, groups, read_accounts
from tallystick.core.spend_alert import SpendAlert
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.last_bills import pasts
from tallystick.ports import OrganizationRecords, Page, Where
from tallystick.ports.usage import Measuring

# What may refer to a plain account: its account plan, which is looked at, and what no bill depends on.
NO_MATTER: tuple[type[Value], ...] = (AccountPlan, AnomalyPolicy, Entitlement, Identity, SpendAlert)


def plain_groups(
    records: OrganizationRecords, usage: Measuring, periods: Sequence[AccountPeriod], *, up_to: int
) -> list[Group]:
    """Those of the account periods that are of plain accounts, in groups of those whose bills are alike.

    An account with several periods here may have to look back at one of them; and so may any that has bills, but for
    what `pipeline.last_bills` finds."""
    times = Counter(each.account_id for each in periods)
    places = {
        each.account_id: place
        for place, each in enumerate(periods)
        if times[each.account_id] == 1 and each.frequency.has_periods and not each.grouping
    }
    if not places:
        return []
    others = records.referred_to(NO_MATTER, sorted(places)) | _with_memos(records, periods)
    ids = sorted(places.keys() - others)
    looking = pasts(records, usage, [periods[places[id_]] for id_ in ids], up_to=up_to)
    found = read_accounts(records.texts(Account, "id", ids), records.texts(AccountPlan, "account_id", ids))
    plain = ((places[id_], each._replace(past=looking[id_])) for id_, _, each in found if each and id_ in looking)
    return groups(sorted(plain), periods)


def _with_memos(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> set[str]:
    """The accounts of those of the periods that there are memos for: of bills that were deleted."""
    if not records.find(BillMemo, Where(), Page(size=1)).rows:
        return set()
    accounts = {bill_id(records.organization_id, each.key): each.account_id for each in periods}
    return {accounts[each.value.bill_id] for each in records.every(BillMemo, Where(equal={"bill_id": list(accounts)}))}
