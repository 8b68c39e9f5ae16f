"""Bills from moulds are, byte for byte, what they are when they are rated and written one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from random import Random

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from ledger_desk import entries, top_up

from billing_world import World, at, bands, id_of
from credit_world import balance, commitment
from tallystick.core.aggregation import Method, UnitRounding
from tallystick.core.cast import Cast
from tallystick.core.credit_types import CreditLine
from tallystick.core.drawing import Draw
from tallystick.core.ledger import LedgerEntry, Opening
from tallystick.core.mould import Blank, Mould
from tallystick.core.organization import BillConfig, CurrencyConversion
from tallystick.pipeline import casting
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
DECEMBER = {"last_date_in_billing_period": date(2023, 12, 31)}
METHODS = (Method.SUM, Method.SUM, Method.MAX, Method.MEAN, Method.COUNT)
PRICES = ("0", "0.1", "0.333333333", "1E-7", "12", "-0.5")


def varied_world(random: Random) -> World:
    """Plans with all manner of plain prices, accounts that differ in what they may differ in, and some that have more
    to them: they are never cast, and must not disturb the others."""
    world = World()
    world.config(
        bill_prefix=random.choice([None, "IN%V-"]),
        timezone=random.choice(["UTC", "Asia/Kathmandu", "America/New_York"]),
        standing_charge_bill_in_advance=random.random() < 0.3,
        suppressed_empty_bills=random.random() < 0.3,
        currency_conversions=(CurrencyConversion(from_="USD", to="EUR", multiplier=Decimal("0.912345")),),
    )
    world.currency("EUR", random.choice([None, 0, 3]))
    world.meter(fields=("calls", "hours"))
    names = [f'use {number} % "ü"' for number in range(random.randint(0, 4))]
    for name in names:
        world.aggregation(
            name,
            code=f"use_{len(name)}_{random.random()}".replace(".", "_"),
            aggregation=random.choice(METHODS),
            target_field=random.choice(["calls", "hours"]),
            quantity_per_unit=Decimal(random.choice(["1", "7", "0.001"])),
            rounding=random.choice([UnitRounding.NONE, UnitRounding.UP]),
            default_value=random.choice([None, None, Decimal("0.0"), Decimal(3)]),
        )
    world.template(standing_charge=Decimal(random.choice([0, 5])), standing_charge_interval=random.choice([1, 1, 2]))
    world.plan()
    for name in names:
        limits = sorted({0, *(random.choice([1, 5, 40, 100, 250]) for _ in range(random.randint(0, 3)))})
        rows = [(limit, random.choice(PRICES), random.choice([0, 9])) for limit in limits]
        more = random.choice([{}, {}, {}, {"start_date": at("2023-11-12")}, {"end_date": at("2022-06-01")}])
        price = bands(*rows)
        world.pricing(name, price, aggregation_id=id_of("aggregation", name), cumulative=random.random() < 0.5, **more)
    for number in range(24):
        code = f'{number} % \\ "é"'
        world.account(
            code,
            currency=random.choice([None, None, "EUR"]),
            days_before_bill_due=random.choice([None, 10]),
            purchase_order_number=random.choice([None, None, 'PO "1" %s']),
        )
        start = random.choice(["2022-02-01", "2023-01-01", "2023-11-01", "2023-11-20T13:00:00Z"])
        end = {"end_date": "2023-11-25"} if random.random() < 0.1 else {}
        world.account_plan(account=code, start=start, **end)
        if random.random() < 0.15:
            world.discount(f"discount {number}", code, percent=Decimal(10))
        if random.random() < 0.15:
            world.charge(f"charge {number}", "12.5", code)
    return world


def documents(desk: Desk) -> list[tuple[str, dict[str, str], bytes]]:
    rows = desk.records.documents("bill", DocumentWhere(), Page(size=1_000)).rows
    return [(each.id, dict(each.keys), each.body) for each in rows]


@pytest.mark.parametrize("seed", range(8))
def test_cast_or_rated_a_bill_is_the_same(
    seed: int, open_desk: Opener, cast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    world = varied_world(random)
    used = [
        (account.value.code, f"2023-11-{random.randint(1, 30):02}T07:00:00Z", amount)
        for account in world.entities.values()
        if account.value.kind == "account"
        for amount in random.sample(["0", "0.5", "3", "39.99", "-40", "1E+3", "12345678901234567.123"], 3)
        if random.random() < 0.6
    ]

    def billed(fewest: int) -> list[tuple[str, dict[str, str], bytes]]:
        monkeypatch.setattr(casting, "FEWEST", fewest)
        monkeypatch.setattr(casting, "_proves", lambda *_: True)  # no second chance
        desk = open_desk(world)
        for code, when, amount in used:
            desk.use(code, when, calls=amount, hours=1)
        desk.run(**NOVEMBER, chunk_size=7)
        return documents(desk)

    found = billed(1)
    assert len(set(cast)) >= 5
    del cast[:]
    assert found == billed(1_000)
    assert not cast


def add_credit(world: World, random: Random) -> list[tuple[str, str, str]]:
    """All manner of credit; gives what is put into balances: account, balance, amount."""
    put_in = []
    for number in range(24):
        code = f'{number} % \\ "é"'
        for one in range(random.choice([0, 1, 1, 1, 2])):
            name, account_id = f"{number}.{one}", id_of("account", code)
            rare: dict[str, object] = {"overage_surcharge_percent": Decimal(10)} if random.random() < 0.1 else {}
            if random.random() < 0.1:
                rare["currency"] = "EUR"
            if random.random() < 0.3:
                rare["line_item_types"] = (random.choice([CreditLine.USAGE, CreditLine.STANDING_CHARGE]),)
            if random.random() < 0.5:
                begins = date(2023, 11, 12) if random.random() < 0.15 else date(2023, 1, 1)
                amount = Decimal(random.choice(["3", "20.50", "100000"]))
                commitment(world, name, account_id=account_id, amount=amount, start_date=begins, **rare)
                continue
            if random.random() < 0.15:
                rare |= {"end_date": at("2023-11-20"), "rollover_end_date": at("2023-12-10")}
            balance(world, name, account_id=account_id, allow_overdraft=random.random() < 0.2, **rare)
            put_in.append((code, id_of("balance", name), random.choice(["0.01", "12.34", "5000"])))
    return put_in


@pytest.mark.parametrize("seed", range(8))
def test_drawn_from_a_mould_or_rated_a_bill_and_the_ledger_are_the_same(
    seed: int, open_desk: Opener, cast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    world = varied_world(random)
    put_in = add_credit(world, random)
    used = [
        (f'{number} % \\ "é"', f"2023-{month}-{random.randint(1, 30):02}T07:00:00Z", amount)
        for number in range(24)
        for month in (11, 12)
        for amount in random.sample(["0", "0.5", "3", "39.99", "1000", "12345678901.123"], 2)
        if random.random() < 0.7
    ]
    drawn: list[str] = []
    own = Blank.drawn

    def noted(blank: Blank, openings: Mapping[str, Opening]) -> tuple[Cast, tuple[Draw, ...]]:
        drawn.append(blank.id)
        return own(blank, openings)

    monkeypatch.setattr(Blank, "drawn", noted)

    def billed(fewest: int) -> tuple[list[tuple[str, dict[str, str], bytes]], dict[str, LedgerEntry]]:
        monkeypatch.setattr(casting, "FEWEST", fewest)
        monkeypatch.setattr(casting, "_proves", lambda *_: True)  # no second chance
        desk = open_desk(world)
        for account, wallet, amount in put_in:
            top_up(desk, amount, credit=wallet, account=account)
        for code, when, amount in used:
            desk.use(code, when, calls=amount, hours=1)
        desk.run("2024-01-01T06:00:00Z", **DECEMBER, chunk_size=7)
        desk.run("2024-01-01T06:00:00Z", **NOVEMBER, chunk_size=9)  # before those that stand, which are drawn anew
        return documents(desk), {each.id: each for each in entries(desk)}

    found = billed(1)
    assert len(set(drawn)) >= 5
    del drawn[:], cast[:]
    assert found == billed(1_000)
    assert not drawn
    assert not cast


def test_what_a_credit_leaves_of_bills_from_a_mould(open_desk: Opener) -> None:
    """Each account uses 100 calls, 10.00 by a price of 0.10, beside a standing charge of 5.00."""
    codes = [f"a{number}" for number in range(casting.FEWEST)]
    world = calls_world(*codes)
    for code, amount in zip(codes, ("4", "15", "20", "0.01"), strict=True):
        commitment(world, code, account_id=id_of("account", code), amount=Decimal(amount))
    desk = open_desk(world)
    for code in codes:
        desk.use(code, "2023-11-02T00:00:00Z", calls=100)
    desk.run(**NOVEMBER)
    assert {bill.account_code: bill.bill_total for bill in desk.bills()} == {
        "a0": Decimal("11.00"),
        "a1": Decimal("0.00"),
        "a2": Decimal("0.00"),
        "a3": Decimal("14.99"),
    }
    assert sorted(each.amount for each in entries(desk)) == [-15, -15, -4, Decimal("-0.01")]


def test_only_new_bills_are_cast(open_desk: Opener, cast: list[str]) -> None:
    codes = [f"a{number}" for number in range(casting.FEWEST)]
    desk = open_desk(calls_world(*codes))
    desk.use("a1", "2023-11-02T00:00:00Z", calls=100)
    first = desk.run(**NOVEMBER)
    assert set(cast) == set(codes)
    before = documents(desk)
    del cast[:]
    desk.use("a2", "2023-11-02T00:00:00Z", calls=50)
    desk.run(**NOVEMBER)
    assert not cast
    after = {id_: body for id_, _, body in documents(desk)}
    assert [id_ for id_, _, body in before if after[id_] != body] == [bill.id for bill in desk.bills()[2:3]]
    assert {bill.account_code: bill.bill_total for bill in desk.bills()} == {
        code: Decimal({"a1": "15.00", "a2": "10.00"}.get(code, "5.00")) for code in codes
    }
    assert set(first.bill_ids) == {bill.id for bill in desk.bills()}


def test_a_bill_that_another_run_stored_meanwhile_is_rated(open_desk: Opener, cast: list[str]) -> None:
    desk = open_desk(calls_world(*(f"a{number}" for number in range(casting.FEWEST))))
    one, other = desk.ask(**NOVEMBER), desk.ask(**NOVEMBER)
    ran = []

    def meanwhile(step: str) -> None:
        if step == "rated" and not ran:
            ran.append(desk.go_on(other.id))

    job = desk.go_on(one.id, failpoint=meanwhile)
    assert (job.status, len(job.bill_ids)) == ("COMPLETE", casting.FEWEST)
    assert {bill.bill_job_id for bill in desk.bills()} == {other.id}


def test_a_mould_that_would_write_another_bill_is_not_used(
    open_desk: Opener, cast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = casting.mould_of

    def wrong(*given: object, **named: bool) -> Mould | None:
        mould = own(*given, **named)  # type: ignore[arg-type]  # handed on as it came
        if mould is None:
            return None
        pieces = tuple(each.replace("USD", "EUR") for each in mould.stencil.pieces)
        return msgspec.structs.replace(mould, stencil=msgspec.structs.replace(mould.stencil, pieces=pieces))

    monkeypatch.setattr(casting, "mould_of", wrong)
    desk = open_desk(calls_world(*(f"a{number}" for number in range(casting.FEWEST))))
    desk.run(**NOVEMBER)
    assert set(cast) == {"a0"}  # the one that it was tried with
    assert {bill.currency for bill in desk.bills()} == {"USD"}


def test_a_closed_period_and_money_that_must_not_be_rounded_are_refused_one_by_one(open_desk: Opener) -> None:
    world = calls_world(*(f"a{number}" for number in range(casting.FEWEST)))
    world.currency("USD", 2, "UNNECESSARY")
    desk = open_desk(world)
    desk.use("a1", "2023-11-02T00:00:00Z", calls="0.01")
    job = desk.run(**NOVEMBER)
    assert [(each.account_id, each.code) for each in job.failures] == [(id_of("account", "a1"), "rounding_forbidden")]
    assert len(job.bill_ids) == casting.FEWEST - 1
    world.add(BillConfig(bill_lock_date=date(2023, 12, 31)), "billconfig")
    desk.save()
    job = desk.run("2024-01-01T06:00:00Z", last_date_in_billing_period=date(2023, 12, 31))
    assert {each.code for each in job.failures} == {"bill_locked"}
    assert len(job.failures) == casting.FEWEST
