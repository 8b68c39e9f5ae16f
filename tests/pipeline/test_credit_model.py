"""Random credit against a plain model: who pays how much of what, month by month, in a small family with contracts.

The model is written from the decisions (0120, 0121, 0122, 0154) in whole dollars and knows nothing of the product.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from billing_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import month, top_up

from billing_world import World, bands, id_of
from credit_world import balance, commitment
from effort import drawing
from tallystick.core.account import ChildBillingMode, ChildCreditOrder
from tallystick.core.period import Instant
from tallystick.pipeline.verify import verify_bill

MONTHS = (1, 2, 3)
PRODUCTS = ("archive", "calls")  # in the order of the lines; the first is sold by a contract
OWNERS = ("group", "east")  # the parent, and its child that is billed by itself
START = date(2023, 1, 1)


@dataclass
class Held:
    """A commitment or wallet: days from its first to before its last, and for a wallet those in which it rolls over."""

    number: int
    owner: str
    wallet: bool
    first: date
    end: date
    rolls_until: date | None
    limit: int | None
    priority: int | None
    product: str | None
    contract: bool
    surcharge: int
    amount: int
    rolled: int = 0
    drawn: int = 0
    added: list[tuple[date, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"credit {self.number}"

    @property
    def last(self) -> date:
        return self.rolls_until or self.end


@dataclass
class Part:
    """What an account has used of a product between two cuts."""

    product: str
    day: date
    left: int


def payers(every: list[Held], owner: str, *, parent_first: bool) -> list[Held]:
    """The credits that an account draws, in order."""
    mine = [each for each in every if each.owner in {owner, "group"}]
    never = 1 << 40

    def order(each: Held) -> tuple[Any, ...]:
        foreign = (each.owner != owner) != parent_first
        priority = never if each.priority is None else each.priority
        return each.wallet, foreign, priority, each.last, id_of("balance" if each.wallet else "commitment", each.name)

    return sorted(mine, key=order)


def pays(each: Held, product: str) -> bool:
    return each.product in {None, product} and (not each.contract or product == PRODUCTS[0])


def bill(
    every: list[Held], owner: str, used: list[tuple[str, date, int]], number: int, *, parent_first: bool
) -> Fraction:
    """What a month costs an account after its credit: draws are noted with the credits."""
    begin, stop = date(2023, number, 1), date(2023, number + 1, 1)
    order = [each for each in payers(every, owner, parent_first=parent_first) if each.first < date(2023, number + 2, 1)]
    edges = sorted({edge for each in order for edge in (each.first, each.end, each.last)} | {begin})
    parts = []
    for product in PRODUCTS:
        for place, edge in enumerate(edges):
            until = edges[place + 1] if place + 1 < len(edges) else stop
            mine = [n for what, day, n in used if what == product and edge <= day < until and begin <= day < stop]
            if sum(mine):
                parts.append(Part(product, max(edge, begin), sum(mine)))
    for each in order:
        there = each.amount + sum(n for day, n in each.added if day < stop or day <= each.first) - each.drawn
        for rolling in (False, True):
            first, end = (each.end, each.last) if rolling else (each.first, each.end)
            for part in parts:
                if pays(each, part.product) and first <= part.day < end:
                    room = there if not rolling or each.limit is None else min(there, each.limit - each.rolled)
                    paid = max(0, min(part.left, room))
                    part.left, there, each.drawn = part.left - paid, there - paid, each.drawn + paid
                    each.rolled += paid if rolling else 0
    owed = Fraction(sum(each.left for each in parts))
    for part in parts:
        rules = [one for one in order if one.surcharge and pays(one, part.product) and one.first <= part.day < one.end]
        if rules:
            owed += Fraction(part.left * rules[-1].surcharge, 100)
    return owed


# ------------------------------------------------------------------------------------------------ what is drawn

DAYS = st.integers(-20, 60).map(lambda number: START + timedelta(days=number))
HELD = st.builds(
    dict,
    owner=st.sampled_from(OWNERS),
    wallet=st.booleans(),
    first=DAYS,
    length=st.integers(1, 100),
    rolls=st.none() | st.integers(1, 60),
    limit=st.none() | st.integers(0, 30),
    priority=st.none() | st.integers(0, 2),
    product=st.none() | st.sampled_from(PRODUCTS),
    contract=st.booleans(),
    surcharge=st.sampled_from([0, 0, 10, -20]),
    amount=st.integers(1, 150),
    added=st.lists(st.tuples(DAYS, st.integers(1, 120)), min_size=1, max_size=3),
)
USED = st.lists(
    st.tuples(st.sampled_from(OWNERS), st.sampled_from(PRODUCTS), st.integers(0, 88), st.integers(1, 90)),
    min_size=6,
    max_size=16,
)


def held_of(number: int, drawn: dict[str, Any]) -> Held:
    wallet, end = drawn["wallet"], drawn["first"] + timedelta(days=drawn["length"])
    rolls = end + timedelta(days=drawn["rolls"]) if wallet and drawn["rolls"] else None
    return Held(
        number=number,
        owner=drawn["owner"],
        wallet=wallet,
        first=drawn["first"],
        end=end,
        rolls_until=rolls,
        limit=drawn["limit"] if rolls else None,
        priority=drawn["priority"] if wallet else None,
        product=drawn["product"],
        contract=drawn["contract"],
        surcharge=drawn["surcharge"],
        amount=0 if wallet else drawn["amount"],
        added=drawn["added"] if wallet else [],
    )


def world_of(held: list[Held], *, parent_first: bool) -> World:
    """Two products at 1.00 a call, the first by a contract of the group; the child is billed by the group's plans."""
    world = World()
    world.account("group")
    world.account("east", parent_account_id=id_of("account", "group"))
    contract = world.contract(account="group")
    order = ChildCreditOrder.PARENT_FIRST if parent_first else None
    for product in PRODUCTS:
        world.meter(product)
        counted = world.aggregation(product, world.entities["meter", id_of("meter", product)])
        plan = world.plan(product, world.template(product, world.product(product)))
        world.pricing(product, bands((0, 1)), plan_id=plan.id, aggregation_id=counted.id)
        linked = {"contract_id": contract.id} if product == PRODUCTS[0] else {}
        mode = {"child_billing_mode": ChildBillingMode.CHILD, "child_credit_order": order}
        world.account_plan(plan, "group", **mode, **linked)
    for each in held:
        given: dict[str, Any] = {
            "account_id": id_of("account", each.owner),
            "product_ids": (id_of("product", each.product),) if each.product else (),
            "contract_id": contract.id if each.contract else None,
            "overage_surcharge_percent": each.surcharge or None,
        }
        if not each.wallet:
            commitment(world, each.name, amount=each.amount, start_date=each.first, end_date=each.end, **given)
            continue
        given |= {"start_date": Instant.midnight(each.first), "end_date": Instant.midnight(each.end)}
        if each.rolls_until:
            given |= {"rollover_end_date": Instant.midnight(each.rolls_until), "rollover_amount": each.limit}
        balance(world, each.name, priority=each.priority, **given)
    return world


