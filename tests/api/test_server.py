"""The server as clients meet it: signing in, finding the way, limits, many at once, and keeping secrets."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from m3ter import M3ter, PermissionDeniedError
from storefront import NOWHERE, read, refused, send

from tallystick.api import auth
from tallystick.api.auth import Grant, issue
from tallystick.api.routes import ROUTES
from tallystick.app import build
from tallystick.cli.address import answers
from tallystick.cli.connection import Connection, organizations
from tallystick.cli.launch import Server, free_port
from tallystick.control.service_users import SCOPES
from tallystick.core.period import Instant
from tallystick.ports import Actor
from tallystick.settings import Settings
from tallystick.stores.key_file import signing_key
from tenant import Tenant

GRANT = {"grant_type": "client_credentials"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def outside(server: Server) -> Iterator[httpx.Client]:
    """A client that has not signed in; paths start at the server."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def sign_in(outside: httpx.Client, key: str, secret: str, **how: Any) -> httpx.Response:
    return outside.post("/oauth/token", auth=(key, secret), **(how or {"json": GRANT}))


def products(outside: httpx.Client, organization_id: str, token: str) -> httpx.Response:
    return outside.get(f"/organizations/{organization_id}/products", headers={"authorization": f"Bearer {token}"})


# ------------------------------------------------------------------------------------------------- signing in


@pytest.mark.parametrize(
    "how",
    [
        {"json": GRANT},
        {"data": GRANT},
        {
            "content": "grant_type=client_credentials",
            "headers": {"content-type": FORM["content-type"] + "; charset=utf-8"},
        },
        {"json": {**GRANT, "scope": "anything"}},
        {"content": b'{"grant_type":"client_credentials"}'},  # no content type: JSON
    ],
)
def test_a_token_is_given_for_a_json_or_a_form_body(
    outside: httpx.Client, organization: Tenant, how: dict[str, Any]
) -> None:
    reply = read(sign_in(outside, organization.key, organization.secret, **how))
    assert reply["token_type"] == "Bearer"
    assert reply["expires_in"] == 18_000
    assert read(products(outside, organization.id, reply["access_token"])) == {"data": []}


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"", {}, "body: not readable as JSON"),
        (b"{}", {}, "grant_type: "),
        (b"[]", {}, "body: Expected `object`"),
        (b'{"grant_type":"password"}', {}, "grant_type: must be client_credentials"),
        (b'{"grant_type":5}', {}, "grant_type: "),
        (b"", FORM, "grant_type: "),
        (b"grant_type=%ff", FORM, "grant_type: "),
        (b"\xff\x00=&&&", FORM, "grant_type: "),
        (b"grant_type", FORM, "grant_type: "),
    ],
)
def test_what_asks_for_a_token_in_another_way_is_told_how(
    outside: httpx.Client, organization: Tenant, body: bytes, headers: dict[str, str], said: str
) -> None:
    reply = refused(sign_in(outside, organization.key, organization.secret, content=body, headers=headers))
    assert reply["message"].startswith(said)


def test_a_wrong_secret_is_refused(outside: httpx.Client, organization: Tenant) -> None:
    for key, secret in ((organization.key, "wrong"), (NOWHERE, organization.secret)):
        reply = refused(sign_in(outside, key, secret), 403)
        assert reply["message"] == "Authorization: unknown access key or wrong secret"


def test_the_official_client_says_permission_denied(organization: Tenant) -> None:
    wrong = M3ter(api_key=organization.key, api_secret="wrong", org_id=organization.id, base_url=organization.url)
    with pytest.raises(Exception, match=r"unknown access key or wrong secret|401|403"):
        wrong.products.list()


def test_a_token_of_one_organisation_opens_no_other(
    outside: httpx.Client, new_organization: Callable[[], Tenant]
) -> None:
    ours, theirs = new_organization(), new_organization()
    token = read(sign_in(outside, ours.key, ours.secret))["access_token"]
    for organization_id in (theirs.id, NOWHERE, "x", "%00", "%ff", "*", ours.id.upper()):
        reply = refused(products(outside, organization_id, token), 403)
        assert "gives no access to the organization" in reply["message"]
    reply = refused(
        outside.post(
            f"/organizations/{theirs.id}/measurements",
            headers={"authorization": f"Bearer {token}"},
            content=b'{"measurements":[]}',
        ),
        403,
    )
    assert "gives no access to the organization" in reply["message"]


