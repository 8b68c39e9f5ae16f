"""Folders and buckets: each file is taken once, when it is whole, with a report of what became of its rows."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import parquet
from source_world import ROWS, House, member
from storefront import refused, send

from tallystick.core.usage_source import FolderFrom
from tallystick.errors import Refusal
from tallystick.stores.source_folder import SourceFolder

KEYS = {"accessKeyId": "key", "secretAccessKey": "secret"}
FOLDER = {"type": "FOLDER", "intervalSeconds": 1, "settleSeconds": 1}
HEAD = "at,who,tokens\n"
AT = "2025-03-01T00:00:00Z"


def rows(*tokens: object, head: str = HEAD) -> str:
    return head + "".join(f"{AT},acorn,{each}\n" for each in tokens)


def done(house: House, source: str, count: int) -> list[dict[str, Any]]:
    """The files of a source, by name, once so many are no longer being taken."""
    found: list[dict[str, Any]] = []

    def are_there(_: object) -> bool:
        found[:] = [each for each in house.files(source) if each["status"] != "TAKING"]
        return len(found) >= count

    house.until(source, are_there)
    return sorted(found, key=lambda each: (str(each["name"]), each["rows"]))


def told(file: dict[str, Any]) -> tuple[object, ...]:
    return tuple(file[name] for name in ("name", "status", "rows", "accepted", "duplicates", "failed"))


def test_a_folder_is_read_file_by_file(house: House) -> None:
    (house.folder / "a.csv").write_text(rows(1, 1, 20))
    (house.folder / "b.ndjson.gz").write_bytes(
        gzip.compress(json.dumps({"at": AT, "who": "acorn", "tokens": 300}).encode())
    )
    table = pa.table({"at": [AT], "who": ["acorn"], "tokens": pa.array([Decimal(4_000)], pa.decimal128(10, 0))})
    parquet.write_table(table, house.folder / "c.parquet")
    (house.folder / "notes.txt").write_text("not a file of rows")
    source = house.source(FOLDER, mapping=ROWS)
    assert [told(each) for each in done(house, source, 3)] == [
        ("a.csv", "DONE", 3, 3, 0, 0),
        ("b.ndjson.gz", "DONE", 1, 1, 0, 0),
        ("c.parquet", "DONE", 1, 1, 0, 0),
    ]
    assert house.tokens(4_322) == 4_322
    (house.folder / "a.csv").write_text(rows(1, 1, 20, 50_000))  # it grew: its first rows are known
    assert told(done(house, source, 4)[1]) == ("a.csv", "DONE", 4, 1, 3, 0)
    assert house.tokens(54_322) == 54_322
    state = house.state(source)
    assert (state["received"], state["accepted"], state["duplicates"], state["lag"]) == (9, 6, 3, 0)


def test_what_is_wrong_with_a_row_waits_and_a_broken_file_says_where(house: House) -> None:
    (house.folder / "bad.csv").write_text(rows(1, "many") + "short\n")
    (house.folder / "broken.csv.gz").write_bytes(gzip.compress(rows(20).encode())[:-9])
    source = house.source(FOLDER, mapping=ROWS)
    bad, broken = done(house, source, 2)
    assert told(bad) == ("bad.csv", "DONE", 3, 1, 0, 2)
    assert (broken["status"], "broken gzip" in broken["failureReason"]) == ("FAILED", True)
    assert sorted(each["code"] for each in house.failed()) == ["invalid_measurement", "invalid_number"]
    assert any("has 1 cells where the header names 3" in each["original"] for each in house.failed())
    assert [each["code"] for each in house.told("usagesource.file.failed")] == ["folder"]


def test_lines_that_are_measurements_and_files_that_are_put_away(house: House) -> None:
    lines = [member("a", 1), member(None, 20), {"no": "measurement"}]
    (house.folder / "in").mkdir()
    (house.folder / "in" / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = house.source({**FOLDER, "path": "in", "pattern": "*.jsonl", "moveTo": "done", "doneMarker": True})
    time.sleep(1.5)
    assert house.files(source) == []  # its marker is not there
    (house.folder / "in" / "x.jsonl.done").touch()
    assert [told(each) for each in done(house, source, 1)] == [("x.jsonl", "DONE", 3, 2, 0, 1)]
    assert house.tokens(21) == 21
    house.until(source, lambda _: (house.folder / "in" / "done" / "x.jsonl").exists())
    assert [each.name for each in (house.folder / "in").iterdir()] == ["done"]


def test_a_folder_is_read_only_where_the_operator_lets_it_be(house: House, tmp_path: Path) -> None:
    source = house.source({**FOLDER, "path": "../"}, mapping=ROWS)
    state = house.until(source, lambda state: state["status"] == "FAILING")
    assert "must lie within the organisation's folder" in state["error"]
    assert [each["reason"] for each in house.told("usagesource.failed")] == [state["error"]]
    own, outside = tmp_path / "own", tmp_path / "outside.csv"
    own.mkdir()
    outside.write_text(HEAD)
    (own / "link.csv").symlink_to(outside)
    assert SourceFolder(own, FolderFrom(settle_seconds=1)).files() == []
    with pytest.raises(Refusal, match="cannot be read"):
        SourceFolder(own, FolderFrom(path="missing")).files()


def test_a_file_is_whole_once_it_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    folder = SourceFolder(tmp_path, FolderFrom(settle_seconds=5, pattern="*.csv"))
    growing = tmp_path / "a.csv"
    growing.write_text(HEAD)
    os.utime(growing, (1, 1))  # however old it says it is
    seen = []
    for at in (0, 4, 6, 12):
        now[0] = 100.0 + at
        if at == 4:
            growing.write_text(rows(1))
        seen.append([each.name for each in folder.files()])
    assert seen == [[], [], [], ["a.csv"]]


def test_a_file_that_is_renamed_and_goes_on_counts_once(house: House) -> None:
    """As logs are turned: the old file gets a date, and another begins under its name, by chance with an equal row."""
    log = house.folder / "usage.csv"
    log.write_text(rows(1, 20))
    source = house.source(FOLDER, mapping=ROWS)
    assert told(done(house, source, 1)[0]) == ("usage.csv", "DONE", 2, 2, 0, 0)
    with log.open("a") as more:
        more.write(f"{AT},acorn,300\n")  # nobody has read this one yet
    log.rename(house.folder / "usage-0301.csv")
    log.write_text(rows(1, 4_000, 9))
    assert [told(each) for each in done(house, source, 3)] == [
        ("usage-0301.csv", "DONE", 3, 1, 2, 0),
        ("usage.csv", "DONE", 2, 2, 0, 0),
        ("usage.csv", "DONE", 3, 3, 0, 0),
    ]
    assert house.tokens(4_331) == 4_331
    (house.folder / "copy.csv").write_text(rows(50_000, 50_000))
    os.link(house.folder / "copy.csv", house.folder / "link.csv")
    done(house, source, 5)
    assert house.tokens(204_331) == 204_331, "two files at a time are two"


def test_a_file_that_is_written_while_it_is_read_is_never_taken_in_part(tmp_path: Path) -> None:
    folder = SourceFolder(tmp_path, FolderFrom(settle_seconds=1, done_marker=True))
    (tmp_path / "a.csv").write_text(rows(1))
    (tmp_path / "a.csv.done").touch()
    (found,) = folder.files()
    assert folder.is_as_it_was(found)
    with (tmp_path / "a.csv").open("a") as more:
        more.write(f"{AT},acorn,12")  # and not yet the 34 of 1234
    assert not folder.is_as_it_was(found)
    (tmp_path / "a.csv").unlink()
    assert not folder.is_as_it_was(found)


# ------------------------------------------------------------------------------------------------ buckets


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Something that speaks as S3 does."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_bucket_is_read_object_by_object(house: House, store: str) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=store, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    s3.create_bucket(Bucket="usage")
    s3.put_object(Bucket="usage", Key="llm/2025/a.csv", Body=rows(1, 20).encode())
    s3.put_object(Bucket="usage", Key="llm/b.csv.gz", Body=gzip.compress(rows(300).encode()))
    s3.put_object(Bucket="usage", Key="other/c.csv", Body=rows(9).encode())
    s3.put_object(Bucket="usage", Key="llm/notes.txt", Body=b"")
    bucket = {"type": "S3", "bucket": "usage", "prefix": "llm/", "region": "us-east-1", "endpoint": store}
    source = house.source({**bucket, "intervalSeconds": 1}, KEYS, mapping=ROWS)
    assert [told(each) for each in done(house, source, 2)] == [
        ("llm/2025/a.csv", "DONE", 2, 2, 0, 0),
        ("llm/b.csv.gz", "DONE", 1, 1, 0, 0),
    ]
    s3.put_object(Bucket="usage", Key="llm/b.csv.gz", Body=gzip.compress(rows(300, 4_000).encode()))
    assert told(done(house, source, 3)[2]) == ("llm/b.csv.gz", "DONE", 2, 1, 1, 0)
    assert house.tokens(4_321) == 4_321


def test_a_bucket_that_cannot_be_read_says_so(house: House, store: str) -> None:
    bucket = {"type": "S3", "bucket": "nowhere", "region": "us-east-1", "endpoint": store}
    source = house.source(bucket, mapping=ROWS)
    state = house.until(source, lambda state: state["status"] == "FAILING")
    assert state["error"] == "credentials: this source needs accessKeyId and secretAccessKey"
    assert house.http.put(f"/usagesources/{source}/credentials", json=KEYS).json() == {
        "id": source,
        "hasCredentials": True,
    }
    state = house.until(source, lambda state: "credentials" not in (state["error"] or "credentials"))
    assert state["error"].startswith("S3: ")
    assert "secret" not in house.http.get(f"/usagesources/{source}").text.replace("secretAccessKey", "")


@pytest.mark.parametrize(
    "configuration",
    [
        {"type": "S3", "bucket": "usage", "region": "us-east-1", "endpoint": "http://169.254.169.254"},
        {"type": "KINESIS", "stream": "usage", "region": "us-east-1", "endpoint": "https://inside.example"},
        {"type": "KAFKA", "brokers": ["127.0.0.1:9092", "localhost:9092"], "topics": ["usage"]},
    ],
)
def test_hosts_are_those_that_the_operator_lets_be_reached(house: House, configuration: dict[str, object]) -> None:
    body = {"name": "S", "code": "s", "configuration": configuration}
    assert "TALLYSTICK_SOURCE_HOSTS" in refused(send(house.http, "POST", "/usagesources", body))["message"]
