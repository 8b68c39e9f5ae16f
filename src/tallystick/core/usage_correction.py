"""Corrections of usage: measurements that are withdrawn, replaced or added together, after somebody has looked at what
that does to the bills. The originals stay in the journal (docs/decisions/0400-corrections.md)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tallystick.core.entity import Id, Value
from tallystick.core.measurement import MAPS, MAX_UID
from tallystick.core.period import Frequency, Instant
from tallystick.core.quantity import ZERO, add

MOST_CHANGES = 20_000  # of one correction
MOST_AT_ONCE = 1_000  # changes of one request
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Uid = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UID)]


class CorrectionStatus(StrEnum):
    DRAFT = "DRAFT"  # looked at; nothing has changed
    APPLYING = "APPLYING"  # decided: it is being written
    APPLIED = "APPLIED"
    DISCARDED = "DISCARDED"


class CorrectionSource(StrEnum):
    """Where the changes of a correction came from."""

    CHANGES = "CHANGES"  # named one by one
    FILTER = "FILTER"  # what a filter found
    UPLOAD = "UPLOAD"
    RECONCILIATION = "RECONCILIATION"


class EntryKind(StrEnum):
    WITHDRAW = "WITHDRAW"  # a measurement is taken out
    ADD = "ADD"  # a measurement is added, in the place of another one or by itself


class Change(Value, frozen=True, kw_only=True):
    """One change: the measurement with this `uid` is withdrawn, and with a `measurement` replaced by it. Parts that the
    replacement leaves out are those of the original. Without a uid of the original, the measurement is added."""

    uid: Uid | None = None
    measurement: dict[str, Any] | None = None

    def check(self) -> None:
        if self.uid is None and self.measurement is None:
            raise ValueError("uid: name the measurement to withdraw, or give one to add")


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry that a correction writes into the journal. With a `problem` it is left out.

    `values` are the measurement's fields, for people. A withdrawal has the `position` of what it takes out; what is
    added has its JSON, and the uid of the original that it `replaces`, if there is one.
    """

    number: int
    kind: EntryKind
    uid: str
    account_id: str = ""
    account_code: str = ""
    meter_id: str = ""
    meter_code: str = ""
    ts: Instant | None = None
    values: dict[str, str] = {}
    position: int | None = None
    replaces: str | None = None
    measurement: dict[str, Any] | None = None
    problem: str | None = None


class MoneyEffect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a correction comes to in one currency: on bills that are made anew, and on memos of bills that stay."""

    currency: str
    bills: int
    rerated: Decimal
    memos: Decimal

    @property
    def total(self) -> Decimal:
        """Both together: below zero the customers pay less."""
        return add(self.rerated, self.memos)


class UsageCorrection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A correction. `previewed` says whether the effects tell of all its changes, with the usage up to `up_to`.

    Once APPLIED, `position` is where the journal has all of it.
    """

    id: str
    version: int
    status: CorrectionStatus
    source: CorrectionSource
    reason: str
    withdrawals: int
    additions: int
    problems: int
    accounts: int
    previewed: bool
    up_to: int
    effects: tuple[MoneyEffect, ...]
    memos: int
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    last_modified_by: str
    source_id: str | None = None
    failures: int = 0  # bills whose effect cannot be told
    position: int | None = None
    dt_applied: Instant | None = None
    applied_by: str | None = None
    dt_discarded: Instant | None = None
    discarded_by: str | None = None

    @property
    def entries(self) -> int:
        """How many entries it has, with those that are left out."""
        return self.withdrawals + self.additions + self.problems


class Settlement(StrEnum):
    """How a bill comes to what it should be."""

    RERATE = "RERATE"  # at its next run or recalculation
    MEMO = "MEMO"  # it stays, and a memo is drafted


