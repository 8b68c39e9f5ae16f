"""Bill runs look at the usage behind their bills before they settle, and hold what is out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_desk import NOVEMBER, Desk, calls_world

from billing_world import World, at, id_of
from tallystick.core import wire
from tallystick.core.anomaly import Anomaly, AnomalyKind, AnomalyPolicy
from tallystick.core.bill_hold import BillHold, HoldState, ReleaseReason, release
from tallystick.core.intake_tally import IntakeTally
from tallystick.core.period import Instant
from tallystick.pipeline.anomalies import Look, columns_of, of_accounts, of_meters, read_policies
from tallystick.pipeline.bill_hold import hold_document
from tallystick.ports import Document, DocumentWhere, Page, UsageQuery

Opener = Callable[[World], Desk]
EVERY = tuple(AnomalyKind)
NOV = [date(2023, 11, 1) + timedelta(days=each) for each in range(30)]
OCT = [date(2023, 10, 2) + timedelta(days=each) for each in range(30)]


def policy(world: World, account: str | None = None, **given: Any) -> World:
    world.add(AnomalyPolicy(account_id=id_of("account", account) if account else None, **given), f"policy {account}")
    return world


def usual(desk: Desk, account: str, days: list[date], calls: int = 100, *, but: dict[date, int | None] | None = None):  # type: ignore[no-untyped-def]  # a helper of rows
    for day in days:
        number = (but or {}).get(day, calls)
        if number is not None:
            desk.use(account, f"{day}T12:00:00Z", calls=number)


def holds(desk: Desk) -> dict[str, BillHold]:
    found = desk.records.documents("billhold", DocumentWhere(), Page(size=1000)).rows
    return {each.id: wire.decode(BillHold, each.body) for each in found}


def anomalies(desk: Desk) -> list[Anomaly]:
    found = desk.records.documents("anomaly", DocumentWhere(), Page(size=1000)).rows
    return sorted((wire.decode(Anomaly, each.body) for each in found), key=lambda each: (each.kind, each.day))


def events(desk: Desk) -> list[str]:
    """The names of events, but for what is told of each bill job that is done."""
    found = desk.records.documents("event", DocumentWhere(), Page(size=1000)).rows
    return sorted(name for each in found if (name := each.keys["event_name"]) != "billing.billjob.completed")


def bill_of(desk: Desk, account: str) -> str:
    (found,) = [each.id for each in desk.bills() if each.account_id == id_of("account", account)]
    return str(found)


def test_a_run_holds_the_bill_with_the_spike_and_no_other(open_desk: Opener) -> None:
    desk = open_desk(policy(calls_world("acme", "beta"), hold_for=EVERY))
    for account in ("acme", "beta"):
        usual(desk, account, OCT)
    usual(desk, "acme", NOV, but={NOV[19]: 4000})
    usual(desk, "beta", NOV)
    desk.run(**NOVEMBER)
    (hold,) = holds(desk).values()
    assert (hold.bill_id, hold.state) == (bill_of(desk, "acme"), HoldState.HELD)
    (found,) = hold.anomalies
    assert (found.kind, found.day, found.measured, found.usual) == ("SPIKE", NOV[19], 4000, 100)
    assert events(desk) == ["anomaly.found", "bill.held"]
    desk.run(**NOVEMBER)
    assert events(desk) == ["anomaly.found", "bill.held"]


def test_usage_that_ceases_holds_a_bill_from_the_day_on_which_it_did(open_desk: Opener) -> None:
    """Both accounts stop, and with them the meter: three days that are told of one by one."""
    desk = open_desk(policy(calls_world("acme", "beta"), hold_for=EVERY))
    for account in ("acme", "beta"):
        usual(desk, account, [*OCT, *NOV[:27]])
    desk.run(**NOVEMBER)
    assert len(holds(desk)) == 2
    by_kind = [(each.kind, each.day) for each in anomalies(desk)]
    days = NOV[27:]
    assert by_kind == [("DROP_TO_ZERO", day) for day in days for _ in range(2)] + [
        ("SILENT_METER", day) for day in days
    ]
    acme = holds(desk)[bill_of(desk, "acme")]
    assert sorted(each.kind for each in acme.anomalies) == ["DROP_TO_ZERO"] * 3 + ["SILENT_METER"] * 3


@pytest.mark.parametrize(
    ("world", "held"),
    [
        (calls_world("acme", "beta"), []),  # what nobody asked for holds nothing
        (policy(calls_world("acme", "beta"), "acme", hold_for=EVERY), ["acme"]),
        (policy(policy(calls_world("acme", "beta"), hold_for=EVERY), "beta", hold_for=()), ["acme"]),
        (policy(policy(calls_world("acme", "beta"), hold_for=EVERY), "acme", times=Decimal(50)), ["beta"]),
        (policy(calls_world("acme", "beta"), hold_for=(AnomalyKind.FAILURES,)), []),
    ],
)
def test_policies_say_whose_bills_are_held(open_desk: Opener, world: World, held: list[str]) -> None:
    desk = open_desk(world)
    for account in ("acme", "beta"):
        usual(desk, account, NOV, but={NOV[19]: 4000})
    desk.run(**NOVEMBER)
    assert [each.account_id for each in holds(desk).values()] == [id_of("account", account) for account in held]


@pytest.mark.parametrize(
    ("code", "kind"), [("duplicate", "DUPLICATES"), ("conflict", "DUPLICATES"), ("missing_field", "FAILURES")]
)
def test_a_jump_of_what_did_not_count_holds_the_bills_of_the_meter(open_desk: Opener, code: str, kind: str) -> None:
    desk = open_desk(policy(calls_world("acme"), hold_for=EVERY))
    usual(desk, "acme", NOV)
    rows = [IntakeTally(day=day, meter="requests", counts={code: 700 if day == NOV[22] else 2}) for day in NOV]
    other = IntakeTally(day=NOV[22], meter="", counts={code: 700})  # of no meter that there is
    with desk.records.transaction() as write:
        documents = [Document(id=each.id, sort="", keys=each.keys, body=wire.encode(each)) for each in (*rows, other)]
        write.put_documents("intaketally", documents)
    desk.run(**NOVEMBER)
    (hold,) = holds(desk).values()
    (found,) = hold.anomalies
    assert (found.kind, found.day, found.measured, found.usual) == (kind, NOV[22], 700, 2)
    assert found.meter_code == "requests"


def test_what_was_released_stays_released_until_far_more_comes(open_desk: Opener) -> None:
    desk = open_desk(policy(calls_world("acme"), hold_for=EVERY))
    usual(desk, "acme", NOV, but={NOV[19]: 4000})
    desk.run(**NOVEMBER)
    (hold,) = holds(desk).values()
    done = release(hold, ReleaseReason.GROWTH, "", at=at("2023-12-02T00:00:00Z"), by="ada")
    with desk.records.transaction() as write:
        write.put_documents("billhold", [hold_document(done)])
    desk.use("acme", f"{NOV[19]}T13:00:00Z", calls=2000)
    desk.recalculate([hold.bill_id])
    assert holds(desk)[hold.bill_id].state is HoldState.RELEASED
    desk.use("acme", f"{NOV[19]}T14:00:00Z", calls=1)
    desk.recalculate([hold.bill_id])
    again = holds(desk)[hold.bill_id]
    assert (again.state, again.anomalies[0].measured) == (HoldState.HELD, 6001)


def test_many_accounts_are_looked_at_in_one_question(open_desk: Opener) -> None:
    """However many accounts a run bills, it asks as often; and no more than if nothing is held where nothing is."""
    asked = []
    for count in (2, 20):
        names = [f"a{number}" for number in range(count)]
        desk = open_desk(policy(calls_world(*names), hold_for=EVERY))
        for name in names:
            usual(desk, name, NOV[:20])
        usage = _Counted(desk.usage)
        job = desk.ask(**NOVEMBER)
        from tallystick.pipeline.bill_run import run_job

        run_job(desk.records, usage, job.id)  # type: ignore[arg-type]  # it passes on all else
        asked.append(usage.queries)
    assert asked[0] == asked[1] == 2, "one of the accounts, one of the meters"


class _Counted:
    def __init__(self, usage: Any) -> None:
        self._usage = usage
        self.queries = 0

    def query(self, query: UsageQuery) -> Any:
        self.queries += 1
        return self._usage.query(query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usage, name)


def test_a_day_that_is_not_over_is_no_drop(open_desk: Opener) -> None:
    desk = open_desk(policy(calls_world("acme"), hold_for=EVERY))
    usual(desk, "acme", NOV[:20])
    from tallystick.core.aggregation import Aggregation
    from tallystick.core.meter import Meter

    columns = columns_of(desk.records.every(Aggregation))

    def look(over: date) -> list[AnomalyKind]:
        asked = Look(
            organization_id=desk.records.organization_id,
            first=NOV[20],
            last=NOV[20],
            over=over,
            zone="UTC",
            at=Instant.midnight(NOV[20]),
            up_to=desk.usage_store.mark,
            policies=read_policies(desk.records),
        )
        meters = {each.id: each for each in desk.records.every(Meter)}
        found = of_accounts(desk.usage, columns, [id_of("account", "acme")], asked)
        return [each.kind for each in [*found, *of_meters(desk.records, desk.usage, meters, asked)]]

    assert look(NOV[20]) == []
    assert look(NOV[21]) == [AnomalyKind.DROP_TO_ZERO, AnomalyKind.SILENT_METER]
