"""What a store on disk remembers, and that no end of the process, however sudden, loses or doubles a measurement."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clickhouse_connect.driver import binding
from usage_examples import ACCOUNT, Tenant, ask, at, block, column, numbers, stored, time_group, usage

from tallystick.ports import UsageRow
from tallystick.stores.usage_clickhouse import ClickHouseUsage, schema
from tallystick.stores.usage_clickhouse.connection import Texts


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a directory with 'quotes' and percent%20signs"


@pytest.fixture
def opened(directory: Path) -> Iterator[ClickHouseUsage]:
    store = ClickHouseUsage(directory)
    yield store
    store.close()


def test_a_new_store_is_empty(opened: ClickHouseUsage) -> None:
    assert opened.mark == 0
    assert stored(opened) == 0


def test_a_reopened_store_answers_the_same(directory: Path) -> None:
    store = ClickHouseUsage(directory)
    tenant = Tenant(store)
    tenant.add(*numbers(1, 2, "0.000000000000000001"), usage({"calls": 5, "region": "eu"}, meter="api"))
    asked = (ask(), ask(column("SUM"), column("SUM", "calls", "api"), by=(ACCOUNT, time_group("DAY"))))
    before = (store.mark, tenant.measure("SUM"), tenant.raw(asked[0]), tenant.query(asked[1]))
    store.close()
    reopened = ClickHouseUsage(directory)
    again = Tenant(reopened, tenant.id)
    assert (reopened.mark, again.measure("SUM"), again.raw(asked[0]), again.query(asked[1])) == before
    again.add(usage({"bytes": 10, "users": 3}), usage({"region": "eu", "calls": 6}, meter="api"))
    assert again.measure("SUM")[0].count == 4
    assert again.measure("SUM", "users")[0].total == 3
    assert again.measure("SUM", "calls", meter="api", by=("region",))[0].total == 11
    reopened.close()


def test_columns_are_added_as_meters_need_them(directory: Path) -> None:
    wide = {f"number{place}": place for place in range(30)} | {f"text{place}": f"v{place}" for place in range(30)}
    for expected in (1, 2):
        store = ClickHouseUsage(directory)
        tenant = Tenant(store, "reed")
        tenant.add(usage(wide), usage(dict(reversed(wide.items())), meter="same fields in another order"))
        assert [tenant.one("SUM", f"number{place}") for place in range(30)] == [
            (place * expected, expected) for place in range(30)
        ]
        assert tenant.measure("SUM", "number7", meter="same fields in another order", by=("text9",))[0].segment == (
            "v9",
        )
        assert {tuple(sorted(row.texts.items())) for row in tenant.raw(ask())} == {
            tuple(sorted((code, value) for code, value in wide.items() if isinstance(value, str)))
        }
        store.close()


def test_an_insert_that_failed_can_be_repeated(opened: ClickHouseUsage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.add(block(range(1, 11)), 10)

    def cut_short(rows: list[UsageRow]) -> None:
        insert(rows[:7])
        raise OSError("no space left on device")

    insert = opened._insert
    monkeypatch.setattr(opened, "_insert", cut_short)
    with pytest.raises(OSError, match="no space"):
        opened.add(block(range(11, 31)), 30)
    assert opened.mark == 10
    monkeypatch.undo()
    opened.add(block(range(11, 26)), 25)
    opened.add(block(range(26, 31)), 30)
    assert (opened.mark, stored(opened)) == (30, 30)


CRASH = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from usage_examples import block
from tallystick.stores.usage_clickhouse import ClickHouseUsage, schema

store = ClickHouseUsage(Path(sys.argv[2]))
store.add(block(range(1, 101)), 100)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
insert = store._insert
match sys.argv[3]:
    case "before the rows":
        store._insert = die
    case "between two months":  # an insert is several parts, and these are what was written of it
        store._insert = lambda rows: (insert([row for row in rows if row.ts.month <= 5]), die())
    case "between the rows and the mark":
        store._keep_mark = die
    case "after the mark":
        store.add(block(range(101, 201)), 200)
        die()
store.add(block(range(101, 201)), 200)
"""


@pytest.mark.parametrize(
    ("moment", "mark"),
    [
        ("before the rows", 100),
        ("between two months", 100),
        ("between the rows and the mark", 100),
        ("after the mark", 200),
    ],
)
def test_after_a_kill_the_same_rows_count_once(directory: Path, moment: str, mark: int) -> None:
    command = [sys.executable, "-c", CRASH, str(Path(__file__).parent.parent), str(directory), moment]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    died = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert died.returncode == -signal.SIGKILL, died.stderr
    store = ClickHouseUsage(directory)
    assert store.mark == mark
    # The projector may cut its blocks otherwise than before.
    store.add(block(range(mark + 1, 151)), max(mark, 150))
    store.add(block(range(151, 251)), 250)
    assert (store.mark, stored(store)) == (250, 250)
    store.close()
    again = ClickHouseUsage(directory)
    assert (again.mark, stored(again)) == (250, 250)
    again.close()


