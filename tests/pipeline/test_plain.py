"""Plain accounts are read in groups: what is billed, and how, is what it is when each account is read by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world

from billing_world import World, at, bands, id_of
from tallystick.core.account import ChildBillingMode
from tallystick.core.bill import BillParameters, BillStatus, bill_id
from tallystick.core.catalog import Pricing
from tallystick.core.credit_types import Balance, Commitment, CommitmentFee
from tallystick.core.memo import BillMemo, MemoType
from tallystick.core.period import Frequency, Period
from tallystick.core.plain_account import Group
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline import casting
from tallystick.pipeline.many_periods import ManyBillable
from tallystick.pipeline.periods import NOTHING_ELSE, Also, Billable, Choice, ended_by, ending_on, holding
from tallystick.pipeline.plain import plain_groups
from tallystick.pipeline.suppressed import KIND as EMPTY
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
CODES = ("a", "b", "c", "d")
DECEMBER: dict[str, Any] = {"now": "2024-01-01T06:00:00Z", "last_date_in_billing_period": date(2023, 12, 31)}
OF_NOVEMBER = Period(at("2023-11-01"), at("2023-12-01"))


def of_november(code: str) -> AccountPeriod:
    return AccountPeriod(account_id=id_of("account", code), frequency=Frequency.MONTHLY, interval=1, period=OF_NOVEMBER)


def second_plan(world: World) -> Any:
    plan = world.plan("second")
    world.pricing("second price", bands((0, 2)), plan_id=plan.id)
    return plan


def has_a_parent(world: World) -> None:
    world.account("parent")
    world.account("b", parent_account_id=id_of("account", "parent"))


def has_a_parent_that_bills_it(world: World) -> None:
    has_a_parent(world)
    world.account_plan(second_plan(world), "parent", child_billing_mode=ChildBillingMode.CHILD)


def has_a_child(world: World) -> None:
    world.account("child", parent_account_id=id_of("account", "b"))


def has_two_plans(world: World) -> None:
    world.account_plan(second_plan(world), "b")


def had_another_plan(world: World) -> None:
    world.account_plan(second_plan(world), "b", end_date="2023-02-01")


def has_a_group_of_plans(world: World) -> None:
    plan = next(iter(world.of(type(second_plan(world).value)).values()))
    group = world.plan_group(second_plan(world))
    world.account_plan(plan, "b", plan_id=None, plan_group_id=group.id)


def has_a_contract(world: World) -> None:
    world.account_plan(account="b", contract_id=world.contract(account="b", purchase_order_number="PO 1").id)


def has_bills_of_its_own_by_contract(world: World) -> None:
    key = world.grouping_key(exclusive=True)
    world.account_plan(account="b", contract_id=world.contract(account="b", bill_grouping_key_id=key.id).id)


def has_a_discount(world: World) -> None:
    world.discount("tenth", "b", percent=Decimal(10))


def has_a_charge(world: World) -> None:
    world.charge("setup", "12.5", "b")


def has_a_charge_of_another_day(world: World) -> None:
    world.charge("setup", "12.5", "b", day="2022-06-15")


def has_a_counted_level(world: World) -> None:
    world.counter()
    world.counter_pricing("seat", bands((0, 3)))
    world.level("2023-11-10", 4, "b")


def has_a_commitment(world: World) -> None:
    days = {"start_date": date(2023, 11, 1), "end_date": date(2024, 2, 1)}
    agreed = Commitment(account_id=id_of("account", "b"), currency="USD", amount=Decimal(900), **days)
    world.add(agreed, "commitment")


def has_a_balance(world: World) -> None:
    wallet(world, "b")


def has_a_memo(world: World) -> None:
    product = world.product("Goodwill")
    bill = bill_id(world.organization_id, of_november("b").key)
    memo = BillMemo(
        bill_id=bill,
        line_item_type=MemoType.DEBIT_MEMO,
        product_id=product.id,
        accounting_product_id=product.id,
        amount=Decimal("7.50"),
        description="Late fee",
        referenced_bill_id=bill,
        referenced_line_item_id=id_of("line", "none"),
        service_period_start_date=at("2023-11-01"),
        service_period_end_date=at("2023-12-01"),
    )
    world.add(memo, "memo")


SPECIAL = (
    has_a_parent,
    has_a_parent_that_bills_it,
    has_a_child,
    has_two_plans,
    had_another_plan,
    has_a_group_of_plans,
    has_a_contract,
    has_bills_of_its_own_by_contract,
    has_a_discount,
    has_a_charge,
    has_a_charge_of_another_day,
    has_a_counted_level,
    has_a_commitment,
    has_a_balance,
    has_a_memo,
)


def groups_of(desk: Desk, asked: list[AccountPeriod]) -> list[Group]:
    return plain_groups(desk.records, desk.usage, asked, up_to=desk.usage_store.mark)


def codes_of(desk: Desk, found: list[Any]) -> list[str]:
    return sorted(account.code for group in found for _, account in group)


def stored(desk: Desk) -> list[tuple[str, dict[str, str], bytes]]:
    """Every bill, and every suppressed one, as it is kept."""
    rows = [each for kind in ("bill", EMPTY) for each in desk.records.documents(kind, DocumentWhere(), Page(999)).rows]
    return sorted((each.id, dict(each.keys), each.body) for each in rows)


def two_months(desk: Desk, monkeypatch: pytest.MonkeyPatch, fewest: int) -> list[Any]:
    """All bills after November, and after December, when some of November are final and had late usage."""
    monkeypatch.setattr(casting, "FEWEST", fewest)
    random = Random(7)
    for code in CODES:
        desk.use(code, "2023-11-02T00:00:00Z", calls=random.randint(0, 30))
    desk.run(**NOVEMBER, chunk_size=3)
    november = stored(desk)
    for record in desk.bill_records():
        if record.bill.account_code in {"a", "b"}:
            bill = msgspec.structs.replace(
                record.bill, status=BillStatus.APPROVED, locked=record.bill.account_code == "a"
            )
            desk.put(msgspec.structs.replace(record, bill=bill))
    for code in CODES[1:]:
        desk.use(code, "2023-11-20T00:00:00Z", calls=5)
        desk.use(code, "2023-12-20T00:00:00Z", calls=random.randint(0, 30))
    desk.run(**DECEMBER, chunk_size=3)
    return [november, stored(desk)]


@pytest.mark.parametrize("special", SPECIAL, ids=lambda each: each.__name__)
def test_who_has_more_than_a_plan_is_billed_by_itself(
    special: Callable[[World], None], open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other accounts are plain, and nobody's bills depend on it."""
    world = calls_world(*CODES)
    special(world)
    desk = open_desk(world)
    asked = [of_november(code) for code in CODES]
    assert codes_of(desk, groups_of(desk, asked)) == ["a", "c", "d"]
    for also in (NOTHING_ELSE, Also.ENDED_PLANS | Also.EARLIER_DAYS):
        assert same_periods(desk, ending_on(date(2023, 11, 30)), also)
    grouped, each_by_itself = two_months(desk, monkeypatch, 1), two_months(open_desk(world), monkeypatch, 1_000)
    assert grouped == each_by_itself
    assert len(grouped[0]) >= len(CODES)


