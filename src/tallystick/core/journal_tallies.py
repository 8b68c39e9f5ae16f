"""What journal entries come to: by month and account, by credit, and as trial balances."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

import msgspec

from tallystick.core.accounting import Role
from tallystick.core.journal import EntryType, JournalEntry, JournalLine, ProductOf
from tallystick.core.quantity import ZERO, add, negate, subtract, tidy

TALLIES, CREDIT_TALLIES = "journaltally", "credittally"


class Tally(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was booked in one month on one account, for one role, product and currency: document kind `journaltally`."""

    month: str
    currency: str
    role: Role
    account_code: str
    account_name: str
    debit: Decimal
    credit: Decimal
    product: ProductOf | None = None

    @property
    def key(self) -> str:
        """What it is the tally of."""
        parts = (self.month, self.currency, self.role, self.account_code, self.product.id if self.product else "")
        return "/".join(parts)


class CreditTally(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became in one month of what was paid for a commitment or a balance: `added` and `drawn` by what was booked,
    `expired` as breakage; none of them negative but for reversals. Document kind `credittally`."""

    credit_id: str
    account_id: str
    month: str
    currency: str
    added: Decimal
    drawn: Decimal
    expired: Decimal

    @property
    def key(self) -> str:
        """What it is the tally of."""
        return f"{self.credit_id}/{self.month}/{self.currency}"

    @property
    def change(self) -> Decimal:
        """By how much there is more of it at the end of the month."""
        return subtract(subtract(self.added, self.drawn), self.expired)


def tallies_of(entries: Iterable[JournalEntry]) -> dict[str, Tally]:
    """What entries come to, by key."""
    found: dict[str, Tally] = {}
    for entry in entries:
        for line in entry.lines:
            tally = Tally(
                month=entry.month,
                currency=entry.currency,
                role=line.role,
                account_code=line.account_code,
                account_name=line.account_name,
                debit=line.debit,
                credit=line.credit,
                product=line.product,
            )
            found[tally.key] = added(found.get(tally.key), tally)
    return found


def added(before: Tally | None, more: Tally) -> Tally:
    """Two tallies of the same in one, under the latest name."""
    if before is None:
        return more
    return msgspec.structs.replace(more, debit=add(before.debit, more.debit), credit=add(before.credit, more.credit))


def credit_tallies_of(
    entries: Iterable[JournalEntry], reversed_types: Mapping[str, EntryType]
) -> dict[str, CreditTally]:
    """What entries come to for each credit, by key. A reversal counts as less of what it reverses; `reversed_types`
    says what that was, by the id of the entry."""
    found: dict[str, CreditTally] = {}
    for entry in entries:
        type_ = reversed_types[entry.reverses] if entry.reverses else entry.type
        for line in entry.lines:
            if line.role is Role.PREPAID_CREDIT and line.credit_id is not None:
                tally = _credit_tally(entry, line, line.credit_id, type_)
                found[tally.key] = credit_added(found.get(tally.key), tally)
    return found


def _credit_tally(entry: JournalEntry, line: JournalLine, credit_id: str, type_: EntryType) -> CreditTally:
    """A line of an entry on credit: in a bill a credit is a fee and a debit a draw."""
    gained = line.amount if entry.reverses else negate(line.amount)  # by what was booked first
    put_in = type_ is EntryType.CREDIT or (type_ is not EntryType.BREAKAGE and gained > 0)
    parts = {
        "added": gained if put_in else ZERO,
        "drawn": negate(gained) if not put_in and type_ is not EntryType.BREAKAGE else ZERO,
        "expired": negate(gained) if type_ is EntryType.BREAKAGE else ZERO,
    }
    return CreditTally(
        credit_id=credit_id,
        account_id=entry.account_id,
        month=entry.month,
        currency=entry.currency,
        **{name: negate(amount) if entry.reverses else amount for name, amount in parts.items()},
    )


def credit_added(before: CreditTally | None, more: CreditTally) -> CreditTally:
    """Two tallies of the same credit and month in one."""
    if before is None:
        return more
    return msgspec.structs.replace(
        more,
        added=add(before.added, more.added),
        drawn=add(before.drawn, more.drawn),
        expired=add(before.expired, more.expired),
    )


class TrialBalanceRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened on one account in one currency. `opening` and `closing` are above zero for a debit."""

    currency: str
    account_code: str
    account_name: str
    roles: tuple[Role, ...]
    opening: Decimal
    debit: Decimal
    credit: Decimal
    closing: Decimal


def trial_balance(tallies: Collection[Tally], start: str | None, end: str | None) -> tuple[TrialBalanceRow, ...]:
    """The trial balance of the months from `start` to `end`, both inclusive and open where None, by currency and code:
    in each currency openings, turnovers and closings add up to zero."""
    rows: dict[tuple[str, str], TrialBalanceRow] = {}
    for each in sorted(tallies, key=lambda tally: (tally.month, tally.key)):
        if end is not None and each.month > end:
            continue
        before = start is not None and each.month < start
        key = (each.currency, each.account_code)
        row = rows.get(key) or _empty_row(each)
        net = subtract(each.debit, each.credit)
        rows[key] = msgspec.structs.replace(
            row,
            account_name=each.account_name,
            roles=tuple(sorted({*row.roles, each.role})),
            opening=tidy(add(row.opening, net)) if before else row.opening,
            debit=row.debit if before else tidy(add(row.debit, each.debit)),
            credit=row.credit if before else tidy(add(row.credit, each.credit)),
            closing=tidy(add(row.closing, net)),
        )
    return tuple(rows[key] for key in sorted(rows))


def _empty_row(tally: Tally) -> TrialBalanceRow:
    return TrialBalanceRow(
        currency=tally.currency,
        account_code=tally.account_code,
        account_name=tally.account_name,
        roles=(),
        opening=ZERO,
        debit=ZERO,
        credit=ZERO,
        closing=ZERO,
    )


class RevenueRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was earned in a month on one account for one product: below zero where more was taken back."""

    month: str
    currency: str
    role: Role
    account_code: str
    account_name: str
    amount: Decimal
    product: ProductOf | None = None


EARNED = frozenset({Role.REVENUE, Role.BREAKAGE, Role.DISCOUNTS, Role.CREDIT_MEMOS})


def revenue_rows(tallies: Iterable[Tally], start: str | None, end: str | None) -> tuple[RevenueRow, ...]:
    """Revenue by month, with what stands against it, of the months from `start` to `end`, both inclusive."""
    found = [
        RevenueRow(
            month=each.month,
            currency=each.currency,
            role=each.role,
            account_code=each.account_code,
            account_name=each.account_name,
            amount=tidy(subtract(each.credit, each.debit)),
            product=each.product,
        )
        for each in sorted(tallies, key=lambda tally: tally.key)
        if each.role in EARNED and (start is None or each.month >= start) and (end is None or each.month <= end)
    ]
    return tuple(each for each in found if each.amount)


class RollForwardRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How what is held back moves in a month: `opening` + `added` − `released` = `closing`, by product.

    Of deferred revenue `added` is what was billed and `released` what was earned; of prepaid credit, fees and
    transactions, and draws and breakage; of unbilled receivables, what was earned, and what was billed.
    """

    month: str
    currency: str
    role: Role
    opening: Decimal
    added: Decimal
    released: Decimal
    closing: Decimal
    product: ProductOf | None = None


HELD = frozenset({Role.DEFERRED_REVENUE, Role.PREPAID_CREDIT, Role.UNBILLED})


def roll_forward(tallies: Iterable[Tally], start: str | None, end: str | None) -> tuple[RollForwardRow, ...]:
    """What is held back, month by month from `start` to `end`, both inclusive: by currency, role and product, every
    month in which there is any of it."""
    mine: dict[tuple[str, str, str], dict[str, list[Tally]]] = {}
    months: set[str] = set()
    for each in tallies:
        if each.role in HELD:
            key = (each.currency, each.role.value, each.product.id if each.product else "")
            mine.setdefault(key, {}).setdefault(each.month, []).append(each)
            months.add(each.month)
    rows: list[RollForwardRow] = []
    for _, by_month in sorted(mine.items()):
        opening = ZERO
        for month in sorted(months):
            row = _rolled(month, next(iter(by_month.values()))[0], by_month.get(month, ()), opening)
            opening = row.closing
            wanted = (start is None or month >= start) and (end is None or month <= end)
            if wanted and (row.opening or row.added or row.released):
                rows.append(row)
    return tuple(rows)


def _rolled(month: str, like: Tally, tallies: Iterable[Tally], opening: Decimal) -> RollForwardRow:
    debit, credit = ZERO, ZERO
    for each in tallies:
        debit, credit = add(debit, each.debit), add(credit, each.credit)
    added_, released = (debit, credit) if like.role is Role.UNBILLED else (credit, debit)
    return RollForwardRow(
        month=month,
        currency=like.currency,
        role=like.role,
        opening=opening,
        added=tidy(added_),
        released=tidy(released),
        closing=tidy(subtract(add(opening, added_), released)),
        product=like.product,
    )


class DrawdownRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a commitment or balance in a month: `opening` + `added` − `drawn` − `expired` = `closing`.

    Below zero more was drawn than was billed so far, as where a commitment is billed in parts.
    """

    credit_id: str
    account_id: str
    month: str
    currency: str
    opening: Decimal
    added: Decimal
    drawn: Decimal
    expired: Decimal
    closing: Decimal


def drawdowns(wanted: Iterable[CreditTally], every: Iterable[CreditTally]) -> tuple[DrawdownRow, ...]:
    """Tallies of credits with what there was before: `every` has all of the same credits."""
    by_credit: dict[tuple[str, str], list[CreditTally]] = {}
    for each in every:
        by_credit.setdefault((each.credit_id, each.currency), []).append(each)
    rows: list[DrawdownRow] = []
    for each in wanted:
        opening = ZERO
        for other in by_credit.get((each.credit_id, each.currency), ()):
            opening = add(opening, other.change) if other.month < each.month else opening
        rows.append(
            DrawdownRow(
                credit_id=each.credit_id,
                account_id=each.account_id,
                month=each.month,
                currency=each.currency,
                opening=tidy(opening),
                added=tidy(each.added),
                drawn=tidy(each.drawn),
                expired=tidy(each.expired),
                closing=tidy(add(opening, each.change)),
            )
        )
    return tuple(rows)
