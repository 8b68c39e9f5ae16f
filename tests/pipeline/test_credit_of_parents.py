"""Credit in a hierarchy: what a parent's wallet or commitment pays for, and whose is drawn first."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import NOVEMBER, Desk
from ledger_desk import month, top_up
from test_hierarchy import bill_of, group_world, require_verified

from billing_world import World, id_of
from credit_world import balance, commitment
from tallystick.core.account import ChildBillingMode, ChildCreditOrder

Opener = Callable[[World], Desk]
GROUP, EAST = id_of("account", "group"), id_of("account", "east")


def used(desk: Desk) -> None:
    """200 calls each: 20.00."""
    for account in ("group", "east"):
        desk.use(account, "2023-11-05", calls=200)


def wallets(world: World, **money: int) -> Callable[[Desk], None]:
    """A wallet for each account named; the answer fills them."""
    for account in money:
        balance(world, f"{account} wallet", code=account, account_id=id_of("account", account))

    def fill(desk: Desk) -> None:
        for account, amount in money.items():
            top_up(desk, amount, credit=id_of("balance", f"{account} wallet"), account=account)

    return fill


def consumed(desk: Desk, account: str) -> list[tuple[str, str]]:
    """Which wallet or commitment paid how much on an account's bill."""
    names = {id_of("balance", f"{each} wallet"): each for each in ("group", "east")}
    return [
        (names.get(line.balance_id or "", "commitment"), f"{line.converted_subtotal:.2f}")
        for line in bill_of(desk, account).line_items
        if line.line_item_type in {"BALANCE_CONSUMED", "COMMITMENT_CONSUMED"}
    ]


def test_a_parents_wallet_pays_for_its_children_on_its_bill(open_desk: Opener) -> None:
    world = group_world("east", fee="0")
    fill = wallets(world, group=100, east=100)
    desk = open_desk(world)
    fill(desk)
    used(desk)
    desk.run(**NOVEMBER)
    assert bill_of(desk).bill_total == 0
    assert sum(Decimal(amount) for _, amount in consumed(desk, "group")) == -40
    assert {name for name, _ in consumed(desk, "group")} == {"group"}
    require_verified(desk)


@pytest.mark.parametrize(
    ("order", "east", "paid"),
    [
        (None, 15, [("east", "-15.00"), ("group", "-5.00")]),
        (ChildCreditOrder.CHILD_FIRST, 15, [("east", "-15.00"), ("group", "-5.00")]),
        (ChildCreditOrder.PARENT_FIRST, 15, [("group", "-20.00")]),
        (None, 50, [("east", "-20.00")]),
    ],
)
def test_the_plan_says_whose_wallet_pays_first_for_a_child_billed_by_itself(
    open_desk: Opener, order: ChildCreditOrder | None, east: int, paid: list[tuple[str, str]]
) -> None:
    world = group_world("east", fee="0", mode=ChildBillingMode.CHILD)
    world.account_plan(account="group", child_billing_mode=ChildBillingMode.CHILD, child_credit_order=order)
    fill = wallets(world, group=100, east=east)
    desk = open_desk(world)
    fill(desk)
    used(desk)
    desk.run(**NOVEMBER)
    assert consumed(desk, "east") == paid
    assert consumed(desk, "group") == [("group", "-20.00")]
    require_verified(desk)


def test_one_wallet_is_drawn_once_by_all(open_desk: Opener) -> None:
    """30.00 for two bills of 20.00: what the first has drawn the second has not."""
    world = group_world("east", fee="0", mode=ChildBillingMode.CHILD)
    fill = wallets(world, group=30)
    desk = open_desk(world)
    fill(desk)
    used(desk)
    desk.run(**NOVEMBER)
    assert sum(each.bill_total for each in desk.bills()) == 10
    before = desk.bodies()
    desk.run(**NOVEMBER)
    assert desk.bodies() == before
    require_verified(desk)


def test_one_wallet_is_drawn_once_whichever_bill_comes_first(open_desk: Opener) -> None:
    """30.00 a month for two bills of 20.00 of the same month, made in one run: 10.00 a month are left to pay, whether
    the parent's bill or the child's is the first in the order of the ledger."""
    world = group_world("east", fee="0", mode=ChildBillingMode.CHILD)
    world.account_plan(account="group", start="2023-01-01", child_billing_mode=ChildBillingMode.CHILD)
    balance(world, "group wallet", code="group", account_id=GROUP)
    desk = open_desk(world)
    for number in range(1, 7):
        top_up(desk, 30, f"2023-{number:02}-01", id_of("balance", "group wallet"), "group")
        for account in ("group", "east"):
            desk.use(account, f"2023-{number:02}-05", calls=200)
        month(desk, number)
        due = sum(each.bill_total for each in desk.bills() if each.start_date.month == number)
        assert (number, due) == (number, 10)
    require_verified(desk)


def test_a_child_with_its_own_plan_does_not_draw_the_parents_wallet(open_desk: Opener) -> None:
    world = group_world("east", fee="0", mode=ChildBillingMode.CHILD)
    world.account_plan(account="east")
    fill = wallets(world, group=100)
    desk = open_desk(world)
    fill(desk)
    used(desk)
    desk.run(**NOVEMBER)
    assert consumed(desk, "east") == []
    assert bill_of(desk, "east").bill_total == 20


@pytest.mark.parametrize(
    ("mode", "own_plan", "paid"),
    [
        (None, False, True),
        (None, True, False),
        (ChildBillingMode.CHILD, False, True),
        (ChildBillingMode.CHILD, True, True),
        (ChildBillingMode.PARENT_BREAKDOWN, False, False),
        (ChildBillingMode.PARENT_SUMMARY, False, False),
    ],
)
def test_a_commitment_says_whether_children_billed_by_themselves_draw_it(
    open_desk: Opener, mode: ChildBillingMode | None, own_plan: bool, paid: bool
) -> None:
    world = group_world("east", fee="0", mode=ChildBillingMode.CHILD)
    if own_plan:
        world.account_plan(account="east")
    given: dict[str, Any] = {"account_id": GROUP, "child_billing_mode": mode}
    commitment(world, **given)
    desk = open_desk(world)
    used(desk)
    desk.run(**NOVEMBER)
    assert consumed(desk, "east") == ([("commitment", "-20.00")] if paid else [])
    require_verified(desk)