KILLED_AT_ANY_TIME = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from usage_examples import block
from tallystick.stores.usage_clickhouse import ClickHouseUsage, schema

store = ClickHouseUsage(Path(sys.argv[2]))
print("ready", flush=True)
while True:
    first = store.mark + 1
    store.add(block(range(first, first + 24)), first + 23)
    print(store.mark, flush=True)
"""


@pytest.mark.parametrize("blocks", [0, 5])
def test_killed_at_any_time(directory: Path, blocks: int) -> None:
    """What was reported as kept is kept, and nothing above is counted twice when it comes again."""
    command = [sys.executable, "-c", KILLED_AT_ANY_TIME, str(Path(__file__).parent.parent), str(directory)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        reported = [int(process.stdout.readline()) for _ in range(blocks)]
        process.kill()
        reported += [int(line) for line in process.stdout.read().splitlines()]
    store = ClickHouseUsage(directory)
    assert store.mark >= max(reported, default=0)
    end = store.mark + 48
    store.add(block(range(store.mark + 1, end + 1)), end)
    assert stored(store) == end
    store.close()


def test_threads_ask_while_one_adds(opened: ClickHouseUsage) -> None:
    finished = threading.Event()

    def ask_on() -> list[int]:
        seen = []
        while not finished.is_set():
            seen.append(stored(opened))
        return seen

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_on) for _ in range(2)]
        for first in range(1, 501, 100):
            opened.add(block(range(first, first + 100)), first + 99)
        finished.set()
        seen = [future.result() for future in asking]
    assert all(counts == sorted(counts) for counts in seen)
    assert stored(opened) == 500


def test_what_is_still_being_added_is_in_no_answer(opened: ClickHouseUsage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query is several statements: without a common end, rows that come between them would be in some only."""
    tenant = Tenant(opened)
    tenant.add(*numbers(1, 2))
    by_day = ask(column("SUM"), by=(time_group("DAY"),))
    before = (tenant.query(by_day), tenant.raw(ask()))
    with monkeypatch.context() as during:
        during.setattr(ClickHouseUsage, "_keep_mark", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tenant.add(usage({"bytes": 4}, ts="2025-08-01T00:00:00Z"))
        assert (tenant.query(by_day), tenant.raw(ask())) == before
    tenant.add(usage({"bytes": 4}, ts="2025-08-01T00:00:00Z"))
    assert [(answer.groups[0], answer.values[0]) for answer in tenant.query(by_day)] == [
        (at("2025-08-01T00:00:00Z"), (4, 1)),
        (at("2025-06-15T00:00:00Z"), (3, 2)),
    ]


def test_a_thread_that_ends_lets_go_of_its_handle(opened: ClickHouseUsage) -> None:
    for _ in range(5):
        thread = threading.Thread(target=stored, args=(opened,))
        thread.start()
        thread.join()
    gc.collect()
    assert len(opened._connection._clients) == 1


def test_a_closed_store_lets_go_of_its_directory(directory: Path, tmp_path: Path) -> None:
    store = ClickHouseUsage(directory)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: stored(store), range(3)))
    store.close()
    store.close()
    other = ClickHouseUsage(tmp_path / "other")
    assert other.mark == 0
    other.close()


def test_a_directory_that_the_engine_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\?"):
        ClickHouseUsage(tmp_path / "what?")
    assert list(tmp_path.iterdir()) == []


def test_the_tables_are_told_to_reach_the_disk(opened: ClickHouseUsage) -> None:
    definitions = opened._connection.rows(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'tallystick'"
    )
    assert {name for name, _ in definitions} == {"measurement", "withdrawn", "slot", "mark"}
    for _, definition in definitions:
        for setting in ("fsync_after_insert", "fsync_part_directory", "min_rows_to_fsync_after_merge"):
            assert f"{setting} = 1" in definition


def test_the_table_of_an_older_release_is_written_as_a_new_one_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layout(store: ClickHouseUsage) -> set[str]:
        found = store._connection.rows("SELECT engine_full FROM system.tables WHERE name = 'measurement'")
        return set(found[0][0].partition(" SETTINGS ")[2].split(", "))

    older = f", {schema._settings(schema._LAYOUT)}"
    with monkeypatch.context() as then:
        then.setattr(schema, "_TABLES", tuple(table.replace(older, "") for table in schema._TABLES))
        then.setattr(schema, "_LAYOUT", {})
        store = ClickHouseUsage(directory)
        store.add(block(range(1, 11)), 10)
        assert not any("merge_selector_base" in setting for setting in layout(store))
        store.close()
    reopened = ClickHouseUsage(directory)
    assert {f"{name} = {value}" for name, value in schema._LAYOUT.items()} < layout(reopened)
    assert stored(reopened) == 10
    reopened.close()


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["a"], ["a", "b, c"], ["it's", "a"], ["\\", "'"], ["`", "tab\there", "line\nfeed"], ["\x00", "é]"]],
)
def test_lists_of_texts_are_spelled_as_the_driver_spells_them(texts: list[str]) -> None:
    assert str(Texts(texts)) == binding.format_bind_value(texts)
