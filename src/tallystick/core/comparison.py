"""A bill against the one before it: what makes the difference, line by line, in parts that add up to it exactly.

Where a line's price list is the very same, all its difference is volume. Where it is another one, volume is what the
difference in quantity comes to at the price before, on average, and price is the rest
(docs/decisions/0286-comparison.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.bill import Bill, BillRecord, LineItem, LineItemType
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import ZERO, add, divide, multiply, subtract, tidy, total
from tallystick.core.wording import money, number
from tallystick.core.working import Rounded
from tallystick.errors import Refusal

HUNDRED, MILLION, BILLION = Decimal(100), Decimal(1_000_000), Decimal(1_000_000_000)
_SCALES = ("thousand ", "million ", "billion ")  # with which units such as "million tokens" begin
PRICED_BY = frozenset({"pricing", "counterpricing", "aggregation", "compoundaggregation"})

MEASURED = frozenset(
    {
        LineItemType.USAGE,
        LineItemType.OVERAGE_USAGE,
        LineItemType.COUNTER_RUNNING_TOTAL_CHARGE,
        LineItemType.COUNTER_ADJUSTMENT_DEBIT,
        LineItemType.COUNTER_ADJUSTMENT_CREDIT,
    }
)
CREDITS = frozenset(
    {
        LineItemType.USAGE_CREDIT,
        LineItemType.COMMITMENT_CONSUMED,
        LineItemType.BALANCE_CONSUMED,
        LineItemType.CREDIT_DEDUCTION,
    }
)
CORRECTIONS = frozenset({LineItemType.MANUAL_ADJUSTMENT, LineItemType.CREDIT_MEMO, LineItemType.DEBIT_MEMO})


class PartKind(StrEnum):
    """Why a part of the difference is there."""

    VOLUME = "VOLUME"  # more or less was used
    PRICE = "PRICE"  # another price list, or rate of conversion
    NEW = "NEW"  # nothing like it is on the bill before
    GONE = "GONE"  # nothing like it is on this bill
    FIXED = "FIXED"  # fees, minimums and other charges that no usage makes
    CREDIT = "CREDIT"  # paid by credit, or taken off
    CORRECTION = "CORRECTION"  # memos, and adjustments for earlier bills


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One part of the difference, in the currency of the bills: what `amount` is due to.

    `before` and `now` are the amounts of the lines (by id) that it is about; the units of what is measured.
    """

    kind: PartKind
    description: str
    amount: Decimal
    before: Decimal
    now: Decimal
    sentence: str
    unit: str = ""
    units_before: Decimal | None = None
    units_now: Decimal | None = None
    segment: dict[str, str] | None = None
    group: dict[str, str] | None = None
    child_account_code: str | None = None
    lines_before: tuple[str, ...] = ()
    lines_now: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A bill and the one before it. `parts` add up to `difference`, the greatest first; `percent` is None where there
    is nothing to take a share of."""

    bill_id: str
    bill_before_id: str | None
    currency: str
    total: Decimal
    total_before: Decimal | None
    difference: Decimal | None
    percent: Decimal | None
    sentence: str
    parts: tuple[Part, ...]


class Like(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one bill that are about the same, and what their price depends on."""

    lines: tuple[LineItem, ...]
    prices: frozenset[tuple[str, object]]

    @property
    def amount(self) -> Decimal:
        """What they come to, in the currency of the bill."""
        return total(each.converted_subtotal for each in self.lines)

    @property
    def units(self) -> Decimal:
        """How much of it, in units."""
        return tidy(total(each.units for each in self.lines))

    @property
    def quantity(self) -> Decimal:
        """How much of it was measured."""
        return total(each.quantity for each in self.lines)


def compare(before: BillRecord | None, now: BillRecord) -> Comparison:
    """What makes the difference between a bill and the one before it; None where it is the first.

    Refusal `rule_broken` for bills in two currencies, which have no difference.
    """
    bill = now.bill
    if before is None:
        return Comparison(
            bill_id=bill.id,
            bill_before_id=None,
            currency=bill.currency,
            total=bill.bill_total,
            total_before=None,
            difference=None,
            percent=None,
            sentence=f"{_amount(bill.bill_total, bill.currency)}: there is no bill before it.",
            parts=(),
        )
    old = before.bill
    require_one_currency(old, bill)
    then, present = alike(before), alike(now)
    decimals = decimals_of(before, now)
    parts = [
        part
        for key in dict.fromkeys((*present, *then))
        for part in _parts(then.get(key), present.get(key), decimals, bill.currency)
        if part.amount
    ]
    parts.sort(key=lambda part: (-abs(part.amount), part.description, part.kind))
    difference = subtract(bill.bill_total, old.bill_total)
    assert difference == total(part.amount for part in parts), "the parts add up to the difference"
    percent = divide(multiply(difference, HUNDRED), old.bill_total) if old.bill_total > 0 else None
    return Comparison(
        bill_id=bill.id,
        bill_before_id=old.id,
        currency=bill.currency,
        total=bill.bill_total,
        total_before=old.bill_total,
        difference=difference,
        percent=percent,
        sentence=_sentence(old, bill, difference, percent, parts),
        parts=tuple(parts),
    )


