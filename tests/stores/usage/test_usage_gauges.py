"""Gauges: a value holds until the next one, into the period and through silence; the same on every store."""

from __future__ import annotations

from itertools import pairwise

import pytest
from usage_examples import D, Tenant, Values, usage

from tallystick.core.aggregation import Measured, Method

HOUR = 3_600_000_000
DAY = 24 * HOUR
JUNE = {"start": "2025-06-01", "end": "2025-07-01"}
NINES = "99999999999999999999.999999999999999999"

# What was measured of one account's storage (moment, GB), and its GB-days and last value in June, of 30 days.
STORIES = {
    "put in before June and left": ([("2025-03-10", 10)], 1, 300, 10),
    "put in with the start of June": ([("2025-06-01", 10)], 1, 300, 10),
    "put in on the 11th": ([("2025-06-11", 10)], 1, 200, 10),
    "grown on the 11th": ([("2025-05-01", 10), ("2025-06-11", 25)], 2, 10 * 10 + 20 * 25, 25),
    "deleted on the 11th": ([("2025-05-01", 10), ("2025-06-11", 0)], 2, 100, 0),
    "deleted and put in again": ([("2025-06-01", 3), ("2025-06-11", 0), ("2025-06-21", 6)], 3, 30 + 60, 6),
    "replaced as June begins": ([("2025-05-01", 10), ("2025-06-01", 1)], 1, 30, 1),
    "only the last before June holds": ([("2025-04-01", 99), ("2025-05-01", 2)], 1, 60, 2),
    "told again every ten days": ([("2025-06-01", 5), ("2025-06-11", 5), ("2025-06-21", 5)], 3, 150, 5),
    "for half an hour": ([("2025-06-05T10:00:00Z", 48), ("2025-06-05T10:30:00Z", 0)], 2, 1, 0),
    "what comes in July is not of June": ([("2025-06-21", 4), ("2025-07-01", 1000)], 1, 40, 4),
    "below zero": ([("2025-06-01", -1), ("2025-06-16", 3)], 2, -15 + 45, 3),
}
ALL = pytest.mark.parametrize("story", STORIES)


def stored(tenant: Tenant, story: str) -> tuple[int, int, int]:
    measured, *expected = STORIES[story]
    tenant.add(*(usage({"bytes": value}, ts=moment) for moment, value in measured))
    return expected[0], expected[1], expected[2]


@ALL
def test_gigabyte_days(tenant: Tenant, story: str) -> None:
    count, days, _ = stored(tenant, story)
    assert tenant.measure("TIME_WEIGHTED_SUM", gauge=True, **JUNE) == [
        Measured(account_id="ada", total=D(days * DAY), count=count)
    ]


@ALL
def test_the_mean_has_the_same_total(tenant: Tenant, story: str) -> None:
    stored(tenant, story)
    weighted = [tenant.measure(method, gauge=True, **JUNE) for method in ("TIME_WEIGHTED_MEAN", "TIME_WEIGHTED_SUM")]
    assert weighted[0] == weighted[1]


@ALL
def test_the_latest_is_carried_forward(tenant: Tenant, story: str) -> None:
    count, _, latest = stored(tenant, story)
    assert tenant.measure("LATEST", gauge=True, **JUNE) == [Measured(account_id="ada", total=D(latest), count=count)]


@ALL
def test_parts_of_a_month_add_up_to_it(tenant: Tenant, story: str) -> None:
    _, days, _ = stored(tenant, story)
    edges = ["2025-06-01", "2025-06-05T10:15:00Z", "2025-06-11", "2025-06-28T23:59:59.999999Z", "2025-07-01"]
    parts = [tenant.measure("TIME_WEIGHTED_SUM", gauge=True, start=start, end=end) for start, end in pairwise(edges)]
    assert sum(answer.total for part in parts for answer in part) == days * DAY


@pytest.mark.parametrize("method", ["TIME_WEIGHTED_SUM", "TIME_WEIGHTED_MEAN", "LATEST"])
def test_what_has_ended_before_the_period_is_not_in_it(tenant: Tenant, method: str) -> None:
    tenant.add(usage({"bytes": 10}, ts="2025-04-01"), usage({"bytes": 0}, ts="2025-05-01"))
    assert tenant.measure(method, gauge=True, **JUNE) == []
    assert tenant.measure(method, gauge=True, start="2025-05-01", end="2025-06-01") != []


