"""Users and invitations through the official client, which checks every answer against its types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from m3ter import BadRequestError, M3ter, NotFoundError
from visitor import PASSWORD, Visitor, add_user

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


def test_an_invitation_tells_whether_it_was_accepted(client: M3ter, organization: Tenant) -> None:
    ids = [invite(client, f"{name}@{organization.id[:8]}.example") for name in ("ann", "bo")]
    before = client.users.invitations.retrieve(ids[0])
    assert before.accepted is False
    assert before.dt_expiry is not None
    assert before.dt_created is not None
    assert before.dt_expiry - before.dt_created == timedelta(days=7)
    assert before.email == f"ann@{organization.id[:8]}.example"
    assert before.inviting_principal_id == client.users.me().service_user.id  # type: ignore[union-attr]  # it is one
    assert before.to_dict().get("link") is None, "the link is told once"
    link = add_user(organization, email=str(before.email), password=None)["link"]
    visitor = Visitor(organization.url)
    visitor.get(link)
    visitor.post(link, {"password": PASSWORD, "again": PASSWORD})
    assert {each.id: each.accepted for each in client.users.invitations.list(page_size=1)} == {
        ids[0]: True,
        ids[1]: False,
    }
    with pytest.raises(NotFoundError):
        client.users.invitations.retrieve(organization.id)


def test_who_asks_is_told_whatever_it_may_do(
    client: M3ter, http: httpx.Client, organization: Tenant, new_organization: Callable[[], Tenant]
) -> None:
    me = client.users.me()
    assert me.organization is not None
    assert me.service_user is not None
    assert me.user is None
    assert (me.organization.id, me.organization.org_id) == (organization.id, organization.id)
    assert me.service_user.name == "first service user"
    key = http.post("/serviceusers", json={"name": "Uploader", "scopes": ["measurements:upload"]}).json()
    uploader = Tenant(
        url=organization.url, data=organization.data, id=organization.id, key=key["apiKey"], secret=key["apiSecret"]
    )
    with uploader.http() as plain:
        told = plain.get("/users/me").json()
        assert (told["serviceUser"]["id"], told["serviceUser"]["scopes"]) == (key["id"], ["measurements:upload"])
        assert plain.get(f"{organization.url}/organizations/{new_organization().id}/users/me").status_code == 403


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