def same_periods(desk: Desk, choose: Choice, also: Also = NOTHING_ELSE, **asked: Any) -> list[AccountPeriod]:
    """The periods that there are to bill, which are the same either way."""
    parameters = asked.pop("parameters", BillParameters())
    found = ManyBillable(desk.records, None, parameters).periods(choose, also=also, **asked)
    assert found == Billable(desk.records, None, parameters).periods(choose, also=also, **asked)
    assert [each.key for each in found] == [each.key for each in dict.fromkeys(found)]
    return found


def grids_world(random: Random) -> World:
    """Plans of several billing grids, on accounts with epochs of their own, for some time or for ever."""
    world = calls_world()
    world.config(timezone=random.choice(["UTC", "Pacific/Auckland"]), month_epoch=date(2023, 1, random.randint(1, 28)))
    frequencies = (Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY, Frequency.ANNUALLY, Frequency.AD_HOC)
    plans = [
        world.plan(
            name, world.template(name, bill_frequency=frequency, bill_frequency_interval=random.choice([1, 1, 3]))
        )
        for number, frequency in enumerate(frequencies)
        if (name := f"plan {number}")
    ]
    for number in range(40):
        code = f"{random.choice('xyz')}{number}"
        world.account(code, bill_epoch=random.choice([None, None, date(2023, 1, 9)]))
        start = random.choice(["2022-02-01", "2023-11-01", "2023-11-20T13:00:00.000001Z", "2023-12-20T23:59:59Z"])
        more: dict[str, Any] = {"bill_epoch": random.choice([None, date(2023, 1, 3)])}
        if random.random() < 0.3:
            more["end_date"] = random.choice(["2023-12-25", "2024-01-01"])
        world.account_plan(random.choice(plans), code, start, **more)
        if random.random() < 0.1:
            world.charge(f"charge {number}", 3, code)
        if random.random() < 0.3:
            commitment(world, code, random.choice(plans))
        if random.random() < 0.1:
            wallet(world, code)
    return world


