"""The address that people reach the server at: who says what it is, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from visitor import PASSWORD, Visitor, add_user

from tallystick.cli.launch import free_port, launched
from tallystick.console.entrance import require_same_origin
from tallystick.errors import Refusal
from tallystick.web.public import base_url
from tenant import new_tenant

PUBLIC = "https://billing.example"


@pytest.mark.parametrize(
    ("public_url", "headers", "address"),
    [
        ("", {}, "http://internal:8400"),
        ("", {"x-forwarded-proto": "https"}, "https://internal:8400"),
        ("", {"x-forwarded-proto": "HTTPS, http"}, "https://internal:8400"),
        ("", {"x-forwarded-proto": "javascript"}, "http://internal:8400"),
        ("", {"x-forwarded-proto": "https:x"}, "http://internal:8400"),
        (PUBLIC, {}, PUBLIC),
        (PUBLIC, {"host": "evil.example", "x-forwarded-proto": "http", "x-forwarded-host": "evil.example"}, PUBLIC),
    ],
)
def test_the_setting_comes_before_what_a_request_says(public_url: str, headers: dict[str, str], address: str) -> None:
    assert base_url(public_url, "http", {"host": "internal:8400", **headers}) == address


@pytest.mark.parametrize(
    ("public_url", "headers", "taken"),
    [
        (PUBLIC, {"origin": PUBLIC}, True),
        (PUBLIC, {"origin": "http://billing.example"}, False),  # written by whoever is on the way
        (PUBLIC, {"origin": "https://internal:8400"}, False),
        (PUBLIC, {"origin": "null"}, False),
        (PUBLIC, {"sec-fetch-site": "same-site"}, False),
        ("", {"origin": "http://internal:8400"}, True),
        ("", {"origin": PUBLIC}, False),
    ],
)
def test_forms_come_from_pages_of_that_address(public_url: str, headers: dict[str, str], taken: bool) -> None:
    told = ""
    try:
        require_same_origin({"host": "internal:8400", **headers}, public_url)
    except Refusal as refusal:
        told = refusal.code.name
    assert told == ("" if taken else "forbidden")


def test_links_and_cookies_of_a_server_with_a_public_address(tmp_path: Path) -> None:
    """Whatever name it is asked by: nobody is sent to another server with the right token."""
    with launched(tmp_path, free_port(), {"TALLYSTICK_PUBLIC_URL": PUBLIC}) as server:
        tenant = new_tenant(server)
        with tenant.http() as http:
            poisoned = {"host": "evil.example"}
            asked = {"email": "ann@company.example", "firstName": "Ann", "lastName": "Lee", "role": "ADMIN"}
            invited = http.post("/invitations", json=asked, headers=poisoned)
            assert f"{PUBLIC}/invitation/" in invited.text
            assert "evil.example" not in invited.text
        visitor = Visitor(server.url)
        visitor.http.follow_redirects = False
        fields = {"email": add_user(tenant)["email"], "password": PASSWORD}
        own = visitor.http.post("/sign-in", data=fields, headers={"origin": PUBLIC})
        assert own.headers["set-cookie"].startswith("__Host-tallystick-session=")
        assert visitor.http.post("/sign-in", data=fields, headers={"origin": server.url}).status_code == 403
