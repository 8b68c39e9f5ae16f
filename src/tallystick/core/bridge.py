"""From the total of the bill before to that of this one in five steps: volume, price, mix, credits, corrections. They
add up to the difference exactly (docs/decisions/0450-variance-bridge.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallystick.core.bill import BillRecord, LineItem
from tallystick.core.comparison import (
    CORRECTIONS,
    CREDITS,
    MEASURED,
    Like,
    alike,
    decimals_of,
    plainly,
    require_one_currency,
    signed,
    volume_of,
)
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import ZERO, add, divide, multiply, subtract, total


class Cause(StrEnum):
    """Why a bill is more or less than the one before, in the order of the steps."""

    VOLUME = "VOLUME"  # more or less was used, or more or less of what is charged by the period
    PRICE = "PRICE"  # other price lists, fees or rates of conversion
    MIX = "MIX"  # the same amount of use, spread otherwise over segments that cost differently
    CREDITS = "CREDITS"  # paid by credit, or taken off
    CORRECTIONS = "CORRECTIONS"  # memos, and adjustments for earlier bills


class BridgePart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a thing that is billed adds to a step, and the lines (by id) that it is about."""

    description: str
    amount: Decimal
    segment: dict[str, str] | None = None
    child_account_code: str | None = None
    lines_before: tuple[str, ...] = ()
    lines_now: tuple[str, ...] = ()


class BridgeStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One step: what its parts come to, and the total once it is taken. The greatest part stands first."""

    cause: Cause
    amount: Decimal
    after: Decimal
    parts: tuple[BridgePart, ...]


class Bridge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`total_before`, and the five steps from it to `total`. There are none without a bill before."""

    bill_id: str
    bill_before_id: str | None
    currency: str
    total_before: Decimal | None
    total: Decimal
    difference: Decimal | None
    sentence: str
    steps: tuple[BridgeStep, ...]


