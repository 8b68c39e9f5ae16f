"""Second sources: what is sent arrives whole, nothing is read that the operator has not opened, and none is written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tallystick.errors import Refusal
from tallystick.stores.sources import LocalSources

NORTH, SOUTH = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def opened(directory: Path, **databases: object) -> LocalSources:
    """Sources with a folder, and with databases by name."""
    file = directory / "databases.json"
    file.write_text(json.dumps(databases))
    file.chmod(0o600)
    return LocalSources(directory / "uploads", directory / "sources", file)


def warehouse(directory: Path) -> dict[str, object]:
    path = directory / "warehouse.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE usage (account TEXT, day TEXT, tokens REAL)")
        made.executemany(
            "INSERT INTO usage VALUES (?, ?, ?)", [("acorn", f"2026-03-0{day}", 0.1) for day in range(1, 9)]
        )
    return {"url": f"sqlite:///{path}", "organizations": [NORTH]}


def read(sources: LocalSources, query: str, organization: str = NORTH, name: str = "warehouse") -> list[object]:
    days: Mapping[str, str] = {"start": "2026-03-02", "end": "2026-03-04"}
    with sources.rows(organization, name, query, days) as rows:
        return [dict(each) for each in rows]


def test_a_file_that_is_sent_in_parts_is_whole_however_often_a_part_is_sent(tmp_path: Path) -> None:
    sources = opened(tmp_path)
    assert sources.append(NORTH, "f.csv", b"account,", 0) == 8
    assert sources.append(NORTH, "f.csv", b"day\n", 8) == 12
    assert sources.append(NORTH, "f.csv", b"day\n", 8) == 12, "sent again"
    assert sources.append(NORTH, "f.csv", b"y\nacorn", 10) == 17, "sent again, and further"
    with pytest.raises(Refusal, match="has 17 bytes so far"):
        sources.append(NORTH, "f.csv", b"late", 18)
    assert sources.upload(NORTH, "f.csv").read_bytes() == b"account,day\nacorn"
    with pytest.raises(Refusal, match="no longer here"):
        sources.upload(SOUTH, "f.csv")
    sources.drop(NORTH, "f.csv")
    with pytest.raises(Refusal, match="no longer here"):
        sources.upload(NORTH, "f.csv")


def test_files_are_read_from_the_folder_of_the_organisation_alone(tmp_path: Path) -> None:
    sources = opened(tmp_path)
    own, other = tmp_path / "sources" / NORTH, tmp_path / "sources" / SOUTH
    for folder in (own / "march", other):
        folder.mkdir(parents=True)
        (folder / "totals.csv").write_text("a")
    (own / "link.csv").symlink_to(other / "totals.csv")
    assert sources.file(NORTH, "march/totals.csv") == own / "march" / "totals.csv"
    for path in (f"../{SOUTH}/totals.csv", str(other / "totals.csv"), "link.csv", "march/../../databases.json"):
        with pytest.raises(Refusal, match="must lie within"):
            sources.file(NORTH, path)
    for path in ("march", "april.csv"):
        with pytest.raises(Refusal, match="there is no file"):
            sources.file(NORTH, path)
    with pytest.raises(Refusal, match="TALLYSTICK_SOURCE_DIR"):
        LocalSources(tmp_path, None, None).file(NORTH, "march/totals.csv")


def test_a_query_is_read_with_its_days_and_exact_numbers(tmp_path: Path) -> None:
    sources = opened(tmp_path, warehouse=warehouse(tmp_path))
    found = read(sources, "SELECT day, tokens FROM usage WHERE day >= :start AND day < :end ORDER BY day")
    assert found == [{"day": f"2026-03-0{day}", "tokens": Decimal("0.1")} for day in (2, 3)]
    assert len(read(sources, "SELECT day FROM usage")) == 8, "a query need not name its days"


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM usage", "INSERT INTO usage VALUES ('a', 'b', 1)", "DROP TABLE usage", "CREATE TABLE mine (a TEXT)"],
)
def test_nothing_is_written_to_a_source(tmp_path: Path, statement: str) -> None:
    sources = opened(tmp_path, warehouse=warehouse(tmp_path))
    with pytest.raises(Refusal, match="did not answer the query"):
        read(sources, statement)
    assert len(read(sources, "SELECT day FROM usage")) == 8


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    sources = opened(tmp_path, gone={"url": f"sqlite:///{tmp_path / 'gone.db'}", "organizations": ["*"]})
    with pytest.raises(Refusal, match="unable to open"):
        read(sources, "SELECT 1", name="gone")
    assert not (tmp_path / "gone.db").exists()


def test_only_organisations_that_the_operator_names_may_ask(tmp_path: Path) -> None:
    sources = opened(tmp_path, warehouse=warehouse(tmp_path), all={"url": "sqlite://", "organizations": ["*"]})
    assert (sources.connections(NORTH), sources.connections(SOUTH)) == (["all", "warehouse"], ["all"])
    with pytest.raises(Refusal, match="has named no database 'warehouse'"):
        read(sources, "SELECT 1", SOUTH)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reader:hunter2@127.0.0.1:1/usage",
        "nothing+known://reader:hunter2@127.0.0.1/usage",
        "reader:hunter2@no-url-at-all",
    ],
)
def test_no_refusal_tells_a_password(tmp_path: Path, url: str) -> None:
    sources = opened(tmp_path, secret={"url": url, "organizations": ["*"]})
    with pytest.raises(Refusal) as refused:
        read(sources, "SELECT 1", name="secret")
    assert "secret" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_the_file_of_databases_is_for_its_owner_and_well_formed(tmp_path: Path) -> None:
    sources = opened(tmp_path, warehouse=warehouse(tmp_path))
    (tmp_path / "databases.json").chmod(0o644)
    with pytest.raises(Refusal, match="readable by its owner only"):
        sources.connections(NORTH)
    with pytest.raises(Refusal, match="is not as it must be"):
        opened(tmp_path, warehouse={"url": "sqlite://", "organisations": []}).connections(NORTH)


def test_postgresql_is_asked_in_a_transaction_that_only_reads(tmp_path: Path, postgresql_server: object) -> None:
    name = postgresql_server.create()  # type: ignore[attr-defined]  # a `Server` of conftest, which tests do not import
    url = postgresql_server.url(name)  # type: ignore[attr-defined]  # as above
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE usage AS SELECT 'acorn' AS account, 1.50 AS tokens"))
        connection.execute(text("CREATE SEQUENCE numbers"))
    sources = opened(tmp_path, warehouse={"url": url, "organizations": ["*"]})
    assert read(sources, "SELECT * FROM usage") == [{"account": "acorn", "tokens": Decimal("1.50")}]
    assert read(sources, "SELECT current_setting('statement_timeout') AS most") == [{"most": "2min"}]
    with pytest.raises(Refusal, match="read-only transaction"):
        read(sources, "SELECT nextval('numbers')")


def test_a_query_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.stores.sources.LONGEST_SECONDS", 0.2)
    sources = opened(tmp_path, warehouse=warehouse(tmp_path))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(Refusal, match="did not answer the query: interrupted"):
        read(sources, endless)
