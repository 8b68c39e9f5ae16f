"""Bills of accounts that have bills already are, month after month, what they are when each is read, rated and written
by itself: whatever happened to the ones before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import top_up
from test_foundry import Noted, start_thread

from billing_world import World, at, bands, id_of
from credit_world import balance, commitment
from effort import drawing
from tallystick.core.account import AccountPlan
from tallystick.core.bill import BillStatus
from tallystick.core.credit_types import Balance
from tallystick.core.organization import LateUsage
from tallystick.foundry import Foundry
from tallystick.pipeline import bill_run, casting
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.many_periods import ManyBillable
from tallystick.pipeline.periods import Billable
from tallystick.ports import DocumentWhere, Page

Stored = list[tuple[str, str, dict[str, str], bytes]]
CODES = tuple("abcdefgh")
ENDS = (date(2023, 9, 30), date(2023, 10, 31), date(2023, 11, 30), date(2023, 12, 31))
KINDS = ("bill", "emptybill", "billrevisit", "billadjustment", "ledgerentry", "invoicenumber")
EACH_BY_ITSELF = 1_000_000  # bills, fewer than which are not worth a mould


@contextmanager
def done(way: str) -> Iterator[None]:
    """Have bills made `quickly`, in groups of however few, or so and `ahead`, by a foundry; or `slowly`, each by
    itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(casting, "FEWEST", EACH_BY_ITSELF if way == "slowly" else 1)
        patch.setattr(casting, "_proves", lambda *_: True)  # no second chance
        patch.setattr(bill_run, "ManyBillable", Billable if way == "slowly" else ManyBillable)
        yield


def stored(desk: Desk) -> Stored:
    """All that bills are, and what is kept beside them."""
    everything = DocumentWhere()
    rows = [(kind, each) for kind in KINDS for each in desk.records.documents(kind, everything, Page(size=9_999)).rows]
    return sorted((kind, each.id, dict(each.keys), each.body) for kind, each in rows)


def put_plan(world: World, code: str, start: str, end: str | None = None) -> None:
    """Let an account's only plan be in force so long."""
    plan = id_of("plan", "plan")
    until = at(end) if end else None
    own = AccountPlan(account_id=id_of("account", code), plan_id=plan, start_date=at(start), end_date=until)
    world.add(own, f"plan of {code}")


def settings_of(world: World, chance: Random) -> None:
    world.config(
        bill_prefix=chance.choice([None, "IN-"]),
        suppressed_empty_bills=chance.random() < 0.3,
        standing_charge_bill_in_advance=chance.random() < 0.5,
        late_usage=chance.choice([None, LateUsage.ADJUST_NEXT_BILL]),
        consolidate_bills=chance.random() < 0.1,
    )


def drawn_world(chance: Random) -> World:
    world = World()
    settings_of(world, chance)
    world.template(standing_charge=Decimal(chance.choice([0, 5, 5])), standing_charge_interval=chance.choice([1, 1, 2]))
    world.aggregation("calls")
    world.plan()
    world.pricing("price", bands((0, "0.10"), (50, "0.07")), cumulative=chance.random() < 0.5)
    for code in CODES:
        world.account(code)
        put_plan(world, code, chance.choice(["2023-01-01"] * 4 + ["2023-09-12T10:00:00Z", "2023-10-20"]))
        if chance.random() < 0.15:
            commitment(world, code, account_id=id_of("account", code), amount=Decimal(30), start_date=date(2023, 1, 1))
        elif chance.random() < 0.15:
            balance(world, code, account_id=id_of("account", code))
    return world