def test_an_expired_token_is_refused(server: Server, outside: httpx.Client, http: httpx.Client) -> None:
    organization_id = str(http.base_url).rstrip("/").rpartition("/")[2]
    user = read(http.get("/serviceusers"))["data"][0]["id"]
    grant = Grant(Actor(user, "SERVICE_USER", ("all",)), organization_id)
    key = signing_key(server.directory)
    long_ago = Instant.parse("2025-01-01T00:00:00Z")
    fresh = issue(key, grant, long_ago, 10**9)
    assert products(outside, organization_id, fresh).status_code == 200
    reply = refused(products(outside, organization_id, issue(key, grant, long_ago, 18_000)), 403)
    assert reply["message"] == "Authorization: this token has expired"


def test_a_revoked_service_user_is_out_within_a_second(outside: httpx.Client, organization: Tenant) -> None:
    with organization.http() as owner:
        user = read(send(owner, "POST", "/serviceusers", {"name": "guest", "scopes": ["config:retrieve"]}))
        token = read(sign_in(outside, user["apiKey"], user["apiSecret"]))["access_token"]
        assert products(outside, organization.id, token).status_code == 200
        revoked = read(owner.delete(f"/serviceusers/{user['id']}"))
        assert "apiSecret" not in revoked
        time.sleep(1.05)
        assert "was revoked" in refused(products(outside, organization.id, token), 403)["message"]
        refused(sign_in(outside, user["apiKey"], user["apiSecret"]), 403)
        assert products(outside, organization.id, owner.headers["authorization"][7:]).status_code == 200


def test_a_service_user_may_do_what_its_scopes_say_and_nothing_else(
    outside: httpx.Client, organization: Tenant
) -> None:
    """Every route is tried by a user who has every scope but the route's, and is refused before anything is read."""
    scopes = sorted({route.scope for route in ROUTES} & set(SCOPES) | {"measurements:upload"})
    tokens = {}
    with organization.http() as owner:
        for scope in scopes:
            others = [each for each in scopes if each not in {scope, "all"}]
            user = read(send(owner, "POST", "/serviceusers", {"name": scope, "scopes": others}))
            tokens[scope] = read(sign_in(outside, user["apiKey"], user["apiSecret"]))["access_token"]
    # An event source signs in by its secret: without it nobody is told whether there is one.
    routes = [each for each in ROUTES if not each.signed and each.path != "/eventsources/{id}/receive"]
    tried = [(route.method, route.path, route.scope) for route in routes if route.scope in SCOPES]
    for method, path, scope in [*tried, ("POST", "/measurements", "measurements:upload")]:
        where = f"/organizations/{organization.id}{path}".replace("{", "").replace("}", "")
        reply = outside.request(method, where, headers={"authorization": f"Bearer {tokens[scope]}"}, content=b"{")
        # Senders of events get the form of answer that each understands.
        said = reply.text if path.startswith("/receive/") else refused(reply, 403)["message"]
        assert (reply.status_code, f"needs the scope {scope}" in said) == (403, True), (method, path, said)


def test_an_uploader_cannot_read_the_configuration(outside: httpx.Client, organization: Tenant) -> None:
    with organization.http() as owner:
        user = read(send(owner, "POST", "/serviceusers", {"name": "probe", "scopes": ["measurements:upload"]}))
    with M3ter(
        api_key=user["apiKey"], api_secret=user["apiSecret"], org_id=organization.id, base_url=organization.url
    ) as probe:
        with pytest.raises(PermissionDeniedError, match="needs the scope config:retrieve"):
            probe.products.list()
        assert probe.usage.submit(measurements=[MEASUREMENT]).result == "accepted"


MEASUREMENT: Any = {"uid": "one", "meter": "none", "account": "none", "ts": "2025-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer é", "Token x", "Basic eDp5", "Bearer " + "a" * 5000]
)
def test_a_malformed_authorization_is_refused_everywhere(
    outside: httpx.Client, organization: Tenant, header: str
) -> None:
    headers = [(b"authorization", header.encode("latin-1"))]
    for method, path in (
        ("GET", f"/organizations/{organization.id}/products"),
        ("POST", f"/organizations/{organization.id}/measurements"),
        ("GET", "/operator/organizations"),
        ("POST", "/operator/organizations"),
    ):
        reply = outside.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
        assert refused(reply, 403)["message"].startswith("Authorization: ")


