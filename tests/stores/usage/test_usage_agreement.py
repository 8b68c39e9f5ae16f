"""The column store answers what the reference answers, whatever is measured and asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_drawn import ACCOUNTS, METHODS, filters, measurements, moments, words
from usage_examples import ACCOUNT, D, Tenant, ask, column, dimension, time_group

from effort import drawing
from tallystick.core.aggregation import Correlation, Method, Question
from tallystick.core.period import Instant, stretch
from tallystick.core.time_group import TimeFrequency
from tallystick.ports import UsageFilter, UsageGroup, UsageQuery, UsageRow
from tallystick.ports.usage import UsageRun
from tallystick.stores.memory import MemoryUsage
from tallystick.stores.usage_clickhouse import ClickHouseUsage

SETTINGS = settings(**drawing(15))
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]


@dataclass
class Both:
    """One organisation in both stores, with the same measurements at the same positions."""

    reference: Tenant
    columns: Tenant

    def add(self, rows: list[UsageRow]) -> None:
        mark = self.columns.store.mark
        self.reference.store.add([], mark)
        self.columns.add(*rows)
        self.reference.add(*rows)


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseUsage]:
    opened = ClickHouseUsage(tmp_path_factory.mktemp("usage"))
    yield opened
    opened.close()


def both(columns: ClickHouseUsage, rows: list[UsageRow]) -> Both:
    tenant = Tenant(columns)
    found = Both(Tenant(MemoryUsage(), tenant.id), tenant)
    found.add(rows)
    return found


@SETTINGS
@given(
    rows=measurements(),
    where=st.none() | filters,
    target=st.sampled_from(["bytes", "cost", "region"]),
    by=st.sampled_from([(), ("region",), ("tier", "region")]),
    accounts=st.none() | st.lists(st.sampled_from([*ACCOUNTS, "nobody"])),
    percentile=st.decimals(min_value="0.001", max_value=100, places=3),
    end=st.none() | moments,
    cut=st.integers(0, 3),
    pooled=st.booleans(),
)
def test_every_method_of_any_question(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, where, target, by, accounts, percentile, end, cut, pooled
) -> None:
    here = both(columns, rows)
    asked = {
        "where": where,
        "by": by,
        "accounts": accounts,
        "end": None if end is None else end.wire(),
        "up_to": columns.mark - cut,
        "pooled": pooled and accounts is not None,
    }
    for method in METHODS:
        rank = str(percentile) if method is Method.PERCENTILE else None
        expected = here.reference.measure(method, target, percentile=rank, **asked)
        assert here.columns.measure(method, target, percentile=rank, **asked) == expected, method


@SETTINGS
@given(
    rows=measurements(),
    where=st.none() | st.none() | filters,
    by=st.sampled_from([(), (), ("region",)]),
    accounts=st.lists(st.sampled_from([*ACCOUNTS, "nobody"])),
    counted=st.lists(
        st.tuples(
            st.sampled_from([Method.SUM, Method.SUM, Method.MEAN, Method.COUNT, Method.COUNT, Method.MAX]),
            st.sampled_from(["bytes", "cost", "region", "unheard of"]),
        ),
        max_size=6,
    ),
    end=st.none() | moments,
    cut=st.integers(0, 2),
)
def test_many_questions_are_answered_as_each_by_itself(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, where, by, accounts, counted, end, cut
) -> None:
    here = both(columns, rows)
    asked = [
        Question(
            meter_id="storage",
            method=method,
            field=field,
            period=stretch(None, end),
            up_to=columns.mark - cut,
            accounts=tuple(accounts) if place % 3 else tuple(ACCOUNTS),
            filter=where,
            segmented_fields=by,
        )
        for place, (method, field) in enumerate(counted)
    ]
    store = here.columns.store.organization(here.columns.id)
    reference = here.reference.store.organization(here.columns.id)
    found = [list(each) for each in store.measure_many(asked)]
    assert found == [list(store.measure(each)) for each in asked]
    assert [sorted(each, key=repr) for each in found] == [sorted(reference.measure(each), key=repr) for each in asked]


@SETTINGS
@given(
    rows=measurements(),
    method=st.sampled_from([Method.UNIQUE, Method.UNIQUE, Method.PERCENTILE, Method.LATEST, Method.SUM, Method.MAX]),
    target=st.sampled_from(["bytes", "bytes", "region"]),
    where=st.none() | st.none() | filters,
    by=st.sampled_from([(), ("region",), ("tier", "region")]),
    accounts=st.lists(st.sampled_from(ACCOUNTS), min_size=1),
    end=st.none() | moments,
    skipped=st.integers(0, 3),
    most=st.sampled_from([2, 1_000]),
    pooled=st.booleans(),
)
def test_what_running_answers_are_made_of(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, method, target, where, by, accounts, end, skipped, most, pooled
) -> None:
    here = both(columns, rows)
    question = Question(
        meter_id="storage",
        method=method,
        field=target,
        period=stretch(None, end),
        up_to=columns.mark,
        accounts=tuple(accounts),
        percentile=D(50) if method is Method.PERCENTILE else None,
        filter=where,
        segmented_fields=by,
        pooled=pooled,
    )
    after = columns.mark - len(rows) + skipped
    found, expected = (
        each.store.organization(here.columns.id).collect(question, after=after, most=most)
        for each in (here.columns, here.reference)
    )
    assert found == expected


@SETTINGS
@given(
    rows=measurements(),
    method=st.sampled_from([Method.TIME_WEIGHTED_SUM, Method.TIME_WEIGHTED_MEAN, Method.LATEST]),
    where=st.none() | filters,
    by=st.sampled_from([(), ("region",)]),
    of=st.sampled_from([None, "tier"]),
    accounts=st.none() | st.lists(st.sampled_from([*ACCOUNTS, "nobody"])),
    ends=st.lists(st.none() | moments, min_size=2, max_size=2),
    pooled=st.booleans(),
    cut=st.integers(0, 3),
)
def test_gauges_of_any_question(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, method, where, by, of, accounts, ends, pooled, cut
) -> None:
    here = both(columns, rows)
    start, end = (None if each is None else each.wire() for each in ends)
    asked = {"where": where, "by": by, "of": of, "accounts": accounts, "start": start, "end": end}
    asked |= {"pooled": pooled and accounts is not None, "up_to": columns.mark - cut, "gauge": True}
    assert here.columns.measure(method, **asked) == here.reference.measure(method, **asked)


@SETTINGS
@given(
    rows=measurements(),
    target=st.sampled_from(["bytes", "region"]),
    success=st.just("bytes > 0") | filters,
    window=st.none() | st.sampled_from([1, 30_000_000, 3_600_000_000, 10**14]),
    where=st.none() | filters,
    by=st.sampled_from([(), ("region",)]),
    accounts=st.none() | st.lists(st.sampled_from([*ACCOUNTS, "nobody"])),
    ends=st.lists(st.none() | moments, min_size=2, max_size=2),
    pooled=st.booleans(),
    cut=st.integers(0, 3),
)
def test_units_of_any_question(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, target, success, window, where, by, accounts, ends, pooled, cut
) -> None:
    here = both(columns, rows)
    start, end = (None if each is None else each.wire() for each in ends)
    asked = {"where": where, "by": by, "accounts": accounts, "start": start, "end": end, "up_to": columns.mark - cut}
    asked |= {"pooled": pooled and accounts is not None}
    asked |= {"correlation": Correlation(field="tier", success=success, window=window)}
    expected = here.reference.measure("CORRELATED_COUNT", target, **asked)
    assert here.columns.measure("CORRELATED_COUNT", target, **asked) == expected


@st.composite
def queries(draw: st.DrawFn) -> UsageQuery:
    groups: list[UsageGroup] = draw(
        st.lists(
            st.sampled_from(
                [ACCOUNT, dimension("region"), dimension("tier", "api"), *(time_group(each) for each in TimeFrequency)]
            ),
            max_size=3,
            unique=True,
        )
    )
    kept = UsageFilter(meter_id="storage", field="region", values=tuple(draw(st.lists(words, max_size=3))))
    limits = [None, *(sorted(draw(st.lists(moments, min_size=2, max_size=2))))]
    start, end = draw(st.sampled_from([(0, 0), (1, 0), (0, 2), (1, 2)]))
    asked = ask(
        *(column(function) for function in ("SUM", "MIN", "MAX", "LATEST", "MEAN", "COUNT", "UNIQUE")),
        *(column(function, "tier", "api") for function in ("COUNT", "UNIQUE")),
        by=tuple(groups),
        meters=draw(st.sampled_from([None, ("storage", "api"), ("api",)])),
        accounts=draw(st.sampled_from([None, ("ada", "Ada", "nobody")])),
        filters=draw(st.sampled_from([(), (kept,)])),
        limit=draw(st.sampled_from([1, 3, 1000])),
        zone=draw(st.sampled_from(ZONES)),
    )
    return replace(asked, start=limits[start], end=limits[end])


@SETTINGS
@given(rows=measurements(), query=queries())
def test_any_usage_query(columns: ClickHouseUsage, rows: list[UsageRow], query: UsageQuery) -> None:
    here = both(columns, rows)
    assert here.columns.query(query) == here.reference.query(query)
    assert here.columns.raw(query) == here.reference.raw(query)


@SETTINGS
@given(
    rows=measurements(),
    query=queries(),
    bounds=st.lists(st.none() | st.sampled_from(ACCOUNTS), min_size=2, max_size=2),
    most=st.integers(1, 5),
    as_text=st.booleans(),
    cut=st.integers(0, 3),
)
def test_any_run_of_columns(  # type: ignore[no-untyped-def]  # Hypothesis passes what `given` says
    columns, rows, query, bounds, most, as_text, cut
) -> None:
    here = both(columns, rows)
    assert here.columns.meters() == here.reference.meters()
    asked = replace(query, meter_ids=None, accounts_from=bounds[0], accounts_until=bounds[1], up_to=columns.mark - cut)
    for meter_id in ("storage", "api", "nothing"):
        run = UsageRun(query=asked, meter_id=meter_id, most=most, as_text=as_text)
        while True:
            expected, found = here.reference.columns(run).to_pylist(), here.columns.columns(run).to_pylist()
            assert found == expected
            if not found:
                break
            run = replace(run, after=(found[-1]["account"], Instant.of(found[-1]["ts"]), found[-1]["position"]))