class Life:
    """What happens to an organisation in four months; the same for the same number."""

    def __init__(self, directory: Path, number: int, way: str) -> None:
        self.chance, self.ahead = Random(number), way == "ahead"
        self.desk = Desk(directory, drawn_world(self.chance))
        self.seen: list[Stored] = []

    def live(self) -> list[Stored]:
        """All that is stored after each month."""
        for code in CODES:
            if (Balance.kind, id_of("balance", code)) in self.desk.world.entities:
                top_up(self.desk, "40", credit=id_of("balance", code), account=code)
        for number, end in enumerate(ENDS):
            self.go_by(end, ENDS[:number])
            self.bill(end)
            for bill_id in [each.bill.id for each in self.desk.bill_records()]:
                self.happens_to(bill_id, end)
            if self.chance.random() < 0.15:
                self.bill(end)
        return self.seen

    def go_by(self, end: date, before: Sequence[date]) -> None:
        """A month: usage of it, late usage of those before, and changes of what was agreed."""
        chance = self.chance
        for code in CODES:
            for day in chance.sample(range(1, 29), chance.choice([0, 1, 2])):
                self.use(code, end.replace(day=day))
            if before and chance.random() < 0.12:
                self.use(code, chance.choice(before).replace(day=chance.randint(1, 28)))
        for act in (self.change_plan, self.change_price, self.change_account, self.change_settings):
            if chance.random() < 0.2:
                act(end)
        self.desk.save()

    def use(self, code: str, day: date) -> None:
        moment = f"{day}T{self.chance.randrange(24):02}:00:00Z"
        self.desk.use(code, moment, calls=self.chance.choice([0, 3, 49, 50, 700]))

    def bill(self, end: date) -> None:
        """Most of the time all accounts."""
        chance, now = self.chance, f"{end + timedelta(days=1)}T06:00:00Z"
        asked: dict[str, Any] = {"chunk_size": chance.choice([3, 100])}
        if chance.random() < 0.7:
            asked["last_date_in_billing_period"] = end
        if chance.random() < 0.2:
            asked["account_ids"] = [id_of("account", code) for code in chance.sample(CODES, 5)]
        if self.ahead:
            with Foundry(
                self.desk.url, self.desk.world.organization_id, self.desk.usage, start=start_thread
            ) as foundry:
                self.desk.run(now, foundry=Noted(foundry, lambda _: None), **asked)
        else:
            self.desk.run(now, **asked)
        self.seen.append(stored(self.desk))

    def happens_to(self, bill_id: str, end: date) -> None:
        """A bill is approved, locked, deleted or calculated again, or none of it."""
        found = [each for each in self.desk.bill_records() if each.bill.id == bill_id]
        what = self.chance.choice(["nothing", "approve", "approve", "lock", "lock", "lock", "delete", "recalculate"])
        if self.chance.random() < 0.4 or not found or found[0].bill.locked:
            return
        (record,) = found
        if what in {"approve", "lock"}:
            bill = msgspec.structs.replace(
                record.bill, status=BillStatus.APPROVED, locked=what == "lock", version=record.bill.version + 1
            )
            self.desk.put(msgspec.structs.replace(record, bill=bill))
        elif what == "delete" and self.chance.random() < 0.3:
            remove_bill(self.desk.records, bill_id, actor_id="ada", at=at(f"{end}T00:00:00Z"))
        elif what == "recalculate" and self.chance.random() < 0.3:
            self.desk.recalculate([bill_id], now=f"{end + timedelta(days=1)}T09:00:00Z")

    # ------------------------------------------------------------------------------------------- changes

    def change_plan(self, end: date) -> None:
        """Somebody leaves, stays longer, or came on another day than was thought."""
        chance = self.chance
        ends = [None, f"{end}T00:00:00Z", f"{end.replace(day=9)}T07:00:00Z", "2023-12-15T00:00:00Z"]
        for code in chance.sample(CODES, 2):
            put_plan(self.desk.world, code, chance.choice(["2023-01-01", "2023-09-05"]), chance.choice(ends))

    def change_price(self, end: date) -> None:
        since = at(f"{end.replace(day=self.chance.choice([1, 15]))}T00:00:00Z")
        world, rest = self.desk.world, bands((0, self.chance.choice(["0.2", "0.01"])))
        if self.chance.random() < 0.5:
            price = world.entities["pricing", id_of("pricing", "price")].value
            world.add(msgspec.structs.replace(price, end_date=since), "price")
        world.pricing(f"price of {since}", rest, start_date=since)

    def change_account(self, end: date) -> None:
        code = self.chance.choice(CODES)
        self.desk.world.account(code, purchase_order_number=self.chance.choice([None, f"PO {end}"]))

    def change_settings(self, _: date) -> None:
        settings_of(self.desk.world, self.chance)


@given(st.integers(0, 10**9))
@settings(**drawing(6, shrink=False))
def test_bills_of_every_month_are_what_they_are_one_by_one(number: int) -> None:
    lives = []
    for way in ("quickly", "ahead", "slowly"):
        with tempfile.TemporaryDirectory() as directory, done(way):
            life = Life(Path(directory), number, way)
            try:
                lives.append(life.live())
            finally:
                life.desk.close()
    for quick, ahead, slow in zip(*lives, strict=True):
        assert quick == slow
        assert ahead == slow


@pytest.mark.parametrize("state", ["PENDING", "APPROVED", "LOCKED"])
@pytest.mark.parametrize("advance", [True, False], ids=["in advance", "in arrears"])
def test_second_bills_are_cast_whatever_became_of_the_first(
    state: str, *, advance: bool, open_desk: Callable[[World], Desk], cast: list[str]
) -> None:
    """A standing charge of 5.00 and 10 calls at 0.10 each month; in advance the first bill has two of the charge. Who
    has late usage is billed by itself; where that bill is final, for 7 calls more."""
    codes = [f"a{number}" for number in range(casting.FEWEST + 1)]
    world = calls_world(*codes, start="2023-11-01")
    world.config(late_usage=LateUsage.ADJUST_NEXT_BILL, standing_charge_bill_in_advance=advance)
    desk = open_desk(world)
    for code in codes:
        for month in (11, 12):
            desk.use(code, f"2023-{month}-02T00:00:00Z", calls=10)
    desk.run(**NOVEMBER)
    first = Decimal("11.00") if advance else Decimal("6.00")
    assert {each.bill_total for each in desk.bills()} == {first}
    for record in desk.bill_records() if state != "PENDING" else ():
        bill = msgspec.structs.replace(record.bill, status=BillStatus.APPROVED, locked=state == "LOCKED")
        desk.put(msgspec.structs.replace(record, bill=bill))
    del cast[:]
    desk.use("a0", "2023-11-03T00:00:00Z", calls=7)
    desk.run("2024-01-01T06:00:00Z", last_date_in_billing_period=date(2023, 12, 31))
    open_still = state == "PENDING"
    assert set(cast) == set(codes[1:])
    late = Decimal("0.00") if open_still else Decimal("0.70")
    second = {each.account_code: each.bill_total for each in desk.bills() if each.start_date == date(2023, 12, 1)}
    assert second == dict.fromkeys(codes, Decimal("6.00")) | {"a0": Decimal("6.00") + late}
    waiting = desk.records.documents("billrevisit", DocumentWhere(), Page(size=99)).rows
    assert not waiting, "all of it has been looked at"
