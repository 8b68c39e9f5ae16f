"""An organisation on a running server, and the ways to speak to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
from m3ter import M3ter

from tallystick.cli.connection import Connection
from tallystick.cli.launch import Server
from tallystick.core import wire

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation on a running server, with the credentials of its first service user."""

    url: str
    data: Path
    id: str
    key: str
    secret: str

    def environment(self) -> dict[str, str]:
        """What the command line reads to speak to it."""
        return {
            "TALLYSTICK_URL": self.url,
            "TALLYSTICK_API_KEY": self.key,
            "TALLYSTICK_API_SECRET": self.secret,
            "TALLYSTICK_ORG_ID": self.id,
        }

    def sdk(self) -> M3ter:
        """The official client, unmodified, which checks every answer against its types."""
        return M3ter(
            api_key=self.key,
            api_secret=self.secret,
            org_id=self.id,
            base_url=self.url,
            max_retries=0,
            _strict_response_validation=True,
        )

    def http(self) -> httpx.Client:
        """A plain client, signed in; paths start below the organisation."""
        reply = httpx.post(
            f"{self.url}/oauth/token", auth=(self.key, self.secret), json={"grant_type": "client_credentials"}
        )
        bearer = {"authorization": f"Bearer {reply.json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url}/organizations/{self.id}", headers=bearer, timeout=60)


def new_tenant(server: Server, currency: str = "USD") -> Tenant:
    """A new organisation, created by the operator."""
    with Connection(data=server.directory).operator() as client:
        body = wire.encode({"name": f"Tenant {next(_numbers)}", "currency": currency})
        reply = client.raw("POST", "/operator/organizations", body, again=False)
    made = wire.decode(dict[str, str], reply.content)
    return Tenant(url=server.url, data=server.directory, id=made["orgId"], key=made["apiKey"], secret=made["apiSecret"])
