"""What the benchmarks are checked with must itself be right: the traffic's totals, the prices, the client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import bills
import connection
import httpx
import msgspec
import pages
import pytest
import results
import stage
import traffic
from page_looks import Expected

from tallystick.core import wire
from tallystick.core.bands import price_bands
from tallystick.core.catalog import PricingBand
from tallystick.core.money import round_money

NOW = "2026-03-02T10:00:00+00:00"
CONNECTIONS = 2
BODIES = 2 * traffic.TEMPLATES + 3  # enough that templates come again


def members(body: bytes) -> list[dict[str, Any]]:
    """The measurements of a body, numbers exact."""
    return list(wire.decode(dict[str, list[dict[str, Any]]], body)["measurements"])


@pytest.fixture(scope="module")
def sent() -> tuple[list[dict[str, Any]], list[int], list[list[dict[str, Any]]]]:
    """What two connections send: everything, how often each template, and the bodies of the first connection."""
    made = traffic.Traffic(NOW, accounts=100)
    everything = [each for body in made.warm_up for each in members(body)]
    times = [0] * traffic.TEMPLATES
    first: list[list[dict[str, Any]]] = []
    for number in range(CONNECTIONS):
        for place in range(BODIES):
            template = place % traffic.TEMPLATES
            times[template] += 1
            own, before = (traffic.sending_prefix(number, each) for each in (place, place - 1))
            found = members(bytes(traffic.Template(made.templates[template]).filled(own, before)))
            everything += found
            if number == 0:
                first.append(found)
    return everything, times, first


def test_the_totals_are_those_of_the_distinct_measurements(sent: Any) -> None:
    everything, times, _ = sent
    distinct = {each["uid"]: each for each in everything}
    expected = traffic.Traffic(NOW, accounts=100).totals(times)
    assert len(distinct) == expected.count
    assert len(everything) - len(distinct) == CONNECTIONS * BODIES * 2 * traffic.REPEATED
    assert sum(each["measure"]["calls"] for each in distinct.values()) == expected.calls
    assert sum(each["measure"]["seconds"] for each in distinct.values()) == Decimal(expected.thousandths) / 1000
    assert Counter(each["account"] for each in distinct.values()) == expected.count_by_account
    calls = Counter[str]()
    for each in distinct.values():
        calls[each["account"]] += each["measure"]["calls"]
    assert calls == expected.calls_by_account


def test_a_repeated_uid_has_the_same_content(sent: Any) -> None:
    everything, _, _ = sent
    seen: dict[str, dict[str, Any]] = {}
    for each in everything:
        assert seen.setdefault(each["uid"], each) == each


def test_every_body_repeats_the_body_before_and_the_warm_up(sent: Any) -> None:
    _, _, bodies = sent
    warm = {each["uid"] for body in traffic.Traffic(NOW, accounts=100).warm_up for each in members(body)}
    for before, body in pairwise(bodies):
        uids = {each["uid"] for each in body}
        assert len(body) == len(uids) == traffic.SIZE
        assert len(uids & {each["uid"] for each in before}) == traffic.REPEATED
        assert len(uids & warm) == traffic.REPEATED


def test_what_must_be_answered_says_which_are_new(sent: Any) -> None:
    _, _, bodies = sent
    seen = {each["uid"] for body in traffic.Traffic(NOW, accounts=100).warm_up for each in members(body)}
    for place, body in enumerate(bodies):
        own, before = (traffic.sending_prefix(0, each) for each in (place, place - 1))
        answer = traffic.Template(traffic.Traffic(NOW, accounts=100).answers[place % traffic.TEMPLATES])
        told = msgspec.json.decode(answer.filled(own, before))
        assert told["result"] == "accepted"
        assert told["measurements"] == [
            {"index": at, "uid": each["uid"], "verdict": "duplicate" if each["uid"] in seen else "accepted"}
            for at, each in enumerate(body)
        ]
        seen |= {each["uid"] for each in body}


def test_measurements_have_about_200_bytes_and_a_batch_fits() -> None:
    size = len(traffic.Traffic(NOW, accounts=10_000).templates[0])
    assert 190 * traffic.SIZE < size < 230 * traffic.SIZE


def test_single_measurements_have_uids_of_their_own() -> None:
    made = traffic.Traffic(NOW, accounts=100)
    assert len({members(made.single(number))[0]["uid"] for number in range(3_000)}) == 3_000


@pytest.mark.parametrize(
    ("field", "quantity", "cents"),
    [
        # tiered: 5,000 × 0.02 + 15,000 × 0.015 + 5,000 × 0.01
        ("calls", "25000", "375.00"),
        ("calls", "5000", "100.00"),  # a limit belongs to the lower band
        ("calls", "5001", "100.02"),  # 100.015, half up
        # volume: all units at the price of the band that is reached
        ("gigabytes", "100", "12.31"),
        ("gigabytes", "100.001", "11.73"),
        ("gigabytes", "1000", "107.10"),
        # stairstep: the fixed price of the band that is reached
        ("jobs", "10", "5.00"),
        ("jobs", "11", "15.00"),
        ("jobs", "51", "90.00"),
    ],
)
def test_the_prices_by_hand(field: str, quantity: str, cents: str) -> None:
    (price,) = [each for each in bills.PRICES if each.field == field]
    assert price.of(Decimal(quantity)) == Decimal(cents)


def test_the_prices_and_the_products_own_agree() -> None:
    for price in bills.PRICES:
        bands = tuple(
            PricingBand(lower_limit=lower, fixed_price=fixed, unit_price=unit) for lower, fixed, unit in price.bands
        )
        for thousandths in range(1, 30_000_000, 99_991):
            quantity = Decimal(thousandths) / 1000
            assert price.of(quantity) == round_money(price_bands(quantity, bands, price.cumulative).subtotal)


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2026, 3, 1), date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 1, 31), date(2025, 12, 1), date(2025, 12, 31)),
        (date(2028, 3, 31), date(2028, 2, 1), date(2028, 2, 29)),
    ],
)
def test_the_month_that_is_over(day: date, first: date, last: date) -> None:
    assert bills.Month.before(day) == bills.Month(first, last)


@pytest.mark.parametrize(
    ("values", "rank", "expected"),
    [([], 99, 0.0), ([3.0], 50, 3.0), ([4.0, 1.0, 3.0, 2.0], 50, 2.0), ([float(n) for n in range(1, 201)], 99, 198.0)],
)
def test_percentiles_are_nearest_rank(values: list[float], rank: int, expected: float) -> None:
    assert results.percentile(values, rank) == expected


def test_a_check_that_does_not_hold_names_both_sides() -> None:
    results.check("COUNT", 3, 3)
    with pytest.raises(results.CheckFailed, match="COUNT: 3, but it must be 4"):
        results.check("COUNT", 3, 4)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, 'Acme: <data data-value="20.5">20.50</data>', None),
        (200, 'Acme: <data data-value="20.50">20.50</data>', None),
        (200, 'Acme: <data data-value="20.51">20.51</data>', "does not show 20.5"),
        (200, '<data data-value="20.5">20.50</data>', "does not show Acme"),
        (404, 'Acme: <data data-value="20.5">20.50</data>', "answered 404"),
    ],
)
def test_a_page_must_show_what_was_worked_out(status: int, body: str, says: str | None) -> None:
    expected = Expected(path="/bills/1", amounts=(Decimal("20.5"),), texts=("Acme",))
    with httpx.Client() as client:
        visit = pages.Visit(http=client, expected=expected)
    with nullcontext() if says is None else pytest.raises(results.CheckFailed, match=says):
        pages.check_page("/bills/{id}", visit, httpx.Response(status, text=body))


# ------------------------------------------------------------------------------------------------------ the client

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def talk_to(server: Talk, requests: list[bytes]) -> list[connection.Answer]:
    """The answers of a server that is a coroutine here."""

    async def run() -> list[connection.Answer]:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        async with listening:
            return await connection.ask_all("127.0.0.1", listening.sockets[0].getsockname()[1], requests, 1)

    return asyncio.run(run())


def test_answers_are_read_however_the_network_cuts_them() -> None:
    async def byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in (b"first", b""):
            await reader.readuntil(b"\r\n\r\n")
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nx: y\r\n\r\n%s" % (len(body), body):
                writer.write(bytes([byte]))
                await writer.drain()
        writer.close()

    asked = [connection.request("GET", "/1"), connection.request("GET", "/2")]
    assert talk_to(byte_by_byte, asked) == [(200, b"first"), (200, b"")]


def test_an_answer_that_is_cut_off_is_an_error() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        writer.close()

    with pytest.raises(ConnectionError):
        talk_to(hang_up, [connection.request("GET", "/")])


def test_a_request_carries_its_length_and_its_token() -> None:
    sent = connection.request("POST", "/path", b"{}", "abc")
    assert sent == (
        b"POST /path HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer abc\r\n"
        b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )


def test_processor_time_has_that_of_processes_that_have_ended() -> None:
    before = stage.processor_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert stage.processor_seconds(os.getpid()) - before >= 0.4  # in hundredths, rounded down