def require_one_currency(before: Bill, bill: Bill) -> None:
    """Refusal `rule_broken` for bills in two currencies, which have no difference."""
    if before.currency != bill.currency:
        message = f"id: the bill before, {before.id}, is in {before.currency} and this one in {bill.currency}"
        raise Refusal("rule_broken", f"{message}; bills are compared in one currency", field="id")


# ------------------------------------------------------------------------------------------------------ parts


def alike(record: BillRecord) -> dict[tuple[object, ...], Like]:
    """The lines of a bill by what they are about, whatever plan, price list or stretch of the period they are of."""
    versions = {each.id: each.version for each in record.evidence.uses if each.kind in PRICED_BY}
    found: dict[tuple[object, ...], list[LineItem]] = {}
    for line in record.bill.line_items:
        found.setdefault(_about(line), []).append(line)
    return {key: Like(lines=tuple(lines), prices=frozenset(_prices(lines, versions))) for key, lines in found.items()}


def _prices(lines: Iterable[LineItem], versions: dict[str, int]) -> Iterator[tuple[str, object]]:
    """What the price of lines depends on besides how much there is."""
    for line in lines:
        for id_ in (line.pricing_id, line.aggregation_id, line.compound_aggregation_id):
            if id_ is not None:
                yield id_, versions.get(id_)
        yield "rate", tidy(line.conversion_rate)


def _about(line: LineItem) -> tuple[object, ...]:
    type_ = line.line_item_type
    if type_ in CORRECTIONS:
        return type_, line.referenced_bill_id, line.referenced_line_item_id, line.description
    counted = line.aggregation_id or line.compound_aggregation_id or line.counter_id
    credit = line.commitment_id or line.balance_id
    of = (counted, tuple(sorted((line.segment or {}).items())), tuple(sorted((line.group or {}).items())))
    own = line.charge_id or (line.description if type_ is LineItemType.CREDIT_DEDUCTION else None)
    return type_, line.product_id, *of, credit, own, line.child_account_id


def _parts(then: Like | None, now: Like | None, decimals: int, currency: str) -> Iterator[Part]:
    shown = now or then
    assert shown is not None, "what is compared is on one of the bills"
    type_ = shown.lines[0].line_item_type
    before, after = (then.amount if then else ZERO), (now.amount if now else ZERO)
    difference = subtract(after, before)
    if type_ in CREDITS:
        kinds = [(PartKind.CREDIT, difference)]
    elif type_ in CORRECTIONS:
        kinds = [(PartKind.CORRECTION, difference)]
    elif then is None or now is None:
        kinds = [(PartKind.NEW if then is None else PartKind.GONE, difference)]
    elif type_ not in MEASURED:
        kinds = [(PartKind.FIXED, difference)]
    else:
        volume = volume_of(then, now, decimals)
        kinds = [(PartKind.VOLUME, volume), (PartKind.PRICE, subtract(difference, volume))]
    for kind, amount in kinds:
        yield _part(kind, amount, then, now, currency)


def volume_of(then: Like, now: Like, decimals: int) -> Decimal:
    """What of the difference between measured lines is due to how much was used; the rest is due to its price."""
    difference = subtract(now.amount, then.amount)
    if then.prices == now.prices:
        return difference
    more = subtract(now.quantity, then.quantity)
    if not then.quantity or not more:
        return ZERO if not more else difference
    rounding = Rounding(decimals=decimals, mode=RoundingMode.HALF_EVEN)
    return round_money(divide(multiply(then.amount, more), then.quantity), rounding)


