"""Stories of people who come in: by a link, by a password, not at all; and how sessions end."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from visitor import PASSWORD, Visitor, add_user, signed_in

from tallystick.control.attempts import MOST_PER_ADDRESS, MOST_PER_EMAIL, SECONDS, Attempts
from tallystick.core.period import Instant
from tallystick.core.user import ALLOWED, May, Role, User, address
from tallystick.errors import Refusal
from tenant import Tenant

NOON = Instant.parse("2025-03-01T12:00:00Z")


def test_a_link_sets_a_password_once(organization: Tenant) -> None:
    link = add_user(organization, email="Jo@Company.example", password=None)["link"]
    visitor = Visitor(organization.url)
    assert "jo@company.example" in visitor.get(link)
    assert "must have 10 to 256" in visitor.post(link, {"password": "short", "again": "short"}, 422)
    assert "not the same" in visitor.post(link, {"password": PASSWORD, "again": PASSWORD + "!"}, 422)
    assert "Your password is set" in visitor.post(link, {"password": PASSWORD, "again": PASSWORD})
    assert "Your password is set" not in visitor.get("/"), "a notice is shown once"
    assert "used already" in Visitor(organization.url).get(link, 403)
    assert "Home" in Visitor(organization.url).sign_in("jo@company.example")


def test_another_link_replaces_the_one_before_and_leaves_the_password(organization: Tenant) -> None:
    email = add_user(organization)["email"]
    first, second = (add_user(organization, email=email, password=None)["link"] for _ in range(2))
    Visitor(organization.url).get(first, 403)
    Visitor(organization.url).get(second)
    assert "<h1>Home" in Visitor(organization.url).sign_in(email)


@pytest.mark.parametrize("password", ["", "wrong password", PASSWORD.upper(), PASSWORD + " "])
def test_a_wrong_password_is_told_as_an_unknown_address_is(organization: Tenant, password: str) -> None:
    email = add_user(organization)["email"]
    visitor = Visitor(organization.url)
    wrong = visitor.post("/sign-in", {"email": email, "password": password}, 422)
    unknown = visitor.post("/sign-in", {"email": "nobody@company.example", "password": password}, 422)
    assert "unknown address or wrong password" in wrong
    assert wrong.replace(email, "") == unknown.replace("nobody@company.example", "")
    assert not visitor.http.cookies


def test_the_sign_in_leads_back_to_the_page_that_was_asked_for(organization: Tenant) -> None:
    email = add_user(organization)["email"]
    visitor = Visitor(organization.url)
    page = visitor.get("/password?a=b")
    action = re.search(r'action="(/sign-in[^"]*)"', page)
    assert action is not None
    assert "<h1>Change password" in visitor.post(action[1], {"email": email, "password": PASSWORD})


@pytest.mark.parametrize("path", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "x"])
def test_the_sign_in_leads_nowhere_else(organization: Tenant, path: str) -> None:
    visitor = Visitor(organization.url)
    visitor.http.follow_redirects = False
    fields = {"email": add_user(organization)["email"], "password": PASSWORD}
    reply = visitor.http.post("/sign-in", params={"next": path}, data=fields)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/explorer?uid=%E2%82%AC&by=DAY", "/explorer?uid=%E2%82%AC&by=DAY"),
        ("/\N{GRINNING FACE}", "/%F0%9F%98%80"),  # no header can hold it as it is
        ('/\xff "<', "/%C3%BF%20%22%3C"),
        ("/\u2028", "/"),
        ("/\tx", "/"),
    ],
)
def test_the_sign_in_leads_to_a_well_formed_address(organization: Tenant, path: str, location: str) -> None:
    visitor = Visitor(organization.url)
    visitor.http.follow_redirects = False
    fields = {"email": add_user(organization)["email"], "password": PASSWORD}
    reply = visitor.http.post("/sign-in", params={"next": path}, data=fields)
    assert (reply.status_code, reply.headers["location"]) == (303, location)


def test_the_cookie_of_a_session(organization: Tenant) -> None:
    """Out of reach of scripts and of other sites; over TLS bound to the host."""
    fields = {"email": add_user(organization)["email"], "password": PASSWORD}
    visitor = Visitor(organization.url)
    visitor.http.follow_redirects = False
    plain = visitor.http.post("/sign-in", data=fields).headers["set-cookie"].lower()
    secure = visitor.http.post("/sign-in", data=fields, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert re.match(r"tallystick-session=[\w-]{43};", plain)
    assert "httponly" in plain
    assert "samesite=lax" in plain
    assert "secure" not in plain
    assert re.match(r"__Host-tallystick-session=[\w-]{43};", secure)
    assert "secure" in secure.lower()
    assert "domain" not in secure.lower()
    assert "path=/" in secure.lower()


def test_signing_out_ends_the_session_and_no_other(organization: Tenant) -> None:
    email = add_user(organization)["email"]
    here, there = Visitor(organization.url), Visitor(organization.url)
    here.sign_in(email)
    there.sign_in(email)
    kept = dict(here.http.cookies)
    assert "You are signed out" in here.post("/sign-out")
    here.http.cookies.update(kept)
    assert "<h1>Sign in" in here.get("/"), "the old cookie is worth nothing"
    assert "<h1>Home" in there.get("/")


def test_a_new_password_ends_every_other_session(organization: Tenant) -> None:
    email = add_user(organization)["email"]
    here, there = Visitor(organization.url), Visitor(organization.url)
    here.sign_in(email)
    there.sign_in(email)
    new = {"password": "a new long one", "again": "a new long one"}
    assert "is not the present password" in here.post("/password", {"oldPassword": "wrong", **new}, 422)
    before = dict(here.http.cookies)
    assert "Your password is changed" in here.post("/password", {"oldPassword": PASSWORD, **new})
    assert dict(here.http.cookies) != before, "also the own session is a new one"
    assert "<h1>Sign in" in there.get("/")
    there.post("/sign-in", {"email": email, "password": PASSWORD}, 422)
    there.sign_in(email, "a new long one")


def test_too_many_attempts_are_refused_for_a_while() -> None:
    attempts = Attempts()
    for _ in range(MOST_PER_EMAIL):
        attempts.require_room("jo@a.example", "10.0.0.1", NOON)
        attempts.failed("jo@a.example", "10.0.0.1", NOON)
    with pytest.raises(Refusal, match="too many attempts"):
        attempts.require_room("jo@a.example", "10.0.0.2", NOON)
    attempts.require_room("ann@a.example", "10.0.0.1", NOON)
    attempts.require_room("jo@a.example", "10.0.0.1", Instant.of(NOON + timedelta(seconds=SECONDS)))
    for number in range(MOST_PER_ADDRESS - MOST_PER_EMAIL):
        attempts.failed(f"{number}@a.example", "10.0.0.1", NOON)
    with pytest.raises(Refusal, match="too many attempts"):
        attempts.require_room("ann@a.example", "10.0.0.1", NOON)


def test_what_is_remembered_of_attempts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long what was typed is, and however many names: and such a flood lets nobody try anew."""
    monkeypatch.setattr("tallystick.control.attempts.MOST_KEYS", 100)
    attempts = Attempts()
    for _ in range(MOST_PER_EMAIL):
        attempts.failed("jo@a.example", "10.0.0.1", NOON)
    for number in range(500):
        attempts.failed(f"{number}@" + "x" * 1_000 * (number < 10), f"10.1.{number // 250}.{number % 250}", NOON)
    assert len(attempts._failed) <= 101
    assert max(map(len, attempts._failed)) < 300
    with pytest.raises(Refusal, match="too many attempts"):
        attempts.require_room("jo@a.example", "10.0.0.2", NOON)


