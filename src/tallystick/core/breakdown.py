"""A pooled line becomes a line for each account: its money is split in proportion to what each has used.

The split is cumulative, so that the parts add up to the whole to the last decimal, in the currency of the plan and in
that of the bill (docs/decisions/0153-hierarchies.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate

import msgspec

from tallystick.core.bill import line_id
from tallystick.core.lines import Draft, Portion, RatedLine, UpTo, finished
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.quantity import ZERO, add, divide, multiply, subtract, tidy, total
from tallystick.core.working import Apportioned


def lines_of(of_bill: str, drafts: Iterable[Draft]) -> tuple[RatedLine, ...]:
    """Drafts as the lines of a bill, numbered in their order; pooled ones broken down by account.

    Refusals as `finished`.
    """
    found: list[RatedLine] = []
    for draft in drafts:
        line = finished(of_bill, draft, len(found) + 1)
        found += _broken_down(of_bill, line, draft) if draft.portions else [line]
    return tuple(found)


def part_key(key: str, child_id: str) -> str:
    """The key of the part of a pooled line that is a child account's."""
    return f"{key}/{child_id}"


def _broken_down(of_bill: str, line: RatedLine, draft: Draft) -> list[RatedLine]:
    portions = [each for each in draft.portions if each.weight > 0]
    if not portions:
        return [line]
    conversion = draft.conversion
    sums = list(accumulate((each.weight for each in portions), add))
    money = _split(line.item.subtotal, sums, conversion.from_rounding)
    converted = _split(line.item.converted_subtotal, sums, conversion.to_rounding)
    return [
        _part(of_bill, line, draft, each, (money[place], converted[place], sums[-1], place))
        for place, each in enumerate(portions)
    ]


def _split(amount: Decimal, sums: Sequence[Decimal], rounding: Rounding) -> list[Decimal]:
    """Money in proportion to shares, given by their running sums: the parts add up to it."""
    even = Rounding(decimals=rounding.decimals, mode=RoundingMode.HALF_EVEN)
    cumulative = [round_money(divide(multiply(amount, each), sums[-1]), even) for each in sums[:-1]]
    ends = [ZERO, *cumulative, amount]
    return [subtract(ends[place + 1], ends[place]) for place in range(len(sums))]


def _part(
    of_bill: str, line: RatedLine, draft: Draft, portion: Portion, split: tuple[Decimal, Decimal, Decimal, int]
) -> RatedLine:
    subtotal, converted, of_weight, place = split
    child = portion.child
    step = Apportioned(
        account=portion.account.value.code,
        units=tidy(portion.units),
        of_units=tidy(total(each.units for each in draft.portions if each.weight > 0)),
        fee=portion.fee,
        of_fees=None if portion.fee is None else tidy(of_weight),
        of_amount=line.item.subtotal,
        amount=subtotal,
    )
    item = msgspec.structs.replace(
        line.item,
        id=line_id(of_bill, part_key(draft.key, portion.account.id)) if child else line.item.id,
        quantity=portion.value,
        units=tidy(portion.units),
        subtotal=subtotal,
        average_unit_price=divide(subtotal, portion.units) if portion.units else ZERO,
        converted_subtotal=converted,
        sequence_number=line.item.sequence_number + place,
        usage_per_pricing_band=None,
        child_account_id=portion.account.id if child else None,
        child_account_code=portion.account.value.code if child else None,
    )
    parts = tuple(_scaled(part, line, item.subtotal, portion, of_weight) for part in line.parts)
    return RatedLine(item=item, working=(*line.working, step), exact=subtotal, parts=parts)


def _scaled(part: UpTo, line: RatedLine, subtotal: Decimal, portion: Portion, of_weight: Decimal) -> UpTo:
    """What a part of a line comes to up to a moment: as much of it as of the whole line."""
    exact = divide(multiply(part.exact, subtotal), line.exact) if line.exact else ZERO
    share = divide(portion.weight, of_weight)
    return UpTo(
        until=part.until,
        exact=tidy(exact),
        quantity=tidy(multiply(part.quantity, share)),
        units=tidy(multiply(part.units, share)),
    )