def commitment(world: World, code: str, plan: Any) -> None:
    """One with fees on the bills of a plan, on a day, or without."""
    fee = CommitmentFee(
        date=date(2023, 11, 30),
        amount=Decimal(10),
        service_period_start_date=at("2023-11-01"),
        service_period_end_date=at("2023-12-01"),
    )
    number = int(code[1:]) % 3
    fees: dict[str, Any] = ({"billing_plan_id": plan.id}, {"fee_dates": (fee,)}, {})[number]
    days = {"start_date": date(2023, 11, 1), "end_date": date(2024, 2, 1)}
    agreed = Commitment(account_id=id_of("account", code), currency="USD", amount=Decimal(900), **days, **fees)
    world.add(agreed, f"commitment {code}")


def wallet(world: World, code: str) -> None:
    days = {"start_date": at("2023-01-01"), "end_date": at("2024-06-01")}
    world.add(Balance(account_id=id_of("account", code), code=code, name=code, currency="USD", **days), code)


@pytest.mark.parametrize("seed", range(6))
def test_the_periods_of_plain_accounts_are_those_of_anybody(seed: int, open_desk: Opener) -> None:
    random = Random(seed)
    desk = open_desk(grids_world(random))
    choices = [ending_on(date(2023, 11, 30)), ended_by(at("2023-12-21T05:00:00Z")), holding(at("2023-11-20T12:59:59Z"))]
    assert any(same_periods(desk, choose, also) for choose in choices for also in (NOTHING_ELSE, Also.EARLIER_DAYS))
    for frequency in (Frequency.WEEKLY, Frequency.MONTHLY):
        for interval in (None, 3):
            same_periods(desk, choices[1], frequency=frequency, interval=interval)
    same_periods(desk, choices[1], parameters=BillParameters(timezone="America/Lima", week_epoch=date(2023, 1, 4)))


def test_who_has_bills_is_not_plain(open_desk: Opener) -> None:
    """An account with bills may have to look back at them; so may one with several periods to bill at once."""
    desk = open_desk(calls_world(*CODES))
    asked = [of_november(code) for code in CODES]
    october = msgspec.structs.replace(asked[0], period=Period(at("2023-10-01"), at("2023-11-01")))
    assert codes_of(desk, groups_of(desk, [*asked, october])) == ["b", "c", "d"]
    desk.run(**NOVEMBER, account_ids=[id_of("account", "c")])
    assert codes_of(desk, groups_of(desk, asked)) == ["a", "b", "d"]
    assert groups_of(desk, []) == []
    days = [msgspec.structs.replace(each, frequency=Frequency.AD_HOC) for each in asked]
    assert groups_of(desk, days) == []


def test_how_long_a_plan_has_been_in_force_matters_only_near_the_period(open_desk: Opener) -> None:
    world = calls_world()
    starts = {"a": "2020-02-01", "b": "2023-09-01", "c": "2023-10-20", "d": "2023-10-20", "e": "2023-11-05"}
    for code, start in starts.items():
        world.account(code)
        world.account_plan(account=code, start=start)
    desk = open_desk(world)
    found = groups_of(desk, [of_november(code) for code in starts])
    assert sorted("".join(account.code for _, account in group) for group in found) == ["ab", "cd", "e"]


