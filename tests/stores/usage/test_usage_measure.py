"""What each method answers, from tables that were worked out by hand; the same on every store."""

from __future__ import annotations

import pytest
from usage_examples import D, Tenant, block, numbers, stored, usage

from tallystick.core.aggregation import Measured, Method
from tallystick.core.expression import CalculationError
from tallystick.core.period import Instant
from tallystick.core.quantity import EXACT
from tallystick.ports import UsageStore
from tallystick.ports.usage import Withdrawn

NINES = "99999999999999999999.999999999999999999"  # the greatest quantity: just below 10^20, 18 decimals
NUMERIC = [method for method in Method if method not in {Method.COUNT, Method.UNIQUE} and not method.time_weighted]
NUMERIC.remove(Method.CORRELATED_COUNT)


@pytest.mark.parametrize(
    ("method", "values", "total"),
    [
        ("SUM", ["5", "-2", "10", "10"], "23"),
        ("SUM", ["0.1", "0.2"], "0.3"),
        ("SUM", ["5", "-5"], "0"),
        ("SUM", ["0.000000000000000001"] * 3, "0.000000000000000003"),
        ("SUM", [NINES] * 3, "299999999999999999999.999999999999999997"),
        ("SUM", [NINES, f"-{NINES}", "1e-18"], "0.000000000000000001"),
        ("MIN", ["5", "-2", "10", "10"], "-2"),
        ("MIN", ["9", "10"], "9"),
        ("MIN", [f"-{NINES}", "0"], f"-{NINES}"),
        ("MAX", ["5", "-2", "10", "10"], "10"),
        ("MAX", ["9", "10"], "10"),
        ("MAX", ["-3", "-0.5"], "-0.5"),
        ("COUNT", ["5", "-2", "10", "10"], "4"),
        ("COUNT", ["0"], "1"),
        ("LATEST", ["5", "-2", "10", "7.5"], "7.5"),
        ("MEAN", ["1", "1", "2"], "4"),  # total and count; nobody divides here
        ("UNIQUE", ["5", "-2", "10", "10"], "3"),
        ("UNIQUE", ["1", "1.0", "1.000000000000000001"], "2"),
    ],
)
def test_a_method_of_some_numbers(tenant: Tenant, method: str, values: list[str], total: str) -> None:
    tenant.add(*numbers(*values))
    answered, count = tenant.one(method)
    assert (answered, count) == (D(total), len(values))
    assert str(answered) == str(D(total)), "one form for one number"


