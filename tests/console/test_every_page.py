"""What holds for every page, whoever wrote it: from the table of pages."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx
import pytest
from visitor import Visitor

from tallystick.cli.launch import Server
from tallystick.console.page import OpenPage, Page
from tallystick.console.site import OPEN_PAGES, PAGES
from tallystick.core.user import ALLOWED, Role
from tenant import Tenant

NOWHERE = "00000000-0000-4000-8000-000000000000"
GETS = [page for page in PAGES if page.method == "GET"]
POSTS = [page for page in PAGES if page.method == "POST"]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def address(page: Page | OpenPage) -> str:
    """The path with an id that nothing has."""
    return re.sub(r"\{\w+\}", NOWHERE, page.path)


def named(page: Page | OpenPage) -> str:
    return f"{page.method} {page.path}"


@pytest.fixture
def stranger(server: Server) -> Visitor:
    return Visitor(server.url)


def test_no_page_is_there_twice_or_in_the_way_of_the_api() -> None:
    names = [named(page) for page in (*PAGES, *OPEN_PAGES)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.match(r"\w+ /(organizations|oauth|operator|health|openapi)", name)]


@pytest.mark.parametrize("page", GETS, ids=named)
def test_each_page_for_each_role(people: Mapping[Role, Visitor], page: Page) -> None:
    """Shown to the roles that may, and only to them; with the headers that every page has."""
    for role, visitor in people.items():
        reply = visitor.http.get(address(page), follow_redirects=False)
        if page.may in ALLOWED[role]:
            assert reply.status_code in ({200, 303} if "{" not in page.path else {200, 303, 400, 404}), named(page)
        else:
            assert reply.status_code == 403, f"{named(page)} for {role}"
        assert reply.headers["content-security-policy"] == POLICY
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("page", POSTS, ids=named)
def test_no_form_is_taken_from_a_role_that_may_not(people: Mapping[Role, Visitor], page: Page) -> None:
    for role, visitor in people.items():
        if page.may not in ALLOWED[role]:
            visitor.get("/password")  # a short page with a form: its token
            assert visitor.send(address(page)).status_code == 403, f"{named(page)} for {role}"


@pytest.mark.parametrize("page", POSTS, ids=named)
def test_no_form_is_taken_without_its_token_or_from_elsewhere(people: Mapping[Role, Visitor], page: Page) -> None:
    visitor = people[Role.ADMIN]
    visitor.get("/password")
    right = {"form-token": visitor.token}
    for fields, headers in [
        ({}, {}),
        ({"form-token": "0" * 64}, {}),
        ({"form-token": people[Role.BILLING].token or "1" * 64}, {}),
        (right, {"origin": "https://elsewhere.example"}),
        (right, {"origin": "null"}),
        (right, {"sec-fetch-site": "cross-site"}),
        (right, {"sec-fetch-site": "same-site"}),
    ]:
        reply = visitor.http.post(address(page), data=fields, headers={"sec-fetch-site": "same-origin", **headers})
        assert reply.status_code == 403, f"{named(page)} with {fields} from {headers}"
    visitor.get("/password")  # still signed in


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_nobody_sees_a_page_without_signing_in(stranger: Visitor, page: Page) -> None:
    headers = {"origin": str(stranger.http.base_url).rstrip("/")}
    reply = stranger.http.request(page.method, address(page), headers=headers, follow_redirects=False)
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("page", GETS, ids=named)
def test_every_page_is_well_made(people: Mapping[Role, Visitor], page: Page) -> None:
    """A title, one heading, labelled inputs, captioned tables, and nothing that the policy forbids."""
    text = people[Role.ADMIN].http.get(address(page)).text
    if not text.startswith("<!doctype html>"):
        assert "{" in page.path or "." in page.path or "download" in page.path, f"{named(page)} is no page"
        return
    assert re.search(r"<title>\s*[^–\s].* – .+</title>", text), "a title"
    assert text.count("<h1") == 1, "one heading"
    assert not re.findall(r'(?i)<[^>]+\s(?:on\w+|style)\s*=\s*["\']', text), "nothing inline"
    assert not re.findall(r"(?i)<script(?![^>]*\ssrc=)|<style", text), "no inline script or style"
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', text), "nothing from elsewhere"
    labels = set(re.findall(r'<label\b[^>]*\bfor="([^"]+)"', text))
    inputs = re.findall(r"<(?:input|select|textarea)\b[^>]*>", text)
    for tag in inputs:
        found = re.search(r'\bid="([^"]+)"', tag)
        known = 'type="hidden"' in tag or "aria-label" in tag or (found is not None and found[1] in labels)
        assert known, f"{tag} has no label"
    assert text.count("<table") == text.count("<caption")
    forms = re.findall(r'<form method="post".*?</form>', text, re.DOTALL)
    assert [form[:120] for form in forms if 'name="form-token"' not in form] == []


def test_what_is_not_there(stranger: Visitor, server: Server) -> None:
    """A page to who asks for pages, the API's own answer to programs."""
    assert "There is no such page." in stranger.get("/nowhere", 404)
    assert "There is no such page." in stranger.http.post("/static/x").text
    assert httpx.get(f"{server.url}/nowhere").json()["code"] == "not_found"


def test_static_files_are_kept_for_ever(stranger: Visitor) -> None:
    text = stranger.get("/sign-in")
    for path in re.findall(r'"(/static/[^"]+)"', text):
        reply = stranger.http.get(path)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert stranger.http.get("/static/other.css").status_code == 404


def test_a_form_that_is_too_large_is_refused_by_a_page(stranger: Visitor) -> None:
    """Refused before it is read, and still told as people read it; programs get the API's answer."""
    large = {"email": "x" * 1_100_000}
    reply = stranger.http.post("/sign-in", data=large)
    assert reply.status_code == 413
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.headers["content-security-policy"] == POLICY
    assert "at most 1,048,576 bytes" in reply.text
    assert "Send a smaller body." in reply.text
    program = stranger.http.post("/sign-in", data=large, headers={"accept": "*/*"})
    assert (program.status_code, program.json()["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("zone", "day"), [("Pacific/Auckland", "0001-01-01"), ("America/Los_Angeles", "9999-12-31"), ("UTC", "\0")]
)
def test_odd_questions_are_no_failure_of_the_server(organization: Tenant, admin: Visitor, zone: str, day: str) -> None:
    """The ends of the calendar in zones east and west of Greenwich, and what is no text."""
    with organization.http() as http:
        before = http.get("/organizationconfig").json()
        assert http.put("/organizationconfig", json={**before, "timezone": zone}).status_code == 200
        made = http.post("/meters", json={"name": "m", "code": "m", "dataFields": [
            {"category": "MEASURE", "code": "n", "name": "n", "unit": "GB"}
        ], "derivedFields": []})  # fmt: skip
        assert made.status_code == 200
    names = ("from", "to", "date", "month", "nextToken", "uid", "meter", "account", "kind", "status")
    failed = [
        f"{page.path}?{name}={day}"
        for page in GETS
        if "{" not in page.path
        for name in names
        if admin.http.get(page.path, params={name: day}, follow_redirects=False).status_code >= 500
    ]
    assert failed == []