class _Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What is billed of one thing on the two bills. On one of them there is some."""

    then: Like | None
    now: Like | None

    @property
    def line(self) -> LineItem:
        like = self.now or self.then
        assert like is not None, "what is compared is on one of the bills"
        return like.lines[0]

    @property
    def before(self) -> Decimal:
        return self.then.amount if self.then else ZERO

    @property
    def difference(self) -> Decimal:
        return subtract(self.now.amount if self.now else ZERO, self.before)

    @property
    def quantity_before(self) -> Decimal:
        return self.then.quantity if self.then else ZERO

    @property
    def more(self) -> Decimal:
        return subtract(self.now.quantity if self.now else ZERO, self.quantity_before)


Found = tuple[Cause, BridgePart]


def bridge_between(before: BillRecord | None, now: BillRecord) -> Bridge:
    """The steps from the bill before to this one. Refusal `rule_broken` for bills in two currencies."""
    bill = now.bill
    if before is None:
        return Bridge(
            bill_id=bill.id,
            bill_before_id=None,
            currency=bill.currency,
            total_before=None,
            total=bill.bill_total,
            difference=None,
            sentence="There is no bill before it.",
            steps=(),
        )
    require_one_currency(before.bill, bill)
    found = list(_found(before, now))
    at, steps = before.bill.bill_total, []
    for cause in Cause:
        parts = [part for of, part in found if of is cause and part.amount]
        amount = total(part.amount for part in parts)
        at = add(at, amount)
        parts.sort(key=lambda part: (-abs(part.amount), part.description))
        steps.append(BridgeStep(cause=cause, amount=amount, after=at, parts=tuple(parts)))
    assert at == bill.bill_total, "the steps add up to the difference"
    return Bridge(
        bill_id=bill.id,
        bill_before_id=before.bill.id,
        currency=bill.currency,
        total_before=before.bill.bill_total,
        total=bill.bill_total,
        difference=subtract(bill.bill_total, before.bill.bill_total),
        sentence=_sentence(steps, bill.currency),
        steps=tuple(steps),
    )


def _found(before: BillRecord, now: BillRecord) -> Iterator[Found]:
    then, present, decimals = alike(before), alike(now), decimals_of(before, now)
    terms = (_terms(before), _terms(now))
    counted: dict[tuple[object, ...], list[_Pair]] = {}
    for key in dict.fromkeys((*present, *then)):
        pair = _Pair(then=then.get(key), now=present.get(key))
        type_ = pair.line.line_item_type
        if type_ in CREDITS:
            yield Cause.CREDITS, _part(pair, pair.difference)
        elif type_ in CORRECTIONS:
            yield Cause.CORRECTIONS, _part(pair, pair.difference)
        elif type_ in MEASURED:
            counted.setdefault(_counted(pair.line), []).append(pair)
        else:
            yield _charged(pair, *terms), _part(pair, pair.difference)
    for pairs in counted.values():
        yield from _used(pairs, decimals)


def _counted(line: LineItem) -> tuple[object, ...]:
    """What is counted, whatever the segment, group or child account."""
    of = line.aggregation_id or line.compound_aggregation_id or line.counter_id
    return line.line_item_type, line.product_id, of


def _used(pairs: Iterable[_Pair], decimals: int) -> Iterator[Found]:
    """Volume, price and mix of all that is counted alike.

    What the price of each segment leaves is due to how much was used of it. Of this, volume is the difference in
    quantity of all segments together at their average price before; the rest is mix.
    """
    pairs = list(pairs)
    volumes = []
    for pair in pairs:
        volume = pair.difference
        if pair.then and pair.now:
            volume = volume_of(pair.then, pair.now, decimals)
            yield Cause.PRICE, _part(pair, subtract(pair.difference, volume))
        volumes.append(volume)
    quantity, more = total(each.quantity_before for each in pairs), total(each.more for each in pairs)
    if len(pairs) == 1 or not quantity or not add(quantity, more):
        for pair, volume in zip(pairs, volumes, strict=True):
            yield Cause.VOLUME, _part(pair, volume)
        return
    average = divide(multiply(total(each.before for each in pairs), more), quantity)
    volume = round_money(average, Rounding(decimals=decimals, mode=RoundingMode.HALF_EVEN))
    together = _part(pairs[0], volume)
    yield Cause.VOLUME, msgspec.structs.replace(together, segment=None, child_account_code=None, **_lines(pairs))
    left = subtract(total(volumes), volume)
    yield Cause.MIX, msgspec.structs.replace(together, amount=left, segment=None, child_account_code=None)


def _lines(pairs: Iterable[_Pair]) -> dict[str, tuple[str, ...]]:
    pairs = list(pairs)
    return {
        "lines_before": tuple(line.id for each in pairs if each.then for line in each.then.lines),
        "lines_now": tuple(line.id for each in pairs if each.now for line in each.now.lines),
    }


def _terms(record: BillRecord) -> frozenset[tuple[str, str, int]]:
    kinds = {"plan", "plantemplate", "plangroup", "commitment", "balance", "charge"}
    return frozenset((each.kind, each.id, each.version) for each in record.evidence.uses if each.kind in kinds)


def _charged(pair: _Pair, then: frozenset[tuple[str, str, int]], now: frozenset[tuple[str, str, int]]) -> Cause:
    """What no usage makes: of the same terms it is more or less of the period (or of what a minimum is short of), of
    other terms it has another price."""
    if pair.then is None or pair.now is None or then == now:
        return Cause.VOLUME
    return Cause.PRICE


def _part(pair: _Pair, amount: Decimal) -> BridgePart:
    line = pair.line
    return BridgePart(
        description=plainly(line),
        amount=amount,
        segment=line.segment,
        child_account_code=line.child_account_code,
        **_lines([pair]),
    )


def _sentence(steps: Iterable[BridgeStep], currency: str) -> str:
    named = [f"{step.cause.lower()} {signed(step.amount, currency)}" for step in steps if step.amount]
    told = ", ".join(named)
    return f"{told[0].upper()}{told[1:]}." if told else "Nothing is different."
