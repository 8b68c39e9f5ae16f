"""Reading terms in bulk, and asking the usage store as little as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal

from billing_desk import Desk, calls_world

from billing_world import World, at, id_of
from tallystick.core.aggregation import Measured, Method, Question
from tallystick.core.bill import BillRecord
from tallystick.core.bill_job import BillFailure
from tallystick.core.period import Frequency, Instant, Period
from tallystick.core.terms import AccountPeriod
from tallystick.pipeline.bill import Run, preview
from tallystick.pipeline.meter import measure
from tallystick.pipeline.periods import account_periods, ended_by, ending_on, holding
from tallystick.pipeline.rate import Rated, rate_accounts
from tallystick.ports import OrganizationUsage, UsageAnswer, UsageQuery, UsageRow

Opener = Callable[[World], Desk]
NOVEMBER = Period(at("2023-11-01"), at("2023-12-01"))


class Watched:
    """A usage store that remembers what it was asked."""

    def __init__(self, inside: OrganizationUsage) -> None:
        self.inside = inside
        self.asked: list[Question] = []

    def measure(self, question: Question) -> Iterable[Measured]:
        self.asked.append(question)
        return self.inside.measure(question)

    def measure_many(self, questions: Sequence[Question]) -> list[Iterable[Measured]]:
        return [self.measure(each) for each in questions]

    def late_accounts(self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int) -> dict[str, Instant]:
        return self.inside.late_accounts(accounts, before=before, after=after, up_to=up_to)

    def query(self, query: UsageQuery) -> list[UsageAnswer]:
        return self.inside.query(query)

    def raw(self, query: UsageQuery) -> list[UsageRow]:
        return self.inside.raw(query)

    def count(self, query: UsageQuery) -> int:
        return self.inside.count(query)


def of(account: str) -> AccountPeriod:
    return AccountPeriod(account_id=id_of("account", account), frequency=Frequency.MONTHLY, interval=1, period=NOVEMBER)


def test_accounts_on_one_plan_are_one_question_to_the_store(open_desk: Opener) -> None:
    names = [f"account{number}" for number in range(30)]
    world = calls_world(*names)
    world.account("late")
    world.account_plan(account="late", start="2023-11-16")
    desk = open_desk(world)
    for number, name in enumerate(names):
        desk.use(name, "2023-11-05", calls=number)
    watched = Watched(desk.usage)
    rated = rate_accounts(desk.records, watched, [of(name) for name in (*names, "late")], up_to=100)
    assert sorted(len(question.accounts or ()) for question in watched.asked) == [1, 30]
    totals = [sum(line.item.subtotal for line in each.lines) for each in rated if isinstance(each, Rated)]
    assert totals == [5 + Decimal(number) / 10 for number in range(30)] + [Decimal("2.50")]


def test_unknown_account_is_a_failure_in_its_place(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    first, second = rate_accounts(desk.records, desk.usage, [of("nobody"), of("acme")], up_to=0)
    assert isinstance(first, BillFailure)
    assert first.code == "not_found"
    assert isinstance(second, Rated)


def test_every_question_has_its_answer_also_when_nothing_was_measured(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    question = Question(meter_id=id_of("meter", "requests"), method=Method.SUM, field="calls", period=NOVEMBER, up_to=0)
    assert measure(desk.usage, {"a": [question], "b": []}) == {"a": {question: ()}, "b": {}}


def test_choices_of_periods(open_desk: Opener) -> None:
    desk = open_desk(calls_world(start="2023-10-20"))

    def starts(choose: Callable[..., Period | None]) -> list[str]:
        return [str(each.period.start.date()) for each in account_periods(desk.records, choose)]

    assert starts(ending_on(date(2023, 10, 31))) == ["2023-10-01"]
    assert starts(ending_on(date(2023, 10, 30))) == []
    assert starts(ending_on(date(2023, 9, 30))) == []  # the plan was not in force
    assert starts(ended_by(at("2023-12-01"))) == ["2023-11-01"]
    assert starts(ended_by(at("2023-11-30T23:59:59Z"))) == ["2023-10-01"]
    assert starts(holding(at("2023-11-30T23:59:59Z"))) == ["2023-11-01"]


def test_preview_is_the_bill_that_would_be_made_and_writes_nothing(open_desk: Opener) -> None:
    desk = open_desk(calls_world())
    desk.use("acme", "2023-11-05", calls=100)
    run = Run(job_id=id_of("job", "1"), as_of=at("2023-12-01T06:00:00Z"), up_to=1, actor_id="ada")
    (shown,) = preview(desk.records, desk.usage, [of("acme")], run)
    assert isinstance(shown, BillRecord)
    assert desk.bodies() == {}
    desk.run(last_date_in_billing_period=date(2023, 11, 30))
    assert desk.bill_records() == [shown]


def test_bespoke_and_shared_plans_are_read_alike(open_desk: Opener) -> None:
    world = calls_world("acme", "beta")
    own = world.plan("own", account_id=id_of("account", "beta"), bespoke=True, standing_charge=Decimal(1))
    world.account_plan(own, "beta")
    desk = open_desk(world)
    (rated,) = rate_accounts(desk.records, desk.usage, [of("beta")], up_to=0)
    assert isinstance(rated, Rated)
    assert [line.item.subtotal for line in rated.lines] == [Decimal("1.00"), Decimal("5.00")]
