"""Commands as people use them: against a real server, and on a data directory where none runs."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as arrow
import pytest
from m3ter import M3ter
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from tallystick.cli import line
from tallystick.cli.address import Address, announced, browsable, read_address, running
from tallystick.cli.failure import Failure
from tallystick.cli.launch import Server, free_port, launched
from tallystick.cli.main import run
from tenant import Tenant

Run = Callable[..., str]
TOKENS = ["--meter", "llm", "--map", "ts=TIMESTAMP", "--map", "measure.input=ContextTokens"]
TOKENS += ["--map", "measure.output=GeneratedTokens"]


@pytest.fixture
def catalogue(client: M3ter) -> dict[str, str]:
    """A meter of input and output tokens, priced per million on a plan with a platform fee of 20.00."""
    product = client.products.create(name="Inference", code="inference")
    fields: list[Any] = [
        {"code": code, "name": code.capitalize(), "category": "MEASURE", "unit": "{token}"}
        for code in ("input", "output")
    ]
    meter = client.meters.create(product_id=product.id, name="LLM", code="llm", data_fields=fields, derived_fields=[])
    template = client.plan_templates.create(
        product_id=product.id,
        name="Monthly",
        code="monthly",
        currency="USD",
        bill_frequency="MONTHLY",
        standing_charge=20,
    )
    plan = client.plans.create(plan_template_id=template.id, name="Pay as you go", code="payg")
    made = {"plan": plan.id}
    for code, cumulative, bands in (
        ("input", True, [(0, 3), (10, 2.5)]),
        ("output", False, [(0, 15), (1, 12)]),
    ):
        aggregation = client.aggregations.create(
            meter_id=meter.id,
            name=f"{code} tokens",
            code=code,
            target_field=code,
            aggregation="SUM",
            quantity_per_unit=1_000_000,
            rounding="NONE",
            unit="million tokens",
        )
        client.pricings.create(
            plan_id=plan.id,
            aggregation_id=aggregation.id,
            start_date="2023-11-01T00:00:00Z",
            cumulative=cumulative,
            pricing_bands=[{"lower_limit": limit, "fixed_price": 0, "unit_price": price} for limit, price in bands],
        )
    for code in ("code", "conv"):
        account = client.accounts.create(name=code, code=code, email_address=f"{code}@example.com")
        client.account_plans.create(account_id=account.id, plan_id=plan.id, start_date="2023-11-01T00:00:00Z")
    return made


def counts(said: str) -> dict[str, int]:
    return {
        name: int(number.replace(",", "")) for number, name in re.findall(r"(\d[\d,]*) ([a-z]+)", said.splitlines()[0])
    }


def rows(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    return str(path)


# ------------------------------------------------------------------------------------------------- importing


@pytest.mark.usefixtures("catalogue")
def test_real_traffic_becomes_the_bills_that_were_worked_out_by_hand(command: Run, shared_data: Path) -> None:
    """20.00 + 50.15 + 3.69 = 73.84 and 20.00 + 60.90 + 49.06 = 129.96; importing twice changes nothing."""
    sizes = {"code": 8_819, "conv": 19_366}
    for verdict in ("accepted", "duplicate"):
        for account, size in sizes.items():
            file = shared_data / f"azure_llm_inference_2023_{account}.csv"
            said = counts(command("import", str(file), "--account", account, *TOKENS))
            assert said == {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0} | {verdict: size}
        bills = command("bill", "run", "--until", "2023-11-30")
        assert re.search(r"code .* 73\.84 +USD +PENDING", bills), bills
        assert re.search(r"conv .* 129\.96 +USD +PENDING", bills), bills
    shown = json.loads(command("bill", "show", "conv", "--json"), parse_float=Decimal)
    assert [line["subtotal"] for line in shown["lineItems"]] == [20, Decimal("60.90"), Decimal("49.06")]


@pytest.mark.usefixtures("catalogue")
def test_the_same_rows_as_parquet_and_ndjson(command: Run, tmp_path: Path) -> None:
    file = rows(tmp_path / "usage.csv", "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:47,396,109")
    table = arrow_csv.read_csv(file)
    parquet.write_table(table, tmp_path / "usage.parquet")
    with (tmp_path / "usage.ndjson").open("w") as out, open(file, newline="") as read:
        for row in csv.DictReader(read):
            tokens = {name: int(row[name]) for name in ("ContextTokens", "GeneratedTokens")}
            out.write(json.dumps({"TIMESTAMP": row["TIMESTAMP"], **tokens}) + "\n")
    assert isinstance(table, arrow.Table)
    for account, name in (("a", "usage.csv"), ("b", "usage.parquet"), ("c", "usage.ndjson")):
        for verdict in ("accepted", "duplicate"):
            said = counts(command("import", str(tmp_path / name), "--account", account, *TOKENS))
            assert said[verdict] == 2, name


@pytest.mark.usefixtures("catalogue")
def test_equal_rows_count_separately_a_renamed_file_adds_nothing_and_a_source_does(
    command: Run, tmp_path: Path
) -> None:
    row = "2023-11-16 18:15:46,374,44"
    first = rows(tmp_path / "first.csv", row, row, row)
    renamed = rows(tmp_path / "renamed.csv", row, row, row, "2023-11-16 18:15:47,1,1")
    assert counts(command("import", first, "--account", "code", *TOKENS))["accepted"] == 3
    again = counts(command("import", renamed, "--account", "code", *TOKENS))
    assert (again["accepted"], again["duplicate"]) == (1, 3)
    other = counts(command("import", first, "--account", "code", "--source", "second machine", *TOKENS))
    assert other["accepted"] == 3


@pytest.mark.usefixtures("catalogue")
def test_what_is_rejected_is_named_and_the_rest_counts(command: Run, tmp_path: Path, http: httpx.Client) -> None:
    file = rows(
        tmp_path / "usage.csv",
        "2023-11-16 18:15:46,374,44",
        "yesterday,1,1",
        "2023-11-16 18:15:48,many,1",
        "2023-11-16 18:15:49,1,",
        "2023-11-16 18:15:50,1",
    )
    said = command("import", file, "--account", "code", *TOKENS, code=1)
    assert counts(said) == {"accepted": 1, "duplicate": 0, "conflict": 0, "rejected": 4}
    for row, reason in ((2, "ts"), (3, "input"), (4, "output"), (5, "has 2 cells")):
        assert re.search(rf"row {row}: rejected: .*{reason}", said), said


@pytest.mark.usefixtures("catalogue")
def test_another_map_of_the_same_rows_is_a_conflict(command: Run, tmp_path: Path) -> None:
    file = rows(tmp_path / "usage.csv", "2023-11-16 18:15:46,374,44")
    command("import", file, "--account", "code", *TOKENS)
    swapped = [part.replace("ContextTokens", "X").replace("GeneratedTokens", "ContextTokens") for part in TOKENS]
    swapped = [part.replace("=X", "=GeneratedTokens") for part in swapped]
    said = json.loads(command("import", file, "--account", "code", "--json", *swapped, code=1).splitlines()[0])
    assert (said["conflict"], said["accepted"]) == (1, 0)


@pytest.mark.usefixtures("catalogue")
def test_a_map_to_a_column_that_is_not_there_sends_nothing(command: Run, tmp_path: Path) -> None:
    file = rows(tmp_path / "usage.csv", "2023-11-16 18:15:46,374,44")
    said = command("import", file, "--account", "code", "--map", "what.model=Model", *TOKENS, code=1)
    assert "'Model', which the file does not have; it has TIMESTAMP, ContextTokens, GeneratedTokens" in said
    assert counts(command("import", file, "--account", "code", *TOKENS))["accepted"] == 1


@pytest.mark.usefixtures("catalogue")
def test_wide_rows_travel_in_smaller_batches(command: Run, tmp_path: Path) -> None:
    """A request takes at most 512,000 bytes: a thousand rows of a kilobyte must not travel together."""
    lines = [f"2023-11-16 18:15:46,{number},1,{'x' * 1_000}" for number in range(1_000)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens,note", *lines]))
    said = command("import", str(path), "--account", "code", "--map", "other.note=note", *TOKENS)
    assert counts(said)["accepted"] == 1_000


def test_an_empty_file_is_no_failure(command: Run, tmp_path: Path) -> None:
    file = rows(tmp_path / "usage.csv")
    assert set(counts(command("import", file, "--account", "code", *TOKENS)).values()) == {0}


# --------------------------------------------------------------------------------------------------- billing


@pytest.mark.usefixtures("catalogue")
def test_a_bill_goes_through_its_states(command: Run) -> None:
    command("bill", "run", "--account", "code", "--until", "2023-11-30")
    assert re.search(r"Total +20\.00", command("bill", "show", "code"))
    assert "no APPROVED" not in command("bill", "approve", "code")
    assert "APPROVED" in command("bill", "list", "--account", "code")
    command("bill", "recalculate", "code")
    assert "PENDING" in command("bill", "list", "--status", "pending")
    assert "error: " in command("bill", "lock", "code", code=1)
    command("bill", "approve", "code")
    command("bill", "reopen", "code")
    command("bill", "approve", "code")
    command("bill", "lock", "code")
    assert "LOCKED" in command("bill", "list")
    assert "locked" in command("bill", "reopen", "code", code=1)


def test_what_cannot_be_billed_is_a_failure_and_the_rest_is_billed(
    command: Run, client: M3ter, catalogue: dict[str, str]
) -> None:
    """Without a conversion from USD to CHF there is no bill in CHF."""
    client.currencies.create(name="Swiss franc", code="CHF")
    swiss = client.accounts.create(name="Swiss", code="swiss", email_address="swiss@example.com", currency="CHF")
    client.account_plans.create(account_id=swiss.id, plan_id=catalogue["plan"], start_date="2023-11-01T00:00:00Z")
    said = command("bill", "run", "--until", "2023-11-30", code=1)
    assert re.search(r"error: 1 could not be billed, the first because: .*USD.*CHF", said), said
    assert {"code", "conv"} <= set(re.findall(r"\w+", command("bill", "list")))


@pytest.mark.usefixtures("catalogue")
def test_a_bill_is_explained_and_verified(command: Run, tmp_path: Path) -> None:
    file = rows(tmp_path / "usage.csv", "2023-11-16 18:15:46,15000000,500000")
    command("import", file, "--account", "code", *TOKENS)
    command("bill", "run", "--account", "code", "--until", "2023-11-30")
    whole = command("explain", "code")
    # 10 x 3.00 + 5 x 2.50 = 42.50
    for part in ("20.00", "42.50", "7.50", "2.5"):
        assert part in whole
    second = command("explain", "code", "2")
    assert second.strip() in whole or "42.50" in second
    assert "7.50" not in second
    assert "there is no line 9" in command("explain", "code", "9", code=1)
    assert "matches" in command("verify", "code")


def test_an_account_without_bills_and_one_that_does_not_exist(command: Run, client: M3ter) -> None:
    client.accounts.create(name="New", code="new", email_address="new@example.com")
    assert "has no bill yet" in command("bill", "show", "new", code=1)
    assert "there is no account with the code 'nobody'" in command("bill", "show", "nobody", code=1)


# --------------------------------------------------------------------------------------------- organisations


def test_the_operator_works_through_the_running_server(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running(server.directory) == server.url
    assert run(["org", "create", "Beside", "--currency", "EUR", "--data", str(server.directory)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert sorted(made) == ["apiKey", "apiSecret", "orgId"]
    assert run(["org", "list", "--json", "--data", str(server.directory)]) == 0
    assert made["orgId"] in {row["id"] for row in json.loads(capsys.readouterr().out)}
    # By id and by name.
    for named in (made["orgId"], "Beside"):
        assert run(["bill", "list", "--data", str(server.directory), "--org", named, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []
    assert run(["bill", "list", "--data", str(server.directory), "--org", "Nobody"]) == 1
    assert "name the organisation with --org" in capsys.readouterr().err


def test_everything_works_where_no_server_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path / "data")]
    assert run(["org", "create", "Acme", *data]) == 0
    made = json.loads(capsys.readouterr().out)
    assert len(made["orgId"]) == 36
    assert run(["org", "list", *data]) == 0
    assert "Acme" in capsys.readouterr().out
    assert run(["bill", "list", *data]) == 0  # the only organisation needs no name
    file = rows(tmp_path / "usage.csv", "2023-11-16 18:15:46,1,1")
    capsys.readouterr()
    assert run(["import", file, "--account", "a", *TOKENS, *data]) == 1
    said = capsys.readouterr()
    assert counts(said.out)["rejected"] == 1
    assert "there is no meter with the code 'llm'" in said.err


def test_a_wrong_secret_is_refused_in_a_sentence(organization: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    sign_in = ["--url", organization.url, "--key", organization.key, "--secret", "wrong", "--org", organization.id]
    assert run(["bill", "list", *sign_in]) == 1
    assert "error: Authorization: unknown access key or wrong secret" in capsys.readouterr().err


def test_a_second_server_on_the_same_directory_is_refused(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--data", str(server.directory)]) == 1
    assert f"a server already runs on {server.directory}: {server.url}" in capsys.readouterr().err


def test_a_server_that_cannot_start_says_why(server: Server) -> None:
    with pytest.raises(Failure, match="a server already runs on"), launched(server.directory, free_port()):
        pass


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign requested address")]
)
def test_a_server_that_cannot_listen_says_where_and_why(
    host: str, why: str, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.url.rpartition(":")[2]
    assert run(["serve", "--data", str(tmp_path), "--host", host, "--port", port]) == 1
    said = capsys.readouterr().err
    assert f"error: cannot listen on port {port} of {host}: {why}; choose another with --port and --host" in said


def test_a_free_port_is_the_preferred_one_or_none_that_an_outgoing_connection_takes(server: Server) -> None:
    taken = int(server.url.rpartition(":")[2])
    found = free_port(taken)
    assert found != taken
    assert free_port(found) == found
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(outgoing.read_text().split()[0]) if outgoing.exists() else 32_768
    assert all(free_port() < first for _ in range(20))


def test_a_directory_that_is_in_use_without_an_address_is_not_opened_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with line.in_process(data):
        assert run(["org", "list", "--data", str(data)]) == 1
    assert f"cannot open the data directory {data}: " in capsys.readouterr().err
    assert run(["org", "list", "--data", str(data)]) == 0


def test_an_address_is_there_while_it_is_announced(tmp_path: Path) -> None:
    assert read_address(tmp_path) is None
    with announced(tmp_path, "http://127.0.0.1:9"):
        found = read_address(tmp_path)
        assert isinstance(found, Address)
        assert found.url == "http://127.0.0.1:9"
        assert running(tmp_path) is None  # nobody answers there
    assert read_address(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8400"),
        ("0.0.0.0", "http://127.0.0.1:8400"),
        ("::", "http://[::1]:8400"),
        ("billing.example", "http://billing.example:8400"),
    ],
)
def test_the_address_that_a_client_on_this_machine_uses(host: str, url: str) -> None:
    assert browsable(host, 8400) == url


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the threads of a process are counted in /proc")
def test_what_forks_the_worker_has_loaded_no_engine() -> None:
    """An engine's threads hold locks that a fork leaves as they happen to be: such a worker may wait for ever."""
    seen = "import os, sys; from tallystick.cli import main; from tallystick.api import serving; "
    seen += "print(len(os.listdir('/proc/self/task')), 'pyarrow' in sys.modules, 'chdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False"]
