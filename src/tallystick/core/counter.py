"""Counters on bills: what the level at the start of a period costs, and what its changes cost or give back.

Source: reference 2.4, 2.8, 3.10; docs/decisions/0143-counters-on-bills.md. With all prorating on, the lines of a period
add up to the price of each day's level, a day at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise

import msgspec

from tallystick.core.bands import Priced as BandPrice
from tallystick.core.bands import price_bands
from tallystick.core.bill import LineItemType
from tallystick.core.charges import Share, prorated
from tallystick.core.conversion import Conversion
from tallystick.core.counter_terms import CounterPriceTerms
from tallystick.core.counter_types import CounterAdjustment, CounterPricing
from tallystick.core.entity import Entity
from tallystick.core.lines import Draft
from tallystick.core.period import Period, day_share, day_start, intersect, local_day
from tallystick.core.quantity import ZERO, subtract, tidy
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.working import Priced, PricedBand, Steps
from tallystick.core.working_agreed import Changed, Held


class _Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter pricing of an account plan, with the levels that the account has."""

    account_plan: AccountPlanTerms
    price: CounterPriceTerms
    rivals: tuple[CounterPriceTerms, ...]  # of the same counter on the same plan, itself included
    levels: tuple[Entity[CounterAdjustment], ...]  # in order of day

    @property
    def zone(self) -> str:
        return self.account_plan.grid.zone

    @property
    def pricing(self) -> CounterPricing:
        return self.price.pricing.value

    def level_before(self, day: date) -> int:
        """The level that was had until the start of a day; 0 before the first adjustment."""
        return next((each.value.value for each in reversed(self.levels) if each.value.date < day), 0)

    def stretches(self, period: Period) -> list[Period]:
        """The parts of a billing period in which the pricing holds for the account plan."""
        within = intersect(period, self.account_plan.life)
        parts = [intersect(piece, within) for piece in self.price.pieces] if within else []
        return [part for part in parts if part]

    def totalled(self, period: Period) -> list[Period]:
        """The stretches with a running total. One that is not prorated is charged once a period: by the first price."""
        found = self.stretches(period)
        if self.pricing.pro_rate_running_total:
            return found
        starts = [
            part.start
            for price in self.rivals
            for part in msgspec.structs.replace(self, price=price).stretches(period)[:1]
        ]
        return [part for part in found[:1] if part.start == min(starts)]

    def ahead(self, period: Period) -> Period | None:
        """The stretch whose running total is paid in advance, on the bill before."""
        found = self.totalled(period)
        if not (self.pricing.running_total_bill_in_advance and found and found[0].start == period.start):
            return None
        return found[0] if self.stretches(self.account_plan.grid.previous(period)) else None


def counter_drafts(terms: Terms, account_plan: AccountPlanTerms, conversion: Conversion) -> list[Draft]:
    """The lines of an account plan's counters on this bill."""
    grid, period = account_plan.grid, account_plan.period
    found: list[Draft] = []
    for counter in _counters(terms, account_plan):
        if not counter.stretches(period):
            continue
        following, ahead = grid.next(period), counter.ahead(period)
        totals = [(period, part) for part in counter.totalled(period) if part != ahead]
        totals += [(following, part) for part in (counter.ahead(following),) if part]
        for whole, part in totals:
            found += _running_total(counter, whole, part, conversion)
        found += _adjustments(counter, conversion)
    return found


def counters_ahead(terms: Terms, account_plan: AccountPlanTerms, conversion: Conversion) -> Iterator[Draft]:
    """The running totals of this very period that belong on the bill before."""
    for counter in _counters(terms, account_plan):
        part = counter.ahead(account_plan.period)
        if part:
            yield from _running_total(counter, account_plan.period, part, conversion)


def counter_charges(terms: Terms, account_plan: AccountPlanTerms, conversion: Conversion) -> Iterator[Decimal]:
    """The money that counters are charged for this very period, whichever bills it stands on."""
    for counter in _counters(terms, account_plan):
        period = account_plan.period
        for part in counter.totalled(period):
            yield from (conversion.money(each.exact) for each in _running_total(counter, period, part, conversion))
        yield from (conversion.money(each.exact) for each in _adjustments(counter, conversion))


def levels_used(terms: Terms, account_plan: AccountPlanTerms) -> list[Entity[CounterAdjustment]]:
    """The adjustments that the bill depends on: the last before its period, and those inside."""
    zone = account_plan.grid.zone
    first, after = (local_day(each, zone) for each in account_plan.period)
    found: list[Entity[CounterAdjustment]] = []
    for counter_id in {price.counter.id for price in account_plan.plan.counter_prices}:
        levels = terms.agreements.levels.get(counter_id, ())
        found += [each for each in levels if each.value.date < first][-1:]
        found += [each for each in levels if first <= each.value.date < after]
    return found


