"""Webhooks on a running server, through the official client and by our extensions."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from m3ter import M3ter, NotFoundError
from m3ter.types import M3terSignedCredentialsRequestParam
from receivers import Receiver, answering, receiving
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from storefront import read, refused, send

from tallystick.cli.launch import Server, free_port, launched
from tallystick.cli.main import run
from tenant import Tenant, new_tenant

PATH = "/integrationdestinations/webhooks"
CREDENTIALS: M3terSignedCredentialsRequestParam = {
    "type": "M3TER_SIGNED_REQUEST",
    "api_key": "key-17",
    "secret": "a secret of one's own",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose operator allows this machine's own addresses, but for the one that stands for a private host."""
    directory = tmp_path_factory.mktemp("webhooks")
    with launched(directory, free_port(), {"TALLYSTICK_OUTGOING_ALLOW": "127.0.0.1"}) as running:
        yield running


@pytest.fixture
def organization(server: Server) -> Tenant:
    return new_tenant(server)


def why(response: httpx.Response, status: int = 400) -> str:
    """The message of a refusal."""
    return str(refused(response, status)["message"])


def create(http: httpx.Client, url: str, **more: object) -> dict[str, Any]:
    made: dict[str, Any] = read(send(http, "POST", PATH, {"name": "ledger", "url": url, **more}))
    return made


def sent_by(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    """The headers and the body of the latest request."""
    head, _, body = receiver.requests[-1].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def test_the_official_client_keeps_webhooks(client: M3ter) -> None:
    made = client.webhooks.create(
        name="ledger", description="of the books", url="https://hooks.example/in", credentials=CREDENTIALS, code="books"
    )
    assert (made.name, made.url, made.active, made.code, made.version) == (
        "ledger",
        "https://hooks.example/in",
        True,
        "books",
        1,
    )
    assert made.credentials is not None
    assert (made.credentials.type, made.credentials.destination_id) == ("M3TER_SIGNED_REQUEST", made.id)
    assert made.credentials.secret is None
    assert made.credentials.api_key is None
    changed = client.webhooks.update(
        made.id, name="ledger 2", description="", url="https://hooks.example/2", credentials=CREDENTIALS, version=1
    )
    assert (changed.name, changed.version, changed.code) == ("ledger 2", 2, None)
    assert client.webhooks.set_active(made.id, active=False).active is False
    assert client.webhooks.retrieve(made.id).active is False
    assert client.webhooks.set_active(made.id, active=True).active is True
    assert [each.id for each in client.webhooks.list(ids=[made.id])] == [made.id]
    assert client.webhooks.delete(made.id).id == made.id
    with pytest.raises(NotFoundError):
        client.webhooks.retrieve(made.id)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"url": "http://hooks.example/"}, "is to be reached by http"),
        ({"url": "https://127.0.0.2/"}, "is at 127.0.0.2, a loopback address"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "is at 169.254.169.254, a link-local address"),
        ({"url": "https://2130706433/"}, "is an address in an unusual form"),
        ({"credentials": {"type": "OTHER", "apiKey": "a", "secret": "b"}}, "type"),
        ({"credentials": {"apiKey": "a b"}}, "apiKey"),
        ({"credentials": {"apiKey": "a\r\nX: y"}}, "apiKey"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_no_webhook_is_refused(http: httpx.Client, body: dict[str, object], said: str) -> None:
    assert said in why(send(http, "POST", PATH, {"name": "ledger", "url": "https://hooks.example/", **body}))


def test_a_secret_that_is_made_here_is_shown_once_and_signs(http: httpx.Client) -> None:
    with receiving(answering("200 OK", body=b"<b>thanks</b>\x00")) as receiver:
        made = create(http, receiver.url(), credentials={"apiKey": "key-17"})
        secret = made["credentials"]["secret"]
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
        assert "secret" not in read(http.get(f"{PATH}/{made['id']}"))["credentials"]
        told = read(send(http, "POST", f"{PATH}/{made['id']}/ping", None))
    headers, body = sent_by(receiver)
    assert Verifier(secret).verify(body, headers)["eventName"] == "webhook.ping"
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"ledger", b"Ledger"), headers)
    assert (headers["x-api-key"], headers["content-type"]) == ("key-17", "application/json")
    assert json.loads(body)["m3terEvent"]["name"] == "ledger"
    assert headers["webhook-id"] == told["runId"]
    assert (told["outcome"], told["statusCode"], told["answer"]) == ("DELIVERED", 200, "<b>thanks</b>�")
    assert read(http.get(f"{PATH}/{made['id']}/deliveries"))["data"] == [told]
    assert read(http.get(f"{PATH}/{made['id']}/deliveries/{told['id']}")) == told


def test_a_secret_of_ones_own_is_given_to_the_library_as_base64(http: httpx.Client) -> None:
    with receiving(answering("204 No Content")) as receiver:
        made = create(http, receiver.url(), credentials={"apiKey": "k", "secret": "a secret of one's own"})
        assert "secret" not in made["credentials"]
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
        headers, body = sent_by(receiver)
        Verifier("whsec_" + base64.b64encode(b"a secret of one's own").decode()).verify(body, headers)
        # An update without credentials leaves them; one with another secret replaces it at once.
        changed = {"name": "books", "url": receiver.url()}
        assert read(send(http, "PUT", f"{PATH}/{made['id']}", changed))["name"] == "books"
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
        Verifier("whsec_" + base64.b64encode(b"a secret of one's own").decode()).verify(*reversed(sent_by(receiver)))
        other = "whsec_" + base64.b64encode(b"x" * 24).decode()
        send(http, "PUT", f"{PATH}/{made['id']}", {**changed, "credentials": {"secret": other, "apiKey": ""}})
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
        headers, body = sent_by(receiver)
        Verifier(other).verify(body, headers)
        assert "x-api-key" not in headers
        assert " " not in headers["webhook-signature"]


