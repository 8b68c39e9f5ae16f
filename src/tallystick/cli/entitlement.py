"""`tallystick entitlement`: features, who may use how much of each, and whether an account may right now."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tallystick.cli.bill import plain
from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say
from tallystick.core.quantity import parse_quantity

app = typer.Typer(help="What accounts may use: features, limits, and what is left.", no_args_is_help=True)


class Reset(StrEnum):
    """When what is used is counted from nothing again."""

    BILLING_PERIOD = "billing-period"
    MONTH = "month"
    DAY = "day"


@app.command("show")
@connected
def show(
    connection: Connection,
    account: Annotated[str, typer.Argument(help="Code of an account.", metavar="ACCOUNT")],
    feature: Annotated[str, typer.Argument(help="Code of a feature; without it all of them.", metavar="FEATURE")] = "",
    quantity: Annotated[str, typer.Option(help="How much more is about to be used of the feature.")] = "",
    json: JsonOption = False,
) -> None:
    """Show what an account may use, and what is left; exits with 1 when the feature that is named may not be used."""
    path = f"/accounts/{quote(account, safe='')}/entitlements"
    with connection.open() as client:
        if feature:
            found = [client.get(f"{path}/{quote(feature, safe='')}", quantity=quantity or None)]
        else:
            found = list(client.every(path))
    if json:
        print_json(found[0] if feature else found)
    else:
        print_table(
            ("feature", "may use", "used", "limit", "left", "resets", "why"),
            [_row(each) for each in found],
            right=("used", "limit", "left"),
        )
    if feature and not found[0]["allowed"]:
        raise typer.Exit(1)


@app.command("feature")
@connected
def feature(
    connection: Connection,
    code: Annotated[str, typer.Argument(help="Code of the feature.", metavar="CODE")],
    name: Annotated[str, typer.Option(help="What people call it.")],
    aggregation: Annotated[str, typer.Option(help="Code of the aggregation that counts how much is used.")] = "",
) -> None:
    """Make a feature, or give an existing one another name or aggregation."""
    with connection.open() as client:
        counted = {"aggregationId": _id(client, "aggregations", aggregation)} if aggregation else {}
        body = {"code": code, "name": name, **counted}
        present = _found(client, "features", code)
        if present is None:
            client.post("/features", body)
        else:
            client.put(f"/features/{present['id']}", {**body, "version": present["version"]})
    say(f"the feature {code} is {'made' if present is None else 'changed'}")


@app.command("grant")
@connected
def grant(
    connection: Connection,
    feature: Annotated[str, typer.Argument(help="Code of the feature.", metavar="FEATURE")],
    account: Annotated[str, typer.Option(help="Code of the account that it is for.")] = "",
    plan: Annotated[str, typer.Option(help="Code of the plan that it comes with.")] = "",
    template: Annotated[str, typer.Option(help="Code of the plan template that it comes with.")] = "",
    soft: Annotated[str, typer.Option(help="Limit that tells.")] = "",
    hard: Annotated[str, typer.Option(help="Limit that refuses.")] = "",
    grace: Annotated[str, typer.Option(help="How much beyond the hard limit is let pass.")] = "",
    reset: Annotated[Reset, typer.Option(help="When it is counted from nothing again.")] = Reset.BILLING_PERIOD,
    burst: Annotated[list[str] | None, typer.Option(help="LIMIT/second, /minute or /hour; may be repeated.")] = None,
    needs_credit: Annotated[bool, typer.Option("--needs-credit", help="Only while prepaid credit is left.")] = False,
    deny: Annotated[bool, typer.Option("--deny", help="Shut the feature off instead.")] = False,
) -> None:
    """Give an account, a plan or a plan template a feature, with its limits; what it had of it is replaced."""
    with connection.open() as client:
        owner = {
            field: _id(client, noun, code)
            for field, noun, code in (
                ("accountId", "accounts", account),
                ("planId", "plans", plan),
                ("planTemplateId", "plantemplates", template),
            )
            if code
        }
        if len(owner) != 1:
            raise Failure("give exactly one of --account, --plan and --template")
        body: dict[str, Any] = {"featureId": _id(client, "features", feature), **owner, "allowed": not deny}
        numbers = {"softLimit": soft, "hardLimit": hard, "grace": grace}
        body |= {name: _number(name, text) for name, text in numbers.items() if text}
        bursts = [_burst(each) for each in burst or ()]
        body |= {"resetPeriod": reset.name, "needsCredit": needs_credit, "burst": bursts}
        present = next(iter(client.get("/entitlements", featureId=body["featureId"], **owner)["data"]), None)
        if present is None:
            client.post("/entitlements", body)
        else:
            client.put(f"/entitlements/{present['id']}", {**body, "version": present["version"]})
    say(f"{feature} is {'denied to' if deny else 'given to'} {account or plan or template}")


@app.command("revoke")
@connected
def revoke(
    connection: Connection,
    entitlement: Annotated[str, typer.Argument(help="Id of the entitlement, as `show --json` says it.", metavar="ID")],
) -> None:
    """Take an entitlement away."""
    with connection.open() as client:
        client.delete(f"/entitlements/{entitlement}")
    say(f"the entitlement {entitlement} is taken away")


def _burst(text: str) -> dict[str, object]:
    limit, _, per = text.partition("/")
    if per.upper() not in {"SECOND", "MINUTE", "HOUR"}:
        raise Failure(f"--burst: write LIMIT/second, LIMIT/minute or LIMIT/hour, got {text!r}")
    return {"limit": _number("burst", limit), "per": per.upper()}


def _number(name: str, text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError as problem:
        raise Failure(f"{name}: {problem}") from None


def _found(client: Client, noun: str, code: str) -> dict[str, Any] | None:
    return next((each for each in client.get(f"/{noun}", codes=code)["data"] if each["code"] == code), None)


def _id(client: Client, noun: str, code: str) -> str:
    found = _found(client, noun, code)
    if found is None:
        raise Failure(f"there is nothing with the code {code!r} among the {noun}")
    return str(found["id"])


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    number = {name: plain(each[name]) if name in each else "–" for name in ("used", "limit", "remaining")}
    allowed = "yes" if each["allowed"] else "no"
    return (
        each["feature"],
        allowed,
        number["used"],
        number["limit"],
        number["remaining"],
        each.get("resetsAt", "–"),
        each["why"],
    )
