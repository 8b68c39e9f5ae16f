"""`tallystick bill`: run bills, list them, show one, take it through its states."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure, Refused
from tallystick.cli.printing import JsonOption, print_json, print_table, progress, remark, say

POLL_SECONDS = 0.1
SLOWEST_POLL_SECONDS = 2.0
ENDED = {"COMPLETE", "CANCELLED", "FAILED"}
UUID_LENGTH = 36
MAX_DECIMALS = 18  # what a quantity may have; more comes from a division
SHOWN_DECIMALS = 6

app = typer.Typer(help="Run bills, list them, show one, take it through its states.", no_args_is_help=True)

BillArgument = Annotated[
    str, typer.Argument(help="Id of a bill, or the code of an account for its latest bill.", metavar="BILL")
]
BillsArgument = Annotated[
    list[str], typer.Argument(help="Ids of bills, or codes of accounts for their latest bills.", metavar="BILL...")
]


@app.command("run")
@connected
def run(
    connection: Connection,
    account: Annotated[list[str] | None, typer.Option(help="Code of an account to bill; all if absent.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Last day of the billing period, such as 2025-01-31.", metavar="DATE")
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="Bill date: periods that ended by it are billed.", metavar="DATE")
    ] = None,
    frequency: Annotated[
        str | None, typer.Option(help="DAILY, WEEKLY, MONTHLY, ANNUALLY or AD_HOC; every frequency if absent.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a bill job and wait for it. Running it again gives the same bills; locked ones are left alone.

    Exits with 1 when an account could not be billed; the others are billed all the same.
    """
    with connection.open() as client:
        body: dict[str, object] = {}
        if account:
            body["accountIds"] = [account_id(client, code) for code in account]
        if until is not None:
            body["lastDateInBillingPeriod"] = _day("--until", until)
        if date is not None:
            body["billDate"] = _day("--date", date)
        if frequency is not None:
            body["billingFrequency"] = frequency.upper()
        job = wait_for(client, client.post("/billjobs", body))
        if job["status"] != "COMPLETE":
            raise Failure(f"the bill job {job['id']} ended as {job['status']}")
        bills = [client.get(f"/bills/{bill}") for bill in job["billIds"]]
    if json:
        print_json(job)
    else:
        print_bills(bills)
    require_no_failures(job)


