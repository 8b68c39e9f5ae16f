"""`tallystick stripe`: bring bills to Stripe. Keys are read from files, so that no history of commands has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say

app = typer.Typer(help="Bills at Stripe: keys, customers, and how it stands.", no_args_is_help=True)

LiveOption = Annotated[bool, typer.Option("--live", help="The integration with live keys, not the one for tests.")]


@app.command("connect")
@connected
def connect(
    connection: Connection,
    live: LiveOption = False,
    key_file: Annotated[Path | None, typer.Option(help="File with Stripe's secret key; - is standard input.")] = None,
    webhook_secret_file: Annotated[Path | None, typer.Option(help="File with the secret of Stripe's webhook.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="A setting, such as autoAdvance=true.", metavar="NAME=VALUE")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the integration with Stripe, or change its keys and settings; what is not given stays."""
    destination = "STRIPE" if live else "STRIPE_TEST"
    given = {"apiKey": _secret(key_file), "webhookSecret": _secret(webhook_secret_file)}
    secrets = {name: text for name, text in given.items() if text is not None}
    settings = dict(_setting(each) for each in option or ())
    with connection.open() as client:
        found = _integrations(client, destination)
        if found:
            config = found[0]
            if settings:
                body = {"entityType": "Bill", "destination": destination, "name": config.get("name")}
                body |= {"configData": {**config.get("configData", {}), **settings}, "version": config["version"]}
                client.put(f"/integrationconfigs/{config['id']}", body)
            if secrets:
                client.put(f"/stripe/{config['id']}/secrets", secrets)
        else:
            body = {"entityType": "Bill", "destination": destination, "name": "Stripe", "configData": settings}
            body["credentials"] = {"type": "STRIPE_SIGNED_REQUEST", **secrets}
            config = client.post("/integrationconfigs", body)
        stands = client.get(f"/stripe/{config['id']}")
    _print(stands, json=json)


@app.command("show")
@connected
def show(connection: Connection, live: LiveOption = False, json: JsonOption = False) -> None:
    """Show how the integration stands."""
    with connection.open() as client:
        stands = client.get(f"/stripe/{_one(client, live=live)}")
    _print(stands, json=json)


@app.command("check")
@connected
def check(connection: Connection, live: LiveOption = False) -> None:
    """Try whether Stripe takes the key."""
    with connection.open() as client:
        say(client.post(f"/stripe/{_one(client, live=live)}/check", None)["message"])


@app.command("address")
@connected
def address(connection: Connection, live: LiveOption = False) -> None:
    """Print where Stripe shall send its notifications."""
    with connection.open() as client:
        say(client.get(f"/stripe/{_one(client, live=live)}")["webhookUrl"])


@app.command("customers")
@connected
def customers(
    connection: Connection,
    live: LiveOption = False,
    map_: Annotated[
        bool, typer.Option("--map", help="Map each account for which Stripe knows exactly one customer by e-mail.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List accounts with their customers at Stripe, or those with the same e-mail address."""
    with connection.open() as client:
        path = f"/stripe/{_one(client, live=live)}/accounts"
        rows = list(client.every(path, suggest="true"))
        if map_:
            for each in rows:
                suggested = each.get("suggested", ())
                if "customerId" not in each and len(suggested) == 1:
                    each["customerId"] = suggested[0]["id"]
                    client.post(path, {"accountId": each["accountId"], "customerId": suggested[0]["id"]})
    if json:
        print_json(rows)
        return
    print_table(
        ("account", "name", "e-mail", "customer", "same e-mail"),
        [
            (
                each["code"],
                each["name"],
                each.get("email", ""),
                each.get("customerId", "–"),
                "" if "customerId" in each else ", ".join(one["id"] for one in each.get("suggested", ())),
            )
            for each in rows
        ],
    )


def _print(stands: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(stands)
        return
    key = "a key" if stands["hasKey"] else "no key"
    secret = "the webhook's secret" if stands["hasWebhookSecret"] else "no secret of the webhook"
    say(f"{stands['destination']} {stands['id']}: {key}, {secret}{'' if stands['enabled'] else ', disabled'}")
    say(f"webhook: {stands['webhookUrl']}")
    if "problem" in stands:
        say(f"problem: {stands['problem']}")


def _one(client: Client, *, live: bool) -> str:
    destination = "STRIPE" if live else "STRIPE_TEST"
    found = _integrations(client, destination)
    if not found:
        raise Failure(f"there is no integration {destination}: tallystick stripe connect makes one")
    return str(found[0]["id"])


def _integrations(client: Client, destination: str) -> list[dict[str, Any]]:
    return [each for each in client.every("/integrationconfigs") if each["destination"] == destination]


def _secret(file: Path | None) -> str | None:
    if file is None:
        return None
    text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text()
    return text.strip()


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Failure(f"--option {text}: must be NAME=VALUE, such as autoAdvance=true")
    return name, {"true": True, "false": False}.get(value, value)
