"""What new bills of many accounts look back at, where that is little: the bill of the period before, and nothing late.

Of that bill only what the next one depends on is read, and where bills are kept as what fills a stencil
(`core.stencil`), once for all of the same text. Whoever has more to look back at is left to `pipeline.lookback` and
`pipeline.before`, which stay the reference (docs/decisions/0579-groups-with-bills.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from tallystick.core.adjustment import KIND as ADJUSTMENT
from tallystick.core.bill import BillBefore, BillStatus, LineItem, bill_id
from tallystick.core.organization import OrganizationConfig
from tallystick.core.paid_ahead import IN_ADVANCE, paid_ahead
from tallystick.core.period import Instant
from tallystick.core.plain_account import NO_PAST, Past
from tallystick.core.revisit import KIND as REVISIT
from tallystick.core.revisit import Reason, Revisit, awaits
from tallystick.core.stencil import HOLE
from tallystick.core.terms import AccountPeriod
from tallystick.core.wire import decode, encode
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import DocumentWhere, Kept, OrganizationRecords
from tallystick.ports.founded import config_of
from tallystick.ports.usage import Measuring

BILL = "bill"
_SECONDS = len("2023-11-01T00:00:00")  # as far as moments are in order as texts, too
FEWEST = 4  # accounts that are asked about together


class _Looked(msgspec.Struct, frozen=True, rename="camel"):
    up_to: int
    late_levels: str = ""


class _Open(msgspec.Struct, frozen=True):
    """A stored bill read without its lines: up to where it has looked. None of it is in a hole of a mould."""

    evidence: _Looked


class _Line(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    line_item_type: str
    service_period_start_date: str | None = None


class _Lines(msgspec.Struct, frozen=True, rename="camel"):
    line_items: tuple[_Line, ...]


class _Closed(msgspec.Struct, frozen=True):
    """A closed bill read with as much of its lines as says which are in advance."""

    bill: _Lines
    evidence: _Looked


class _LineItems(msgspec.Struct, frozen=True, rename="camel"):
    line_items: tuple[LineItem, ...]


class _Whole(msgspec.Struct, frozen=True):
    bill: _LineItems


class _Last(NamedTuple):
    """The bill before: its period key without the account, up to where it has looked, and, where it is closed, what
    the next bill says of it, and its lines in advance without their ids."""

    key: str
    up_to: int
    before: str | None
    ahead: bytes | None


def pasts(
    records: OrganizationRecords, usage: Measuring, periods: Iterable[AccountPeriod], *, up_to: int
) -> dict[str, Past]:
    """By account what the bills of these periods, one for each account and of no grouping, look back at. Accounts that
    have more to look back at than the bill of the period before are left out."""
    config = config_of(records)
    by_start: dict[Instant, list[AccountPeriod]] = {}
    for each in periods:
        by_start.setdefault(each.period.start, []).append(each)
    found: dict[str, Past] = {}
    for start, some in by_start.items():
        last, others = _last_bills(records, start, some, config.value)
        new = [each.account_id for each in some if each.account_id not in last and each.account_id not in others]
        found |= dict.fromkeys(set(new) - with_bills(records, new), NO_PAST)
        found |= _looking(records, usage, start, last, adjusts=config.value.adjusts_next_bill, up_to=up_to)
    for account_id in _adjusting(records, [each for each in periods if each.account_id in found]):
        del found[account_id]
    return found


def with_bills(records: OrganizationRecords, account_ids: Sequence[str]) -> set[str]:
    """Those of the accounts that have bills, or of which something is kept beside bills (of those that are of no
    grouping): bills of all others have nothing to look back at."""
    found: set[str] = set()
    for kind in (BILL, EMPTY, ADJUSTMENT):
        found |= _named(records, kind, "account_id", account_ids)
    waiting = [awaits(account_id, "", why) for account_id in account_ids for why in Reason]
    return found | {key.partition("/")[0] for key in _named(records, REVISIT, "awaits", waiting)}


def is_closed(config: OrganizationConfig, status: str | None, locked: str | None) -> bool:
    """Whether a bill with these keys takes nothing more (see `pipeline.placing.is_closed`)."""
    return locked == "true" or (config.adjusts_next_bill and status == BillStatus.APPROVED)


def _named(records: OrganizationRecords, kind: str, key: str, values: Sequence[str]) -> set[str]:
    """Those of the values of a key that documents of a kind have; all of them where there are more documents than
    values: to tell which is not worth it then."""
    rows = records.keys_of(kind, DocumentWhere(equal={key: values}), (key,), len(values))
    return set(values) if len(rows) > len(values) else {value for (value,) in rows if value is not None}


def _adjusting(records: OrganizationRecords, periods: Sequence[AccountPeriod]) -> list[str]:
    """The accounts of those of the bills that adjust others already: they were there before."""
    with_any = _named(records, ADJUSTMENT, "account_id", [each.account_id for each in periods])
    some = (each for each in periods if each.account_id in with_any)
    accounts = {bill_id(records.organization_id, each.key): each.account_id for each in some}
    return [accounts[id_] for id_ in _named(records, ADJUSTMENT, "bill_id", list(accounts))]


# ------------------------------------------------------------------------------------------------------ bills


def _last_bills(
    records: OrganizationRecords, start: Instant, periods: Sequence[AccountPeriod], config: OrganizationConfig
) -> tuple[dict[str, _Last], set[str]]:
    """By account the bill that ended where all of these periods begin; and the accounts that have others then or after
    it, the very bill of the period among them."""
    of = {each.account_id: each for each in periods}
    where = DocumentWhere(equal={"account_id": list(of)}, between={"sort": (start.wire(), None)})
    ends = f"/{start.wire()}"
    found: dict[str, _Last] = {}
    others: set[str] = set()
    same: dict[tuple[str, str], _Looked] = {}
    for kept in records.kept(BILL, where, ("id", "account_id", "period_key", "status", "locked")):
        id_, account_id, period_key, status, locked = kept.keys
        assert id_, "each bill has an id"
        assert account_id, "each bill has an account"
        key = (period_key or "").removeprefix(account_id)
        begins = f"/{of[account_id].frequency}/{of[account_id].interval}/"
        if account_id in found or not (key.startswith(begins) and key.endswith(ends)):
            others.add(account_id)
            continue
        closed = is_closed(config, status, locked)
        looked, ahead = _closed(kept, start) if closed else (_open(kept, same), ())
        before = encode((BillBefore(bill_id=id_, end=start, lines=ahead),)).decode() if closed else None
        plain = encode([msgspec.structs.replace(line, id="") for line in ahead]) if closed else None
        if looked.late_levels:
            others.add(account_id)
        found[account_id] = _Last(key, looked.up_to, before, plain)
    for account_id in others & found.keys():
        del found[account_id]
    return found, others


def _open(kept: Kept, same: dict[tuple[str, str], _Looked]) -> _Looked:
    """Up to where an open bill has looked; `same` are those that were read already, by their stencils and the pieces
    that they are made of."""
    if kept.stencil is None:
        return decode(_Open, kept.text).evidence
    text = kept.stencil.id, kept.text.partition(HOLE)[0]
    found = same.get(text)
    if found is None:
        found = same[text] = decode(_Open, kept.body).evidence
    return found


def _closed(kept: Kept, end: Instant) -> tuple[_Looked, tuple[LineItem, ...]]:
    """Up to where a closed bill has looked, and its lines in advance."""
    body = kept.text if kept.stencil is None else kept.body
    found, second = decode(_Closed, body), end.wire()[:_SECONDS]
    for each in found.bill.line_items:
        starts = each.service_period_start_date or ""
        if each.line_item_type in IN_ADVANCE and starts[:_SECONDS] >= second:
            return found.evidence, paid_ahead(decode(_Whole, body).bill.line_items, end)
    return found.evidence, ()


# ------------------------------------------------------------------------------------------------------ looking back


def _looking(
    records: OrganizationRecords,
    usage: Measuring,
    start: Instant,
    last: dict[str, _Last],
    *,
    adjusts: bool,
    up_to: int,
) -> dict[str, Past]:
    """What bills of accounts with a bill before look back at; without those that something happened to since."""
    revisits, others = _waiting(records, start, last.keys(), adjusts=adjusts)
    since: dict[int, list[str]] = {}
    for account_id, each in last.items():
        if account_id not in others:
            for position in {each.up_to, *(one.up_to for one in revisits.get(account_id, ()))}:
                since.setdefault(position, []).append(account_id)
    for position, accounts in since.items():
        if len(accounts) < FEWEST:
            others |= set(accounts)
        elif position < up_to:
            others |= usage.late_accounts(sorted(accounts), before=start, after=position, up_to=up_to).keys()
    return {
        account_id: Past(
            (each.key, each.ahead),
            NO_PAST.before if each.before is None else each.before,
            tuple(one.id for one in revisits.get(account_id, ())),
        )
        for account_id, each in last.items()
        if account_id not in others
    }


def _waiting(
    records: OrganizationRecords, start: Instant, account_ids: Collection[str], *, adjusts: bool
) -> tuple[dict[str, list[Revisit]], set[str]]:
    """By account the final bills that wait to be looked at; and the accounts with others, which were changed."""
    reasons = [Reason.LOCKED, Reason.CHANGED, *([Reason.APPROVED] if adjusts else [])]
    keys = [awaits(account_id, "", why) for account_id in account_ids for why in reasons]
    where = DocumentWhere(equal={"awaits": keys}, between={"sort": (None, start.stamp())})
    found: dict[str, list[Revisit]] = {}
    others: set[str] = set()
    for kept in records.kept(REVISIT, where, ()):
        each = decode(Revisit, kept.body)
        if each.end > start:
            continue
        if each.reason is Reason.CHANGED or each.levels:
            others.add(each.account_id)
        found.setdefault(each.account_id, []).append(each)
    return found, others
