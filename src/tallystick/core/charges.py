"""Charges that recur by themselves: the standing charge and the minimums, in arrears or in advance.

Source: reference 3.4. Each billing period is charged exactly once. In arrears its charge stands on its own bill; in
advance on the bill before it, if there was anything to bill then, else on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec

from tallystick.core.bill import LineItemType
from tallystick.core.catalog import Product
from tallystick.core.conversion import Conversion
from tallystick.core.entity import Entity
from tallystick.core.period import Grid, Period, day_share, intersect
from tallystick.core.plan_terms import PriceTerms
from tallystick.core.quantity import ZERO, divide, multiply, negate, subtract, tidy
from tallystick.core.scope import clip
from tallystick.core.terms import AccountPlanTerms, Terms
from tallystick.core.working import Prorated, Refunded, Steps, ToppedUp


class Charge(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An exact amount in the plan's currency that is due for a service period, before it becomes a line."""

    type: LineItemType
    description: str
    service: Period
    exact: Decimal
    working: tuple[Steps, ...]
    accounting_product: Entity[Product] | None


class Share(msgspec.Struct, frozen=True, gc=False):
    """The part of a billing period that is served: from the first to the last instant, and its days of all days."""

    whole: Period
    service: Period
    days: int
    of_days: int


def share_of(whole: Period, life: Sequence[Period], zone: str) -> Share | None:
    """How much of a billing period lies within a life, which may have gaps; None when nothing does."""
    parts = [part for part in (intersect(whole, each) for each in life) if part]
    if not parts:
        return None
    shares = [_day_share(part, whole, zone) for part in parts]
    return Share(whole, Period(parts[0].start, parts[-1].end), sum(days for days, _ in shares), shares[0][1])


# Accounts share billing periods: a run over ten thousand of them asks for the same few shares.
_day_share = lru_cache(maxsize=4096)(day_share)


def billed_on(period: Period, life: Sequence[Period], grid: Grid, *, in_advance: bool) -> list[Share]:
    """The billing periods whose recurring charge stands on the bill of `period`."""
    own = share_of(period, life, grid.zone)
    if own is None:
        return []
    if not in_advance:
        return [own]
    following = share_of(grid.next(period), life, grid.zone)
    first = share_of(grid.previous(period), life, grid.zone) is None
    return [share for share in (own if first else None, following) if share]


def due_ahead(period: Period, life: Sequence[Period], grid: Grid, *, in_advance: bool) -> Share | None:
    """The part of a billing period whose recurring charge belongs on the bill before it; None when none does."""
    own = share_of(period, life, grid.zone)
    return own if in_advance and own and share_of(grid.previous(period), life, grid.zone) else None


def prorated(full: Decimal, share: Share) -> tuple[Decimal, tuple[Steps, ...]]:
    """The exact amount for a share of a period, by days, and its working."""
    amount = (
        tidy(full)
        if share.days == share.of_days
        else divide(multiply(full, Decimal(share.days)), Decimal(share.of_days))
    )
    step = Prorated(
        full=tidy(full),
        start=share.service.start,
        end=share.service.end,
        days=share.days,
        of_days=share.of_days,
        amount=amount,
    )
    return amount, (step,)


def in_advance(*flags: bool | None) -> bool:
    """The first flag that is set: the plan's, the template's, the organisation's."""
    return next((flag for flag in flags if flag is not None), False)


def standing_charges(terms: Terms, account_plan: AccountPlanTerms) -> list[Charge]:
    """The standing charges of an account plan that stand on this bill."""
    advance = _standing_in_advance(terms, account_plan)

    def work_out() -> list[Share]:
        return billed_on(account_plan.period, [account_plan.life], account_plan.grid, in_advance=advance)

    return _shared_charges(account_plan, "in advance" if advance else "in arrears", work_out)


def standing_charges_now(account_plan: AccountPlanTerms) -> list[Charge]:
    """The standing charge for this very period, whichever bill it stands on; none or one."""

    def work_out() -> list[Share]:
        own = share_of(account_plan.period, [account_plan.life], account_plan.grid.zone)
        return [own] if own else []

    return _shared_charges(account_plan, "now", work_out)


def _shared_charges(account_plan: AccountPlanTerms, which: str, shares: Callable[[], list[Share]]) -> list[Charge]:
    """The standing charges for shares: worked out once for all accounts that have the plan for the same time, as far as
    that can be seen from the billing periods before and after."""
    plan, grid, life = account_plan.plan, account_plan.grid, account_plan.life
    if plan.template.value.standing_charge_interval == 1 and not plan.template.value.standing_charge_offset:
        near = Period(grid.previous(account_plan.period).start, grid.next(account_plan.period).end)
        life = Period(max(life.start, near.start), min(life.end, near.end))
    key = (which, account_plan.period, life, grid)
    kept: dict[Hashable, list[Charge]] = plan.worked_out
    if key not in kept:
        charges = (standing_charge(account_plan, share) for share in shares())
        kept[key] = [charge for charge in charges if charge]
    return kept[key]


def standing_charge_ahead(terms: Terms, account_plan: AccountPlanTerms) -> Charge | None:
    """The standing charge for this very period, where it belongs on the bill before."""
    advance = _standing_in_advance(terms, account_plan)
    share = due_ahead(account_plan.period, [account_plan.life], account_plan.grid, in_advance=advance)
    return standing_charge(account_plan, share) if share else None