BUCKETS: list[tuple[str, Values]] = [
    ("2025-05-01", {"bytes": 10, "bucket": "a", "region": "eu"}),
    ("2025-05-02", {"bytes": 20, "bucket": "b", "region": "us"}),
    ("2025-06-11", {"bytes": 0, "bucket": "a", "region": "eu"}),
    ("2025-06-16", {"bytes": 4, "bucket": "c", "region": "eu"}),
    ("2025-06-20", {"bytes": 999}),  # of no bucket
]


@pytest.fixture
def buckets(tenant: Tenant) -> Tenant:
    tenant.add(*(usage(values, ts=moment) for moment, values in BUCKETS))
    return tenant


@pytest.mark.parametrize(
    ("method", "total"), [("TIME_WEIGHTED_SUM", (10 * 10 + 30 * 20 + 15 * 4) * DAY), ("LATEST", 0 + 20 + 4)]
)
def test_a_gauge_for_each_bucket_and_all_of_them_added_up(buckets: Tenant, method: str, total: int) -> None:
    assert buckets.measure(method, gauge=True, of="bucket", **JUNE) == [
        Measured(account_id="ada", total=D(total), count=4)
    ]


def test_segments_have_gauges_of_their_own(buckets: Tenant) -> None:
    found = buckets.measure("TIME_WEIGHTED_SUM", gauge=True, of="bucket", by=("region",), **JUNE)
    assert [(answer.segment, answer.total) for answer in found] == [(("eu",), 160 * DAY), (("us",), 600 * DAY)]


@pytest.mark.parametrize("where", ["region == 'eu'", "bytes * 0.00000000000000000000000001 >= 0 AND region == 'eu'"])
def test_a_filter_says_what_sets_the_gauge(buckets: Tenant, where: str) -> None:
    (found,) = buckets.measure("TIME_WEIGHTED_SUM", gauge=True, of="bucket", where=where, **JUNE)
    assert (found.total, found.count) == (160 * DAY, 3)


def test_gauges_of_a_field_that_nothing_has(buckets: Tenant) -> None:
    assert buckets.measure("LATEST", gauge=True, of="never", **JUNE) == []


def test_accounts_have_gauges_of_their_own_also_in_a_pool(tenant: Tenant) -> None:
    tenant.add(
        usage({"bytes": 5}, account="parent", ts="2025-05-01"),
        usage({"bytes": 7}, account="child", ts="2025-06-16"),
        usage({"bytes": 900}, account="stranger", ts="2025-06-16"),
    )
    family = {"accounts": ("parent", "child"), "gauge": True, **JUNE}
    assert [(each.account_id, each.total) for each in tenant.measure("LATEST", **family)] == [
        ("child", 7),
        ("parent", 5),
    ]
    assert tenant.measure("LATEST", pooled=True, **family) == [Measured(account_id="parent", total=D(12), count=2)]
    (pooled,) = tenant.measure("TIME_WEIGHTED_SUM", pooled=True, **family)
    assert (pooled.account_id, pooled.total) == ("parent", (5 * 30 + 7 * 15) * DAY)


def test_of_one_moment_the_greater_uid_holds(tenant: Tenant) -> None:
    noon = "2025-06-15T12:00:00Z"
    tenant.add(usage({"bytes": 1}, ts=noon, uid="10"), usage({"bytes": 2}, ts=noon, uid="9"))
    (found,) = tenant.measure("TIME_WEIGHTED_SUM", gauge=True, start=noon, end="2025-06-15T13:00:00Z")
    assert (found.total, found.count) == (2 * HOUR, 2)


def test_what_was_not_known_yet_does_not_hold(tenant: Tenant) -> None:
    (first, _) = tenant.add(usage({"bytes": 1}, ts="2025-06-01"), usage({"bytes": 9}, ts="2025-06-02"))
    (found,) = tenant.measure("LATEST", gauge=True, up_to=first.position, **JUNE)
    assert (found.total, found.count) == (1, 1)


def test_totals_are_exact_beyond_the_columns_own_digits(tenant: Tenant) -> None:
    tenant.add(*(usage({"bytes": D(NINES), "bucket": str(place)}, ts="2025-01-01") for place in range(1000)))
    (found,) = tenant.measure(Method.TIME_WEIGHTED_SUM, gauge=True, of="bucket", start="2025-01-01", end="2026-01-01")
    assert str(found.total) == "3153599999999999999999999999999999999.968464"  # by whole numbers, elsewhere
