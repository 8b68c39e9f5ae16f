"""Many events, one unit: what belongs together counts once, if any of it succeeded; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import D, Tenant, usage

from tallystick.core.aggregation import Correlation, Measured

HOUR = 3_600_000_000
JUNE = {"start": "2025-06-01", "end": "2025-07-01"}
OK = "status == 'ok'"

# (when in June: day hour:minute, "+" for a success, "-" for a failure) of one payment, its units within an hour of
# each other, and its units in all of June.
STORIES = {
    "one success": (["01 10:00+"], 1, 1),
    "one failure": (["01 10:00-"], 0, 0),
    "ten retries and a success are one": ([f"01 10:{minute:02}-" for minute in range(10)] + ["01 10:10+"], 1, 1),
    "a success that is reported twice is one": (["01 10:00+", "01 10:01+"], 1, 1),
    "what fails after a success takes nothing back": (["01 10:00+", "01 10:01-"], 1, 1),
    "an hour later is another one": (["01 10:00+", "01 11:00+"], 2, 1),
    "just before the hour is over it is the same": (["01 10:00+", "01 10:59+"], 1, 1),
    "the hour begins with the first event, not with the success": (["01 10:00-", "01 10:59+", "01 11:00+"], 2, 1),
    "each hour begins anew": (["01 10:00+", "01 10:30+", "01 11:15+", "01 12:00+", "01 12:15+"], 3, 1),
    "an hour of failures between": (["01 10:00+", "01 11:30-", "01 12:30+"], 2, 1),
}


def attempts(tenant: Tenant, moments: list[str], payment: str = "p1", account: str = "ada") -> None:
    tenant.add(
        *(
            usage(
                {"cost": 1, "payment": payment, "status": "ok" if moment.endswith("+") else "failed"},
                ts=f"2025-06-{moment[:2]}T{moment[3:-1]}:00Z",
                account=account,
            )
            for moment in reversed(moments)
        )
    )


def units(tenant: Tenant, window: int | None = HOUR, success: str = OK, **asked: object) -> list[Measured]:
    correlation = Correlation(field="payment", success=success, window=window)
    return tenant.measure("CORRELATED_COUNT", "cost", correlation=correlation, **{**JUNE, **asked})  # type: ignore[arg-type]  # as they are


@pytest.mark.parametrize("story", STORIES)
def test_units_of_a_payment(tenant: Tenant, story: str) -> None:
    moments, hourly, monthly = STORIES[story]
    attempts(tenant, moments)
    assert units(tenant) == [Measured(account_id="ada", total=D(hourly), count=len(moments))]
    assert units(tenant, window=None) == [Measured(account_id="ada", total=D(monthly), count=len(moments))]


def test_payments_are_told_apart(tenant: Tenant) -> None:
    attempts(tenant, ["01 10:00-", "01 10:01+"], "p1")
    attempts(tenant, ["01 10:00-", "01 10:01-"], "p2")
    attempts(tenant, ["01 10:00+"], "p3")
    tenant.add(usage({"cost": 1, "status": "ok"}, ts="2025-06-02"), usage({"payment": "p4", "status": "ok"}))
    assert units(tenant) == [Measured(account_id="ada", total=D(2), count=5)]


def test_a_unit_counts_where_it_first_succeeded(tenant: Tenant) -> None:
    tenant.add(
        usage({"cost": 1, "payment": "p1", "status": "failed"}, ts="2025-05-31T23:50:00Z"),
        usage({"cost": 1, "payment": "p1", "status": "ok"}, ts="2025-06-01T00:10:00Z"),
        usage({"cost": 1, "payment": "p2", "status": "ok"}, ts="2025-05-31T23:50:00Z"),
        usage({"cost": 1, "payment": "p2", "status": "ok"}, ts="2025-06-01T00:10:00Z"),
        usage({"cost": 1, "payment": "p3", "status": "ok"}, ts="2025-05-31T23:50:00Z"),
    )
    may = {"start": "2025-05-01", "end": "2025-06-01"}
    assert [(each.total, each.count) for each in units(tenant)] == [(1, 2)]
    assert [(each.total, each.count) for each in units(tenant, **may)] == [(2, 3)]
    assert [each.total for each in units(tenant, start="2025-05-01")] == [3]
    # Without a window a unit is as long as the period: p2 is one in each of them.
    assert [each.total for each in units(tenant, window=None)] == [2]
    assert [each.total for each in units(tenant, window=None, **may)] == [2]


def test_nothing_measured_is_no_answer(tenant: Tenant) -> None:
    assert units(tenant) == []
    attempts(tenant, ["01 10:00+"])
    assert units(tenant, start="2025-06-02") == []


@pytest.mark.parametrize("success", ["status == 'ok'", "cost * 0.00000000000000000000000001 > 0 AND status == 'ok'"])
def test_the_success_is_any_condition(tenant: Tenant, success: str) -> None:
    attempts(tenant, ["01 10:00-", "01 10:01+"])
    attempts(tenant, ["01 10:00-"], "p2")
    assert [each.total for each in units(tenant, success=success)] == [1]
    assert [each.total for each in units(tenant, success=success, where="cost > 1")] == []
    assert [each.total for each in units(tenant, success=f"NOT ({success})")] == [2]


def test_a_pool_is_one_account(tenant: Tenant) -> None:
    attempts(tenant, ["01 10:00-"], account="parent")
    attempts(tenant, ["01 10:01+"], account="child")
    attempts(tenant, ["01 10:02+"], account="other child")
    family = ("parent", "child", "other child")
    assert [each.total for each in units(tenant, accounts=family)] == [
        1,
        1,
        0,
    ]  # by account: child, other child, parent
    assert units(tenant, accounts=family, pooled=True) == [Measured(account_id="parent", total=D(1), count=3)]


def test_segments_count_on_their_own(tenant: Tenant) -> None:
    attempts(tenant, ["01 10:00-", "01 10:01+"])
    found = units(tenant, by=("status",))
    assert [(each.segment, each.total) for each in found] == [(("failed",), 0), (("ok",), 1)]
