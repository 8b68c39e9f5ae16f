"""What the stores give to start a running answer with: the values themselves, in order."""

from __future__ import annotations

from hashlib import sha256

import pytest
from usage_examples import D, Tenant, numbers, usage

from tallystick.core.aggregation import Method, Question
from tallystick.core.period import stretch
from tallystick.core.running import Collected
from tallystick.ports import UsageRow


def collected(tenant: Tenant, method: str, target: str, *, after: int = 0, most: int = 9) -> list[Collected] | None:
    question = Question(
        meter_id="storage",
        method=Method(method),
        field=target,
        period=stretch(None, None),
        up_to=tenant.store.mark,
        accounts=("ada",),
        percentile=D(50) if method == "PERCENTILE" else None,
    )
    return tenant.store.organization(tenant.id).collect(question, after=after, most=most)


def digests(*texts: str) -> bytes:
    return b"".join(sorted(sha256(text.encode()).digest()[:16] for text in texts))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (numbers(D("1.50"), 2, "-0.000000000000000001", 2, 0), digests("n1.5", "n2", "n-0.000000000000000001", "n0")),
        (numbers(D("99999999999999999999.9"), 100), digests("n99999999999999999999.9", "n100")),
        ([usage({"bytes": each}) for each in ("é", "", "1", "é")], digests("té", "t", "t1")),
        ([usage({"bytes": each}) for each in (1, "1")], digests("n1", "t1")),
    ],
    ids=["numbers", "large ones", "texts", "both"],
)
def test_unique_values_are_digests(tenant: Tenant, values: list[UsageRow], expected: bytes) -> None:
    tenant.add(*values)
    found = collected(tenant, "UNIQUE", "bytes")
    assert found == [Collected(account_id="ada", count=len(values), values=expected)]


def test_percentiles_have_each_value_with_its_number(tenant: Tenant) -> None:
    tenant.add(*numbers(2, "-0.5", 2, D("1E-18"), account="ada"), *numbers(7, account="grace"))
    scaled = (-5 * 10**17, 1, 2 * 10**18)
    values = b"".join(each.to_bytes(16, "little", signed=True) for each in scaled)
    assert collected(tenant, "PERCENTILE", "bytes") == [
        Collected(account_id="ada", count=4, values=values, counts=[1, 1, 2])
    ]
    assert collected(tenant, "PERCENTILE", "bytes", most=2) is None, "there are three"
    (later,) = collected(tenant, "PERCENTILE", "bytes", after=tenant.store.mark - 2, most=1) or ()
    assert later.values == values[16:32], "the last but one is the smallest step"


def test_the_latest_comes_with_its_time_and_uid(tenant: Tenant) -> None:
    tenant.add(
        usage({"bytes": 1}, ts="1970-01-01T00:00:01.000002Z", uid="a"),
        usage({"bytes": 2}, ts="1970-01-01T00:00:01.000002Z", uid="b"),
        usage({"bytes": 3}, ts="1970-01-01T00:00:01Z", uid="c"),
    )
    (found,) = collected(tenant, "LATEST", "bytes") or ()
    assert (found.total, found.count, found.last) == (2, 3, (1_000_002, "b"))