# --------------------------------------------------------------------------------------------------- operator


def test_the_operators_desk_is_closed_to_service_users(outside: httpx.Client, organization: Tenant) -> None:
    token = read(sign_in(outside, organization.key, organization.secret))["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    for method in ("GET", "POST"):
        reply = outside.request(method, "/operator/organizations", headers=headers, content=b'{"name":"Mine"}')
        assert refused(reply, 403)["message"] == "Authorization: this needs the operator's token"


def test_the_operator_lists_and_creates_organisations(server: Server, outside: httpx.Client) -> None:
    with Connection(data=server.directory).operator() as operator:
        made = operator.raw("POST", "/operator/organizations", b'{"name":" Spaced ","currency":"EUR"}', again=False)
        made_id = read(made)["orgId"]
        rows = read(operator.raw("GET", "/operator/organizations", b"", again=False))["data"]
        assert [row["name"] for row in rows if row["id"] == made_id] == ["Spaced"]
    config = products(
        outside, made_id, read(sign_in(outside, read(made)["apiKey"], read(made)["apiSecret"]))["access_token"]
    )
    assert config.status_code == 200


def operator_headers(server: Server) -> dict[str, str]:
    return {"authorization": f"Bearer {auth.operator_token(signing_key(server.directory), now())}"}


def organisations(server: Server) -> list[str]:
    with Connection(data=server.directory).operator() as operator:
        return [row["id"] for row in organizations(operator)]


def test_the_list_of_organisations_comes_in_pages_newest_first(
    server: Server, outside: httpx.Client, new_organization: Callable[[], Tenant]
) -> None:
    made = [new_organization().id for _ in range(3)]
    every = organisations(server)
    assert every[:3] == made[::-1]
    seen: list[str] = []
    token = ""
    while True:
        query = f"?pageSize=2&nextToken={token}"
        page = read(outside.get("/operator/organizations" + query, headers=operator_headers(server)))
        seen += [row["id"] for row in page["data"]]
        token = page.get("nextToken", "")
        if not token:
            break
    assert seen == every
    garbage = outside.get("/operator/organizations?nextToken=x", headers=operator_headers(server))
    assert refused(garbage)["field"] == "nextToken"


def now() -> Instant:
    return Instant.of(datetime.now(UTC))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "name: "),
        (b'{"name":""}', "name: "),
        (b'{"name":"   "}', "name: "),
        (b'{"name":"a\\u0000"}', "name: "),
        (b'{"name":"' + b"x" * 201 + b'"}', "name: "),
        (b'{"name":"a","currency":""}', "currency: "),
        (b'{"name":"a","currency":"EU"}', "currency: "),
        (b'{"name":"a","currency":"eur"}', "currency: "),
        (b'{"name":"a","currency":"\\u0000\\u0000\\u0000"}', "currency: "),
        (b'{"name":null}', "name: "),
    ],
)
def test_a_new_organisation_has_a_name_and_a_currency(
    server: Server, outside: httpx.Client, body: bytes, said: str
) -> None:
    before = organisations(server)
    reply = refused(outside.post("/operator/organizations", headers=operator_headers(server), content=body))
    assert reply["message"].startswith(said)
    assert organisations(server) == before, "a refused organisation leaves nothing behind"


@pytest.mark.parametrize("organization_id", ["nope", NOWHERE, "%00", "%ff", "..%2f", "' OR 1=1"])
def test_even_the_operator_finds_no_organisation_that_does_not_exist(
    server: Server, outside: httpx.Client, organization_id: str
) -> None:
    member = b'{"measurements":[{"uid":"a","meter":"m","account":"a","ts":"2025-01-01T00:00:00Z"}]}'
    for method, path in (("GET", "products"), ("POST", "measurements")):
        reply = outside.request(
            method, f"/organizations/{organization_id}/{path}", headers=operator_headers(server), content=member
        )
        assert reply.status_code in {403, 404}, reply.text
        refused(reply, reply.status_code)


# ---------------------------------------------------------------------------------------------------- secrets