class LineEffect(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A line of a bill before and after, in the currency of the bill. `late` is what usage that came late, and that no
    bill has taken up yet, comes to besides: a memo settles both."""

    description: str
    before: Decimal
    after: Decimal
    difference: Decimal
    late: Decimal
    line_item_id: str | None = None
    units_before: Decimal | None = None
    units_after: Decimal | None = None
    unit: str = ""


class BillEffect(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a correction does to one bill. Without a `bill_id` there is none yet. `difference` is of the correction
    alone; a memo is that and `late`. With a `failure` nobody can say."""

    account_id: str
    account_code: str
    billing_frequency: Frequency
    start_date_time_utc: Instant = msgspec.field(name="startDateTimeUTC")
    end_date_time_utc: Instant = msgspec.field(name="endDateTimeUTC")
    currency: str
    settlement: Settlement
    before: Decimal
    after: Decimal
    difference: Decimal
    late: Decimal
    bill_id: str | None = None
    status: str | None = None
    locked: bool = False
    lines: tuple[LineEffect, ...] = ()
    memo_id: str | None = None
    failure: str | None = None

    @property
    def memo(self) -> Decimal:
        """What its memo comes to; nothing for a bill that is made anew."""
        return add(self.difference, self.late) if self.settlement is Settlement.MEMO else ZERO


def with_effects(effects: tuple[MoneyEffect, ...], bills: tuple[BillEffect, ...]) -> tuple[MoneyEffect, ...]:
    """Totals with some more bills, by currency."""
    found = {each.currency: each for each in effects}
    for each in bills:
        if each.failure is not None:
            continue
        before = found.get(each.currency, MoneyEffect(currency=each.currency, bills=0, rerated=ZERO, memos=ZERO))
        rerated = each.difference if each.settlement is Settlement.RERATE else ZERO
        found[each.currency] = MoneyEffect(
            currency=each.currency,
            bills=before.bills + 1,
            rerated=add(before.rerated, rerated),
            memos=add(before.memos, each.memo),
        )
    return tuple(found[currency] for currency in sorted(found))


def replacement(original: Mapping[str, Any], changed: Mapping[str, Any], uid: str) -> dict[str, Any]:
    """The JSON of what replaces a measurement: the original with some parts changed, under a uid of its own. A value
    of null takes a field out of its map, or a part out of the measurement."""
    made = dict(original)
    for name, value in changed.items():
        if name in MAPS and isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = {code: each for code, each in {**made[name], **value}.items() if each is not None}
        else:
            made[name] = value
    made["uid"] = changed.get("uid") or uid
    return {name: value for name, value in made.items() if value is not None and value != {}}


class MemoStatus(StrEnum):
    """How far the memo of a correction is."""

    DRAFT = "DRAFT"  # the difference is set aside for it: no later bill charges it as late usage
    ISSUED = "ISSUED"  # its lines are charges, which stand on the next bill
    DISCARDED = "DISCARDED"  # the next bill takes the difference up as late usage


class MemoMark(Value, frozen=True, kw_only=True):
    """Which line of which bill a charge corrects, and on which memo. Credit pays for it as it would have for that
    line (docs/decisions/0402-memos-of-corrections.md)."""

    memo_id: Id
    bill_id: Id
    line_item_id: Id
    counts_as: str | None = None
    named: dict[str, str] | None = None
    segment: dict[str, str] | None = None


class MemoLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A line of a memo, for a line of its bill: `amount` is `now` less what was `billed` and adjusted `elsewhere`."""

    line_item_id: str
    description: str
    billed: Decimal
    elsewhere: Decimal
    now: Decimal
    amount: Decimal
    charge_id: str | None = None
    mark: MemoMark | None = None  # what its charge says of the line that it corrects


class CorrectionMemo(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A credit or debit memo that a correction drafted for a bill which stays as it is: document kind
    `correctionmemo`. Its lines add up to `total`, below zero for a credit; `corrected_total` is that of the bill,
    with all that was adjusted of it before and this memo."""

    id: str
    version: int
    correction_id: str
    account_id: str
    account_code: str
    bill_id: str
    line_item_type: str
    status: MemoStatus
    currency: str
    total: Decimal
    bill_total: Decimal
    corrected_total: Decimal
    up_to: int
    lines: tuple[MemoLine, ...]
    dt_created: Instant
    created_by: str
    dt_last_modified: Instant
    last_modified_by: str
    reason: str = ""
    dt_issued: Instant | None = None
    issued_by: str | None = None
