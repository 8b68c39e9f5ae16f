"""`tallystick user`: the people who sign in to the console."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tallystick.cli.connection import Connection, DataOption, OrganizationOption
from tallystick.cli.line import IN_PROCESS
from tallystick.cli.printing import JsonOption, print_json, remark, say
from tallystick.core import wire
from tallystick.core.user import Role
from tallystick.settings import read_settings

app = typer.Typer(help="The people who sign in to the console.", no_args_is_help=True)


@app.command("create")
def create(
    email: Annotated[str, typer.Argument(help="Address that the user signs in with.", metavar="EMAIL")],
    role: Annotated[Role, typer.Option(help="What the user may do.", case_sensitive=False)] = Role.ADMIN,
    name: Annotated[str, typer.Option(help="What the user is called.")] = "",
    organization: OrganizationOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Add a user and print a link by which it sets its password, once, within seven days.

    For an address that is a user already, another link: this is how a lost password is replaced.
    """
    with Connection(data=data, organization=organization).operator(within=True) as client:
        first, _, last = name.partition(" ")
        wanted = {"orgId": client.organization, "email": email, "role": role.value}
        body = wire.encode({**wanted, "firstName": first, "lastName": last})
        made = wire.decode(dict[str, Any], client.raw("POST", "/operator/users", body, again=False).content)
        runs = client.url != IN_PROCESS
        made["link"] = f"{client.url if runs else _address()}{made['link']}"
    if json:
        print_json(made)
        return
    say(made["link"])
    if not runs:
        remark("the link works once a server runs on this data directory, under the address that it listens on")


def _address() -> str:
    """Where a server on this machine listens, unless it is told otherwise."""
    settings = read_settings()
    return f"http://{settings.host}:{settings.port}"