@pytest.mark.parametrize(
    ("percentile", "values", "expected"),
    [
        ("95", range(1, 21), "19"),
        ("95", range(1, 22), "20"),  # 19.95 is the 20th
        ("50", [7], "7"),
        ("50", [1, 2], "1"),
        ("50.0000000000000000000000000001", [1, 2], "2"),  # just above the half
        ("100", [3, 1, 2], "3"),
        ("0.0000000000000000000000000001", [3, 1, 2], "1"),
        ("33.3", [10, 20, 30], "10"),
        ("33.4", [10, 20, 30], "20"),
        ("66.6", [-30, -20, -10], "-20"),
        ("99.9", [10, 9, 100], "100"),  # by value, not by text
        ("25", ["0.1", "0.1", "0.2", "0.2"], "0.1"),
    ],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(
    tenant: Tenant, percentile: str, values: list[int | str], expected: str
) -> None:
    tenant.add(*reversed(numbers(*values)))
    assert tenant.one("PERCENTILE", percentile=percentile) == (D(expected), len(values))


def test_a_sum_goes_far_beyond_the_columns_own_digits(tenant: Tenant) -> None:
    tenant.add(*numbers(*[NINES] * 1300))
    assert tenant.one("SUM") == (EXACT.multiply(D(NINES), D(1300)), 1300)


def test_the_latest_of_one_moment_is_the_greater_uid(tenant: Tenant) -> None:
    noon = "2025-06-15T12:00:00Z"
    tenant.add(
        usage({"bytes": 1}, ts=noon, uid="10", account="digits"),
        usage({"bytes": 2}, ts=noon, uid="9", account="digits"),
        usage({"bytes": 3}, ts=noon, uid="\ufffd", account="beyond the basic plane"),
        usage({"bytes": 4}, ts=noon, uid="\U0001f600", account="beyond the basic plane"),
        usage({"bytes": 5}, ts="2025-06-15T12:00:00.000001Z", uid="a", account="later by a microsecond"),
        usage({"bytes": 6}, ts=noon, uid="z", account="later by a microsecond"),
    )
    found = {answer.account_id: answer.total for answer in tenant.measure("LATEST")}
    assert found == {"digits": 2, "beyond the basic plane": 4, "later by a microsecond": 5}


def test_what_has_no_value_does_not_count(tenant: Tenant) -> None:
    tenant.add(
        usage({"bytes": 4, "region": "eu"}),
        usage({"region": "us"}),
        usage({"bytes": 0}),
        usage({"region": "us"}, account="grace"),
    )
    assert [tenant.measure(method) for method in ("COUNT", "SUM", "MIN")] == [
        [Measured(account_id="ada", total=D(2), count=2)],
        [Measured(account_id="ada", total=D(4), count=2)],
        [Measured(account_id="ada", total=D(0), count=2)],
    ]


def test_texts_are_counted_and_told_apart_but_not_computed_with(tenant: Tenant) -> None:
    tenant.add(*(usage({"user": name}) for name in ["ada", "Ada", "ada", "", "ada "]))
    assert tenant.one("COUNT", "user") == (5, 5)
    assert tenant.one("UNIQUE", "user") == (4, 5)
    assert [tenant.measure(method, "user", percentile="50") for method in NUMERIC] == [[]] * len(NUMERIC)


def test_a_field_that_was_a_text_and_became_a_number(tenant: Tenant) -> None:
    tenant.add(*(usage({"size": size}, ts="2025-01-01T00:00:00Z") for size in ("1", "large", "large")))
    tenant.add(usage({"size": 1}), usage({"size": 30}), usage({"size": 30}))
    assert tenant.one("COUNT", "size") == (6, 6)
    assert tenant.one("UNIQUE", "size") == (4, 6)  # the text 1 is not the number 1
    assert tenant.one("SUM", "size") == (61, 3)
    assert [answer.segment for answer in tenant.measure("COUNT", "size", by=("size",))] == [
        ("",),
        ("1",),
        ("large",),
    ]
    assert tenant.measure("COUNT", "size", where="size == 30", start="2025-02-01")[0].count == 2
    with pytest.raises(CalculationError, match="compare a number with a text"):
        tenant.measure("COUNT", "size", where="size == 30")


@pytest.mark.parametrize("method", [Method.COUNT, Method.UNIQUE, *NUMERIC])
def test_nothing_measured_is_no_answer(tenant: Tenant, method: Method) -> None:
    assert tenant.measure(method, percentile="50") == []
    tenant.add(usage({"requests": 1}), usage({"bytes": 1}, meter="other"), usage({"bytes": 1}, ts="2024-01-01"))
    assert tenant.measure(method, percentile="50", start="2025-01-01") == []
    assert tenant.measure(method, "never", percentile="50") == []
    assert [each.segment for each in tenant.measure(method, "requests", percentile="50", by=("never",))] == [("",)]


@pytest.mark.parametrize(
    ("start", "end", "uids"),
    [
        ("2025-06-01T00:00:00Z", "2025-07-01T00:00:00Z", ["first", "last"]),
        ("2025-06-01T00:00:00.000001Z", "2025-07-01T00:00:00Z", ["last"]),
        ("2025-06-01T00:00:00Z", "2025-06-30T23:59:59.999999Z", ["first"]),
        ("2025-07-01T00:00:00Z", "2025-07-01T00:00:00Z", []),
        (None, "2025-06-01T00:00:00Z", ["before", "long before"]),
        ("2025-07-01T00:00:00Z", None, ["after", "long after"]),
        (None, None, ["after", "before", "first", "last", "long after", "long before"]),
    ],
)
def test_a_period_has_its_start_and_not_its_end(
    tenant: Tenant, start: str | None, end: str | None, uids: list[str]
) -> None:
    for uid, ts in {
        "long before": "1970-01-01T00:00:00Z",
        "before": "2025-05-31T23:59:59.999999Z",
        "first": "2025-06-01T00:00:00Z",
        "last": "2025-06-30T23:59:59.999999Z",
        "after": "2025-07-01T00:00:00Z",
        "long after": "2262-04-11T23:47:16.854775Z",
    }.items():
        tenant.add(usage({"bytes": 1, "name": uid}, ts=ts))
    assert [answer.segment[0] for answer in tenant.measure("SUM", start=start, end=end, by=("name",))] == uids


def test_only_what_the_journal_held_by_then(tenant: Tenant) -> None:
    first, second, third = tenant.add(*numbers(1, 2, 4))
    totals = {
        row.position: [answer.total for answer in tenant.measure("SUM", up_to=row.position)]
        for row in (first, second, third)
    }
    assert totals == {first.position: [1], second.position: [3], third.position: [7]}
    assert tenant.measure("SUM", up_to=first.position - 1) == []


def test_answers_come_by_account_and_segment_in_the_order_of_code_points(tenant: Tenant) -> None:
    accounts = ["b", "a", "B", "ä", "\U0001f600", "\ufffd", "10", "9"]
    tenant.add(
        *(usage({"bytes": 1, "region": region}, account=each) for each in accounts for region in ("z", "é", "A"))
    )
    found = [(answer.account_id, answer.segment) for answer in tenant.measure("SUM", by=("region",))]
    assert found == [(each, (region,)) for each in sorted(accounts) for region in ("A", "z", "é")]


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (None, ["ada", "grace", "hedy"]),
        (["hedy", "ada"], ["ada", "hedy"]),
        (["ada", "ada"], ["ada"]),
        (["nobody"], []),
        ([], []),
        ([f"account-{number}" for number in range(12_000)] + ["grace", "Ada"], ["grace"]),
        (["zoe", *(f"b-{number}" for number in range(12_000)), "ada", "hedy"], ["ada", "hedy"]),
    ],
    ids=["all", "two", "one twice", "unknown", "none", "12,000", "12,000 and two"],
)
def test_some_accounts(tenant: Tenant, accounts: list[str] | None, expected: list[str]) -> None:
    tenant.add(*(usage({"bytes": 1}, account=name) for name in ("grace", "ada", "hedy")))
    assert [answer.account_id for answer in tenant.measure("SUM", accounts=accounts)] == expected


