"""Which server, which organisation, signed in how: the options that commands share, and what they lead to."""

from __future__ import annotations

import base64
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli import line
from tallystick.cli.address import running
from tallystick.cli.client import Client
from tallystick.cli.failure import Failure
from tallystick.core import wire
from tallystick.core.period import Instant

PANEL = "Connection"
ID_LENGTH = 36

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="TALLYSTICK_DATA",
        help="Data directory. Used through the server that runs on it, or opened here when none does.",
        rich_help_panel=PANEL,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="TALLYSTICK_URL", help="Address of a server.", rich_help_panel=PANEL),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="TALLYSTICK_API_KEY", help="Access key of a service user, with --url.", rich_help_panel=PANEL
    ),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret", envvar="TALLYSTICK_API_SECRET", help="Secret of that service user.", rich_help_panel=PANEL
    ),
]
OrganizationOption = Annotated[
    str | None,
    typer.Option(
        "--org",
        envvar="TALLYSTICK_ORG_ID",
        help="Organisation, by id or (with --data) by name. Not needed when there is only one.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What the shared options say; `open` and `operator` turn it into a client."""

    data: DataOption = None
    url: UrlOption = None
    key: KeyOption = None
    secret: SecretOption = None
    organization: OrganizationOption = None

    @contextmanager
    def open(self) -> Iterator[Client]:
        """A client bound to the organisation that is meant."""
        with self._connect() as client:
            client.organization = self._organization(client)
            yield client

    @contextmanager
    def operator(self, *, within: bool = False) -> Iterator[Client]:
        """A client with the operator's rights: it needs the data directory. `within`: bound to the organisation."""
        if self.data is None:
            raise Failure("name the data directory with --data: only who can read it is the operator")
        with self._connect(operator=True) as client:
            if within:
                client.organization = self._organization(client)
            yield client

    @contextmanager
    def _connect(self, *, operator: bool = False) -> Iterator[Client]:
        if self.url is not None and not operator:
            if self.key is None or self.secret is None:
                raise Failure("sign in with --key and --secret (or TALLYSTICK_API_KEY and TALLYSTICK_API_SECRET)")
            with line.over_network() as send:
                yield signed_in(send, self.url, self.key, self.secret)
            return
        if self.data is None:
            raise Failure("say which server: --data DIR for a data directory here, or --url, --key and --secret")
        directory = self.data.absolute()
        if not operator and not directory.is_dir():
            raise Failure(f"there is no data directory {directory}: `tallystick org create` makes one")
        with ExitStack() as opened:
            url = running(directory)
            send = opened.enter_context(line.over_network() if url is not None else line.in_process(directory))
            yield Client(send, url or line.IN_PROCESS, functools.partial(_operator_token, directory))

    def _organization(self, client: Client) -> str:
        wanted = self.organization
        if wanted is not None and (len(wanted) == ID_LENGTH or self.url is not None):
            return wanted
        if self.url is not None:
            raise Failure("name the organisation with --org (or TALLYSTICK_ORG_ID)")
        rows = organizations(client)
        found = [row for row in rows if wanted is None or row["name"] == wanted]
        if len(found) == 1:
            return str(found[0]["id"])
        if not rows:
            raise Failure("there is no organisation yet: `tallystick org create NAME` makes one")
        names = ", ".join(f"{row['name']} ({row['id']})" for row in rows[:5])
        raise Failure(
            f"name the organisation with --org: {'there are' if wanted is None else 'not found among'} {names}"
        )


def signed_in(send: line.Send, url: str, key: str, secret: str) -> Client:
    """A client that signs in as a service user."""
    return Client(send, url, functools.partial(_sign_in, key, secret))


def organizations(client: Client) -> list[dict[str, Any]]:
    """Every organisation of the server; needs the operator's rights."""
    rows: list[dict[str, Any]] = []
    path = "/operator/organizations"
    query = ""
    while True:
        page = wire.decode(dict[str, Any], client.raw("GET", path + query, again=True).content)
        rows += page["data"]
        if not page.get("nextToken"):
            return rows
        query = f"?nextToken={page['nextToken']}"


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command whose first parameter is a `Connection` the shared options in its place."""
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    shared = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for each, annotation in zip(fields(Connection), _annotations(), strict=True)
    ]

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        options = {each.name: given.pop(each.name) for each in fields(Connection)}
        return command(Connection(**options), **given)

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + shared
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": signature.return_annotation}
    del run.__wrapped__  # set by wraps; inspect would follow it past our signature
    return run


def _annotations() -> list[object]:
    return [DataOption, UrlOption, KeyOption, SecretOption, OrganizationOption]


def _sign_in(key: str, secret: str, client: Client) -> str:
    basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
    body = wire.encode({"grant_type": "client_credentials"})
    reply = client.raw("POST", "/oauth/token", body, again=True, authorization=f"Basic {basic}")
    return str(wire.decode(dict[str, Any], reply.content)["access_token"])


def _operator_token(directory: Path, _: Client) -> str:
    # Here, not above: signing is needed by the commands that open a data directory only.
    from tallystick.api.auth import operator_token
    from tallystick.stores.key_file import signing_key

    try:
        return operator_token(signing_key(directory), Instant.of(datetime.now(UTC)))
    except OSError as problem:
        raise Failure(f"cannot read the signing key in {directory}: {problem}") from None