@app.command("preview")
@connected
def preview(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    until: Annotated[
        str | None,
        typer.Option(help="Last day of the billing period; the open period if absent.", metavar="DATE"),
    ] = None,
    frequency: Annotated[
        str | None, typer.Option(help="DAILY, WEEKLY, MONTHLY or ANNUALLY, if the account has several bills.")
    ] = None,
    explain: Annotated[bool, typer.Option(help="Explain each line.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the bill that an account would get now, with the usage so far. Nothing is kept."""
    with connection.open() as client:
        body: dict[str, object] = {"accountIds": [account_id(client, account)]}
        if until is not None:
            body["lastDateInBillingPeriod"] = _day("--until", until)
        if frequency is not None:
            body["billingFrequency"] = frequency.upper()
        found = client.post("/bills/preview", body, explain=explain or None)
    if json:
        print_json(found)
        return
    print_bill(found, "Preview of bill")
    if not found["complete"]:
        say(f"with usage up to journal position {found['upTo']}: newer measurements are not counted yet")
    for each in found.get("explanation", ()):
        say(f"{each['sequenceNumber']}. {each['sentence']}")


@app.command("list")
@connected
def list_(
    connection: Connection,
    account: Annotated[str | None, typer.Option(help="Code of an account.")] = None,
    status: Annotated[str | None, typer.Option(help="PENDING or APPROVED.")] = None,
    json: JsonOption = False,
) -> None:
    """List bills, newest first."""
    with connection.open() as client:
        only = None if account is None else account_id(client, account)
        bills = list(client.every("/bills", accountId=only, status=status and status.upper()))
    if json:
        print_json(bills)
    else:
        print_bills(bills)


@app.command("show")
@connected
def show(connection: Connection, bill: BillArgument, json: JsonOption = False) -> None:
    """Show a bill with its lines."""
    with connection.open() as client:
        found = find_bill(client, bill)
    if json:
        print_json(found)
    else:
        print_bill(found)


@app.command("compare")
@connected
def compare(connection: Connection, bill: BillArgument, json: JsonOption = False) -> None:
    """Compare a bill with the one before it: one sentence, and the parts that add up to the difference."""
    with connection.open() as client:
        found = client.get(f"/bills/{find_bill(client, bill)['id']}/comparison")
    if json:
        print_json(found)
        return
    say(found["sentence"])
    if found["parts"]:
        rows = [(part["kind"], part["sentence"], money(part["amount"])) for part in found["parts"]]
        total = ("", "Difference", money(found["difference"]))
        print_table(("why", "what", found["currency"]), [*rows, total], right=(found["currency"],))


@app.command("invoice")
@connected
def invoice(
    connection: Connection,
    bill: BillArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write: .pdf, .html or .csv; a PDF if absent."),
    ] = None,
    locale: Annotated[str | None, typer.Option(help="Language and formats, such as en-GB or ja.")] = None,
    paper: Annotated[str | None, typer.Option(help="A4 or LETTER.")] = None,
) -> None:
    """Write the invoice of a bill to a file: as PDF, as HTML, or its lines as CSV, by the ending of the file."""
    ending = ".pdf" if output is None else output.suffix.lower()
    if ending not in {".pdf", ".html", ".csv"}:
        raise Failure(f"-o {output}: the name must end in .pdf, .html or .csv")
    with connection.open() as client:
        path = f"/bills/{find_bill(client, bill)['id']}"
        if ending == ".csv":
            response = client.file(f"{path}/lineitems.csv")
        else:
            response = client.file(f"{path}/invoice", format=ending[1:], locale=locale, paper=paper)
    named = response.headers["content-disposition"].partition('filename="')[2].rstrip('"')
    written = output or Path(named)
    written.write_bytes(response.content)
    if "tallystick-warning" in response.headers:
        remark(f"warning: {response.headers['tallystick-warning']}")
    say(str(written))


@app.command("approve")
@connected
def approve(connection: Connection, bills: BillsArgument, json: JsonOption = False) -> None:
    """Approve bills: checked, and ready to be locked and sent."""
    with connection.open() as client:
        ids = [find_bill(client, bill)["id"] for bill in bills]
        client.post("/bills/approve", {"billIds": ids})
        found = [client.get(f"/bills/{bill}") for bill in ids] if json else []
    if json:
        print_json(found)
    else:
        say(f"{len(ids)} approved")


@app.command("reopen")
@connected
def reopen(connection: Connection, bills: BillsArgument, json: JsonOption = False) -> None:
    """Take approved bills back to PENDING."""
    _each(connection, bills, "reopened", "/status", {"status": "PENDING"}, json=json)


@app.command("lock")
@connected
def lock(connection: Connection, bills: BillsArgument, json: JsonOption = False) -> None:
    """Lock approved bills. A locked bill is final."""
    _each(connection, bills, "locked", "/lock", None, json=json)


@app.command("recalculate")
@connected
def recalculate(connection: Connection, bills: BillsArgument, json: JsonOption = False) -> None:
    """Calculate bills again from the usage and the prices of now; approved ones go back to PENDING."""
    with connection.open() as client:
        ids = [find_bill(client, bill)["id"] for bill in bills]
        job = wait_for(client, client.post("/billjobs/recalculate", {"billIds": ids}))
        found = [client.get(f"/bills/{bill}") for bill in ids]
    if json:
        print_json(job)
    else:
        print_bills(found)
    require_no_failures(job)


def wait_for(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """Poll a bill job until it has ended, with a progress bar; answers its last state."""
    pause = POLL_SECONDS
    with progress(of="accounts") as bar:
        task = bar.add_task("billing", total=None)
        while job["status"] not in ENDED:
            time.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
            job = client.get(f"/billjobs/{job['id']}")
            total = job.get("total") or 0
            bar.update(task, total=total or None, completed=total - (job.get("pending") or 0))
    return job


def require_no_failures(job: dict[str, Any]) -> None:
    """Fail where an account could not be billed. The bills that could be made are made all the same."""
    failures = job["failures"]
    if failures:
        raise Failure(f"{len(failures)} could not be billed, the first because: {failures[0]['message']}")


def account_id(client: Client, code: str) -> str:
    """The id of the account with this code."""
    rows = client.get("/accounts", codes=code)["data"]
    found = [row for row in rows if row["code"] == code]
    if not found:
        raise Failure(f"there is no account with the code {code!r}")
    return str(found[0]["id"])


def find_bill(client: Client, named: str) -> dict[str, Any]:
    """The bill with this id, or the latest bill of the account with this code."""
    if len(named) == UUID_LENGTH and named.count("-") == 4:
        bill: dict[str, Any] = client.get(f"/bills/{named}")
        return bill
    try:
        latest: dict[str, Any] = client.get(f"/bills/latest/{account_id(client, named)}")
    except Refused as refused:
        if refused.code == "not_found":
            raise Failure(f"the account {named!r} has no bill yet") from None
        raise
    return latest


def print_bills(bills: list[dict[str, Any]]) -> None:
    """A table of bills."""
    print_table(
        ("bill", "account", "from", "to", "total", "currency", "status"),
        [
            (
                bill["id"],
                bill["accountCode"],
                bill["startDate"],
                bill["endDate"],
                money(bill["billTotal"]),
                bill["currency"],
                state(bill),
            )
            for bill in bills
        ],
        right=("total",),
    )


def print_bill(bill: dict[str, Any], called: str = "Bill") -> None:
    """A bill with its lines, in their order."""
    say(f"{called} {bill['id']}")
    say(f"{bill['accountCode']}, {bill['startDate']} to {bill['endDate']} (exclusive), {state(bill)}")
    lines = sorted(bill["lineItems"], key=lambda line: int(line["sequenceNumber"]))
    print_table(
        ("line", "description", "quantity", "unit", "average price", bill["currency"]),
        [
            *(
                (
                    line["sequenceNumber"],
                    described(line),
                    plain(line["units"]),
                    line["unit"],
                    plain(line["averageUnitPrice"]),
                    money(line["convertedSubtotal"]),
                )
                for line in lines
            ),
            ("", "Total", "", "", "", money(bill["billTotal"])),
        ],
        right=("quantity", "average price", bill["currency"]),
    )


def described(line: dict[str, Any]) -> str:
    """What a line is for, with the child account whose share it is."""
    child = line.get("childAccountCode")
    return f"{line['description']} [{child}]" if child else str(line["description"])


def state(bill: dict[str, Any]) -> str:
    """PENDING, APPROVED or LOCKED."""
    return "LOCKED" if bill["locked"] else str(bill["status"])


def money(amount: Any) -> str:
    """An amount with at least two decimals."""
    return f"{amount:,.2f}" if amount == round(amount, 2) else f"{amount:,f}"


def plain(number: Any) -> str:
    """A number without needless zeros; of a quotient without end the first decimals, and that it goes on."""
    text = f"{number:,f}" if not isinstance(number, int) else f"{number:,}"
    whole, _, decimals = text.partition(".")
    if len(decimals) > MAX_DECIMALS:
        return f"{whole}.{decimals[:SHOWN_DECIMALS]}…"
    return f"{whole}.{decimals}".rstrip("0").rstrip(".")


def _each(connection: Connection, bills: list[str], done: str, path: str, body: object, *, json: bool) -> None:
    """Put the bills into a state one by one, and say so."""
    changed = []
    with connection.open() as client:
        for bill in bills:
            found = find_bill(client, bill)
            changed.append(client.put(f"/bills/{found['id']}{path}", body))
            if not json:
                say(f"{found['id']} {done}")
    if json:
        print_json(changed)


def _day(option: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Failure(f"{option} {text}: must be a date such as 2025-01-31") from None
