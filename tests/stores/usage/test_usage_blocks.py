"""Columns of many requests go to the engine as one block: all that was accepted, and in the order of the table."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from usage_examples import D, Tenant, as_block, usage

from tallystick.ports import UsageRow
from tallystick.ports.usage import at_positions
from tallystick.stores.usage_clickhouse.block import block, joined
from tallystick.stores.usage_clickhouse.schema import Fields

FIELDS = {
    "storage": Fields(numbers={"bytes": "n0", "users": "n1"}, texts={"region": "t0"}),
    "api": Fields(numbers={"calls": "n0"}, texts={"model": "t0", "region": "t1"}),
}
VALUES = {
    "storage": {"bytes": 3, "users": D("0.000000000000000001"), "region": "eu"},
    "storage, before it had users": {"bytes": 3, "region": "eu"},
    "storage, at first": {"bytes": 3},
    "api": {"calls": 5, "model": "small", "region": "us"},
}
ACCOUNTS = ["ada", "Ada", "ada ", "\u00e9va", "\uffee", "\U00010000"]
TIMES = ["1970-01-01T00:00:00Z", "2025-06-15T00:00:00Z", "2025-06-15T00:00:00.000001Z", "2261-12-31T00:00:00Z"]

kinds = st.tuples(st.sampled_from(["reed", "acorn"]), st.sampled_from(sorted(VALUES)))
sent = st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(TIMES)), min_size=1, max_size=9)


def fields(organization: str, meter: str) -> Fields:
    return FIELDS[meter]


@settings(deadline=None)
@given(st.lists(st.tuples(kinds, sent), min_size=1, max_size=5), st.sets(st.integers(1, 45)))
@example([(("reed", "api"), [(account, time) for account in ACCOUNTS for time in reversed(TIMES)])], {3})
@example([(("reed", each), [("ada", TIMES[0]), ("ada", TIMES[1])]) for each in sorted(VALUES)], set())
@example([(("reed", each), [("ada", TIMES[1])]) for each in sorted(VALUES, reverse=True)], set())
@example([(("reed", "storage"), [(str(place), TIMES[place % 2 * 3]) for place in range(300)])], set())
def test_blocks_are_joined_in_the_order_of_the_table(
    blocks: list[tuple[tuple[str, str], list[tuple[str, str]]]], refused: set[int]
) -> None:
    rows: list[list[UsageRow]] = []
    for (organization, kind), measured in blocks:
        first = 1 + sum(map(len, rows))
        rows.append(
            [
                replace(
                    usage(VALUES[kind], meter=kind.partition(",")[0], account=account, ts=ts, uid=f"u{position}"),
                    organization_id=organization,
                    position=0 if position in refused else position,
                )
                for position, (account, ts) in enumerate(measured, first)
            ]
        )
    table = joined([as_block(each) for each in rows], fields)
    found = table.to_pylist()
    keys = [(row["organization"], row["meter"], row["account"].encode(), row["ts"]) for row in found]
    assert keys == sorted(keys)
    one_by_one = block([row for each in rows for row in each if row.position], fields).to_pylist()
    for row in one_by_one:
        assert (row.pop("ets"), row.pop("extra")) == (None, None)
    every = {name for row in found for name in row}
    assert sorted(found, key=lambda row: row["position"]) == [
        {name: row.get(name) for name in every} for row in one_by_one
    ]


def test_measurements_of_several_versions_of_a_meter_that_come_together_keep_their_fields(tenant: Tenant) -> None:
    first = tenant.store.mark + 1
    rows = [
        replace(usage(VALUES[kind], uid=kind), organization_id=tenant.id, position=position)
        for position, kind in enumerate(sorted(VALUES, reverse=True)[:3], first)
    ]
    tenant.store.add([], first + 2, [as_block([row]) for row in rows])
    found = tenant.raw(at_positions(tuple(row.position for row in rows)))
    assert sorted(found, key=lambda row: row.position) == rows