def _standing_in_advance(terms: Terms, account_plan: AccountPlanTerms) -> bool:
    return in_advance(
        account_plan.plan.plan.value.standing_charge_bill_in_advance,
        account_plan.plan.template.value.standing_charge_bill_in_advance,
        terms.config.value.standing_charge_bill_in_advance,
    )


def standing_charge(account_plan: AccountPlanTerms, share: Share) -> Charge | None:
    """The standing charge for one billing period; None when there is none, or when the interval passes it over.

    Interval and offset count bills from the one of the account plan's first billing period.
    """
    plan = account_plan.plan
    number = account_plan.grid.index_of(share.whole.start) - account_plan.grid.index_of(account_plan.life.start)
    offset, interval = plan.template.value.standing_charge_offset, plan.template.value.standing_charge_interval
    if not plan.standing_charge or number < offset or (number - offset) % interval:
        return None
    exact, working = prorated(plan.standing_charge, share)
    return Charge(
        type=LineItemType.STANDING_CHARGE,
        description=plan.standing_charge_description or "Standing Charge",
        service=share.service,
        exact=exact,
        working=working,
        accounting_product=plan.standing_charge_product,
    )


class Minimum(msgspec.Struct, frozen=True, kw_only=True):
    """A minimum spend of a plan or of a pricing, over the life in which it holds."""

    amount: Decimal
    description: str
    in_advance: bool
    life: tuple[Period, ...]
    accounting_product: Entity[Product] | None


def plan_minimum(terms: Terms, account_plan: AccountPlanTerms) -> Minimum | None:
    """The minimum spend of the plan or its template."""
    plan = account_plan.plan
    if not plan.minimum_spend:
        return None
    return Minimum(
        amount=plan.minimum_spend,
        description=plan.minimum_spend_description or f"{plan.product.value.name} Minimum Spend Adjustment",
        in_advance=in_advance(
            plan.plan.value.minimum_spend_bill_in_advance,
            plan.template.value.minimum_spend_bill_in_advance,
            terms.config.value.minimum_spend_bill_in_advance,
        ),
        life=(account_plan.life,),
        accounting_product=plan.minimum_spend_product,
    )


def price_minimum(account_plan: AccountPlanTerms, price: PriceTerms) -> Minimum | None:
    """The minimum spend of a pricing, over the time in which the pricing and the account plan hold."""
    pricing = price.pricing.value
    if not pricing.minimum_spend:
        return None
    name = price.priced.value.name
    return Minimum(
        amount=pricing.minimum_spend,
        description=pricing.minimum_spend_description or f"{name} Minimum Spend Adjustment",
        in_advance=pricing.minimum_spend_bill_in_advance,
        life=tuple(piece.window for piece in clip(price.pieces, account_plan.life)),
        accounting_product=price.accounting_product,
    )


def minimum_charges(
    minimum: Minimum, period: Period, grid: Grid, charges: Decimal, conversion: Conversion
) -> list[Charge]:
    """The lines of a minimum on the bill of a period in which `charges` (money) count towards it.

    In arrears the customer pays what is missing. In advance the minimum itself is paid, and on the period's own bill
    given back as far as there were charges: either way max(minimum, charges).
    """
    found: list[Charge] = []

    def line(type_: LineItemType, share: Share, exact: Decimal, working: tuple[Steps, ...]) -> None:
        found.append(
            Charge(
                type=type_,
                description=minimum.description,
                service=share.service,
                exact=exact,
                working=working,
                accounting_product=minimum.accounting_product,
            )
        )

    own = share_of(period, minimum.life, grid.zone)
    if own is None:
        return found
    amount, working = prorated(minimum.amount, own)
    if not minimum.in_advance:
        missing = tidy(subtract(amount, charges))
        if missing > 0 and conversion.money(missing):
            step = ToppedUp(minimum=amount, charges=charges, amount=missing)
            line(LineItemType.MINIMUM_SPEND, own, missing, (*working, step))
        return found
    for share in billed_on(period, minimum.life, grid, in_advance=True):
        line(LineItemType.MINIMUM_SPEND, share, *prorated(minimum.amount, share))
    paid = conversion.money(amount)
    if charges > 0:
        back = negate(min(paid, charges))
        step_back = Refunded(minimum=paid, charges=charges, amount=back)
        line(LineItemType.MINIMUM_SPEND_REFUND, own, back, (*working, step_back))
    return found


def minimum_ahead(minimum: Minimum, period: Period, grid: Grid) -> Charge | None:
    """The minimum for this very period, where it belongs on the bill before."""
    share = due_ahead(period, minimum.life, grid, in_advance=minimum.in_advance)
    if share is None:
        return None
    exact, working = prorated(minimum.amount, share)
    return Charge(
        type=LineItemType.MINIMUM_SPEND,
        description=minimum.description,
        service=share.service,
        exact=exact,
        working=working,
        accounting_product=minimum.accounting_product,
    )


def topped_up(minimum: Minimum | None, period: Period, grid: Grid, charges: Decimal, conversion: Conversion) -> Decimal:
    """What a minimum adds to the charges of a period, whichever bills it stands on: max(minimum − charges, 0)."""
    own = share_of(period, minimum.life, grid.zone) if minimum else None
    if minimum is None or own is None:
        return ZERO
    missing = subtract(prorated(minimum.amount, own)[0], charges)
    return conversion.money(missing) if missing > 0 else ZERO
