"""When measurements arrived: counted by meter and account, late ones apart, with the drift; on every store alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from usage_examples import Tenant, at, usage

from tallystick.core.usage_filters import not_excluded
from tallystick.ports import UsageRow
from tallystick.ports.usage import Arrival, ArrivalQuery, Undeclared

JUNE, JULY = at("2025-06-01T00:00:00Z"), at("2025-07-01T00:00:00Z")
SECOND = 1_000_000


def came(ts: str, received: str, account: str = "ada", meter: str = "storage") -> UsageRow:
    return replace(usage({"bytes": 1}, ts=ts, account=account, meter=meter), received=at(received))


def test_arrivals(tenant: Tenant) -> None:
    rows = tenant.add(
        came("2025-06-10T00:00:00Z", "2025-06-10T00:00:01Z"),
        came("2025-06-11T00:00:00Z", "2025-06-11T00:00:03Z"),
        came("2025-06-12T00:00:05Z", "2025-06-12T00:00:00Z"),  # from the future
        came("2025-06-30T23:59:59.999999Z", "2025-07-02T00:00:00Z"),
        came("2025-06-10T00:00:00Z", "2025-06-10T00:00:02Z", account="bob"),
        came("2025-06-10T00:00:00Z", "2025-06-10T00:00:02Z", account="bob", meter="api"),
        came("2025-07-01T00:00:00Z", "2025-07-01T00:00:02Z"),  # after the window
    )
    view = tenant.store.organization(tenant.id)
    query = ArrivalQuery(start=JUNE, end=JULY, late_from=JULY, after=rows[2].position, by_account=True)
    ada = Arrival(
        meter_id="storage",
        account_id="ada",
        count=4,
        late=1,
        after=1,
        last_received=at("2025-07-02T00:00:00Z"),
        last_ts=at("2025-06-30T23:59:59.999999Z"),
        drift=None,
    )
    bob = Arrival(
        meter_id="storage",
        account_id="bob",
        count=1,
        late=0,
        after=1,
        last_received=at("2025-06-10T00:00:02Z"),
        last_ts=at("2025-06-10T00:00:00Z"),
        drift=None,
    )
    assert view.arrivals(query) == [replace(bob, meter_id="api"), ada, bob]
    assert view.arrivals(replace(query, meter_ids=("storage",), account_ids=("bob", "eve"))) == [bob]
    (api, storage) = view.arrivals(replace(query, by_account=False))
    assert (api.count, storage.count, storage.account_id) == (1, 5, None)
    late = 24 * 60 * 60 * SECOND + 1
    assert storage.drift == (-5 * SECOND, 2 * SECOND, late, late)
    assert view.arrivals(replace(query, start=JULY, end=JULY)) == []


def test_fields_that_no_meter_declares(tenant: Tenant) -> None:
    first, second = "2025-06-10T00:00:00Z", "2025-06-11T00:00:00Z"
    tenant.add(
        replace(came(first, first), extra='{"what":{"colour":"red","shape":"o"}}'),
        replace(came(second, second), extra='{"what":{"colour":"red"},"measure":{"weight":"1.5"}}'),
        came(second, second),
        replace(came("2025-07-10T00:00:00Z", second), extra='{"what":{"colour":"red"}}'),  # after the window
        replace(came(first, first, meter="api"), extra='{"what":{"colour":"red"}}'),
    )
    view = tenant.store.organization(tenant.id)
    colour = Undeclared(meter_id="storage", code="colour", count=2, first_ts=at(first), last_ts=at(second))
    shape = replace(colour, code="shape", count=1, last_ts=at(first))
    weight = replace(colour, code="weight", count=1, first_ts=at(second))
    assert view.undeclared(("storage",), JUNE, JULY, 10) == [colour, shape, weight]
    assert view.undeclared(("storage", "api"), JUNE, JULY, 2) == [colour, replace(shape, meter_id="api", code="colour")]


@pytest.mark.parametrize(
    ("rule", "total"),
    [
        ("env == 'test'", 5),
        ("env == 'test' OR region == 'us'", 1),
        ("NOT (env == 'live')", 1),  # of what is not there, the comparison is false
        ("isnull(env, '') == ''", 3),
        ("bytes > 1 AND env == 'test'", 5),
    ],
)
def test_what_a_rule_excludes_counts_nowhere_and_what_it_cannot_say_counts(
    tenant: Tenant, rule: str, total: int
) -> None:
    """One byte live, two of a test, four of which the environment is not known: a rule that compares it says nothing of
    them."""
    tenant.add(
        usage({"bytes": 1, "env": "live", "region": "eu"}),
        usage({"bytes": 2, "env": "test", "region": "eu"}),
        usage({"bytes": 4, "region": "us"}),
    )
    (found,) = tenant.measure("SUM", where=not_excluded(rule))
    assert found.total == total