def test_a_secret_is_told_once_and_written_nowhere(server: Server, outside: httpx.Client, organization: Tenant) -> None:
    """Not in the records, the journal, the usage store or the log; nor is a token that was given."""
    with organization.http() as owner:
        user = read(send(owner, "POST", "/serviceusers", {"name": "another", "scopes": ["all"]}))
        shown = [owner.get("/serviceusers").text, owner.get(f"/serviceusers/{user['id']}").text]
    assert not any("apiSecret" in text or user["apiSecret"] in text for text in shown)
    token = read(sign_in(outside, user["apiKey"], user["apiSecret"]))["access_token"]
    refused(sign_in(outside, user["apiKey"], user["apiSecret"] + "x"), 403)
    refused(products(outside, NOWHERE, token), 403)
    secrets = [
        text.encode()
        for secret in (user["apiSecret"], organization.secret)
        for text in (secret, base64.b64encode(f"{user['apiKey']}:{secret}".encode()).decode())
    ]
    secrets += [token.encode(), signing_key(server.directory)]
    found = [
        str(path)
        for path in server.directory.rglob("*")
        if path.is_file() and not is_the_key(path, server) and any(secret in path.read_bytes() for secret in secrets)
    ]
    assert found == []
    assert user["apiKey"].encode() in (server.directory / "records.sqlite").read_bytes() + wal(server)


def is_the_key(path: Path, server: Server) -> bool:
    """The file of the signing key is the one place where it may stand, readable by its owner alone."""
    if path.read_bytes() != signing_key(server.directory):
        return False
    assert path.stat().st_mode & 0o077 == 0
    return True


def test_a_new_data_directory_is_its_owners(tmp_path: Path) -> None:
    """What is in it is everybody's usage, bills and hashes of passwords."""
    build(Settings(data=str(tmp_path / "new"))).close()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def wal(server: Server) -> bytes:
    path = server.directory / "records.sqlite-wal"
    return path.read_bytes() if path.exists() else b""


# ---------------------------------------------------------------------------------------------------- routing


@pytest.mark.parametrize("path", ["/products", "/products/", "//products", "/products//", "///products///"])
def test_repeated_and_trailing_slashes_are_folded(outside: httpx.Client, organization: Tenant, path: str) -> None:
    token = read(sign_in(outside, organization.key, organization.secret))["access_token"]
    url = f"{organization.url}/organizations/{organization.id}{path}"
    assert read(outside.get(url, headers={"authorization": f"Bearer {token}"})) == {"data": []}


@pytest.mark.parametrize("path", ["/measurements", "//measurements", "/measurements/"])
def test_measurements_arrive_with_one_slash_or_two(http: httpx.Client, organization: Tenant, path: str) -> None:
    url = f"{organization.url}/organizations/{organization.id}{path}"
    reply = read(http.post(url, json={"measurements": [{**MEASUREMENT, "uid": path}]}))
    assert reply["result"] == "accepted"


@pytest.mark.parametrize("path", ["/nothing", "/organizations", "/organizations/", "/oauth", "/health/x", "/%00"])
def test_an_unknown_path_is_404_with_a_message(outside: httpx.Client, path: str) -> None:
    reply = outside.get(path)
    if path == "/" and reply.status_code == 200:  # the console answers here once there is one
        return
    assert refused(reply, 404)["code"] == "not_found"


@pytest.mark.parametrize("path", ["/nothing", "/products/a/b", "/products/..%2f..%2fx", "/bills/a/lineitems/b/c"])
def test_an_unknown_path_of_an_organisation_is_404_with_a_message(http: httpx.Client, path: str) -> None:
    assert refused(http.get(path), 404)["message"] == "path: there is nothing here"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/products", {"GET", "POST"}),
        ("DELETE", "/products", {"GET", "POST"}),
        ("POST", f"/products/{NOWHERE}", {"GET", "PUT", "DELETE"}),
        ("GET", "/usage/query", {"POST"}),
        ("GET", "/bills/approve", {"POST"}),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    http: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    reply = http.request(method, path)
    assert refused(reply, 405)["code"] == "invalid_request"
    assert allowed <= set(reply.headers["allow"].split(", "))


# ----------------------------------------------------------------------------------------------------- limits


def test_a_body_beyond_the_limit_is_413(http: httpx.Client) -> None:
    assert refused(http.post("/products", content=b" " * 1_048_577), 413)["code"] == "request_too_large"
    reply = http.post("/products", content=b'{"name":"n","code":"big"' + b" " * 1_000_000 + b"}")
    assert reply.status_code == 200


def test_a_body_of_no_declared_length_is_counted_too(http: httpx.Client) -> None:
    chunks = (b" " * 100_000 for _ in range(20))
    assert refused(http.post("/products", content=chunks), 413)["code"] == "request_too_large"


