"""Users and invitations through the official client, which checks every answer against its types."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from m3ter import BadRequestError, M3ter

from tenant import Tenant


def invite(client: M3ter, email: str, **more: object) -> str:
    made = client.users.invitations.create(email=email, first_name="Ann", last_name="Lee", extra_body=more)
    assert made.accepted is False
    return made.id


def test_a_user_is_invited_read_and_ended(client: M3ter, organization: Tenant) -> None:
    email = f"ann@{organization.id[:8]}.example"
    id_ = invite(client, email.upper(), role="BILLING")
    (listed,) = client.users.list()
    read = client.users.retrieve(id_)
    assert (read.email, read.first_name, read.last_name, read.version) == (email, "Ann", "Lee", 1)
    assert read.organizations == [organization.id]
    assert listed == read
    ended = client.users.update(id_, dt_end_access="2025-01-01T00:00:00Z", version=1)
    assert ended.version == 2
    assert ended.dt_end_access is not None
    with pytest.raises(BadRequestError, match="version"):
        client.users.update(id_, version=1)
    with pytest.raises(BadRequestError, match="belongs to a user"):
        invite(client, email)


def test_the_link_of_an_invitation_leads_to_the_page(http: httpx.Client, organization: Tenant) -> None:
    wanted = {"email": f"bo@{organization.id[:8]}.example", "firstName": "Bo", "lastName": "Li"}
    link = http.post("/invitations", json=wanted).json()["link"]
    assert link.startswith(organization.url)
    assert wanted["email"] in httpx.get(link).text


@pytest.mark.parametrize("email", ["", "nobody", "a b@c.example", "x" * 300 + "@c.example"])
def test_what_is_no_address_is_refused(http: httpx.Client, email: str) -> None:
    reply = http.post("/invitations", json={"email": email, "firstName": "A", "lastName": "B"})
    assert (reply.status_code, reply.json()["field"]) == (400, "email")


def test_users_need_every_scope_and_stay_in_their_organization(
    http: httpx.Client, new_organization: Callable[[], Tenant]
) -> None:
    made = http.post("/invitations", json={"email": "eve@here.example", "firstName": "E", "lastName": "V"}).json()
    other = new_organization()
    with other.http() as elsewhere:
        assert elsewhere.get(f"/users/{made['id']}").status_code == 404
        taken = {"email": "eve@here.example", "firstName": "E", "lastName": "V"}
        assert elsewhere.post("/invitations", json=taken).json()["code"] == "code_in_use"
        key = elsewhere.post("/serviceusers", json={"name": "x", "scopes": ["config:update", "config:create"]}).json()
    limited = Tenant(url=other.url, data=other.data, id=other.id, key=key["apiKey"], secret=key["apiSecret"])
    with limited.http() as client:
        assert client.post("/invitations", json=taken).status_code == 403
        assert client.get("/users").status_code == 403
