"""A person with a browser that runs no scripts: follows redirects, keeps cookies, sends forms as browsers do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count

import httpx

from tallystick.cli.connection import Connection
from tallystick.core import wire
from tallystick.core.user import Role
from tenant import Tenant

PASSWORD = "correct horse battery"
FORM_TOKEN = re.compile(r'name="form-token" value="([0-9a-f]{64})"')
_numbers = count(1)

Fields = Mapping[str, str | Sequence[str]]


class Visitor:
    """One browser at one server."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(
            base_url=url, timeout=60, follow_redirects=True, headers={"accept": "text/html", "sec-fetch-site": "none"}
        )
        self.token = ""

    def get(self, path: str, status: int = 200) -> str:
        """The text of a page, once its status is the expected one."""
        reply = self.http.get(path)
        assert reply.status_code == status, f"{path}: {reply.status_code} {reply.text[-2000:]}"
        self._remember(reply.text)
        return reply.text

    def post(
        self, path: str, fields: Fields | None = None, status: int = 200, files: Mapping[str, bytes] | None = None
    ) -> str:
        """The text of the page that sending a form leads to. The form's token is that of the last page seen."""
        reply = self.send(path, fields, files)
        assert reply.status_code == status, f"{path}: {reply.status_code} {reply.text[-2000:]}"
        self._remember(reply.text)
        return reply.text

    def send(self, path: str, fields: Fields | None = None, files: Mapping[str, bytes] | None = None) -> httpx.Response:
        """The answer to a form, whatever it is; one with files is sent as browsers send those."""
        site = {"origin": str(self.http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        return self.http.post(path, data={"form-token": self.token, **(fields or {})}, files=files, headers=site)

    def sign_in(self, email: str, password: str = PASSWORD) -> str:
        """The page after the sign-in."""
        return self.post("/sign-in", {"email": email, "password": password})

    def _remember(self, text: str) -> None:
        found = FORM_TOKEN.search(text)
        self.token = found[1] if found else self.token


def add_user(
    tenant: Tenant, role: Role = Role.ADMIN, email: str = "", password: str | None = PASSWORD
) -> dict[str, str]:
    """A user of an organisation, made by the operator: its userId, email, role, and its link without a password."""
    wanted = {
        "orgId": tenant.id,
        "email": email or f"person{next(_numbers)}@company.example",
        "role": role,
        "firstName": "Jo",
        "lastName": role.capitalize(),
        "password": password,
    }
    with Connection(data=tenant.data).operator() as client:
        reply = client.raw("POST", "/operator/users", wire.encode(wanted), again=False)
    made: dict[str, str] = wire.decode(dict[str, str], reply.content)
    return made


def signed_in(tenant: Tenant, role: Role = Role.ADMIN) -> Visitor:
    """A new user of an organisation who has signed in: by the link, which is one hash of the password, not two."""
    visitor, link = Visitor(tenant.url), add_user(tenant, role, password=None)["link"]
    visitor.get(link)
    visitor.post(link, {"password": PASSWORD, "again": PASSWORD})
    return visitor