def _part(kind: PartKind, amount: Decimal, then: Like | None, now: Like | None, currency: str) -> Part:
    like = now or then
    assert like is not None, "what is compared is on one of the bills"
    line = like.lines[0]
    measured = line.line_item_type in MEASURED
    before, after = (then.units if then else ZERO), (now.units if now else ZERO)
    part = Part(
        kind=kind,
        description=plainly(line),
        amount=amount,
        before=then.amount if then else ZERO,
        now=now.amount if now else ZERO,
        sentence="",
        unit=line.unit if measured else "",
        units_before=before if measured else None,
        units_now=after if measured else None,
        segment=line.segment,
        group=line.group,
        child_account_code=line.child_account_code,
        lines_before=tuple(each.id for each in then.lines) if then else (),
        lines_now=tuple(each.id for each in now.lines) if now else (),
    )
    return msgspec.structs.replace(part, sentence=f"{_cause(part)} ({signed(amount, currency)})")


def plainly(line: LineItem) -> str:
    """What a line is for, without the segment in brackets: that is named in words."""
    return line.description.removesuffix(f" ({', '.join((line.segment or {}).values())})")


def decimals_of(*records: BillRecord) -> int:
    """Those of the bill's currency, as its lines were rounded to."""
    steps = (steps for record in records for steps in record.workings.values())
    found = (step.decimals for working in steps for step in working[-2:] if isinstance(step, Rounded))
    return max(found, default=2)


# ------------------------------------------------------------------------------------------------------ words


def _sentence(old: Bill, bill: Bill, difference: Decimal, percent: Decimal | None, parts: Sequence[Part]) -> str:
    against = f"{old.start_date} to {_last_day(old)}"
    if not parts:
        return f"The same as {against}: {_amount(bill.bill_total, bill.currency)}."
    if not difference:
        return f"As much as {against}, {_amount(bill.bill_total, bill.currency)}, with {parts[0].sentence}."
    direction = "Up" if difference > 0 else "Down"
    share = "" if percent is None else f" {_percent(percent)}%"
    same_way = [part for part in parts if (part.amount > 0) == (difference > 0)]
    what = f"{direction}{share} ({signed(difference, bill.currency)}) against {against}"
    return f"{what}: {same_way[0].sentence}."


def _last_day(bill: Bill) -> date:
    return bill.end_date - timedelta(days=1)


def _cause(part: Part) -> str:
    """What a part is due to, in words."""
    of = f"{part.description}{_where(part)}"
    if part.kind is PartKind.VOLUME and part.units_before is not None and part.units_now is not None:
        more = subtract(part.units_now, part.units_before)
        if not more:
            return f"{of} at other steps of its price"
        scale, _, things = part.unit.partition(" ") if part.unit.startswith(_SCALES) else ("", "", part.unit)
        counted = f"{short(abs(more))} {scale} {'more' if more > 0 else 'fewer'}".replace("  ", " ")
        told = part.description.lower() in part.unit.lower()
        return f"{counted} {things or 'units'}{'' if told else f' of {part.description}'}{_where(part)}"
    return {
        PartKind.PRICE: f"a {'higher' if part.amount > 0 else 'lower'} price of {of}",
        PartKind.NEW: f"{of}, which is new",
        PartKind.GONE: f"no {of} any more",
        PartKind.FIXED: f"{'more' if part.amount > 0 else 'less'} for {of}",
        PartKind.CREDIT: f"{'less' if part.amount > 0 else 'more'} taken off by {of}",
        PartKind.CORRECTION: f"the correction {of}",
        PartKind.VOLUME: of,
    }[part.kind]


def _where(part: Part) -> str:
    named = [*(part.segment or {}).items(), *(part.group or {}).items()]
    where = " on " + ", ".join(f"{field} {value or '(none)'}" for field, value in named) if named else ""
    return where + (f" of {part.child_account_code}" if part.child_account_code else "")


def short(value: Decimal) -> str:
    """A number at a glance: 4.2 M, 31,000, 0.5. The exact one stands elsewhere."""
    for scale, letter in ((BILLION, "B"), (MILLION, "M")):
        if value >= scale:
            return f"{_about_as(divide(value, scale), 1)} {letter}"
    return _about_as(value, 0 if value >= HUNDRED else 2)


def _about_as(value: Decimal, decimals: int) -> str:
    rounded = round_money(value, Rounding(decimals=decimals, mode=RoundingMode.HALF_EVEN))
    return number(tidy(rounded)) if rounded else number(tidy(value))


def _percent(percent: Decimal) -> str:
    size = abs(percent)
    return _about_as(size, 0 if size >= 10 else 1)


def _amount(amount: Decimal, currency: str) -> str:
    return f"{money(amount)} {currency}"


def signed(amount: Decimal, currency: str) -> str:
    """An amount with its sign."""
    return f"{'+' if amount > 0 else '-'}{money(add(abs(amount), ZERO))} {currency}"
