"""Answers that run on are what the store behind them answers: whatever is asked, in any order, while more comes."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_drawn import METHODS
from usage_examples import D, as_block, at, usage

from effort import drawing
from tallystick.core import running
from tallystick.core.aggregation import EventBounds, Measured, Method, Question
from tallystick.core.expression import CalculationError
from tallystick.core.period import Instant, stretch
from tallystick.core.running import Collected
from tallystick.ports import UsageBlock, UsageRow, Withdrawn
from tallystick.stores.memory import MemoryOrganizationUsage, MemoryUsage
from tallystick.stores.running_usage import RunningUsage, kept, late, recent

SUM = Question(meter_id="storage", method=Method.SUM, field="bytes", period=stretch(None, None), up_to=0)


# Few different ones of all, so that most measurements meet a question, and each other.
small = st.sampled_from([D(-2), D("0.5"), D(1), D(1), D("99999999999999999999.999999999999999999"), D(3)])
days = st.sampled_from(["2025-06-15T00:00:00Z", "2025-06-15T00:00:00.000001Z", "2025-06-16T00:00:00Z"])


@st.composite
def even(draw: st.DrawFn) -> list[UsageRow]:
    """Measurements that have all fields, as columns have them."""
    regions = st.sampled_from(["eu", "us"])
    return [
        usage(
            {"bytes": draw(small), "cost": draw(small), "region": draw(regions)},
            ts=draw(days),
            account=draw(st.sampled_from(["ada", "ada", "grace"])),
            uid=f"{draw(regions)}{place}",
        )
        for place in range(draw(st.integers(1, 8)))
    ]


@st.composite
def uneven(draw: st.DrawFn) -> list[UsageRow]:
    """Measurements some of which lack fields, or have a text where others have a number."""
    found = []
    for row in draw(even()):
        numbers = {code: value for code, value in row.numbers.items() if draw(st.integers(0, 3))}
        texts = {code: value for code, value in row.texts.items() if draw(st.integers(0, 3))}
        if "bytes" not in numbers and draw(st.booleans()):
            texts["bytes"] = "1"
        found.append(replace(row, numbers=numbers, texts=texts))
    return found


@st.composite
def questions(draw: st.DrawFn) -> Question:
    method = draw(st.sampled_from(METHODS))
    bounds = EventBounds(low=draw(st.none() | small.map(abs)), high=draw(st.none() | small.map(abs)))
    start, end = draw(st.sampled_from([(None, None), (None, "2025-06-16"), ("2025-06-15T00:00:00.000001Z", None)]))
    return Question(
        meter_id="storage",
        method=method,
        field="region" if method in {"COUNT", "UNIQUE"} and draw(st.booleans()) else "bytes",
        period=stretch(start and at(start), end and at(end)),
        up_to=0,
        accounts=draw(st.sampled_from([("ada",), ("ada", "grace"), ("grace", "ada", "ada")])),
        percentile=draw(st.sampled_from([D("0.001"), D(50), D(90), D(100)])) if method == "PERCENTILE" else None,
        filter=draw(st.sampled_from([None, None, "bytes > 0 OR region == 'eu'", "region != 'eu'", "cost < bytes"])),
        segmented_fields=draw(st.sampled_from([(), (), ("region",), ("cost", "region")])),
        pooled=draw(st.booleans()),
        event_bounds=bounds if method is Method.SUM and draw(st.booleans()) else None,
    )


@dataclass
class Beside:
    """The same measurements in the reference, and behind answers that run on."""

    organization: str = "reed"
    reference: MemoryUsage = field(default_factory=MemoryUsage)
    running: RunningUsage = field(default_factory=lambda: RunningUsage(MemoryUsage()))

    def add(self, rows: Sequence[UsageRow], *, block: bool) -> None:
        first = self.running.mark + 1
        placed = [
            replace(row, organization_id=self.organization, position=first + place) for place, row in enumerate(rows)
        ]
        mark = self.running.mark + len(rows)
        self.reference.add(placed, mark)
        if block:
            again = replace(placed[0], position=0)  # sent twice, and not accepted the second time
            self.running.add([], mark, [as_block([again, *placed, again])])
        else:
            self.running.add(placed, mark)

    def withdraw(self, row: UsageRow) -> None:
        mark = self.running.mark + 1
        gone = Withdrawn(
            position=mark, organization_id="reed", meter_id=row.meter_id, account_id=row.account_id, of=1, ts=row.ts
        )
        for store in (self.reference, self.running):
            store.add([], mark, [], [gone])

    def ask(self, question: Question) -> None:
        answers: list[Any] = []
        for store in (self.reference, self.running):
            try:
                answers.append(list(store.organization(self.organization).measure(question)))
            except CalculationError:
                answers.append(CalculationError)
        assert answers[1] == answers[0], question


@settings(**drawing(120))
@given(
    steps=st.lists(
        st.tuples(st.booleans(), even() | uneven(), st.lists(st.sampled_from([0, 0, 0, 1, 5]), max_size=2)),
        min_size=2,
        max_size=5,
    ),
    asked=st.lists(questions(), min_size=1, max_size=3),
    at_once=st.sampled_from([3, 3_000, 3_000]),
    most=st.sampled_from([3, 3_000, 3_000]),
    rows=st.sampled_from([4, 100_000, 100_000]),
    answers=st.sampled_from([1, 10_000, 10_000]),
)
def test_any_question_again_and_again(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    steps, asked, at_once, most, rows, answers
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kept, "MOST_AT_ONCE", at_once)
        patched.setattr(kept, "MOST_VALUES", most)
        patched.setattr(running, "MOST_ADDED", most)
        patched.setattr(kept.Kept.__init__, "__defaults__", (kept.MOST_BYTES, answers))
        patched.setattr(recent.Recent.__init__, "__defaults__", (rows,))
        here = Beside()
        for block, added, looks in [*steps, (False, [], [0, 0])]:
            whole = all(each.numbers.keys() | each.texts.keys() == {"bytes", "cost", "region"} for each in added)
            here.add(added, block=block and whole and bool(added))
            for back in looks:
                for question in asked:
                    here.ask(msgspec.structs.replace(question, up_to=max(0, here.running.mark - back)))


@settings(**drawing(120))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["block", "rows", "withdrawn", "failed"]),
            even(),
            st.lists(
                st.tuples(
                    st.sampled_from([0, 0, 1, 3]),
                    st.sampled_from([0, 0, 2, 9]),
                    days,
                    st.sampled_from([("ada",), ("ada", "grace")]),
                ),
                max_size=3,
            ),
        ),
        min_size=2,
        max_size=8,
    ),
    added=st.sampled_from([2, 20_000]),
    answers=st.sampled_from([1, 20_000]),
)
def test_since_when_there_is_late_usage_again_and_again(  # type: ignore[no-untyped-def]  # Hypothesis passes them
    steps, added, answers
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(late, "MOST_ADDED", added)
        patched.setattr(late, "MOST_ANSWERS", answers)
        here = Beside(running=RunningUsage(Counted()))
        behind = here.running._store
        assert isinstance(behind, Counted)
        for what, rows, looks in steps:
            if what == "withdrawn":
                here.withdraw(rows[0])
            elif what == "failed":
                behind.fails = True
                with pytest.raises(OSError, match="no space"):
                    here.running.add([replace(rows[0], organization_id="reed")], here.running.mark + 1)
                behind.fails = False
            else:
                here.add(rows, block=what == "block")
            for back, after, before, accounts in looks:
                up_to = max(0, here.running.mark - back)
                asked = {"before": at(before), "after": min(after, up_to), "up_to": up_to}
                expected = here.reference.organization("reed").late_accounts(accounts, **asked)
                assert here.running.organization("reed").late_accounts(accounts, **asked) == expected


def test_the_store_is_asked_about_late_usage_only_where_something_old_came() -> None:
    store = Counted()
    here = RunningUsage(store)
    look = {"before": at("2025-06-15"), "after": 0}

    def late_of_ada() -> dict[str, Any]:
        return here.organization("reed").late_accounts(("ada",), **look, up_to=here.mark)

    here.add(values(1, 5), 1)  # on the 15th
    assert late_of_ada() == {}
    here.add([], 2, [as_block(values(2, 6))])
    assert late_of_ada() == {}
    assert store.asked == [], "all that ever came is known here, and none of it is old"
    old = replace(values(3, 7)[0], ts=at("2025-05-01"))
    here.add([old], 3)
    assert late_of_ada() == {"ada": at("2025-05-01")}
    here.add([replace(old, position=4, organization_id="other", ts=at("2024-01-01"))], 4)
    assert late_of_ada() == {"ada": at("2025-05-01")}
    assert store.asked == ["late after 2"]


@pytest.mark.parametrize("block", [True, False], ids=["columns", "rows"])
@pytest.mark.parametrize("method", METHODS)
def test_a_long_run_of_each_method(method: Method, block: bool) -> None:
    """Each addition is looked at in two parts."""
    chance, here = random.Random(f"{method} {block}"), Beside()
    moments = ["2025-06-15T23:59:59.999998Z", "2025-06-15T23:59:59.999999Z", "2025-06-16T00:00:00Z"]
    question = Question(
        meter_id="storage",
        method=method,
        field="bytes",
        period=stretch(None, at("2025-06-16")),
        up_to=0,
        accounts=("ada",),
        percentile=D(40) if method is Method.PERCENTILE else None,
        segmented_fields=("region",),
    )
    for _ in range(40):
        added = [
            usage(
                {"bytes": chance.randint(-30, 30), "region": chance.choice(["eu", "us"])},
                ts=chance.choice(moments),
                account=chance.choice(["ada", "ada", "grace"]),
                uid=f"{chance.randint(0, 10**9)}",
            )
            for _ in range(6)
        ]
        here.add(added, block=block)
        for back in (3, 0):
            here.ask(msgspec.structs.replace(question, up_to=here.running.mark - back))


class Counted(MemoryUsage):
    """Counts what is asked of it, and can fail to add."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.fails = False

    def organization(self, id: str) -> MemoryOrganizationUsage:
        store, asked = self, self.asked

        class View(MemoryOrganizationUsage):
            def measure(self, question: Question) -> list[Measured]:
                asked.append("measure")
                return super().measure(question)

            def collect(self, question: Question, *, after: int, most: int) -> list[Collected] | None:
                asked.append(f"collect after {after}")
                return super().collect(question, after=after, most=most)

            def late_accounts(
                self, accounts: Sequence[str], *, before: Instant, after: int, up_to: int
            ) -> dict[str, Instant]:
                asked.append(f"late after {after}")
                return super().late_accounts(accounts, before=before, after=after, up_to=up_to)

        return View(store, id)

    def add(
        self,
        rows: Sequence[UsageRow],
        mark: int,
        blocks: Sequence[UsageBlock] = (),
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        if self.fails:
            raise OSError("no space left on device")
        super().add(rows, mark, blocks, withdrawn)


def values(first: int, *numbers: int, account: str = "ada") -> list[UsageRow]:
    return [
        replace(usage({"bytes": each}, account=account), organization_id="reed", position=first + place)
        for place, each in enumerate(numbers)
    ]


def total(usage_store: RunningUsage, question: Question, up_to: int) -> Decimal | None:
    asked = msgspec.structs.replace(question, up_to=up_to, accounts=("ada",))
    found = list(usage_store.organization("reed").measure(asked))
    return found[0].total if found else None


def test_what_was_added_since_is_not_asked_of_the_store() -> None:
    behind = Counted()
    store = RunningUsage(behind)
    store.add(values(1, 5, 7), 2)
    assert total(store, SUM, 2) == 12
    assert behind.asked == ["collect after 0"]
    store.add([*values(3, 1), *values(4, 100, account="grace")], 4)
    store.add(values(5, 2), 5)
    assert [total(store, SUM, 4), total(store, SUM, 5), total(store, SUM, 5)] == [13, 15, 15]
    assert behind.asked == ["collect after 0"]
    assert total(store, SUM, 4) == 13, "an earlier position is asked of the store"
    assert total(store, SUM, 6) == 15, "so is one that the store does not have yet"
    assert behind.asked == ["collect after 0", "measure", "measure"]


def test_values_are_collected_for_what_is_asked_again() -> None:
    behind = Counted()
    store, unique = RunningUsage(behind), msgspec.structs.replace(SUM, method=Method.UNIQUE)
    store.add(values(1, 5, 7, 5), 3)
    assert [total(store, unique, 3), total(store, unique, 3)] == [2, 2]
    store.add(values(4, 7, 8), 5)
    assert total(store, unique, 5) == 3
    assert behind.asked == ["measure", "collect after 0"]


def test_what_is_no_longer_at_hand_is_asked_of_the_store_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent.Recent.__init__, "__defaults__", (2,))
    behind = Counted()
    store = RunningUsage(behind)
    store.add(values(1, 5), 1)
    assert total(store, SUM, 1) == 5
    store.add(values(2, 1, 1), 3)
    store.add(values(4, 1), 4)
    assert total(store, SUM, 4) == 8
    assert behind.asked == ["collect after 0", "collect after 1"]


