"""Draw credit for the lines of a bill: what each commitment and balance pays, and what is left to pay.

Pure: what is there to draw is given (`Opening`), what was drawn is told (`Draw`); the ledger is the caller's.
Source: reference 3.6, 3.7; docs/decisions/0120-drawing-credit.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from tallystick.core.bill import LineItem, LineItemType, line_id
from tallystick.core.catalog import Product
from tallystick.core.conversion import Conversion
from tallystick.core.credit import Credit, pays_for
from tallystick.core.entity import Entity
from tallystick.core.ledger import CreditKind, Opening
from tallystick.core.lines import RatedLine, product_fields
from tallystick.core.money import Rounding, RoundingMode, round_money
from tallystick.core.overage import overage_lines
from tallystick.core.period import Period
from tallystick.core.portion import Portion, net, portions_of
from tallystick.core.quantity import ONE, ZERO, add, divide, negate, subtract, tidy, total
from tallystick.core.terms import Terms
from tallystick.core.wire import encode
from tallystick.core.working import Drawn, DrawnCharge


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """What a bill draws from a credit: `amount`, above 0, in the credit's currency, shown by a line of the bill."""

    credit_id: str
    kind: CreditKind
    currency: str
    amount: Decimal
    from_rollover: bool
    line_item_id: str
    description: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a bill with what credit pays of them, and the draws."""

    lines: tuple[RatedLine, ...]
    draws: tuple[Draw, ...]


@dataclass(slots=True)
class _Paid:
    """What a credit pays of one portion of a line, in its own currency and in the bill's."""

    portion: Portion
    amount: Decimal
    billed: Decimal


@dataclass(slots=True)
class _Purse:
    """What is left of a credit while one bill draws it."""

    credit: Credit
    conversion: Conversion
    left: Decimal
    rolled: Decimal
    paid: dict[bool, list[_Paid]] = field(default_factory=lambda: {False: [], True: []})

    def room(self, *, carried: bool) -> Decimal | None:
        """How much can be drawn, in whole steps of the currency; None for as much as is asked."""
        if self.credit.overdraft and not carried:
            return None
        room, balance = self.left, self.credit.balance
        if carried and balance is not None and balance.rollover_amount is not None:
            room = min(room, subtract(balance.rollover_amount, self.rolled))
        whole = Rounding(decimals=self.conversion.from_rounding.decimals, mode=RoundingMode.DOWN)
        return round_money(max(room, ZERO), whole)

    def pay(self, portion: Portion, *, carried: bool) -> None:
        """Pay for a portion of a line as far as there is anything to pay with."""
        if portion.free:
            portion.held = portion.held or self.room(carried=carried) != 0
            return
        wanted = _wanted(portion, self.credit.currency, self.conversion)
        room = self.room(carried=carried)
        amount = wanted if room is None else min(wanted, room)
        if amount <= 0:
            return
        own, billed = portion.left, portion.billed
        if amount < wanted:
            own, billed = _part(portion, self.credit.currency, self.conversion, amount)
        portion.left, portion.billed = subtract(portion.left, own), subtract(portion.billed, billed)
        self.left = subtract(self.left, amount)
        if carried:
            self.rolled = add(self.rolled, amount)
        self.paid[carried].append(_Paid(portion, amount, billed))


def apply_credits(terms: Terms, lines: Sequence[RatedLine], openings: Mapping[str, Opening]) -> Outcome:
    """The lines of a bill after its credit is drawn: what was rated, what credit pays, what usage beyond it costs.

    `openings` has what is there of each of `terms.credits`, by id. What is given back to the customer (credits,
    refunds) is taken off the charges before any credit pays for them. Refusals: `missing_conversion_rate` where a
    credit that would pay is in a currency without a rate; `rounding_forbidden`.
    """
    if not terms.credits:
        return Outcome(lines=tuple(lines), draws=())
    portions = portions_of(lines, terms)
    net(portions)
    purses = [
        purse for credit in terms.credits if (purse := _draw(terms, credit, openings[credit.id], portions)) is not None
    ]
    kept, beyond = overage_lines(terms, lines, portions)
    consumed = list(_consumed(terms, purses, openings))
    together = [*kept, *(line for line, _ in consumed), *beyond]
    numbered = tuple(
        msgspec.structs.replace(line, item=msgspec.structs.replace(line.item, sequence_number=number))
        for number, line in enumerate(together, start=1)
    )
    return Outcome(lines=numbered, draws=tuple(draw for _, draw in consumed))


def _draw(terms: Terms, credit: Credit, opening: Opening, portions: Sequence[Portion]) -> _Purse | None:
    """Let one credit pay for what it is for; None when there is nothing."""
    wanted = [
        each for each in portions if (each.billed > 0 or each.free) and pays_for(credit, each.line.item, each.type)
    ]
    windows = [(credit.window, False)] + ([(credit.rollover, True)] if credit.rollover else [])
    inside = [(each, carried) for window, carried in windows for each in wanted if _within(each, window)]
    if not inside:
        return None
    if all(each.free for each, _ in inside):
        _hold(terms, credit, opening, inside)
        return None
    purse = _Purse(credit, terms.conversion(credit.currency), opening.value, opening.rolled)
    for portion, carried in inside:
        purse.pay(portion, carried=carried)
    return purse


