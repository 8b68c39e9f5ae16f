"""Insights over real bills and usage, with amounts by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from billing_desk import Desk, calls_world
from ledger_desk import top_up

from billing_world import World, id_of
from credit_world import balance, commitment
from tallystick.core.insight import Offer
from tallystick.core.meter import Category, DataField, Meter
from tallystick.pipeline.insights import commitments, expansion, margins

Opener = Callable[[World], Desk]
D = Decimal
NOVEMBER = date(2023, 11, 2), date(2023, 12, 1)
QUARTER = date(2023, 9, 2), date(2023, 12, 1)
LAST_DAYS = (date(2023, 9, 30), date(2023, 10, 31), date(2023, 11, 30))


def billed(desk: Desk, *days: date) -> None:
    for day in days or LAST_DAYS:
        desk.run(last_date_in_billing_period=day)


def costly(world: World, product: str | None = None) -> World:
    """Calls that each say what they cost."""
    meter = world.of(Meter)[id_of("meter", "requests")].value
    spent = DataField(code="spent", name="Spent", category=Category.COST, unit="USD")
    fields = (*meter.data_fields, spent)
    world.add(msgspec.structs.replace(meter, data_fields=fields, product_id=product), "requests")
    return world


def test_growth_of_calls_precedes_growth_of_bills(open_desk: Opener) -> None:
    """Ten accounts: account n has 10 calls in September, 10 + n in October, and 2 × n more in November. Bills are 5.00
    and 0.10 a call, so both orders are the same; the other meter, which nothing prices, goes the other way round."""
    world = calls_world(*(f"a{number}" for number in range(10)))
    logins = world.meter("logins", ("logins",))
    world.aggregation("logins", logins, target_field="logins", unit="logins")
    desk = open_desk(world)
    for number in range(10):
        for month, calls, times in ((9, 10, 100), (10, 10 + number, 100 - number), (11, 10 + 3 * number, 50)):
            desk.use(f"a{number}", f"2023-{month:02}-05", calls=calls)
            desk.use(f"a{number}", f"2023-{month:02}-05", "logins", logins=times)
    billed(desk)
    found = expansion(desk.records, desk.usage, *QUARTER, up_to=desk.usage_store.mark)
    told = [(each.name, str(each.correlation), each.pairs, each.accounts) for each in found]
    assert told == [("calls", "1.0000", 10, 10), ("logins", "-1.0000", 10, 10)]
    calls, logged = found
    assert (calls.grew, calls.grew_then_expanded, calls.others, calls.others_then_expanded) == (9, 9, 1, 0)
    assert (logged.grew, logged.others, logged.others_then_expanded) == (0, 10, 9)


def test_accounts_without_a_commitment_are_advised(open_desk: Opener) -> None:
    """5.00 and 0.10 a call. zeta: 15.00, 25.00, 20.00, together 60.00; 15.00 in the least month, 180.00 a year; 10% off
    60.00 is 54.00. A wallet that pays for it changes nothing. acme has a commitment already."""
    world = calls_world("acme", "zeta")
    commitment(world, amount=D(1), account_id=id_of("account", "acme"))
    balance(world, account_id=id_of("account", "zeta"))
    desk = open_desk(world)
    top_up(desk, 30, account=id_of("account", "zeta"))
    for account in ("acme", "zeta"):
        for month, calls in ((9, 100), (10, 200), (11, 150)):
            desk.use(account, f"2023-{month:02}-05", calls=calls)
    billed(desk)
    (advice,) = commitments(desk.records, [Offer(discount_percent=D(10))], *QUARTER)
    assert (advice.account_code, str(advice.level), str(advice.saving)) == ("zeta", "180.00", "6.00")
    offers = [Offer(yearly_amount=D(200), discount_percent=D(10)), Offer(yearly_amount=D(220), discount_percent=D(20))]
    (advice,) = commitments(desk.records, offers, *QUARTER)
    # 220 a year are 55.00 for three months, above the 48.00 that 20% off leaves; 200 are 50.00, below 54.00.
    assert (str(advice.level), str(advice.would_have_paid), str(advice.saving)) == ("200", "54.00", "6.00")


def test_margins_by_account_and_by_product(open_desk: Opener) -> None:
    """acme: 15.00 for 100 calls that cost 4.125; zeta: 6.00 for 10 calls that cost 7.5."""
    world = calls_world("acme", "zeta")
    product = next(each for each in world.entities.values() if each.value.kind == "product")
    desk = open_desk(costly(world, product.id))
    desk.use("acme", "2023-11-05", calls=100, spent="4.125")
    desk.use("zeta", "2023-11-05", calls=10, spent="7.5")
    desk.use("zeta", "2023-12-05", calls=10, spent="99")
    billed(desk, date(2023, 11, 30))
    mark = desk.usage_store.mark

    def told(by: str) -> list[tuple[Any, ...]]:
        rows = margins(desk.records, desk.usage, by, *NOVEMBER, up_to=mark)
        return [(each.code, each.bills, each.revenue, each.cost, each.margin, each.percent) for each in rows]

    assert told("account") == [
        ("zeta", 1, D("6.00"), D("7.5"), D("-1.5"), D("-25.00")),
        ("acme", 1, D("15.00"), D("4.125"), D("10.875"), D("72.50")),
    ]
    # 21.00 and 11.625: 44.642…%
    assert told("product") == [(product.value.code, 2, D("21.00"), D("11.625"), D("9.375"), D("44.64"))]


def test_children_on_their_parent_s_bill_cost_it(open_desk: Opener) -> None:
    world = costly(calls_world("acme"))
    world.account("child", parent_account_id=id_of("account", "acme"))
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=10, spent=1)
    desk.use("child", "2023-11-05", calls=20, spent=2)
    billed(desk, date(2023, 11, 30))
    (row,) = margins(desk.records, desk.usage, "account", *NOVEMBER, up_to=desk.usage_store.mark)
    assert (row.code, row.revenue, row.cost, row.margin) == ("acme", D("8.00"), 3, D("5.00"))


def test_without_cost_or_with_a_cost_of_unknown_worth_there_is_no_margin(open_desk: Opener) -> None:
    world = calls_world("acme")
    meter = world.of(Meter)[id_of("meter", "requests")].value
    spent = DataField(code="spent", name="Spent", category=Category.COST, unit="CHF")
    world.add(msgspec.structs.replace(meter, data_fields=(*meter.data_fields, spent)), "requests")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=10, spent=1)
    billed(desk, date(2023, 11, 30))
    (row,) = margins(desk.records, desk.usage, "account", *NOVEMBER, up_to=desk.usage_store.mark)
    assert (row.revenue, row.cost, row.margin, row.percent) == (D("6.00"), None, None, None)
    desk = open_desk(calls_world("acme"))
    billed(desk, date(2023, 11, 30))
    (row,) = margins(desk.records, desk.usage, "account", *NOVEMBER, up_to=desk.usage_store.mark)
    assert (row.revenue, row.cost, row.margin) == (D("5.00"), None, None)
