"""What was withdrawn counts as never sent, for every aggregation: from its withdrawal on, and not before."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_drawn import ACCOUNTS, METHODS, filters, measurements
from usage_examples import ACCOUNT, EVERYTHING, D, Tenant, ask, at, column, numbers, usage

from effort import drawing
from tallystick.core.aggregation import Correlation, Method, Question
from tallystick.core.period import stretch
from tallystick.core.running import can_run
from tallystick.ports import Behind, UsageRow, UsageStore, Withdrawn

STREAMS: list[dict[str, Any]] = [
    {"method": Method.TIME_WEIGHTED_SUM, "gauge": True, "gauge_field": "region"},
    {"method": Method.TIME_WEIGHTED_MEAN, "gauge": True},
    {"method": Method.LATEST, "gauge": True, "gauge_field": "tier"},
    {"method": Method.CORRELATED_COUNT, "correlation": Correlation(field="region", success="bytes > 0", window=None)},
]


def out(*rows: UsageRow, first: int) -> list[Withdrawn]:
    """Withdrawals of measurements at positions from `first` on."""
    return [
        Withdrawn(
            position=first + place,
            organization_id=row.organization_id,
            meter_id=row.meter_id,
            account_id=row.account_id,
            of=row.position,
            ts=row.ts,
        )
        for place, row in enumerate(rows)
    ]


def withdraw(tenant: Tenant, *rows: UsageRow) -> int:
    """Take measurements out at the next positions; answers the last position before that."""
    before = tenant.store.mark
    tenant.store.add([], before + len(rows), withdrawn=out(*rows, first=before + 1))
    return before


def asked(**more: Any) -> Question:
    period = stretch(at("2025-03-30T00:00:00Z"), at("2026-01-01T00:00:00Z"))
    given = {"meter_id": "storage", "field": "bytes", "method": Method.SUM, "period": period, "up_to": EVERYTHING}
    return Question(**{**given, **more})


EVERY = [
    (Method.SUM, None, D(12), D(5)),
    (Method.COUNT, None, D(4), D(3)),
    (Method.MAX, None, D(7), D(3)),
    (Method.MIN, None, D(1), D(1)),
    (Method.UNIQUE, None, D(3), D(2)),
    (Method.LATEST, None, D(7), D(1)),
    (Method.MEAN, None, D(12), D(5)),  # the sum and, as the count, what it is divided by
    (Method.PERCENTILE, "95", D(7), D(3)),
    (Method.PERCENTILE, "50", D(1), D(1)),
]


@pytest.mark.parametrize(("method", "percentile", "before", "after"), EVERY)
def test_the_greatest_one_is_withdrawn(
    tenant: Tenant, method: Method, percentile: str | None, before: Decimal, after: Decimal
) -> None:
    """1, 3, 1 and 7, of which 7 never should have been sent."""
    *_, seven = tenant.add(*numbers(1, 3, 1, 7))
    assert tenant.one(method, percentile=percentile)[0] == before
    then = withdraw(tenant, seven)
    assert tenant.one(method, percentile=percentile) == (after, 3)
    (answer,) = tenant.measure(method, percentile=percentile, up_to=then)
    assert answer.total == before, "what a bill read up to a position stays what it was"


def test_a_measurement_is_withdrawn_once(tenant: Tenant) -> None:
    one, _ = tenant.add(*numbers(5, 7))
    between = withdraw(tenant, one) + 1
    withdraw(tenant, one)
    assert tenant.one(Method.SUM) == (7, 1)
    assert [each.total for each in tenant.measure(Method.SUM, up_to=between)] == [7]


def test_the_explorer_leaves_out_or_shows_what_was_withdrawn(tenant: Tenant) -> None:
    one, two, _ = tenant.add(*numbers(5, 7, 9))
    until = withdraw(tenant, two)
    assert tenant.query(ask(column("SUM")))[0].values == ((D(14), 2),)
    assert tenant.query(replace(ask(column("SUM")), withdrawn=None))[0].values == ((D(21), 3),)
    assert tenant.query(replace(ask(column("SUM")), up_to=until))[0].values == ((D(21), 3),)
    assert [row.uid for row in tenant.raw(replace(ask(), withdrawn=True))] == [two.uid]
    shown = tenant.raw(replace(ask(), withdrawn=None))
    assert [row.withdrawn for row in shown] == [None, until + 1, None]
    assert tenant.count(ask()) == 2
    assert tenant.raw(replace(ask(), positions=(one.position, two.position))) == [one]


def test_measurements_behind_an_old_bill_say_what_was_withdrawn_since(tenant: Tenant) -> None:
    one, two = tenant.add(*numbers(5, 7))
    until = withdraw(tenant, two)
    view = tenant.store.organization(tenant.id)
    then = view.behind(Behind(question=asked(up_to=until)), None, 10)
    assert [(row.uid, row.withdrawn) for row in then] == [(two.uid, until + 1), (one.uid, None)]
    assert [row.uid for row in view.behind(Behind(question=asked()), None, 10)] == [one.uid]


def test_a_withdrawal_of_an_earlier_month_makes_its_account_late(tenant: Tenant) -> None:
    may, june = tenant.add(usage({"bytes": 1}, ts="2025-05-04T00:00:00Z"), usage({"bytes": 2}))
    then = tenant.store.mark
    view, first_of_june = tenant.store.organization(tenant.id), at("2025-06-01T00:00:00Z")
    withdraw(tenant, june)
    assert not view.late_accounts(["ada"], before=first_of_june, after=then, up_to=EVERYTHING)
    withdraw(tenant, may)
    late = view.late_accounts(["ada", "grace"], before=first_of_june, after=then, up_to=EVERYTHING)
    assert late == {"ada": may.ts}
    assert not view.late_accounts(["ada"], before=first_of_june, after=tenant.store.mark, up_to=EVERYTHING)


@st.composite
def withdrawn_places(draw: st.DrawFn) -> tuple[list[UsageRow], set[int]]:
    rows = draw(measurements())
    return rows, draw(st.sets(st.integers(0, max(0, len(rows) - 1)))) if rows else set()


@settings(**drawing(40))
@given(
    drawn=withdrawn_places(),
    more=measurements(),
    method=st.sampled_from(METHODS),
    where=st.none() | filters,
    by=st.sampled_from([(), ("region",)]),
    pooled=st.booleans(),
    stream=st.none() | st.sampled_from(STREAMS),
)
def test_usage_is_that_of_the_measurements_never_having_been_sent(
    store: UsageStore,
    drawn: tuple[list[UsageRow], set[int]],
    more: Sequence[UsageRow],
    method: Method,
    where: str | None,
    by: tuple[str, ...],
    pooled: bool,
    stream: dict[str, Any] | None,
) -> None:
    """Of every aggregation, filtered, in segments or pooled; and so does the supposition before it happens."""
    rows, places = drawn
    question = asked(
        **{
            "method": method,
            "filter": where,
            "segmented_fields": by,
            "accounts": tuple(ACCOUNTS),
            "pooled": pooled,
            "percentile": D(95) if method is Method.PERCENTILE else None,
            **({**stream, "percentile": None} if stream else {}),
        }
    )
    sent, never = Tenant(store), Tenant(store)
    kept = sent.add(*rows)
    gone = [kept[place] for place in sorted(places)]
    never.add(*(row for place, row in enumerate(rows) if place not in places), *more)
    view, other = store.organization(sent.id), store.organization(never.id)
    before = list(view.measure(question))
    without = [row.position for row in gone]
    added = [replace(row, organization_id=sent.id) for row in more]
    supposed = list(view.measure_as_if(question, without=without, added=added))
    then = withdraw(sent, *gone)
    sent.add(*more)
    expected = list(other.measure(question))
    assert list(view.measure(question)) == expected
    assert supposed == expected
    assert list(view.measure(msgspec.structs.replace(question, up_to=then))) == before
    if can_run(question):
        assert view.collect(question, after=0, most=10_000) == other.collect(question, after=0, most=10_000)
    split = ask(column("SUM"), column("UNIQUE", "region"), by=(ACCOUNT,))
    assert sent.query(split) == never.query(split)


def test_each_tenant_is_by_itself(tenant: Tenant) -> None:
    """A withdrawal of one organisation takes nothing from another with the same uid."""
    other = Tenant(tenant.store, id=uuid.uuid4().hex)
    (own,) = tenant.add(usage({"bytes": 5}, uid="a"))
    other.add(usage({"bytes": 7}, uid="a"))
    withdraw(tenant, own)
    assert tenant.measure(Method.SUM) == []
    assert other.one(Method.SUM) == (7, 1)
