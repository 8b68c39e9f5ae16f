"""What an account may use, held against its preview bill: stories with a plan, children, a wallet, and the gate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import ADA, Desk, calls_world
from test_watch import top_up

from billing_world import World, at, bands, id_of
from credit_world import balance, metered
from tallystick.control.desk import Desk as ControlDesk
from tallystick.control.entitlements import ENTITLEMENTS, FEATURES, tell_reached
from tallystick.core.bill import LineItemType
from tallystick.core.bill_job import BillJobRequest
from tallystick.core.entitlement import Allowance, Burst, BurstUnit, Entitlement, Feature, ResetPeriod
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.pipeline.entitled import entitled_accounts
from tallystick.pipeline.entitlements import Standing, standings
from tallystick.pipeline.gate import Gate
from tallystick.pipeline.preview import preview_bill
from tallystick.ports import DocumentWhere, OrganizationRecords, OrganizationUsage, Page

Opener = Callable[[World], Desk]
ACME = id_of("account", "acme")
NOW = "2023-01-20T10:00:00Z"


class Clock:
    def __init__(self, now: str = NOW) -> None:
        self.moment = at(now)

    def now(self) -> Instant:
        return self.moment

    def later(self, **by: int) -> None:
        self.moment = Instant.of(self.moment + timedelta(**by))


def feature(desk: Desk, code: str = "calls", *, counted: bool = True) -> str:
    at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(NOW))
    counting = id_of("aggregation", "calls") if counted else None
    return FEATURES.create(at_desk, Feature(name=code.title(), code=code, aggregation_id=counting)).id


def entitle(desk: Desk, feature_id: str, **of: Any) -> str:
    at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(NOW))
    owner = of if {"plan_id", "plan_template_id", "account_id"} & of.keys() else {"account_id": ACME, **of}
    return ENTITLEMENTS.create(at_desk, Entitlement(feature_id=feature_id, **owner)).id


def standing(desk: Desk, now: str = NOW, account: str = ACME) -> Standing:
    return standings(desk.records, desk.usage, (account,), now=at(now), up_to=desk.usage_store.mark)[account]


def previewed(desk: Desk, now: str = NOW) -> Decimal:
    """The calls that the preview bill charges for."""
    made = preview_bill(
        desk.records,
        desk.usage,
        BillJobRequest(account_ids=(ACME,)),
        actor=ADA,
        now=at(now),
        up_to=desk.usage_store.mark,
    )
    return sum(
        (each.quantity for each in made.bill.line_items if each.line_item_type is LineItemType.USAGE), Decimal(0)
    )


# ---------------------------------------------------------------------------------------------------- how it stands


def test_what_is_used_is_what_the_preview_bill_charges_for(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    calls = feature(desk)
    entitle(desk, calls, hard_limit=Decimal(100))
    desk.use("acme", "2022-12-31T23:59:59Z", calls=1_000)  # the month before
    desk.use("acme", "2023-01-05", calls="12.25")
    desk.use("acme", "2023-01-06", calls="30.5")
    found = standing(desk).grants["calls"]
    assert found.used == Decimal("42.75") == previewed(desk)
    assert found.period == (at("2023-01-01"), at("2023-02-01"))
    assert found.unit == "calls"


def test_what_no_bill_charges_for_is_counted_by_the_same_question(open_desk: Opener) -> None:
    world = calls_world()
    world.aggregation("all_calls", quantity_per_unit=Decimal(10))
    desk = open_desk(world)
    at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(NOW))
    unpriced = FEATURES.create(
        at_desk, Feature(name="Raw", code="raw", aggregation_id=id_of("aggregation", "all_calls"))
    )
    entitle(desk, unpriced.id, soft_limit=Decimal(10))
    desk.use("acme", "2023-01-05", calls=7)
    assert standing(desk).grants["raw"].used == 7


@pytest.mark.parametrize(
    ("reset", "used", "start", "end"),
    [
        (ResetPeriod.BILLING_PERIOD, 15, "2023-01-01T00:00:00Z", "2023-02-01T00:00:00Z"),
        (ResetPeriod.MONTH, 15, "2023-01-01T00:00:00Z", "2023-02-01T00:00:00Z"),
        (ResetPeriod.DAY, 4, "2023-01-20T00:00:00Z", "2023-01-21T00:00:00Z"),
    ],
)
def test_when_it_is_counted_from_nothing_again(
    open_desk: Opener, reset: ResetPeriod, used: int, start: str, end: str
) -> None:
    desk = open_desk(calls_world())
    entitle(desk, feature(desk), hard_limit=Decimal(100), reset_period=reset)
    for day, calls in (("2023-01-19T23:59:59Z", 11), ("2023-01-20T00:00:00Z", 4), ("2023-01-21T00:00:00Z", 50)):
        if day < "2023-01-21":
            desk.use("acme", day, calls=calls)
    found = standing(desk).grants["calls"]
    assert (found.used, found.period) == (used, (at(start), at(end)))
    assert standing(desk).changes <= at(end)


def test_an_account_has_what_its_plan_gives_and_its_own_instead(open_desk: Opener) -> None:
    desk = open_desk(calls_world("acme", "beta"))
    calls, export = feature(desk), feature(desk, "export", counted=False)
    entitle(desk, calls, plan_id=id_of("plan", "plan"), hard_limit=Decimal(100))
    entitle(desk, export, plan_template_id=id_of("plantemplate", "template"))
    own = entitle(desk, calls, hard_limit=Decimal(5))
    acme, beta = standing(desk), standing(desk, account=id_of("account", "beta"))
    assert acme.grants["calls"].entitlement_id == own
    assert beta.grants["calls"].entitlement is not None
    assert beta.grants["calls"].entitlement.hard_limit == 100
    assert acme.grants["export"].entitlement is not None
    assert standing(desk, now="2022-06-01").grants["export"].entitlement is None, "the plan begins in 2023"
    assert entitled_accounts(desk.records) == sorted([ACME, id_of("account", "beta")])


def test_a_wallet_stops_the_feature_when_usage_that_no_bill_has_drawn_empties_it(open_desk: Opener) -> None:
    world = metered(1)
    balance(world)
    desk = open_desk(world)
    top_up(desk, 500)
    entitle(desk, feature(desk), needs_credit=True)
    gate, ask = Gate(Clock(), Decimal(1)), asker(desk)
    desk.use("acme", "2023-01-06", calls="499.99")
    answer = gate.check(ask, ACME, "calls", Decimal(1))
    assert (answer.allowed, answer.credit[0].left) == (True, Decimal("0.01"))
    desk.use("acme", "2023-01-07", calls="0.01")
    assert gate_again(gate, ask).reason == "NO_CREDIT"
    top_up(desk, 10, "2023-01-08")
    assert gate_again(gate, ask).allowed
    gate.close()


def test_a_limit_is_told_of_once_and_again_in_the_next_period(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    entitle(desk, feature(desk), soft_limit=Decimal(10), hard_limit=Decimal(20))
    told = []
    for now, calls in (("2023-01-05", 9), ("2023-01-06", 1), ("2023-01-07", 15), ("2023-02-03", 12)):
        desk.use("acme", now, calls=calls)
        for _ in range(2):
            stands = standing(desk, now)
            at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(now))
            told.append(tell_reached(at_desk, stands, stands.grants.values()))
    assert told == [0, 0, 1, 0, 1, 0, 1, 0]
    events = desk.records.documents("event", DocumentWhere(equal={"account_id": (ACME,)}), Page(size=50)).rows
    kept = [each for each in events if b"entitlement.limit.reached" in each.body]
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("of", "code"), [({"hard_limit": Decimal(1)}, "rule_broken"), ({"soft_limit": Decimal(1)}, "rule_broken")]
)
def test_what_nothing_counts_has_no_limit(open_desk: Opener, of: dict[str, Any], code: str) -> None:
    desk = open_desk(calls_world())
    access = feature(desk, "export", counted=False)
    with pytest.raises(Refusal) as refused:
        entitle(desk, access, **of)
    assert refused.value.code.name == code
    entitle(desk, access)
    with pytest.raises(Refusal, match="is about the same"):
        entitle(desk, access)


# ---------------------------------------------------------------------------------------------------- the gate

Asked = Callable[[], tuple[OrganizationRecords, OrganizationUsage, int]]


def asker(desk: Desk) -> Asked:
    return lambda: (desk.records, desk.usage, desk.usage_store.mark)


def gate_again(gate: Gate, ask: Asked) -> Allowance:
    """The answer a bound later."""
    clock = gate._clock
    assert isinstance(clock, Clock)
    clock.later(seconds=1)
    return gate.check(ask, ACME, "calls", Decimal(1))


@pytest.fixture
def limited(open_desk: Opener) -> Iterator[tuple[Desk, Gate, Clock]]:
    desk = open_desk(calls_world())
    entitle(desk, feature(desk), hard_limit=Decimal(100))
    desk.use("acme", "2023-01-05", calls=95)
    clock = Clock()
    gate = Gate(clock, Decimal(1))
    yield desk, gate, clock
    gate.close()


def test_an_answer_says_what_it_knows_and_how_old_it_can_be(limited: tuple[Desk, Gate, Clock]) -> None:
    desk, gate, _ = limited
    found = gate.check(asker(desk), ACME, "calls", Decimal(5))
    assert (found.allowed, found.used, found.limit, found.remaining) == (True, 95, 100, 5)
    assert (found.as_of, found.resets_at, found.stale_seconds_at_most) == (at(NOW), at("2023-02-01"), 1)
    assert found.why == "100 of 100 calls of Calls with this"
    refused = gate.check(asker(desk), ACME, "calls", Decimal(6))
    assert (refused.allowed, refused.reason) == (False, "HARD_LIMIT")
    assert refused.why == "Calls is limited to 100 calls; with this it would be 101"
    assert refused.retry_after == 11 * 86_400 + 14 * 3_600, "until 1 February"


def test_an_answer_is_kept_while_nothing_happens_and_never_older_than_its_bound(
    limited: tuple[Desk, Gate, Clock],
) -> None:
    desk, gate, clock = limited
    ask = asker(desk)
    assert gate.check(ask, ACME, "calls", Decimal(0)).used == 95
    clock.later(hours=5)
    desk_looked = gate.check(ask, ACME, "calls", Decimal(0))
    assert desk_looked.as_of == at("2023-01-20T15:00:00Z"), "nothing came: what was known is known to hold"
    desk.use("acme", "2023-01-06", calls=3)
    clock.later(milliseconds=400)
    assert gate.check(ask, ACME, "calls", Decimal(0)).used == 95, "young enough"
    clock.later(milliseconds=600)
    found = gate.check(ask, ACME, "calls", Decimal(0))
    assert (found.used, found.as_of) == (98, clock.now())


def test_an_answer_is_renewed_beside_the_asking(limited: tuple[Desk, Gate, Clock]) -> None:
    desk, gate, clock = limited
    ask = asker(desk)
    gate.check(ask, ACME, "calls", Decimal(0))
    desk.use("acme", "2023-01-06", calls=3)
    clock.later(milliseconds=700)
    assert gate.check(ask, ACME, "calls", Decimal(0)).used == 95
    gate._threads.submit(lambda: None).result(10)
    assert gate.check(ask, ACME, "calls", Decimal(0)).used == 98


def test_a_change_of_the_limit_is_seen_within_the_bound(limited: tuple[Desk, Gate, Clock]) -> None:
    desk, gate, clock = limited
    ask = asker(desk)
    assert gate.check(ask, ACME, "calls", Decimal(10)).allowed is False
    (entity,) = desk.records.every(Entitlement)
    at_desk = ControlDesk(records=desk.records, actor=ADA, now=at(NOW))
    ENTITLEMENTS.update(at_desk, entity.id, Entitlement(feature_id=entity.value.feature_id, account_id=ACME), None)
    clock.later(seconds=1)
    assert gate.check(ask, ACME, "calls", Decimal(10)).reason == "UNLIMITED"


def test_what_is_let_pass_at_once_by_many_is_never_more_than_is_left(limited: tuple[Desk, Gate, Clock]) -> None:
    desk, gate, clock = limited
    ask, ready = asker(desk), threading.Barrier(8)

    def many(_: int) -> int:
        ready.wait()
        return sum(gate.consume(ask, ACME, "calls", Decimal("0.5")).allowed for _ in range(5))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(many, range(8))) == 10, "5 are left, half of one each"
    assert gate.check(ask, ACME, "calls", Decimal(0)).remaining == 0
    clock.later(seconds=4)
    assert gate.check(ask, ACME, "calls", Decimal(0)).remaining == 5, "what was never measured was not used"


def test_what_is_let_pass_is_held_until_the_journal_is_measured(open_desk: Opener) -> None:
    """The journal has taken the usage, and its projection is half a minute late: nothing more is let pass meanwhile."""
    desk = open_desk(calls_world())
    entitle(desk, feature(desk), hard_limit=Decimal(100))
    desk.use("acme", "2023-01-05", calls=95)
    clock, ahead = Clock(), 0
    gate, ask = Gate(clock, Decimal(1), lambda: desk.usage_store.mark + ahead), asker(desk)
    assert gate.consume(ask, ACME, "calls", Decimal(5)).allowed
    ahead = 1  # the five calls
    for _ in range(60):
        clock.later(milliseconds=500)
        assert not gate.consume(ask, ACME, "calls", Decimal(1)).allowed
    ahead = 0
    desk.use("acme", "2023-01-20", calls=5)
    for _ in range(10):
        clock.later(milliseconds=500)
        assert not gate.check(ask, ACME, "calls", Decimal(1)).allowed
    assert gate.check(ask, ACME, "calls", Decimal(0)).remaining == 0, "measured, and no longer held"
    gate.close()


def test_a_clock_that_is_set_back_neither_stops_the_answers_nor_what_is_free(
    limited: tuple[Desk, Gate, Clock],
) -> None:
    desk, gate, clock = limited
    ask = asker(desk)
    assert gate.consume(ask, ACME, "calls", Decimal(5)).allowed
    clock.later(hours=-1)
    desk.use("acme", "2023-01-06", calls=2)
    found = gate.check(ask, ACME, "calls", Decimal(0))
    assert (found.as_of, found.used) == (clock.now(), 102), "97 are measured, and 5 are held"
    clock.later(seconds=4)
    assert gate.check(ask, ACME, "calls", Decimal(0)).used == 97, "what was never measured was not used"


def test_what_is_looked_at_ahead_is_answered_from_memory(
    limited: tuple[Desk, Gate, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, gate, _ = limited
    ask = asker(desk)
    assert gate.look_ahead(ask, [ACME])[ACME].grants["calls"].used == 95
    monkeypatch.setattr("tallystick.pipeline.gate.standings", None)
    assert gate.check(ask, ACME, "calls", Decimal(5)).allowed


def test_bursts_are_counted_here_and_begin_anew_with_the_clock(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    per_second = Burst(per=BurstUnit.SECOND, limit=Decimal(3))
    per_minute = Burst(per=BurstUnit.MINUTE, limit=Decimal(5))
    entitle(desk, feature(desk), burst=(per_second, per_minute))
    clock = Clock("2023-01-20T10:00:58.500Z")
    gate, ask = Gate(clock, Decimal(1)), asker(desk)

    def passes(quantity: int = 1) -> bool:
        return gate.consume(ask, ACME, "calls", Decimal(quantity)).allowed

    assert [passes() for _ in range(4)] == [True, True, True, False]
    refused = gate.check(ask, ACME, "calls", Decimal(1))
    assert (refused.reason, refused.retry_after) == ("BURST_LIMIT", 1)
    clock.later(milliseconds=500)
    assert [passes(2), passes(1)] == [True, False], "2 of the minute's 5 were left"
    left = gate.check(ask, ACME, "calls", Decimal(0)).burst
    assert [(each.per, each.remaining) for each in left] == [(BurstUnit.SECOND, 1), (BurstUnit.MINUTE, 0)]
    clock.later(seconds=1)
    assert [passes(3), passes(1)] == [True, False]
    gate.close()


def test_what_there_is_not_is_refused(limited: tuple[Desk, Gate, Clock]) -> None:
    desk, gate, _ = limited
    with pytest.raises(Refusal, match="there is no feature 'nothing'"):
        gate.check(asker(desk), ACME, "nothing", Decimal(1))
    with pytest.raises(Refusal, match="there is no account"):
        gate.check(asker(desk), id_of("account", "nobody"), "calls", Decimal(1))


def test_bands_and_units_do_not_change_what_is_used(open_desk: Opener) -> None:
    """A price per thousand, in tiers, rounded up: what is used stays what was measured."""
    world = World()
    world.template()
    world.plan()
    world.aggregation("calls", quantity_per_unit=Decimal(1_000))
    world.pricing("calls", bands((0, 1), (5, "0.5")), start_date=at("2023-01-01"))
    world.account("acme")
    world.account_plan(account="acme", start="2023-01-01")
    desk = open_desk(world)
    entitle(desk, feature(desk), hard_limit=Decimal(10_000))
    desk.use("acme", "2023-01-05", calls=6_500)
    assert standing(desk).grants["calls"].used == 6_500 == previewed(desk)
