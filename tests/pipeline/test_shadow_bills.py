"""Shadow plans: for each real bill a shadow bill, until the accounts go over; experiments and migrations, which bring
accounts to other plans by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, calls_world
from billing_desk import Desk as BillingDesk
from ledger_desk import top_up

from billing_world import World, at, bands, id_of
from credit_world import balance
from tallystick.control.account_plans import ACCOUNT_PLANS
from tallystick.control.accounts import ACCOUNTS
from tallystick.control.desk import Desk
from tallystick.control.rollouts import (
    EXPERIMENTS,
    PLAN_MIGRATIONS,
    SHADOW_PLANS,
    assign,
    assignments,
    every_move,
    migrate,
    preview_moves,
    switch,
)
from tallystick.core.account import Account, AccountPlan, ChildBillingMode
from tallystick.core.catalog import Plan
from tallystick.core.contract import Contract
from tallystick.core.entity import Entity
from tallystick.core.rollout import Experiment, PlanMigration, ShadowPlan, Variant, variant_of
from tallystick.core.simulated_bill import Outcome
from tallystick.errors import Refusal
from tallystick.pipeline.experiment_outcome import outcome_of
from tallystick.pipeline.shadow_bills import make_shadows, shadow_bills, shadow_effects, shadow_report
from tallystick.ports import Actor, DocumentWhere, Page, Where

Opener = Callable[[World], BillingDesk]
ADA = Actor("ada", "SERVICE_USER")
DECEMBER = at("2023-12-04T06:00:00Z")


def two_plans(*accounts: str) -> World:
    """Beside the plan (5.00 and 0.10 a call) another one of the product: 2.00 and 0.15 a call."""
    world = calls_world(*accounts)
    template = next(each for each in world.entities.values() if each.value.kind == "plantemplate")
    other = world.plan("other", template, standing_charge=Decimal(2))
    world.pricing("other price", bands((0, "0.15")), plan_id=other.id)
    return world


def at_desk(desk: BillingDesk, now: str = "2023-12-04T06:00:00Z") -> Desk:
    return Desk(records=desk.records, actor=ADA, now=at(now))


def shadow(desk: BillingDesk, **more: Any) -> Entity[ShadowPlan]:
    value = {
        "code": "next",
        "name": "Next",
        "plan_id": id_of("plan", "plan"),
        "shadow_plan_id": id_of("plan", "other"),
        "start_date": date(2023, 11, 1),
    }
    return SHADOW_PLANS.create(at_desk(desk), ShadowPlan(**(value | more)))


def shadowed(desk: BillingDesk, made: Entity[ShadowPlan]) -> list[tuple[str, str, str]]:
    """Account, real total and shadow total of all shadow bills, once there is nothing left to do."""
    while make_shadows(desk.records, desk.usage, made, now=DECEMBER, mark=desk.usage_store.mark):
        pass
    rows = shadow_bills(desk.records, made.id, Page(size=1000)).rows
    return sorted((each.bill.account_code, str(each.bill.old_total), str(each.bill.new_total)) for each in rows)


def plans_of(desk: BillingDesk, account: str) -> list[tuple[str, str, str]]:
    """(plan, from, to) of an account, by day, earliest first."""
    names = {id_of("plan", name): name for name in ("plan", "other")}
    rows = desk.records.every(AccountPlan, Where(equal={"account_id": (id_of("account", account),)}))
    told = [
        (
            names[each.value.plan_id or ""],
            f"{each.value.start_date:%Y-%m-%d}",
            "" if each.value.end_date is None else f"{each.value.end_date:%Y-%m-%d}",
        )
        for each in rows
    ]
    return sorted(told, key=lambda each: each[1])


# ------------------------------------------------------------------------------------------------------ shadow plans


def test_each_real_bill_has_a_shadow_bill(open_desk: Opener) -> None:
    """100 calls: 15.00 really, 2.00 and 15.00 in the shadow; none: 5.00 and 2.00. October is before its start."""
    desk = open_desk(two_plans("acme", "zeta"))
    made = shadow(desk)
    desk.use("acme", "2023-10-05", calls=10)
    desk.use("acme", "2023-11-05", calls=100)
    assert shadowed(desk, made) == []
    desk.run(last_date_in_billing_period=date(2023, 10, 31))
    desk.run(**NOVEMBER)
    before = {each.id: each.body for each in desk.records.documents("bill", DocumentWhere(), Page()).rows}
    assert shadowed(desk, made) == [("acme", "15.00", "17.00"), ("zeta", "5.00", "2.00")]
    assert {each.id: each.body for each in desk.records.documents("bill", DocumentWhere(), Page()).rows} == before
    bills, failed, (effect,) = shadow_effects(desk.records, made.id)
    assert (bills, failed, effect.rises, effect.falls, str(effect.difference)) == (2, 0, 1, 1, "-1.00")
    rises = shadow_bills(desk.records, made.id, Page(), Outcome.RISES).rows
    assert [(each.bill.account_code, len(each.bill.lines or ())) for each in rises] == [("acme", 4)]


def test_a_bill_that_is_made_again_has_its_shadow_made_again(open_desk: Opener) -> None:
    desk = open_desk(two_plans())
    made = shadow(desk)
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    assert shadowed(desk, made) == [("acme", "15.00", "17.00")]
    desk.use("acme", "2023-11-06", calls=10)
    assert shadowed(desk, made) == [("acme", "15.00", "17.00")], "the usage is newer than the bill"
    desk.run(**NOVEMBER)
    assert shadowed(desk, made) == [("acme", "16.00", "18.50")]


def test_the_shadow_draws_the_credit_that_the_real_bill_found(open_desk: Opener) -> None:
    """A wallet of 16.00 pays all of 15.00 really, and 16.00 of 17.00 in the shadow."""
    world = two_plans()
    balance(world)
    desk = open_desk(world)
    top_up(desk, 16)
    made = shadow(desk)
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    assert shadowed(desk, made) == [("acme", "0.00", "1.00")]


def test_children_billed_by_their_parent_s_plan_have_shadows_too(open_desk: Opener) -> None:
    """acme's plan bills each child by itself: 5.00 and 0.10 a call, 2.00 and 0.15 in the shadow. own has a plan."""
    world = two_plans("acme")
    plan = world.of(Plan)[id_of("plan", "plan")]
    world.account_plan(plan, "acme", child_billing_mode=ChildBillingMode.CHILD)
    for child in ("child", "own"):
        world.account(child, parent_account_id=id_of("account", "acme"))
    world.account_plan(world.of(Plan)[id_of("plan", "other")], "own")
    desk = open_desk(world)
    made = shadow(desk)
    for account in ("child", "own"):
        desk.use(account, "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    assert {each.account_code for each in desk.bills()} == {"acme", "child", "own"}
    assert shadowed(desk, made) == [("acme", "5.00", "2.00"), ("child", "15.00", "17.00")]


def test_the_parent_s_bill_of_its_children_s_usage_has_one_shadow(open_desk: Opener) -> None:
    world = two_plans("acme")
    world.account("child", parent_account_id=id_of("account", "acme"))
    desk = open_desk(world)
    made = shadow(desk)
    desk.use("child", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    assert shadowed(desk, made) == [("acme", "15.00", "17.00")]


def test_usage_that_is_not_counted_yet_makes_the_shadow_wait(open_desk: Opener) -> None:
    desk = open_desk(two_plans())
    made = shadow(desk)
    desk.use("acme", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    assert not make_shadows(desk.records, desk.usage, made, now=DECEMBER, mark=desk.usage_store.mark - 1)
    assert shadow_bills(desk.records, made.id, Page()).rows == ()
    assert len(shadowed(desk, made)) == 1


def test_on_the_day_the_accounts_go_over_and_others_stay(open_desk: Opener) -> None:
    desk = open_desk(two_plans("acme", "zeta", "beta"))
    chosen = (id_of("account", "acme"), id_of("account", "zeta"))
    made = shadow(desk, switch_date=date(2023, 12, 1), account_ids=chosen)
    desk.run(**NOVEMBER)
    assert [each[0] for each in shadowed(desk, made)] == ["acme", "zeta"]
    assert switch(at_desk(desk, "2023-11-30T23:59:59Z"), made) is None
    assert plans_of(desk, "acme") == [("plan", "2023-01-01", "")]
    assert switch(at_desk(desk, "2023-12-01T00:00:00Z"), made) is False
    for account in ("acme", "zeta"):
        assert plans_of(desk, account) == [("plan", "2023-01-01", "2023-12-01"), ("other", "2023-12-01", "")]
    assert plans_of(desk, "beta") == [("plan", "2023-01-01", "")]
    assert switch(at_desk(desk, "2023-12-02T00:00:00Z"), made) is False, "done is done"
    report = shadow_report(desk.records, made.id, list(every_move(desk.records, made.id)))
    assert (report.switched, report.moved, report.not_moved, report.bills) == (True, 2, 0, 2)
    assert len(shadowed(desk, made)) == 2, "bills of the time before keep their shadows"
    desk.use("acme", "2023-12-03", calls=10)
    desk.run(last_date_in_billing_period=date(2023, 12, 31))
    (bill,) = [each for each in desk.bills() if each.account_code == "acme" and each.end_date.month == 1]
    assert str(bill.bill_total) == "3.50"  # 2.00 and 10 at 0.15


def test_an_account_that_cannot_go_over_is_told_and_the_others_go(open_desk: Opener) -> None:
    world = two_plans("acme", "zeta")
    other = world.plan("bespoke", bespoke=True, account_id=id_of("account", "zeta"))
    desk = open_desk(world)
    made = shadow(desk, shadow_plan_id=other.id, switch_date=date(2023, 12, 1))
    switch(at_desk(desk), made)
    told = {each.account_code: each.failure for each in every_move(desk.records, made.id)}
    assert told["zeta"] is None
    assert "bespoke" in (told["acme"] or "")


@pytest.mark.parametrize(
    ("template", "said"),
    [({"currency": "EUR"}, "same currency"), ({"bill_frequency": "ANNUALLY"}, "same bill frequency")],
)
def test_a_shadow_plan_bills_as_the_real_one_does(open_desk: Opener, template: dict[str, Any], said: str) -> None:
    world = calls_world()
    unlike = world.plan("unlike", world.template("unlike", **template))
    desk = open_desk(world)
    with pytest.raises(Refusal, match=said):
        shadow(desk, shadow_plan_id=unlike.id)


def test_what_was_found_goes_with_the_shadow_plan(open_desk: Opener) -> None:
    desk = open_desk(two_plans())
    made = shadow(desk)
    desk.run(**NOVEMBER)
    assert len(shadowed(desk, made)) == 1
    SHADOW_PLANS.delete(at_desk(desk), made.id)
    assert shadow_bills(desk.records, made.id, Page()).rows == ()


# ------------------------------------------------------------------------------------------------------ experiments


def test_the_variant_follows_from_the_ids_alone() -> None:
    """Worked out here once more: the share of 2^64 that the digest's first eight bytes are, of the weights 1 and 3."""
    variants = (Variant(code="a", plan_id="p", weight=1), Variant(code="b", plan_id="q", weight=3))
    counted = Counter[str]()
    for number in range(4_000):
        account = f"account-{number}"
        first = int(sha256(f"price-test\n{account}".encode()).hexdigest()[:16], 16)
        expected = "a" if 4 * first < 2**64 else "b"
        assert variant_of("price-test", variants, account).code == expected
        counted[expected] += 1
    assert 900 < counted["a"] < 1_100
    assert any(
        variant_of("price-test", variants, f"account-{n}") != variant_of("other-test", variants, f"account-{n}")
        for n in range(50)
    )


def experiment(desk: BillingDesk, **more: Any) -> Entity[Experiment]:
    variants = (
        Variant(code="now", plan_id=id_of("plan", "plan")),
        Variant(code="next", plan_id=id_of("plan", "other")),
    )
    value = {"code": "test", "name": "Test", "start_date": date(2023, 11, 1), "variants": variants}
    return EXPERIMENTS.create(at_desk(desk), Experiment(**(value | more)))


def newcomer(desk: BillingDesk, code: str, when: str, **more: Any) -> str:
    value = Account(name=code, code=code, email_address="a@b.example", **more)
    known = replace(at_desk(desk, when), new_id=lambda: id_of("account", code))
    return ACCOUNTS.create(known, value).id


def test_new_accounts_get_the_plan_of_their_variant_and_others_none(open_desk: Opener) -> None:
    desk = open_desk(two_plans())  # acme has its plan
    made = experiment(desk, end_date=date(2023, 11, 20))
    parent = newcomer(desk, "early", "2023-10-31T23:00:00Z")
    ids = [newcomer(desk, f"new {number}", "2023-11-10T12:00:00Z") for number in range(12)]
    newcomer(desk, "late", "2023-11-20T00:00:00Z")
    newcomer(desk, "child", "2023-11-10T12:00:00Z", parent_account_id=parent)
    assert assign(at_desk(desk), made) == 12
    assert assign(at_desk(desk), made) == 0, "each once"
    for number, account in enumerate(ids):
        variant = variant_of("test", made.value.variants, account)
        named = "plan" if variant.code == "now" else "other"
        (only,) = desk.records.every(AccountPlan, Where(equal={"account_id": (account,)}))
        assert only.value.plan_id == id_of("plan", named), number
        assert f"{only.value.start_date:%Y-%m-%d}" == "2023-11-10"
    told = assignments(desk.records, made.id, Page()).rows
    assert {each.account_id for each in told} == set(ids)
    variants = (made.value.variants[0], msgspec.structs.replace(made.value.variants[1], weight=9))
    other = msgspec.structs.replace(made.value, variants=variants)
    with pytest.raises(Refusal, match="end this experiment"):
        EXPERIMENTS.update(at_desk(desk), made.id, other, None)


def test_the_outcome_by_variant(open_desk: Opener) -> None:
    """Bills of whole months: 5.00 and 0.10 a call, or 2.00 and 0.15 a call. One account's plan ends in December."""
    desk = open_desk(two_plans())
    made = experiment(desk)
    ids = [newcomer(desk, f"n{number}", "2023-11-01T12:00:00Z") for number in range(8)]
    assign(at_desk(desk), made)
    of = {account: variant_of("test", made.value.variants, account).code for account in ids}
    assert set(of.values()) == {"now", "next"}, "both variants have accounts"
    for number in range(8):
        desk.use(f"n{number}", "2023-11-05", calls=100)
    desk.run(**NOVEMBER)
    gone = ids[0]
    (plan,) = desk.records.every(AccountPlan, Where(equal={"account_id": (gone,)}))
    ended = msgspec.structs.replace(plan.value, end_date=at("2023-12-03"))
    ACCOUNT_PLANS.update(at_desk(desk), plan.id, ended, None)
    report = outcome_of(desk.records, made, now=DECEMBER)
    for variant, each_pays in zip(report.variants, (Decimal("15.00"), Decimal("17.00")), strict=True):
        count = sum(code == variant.code for code in of.values())
        (revenue,) = variant.revenue
        (usage,) = variant.usage
        assert (variant.accounts, variant.churned) == (count, int(of[gone] == variant.code))
        assert (revenue.bills, revenue.revenue) == (count, count * each_pays)
        assert (revenue.average_bill, revenue.revenue_per_account) == (each_pays, each_pays)
        assert usage.units == 100 * count


# ------------------------------------------------------------------------------------------------------ migrations


def migration(desk: BillingDesk, **more: Any) -> PlanMigration:
    value = {
        "code": "to-other",
        "name": "To other",
        "from_plan_id": id_of("plan", "plan"),
        "to_plan_id": id_of("plan", "other"),
        "not_before": date(2023, 12, 10),
    }
    return PlanMigration(**(value | more))


def test_accounts_move_when_they_renew_and_the_others_keep_their_plan(open_desk: Opener) -> None:
    """acme has a contract until March, zeta none: its month ends with December. beta was not chosen. Delta's plan ends
    before."""
    world = two_plans("acme", "zeta", "beta", "delta")
    acme = id_of("account", "acme")
    year = Contract(account_id=acme, name="Year", start_date=date(2023, 1, 1), end_date=date(2024, 3, 1))
    plan = world.of(Plan)[id_of("plan", "plan")]
    world.account_plan(plan, "acme", contract_id=world.add(year, "year").id)
    world.account_plan(plan, "delta", end_date=at("2023-12-20"))
    desk = open_desk(world)
    chosen = tuple(id_of("account", each) for each in ("acme", "zeta", "delta"))
    value = migration(desk, account_ids=chosen)
    shown = {each.account_code: each.moved_at for each in preview_moves(desk.records, value, DECEMBER)}
    assert shown == {"acme": at("2024-03-01"), "zeta": at("2024-01-01"), "delta": None}
    assert plans_of(desk, "zeta") == [("plan", "2023-01-01", "")], "a preview changes nothing"
    made = PLAN_MIGRATIONS.create(at_desk(desk), value)
    assert migrate(at_desk(desk), made) is False
    assert plans_of(desk, "acme") == [("plan", "2023-01-01", "2024-03-01"), ("other", "2024-03-01", "")]
    assert plans_of(desk, "zeta") == [("plan", "2023-01-01", "2024-01-01"), ("other", "2024-01-01", "")]
    assert plans_of(desk, "beta") == [("plan", "2023-01-01", "")]
    told = {each.account_code: each.failure for each in every_move(desk.records, made.id)}
    assert told == {"acme": None, "zeta": None, "delta": "its plan ends before it renews"}
    moved = next(each for each in desk.records.every(AccountPlan) if each.value.start_date == at("2024-03-01"))
    assert moved.value.contract_id is None, "the contract has ended by then"
    migrate(at_desk(desk), made)
    assert len(plans_of(desk, "zeta")) == 2
    with pytest.raises(Refusal, match="create another one"):
        PLAN_MIGRATIONS.update(at_desk(desk), made.id, msgspec.structs.replace(value, name="Other"), None)


def test_at_the_end_of_the_billing_period_whatever_the_contract_says(open_desk: Opener) -> None:
    desk = open_desk(two_plans())
    made = PLAN_MIGRATIONS.create(at_desk(desk), migration(desk, renewal="BILLING_PERIOD", not_before=date(2024, 1, 1)))
    migrate(at_desk(desk), made)
    assert plans_of(desk, "acme")[1] == ("other", "2024-01-01", ""), "a day on which a period begins is itself the end"
