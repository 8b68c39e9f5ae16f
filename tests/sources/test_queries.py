"""Rows of a query: read on from a watermark, once each, late ones too where that is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from source_world import House
from storefront import refused, send

from tallystick.chores.feeding_query import earlier, page_of
from tallystick.errors import Refusal

COLUMNS = {"uid": "id", "ts": "at", "account": "who", "measure.tokens": "tokens"}
MAPPING = {"type": "ROWS", "meter": "llm", "columns": COLUMNS}
QUERY = "SELECT * FROM calls WHERE who = '{who}' AND changed >= :watermark ORDER BY changed LIMIT 3"


class Shop:
    """A database with calls of one account, and the source that reads them."""

    def __init__(self, house: House, ground: Path) -> None:
        self.house, self.path, self.who = house, ground / "shop.sqlite", f"of-{house.tenant.id[:8]}"

    def add(self, uid: str, tokens: object, changed: str) -> None:
        with sqlite3.connect(self.path) as shop:
            row = (uid, "2025-03-01T00:00:00Z", self.who, tokens, changed)
            shop.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", row)

    def source(self, code: str = "sql", **more: Any) -> str:
        asked = {"type": "SQL", "connection": "shop", "query": QUERY.format(who=self.who), "watermarkColumn": "changed"}
        return self.house.source(
            {**asked, "startAt": "2025-01-01", "intervalSeconds": 1, **more}, mapping=MAPPING, code=code
        )


@pytest.fixture
def shop(house: House, ground: Path) -> Shop:
    return Shop(house, ground)


def test_rows_are_read_on_from_the_watermark(house: House, shop: Shop) -> None:
    for number in range(7):
        shop.add(f"r{number}", 10**number, f"2025-02-0{number // 2 + 1} 00:00:00")
    source = shop.source()
    state = house.received(source, 7)
    assert (state["accepted"], state["failed"]) == (7, 0)
    house.until(source, lambda state: state["places"] == {"watermark": "2025-02-04 00:00:00"})
    shop.add("r7", 20_000_000, "2025-02-04 00:00:00")  # at the watermark itself
    assert house.received(source, 8)["accepted"] == 8
    shop.add("late", 5, "2025-02-03 00:00:00")  # behind it: not asked for
    shop.add("r8", 300_000_000, "2025-02-05 00:00:00")
    assert house.received(source, 9)["accepted"] == 9
    assert house.tokens(321_111_111) == 321_111_111


def test_late_rows_are_found_within_the_overlap(house: House, shop: Shop) -> None:
    shop.add("a", 1, "2025-02-10 00:00:00")
    source = shop.source(overlapSeconds=86_400)
    house.received(source, 1)
    shop.add("late", 20, "2025-02-09 06:00:00")
    assert house.received(source, 2)["accepted"] == 2
    assert house.tokens(21) == 21


def test_a_bad_row_is_written_down_once_however_often_it_is_read(house: House, shop: Shop) -> None:
    shop.add("bad", "many", "2025-02-10 00:00:00")
    source = shop.source()
    house.received(source, 1)
    for pause in ("pause", "resume"):  # a new thread knows nothing of what was sent
        house.http.post(f"/usagesources/{source}/{pause}")
        house.until(source, lambda state, pause=pause: (state["status"] == "PAUSED") == (pause == "pause"))  # type: ignore[misc]  # a lambda with a default
    shop.add("good", 5, "2025-02-11 00:00:00")
    house.until(source, lambda state: state["accepted"] == 1)
    assert [(each["code"], each["uid"]) for each in house.failed()] == [("invalid_number", "bad")]
    assert house.tokens(5) == 5


def test_a_query_that_cannot_be_asked_says_so(house: House, shop: Shop) -> None:
    source = shop.source(query="SELECT id FROM calls WHERE changed >= :watermark", watermarkColumn="id")
    shop.add("a", 1, "2025-02-10")
    house.until(source, lambda state: state["status"] == "RUNNING")
    wrong = shop.source(code="wrong", query="SELECT nothing FROM calls WHERE changed >= :watermark")
    assert "'shop' did not answer the query" in house.until(wrong, lambda state: state["error"])["error"]
    other = shop.source(code="other", connection="theirs")
    assert "no database 'theirs'" in house.until(other, lambda state: state["error"])["error"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"query": "DELETE FROM calls WHERE :watermark"}, "must be a single SELECT"),
        ({"query": "SELECT :watermark; SELECT 2"}, "must be a single statement"),
        ({"query": "SELECT 1"}, "must have :watermark in it"),
    ],
)
def test_a_query_only_reads_from_its_watermark_on(house: House, change: dict[str, str], why: str) -> None:
    asked = {"type": "SQL", "connection": "shop", "query": "", "watermarkColumn": "id", "startAt": "", **change}
    body = {"name": "Q", "code": "q", "configuration": asked, "mapping": MAPPING}
    assert why in refused(send(house.http, "POST", "/usagesources", body))["message"]
    without = {**MAPPING, "columns": {name: column for name, column in COLUMNS.items() if name != "uid"}}
    body |= {"configuration": {**asked, "query": "SELECT :watermark"}, "mapping": without}
    assert "with a column for uid" in refused(send(house.http, "POST", "/usagesources", body))["message"]


@pytest.mark.parametrize(
    ("mark", "seconds", "asked"),
    [
        ("17", 0, "17"),
        ("2025-03-01 00:00:10", 10, "2025-03-01 00:00:00"),
        ("2025-03-01T00:00:00.5+02:00", 1, "2025-02-28T23:59:59.500000+02:00"),
        ("2025-03-01", 86_400, "2025-02-28T00:00:00"),
    ],
)
def test_an_overlap_goes_back_in_time(mark: str, seconds: int, asked: str) -> None:
    assert earlier(mark, seconds) == asked


def test_an_overlap_wants_times() -> None:
    with pytest.raises(Refusal, match="the watermark must be a time"):
        earlier("17", 60)


def test_a_page_that_is_smaller_than_the_overlap_is_no_end(house: House, shop: Shop) -> None:
    """Three rows a page, and five days are looked at again each time."""
    for number in range(7):
        shop.add(f"r{number}", 10**number, f"2025-02-0{number + 1} 00:00:00")
    source = shop.source(overlapSeconds=5 * 86_400)
    assert house.received(source, 7)["accepted"] == 7
    house.until(source, lambda state: state["places"] == {"watermark": "2025-02-07 00:00:00"})
    shop.add("late", 20_000_000, "2025-02-06 12:00:00")
    shop.add("r8", 300_000_000, "2025-02-08 00:00:00")
    assert house.received(source, 9)["accepted"] == 9
    assert house.tokens(321_111_111) == 321_111_111
    assert house.state(source)["places"] == {"watermark": "2025-02-08 00:00:00"}


def test_more_rows_of_one_moment_than_a_page_has_are_told(house: House, shop: Shop) -> None:
    for number in range(5):
        shop.add(f"r{number}", 1, "2025-02-01 00:00:00")
    source = shop.source()
    state = house.until(source, lambda state: state["status"] == "FAILING")
    assert "have the same watermark '2025-02-01 00:00:00', and the LIMIT is 3" in state["error"]


def test_a_page_that_is_not_in_order_is_refused(house: House, shop: Shop) -> None:
    for number in range(5):
        shop.add(f"r{number}", 1, f"2025-02-0{number + 1} 00:00:00")
    backwards = QUERY.format(who=shop.who).replace("ORDER BY changed", "ORDER BY changed DESC")
    state = house.until(shop.source(query=backwards), lambda state: state["status"] == "FAILING")
    assert "with a LIMIT it must be in order: end it with ORDER BY changed LIMIT" in state["error"]
    assert state["places"] == {}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT * FROM calls WHERE at >= :watermark ORDER BY at LIMIT 500", 500),
        ("select * from calls order by at limit 10 offset 0 ;", 10),
        ("SELECT * FROM calls ORDER BY at FETCH FIRST 20 ROWS ONLY", 20),
        ("SELECT TOP (30) * FROM calls ORDER BY at", 30),
        ("WITH some AS (SELECT * FROM calls LIMIT 5) SELECT * FROM some", None),
        ("SELECT * FROM calls WHERE limits > 4", None),
    ],
)
def test_how_many_rows_a_page_has(query: str, rows: int | None) -> None:
    assert page_of(query) == rows
