"""From measurements to bills over HTTP: what must hold for any traffic, however it is sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from m3ter import M3ter
from token_shop import Event, bill_march, expected_total, join, lines, open_shop

from tallystick.cli.launch import Server
from tenant import new_tenant

BATCHES = (1, 2, 7, 1_000)
_names = count(1)

traffic = st.lists(
    st.tuples(st.integers(0, 31 * 24 * 60 - 1), st.sampled_from(["eu", "us", ""]), st.integers(0, 60)), max_size=30
).map(lambda rows: [Event(f"e{number}", *row) for number, row in enumerate(rows)])


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[tuple[M3ter, str]]:
    """The shop and the id of its plan; each example brings customers of its own."""
    with new_tenant(server).sdk() as client:
        yield client, open_shop(client)


def send(client: M3ter, account: str, prefix: str, events: list[Event], size: int) -> None:
    members: list[Any] = [{**event.measurement(account), "uid": prefix + event.uid} for event in events]
    for first in range(0, len(members), size):
        client.usage.submit(measurements=members[first : first + size])


@settings(max_examples=12, deadline=None)
@given(events=traffic, seed=st.integers(0, 1_000_000))
def test_order_batching_and_duplicates_change_no_bill(shop: tuple[M3ter, str], events: list[Event], seed: int) -> None:
    client, plan = shop
    chance = random.Random(seed)
    run = next(_names)
    codes = [f"c{run}-{size}" for size in BATCHES]
    accounts = [join(client, plan, code) for code in codes]
    for code, size in zip(codes, BATCHES, strict=True):
        mixed = chance.sample(events, len(events))
        again = chance.sample(events, len(events) // 2)
        send(client, code, f"{code}/", mixed, size)
        send(client, code, f"{code}/", again, size)
    bills = bill_march(client, accounts)
    told = [lines(bills[account]) for account in accounts]
    assert all(each == told[0] for each in told)
    owed = [Decimal(str(bills[account].bill_total)) for account in accounts]
    assert owed == [expected_total(events).quantize(Decimal("0.01"))] * len(accounts)