@pytest.mark.parametrize("size", [512_001, 1_000_000, 5_000_000])
def test_measurements_beyond_512000_bytes_are_403(http: httpx.Client, size: int) -> None:
    reply = refused(http.post("/measurements", content=b" " * size), 403)
    assert reply["code"] == "payload_too_large"
    assert "512,000 bytes" in reply["message"]


def test_lists_have_pages_that_can_be_walked(http: httpx.Client) -> None:
    for number in range(7):
        read(send(http, "POST", "/products", {"name": f"Product {number}", "code": f"p{number}"}))
    seen, token = [], None
    while True:
        page = read(http.get("/products", params={"pageSize": 3, **({"nextToken": token} if token else {})}))
        seen += [row["code"] for row in page["data"]]
        assert len(page["data"]) <= 3
        token = page.get("nextToken")
        if token is None:
            break
    assert seen == [f"p{number}" for number in reversed(range(7))]
    ids = [row["id"] for row in read(http.get("/products"))["data"]]
    wanted = read(http.get("/products", params={"ids": f"{ids[0]},{ids[3]},{NOWHERE}"}))["data"]
    assert {row["id"] for row in wanted} == {ids[0], ids[3]}
    twice = read(http.get(f"/products?ids={ids[0]}&ids={ids[1]}"))["data"]
    assert {row["id"] for row in twice} == {ids[0], ids[1]}


# ------------------------------------------------------------------------------------------------ many at once


def test_two_hundred_requests_at_once_are_all_answered(organization: Tenant) -> None:
    """Creates, reads and sign-ins together: each gets its own answer, and no code is given twice."""
    with organization.http() as http:
        limits = httpx.Limits(max_connections=200)
        with httpx.Client(base_url=organization.url, timeout=60, limits=limits) as crowd:
            prefix, headers = f"/organizations/{organization.id}", dict(http.headers)

            def one(number: int) -> int:
                match number % 4:
                    case 0:
                        body = {"name": "Same code", "code": f"code{number % 20}"}
                        return crowd.post(f"{prefix}/products", headers=headers, json=body).status_code
                    case 1:
                        return crowd.get(f"{prefix}/products", headers=headers).status_code
                    case 2:
                        member = {**MEASUREMENT, "uid": f"crowd {number}"}
                        body = {"measurements": [member]}
                        return crowd.post(f"{prefix}/measurements", headers=headers, json=body).status_code
                    case _:
                        return sign_in(crowd, organization.key, organization.secret).status_code

            with ThreadPoolExecutor(50) as pool:
                statuses = list(pool.map(one, range(200)))
        made = [status for number, status in enumerate(statuses) if number % 4 == 0]
        assert sorted(made) == [200] * 5 + [400] * 45, "five different codes, one product each"
        assert {status for number, status in enumerate(statuses) if number % 4} == {200}
        assert len(read(http.get("/products"))["data"]) == 5


def test_updates_of_one_entity_at_once_happen_one_after_the_other(http: httpx.Client) -> None:
    """Twenty writers that all read version 1: one wins, the others are told; without a version all are kept in turn."""
    made = read(send(http, "POST", "/products", {"name": "n", "code": "c"}))
    path = f"/products/{made['id']}"

    def update(body: dict[str, object]) -> int:
        return send(http, "PUT", path, body).status_code

    with ThreadPoolExecutor(20) as pool:
        raced = list(pool.map(update, [{"name": f"n{n}", "code": "c", "version": 1} for n in range(20)]))
        assert sorted(raced) == [200] + [400] * 19
        assert set(pool.map(update, [{"name": f"m{n}", "code": "c"} for n in range(20)])) == {200}
    assert read(http.get(path))["version"] == 22


def test_health_says_ready(outside: httpx.Client) -> None:
    assert read(outside.get("/health"))["status"] == "ready"


# ------------------------------------------------------------------------------------------------- being killed


def test_server_whose_main_process_is_killed_is_gone_and_can_be_started_again(tmp_path: Path) -> None:
    first = Server(tmp_path, free_port(), {})
    try:
        first.wait_until_ready()
        first.process.kill()
        first.process.wait()
        second = Server(tmp_path, free_port(), {})
        try:
            second.wait_until_ready()
            assert not answers(first.url)
        finally:
            second.stop()
    finally:
        first.kill()
