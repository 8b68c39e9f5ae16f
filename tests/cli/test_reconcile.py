"""`tallystick reconcile`: a log against what was counted, and an exit code by how accurate that is."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as arrow
import pytest
from m3ter import M3ter
from pyarrow import parquet

Run = Callable[..., str]
DAYS = ("--from", "2025-03-01", "--until", "2025-03-02")


@pytest.fixture
def log(command: Run, client: M3ter, tmp_path: Path) -> str:
    """A thousand tokens counted; gives the id of the reconciliation with the log."""
    product = client.products.create(name="Inference", code="inference")
    client.meters.create(
        product_id=product.id,
        name="LLM",
        code="llm",
        data_fields=[{"code": "tokens", "name": "Tokens", "category": "MEASURE", "unit": "{token}"}],
        derived_fields=[],
    )
    client.accounts.create(name="acorn", code="acorn", email_address="a@example.com")
    usage = tmp_path / "usage.csv"
    usage.write_text("uid,at,n\nu1,2025-03-01T10:00:00Z,600\nu2,2025-03-02T10:00:00Z,400\n")
    maps = ["--map", "uid=uid", "--map", "ts=at", "--map", "measure.tokens=n"]
    command("import", str(usage), "--account", "acorn", "--meter", "llm", *maps)
    asked = tmp_path / "log.json"
    measures = [{"meter": "llm", "field": "tokens", "column": "n"}]
    columns = {"account": "who", "ts": "at"}
    named = {"name": "Log", "comparison": "RECORDS", "source": {"type": "UPLOAD"}}
    asked.write_text(json.dumps({**named, "measures": measures, "columns": columns}))
    made: str = json.loads(command("reconcile", "create", str(asked)))["id"]
    return made


def rows(file: Path, *tokens: int) -> str:
    """A log of the two calls, with as many tokens."""
    lines = [f"u{day},2025-03-0{day}T10:00:00Z,acorn,{n}" for day, n in enumerate(tokens, start=1)]
    text = "\n".join(["uid,at,who,n", *lines]) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return str(file)


@pytest.mark.parametrize(
    ("tokens", "accept", "code", "said"),
    [
        ((600, 400), "GOOD", 0, "GOOD: 100.00%"),
        ((600, 396), "GOOD", 0, "GOOD: 99.60%, 50.00% of measurements"),
        ((610, 400), "GOOD", 3, "WARNING: 99.01%"),
        ((610, 400), "WARNING", 0, "WARNING: 99.01%"),
        ((300, 400), "WARNING", 4, "RED: 57.14%"),
    ],
)
def test_the_exit_code_is_that_of_the_level(
    command: Run, log: str, tmp_path: Path, tokens: tuple[int, ...], accept: str, code: int, said: str
) -> None:
    """Of 1,010 tokens in the source 10 differ, and so on."""
    shown = command(
        "reconcile", "run", "Log", rows(tmp_path / "log.csv.gz", *tokens), *DAYS, "--accept", accept, code=code
    )
    assert said in shown
    assert re.search(r"acorn +llm\.tokens", shown)
    assert log in command("reconcile", "list")


def test_a_run_is_shown_again_and_what_it_found(command: Run, log: str, tmp_path: Path) -> None:
    table = arrow.table({"uid": ["u1"], "at": ["2025-03-01T10:00:00Z"], "who": ["acorn"], "n": [600]})
    parquet.write_table(table, tmp_path / "log.parquet")
    run = json.loads(
        command("reconcile", "run", log, str(tmp_path / "log.parquet"), *DAYS, "--json", code=4).splitlines()[0],
        parse_float=Decimal,
    )
    assert (run["accuracy"], run["extra"]) == (Decimal("33.33"), 1)
    assert "RED: 33.33%" in command("reconcile", "show", run["id"], code=4)
    found = command("reconcile", "findings", run["id"])
    assert re.search(r"EXTRA +ONLY_HERE +acorn +llm\.tokens +2025-03-02 +u2", found)
    assert command("reconcile", "findings", run["id"], "--cause", "LOST", "--json") == "[]\n"


def test_what_cannot_be_run_says_why(command: Run, log: str, tmp_path: Path) -> None:
    file = rows(tmp_path / "log.csv", 600, 400)
    for arguments, said in (
        (("Nothing", file), "there is no reconciliation named 'Nothing'"),
        (("Log",), "send the file first"),
        (("Log", str(tmp_path / "gone.csv")), "No such file"),
        (("Log", file, "--from", "March"), "--from: must be a day"),
        (("Log", file, "--accept", "RED"), "--accept: must be GOOD or WARNING"),
    ):
        assert said in command("reconcile", "run", *arguments, code=1), log
    broken = tmp_path / "broken.csv"
    broken.write_text("uid,uid\n1,2\n")
    assert "the column 'uid' is named twice" in command("reconcile", "run", "Log", str(broken), *DAYS, code=1)