@given(drawn=st.lists(HELD, min_size=2, max_size=5), used=USED, parent_first=st.booleans(), again=st.booleans())
@settings(**drawing(6))
def test_bills_draw_what_the_model_draws(
    drawn: list[dict[str, Any]], used: list[tuple[str, str, int, int]], parent_first: bool, again: bool
) -> None:
    held = [held_of(number, each) for number, each in enumerate(drawn)]
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), world_of(held, parent_first=parent_first))
        try:
            for each in held:
                for place, (day, amount) in enumerate(each.added):
                    when = f"{day}T00:00:00.00{place}Z"
                    top_up(desk, amount, when, id_of("balance", each.name), each.owner)
            for owner, product, day, amount in used:
                desk.use(owner, f"{START + timedelta(days=day)}T12:00:00Z", product, calls=amount)
            for number in (*MONTHS, *(MONTHS if again else ())):
                month(desk, number)
            for number in MONTHS:
                bills = sorted((each for each in desk.bills() if each.start_date.month == number), key=lambda b: b.id)
                for made in bills:
                    mine = [
                        (what, START + timedelta(days=d), n) for who, what, d, n in used if who == made.account_code
                    ]
                    owed = bill(held, made.account_code, mine, number, parent_first=parent_first)
                    consumed = {line.description: str(line.subtotal) for line in made.line_items}
                    assert Fraction(made.bill_total) == owed, (number, made.account_code, consumed)
            for record in desk.bill_records():
                assert verify_bill(desk.records, desk.usage, record).difference is None
        finally:
            desk.close()
