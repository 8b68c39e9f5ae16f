"""Simulations: what bills of a past period would be under another catalogue, and that they are the bills where it is
the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from billing_desk import NOVEMBER, Desk, calls_world
from ledger_desk import top_up
from test_moulds import varied_world

from billing_world import World, at, bands, id_of
from credit_world import balance, commitment
from tallystick.core.aggregation import Aggregation, Method
from tallystick.core.bill import Bill
from tallystick.core.catalog import Plan, PlanTemplate, Pricing
from tallystick.core.entity import Entity
from tallystick.core.organization import Currency
from tallystick.core.simulated_bill import Outcome, SimulatedBill
from tallystick.core.simulation import (
    ChangedEntity,
    ChangedPlan,
    ChangedPricing,
    Changes,
    Simulation,
    SimulationRequest,
)
from tallystick.core.simulation_effect import FROM_NOTHING, SAME, class_of, with_bills
from tallystick.core.wire import decode
from tallystick.errors import Refusal
from tallystick.pipeline import simulation_job
from tallystick.pipeline.bill import Run
from tallystick.pipeline.overlay import Overlay
from tallystick.pipeline.simulate import in_chunks, periods_of, simulate
from tallystick.pipeline.simulation_job import (
    create_simulation,
    list_simulations,
    read_simulation,
    run_chunk,
    simulated_bills,
)
from tallystick.ports import DocumentWhere, Page

Opener = Callable[[World], Desk]
NOW = at("2023-12-01T06:00:00Z")
NOTHING = Changes()


def asked(**given: Any) -> SimulationRequest:
    return msgspec.convert({"candidate": {}, "lastDateInBillingPeriod": date(2023, 11, 30)} | given, SimulationRequest)


def simulated(desk: Desk, changes: Changes, **given: Any) -> list[SimulatedBill]:
    periods = periods_of(desk.records, asked(**given))
    return simulate(desk.records, desk.usage, periods, changes, as_of=NOW, up_to=desk.usage_store.mark)


def priced(world: World, name: str = "price", **other: Any) -> ChangedPricing:
    """A pricing of the world with something other about it."""
    entity = world.of(Pricing)[id_of("pricing", name)]
    return ChangedPricing(id=entity.id, value=msgspec.structs.replace(entity.value, **other))


def charged(world: World, name: str = "plan", **other: Any) -> ChangedPlan:
    entity = world.of(Plan)[id_of("plan", name)]
    return ChangedPlan(id=entity.id, value=msgspec.structs.replace(entity.value, **other))


def sides(bill: SimulatedBill) -> tuple[str, str, str, str]:
    return str(bill.old_total), str(bill.new_total), str(bill.difference), bill.outcome


# ------------------------------------------------------------------------------------------------------ by hand

CANDIDATES = {
    # 5.00 and 100 calls at 0.10 make 15.00.
    "nothing": (lambda world: NOTHING, ("15.00", "15.00", "0.00", "SAME")),
    "dearer calls": (lambda world: Changes(pricings=(priced(world, pricing_bands=bands((0, "0.12"))),)), "17.00"),
    # 80 at 0.10 and 20 at 0.05
    "tiers": (
        lambda world: Changes(
            pricings=(priced(world, pricing_bands=bands((0, "0.10"), (80, "0.05")), cumulative=True),)
        ),
        "14.00",
    ),
    "a percentage": (
        lambda world: Changes(pricings=(priced(world, pricing_bands=(), percent=Decimal("2.5")),)),
        "7.50",
    ),
    "no price": (lambda world: Changes(removed_pricing_ids=(id_of("pricing", "price"),)), "5.00"),
    "a standing charge": (lambda world: Changes(plans=(charged(world, standing_charge=Decimal(8)),)), "18.00"),
    "a minimum spend": (lambda world: Changes(plans=(charged(world, minimum_spend=Decimal(40)),)), "40.00"),
    # The old price for 14 days of 30, the new one for the rest: calls of the 20th.
    "from the 15th": (
        lambda world: Changes(
            pricings=(
                priced(world, end_date=at("2023-11-15")),
                ChangedPricing(
                    id=id_of("pricing", "next"),
                    value=priced(world, start_date=at("2023-11-15"), pricing_bands=bands((0, 1))).value,
                ),
            )
        ),
        "69.00",  # 5.00, 40 calls at 0.10 and 60 at 1
    ),
}


def other(entity: Entity[Any], **given: Any) -> ChangedEntity:
    """An entity of the world with something other about it."""
    value = msgspec.structs.replace(entity.value, **given)
    return ChangedEntity.of(value.kind, entity.id, value)


def test_whatever_else_of_the_catalogue_is_other_is_rated_so_too(open_desk: Opener) -> None:
    """40 and 60 calls. As it is 5.00 and 100 at 0.10."""
    world = calls_world()
    spare = world.aggregation("spare")
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=40)
    desk.use("acme", "2023-11-20", calls=60)
    calls = world.of(Aggregation)[id_of("aggregation", "calls")]
    template = next(iter(world.of(PlanTemplate).values()))
    most = other(calls, aggregation=Method.MAX)
    cents = other(next(iter(world.of(Currency).values())), max_decimal_places=0)
    for others, total in (
        ((most,), "11.00"),  # 60 at 0.10
        ((other(template, standing_charge=Decimal(7)),), "17.00"),
        ((other(calls, quantity_per_unit=Decimal(8)), cents), "6"),  # 5 and 12.5 at 0.10, in whole dollars
        ((ChangedEntity(kind="aggregation", id=spare.id),), "15.00"),
    ):
        (bill,) = simulated(desk, Changes(others=others))
        assert str(bill.new_total) == total
    overlay = Overlay(desk.records, Changes(others=(other(calls, code="renamed"),)), at=NOW)
    found = overlay.by_code(Aggregation, "renamed")
    assert found is not None
    assert (found.id, overlay.by_code(Aggregation, "calls")) == (calls.id, None)
    said = {id_: (version, decode(Aggregation, body).code) for id_, version, body in overlay.texts(Aggregation)}
    assert said == {calls.id: (2, "renamed"), spare.id: (1, spare.value.code)}
    assert [id_ for id_, _, _ in overlay.texts(Aggregation, "id", [spare.id])] == [spare.id]
    assert calls.id in overlay.referred_to([Aggregation])


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_is_rated_as_if_it_were_kept(open_desk: Opener, name: str) -> None:
    make, expected = CANDIDATES[name]
    world = calls_world()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=40)
    desk.use("acme", "2023-11-20", calls=60)
    kept = {kind: desk.records.documents(kind, DocumentWhere(), Page()).rows for kind in ("bill", "simulation")}
    (bill,) = simulated(desk, make(world))
    new = expected[1] if isinstance(expected, tuple) else expected
    difference = Decimal(new) - Decimal(15)
    outcome = "SAME" if not difference else "RISES" if difference > 0 else "FALLS"
    assert sides(bill) == ("15.00", new, str(difference), outcome)
    assert {kind: desk.records.documents(kind, DocumentWhere(), Page()).rows for kind in kept} == kept
    assert bill.lines is not None
    assert sum((each.difference for each in bill.lines), Decimal(0)) == difference


def test_lines_stand_side_by_side(open_desk: Opener) -> None:
    world = calls_world()
    desk = open_desk(world)
    desk.use("acme", "2023-11-05", calls=40)
    changes = Changes(
        plans=(charged(world, minimum_spend=Decimal(20)),),
        pricings=(priced(world, pricing_bands=bands((0, "0.20"))),),
    )
    (bill,) = simulated(desk, changes)
    assert bill.lines is not None
    assert [(each.line_item_type, str(each.old_amount), str(each.new_amount)) for each in bill.lines] == [
        ("STANDING_CHARGE", "5.00", "5.00"),
        ("USAGE", "4.00", "8.00"),
        ("MINIMUM_SPEND", "None", "7.00"),  # 20.00 less 13.00
    ]


def test_prepaid_money_pays_both_sides_from_the_same_opening(open_desk: Opener) -> None:
    """The wallet has 12: of 15.00 the customer pays 3.00, of 25.00 it pays 13.00; what is charged is beside it."""
    world = calls_world()
    balance(world)
    desk = open_desk(world)
    top_up(desk, 12)
    desk.use("acme", "2023-11-05", calls=100)
    changes = Changes(pricings=(priced(world, pricing_bands=bands((0, "0.20"))),))
    for _ in range(2):  # once before, once after the bill was made and has drawn
        (bill,) = simulated(desk, changes)
        assert sides(bill) == ("3.00", "13.00", "10.00", "RISES")
        assert (str(bill.old_charges), str(bill.new_charges)) == ("15.00", "25.00")
        desk.run(**NOVEMBER)


def test_the_bills_of_a_family_draw_in_the_order_of_a_run(open_desk: Opener) -> None:
    """Two bills of an account end with the day and draw on one wallet of 12: the second has what the first leaves."""
    world = calls_world()
    daily = world.template("daily", bill_frequency="DAILY", standing_charge=Decimal(9))
    world.account_plan(world.plan("daily", daily))
    balance(world)
    desk = open_desk(world)
    top_up(desk, 12)
    bills = simulated(desk, NOTHING)
    desk.run(**NOVEMBER)
    assert sorted(str(each.new_total) for each in bills) == ["0.00", "2.00"]  # of 5.00 and 9.00
    assert [str(each.old_total) for each in bills] == [str(each.bill_total) for each in in_order(desk, bills)]


def test_a_bill_that_cannot_be_made_says_so_and_the_others_go_on(open_desk: Opener) -> None:
    world = calls_world("acme", "zeta")
    world.currency("XYZ", 2)
    world.account("zeta", currency="XYZ")
    desk = open_desk(world)
    acme, zeta = simulated(desk, NOTHING)
    assert (acme.outcome, zeta.outcome) == ("SAME", "FAILS")
    assert "no conversion rate from 'USD' to 'XYZ'" in (zeta.failure or "")
    (effect,) = with_bills((), [acme, zeta])
    assert effect.bills == 1


# ------------------------------------------------------------------------------------------------------ as a run


def in_order(desk: Desk, bills: list[SimulatedBill]) -> list[Bill]:
    """The stored bills of the simulated ones."""
    made = {(each.account_id, each.billing_frequency, each.start_date_time_utc): each for each in desk.bills()}
    return [made[each.account_id, each.billing_frequency, each.start_date_time_utc] for each in bills]


def rich_world(random: Random) -> World:
    """Plain accounts of all kinds, and some with minimums, segments, compounds, counters, credit and children."""
    world = varied_world(random)
    world.config(
        currency_conversions=world.entities["organizationconfig", world.organization_id].value.currency_conversions
    )
    meter = world.meter("jobs", ("hours",), ("kind",))
    segments = ({"kind": "gpu"}, {"kind": "*"})
    hours = world.aggregation(
        "hours", meter, target_field="hours", segmented_fields=("kind",), segments=segments, unit="hours"
    )
    both = world.compound("double hours", "aggregation.hours * 2")
    world.counter("seats")
    plan = world.plan(
        "rich", world.template("rich", standing_charge=Decimal(3)), minimum_spend=Decimal(random.randint(0, 90))
    )
    for number, segment in enumerate(segments):
        world.pricing(
            f"hours {number}", bands((0, "0.7"), (9, "0.5")), plan_id=plan.id, aggregation_id=hours.id, segment=segment
        )
    world.pricing(
        "double", bands((0, "0.011")), plan_id=plan.id, compound_aggregation_id=both.id, minimum_spend=Decimal(7)
    )
    world.counter_pricing("seats", bands((0, "2.5")), plan_id=plan.id, running_total_bill_in_advance=False)
    for number in range(8):
        code = f"rich {number}"
        parent = {"parent_account_id": id_of("account", "rich 0")} if number % 3 == 1 else {}
        world.account(code, **parent)
        world.account_plan(plan, account=code)
        world.level(f"2023-11-0{random.randint(1, 9)}", random.randint(0, 9), code)
        if random.random() < 0.5:
            commitment(world, f"commitment {number}", account_id=id_of("account", code), amount=Decimal(20))
        if random.random() < 0.5:
            balance(world, f"wallet {number}", account_id=id_of("account", code))
    return world


@pytest.mark.parametrize("seed", range(6))
def test_an_unchanged_catalogue_gives_the_very_bills_of_a_run(open_desk: Opener, seed: int) -> None:
    random = Random(seed)
    world = rich_world(random)
    desk = open_desk(world)
    for number in range(8):
        name = f"wallet {number}"
        if ("balance", id_of("balance", name)) in world.entities:
            top_up(
                desk, random.randint(1, 60), credit=id_of("balance", name), account=id_of("account", f"rich {number}")
            )
    plain = [each.value.code for each in world.entities.values() if each.value.kind == "account"]
    for _ in range(120):
        when = f"2023-1{random.choice([0, 1, 1])}-{random.randint(1, 28):02}T05:00:00Z"
        code = random.choice(plain)
        if code.startswith("rich"):
            kind = {"kind": random.choice(["gpu", "cpu"])}
            desk.use(code, when, "jobs", kind, hours=random.randint(1, 40))
        else:
            desk.use(code, when, calls=random.randint(0, 99), hours=random.random())
    desk.run(last_date_in_billing_period=date(2023, 10, 31))
    before = simulated(desk, NOTHING)
    job = desk.run(**NOVEMBER)
    after = simulated(desk, NOTHING)
    assert len(before) == len(job.bill_ids) + len(job.failures) > 20
    assert all(each.outcome is Outcome.SAME for each in before if not each.failure)
    assert before == after, "bills that are there change nothing"
    whole = [each for each in before if each.outcome is Outcome.SAME]
    assert sum(len(each.lines or ()) for each in whole) > 40
    for one, bill in zip(whole, in_order(desk, whole), strict=True):
        assert (one.account_code, one.old_total, one.new_total) == (bill.account_code, bill.bill_total, bill.bill_total)
        assert sorted(str(each.new_amount) for each in one.lines or ()) == sorted(
            str(each.converted_subtotal) for each in bill.line_items
        )


# ------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("100", "100", SAME),
        ("0", "1", FROM_NOTHING),
        ("100", "40", 0),  # -60%
        ("100", "50", 0),  # -50%
        ("100", "50.01", 1),
        ("100", "99.99", 4),
        ("100", "100.01", 5),
        ("100", "105", 5),
        ("100", "150", 8),
        ("100", "151", 9),
        ("-10", "-5", 8),  # half of it less is given back
    ],
)
def test_the_classes_of_the_distribution(old: str, new: str, place: int) -> None:
    assert class_of(Decimal(old), Decimal(new)) == place


# ------------------------------------------------------------------------------------------------------ jobs


def create(desk: Desk, changes: Changes, name: str = "one", **given: Any) -> Simulation:
    run = Run(job_id=id_of("simulation", name), as_of=NOW, up_to=desk.usage_store.mark, actor_id="ada")
    return create_simulation(desk.records, desk.usage, asked(**given), changes, run)


def ten(open_desk: Opener) -> tuple[World, Desk]:
    """Account a<n> has n calls."""
    world = calls_world(*(f"a{number}" for number in range(10)))
    desk = open_desk(world)
    for number in range(1, 10):
        desk.use(f"a{number}", "2023-11-05", calls=number)
    return world, desk


def test_many_bills_are_simulated_in_chunks(open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_job, "AT_ONCE", 5)
    monkeypatch.setattr(simulation_job, "CHUNK", 4)
    world, desk = ten(open_desk)
    made = create(desk, Changes(pricings=(priced(world, pricing_bands=bands((0, 1))),)))
    assert (made.status, made.total, made.done) == ("PENDING", 10, 0)
    seen = []
    while made.status.active:
        made = run_chunk(desk.records, desk.usage, made.id, now=NOW)
        seen.append((made.status.value, made.done))
    assert seen == [("RUNNING", 4), ("RUNNING", 8), ("COMPLETE", 10)]
    (effect,) = made.effects
    # 45 calls, 0.90 dearer each; 5.00 of a standing charge everywhere.
    assert (str(effect.old_total), str(effect.new_total), str(effect.difference)) == ("54.50", "95.00", "40.50")
    assert (effect.bills, effect.rises, effect.falls, effect.same) == (10, 9, 0, 1)
    # 18% for one call, 36% and 53% and more for others (0.90 of 5.10, 1.80 of 5.20, 2.70 of 5.30)
    assert effect.distribution == (0, 0, 0, 0, 0, 0, 0, 1, 1, 7, 1, 0)
    assert read_simulation(desk.records, made.id) == made
    first = simulated_bills(desk.records, made.id, Page(size=2))
    assert [(each.account_code, str(each.difference), each.lines) for each in first.rows] == [
        ("a9", "8.10", None),
        ("a8", "7.20", None),
    ]
    assert first.next_token
    same = simulated_bills(desk.records, made.id, Page(), Outcome.SAME)
    assert [each.account_code for each in same.rows] == ["a0"]
    assert run_chunk(desk.records, desk.usage, made.id, now=NOW) == made, "done is done"


def test_a_few_are_simulated_at_once_with_their_lines(open_desk: Opener) -> None:
    _, desk = ten(open_desk)
    made = create(desk, NOTHING, accountIds=[id_of("account", "a1")])
    assert (made.status, made.total, made.done) == ("COMPLETE", 1, 1)
    (bill,) = simulated_bills(desk.records, made.id, Page()).rows
    assert [each.line_item_type for each in bill.lines or ()] == ["STANDING_CHARGE", "USAGE"]


def test_the_oldest_simulations_go(open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_job, "KEPT", 2)
    _, desk = ten(open_desk)
    made = [create(desk, NOTHING, str(number)).id for number in range(4)]
    assert [each.id for each in list_simulations(desk.records, Page()).rows] == [made[3], made[2]]
    assert len(desk.records.documents("simulatedbill", DocumentWhere(), Page()).rows) == 20


def test_the_accounts_of_a_plan_are_those_that_have_it_by_itself_or_in_a_group(open_desk: Opener) -> None:
    world = calls_world("acme", "beta", "gamma")
    other = world.plan("other")
    world.account_plan(world.plan_group(other), "beta")
    world.account_plan(other, "gamma")
    found = periods_of(open_desk(world).records, asked(planId=other.id))
    assert {each.account_id for each in found} == {id_of("account", "beta"), id_of("account", "gamma")}


def test_families_are_simulated_together(open_desk: Opener) -> None:
    world = calls_world("a", "b", "c", "d", "e")
    for child in ("b", "e"):
        world.account(child, parent_account_id=id_of("account", "a"))
    desk = open_desk(world)
    chunks = list(in_chunks(desk.records, periods_of(desk.records, asked()), 1))
    together = {id_of("account", each) for each in ("a", "b", "e")}
    assert sorted(len(each) for each in chunks) == [1, 1, 3]
    assert together in [{of.account_id for of in each} for each in chunks]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"accountIds": [id_of("account", "nobody")]}, "unknown_reference"),
        ({"planId": id_of("plan", "nothing")}, "unknown_reference"),
        ({"lastDateInBillingPeriod": date(2023, 11, 29)}, "no_billing_period"),
    ],
)
def test_what_cannot_be_simulated_is_refused(open_desk: Opener, given: dict[str, Any], code: str) -> None:
    desk = open_desk(calls_world())
    with pytest.raises(Refusal) as refused:
        create(desk, NOTHING, **given)
    assert refused.value.code.name == code


def test_a_request_names_accounts_or_a_plan_and_each_thing_once() -> None:
    one = id_of("account", "one")
    for text, said in [
        (
            f'{{"candidate":{{}},"lastDateInBillingPeriod":"2023-11-30","accountIds":["{one}"],"planId":"{one}"}}',
            "planId",
        ),
        (f'{{"candidate":{{"removedPricingIds":["{one}","{one}"]}},"lastDateInBillingPeriod":"2023-11-30"}}', "twice"),
    ]:
        with pytest.raises(msgspec.ValidationError, match=said):
            decode(SimulationRequest, text.encode())