def _counters(terms: Terms, account_plan: AccountPlanTerms) -> Iterator[_Counter]:
    prices = account_plan.plan.counter_prices
    for price in prices:
        yield _Counter(
            account_plan=account_plan,
            price=price,
            rivals=tuple(each for each in prices if each.counter.id == price.counter.id),
            levels=terms.agreements.levels.get(price.counter.id, ()),
        )


def _running_total(counter: _Counter, whole: Period, part: Period, conversion: Conversion) -> Iterator[Draft]:
    """What the level that a stretch starts with costs for all of it."""
    day = local_day(part.start, counter.zone)
    level = counter.level_before(day)
    if not level:
        return
    priced = _price(counter, level)
    exact = priced.subtotal if priced else ZERO
    steps: list[Steps] = [Held(counter=counter.price.counter.value.name, day=day, level=level, unit=_unit(counter))]
    if priced:
        steps.append(_bands_step(counter, priced, level))
    if counter.pricing.pro_rate_running_total:
        exact, more = prorated(exact, _share(whole, part, counter.zone))
        steps += more
    if not exact:
        return
    yield _draft(
        counter, conversion, LineItemType.COUNTER_RUNNING_TOTAL_CHARGE, part, exact, tuple(steps), Decimal(level)
    )


def _adjustments(counter: _Counter, conversion: Conversion) -> Iterator[Draft]:
    """What each change of the level within the period costs, or gives back, until the end of its stretch."""
    period, zone = counter.account_plan.period, counter.zone
    for part in counter.stretches(period):
        first, after = local_day(part.start, zone), local_day(part.end, zone)
        within = [each.value for each in counter.levels if first <= each.value.date < after]
        levels = [counter.level_before(first), *(each.value for each in within)]
        for adjustment, (old, new) in zip(within, pairwise(levels), strict=True):
            yield from _adjustment(counter, conversion, part, adjustment, old, new)


def _adjustment(
    counter: _Counter, conversion: Conversion, part: Period, adjustment: CounterAdjustment, old: int, new: int
) -> Iterator[Draft]:
    if old == new:
        return
    debit = new > old
    before, after = _amount(counter, old), _amount(counter, new)
    exact = tidy(subtract(after, before))
    service = Period(max(part.start, day_start(adjustment.date, counter.zone)), part.end)
    steps: list[Steps] = [
        Changed(
            counter=counter.price.counter.value.name,
            unit=_unit(counter),
            day=adjustment.date,
            level_before=old,
            level_after=new,
            amount_before=before,
            amount_after=after,
            amount=exact,
        )
    ]
    pricing = counter.pricing
    if pricing.pro_rate_adjustment_debit if debit else pricing.pro_rate_adjustment_credit:
        exact, more = prorated(exact, _share(counter.account_plan.period, service, counter.zone))
        steps += more
    if not exact:
        return
    type_ = LineItemType.COUNTER_ADJUSTMENT_DEBIT if debit else LineItemType.COUNTER_ADJUSTMENT_CREDIT
    yield _draft(counter, conversion, type_, service, exact, tuple(steps), Decimal(abs(new - old)))


def _share(whole: Period, part: Period, zone: str) -> Share:
    days, of_days = day_share(part, whole, zone)
    return Share(whole, part, days, of_days)


def _price(counter: _Counter, level: int) -> BandPrice | None:
    """The price of a level for a whole period. Having nothing costs nothing, whatever the first band's fixed price."""
    pricing = counter.pricing
    return price_bands(Decimal(level), pricing.pricing_bands, pricing.cumulative) if level else None


def _amount(counter: _Counter, level: int) -> Decimal:
    priced = _price(counter, level)
    return priced.subtotal if priced else ZERO


def _unit(counter: _Counter) -> str:
    return counter.price.counter.value.unit


def _bands_step(counter: _Counter, priced: BandPrice, level: int) -> Priced:
    bands: Sequence[PricedBand] = [
        PricedBand(
            lower_limit=tidy(share.lower_limit),
            units=share.quantity,
            unit_price=tidy(share.unit_price),
            fixed=share.fixed_subtotal,
            amount=share.subtotal,
        )
        for share in priced.bands
    ]
    return Priced(
        cumulative=counter.pricing.cumulative, units=Decimal(level), bands=tuple(bands), amount=priced.subtotal
    )


def _draft(
    counter: _Counter,
    conversion: Conversion,
    type_: LineItemType,
    service: Period,
    exact: Decimal,
    working: tuple[Steps, ...],
    units: Decimal,
) -> Draft:
    return Draft(
        account_plan=counter.account_plan,
        conversion=conversion,
        type=type_,
        description=counter.pricing.description or counter.price.counter.value.name,
        service=service,
        exact=exact,
        working=working,
        accounting_product=counter.price.accounting_product,
        of=counter.price.pricing.id,
        fields={"counter_id": counter.price.counter.id, "pricing_id": counter.price.pricing.id},
        quantity=units,
        units=units,
        unit=_unit(counter),
    )
