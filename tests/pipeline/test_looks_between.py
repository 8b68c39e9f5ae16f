"""Whatever is written, measured and billed between two looks, and however time passes: what is shown from memory is
what is shown when everything is read anew."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from billing_desk import ADA, Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desk import top_up
from mixed_world import CODES, PLANS, PRICES, USED, config, filled_up, mixed_world

from billing_world import CREATED, World, at, bands, id_of
from credit_world import balance, commitment
from effort import drawing
from tallystick.control.bill_lists import BillsWanted, accounts_named, totals
from tallystick.control.overview import expiring_credit
from tallystick.core.account import Account, AccountPlan
from tallystick.core.bill import BillStatus, approve, lock
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.catalog import Plan, PlanTemplate, Pricing, Product
from tallystick.core.credit_types import Balance
from tallystick.core.discount import Discount
from tallystick.core.entity import Entity
from tallystick.core.organization import Currency
from tallystick.core.period import Frequency, Instant
from tallystick.errors import Refusal
from tallystick.pipeline.bill import remove_bill
from tallystick.pipeline.preview import preview_bill
from tallystick.pipeline.watch import live_values
from tallystick.ports import OrganizationRecords, OrganizationUsage
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.records_sql import open_records
from tallystick.stores.records_sql.remembered import Memory
from tallystick.stores.records_sql.view import SqlOrganization
from tallystick.stores.running_usage import RunningUsage

HOLDERS = CODES[:3]  # who have a wallet, and are looked at
STEPS = (timedelta(minutes=30), timedelta(hours=1), timedelta(days=1), timedelta(days=9), timedelta(days=40))


def world_of(chance: Random) -> World:
    world = mixed_world(chance)
    for code in HOLDERS:
        balance(world, f"purse {code}", account_id=id_of("account", code), start_date=at("2023-10-10"))
    return world


class Life:
    """A desk whose usage answers run on, and what happens there."""

    def __init__(self, directory: Path, chance: Random) -> None:
        self.chance, self.behind = chance, MemoryUsage()
        self.desk = Desk(directory, world_of(chance), usage_store=RunningUsage(self.behind))
        self.now = at("2023-10-14T20:00:00Z")
        self.made = 0
        filled_up(self.desk, chance)

    @property
    def name(self) -> str:
        self.made += 1
        return f"made {self.made}"

    def any_of(self, kind: type[Any]) -> Entity[Any] | None:
        found = list(self.desk.records.every(kind))
        return self.chance.choice(found) if found else None

    # ------------------------------------------------------------------------------------------- what happens

    def usage(self) -> None:
        """Now, or late, or ahead of the clock."""
        for _ in range(self.chance.choice([1, 1, 5])):
            moment = Instant.of(self.now + timedelta(hours=self.chance.choice([0, 0, -1, -200, -900, 300])))
            region = {"region": self.chance.choice(["EU", "US"])}
            amount = self.chance.choice(USED)
            self.desk.use(self.chance.choice(HOLDERS), moment.wire(), texts=region, calls=amount, hours=Decimal(2))

    def time(self) -> None:
        self.now = Instant.of(self.now + self.chance.choice(STEPS))

    def run(self) -> None:
        self.desk.run(self.now.wire(), chunk_size=self.chance.choice([2, 500]))

    def bill(self) -> None:
        """A bill goes on to its next state, or goes."""
        found = [each for each in self.desk.bill_records() if not each.bill.locked]
        if not found:
            return
        record = self.chance.choice(found)
        if self.chance.random() < 0.3:
            remove_bill(self.desk.records, record.bill.id, actor_id="ada", at=self.now)
        else:
            change = approve if record.bill.status is BillStatus.PENDING else lock
            self.desk.put(msgspec.structs.replace(record, bill=change(record.bill, by="ada", at=self.now)))

    def recalculation(self) -> None:
        found = [each.id for each in self.desk.bills() if not each.locked]
        if found:
            self.desk.recalculate([self.chance.choice(found)], self.now.wire())

    def top_up(self) -> None:
        code = self.chance.choice(HOLDERS)
        when = Instant.of(self.now + timedelta(days=self.chance.choice([-3, 0, 2])))
        top_up(self.desk, self.chance.randint(-50, 300) or 1, when.wire(), id_of("balance", f"purse {code}"), code)

    def new(self) -> None:
        """Something more is agreed."""
        chance, world, code = self.chance, self.desk.world, self.chance.choice(HOLDERS)
        day = self.now.date().isoformat()
        acts: tuple[Callable[[], object], ...] = (
            lambda: world.discount(self.name, code, percent=Decimal(chance.randint(1, 50))),
            lambda: world.charge(self.name, chance.randint(1, 9), code, day=day),
            lambda: world.level(day, chance.randint(0, 9), code),
            lambda: commitment(world, self.name, amount=Decimal(40), account_id=id_of("account", code)),
            lambda: balance(world, self.name, account_id=id_of("account", code), start_date=self.now),
            lambda: world.account_plan(
                world.entities["plan", id_of("plan", chance.choice(PLANS))], code, self.now.wire()
            ),
            lambda: world.account(self.name, parent_account_id=id_of("account", code)),
            lambda: world.contract(self.name, code),
            lambda: config(world, chance),
        )
        chance.choice(acts)()
        self.desk.save()

    def change(self, *, kept: bool = True) -> None:
        """Something is agreed otherwise."""
        chance = self.chance
        changes: tuple[tuple[type[Any], dict[str, Any]], ...] = (
            (Account, {"currency": chance.choice([None, "EUR"]), "purchase_order_number": self.name}),
            (AccountPlan, {"end_date": Instant.of(self.now + timedelta(days=chance.choice([1, 20])))}),
            (Balance, {"end_date": Instant.of(self.now + timedelta(days=chance.choice([1, 20])))}),
            (Currency, {"max_decimal_places": chance.choice([0, 2, 3])}),
            (Discount, {"percent": Decimal(chance.randint(1, 90))}),
            (Plan, {"standing_charge": Decimal(chance.randint(0, 9)), "name": self.name}),
            (PlanTemplate, {"standing_charge": Decimal(chance.randint(0, 9))}),
            (Pricing, {"pricing_bands": bands((0, chance.choice(PRICES)))}),
            (Product, {"name": self.name}),
        )
        kind, fields = chance.choice(changes)
        old = self.any_of(kind)
        if old is None or (kind is Pricing and not old.value.pricing_bands):
            return
        if "end_date" in fields and fields["end_date"] <= old.value.start_date:
            return
        value = msgspec.structs.replace(old.value, **fields)
        new = replace(old, version=old.version + 1, value=value)
        with suppress(LookupError), self.desk.records.transaction() as write:
            write.replace(new)
            live_values(write, self.desk.usage, self.wallets(write), now=self.now, up_to=0)
            if not kept:
                raise LookupError

    def rolled_back(self) -> None:
        self.change(kept=False)

    def removal(self) -> None:
        old = self.any_of(Discount)
        if old is not None:
            with self.desk.records.transaction() as write:
                write.remove(old, at=CREATED, by="ada")

    def acts(self) -> list[Callable[[], None]]:
        """What happens, in some order."""
        once = [self.run, self.bill, self.recalculation, self.top_up, self.rolled_back, self.removal]
        often = [self.usage, self.time, self.new, self.change]
        return self.chance.sample([*once, *often * 3], len(once) + 3 * len(often))

    # ------------------------------------------------------------------------------------------- looks

    @staticmethod
    def wallets(records: OrganizationRecords) -> list[Entity[Balance]]:
        found = records.get_many(Balance, [id_of("balance", f"purse {code}") for code in HOLDERS])
        return [found[each] for each in sorted(found)]

    def look(self, records: OrganizationRecords, usage: OrganizationUsage) -> list[Any]:
        """What there is to see."""
        wallets, up_to = self.wallets(records), self.behind.mark
        seen: list[Any] = [live_values(records, usage, [each], now=self.now, up_to=up_to) for each in wallets]
        seen.append(live_values(records, usage, wallets, now=self.now, up_to=up_to))
        for code in HOLDERS:
            frequency = BillJobRequest(account_ids=(id_of("account", code),), billing_frequency=Frequency.MONTHLY)
            try:
                seen.append(preview_bill(records, usage, frequency, actor=ADA, now=self.now, up_to=up_to))
            except Refusal as refusal:
                seen.append((refusal.code, refusal.message))
        seen += [totals(records, BillsWanted()), totals(records, BillsWanted(account="a1"))]
        return [*seen, accounts_named(records, "made"), expiring_credit(records, self.now, "UTC")]

    def check(self) -> None:
        """From memory and anew."""
        desk = self.desk
        found = self.look(desk.records, desk.usage)
        assert found == self.look(self.anew(), self.behind.organization(desk.world.organization_id))

    def anew(self) -> SqlOrganization:
        """A view for which nothing was read yet."""
        own = self.desk.store.organization(self.desk.world.organization_id)
        own._memory = Memory()
        return own

    def reopened(self, directory: Path) -> None:
        """The same when the program starts anew."""
        found = self.look(self.desk.records, self.desk.usage)
        self.desk.close()
        self.desk.store = open_records(f"sqlite:///{directory / 'records.db'}")
        assert found == self.look(self.desk.records, self.behind.organization(self.desk.world.organization_id))


@settings(**drawing(3, shrink=False))
@given(seed=st.integers(0, 2**48))
def test_a_look_from_memory_is_a_look_anew(seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        life = Life(Path(name), Random(seed))
        try:
            life.check()
            for act in life.acts():
                act()
                life.check()
            life.reopened(Path(name))
        finally:
            life.desk.close()