def test_a_price_that_ended_is_named_on_the_bills_of_those_who_had_the_plan_before(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pay the present price; that is what there is to see of the others but for what a bill was made of."""
    world = calls_world(price="0.10")
    (price,) = world.of(Pricing).values()
    world.add(msgspec.structs.replace(price.value, start_date=at("2023-06-01")), "price")
    ended = world.pricing("price of before", bands((0, "0.20")), end_date=at("2023-06-01"))
    starts = {"a": "2023-06-01", "b": "2023-01-01", "c": "2023-07-01", "d": "2023-05-31T23:59:59.999999Z"}
    for code, start in starts.items():
        world.account(code)
        world.account_plan(account=code, start=start)
    desk = open_desk(world)
    grouped, each_by_itself = two_months(desk, monkeypatch, 1), two_months(open_desk(world), monkeypatch, 1_000)
    assert grouped == each_by_itself
    naming = {
        each.bill.account_code for each in desk.bill_records() if ended.id in {one.id for one in each.evidence.uses}
    }
    assert naming - {"acme"} == {"b", "d"}


def test_who_has_a_bill_of_the_period_before_and_nothing_late_is_plain(open_desk: Opener) -> None:
    """They are alike who have a bill that is open, or a closed one, or none; who skipped a month is by itself, and so
    is who has late usage of the month before, or a bill that was changed since."""
    codes = "abcdefghijklmnop"
    desk = open_desk(calls_world(*codes))
    desk.run(now="2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31), account_ids=ids_of("d"))
    desk.run(**NOVEMBER, account_ids=ids_of(*"efghijklmnop"))
    states = {"e": "APPROVED", "f": "LOCKED"} | dict.fromkeys("ijkl", "LOCKED")
    for record in desk.bill_records():
        state = states.get(record.bill.account_code)
        if state:
            bill = msgspec.structs.replace(record.bill, status=BillStatus.APPROVED, locked=state == "LOCKED")
            desk.put(msgspec.structs.replace(record, bill=bill))
    for code in "go":
        desk.use(code, "2023-11-30T23:59:59Z", calls=1)
    desk.use("h", "2023-12-01T00:00:00Z", calls=1)
    december = Period(at("2023-12-01"), at("2024-01-01"))
    asked = [msgspec.structs.replace(of_november(code), period=december) for code in codes]
    found = groups_of(desk, asked)
    assert sorted("".join(account.code for _, account in group) for group in found) == ["abc", "ehmnp", "fijkl"]


def ids_of(*codes: str) -> list[str]:
    return [id_of("account", code) for code in codes]


NOVEMBER_30, DECEMBER_31 = ending_on(date(2023, 11, 30)), ending_on(date(2023, 12, 31))
ENDS_AND_CHANGES = Also.ENDED_PLANS | Also.EARLIER_DAYS


@pytest.mark.parametrize("closing", ["PENDING", "APPROVED", "LOCKED"])
def test_a_plan_that_changed_since_the_bill_before_is_looked_at_again(open_desk: Opener, closing: str) -> None:
    """November is charged in advance on October's bills. Where those are open, they are made again for whoever's plan
    is another by now; where they are closed, the bill of November itself puts right what was charged too far."""
    ends = {"ended": "2023-11-10", "ended before": "2023-11-01", "moved": "2023-10-20", "goes on": "2024-06-01"}
    codes = [*ends, "as it was", "renamed", "two of them", "skipped"]
    world = calls_world(*codes)
    world.config(standing_charge_bill_in_advance=True)
    desk = open_desk(world)
    billed = ids_of(*(code for code in codes if code != "skipped"))
    desk.run("2023-11-01T06:00:00Z", last_date_in_billing_period=date(2023, 10, 31), account_ids=billed)
    for record in desk.bill_records() if closing != "PENDING" else ():
        bill = msgspec.structs.replace(record.bill, status=BillStatus.APPROVED, locked=closing == "LOCKED")
        desk.put(msgspec.structs.replace(record, bill=bill))
    for code, end in ends.items():
        world.account_plan(account=code, end_date=end)
    world.account("renamed", name="Otherwise")
    second = world.plan("second")
    world.account_plan(second, "two of them")
    desk.save()
    found = same_periods(desk, NOVEMBER_30, ENDS_AND_CHANGES)
    asked = {
        (code, each.period.start.month) for each in found for code in codes if each.account_id == id_of("account", code)
    }
    in_force = {(code, 11) for code in codes if code not in {"ended before", "moved"}}
    if closing == "LOCKED":
        assert asked == in_force | {("ended before", 11), ("moved", 11)}
    else:
        assert asked == in_force | {(code, 10) for code in (*ends, "two of them")}
    desk.run(**NOVEMBER)
    same_periods(desk, DECEMBER_31, ENDS_AND_CHANGES)
