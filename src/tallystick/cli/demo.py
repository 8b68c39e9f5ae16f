"""`tallystick demo`: a server with a month of sample traffic, its bills, and one of them explained."""

from __future__ import annotations

import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli import line
from tallystick.cli.bill import print_bill, print_bills, wait_for
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, signed_in
from tallystick.cli.demo_data import CUSTOMERS, Month, create_catalogue, measurements
from tallystick.cli.explain import explanations, print_explanation
from tallystick.cli.failure import Failure
from tallystick.cli.launch import Server, free_port, launched
from tallystick.cli.printing import progress, remark, say
from tallystick.core import wire

PORT = 8400
BATCH = 1_000
CREDENTIALS = "demo.json"
EMAIL = "demo@tallystick.example"


class Credentials(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How to sign in to the demo's organisation: what the credentials file holds."""

    url: str
    org_id: str
    api_key: str
    api_secret: str
    email: str = ""  # of the user of the console
    password: str = ""


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Data directory to use and to keep; a temporary one if absent.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port to listen on; another one when it is taken.", min=1, max=65535)
    ] = PORT,
    exit: Annotated[bool, typer.Option("--exit", help="Stop when the bills are printed.")] = False,
    month: Annotated[
        str | None, typer.Option(help="Month of the traffic, such as 2025-01; the last one if absent.", metavar="MONTH")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the traffic: the same seed gives the same bills.")] = 1,
) -> None:
    """Start a server, create three customers with a month of traffic, bill them, and explain one bill.

    The server stays up until Ctrl-C. On a data directory that a demo used before, its organisation is shown again.
    """
    period = Month.parse(month) if month is not None else Month.before(datetime.now(UTC).date())
    with _termination_as_interrupt(), _directory(data) as directory, launched(directory, free_port(port)) as server:
        remark(f"server {server.url}, data {directory}")
        credentials = _organization(server)
        with line.over_network() as send:
            client = signed_in(send, server.url, credentials.api_key, credentials.api_secret)
            client.organization = credentials.org_id
            if not client.get("/bills", pageSize=1)["data"]:
                _fill(client, period, seed)
            _show(client)
        if exit and data is None:
            return
        say("")
        say(f"Console      {server.url}")
        if credentials.email:
            say(f"             sign in as {credentials.email} with {credentials.password}")
        say(f"Credentials  {directory / CREDENTIALS}")
        if not exit:
            say("Ctrl-C stops the server" + ("." if data is not None else " and removes its data."))
            _until_stopped(server)


def _organization(server: Server) -> Credentials:
    """The organisation of the credentials file, or a new one that is written to it."""
    path = server.directory / CREDENTIALS
    if path.exists():
        known = wire.decode(Credentials, path.read_bytes())
        credentials = msgspec.structs.replace(known, url=server.url)
    else:
        with Connection(data=server.directory).operator() as client:
            body = wire.encode({"name": "Demo", "currency": "USD"})
            reply = client.raw("POST", "/operator/organizations", body, again=False)
            made: dict[str, str] = wire.decode(dict[str, str], reply.content)
            user = {"orgId": made["orgId"], "email": EMAIL, "password": secrets.token_urlsafe(12), "firstName": "Demo"}
            client.raw("POST", "/operator/users", wire.encode(user), again=False)
        credentials = Credentials(
            url=server.url,
            org_id=made["orgId"],
            api_key=made["apiKey"],
            api_secret=made["apiSecret"],
            email=user["email"],
            password=user["password"],
        )
    path.touch(mode=0o600)
    path.write_bytes(wire.encode(credentials) + b"\n")
    return credentials


def _fill(client: Client, month: Month, seed: int) -> None:
    """Catalogue, customers, traffic and bills."""
    create_catalogue(client, month)
    traffic = measurements(month, seed)
    with progress(of="measurements") as bar:
        task = bar.add_task("sending", total=len(traffic))
        for start in range(0, len(traffic), BATCH):
            reply = client.submit(wire.encode({"measurements": traffic[start : start + BATCH]}))
            rejected = [each for each in reply["measurements"] if each["verdict"] not in {"accepted", "duplicate"}]
            if rejected:
                raise Failure(f"a demo measurement was not accepted: {rejected[0]}")
            bar.update(task, advance=min(BATCH, len(traffic) - start))
    remark(f"{len(traffic):,} measurements sent")
    wait_for(client, client.post("/billjobs", {"lastDateInBillingPeriod": month.last.isoformat()}))


def _show(client: Client) -> None:
    """Every bill, and the first customer's with its explanation."""
    bills: list[dict[str, Any]] = list(client.every("/bills"))
    by_code = {bill["accountCode"]: bill for bill in bills}
    if CUSTOMERS[0].code not in by_code:
        raise Failure("the bill job made no bill for the first customer")
    say("")
    print_bills(sorted(bills, key=lambda bill: str(bill["accountCode"])))
    say("")
    print_bill(by_code[CUSTOMERS[0].code])
    say("")
    print_explanation(explanations(client, by_code[CUSTOMERS[0].code]["id"]))


@contextmanager
def _directory(named: Path | None) -> Iterator[Path]:
    """The named directory, or a temporary one that is removed in the end."""
    if named is not None:
        yield named.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="tallystick-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _until_stopped(server: Server) -> None:
    """Return on Ctrl-C or SIGTERM, or when the server is gone."""
    with suppress(KeyboardInterrupt):
        while server.process.poll() is None:
            time.sleep(0.2)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does: the server is stopped and a temporary directory removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
