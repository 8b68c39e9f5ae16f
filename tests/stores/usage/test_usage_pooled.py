"""A pool of accounts is measured as if it were one account; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import D, Tenant, usage

from tallystick.core.aggregation import Measured

POOL = ("parent", "child", "other child")


@pytest.fixture
def family(tenant: Tenant) -> Tenant:
    """Three accounts of a pool, and a stranger."""
    tenant.add(
        usage({"bytes": 5, "user": "u1", "region": "eu"}, account="parent", ts="2025-06-01T00:00:00Z"),
        usage({"bytes": 1, "user": "u2", "region": "us"}, account="child", ts="2025-06-02T00:00:00Z"),
        usage({"bytes": 1, "user": "u1", "region": "eu"}, account="child", ts="2025-06-04T00:00:00Z"),
        usage({"bytes": 9, "user": "u2", "region": "eu"}, account="other child", ts="2025-06-03T00:00:00Z"),
        usage({"bytes": 900, "user": "u3", "region": "eu"}, account="stranger", ts="2025-06-05T00:00:00Z"),
    )
    return tenant


@pytest.mark.parametrize(
    ("method", "target", "percentile", "total"),
    [
        ("SUM", "bytes", None, "16"),
        ("MEAN", "bytes", None, "16"),  # of four measurements: 4, and not the mean of three means
        ("MIN", "bytes", None, "1"),
        ("MAX", "bytes", None, "9"),
        ("COUNT", "user", None, "4"),
        ("LATEST", "bytes", None, "1"),
        ("UNIQUE", "user", None, "2"),  # u1 and u2 are each in two accounts
        ("PERCENTILE", "bytes", "75", "5"),
    ],
)
def test_a_pool_gives_one_row(family: Tenant, method: str, target: str, percentile: str | None, total: str) -> None:
    found = family.measure(method, target, percentile=percentile, accounts=POOL, pooled=True)
    assert found == [Measured(account_id="parent", total=D(total), count=4)]


def test_a_pool_is_split_by_segment(family: Tenant) -> None:
    assert family.measure("SUM", accounts=POOL, by=("region",), pooled=True) == [
        Measured(account_id="parent", segment=("eu",), total=D(15), count=3),
        Measured(account_id="parent", segment=("us",), total=D(1), count=1),
    ]


@pytest.mark.parametrize("where", ["region == 'eu'", "bytes * 0.00000000000000000000000001 > 0 AND region == 'eu'"])
def test_a_pool_is_filtered(family: Tenant, where: str) -> None:
    assert family.measure("UNIQUE", "user", accounts=POOL, where=where, pooled=True) == [
        Measured(account_id="parent", total=D(2), count=3)
    ]


def test_the_row_is_under_the_first_account_even_where_that_measured_nothing(family: Tenant) -> None:
    found = family.measure("SUM", accounts=("zoe", "child"), pooled=True)
    assert found == [Measured(account_id="zoe", total=D(2), count=2)]


def test_an_account_that_is_named_twice_counts_once(family: Tenant) -> None:
    (found,) = family.measure("SUM", accounts=("child", "child"), pooled=True)
    assert found.total == 2


def test_a_large_pool_is_still_one(family: Tenant) -> None:
    crowd = [f"account {place}" for place in range(20_000)]
    assert family.measure("UNIQUE", "user", accounts=("child", *crowd, "other child"), pooled=True) == [
        Measured(account_id="child", total=D(2), count=3)
    ]


@pytest.mark.parametrize("accounts", [("nobody", "no one"), ()])
def test_a_pool_without_measurements_has_no_row(family: Tenant, accounts: tuple[str, ...]) -> None:
    assert family.measure("SUM", accounts=accounts, pooled=True) == []