@pytest.mark.parametrize(
    ("addresses", "one"),
    [
        (("2001:db8::1", "2001:db8::ffff:1"), True),  # of one network, as every customer of a provider has
        (("2001:db8::1", "2001:db8:0:1::1"), False),
        (("::ffff:10.0.0.1", "10.0.0.1"), True),
        (("10.0.0.1", "10.0.0.2"), False),
    ],
)
def test_which_machines_are_counted_as_one(addresses: tuple[str, str], one: bool) -> None:
    attempts = Attempts()
    for number in range(MOST_PER_ADDRESS):
        attempts.failed(f"{number}@a.example", addresses[0], NOON)
    told = False
    try:
        attempts.require_room("jo@a.example", addresses[1], NOON)
    except Refusal:
        told = True
    assert told is one


def test_a_person_who_tries_too_often_is_told_to_wait(organization: Tenant) -> None:
    email = add_user(organization)["email"]
    visitor = Visitor(organization.url)
    for _ in range(MOST_PER_EMAIL):
        visitor.post("/sign-in", {"email": email, "password": "x"}, 422)
    assert "too many attempts" in visitor.post("/sign-in", {"email": email, "password": PASSWORD}, 422)


def test_what_each_role_may_do() -> None:
    assert {role: [may for may in May if may in ALLOWED[role]] for role in Role} == {
        Role.ADMIN: [May.SEE, May.MEND, May.CONFIGURE, May.BILL, May.ADMINISTER],
        Role.BILLING: [May.SEE, May.MEND, May.CONFIGURE, May.BILL],
        Role.SUPPORT: [May.SEE, May.MEND],
        Role.READ_ONLY: [May.SEE],
    }


@pytest.mark.parametrize("text", ["", "jo", "@a.example", "jo@", "jo @a.example", "j\n@a.example", "j" * 252 + "@a.b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        address(text)


def test_an_address_is_kept_in_one_form() -> None:
    assert address("  Jo.Doe@Company.EXAMPLE ") == "jo.doe@company.example"
    with pytest.raises(ValueError, match="write it as"):
        User(email="Jo@a.example", role=Role.ADMIN)


def test_an_organization_shows_its_own(organization: Tenant, new_organization: object) -> None:
    visitor = signed_in(organization)
    page = visitor.get("/")
    assert "Jo Admin" in page
