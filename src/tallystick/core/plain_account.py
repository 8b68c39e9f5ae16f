"""Accounts of which as much is read as their bills depend on, where that is little: they have one plan and no more.

Of many accounts nearly all differ in nothing but their ids, their codes and their usage. Their bills are of one
likeness (`core.alike`), so it is found out for one of them what all are due; of each other one only this is needed.
What makes an account plain is said here as far as it says so itself; that nothing else refers to it, or was made of it,
has to be asked (`pipeline.plain`). To leave an account out costs time, nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from tallystick.core.account import ChildBillingMode
from tallystick.core.bill import bill_id
from tallystick.core.cast import NO_BILL_BEFORE, Owner, owner_of
from tallystick.core.entity import Text
from tallystick.core.period import Frequency, Instant, Period
from tallystick.core.terms import AccountPeriod, Terms
from tallystick.core.wire import decode

# The longest that a billing period of an interval of 1 lasts, and a day for the time zone.
_LONGEST = {Frequency.DAILY: 2, Frequency.WEEKLY: 8, Frequency.MONTHLY: 32, Frequency.ANNUALLY: 367}
FOR_EVER = ""
AT_ONCE = 1_000  # texts that are read together

T = TypeVar("T")


class _Account(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """As much of an account as its bills depend on, besides its credit."""

    code: str
    parent_account_id: str | None = None
    bill_epoch: str | None = None
    currency: str | None = None
    days_before_bill_due: int | None = None
    purchase_order_number: str | None = None


class _AccountPlan(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """As much of an account plan."""

    account_id: str
    start_date: str
    plan_id: str | None = None
    plan_group_id: str | None = None
    contract_id: str | None = None
    end_date: str | None = None
    bill_epoch: str | None = None
    child_billing_mode: str | None = None


class _Fees(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """By what the fees of a commitment are billed."""

    account_id: str
    billing_plan_id: str | None = None
    fee_dates: tuple[Any, ...] = ()


class _Own(NamedTuple):
    """What an account plan says of bills."""

    plan_id: str
    bill_epoch: str | None
    start: str
    end: str


class Agreed(NamedTuple):
    """What bills depend on: the plan, where its billing periods are laid from, and what accounts say of their bills."""

    plan_id: str
    bill_epoch: str | None
    currency: str | None
    days_before_bill_due: int | None
    purchase_order_number: str | None


class Past(NamedTuple):
    """What the bill of an account looks back at: what those have in common that are of one likeness, the closed bill
    before in JSON (see `core.cast.Owner`), and what it is done with once it is kept."""

    common: tuple[str, bytes | None] | None
    before: str
    revisits: tuple[str, ...]


NO_PAST = Past(None, NO_BILL_BEFORE, ())


class PlainAccount(NamedTuple):
    """An account with its one account plan, and from when to when (as written, "" for ever) that is in force."""

    id: str
    version: int
    code: str
    account_plan_id: str
    account_plan_version: int
    agreed: Agreed
    start: str
    end: str
    past: Past = NO_PAST


# Accounts that agreed to the same and look back at the same, each with the place of its period.
Group = list[tuple[int, PlainAccount]]


def read_accounts(
    accounts: Iterable[Text], account_plans: Iterable[Text]
) -> Iterator[tuple[str, str, PlainAccount | None]]:
    """Id and code of each account, given all account plans that they have; and those that are plain by themselves.

    What several have in common is kept once."""
    owned: dict[str, tuple[str, int, _Own] | None] = {}
    common: dict[Any, Any] = {}
    for (id_, version, _), plan in _read(list[_AccountPlan], account_plans):
        shared = plan.plan_group_id or plan.contract_id or plan.child_billing_mode == ChildBillingMode.CHILD
        alone = not shared and plan.account_id not in owned
        own = _Own(plan.plan_id or "", plan.bill_epoch, plan.start_date, plan.end_date or FOR_EVER)
        owned[plan.account_id] = (id_, version, common.setdefault(own, own)) if alone else None
    for (id_, version, _), account in _read(list[_Account], accounts):
        found = owned.get(id_)
        if found is None or account.parent_account_id is not None:
            yield id_, account.code, None
            continue
        account_plan_id, account_plan_version, own = found
        agreed = Agreed(
            own.plan_id,
            own.bill_epoch or account.bill_epoch,
            account.currency,
            account.days_before_bill_due,
            account.purchase_order_number,
        )
        agreed = common.setdefault(agreed, agreed)
        plain = PlainAccount(
            id_, version, account.code, account_plan_id, account_plan_version, agreed, own.start, own.end
        )
        yield id_, account.code, plain


def with_fees(commitments: Iterable[Text]) -> set[str]:
    """The accounts (ids) of those of the commitments that have fees."""
    return {each.account_id for _, each in _read(list[_Fees], commitments) if each.billing_plan_id or each.fee_dates}


def _read(of: type[list[T]], texts: Iterable[Text]) -> Iterator[tuple[Text, T]]:
    """Texts with as much as is read of them, many at once."""
    rest = iter(texts)
    while some := list(islice(rest, AT_ONCE)):
        yield from zip(some, decode(of, f"[{','.join(body for _, _, body in some)}]"), strict=True)


def of_one_life(group: Group) -> Group:
    """Those of a group that have been in force as long as the first, to the instant."""
    first = group[0][1]
    return [one for one in group if (one[1].start, one[1].end) == (first.start, first.end)]


def by_start(group: Group, moments: Sequence[Instant]) -> list[Group]:
    """A group in parts, that of the first before all others: those of each came into force with the same of these
    moments behind them, which rise."""

    @cache
    def behind(start: str) -> int:
        return bisect_right(moments, Instant.parse(start))

    parts: dict[int, Group] = {}
    for one in group if moments else ():
        parts.setdefault(behind(one[1].start), []).append(one)
    return list(parts.values()) or [group]


def groups(accounts: Iterable[tuple[int, PlainAccount]], periods: Sequence[AccountPeriod]) -> list[Group]:
    """Plain accounts, each with the place of its period, in groups of those that give bills of one likeness; where it
    matters how long a plan has been in force, those of each group `of_one_life` do, and those of its parts `by_start`
    where prices of the plan have ended."""
    found: dict[Hashable, Group] = {}
    edges: dict[tuple[Frequency, int, Period], tuple[str, str]] = {}
    for place, account in accounts:
        of = periods[place]
        grid_period = of.frequency, of.interval, of.period
        if grid_period not in edges:
            edges[grid_period] = _edges(of)
        early, late = edges[grid_period]
        start = FOR_EVER if account.start <= early else account.start
        end = FOR_EVER if account.end >= late else account.end
        key = account.agreed, start, end, grid_period, of.parameters, account.past.common
        found.setdefault(key, []).append((place, account))
    return list(found.values())


def follows(terms: Terms, past: Past) -> bool:
    """Whether the bill of these terms looks back at the past that was read of its account: at the bill of the period
    before, as the grid of its plan has it, where there is one."""
    if owner_of(terms).before != past.before:
        return False
    if past.common is None:
        return True
    grid, of = terms.account_plans[0].grid, terms.of
    previous = msgspec.structs.replace(of, period=grid.previous(of.period))
    return (grid.frequency, grid.interval) == (of.frequency, of.interval) and (
        past.common[0] == previous.key.removeprefix(of.account_id)
    )


def _edges(of: AccountPeriod) -> tuple[str, str]:
    """Texts of instants before which a period before has begun, and after which one after has ended: bills are the same
    however long before and after them a plan is in force (see `core.alike`)."""
    longest = timedelta(days=_LONGEST[of.frequency] * of.interval)
    return (Instant.of(of.period.start - longest).wire(), Instant.of(of.period.end + longest).wire())


def owner(account: PlainAccount, of: AccountPeriod, organization_id: str) -> Owner:
    """Whose the bill of a plain account is."""
    return Owner(
        account.id,
        account.version,
        account.code,
        account.account_plan_id,
        account.account_plan_version,
        of,
        of.key,
        bill_id(organization_id, of.key),
        account.past.before,
        account.past.revisits,
    )
