"""Files of rows: what is read from CSV and JSON lines, what is refused by row and field, and that files come back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tallystick.core.lookup_files import MAX_FAILURES, FileType, read_file, write_file
from tallystick.core.lookup_job import EXPIRED, JobStatus, JobType, LookupJob, as_of, reason_of
from tallystick.core.lookup_types import MAX_ROWS, FieldType, LookupField, LookupTableRevision
from tallystick.core.period import Instant

REVISION = LookupTableRevision(
    name="First",
    lookup_table_id="00000000-0000-4000-8000-000000000001",
    fields=(
        LookupField(type=FieldType.STRING, name="model"),
        LookupField(type=FieldType.NUMBER, name="tier"),
        LookupField(type=FieldType.NUMBER, name="price"),
        LookupField(type=FieldType.STRING, name="label"),
    ),
    keys=("model", "tier"),
)
CSV, JSONL = FileType.CSV, FileType.JSONL
UNKNOWN = "planet: is no field of the revision, which has model, tier, price, label"

READ: list[tuple[FileType, str, dict[str, dict[str, Any]]]] = [
    (CSV, "model,tier,price\na,1,0.1\n", {"a,1": {"model": "a", "tier": Decimal(1), "price": Decimal("0.1")}}),
    # Columns in any order, CR LF, no end of the last line, a byte order mark, blank lines, spaces around numbers.
    (
        CSV,
        "\ufeffprice,tier,model\r\n\r\n 1e-05 ,2.0,b",
        {"b,2": {"model": "b", "tier": 2, "price": Decimal("0.00001")}},
    ),
    (
        CSV,
        'model,tier,label\n"a ""x""",1,"two\nlines"\n',
        {'a "x",1': {"model": 'a "x"', "tier": 1, "label": "two\nlines"}},
    ),
    (CSV, "model,tier,price,label\na,1,,\n", {"a,1": {"model": "a", "tier": 1}}),  # an empty cell is no value
    (CSV, "model,tier,label\na,1,12\n", {"a,1": {"model": "a", "tier": 1, "label": "12"}}),  # a text stays one
    (JSONL, '{"model":"a","tier":1.50,"label":null}\n\n', {"a,1.5": {"model": "a", "tier": Decimal("1.5")}}),
    (
        JSONL,
        '{"tier":12345678901234567,"model":"ä"}',
        {"ä,12345678901234567": {"model": "ä", "tier": 12345678901234567}},
    ),
]


@pytest.mark.parametrize(("form", "text", "rows"), READ)
def test_a_file_is_read(form: FileType, text: str, rows: dict[str, dict[str, Any]]) -> None:
    assert read_file(REVISION, form, text.encode()) == (rows, ())


REFUSED: list[tuple[FileType, str, list[str]]] = [
    (CSV, "", ["row 1, model: is a key and must be in the header"]),
    (CSV, "model,tier\n", ["row 1: the file has no rows"]),
    (CSV, "model,tier,planet\na,1,x\n", [f"row 1, {UNKNOWN}"]),
    (CSV, "model,tier,tier\na,1,1\n", ["row 1, tier: is in the header twice"]),
    (CSV, "model,tier\na\n", ["row 2: must have 2 cells as the header has, got 1"]),
    (CSV, "model,tier\na,one\nb,1\nc,0x1\n", ["row 2, tier: must be a number", "row 4, tier: must be a number"]),
    (CSV, "model,tier\na,NaN\na,1_000\n", ["row 2, tier: must be a number", "row 3, tier: must be a number"]),
    (CSV, "model,tier\n,1\n", ["row 2, model: is a key and must be given"]),
    (CSV, "model,tier\na,1\nb,1\na,1.0\n", ["row 4, model,tier: the key 'a,1' is in row 2 already"]),
    (CSV, 'model,tier\na,1\n"b"x,1\n', ["row 3: is no CSV: ',' expected after '\"'"]),
    (JSONL, "\n", ["row 1: the file has no rows"]),
    (JSONL, '{"model":"a","tier":1}\n[]\n', ["row 2: must be one JSON object: Expected `object`, got `array`"]),
    (JSONL, '{"model":"a","tier":"1"}\n', ["row 1, tier: must be a number"]),
    (JSONL, '{"model":"a","tier":1,"planet":1}\n', [f"row 1, {UNKNOWN}"]),
    (JSONL, '{"model":"a,b","tier":1}\n', ["row 1, model: a key of several fields must have no comma"]),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "sentences"), REFUSED)
def test_what_is_wrong_is_named_by_row_field_and_rule(form: FileType, text: str, sentences: list[str]) -> None:
    _, failures = read_file(REVISION, form, text.encode())
    assert [each.sentence for each in failures] == sentences


def test_a_file_of_other_bytes_names_its_line() -> None:
    assert [each.sentence for each in read_file(REVISION, CSV, b"model,tier\na,1\n\xff,2\n")[1]] == [
        "row 3: the file must be UTF-8"
    ]


@pytest.mark.parametrize(
    ("form", "head", "line"), [(CSV, "model,tier\n", "m{},1\n"), (JSONL, "", '{{"model":"m{}","tier":1}}\n')]
)
def test_a_file_has_a_bound(form: FileType, head: str, line: str) -> None:
    most = head + "".join(line.format(each) for each in range(MAX_ROWS))
    rows, failures = read_file(REVISION, form, most.encode())
    assert (len(rows), failures) == (MAX_ROWS, ())
    (failure,) = read_file(REVISION, form, (most + line.format("x")).encode())[1]
    assert failure.message == "a revision has at most 20,000 rows; the file has more"


def test_reading_ends_where_too_much_is_wrong() -> None:
    text = "model,tier\n" + "a,x\n" * (MAX_FAILURES + 50)
    failures = read_file(REVISION, CSV, text.encode())[1]
    assert len(failures) == MAX_FAILURES
    assert reason_of(failures).startswith("nothing was changed: row 2, tier: must be a number; row 3")
    assert reason_of(failures).endswith("; and 90 more")


@pytest.mark.parametrize("form", FileType)
def test_what_is_written_is_read_back(form: FileType) -> None:
    rows = (
        {"model": "=1+1", "tier": Decimal("0.000000000000000001"), "price": Decimal("-12.5"), "label": 'a,"b"\r\nc'},
        {"model": "\u2028", "tier": 1, "label": " x "},
    )
    body = write_file(REVISION, form, rows)
    assert read_file(REVISION, form, body) == ({REVISION.key_of(row): row for row in rows}, ())


def test_an_upload_that_never_came_has_failed() -> None:
    asked, late = Instant.parse("2025-01-01T00:01:00Z"), Instant.parse("2025-01-01T00:16:01Z")
    job = LookupJob(
        id="a", version=1, type=JobType.UPLOAD, status=JobStatus.PENDING, lookup_table_id="b",
        lookup_table_revision_id="c", job_date=asked, created_by="d", expires=asked,
    )  # fmt: skip
    assert as_of(job, Instant.parse("2025-01-01T00:16:00Z")) == job
    assert (as_of(job, late).status, as_of(job, late).failure_reason) == (JobStatus.FAILED, EXPIRED)