def _hold(terms: Terms, credit: Credit, opening: Opening, free: Sequence[tuple[Portion, bool]]) -> None:
    """Let usage that comes to no money stand under a credit of which there is something left. No rate is needed."""
    same = terms.exchange(credit.currency, credit.currency)
    purse = _Purse(credit, same, opening.value, opening.rolled)
    for portion, carried in free:
        purse.pay(portion, carried=carried)


def _within(portion: Portion, window: Period) -> bool:
    """Portions are cut where windows begin and end: the start decides."""
    return window.start <= portion.start < window.end


def _wanted(portion: Portion, currency: str, conversion: Conversion) -> Decimal:
    """What is left of a portion, in the currency of a credit."""
    if portion.currency == currency:
        return portion.left
    if conversion.from_currency == conversion.to_currency:
        return portion.billed
    return conversion.money(divide(portion.billed, conversion.rate))


def _part(portion: Portion, currency: str, conversion: Conversion, amount: Decimal) -> tuple[Decimal, Decimal]:
    """What an amount of a credit, too small for all of it, pays of a portion: in the line's currency and the bill's."""
    if portion.currency == currency:
        return amount, min(conversion.converted(amount), portion.billed)
    billed = min(conversion.converted(amount), portion.billed)
    own = round_money(divide(billed, portion.rate), portion.rounding)
    return min(own, portion.left), billed


# ------------------------------------------------------------------------------------------------------ lines


def _consumed(
    terms: Terms, purses: Sequence[_Purse], openings: Mapping[str, Opening]
) -> Iterator[tuple[RatedLine, Draw]]:
    """A line for each credit that paid, and another for what it paid after its end."""
    for purse in purses:
        before = openings[purse.credit.id].value
        for carried, paid in purse.paid.items():
            if not paid:
                continue
            amount = tidy(total(each.amount for each in paid))
            line = _line(terms, purse, paid, before, carried=carried)
            before = subtract(before, amount)
            yield (
                line,
                Draw(
                    credit_id=purse.credit.id,
                    kind=purse.credit.kind,
                    currency=purse.credit.currency,
                    amount=amount,
                    from_rollover=carried,
                    line_item_id=line.item.id,
                    description=line.item.description,
                ),
            )


def _line(terms: Terms, purse: _Purse, paid: Sequence[_Paid], opening: Decimal, *, carried: bool) -> RatedLine:
    credit, conversion = purse.credit, purse.conversion
    amount, billed = total(each.amount for each in paid), total(each.billed for each in paid)
    of_commitment = credit.commitment is not None
    type_ = LineItemType.COMMITMENT_CONSUMED if of_commitment else LineItemType.BALANCE_CONSUMED
    subtotal = conversion.money(negate(amount))
    item = LineItem(
        id=line_id(terms.bill_id, encode((type_, credit.id, carried)).decode()),
        line_item_type=type_,
        description=_description(credit, carried=carried),
        quantity=ONE,
        units=ONE,
        unit="",
        subtotal=subtotal,
        average_unit_price=tidy(subtotal),
        currency=credit.currency,
        conversion_rate=tidy(conversion.rate),
        converted_subtotal=terms.billed(negate(billed)),
        sequence_number=0,
        commitment_id=credit.id if of_commitment else None,
        balance_id=None if of_commitment else credit.id,
        contract_id=credit.entity.value.contract_id,
        service_period_start_date=min(each.portion.start for each in paid),
        service_period_end_date=max(each.portion.end for each in paid),
        **product_fields(_accounting(credit), "accounting_product"),
    )
    converts = conversion.from_currency != conversion.to_currency
    step = Drawn(
        credit=credit.name,
        currency=credit.currency,
        opening=tidy(opening),
        charges=_charges(paid),
        amount=tidy(amount),
        left=tidy(subtract(opening, amount)),
        carried_over=carried,
        limit=credit.balance.rollover_amount if carried and credit.balance else None,
        converted=tidy(billed) if converts else None,
        converted_currency=conversion.to_currency if converts else None,
    )
    return RatedLine(item=item, working=(step,))


def _charges(paid: Sequence[_Paid]) -> tuple[DrawnCharge, ...]:
    """What was paid line by line, however the lines were cut."""
    by_line: dict[str, list[_Paid]] = {}
    for each in paid:
        by_line.setdefault(each.portion.line.item.id, []).append(each)
    return tuple(
        DrawnCharge(
            description=parts[0].portion.line.item.description, amount=tidy(total(each.amount for each in parts))
        )
        for parts in by_line.values()
    )


def _description(credit: Credit, *, carried: bool) -> str:
    """Its own text, else the default one."""
    if credit.commitment:
        return credit.commitment.commitment_usage_description or "Commitment Consumed"
    assert credit.balance is not None, "credit is a commitment or a balance"
    text = credit.balance.balance_draw_down_description or f"{credit.balance.name} Consumed"
    return f"{text} (carried over)" if carried else text


def _accounting(credit: Credit) -> Entity[Product] | None:
    """The product that draws are booked on, if one is named."""
    if credit.commitment:
        return credit.product(
            credit.commitment.drawdowns_accounting_product_id, credit.commitment.accounting_product_id
        )
    assert credit.balance is not None, "credit is a commitment or a balance"
    return credit.product(credit.balance.consumptions_accounting_product_id)
