"""`tallystick webhook`: addresses that events are sent to, how each attempt went, and sending again. Secrets are read
from files, so that no history of commands has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.client import Client
from tallystick.cli.connection import Connection, connected
from tallystick.cli.failure import Failure
from tallystick.cli.printing import JsonOption, print_json, print_table, say

PATH = "/integrationdestinations/webhooks"
KEPT = ("name", "url", "description", "active", "code", "version")  # of a webhook, what an update sends back

app = typer.Typer(help="Webhooks: addresses that events are sent to, and how that went.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(help="Code or id of a webhook.", metavar="WEBHOOK")]
Secret = Annotated[Path | None, typer.Option(help="File with a secret of your own; - is standard input.")]
ApiKey = Annotated[Path | None, typer.Option(help="File with what is sent along as X-Api-Key; - is standard input.")]


@app.command("list")
@connected
def list_(connection: Connection, json: JsonOption = False) -> None:
    """List webhooks."""
    with connection.open() as client:
        rows = list(client.every(PATH))
    if json:
        print_json(rows)
        return
    print_table(
        ("webhook", "code", "name", "address", "state"),
        [(row["id"], row.get("code", ""), row["name"], row["url"], _state(row)) for row in rows],
    )


@app.command("show")
@connected
def show(connection: Connection, webhook: Named) -> None:
    """Print a webhook as JSON, with the integrations that send to it."""
    with connection.open() as client:
        found = _found(client, webhook)
        print_json({**found, "integrations": _integrations(client, found["id"])})


@app.command("create")
@connected
def create(
    connection: Connection,
    name: Annotated[str, typer.Argument(help="Its name.")],
    address: Annotated[str, typer.Argument(help="Where events are sent: a public address that begins with https://.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Events it gets, such as 'billing.*'; again for more.", metavar="NAME")
    ] = None,
    code: Annotated[str | None, typer.Option(help="A code to name it by.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    secret_file: Secret = None,
    api_key_file: ApiKey = None,
    json: JsonOption = False,
) -> None:
    """Make a webhook. Without a secret one is made and printed this once."""
    credentials = _credentials(secret_file, api_key_file)
    body = {"name": name, "url": address, "description": description, "code": code, "credentials": credentials}
    with connection.open() as client:
        made = client.post(PATH, {key: value for key, value in body.items() if value is not None})
        if event:
            link = {"entityType": "Event", "destination": "WEBHOOK", "destinationId": made["id"], "name": name[:200]}
            try:
                client.post("/integrationconfigs", {**link, "configData": {"eventNames": event}})
            except Failure:  # half of it is worse than nothing: the webhook would get no events
                client.delete(f"{PATH}/{made['id']}")
                raise
    _say_made(made, f"the webhook {made['id']} is made", json=json)


@app.command("update")
@connected
def update(
    connection: Connection,
    webhook: Named,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    address: Annotated[str | None, typer.Option(help="Another address.")] = None,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    code: Annotated[str | None, typer.Option(help="Another code.")] = None,
    secret_file: Secret = None,
    api_key_file: ApiKey = None,
    no_api_key: Annotated[bool, typer.Option("--no-api-key", help="Send no X-Api-Key any more.")] = False,
) -> None:
    """Change a webhook; what is not given stays. A secret holds at once, alone: `rotate` lets both hold for a while."""
    if no_api_key and api_key_file is not None:
        raise Failure("--no-api-key: cannot stand beside --api-key-file")
    given = {"name": name, "url": address, "description": description, "code": code}
    credentials = _credentials(secret_file, api_key_file) | ({"apiKey": ""} if no_api_key else {})
    with connection.open() as client:
        there = _found(client, webhook)
        body = {key: there[key] for key in KEPT if key in there}
        body |= {key: value for key, value in given.items() if value is not None}
        client.put(f"{PATH}/{there['id']}", {**body, "credentials": credentials})
    say(f"the webhook {there['id']} is changed")


@app.command("delete")
@connected
def delete(
    connection: Connection,
    webhook: Named,
    with_integrations: Annotated[
        bool, typer.Option("--with-integrations", help="Delete the integrations that send to it, too.")
    ] = False,
) -> None:
    """Delete a webhook. While integrations send to it that is refused, unless they are deleted with it."""
    with connection.open() as client:
        found = _found(client, webhook)
        for each in _integrations(client, found["id"]) if with_integrations else ():
            client.delete(f"/integrationconfigs/{each['id']}")
        client.delete(f"{PATH}/{found['id']}")
    say(f"the webhook {found['id']} is deleted")


@app.command("activate")
@connected
def activate(connection: Connection, webhook: Named) -> None:
    """Switch a webhook on; what made the server switch it off is forgotten."""
    _switch(connection, webhook, on=True)


@app.command("deactivate")
@connected
def deactivate(connection: Connection, webhook: Named) -> None:
    """Switch a webhook off: nothing is sent there until it is switched on again."""
    _switch(connection, webhook, on=False)


@app.command("rotate")
@connected
def rotate(
    connection: Connection,
    webhook: Named,
    secret_file: Secret = None,
    overlap_hours: Annotated[int, typer.Option(help="For how many hours both secrets sign.")] = 24,
    json: JsonOption = False,
) -> None:
    """Give a webhook another secret. Without one it is made and printed this once."""
    body: dict[str, Any] = {"overlapHours": overlap_hours} | _credentials(secret_file, None)
    with connection.open() as client:
        made = client.post(f"{PATH}/{_found(client, webhook)['id']}/rotate", body)
    _say_made(made, f"the webhook {made['id']} has another secret", json=json)


@app.command("ping")
@connected
def ping(connection: Connection, webhook: Named) -> None:
    """Send a test event now. Exits with 1 when it does not arrive."""
    with connection.open() as client:
        told = client.post(f"{PATH}/{_found(client, webhook)['id']}/ping")
    if told["outcome"] != "DELIVERED":
        raise Failure(f"the test event did not arrive: {told.get('error', told['outcome'])}")
    say(f"the test event arrived: {told['statusCode']} after {told.get('milliseconds', 0)} ms")


@app.command("deliveries")
@connected
def deliveries(
    connection: Connection,
    webhook: Named,
    outcome: Annotated[str, typer.Option(help="Only DELIVERED, FAILED or NOT_SENT ones.")] = "",
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List the attempts to deliver to a webhook, the latest first."""
    with connection.open() as client:
        path = f"{PATH}/{_found(client, webhook)['id']}/deliveries"
        found = client.every(path, outcome=outcome.upper() or None)
        rows = [row for row, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(rows)
        return
    print_table(
        ("delivery", "when", "event", "attempt", "outcome", "status", "error"),
        [
            (
                row["id"],
                row["at"],
                row["eventName"],
                row.get("attempt", 1),
                row["outcome"],
                row.get("statusCode", ""),
                row.get("error", ""),
            )
            for row in rows
        ],
        right=("attempt",),
    )


@app.command("replay")
@connected
def replay(
    connection: Connection,
    webhook: Named,
    delivery: Annotated[str, typer.Argument(help="Id of a delivery, to send again only what it was of.")] = "",
    since: Annotated[
        str, typer.Option(help="All that happened since then, such as 2026-03-01T00:00:00Z.", metavar="MOMENT")
    ] = "",
    until: Annotated[str, typer.Option(help="And before then.", metavar="MOMENT")] = "",
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only what was not delivered.")] = False,
) -> None:
    """Deliver again: one, or all since a moment. Ids and bytes are the same as before."""
    if bool(delivery) == bool(since) or (delivery and (until or failed_only)):
        raise Failure("name a delivery, or say --since (with --until and --failed-only, if you like)")
    with connection.open() as client:
        path = f"{PATH}/{_found(client, webhook)['id']}"
        if delivery:
            done = client.post(f"{path}/deliveries/{delivery}/replay")
        else:
            span = {"since": since} | ({"until": until} if until else {})
            done = client.post(f"{path}/replay", {**span, "failedOnly": failed_only})
    say(f"{done['replayed']:,} are delivered again, {done['underWay']:,} are under way already")


def _switch(connection: Connection, webhook: str, *, on: bool) -> None:
    with connection.open() as client:
        id_ = _found(client, webhook)["id"]
        client.put(f"{PATH}/{id_}/active", active=on)
    say(f"the webhook {id_} is switched {'on' if on else 'off'}")


def _found(client: Client, named: str) -> dict[str, Any]:
    """The webhook with a code or an id."""
    row = next((row for row in client.every(PATH) if named in {row["id"], row.get("code")}), None)
    if row is None:
        raise Failure(f"there is no webhook with the code or id {named!r}: tallystick webhook list shows them")
    return row


def _integrations(client: Client, id_: str) -> list[dict[str, Any]]:
    return [each for each in client.every("/integrationconfigs") if each.get("destinationId") == id_]


def _state(row: dict[str, Any]) -> str:
    return "on" if row["active"] else ", ".join(each for each in ("off", row.get("disabled")) if each)


def _say_made(made: dict[str, Any], sentence: str, *, json: bool) -> None:
    secret = made["credentials"].get("secret")
    if json:
        print_json(made)
        return
    say(sentence)
    if secret:
        say(f"its secret, shown this once: {secret}")


def _credentials(secret: Path | None, api_key: Path | None) -> dict[str, str]:
    given = {"secret": _read(secret, "--secret-file"), "apiKey": _read(api_key, "--api-key-file")}
    return {name: text for name, text in given.items() if text is not None}


def _read(file: Path | None, option: str) -> str | None:
    if file is None:
        return None
    try:
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text()
    except (OSError, ValueError) as problem:
        raise Failure(f"{option} {file}: {getattr(problem, 'strerror', None) or problem}") from None
    if not text.strip():
        raise Failure(f"{option} {file}: is empty")
    return text.strip()