def test_what_lacks_a_segments_field_counts_as_empty_so_that_segments_add_up(tenant: Tenant) -> None:
    tenant.add(
        usage({"bytes": 1, "region": "eu", "tier": "hot"}),
        usage({"bytes": 2, "region": "eu", "tier": ""}),
        usage({"bytes": 4, "region": "eu"}),
        usage({"bytes": 8, "region": "us", "tier": "hot"}),
        usage({"bytes": 16, "region": "eu", "tier": "hot"}),
        usage({"region": "eu", "tier": "hot"}),
    )
    by_region = tenant.measure("SUM", by=("region",))
    assert [(each.segment, each.total, each.count) for each in by_region] == [(("eu",), 23, 4), (("us",), 8, 1)]
    by_both = tenant.measure("SUM", by=("region", "tier"))
    assert [(each.segment, each.total) for each in by_both] == [
        (("eu", ""), 6),
        (("eu", "hot"), 17),
        (("us", "hot"), 8),
    ]
    unheard = tenant.measure("SUM", by=("nobody sent this",))
    assert [(each.segment, each.total) for each in unheard] == [(("",), 31)]
    assert tenant.measure("MAX", by=("tier", "region"))[0].segment == ("", "eu")


def test_two_organizations_never_meet(store: UsageStore) -> None:
    one, other = Tenant(store), Tenant(store)
    one.add(usage({"bytes": 1}, uid="u1"))
    other.add(usage({"bytes": 2}, uid="u1"), usage({"bytes": "text here"}, uid="u2"))
    assert one.one("SUM") == (1, 1)
    assert other.one("SUM") == (2, 1)
    assert other.one("UNIQUE") == (2, 2)
    assert Tenant(store, id="").measure("SUM") == []


HOSTILE = [
    "'",
    "\\",
    "a' OR 1 = 1 --",
    '"',
    "`",
    "{v0:String}",
    "%s",
    "%(v0)s",
    "\0",
    "\n\t\r",
    "NULL",
    "🙂",
    "\\'",
    "$",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_users_write_is_only_ever_compared(store: UsageStore, text: str) -> None:
    tenant = Tenant(store, id=f"{text} of {Tenant(store).id}")
    tenant.add(
        usage({"bytes": 1, "name": text}, account=text, meter=text, uid=text),
        usage({"bytes": 2, "name": f"{text}."}, account=f"{text}.", meter=text),
    )
    (answer,) = tenant.measure("SUM", meter=text, accounts=[text], by=("name",))
    assert answer == Measured(account_id=text, segment=(text,), total=D(1), count=1)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert tenant.measure("SUM", meter=text, where=f"name == '{quoted}'")[0].total == 1
    assert tenant.measure("SUM", meter=f"{text}'") == []


def test_a_field_may_have_any_code_the_wire_allows(tenant: Tenant) -> None:
    codes = ["$", "_", "order", "SELECT", "n0", "t0", "account", "x" * 80]
    tenant.add(usage({code: place for place, code in enumerate(codes)}))
    assert [tenant.one("SUM", code)[0] for code in codes] == list(range(len(codes)))


def test_what_comes_to_one_organization_is_told_of_no_other(store: UsageStore) -> None:
    one, other = Tenant(store), Tenant(store)

    def arrived() -> tuple[int, int]:
        return store.arrived(one.id), store.arrived(other.id)

    assert arrived() == (0, 0)
    one.add(usage({"bytes": 1}))
    first = store.mark
    assert arrived() == (first, 0)
    store.add(block([first + 1], other.id), first + 1)
    assert arrived() == (first, first + 1)
    store.add([], first + 2)  # what the journal holds besides measurements
    assert arrived() == (first, first + 1)
    out = Withdrawn(
        position=first + 3,
        organization_id=one.id,
        meter_id="disk",
        account_id="acme",
        of=first,
        ts=Instant.parse("2025-01-01T00:00:00Z"),
    )
    store.add([], first + 3, withdrawn=[out])
    assert arrived() == (first + 3, first + 1)


def test_what_the_mark_covers_is_not_added_again(store: UsageStore) -> None:
    first, tenant = store.mark, Tenant(store)
    store.add(block(range(first + 1, first + 11), tenant.id), first + 10)
    store.add(block(range(first + 1, first + 11), tenant.id), first + 10)
    store.add(block(range(first + 6, first + 16), tenant.id), first + 15)
    store.add([], first + 20)
    assert (store.mark, stored(store, tenant.id)) == (first + 20, 15)
