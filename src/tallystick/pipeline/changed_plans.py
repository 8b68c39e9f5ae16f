"""Which of very many plain accounts have a bill before that may have to do with a change of their plan since.

What becomes of it is for `pipeline.before.periods_to_revisit` to say, which stays the reference: it is asked about
those that are found here. Of all others as much is read as tells that their plan is still what the bill was made of;
where that is closed, not even that (docs/decisions/0580-listing-with-bills.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tallystick.core.account import AccountPlan
from tallystick.core.entity import Used
from tallystick.core.moulding import uses_account_plan
from tallystick.core.organization import OrganizationConfig
from tallystick.core.period import Instant
from tallystick.core.plain_account import PlainAccount
from tallystick.core.wire import decode
from tallystick.pipeline.last_bills import BILL, is_closed
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import DocumentWhere, Kept, OrganizationRecords

AT_ONCE = 2_000  # accounts
EVERY = 1_000_000_000  # more bills than there are


class _Uses(msgspec.Struct, frozen=True):
    uses: tuple[Used, ...]


class _Made(msgspec.Struct, frozen=True):
    """A stored bill read without its lines: what it was made of."""

    evidence: _Uses


class Before(NamedTuple):
    """The bill of the period before the one that is billed: its period key without the account, and where it ends;
    and whether the plan ends with the period that is billed, or has ended before."""

    key: str
    end: Instant
    plan_ends: bool


def changed_plans(
    records: OrganizationRecords, config: OrganizationConfig, before: Before, accounts: Sequence[PlainAccount]
) -> Iterator[str]:
    """Those of the accounts (ids) that have such a bill, where their plan ends or is not the one that the bill, which
    is open, was made of."""
    for first in range(0, len(accounts), AT_ONCE):
        some = {each.id: each for each in accounts[first : first + AT_ONCE]}
        end = before.end.wire()
        where = DocumentWhere(equal={"account_id": list(some)}, between={"sort": (end, end)})
        rows = records.keys_of(BILL, where, ("id", "account_id", "period_key", "status", "locked"), EVERY)
        mine = [row for row in rows if row[2] == f"{row[1]}{before.key}"]
        found = records.kept(EMPTY, where, ("account_id",))  # suppressed ones are as good as open
        if before.plan_ends:
            yield from {row[1] or "" for row in mine}
            yield from {each.keys[0] or "" for each in found}
        else:
            ids = [id_ or "" for id_, _, _, status, locked in mine if not is_closed(config, status, locked)]
            found += records.kept(BILL, DocumentWhere(equal={"id": ids}), ("account_id",))
            yield from _changed(found, some)


def _changed(bills: Collection[Kept], accounts: Mapping[str, PlainAccount]) -> Iterator[str]:
    """The accounts of those of the bills that were made of another account plan than there is now."""
    for each in bills:
        account = accounts[each.keys[0] or ""]
        now = Used(AccountPlan.kind, account.account_plan_id, account.account_plan_version)
        if each.stencil is None:
            same = now in decode(_Made, each.text).evidence.uses
        else:
            same = uses_account_plan(each.stencil, each.text, now)
        if not same:
            yield account.id