def test_while_a_secret_is_rotated_both_sign(http: httpx.Client) -> None:
    with receiving(answering("200 OK")) as receiver:
        made = create(http, receiver.url())
        old = made["credentials"]["secret"]
        rotated = read(send(http, "POST", f"{PATH}/{made['id']}/rotate", {}))
        new = rotated["credentials"]["secret"]
        assert new != old
        assert rotated["formerSecretUntil"] > made["dtCreated"]
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
        headers, body = sent_by(receiver)
        for secret in (old, new):
            Verifier(secret).verify(body, headers)
        assert headers["webhook-signature"].count("v1,") == 2
        rotated = read(send(http, "POST", f"{PATH}/{made['id']}/rotate", {"overlapHours": 0}))
        assert "formerSecretUntil" not in rotated
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
        headers, body = sent_by(receiver)
        Verifier(rotated["credentials"]["secret"]).verify(body, headers)
        for secret in (old, new):
            with pytest.raises(WebhookVerificationError):
                Verifier(secret).verify(body, headers)
    said = why(send(http, "POST", f"{PATH}/{made['id']}/rotate", {"overlapHours": 200}))
    assert said == "overlapHours: must lie between 0 and 168, got 200"


def test_secrets_stand_nowhere_in_the_clear(http: httpx.Client, server: Server) -> None:
    with receiving(answering("500 Oops")) as receiver:
        secret = "a-very-special-secret"
        made = create(http, receiver.url(), credentials={"apiKey": "a-very-special-key", "secret": secret})
        send(http, "POST", f"{PATH}/{made['id']}/ping", None)
    shown = http.get("/audit").text + http.get(f"{PATH}/{made['id']}/deliveries").text
    assert "a-very-special" not in shown
    stored = b"".join(each.read_bytes() for each in server.directory.glob("records.sqlite*"))
    assert b"a-very-special" not in stored
    assert made["id"].encode() in stored


def test_what_comes_of_a_test_is_told(http: httpx.Client) -> None:
    with ExitStack() as stack:
        moved = stack.enter_context(receiving(answering("302 Found", "Location: http://127.0.0.2/")))
        away = stack.enter_context(receiving(answering("500 Oops", body=b"x" * 5000)))
        webhook = create(http, moved.url())
        told = read(send(http, "POST", f"{PATH}/{webhook['id']}/ping", None))
        assert told["outcome"] == "FAILED"
        assert told["error"] == "the receiver answered 302; redirects are not followed: enter the new address"
        other = create(http, away.url())
        told = read(send(http, "POST", f"{PATH}/{other['id']}/ping", None))
        assert (told["statusCode"], len(told["answer"])) == (500, 1024)
        assert read(http.get(f"{PATH}/{webhook['id']}/deliveries?outcome=DELIVERED"))["data"] == []
    said = why(http.get(f"{PATH}/{other['id']}/deliveries/{told['id']}x"), 404)
    assert "there is no delivery" in said
    assert why(http.get(f"{PATH}/{webhook['id']}/deliveries/{told['id']}"), 404)  # that of another webhook
    said = why(send(http, "POST", f"{PATH}/{other['id']}/deliveries/{told['id']}/replay", None), 404)
    assert "a test is sent again as a new one" in said


def test_the_command_says_that_a_test_event_arrived(
    organization: Tenant, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in organization.environment().items():
        monkeypatch.setenv(name, value)
    with receiving(answering("202 Accepted")) as receiver:
        made = create(http, receiver.url())
        assert run(["webhook", "ping", made["id"]]) == 0
    assert "the test event arrived: 202 after " in capsys.readouterr().out


def test_deliveries_come_in_pages(http: httpx.Client) -> None:
    with receiving(answering("200 OK")) as receiver:
        webhook = create(http, receiver.url())
        told = [read(send(http, "POST", f"{PATH}/{webhook['id']}/ping", None))["id"] for _ in range(3)]
    first = read(http.get(f"{PATH}/{webhook['id']}/deliveries?pageSize=2"))
    rest = read(http.get(f"{PATH}/{webhook['id']}/deliveries?pageSize=2&nextToken={first['nextToken']}"))
    assert [each["id"] for each in first["data"] + rest["data"]] == told[::-1]
    assert "nextToken" not in rest


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (None, "configData.eventNames: must be a list of 1 to 50 names"),
        ([], "configData.eventNames: must be a list of 1 to 50 names"),
        (["bill*"], "configData.eventNames: 'bill*' has * elsewhere than at the end, behind a dot"),
        ([7], "configData.eventNames: must be the name of an event"),
    ],
)
def test_names_of_events_that_are_none_are_refused(http: httpx.Client, names: object, said: str) -> None:
    link = {"entityType": "Event", "destination": "EMAIL", "configData": {"eventNames": names}, "name": "to us"}
    assert said in why(send(http, "POST", "/integrationconfigs", link))
    told = {"eventNames": ["webhook.disabled"], "to": ["ops@acme.example"]}
    read(send(http, "POST", "/integrationconfigs", {**link, "configData": told}))