def test_what_the_store_did_not_add_counts_once_when_it_comes_again() -> None:
    behind = Counted()
    store = RunningUsage(behind)
    store.add(values(1, 5), 1)
    assert total(store, SUM, 1) == 5
    behind.fails = True
    with pytest.raises(OSError, match="no space"):
        store.add(values(2, 7), 2)
    assert total(store, SUM, store.mark) == 5
    behind.fails = False
    store.add(values(2, 7, 9), 3)
    assert total(store, SUM, 3) == 21


def test_answers_are_of_one_organization() -> None:
    store = RunningUsage(MemoryUsage())
    store.add([*values(1, 5), *(replace(each, organization_id="rush") for each in values(2, 7))], 2)
    assert total(store, SUM, 2) == 5
    asked = msgspec.structs.replace(SUM, up_to=2, accounts=("ada",))
    assert [each.total for each in store.organization("rush").measure(asked)] == [7]


@pytest.mark.parametrize("method", ["SUM", "UNIQUE", "PERCENTILE", "LATEST"])
def test_many_look_while_more_arrives(method: str) -> None:
    """Each look is what the measurements up to its position come to: number n has the value (n × 37) % 101."""
    store = RunningUsage(MemoryUsage())
    question = msgspec.structs.replace(SUM, method=Method(method), percentile=D(90) if method == "PERCENTILE" else None)
    series = [place * 37 % 101 for place in range(1, 901)]
    done, wrong = threading.Event(), list[tuple[int, Decimal | None]]()

    def expected(up_to: int) -> Decimal | None:
        seen = series[:up_to]
        if not seen:
            return None
        rank = -(-9 * len(seen) // 10)
        by_method = {
            "SUM": sum(seen),
            "UNIQUE": len(set(seen)),
            "PERCENTILE": sorted(seen)[rank - 1],
            "LATEST": seen[-1],
        }
        return D(by_method[method])

    def look() -> None:
        while not done.is_set():
            up_to = store.mark
            found = total(store, question, up_to)
            if found != expected(up_to):
                wrong.append((up_to, found))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for first in range(1, 901, 9):
        rows = [
            replace(row, ts=at(f"2025-06-15T00:{row.position // 60:02}:{row.position % 60:02}Z"), uid=str(row.position))
            for row in values(first, *series[first - 1 : first + 8])
        ]
        store.add([], first + 8, [as_block(rows)]) if first % 2 else store.add(rows, first + 8)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert total(store, question, 900) == expected(900)


def out(of: int, position: int, organization: str = "reed") -> Withdrawn:
    """What takes a measurement of `values` out from a position on."""
    ts = at("2025-06-15T12:00:00Z")
    return Withdrawn(
        position=position, organization_id=organization, meter_id="storage", account_id="ada", of=of, ts=ts
    )


def never_sent(store: MemoryUsage, gone: dict[int, int], position: int) -> MemoryOrganizationUsage:
    """The usage at a position had what was withdrawn by then (measurement → where) never come."""
    left = MemoryUsage()
    rows = [replace(row, withdrawn=None) for row in store.rows("reed")]
    left.add([row for row in rows if gone.get(row.position, position + 1) > position], store.mark)
    return left.organization("reed")


@settings(**drawing(60))
@given(
    steps=st.lists(
        st.tuples(st.lists(st.integers(1, 9), max_size=2), st.none() | st.integers(1, 8), st.lists(st.integers(0, 3))),
        min_size=2,
        max_size=8,
    ),
    method=st.sampled_from([Method.SUM, Method.MAX, Method.UNIQUE, Method.LATEST]),
)
def test_what_a_withdrawal_takes_out_is_in_no_answer_from_there_on(
    steps: list[tuple[list[int], int | None, list[int]]], method: Method
) -> None:
    """Looks at several positions, some of them between two withdrawals."""
    behind, question = MemoryUsage(), msgspec.structs.replace(SUM, method=method, accounts=("ada",))
    store, gone = RunningUsage(behind), dict[int, int]()
    for added, withdrawn, looks in steps:
        store.add(values(store.mark + 1, *added), store.mark + len(added))
        if withdrawn is not None and withdrawn <= store.mark:
            gone.setdefault(withdrawn, store.mark + 1)
            store.add([], store.mark + 1, withdrawn=[out(withdrawn, store.mark + 1)])
        for back in [0, *looks]:
            asked = msgspec.structs.replace(question, up_to=max(0, store.mark - back))
            expected = never_sent(behind, gone, asked.up_to).measure(asked)
            assert list(store.organization("reed").measure(asked)) == expected


def test_a_withdrawal_of_one_organization_leaves_the_answers_of_others() -> None:
    behind = Counted()
    store = RunningUsage(behind)
    store.add([*values(1, 5), *(replace(each, organization_id="rush") for each in values(2, 7))], 2)
    assert total(store, SUM, 2) == 5
    store.add([], 3, withdrawn=[out(2, 3, "rush")])
    assert total(store, SUM, 3) == 5
    store.add(values(4, 1), 4)
    store.add([], 6, withdrawn=[out(4, 5), out(2, 6, "rush")])
    assert total(store, SUM, 6) == 5
    assert behind.asked == ["collect after 0", "collect after 0"]


def test_a_look_that_overlaps_a_withdrawal_leaves_nothing_behind() -> None:
    """It began before the entry came, and its answer is there when the mark has passed the entry."""
    behind = MemoryUsage()
    store = RunningUsage(behind)
    store.add(values(1, 5, 7), 2)
    view = behind.organization("reed")
    own, late = view.collect, list[int]()

    def overlapped(question: Question, *, after: int, most: int) -> list[Collected] | None:
        found = own(question, after=after, most=most)
        if not late:
            late.append(1)
            store.add([], 3, withdrawn=[out(1, 3)])
        return found

    view.collect = overlapped  # type: ignore[method-assign]  # a look that takes its time
    asked = msgspec.structs.replace(SUM, accounts=("ada",), up_to=2)
    assert [each.total for each in store._kept.answer(view, "reed", asked)] == [12]
    assert total(store, SUM, 3) == 7


def test_the_accounts_of_pools_count_among_what_answers_take() -> None:
    answers = kept.Kept(recent.Recent(0), most_bytes=100_000)
    view = MemoryUsage().organization("reed")
    for start in range(20):
        pool = tuple(f"account {number}" for number in range(1_000))
        period = stretch(at(f"2025-06-{start + 1:02}"), None)
        asked = msgspec.structs.replace(SUM, accounts=pool, pooled=True, period=period)
        assert not list(answers.answer(view, "reed", asked))
    assert len(answers._answers) <= 1
