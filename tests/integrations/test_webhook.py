"""Events on their way to webhooks: signed, tried again with the same id and bytes, logged, given up, replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handing_world import BEGAN, ORGANIZATION
from hypothesis import given
from hypothesis import strategies as st
from receivers import Act, Receiver, answering, receiving, silent
from sending_world import ADA, SECRET, SendingWorld, parts
from standardwebhooks import Webhook as Verifier

from tallystick.control.webhooks import WEBHOOKS, Means, rotate, set_active
from tallystick.core.ids import named_id
from tallystick.core.integration import subscribes, why_no_pattern
from tallystick.core.period import Instant
from tallystick.core.webhook import standard_secret
from tallystick.errors import Refusal
from tallystick.pipeline.webhook_replay import replay_run
from tallystick.ports.webhook import FAILING


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SendingWorld]:
    world = SendingWorld(tmp_path)
    yield world
    world.outside.close()
    world.store.close()


class Answers:
    """A receiver's answers, one after the other; the last stays."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)

    def __call__(self, receiver: Receiver, connection: Any) -> None:
        act = self.acts[0] if len(self.acts) == 1 else self.acts.pop(0)
        act(receiver, connection)


def once(status: str, *headers: str) -> Act:
    """Answers one request and ends the connection."""
    return answering(status, *headers, "Connection: close")


def test_an_event_arrives_signed_as_the_standard_says(world: SendingWorld) -> None:
    with receiving(answering("200 OK", body=b"thanks")) as receiver:
        webhook_id = world.webhook(receiver.url())
        event_id = world.bill("jan")
        assert world.round() == 1
    headers, body = parts(receiver.requests[0])
    (run,) = world.runs()
    assert headers["webhook-id"] == run.id
    assert headers["webhook-timestamp"] == str(int(BEGAN.timestamp()))
    signed = Verifier(SECRET).sign(run.id, BEGAN, body.decode())
    assert headers["webhook-signature"] == signed
    assert json.loads(body) == {
        "id": event_id,
        "eventName": "billing.bill.updated",
        "eventTime": "2026-03-01T00:00:00.000Z",
        "m3terEvent": {"number": "jan.1"},
    }
    (kept,) = world.deliveries()
    assert (kept.webhook_id, kept.run_id, kept.event_id, kept.attempt) == (webhook_id, run.id, event_id, 1)
    assert (kept.outcome, kept.status_code, kept.answer) == ("DELIVERED", 200, "thanks")
    assert world.status_of(event_id) == ["COMPLETE"]


def test_each_attempt_has_the_same_id_and_bytes_and_a_time_of_its_own(world: SendingWorld) -> None:
    with receiving(Answers(once("500 Oops"), once("404 Not Found"), once("202 Accepted"))) as receiver:
        world.webhook(receiver.url())
        event_id = world.bill("jan")
        for _ in range(3):
            world.round()
            world.after(hours=1)
    sent = [parts(each) for each in receiver.requests]
    assert len({headers["webhook-id"] for headers, _ in sent}) == len({body for _, body in sent}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in sent}) == 3
    assert [(each.attempt, each.status_code) for each in world.deliveries()] == [(1, 500), (2, 404), (3, 202)]
    assert world.status_of(event_id) == ["COMPLETE"]


@pytest.mark.parametrize(
    ("head", "status", "minutes"),
    [
        (("429 Slow Down", "Retry-After: 3600"), "RATE_LIMIT_RETRY", 60),
        (("503 Away", "Retry-After: Sun, 01 Mar 2026 02:00:00 GMT"), "AWAITING_RETRY", 120),
        (("503 Away", "Retry-After: 999999999"), "AWAITING_RETRY", 24 * 60),
        (("503 Away", "Retry-After: soon"), "AWAITING_RETRY", 0),
        (("500 Oops", "Retry-After: 3600"), "AWAITING_RETRY", 0),
    ],
)
def test_a_receiver_may_ask_for_time(world: SendingWorld, head: tuple[str, ...], status: str, minutes: int) -> None:
    with receiving(answering(*head)) as receiver:
        world.webhook(receiver.url())
        event_id = world.bill("jan")
        world.round()
        assert world.status_of(event_id) == [status]
        (run,) = world.runs()
        assert run.due is not None
        waits = (run.due - world.now).total_seconds() / 60
        assert minutes <= waits <= max(minutes, 0.2)


def test_a_receiver_that_is_gone_is_sent_nothing_more(world: SendingWorld) -> None:
    with receiving(answering("410 Gone")) as receiver:
        webhook_id = world.webhook(receiver.url())
        first = world.bill("jan")
        world.round()
        second = world.bill("feb")
        world.round()
        assert len(receiver.requests) == 1
    webhook = WEBHOOKS.retrieve(world.records, webhook_id)
    assert (webhook.value.active, webhook.modified_by) == (False, "server")
    assert webhook.value.disabled == "the receiver answered 410: it wants nothing more"
    assert [world.status_of(each) for each in (first, second)] == [["DISABLED"], ["DISABLED"]]
    assert world.outcomes() == ["FAILED", "NOT_SENT"]
    assert [(each["webhookId"], each["reason"]) for each in world.told()] == [(webhook_id, webhook.value.disabled)]


def test_after_days_without_success_a_webhook_is_switched_off_and_there_is_a_way_back(world: SendingWorld) -> None:
    with receiving(Answers(*[once("500 Oops")] * 8, answering("200 OK"))) as receiver:
        webhook_id = world.webhook(receiver.url())
        event_id = world.bill("jan")
        while WEBHOOKS.retrieve(world.records, webhook_id).value.active:
            world.round()
            world.after(hours=6)
        assert world.now < Instant.parse("2026-03-05T00:00:00Z")
        webhook = WEBHOOKS.retrieve(world.records, webhook_id)
        assert webhook.value.disabled is not None
        assert webhook.value.disabled.startswith("nothing was delivered since 2026-03-01T00:00:00.000Z, in ")
        assert webhook.value.disabled.endswith("the last: the receiver answered 500")
        world.after(days=1)
        world.round()
        assert world.status_of(event_id) == ["DISABLED"]
        missed = world.bill("feb")
        world.round()
        set_active(world.desk(), Means(world.vault, world.outside), webhook_id, True)
        assert WEBHOOKS.retrieve(world.records, webhook_id).value.disabled is None
        assert world.since(webhook_id, BEGAN, failed_only=True) == (2, 0)
        for _ in range(6):
            world.round()
            world.after(hours=3)
    assert [world.status_of(each) for each in (event_id, missed)] == [["COMPLETE"], ["COMPLETE"]]
    assert world.records.document(FAILING, webhook_id) is None


def test_a_success_in_between_keeps_a_webhook_on(world: SendingWorld) -> None:
    with receiving(Answers(once("500 Oops"), once("200 OK"), once("500 Oops"))) as receiver:
        webhook_id = world.webhook(receiver.url())
        world.bill("jan")
        world.round()
        world.after(days=3)
        world.round()
        world.bill("feb")
        world.round()
        assert world.outcomes() == ["FAILED", "DELIVERED", "FAILED"]
        assert WEBHOOKS.retrieve(world.records, webhook_id).value.active


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("billing.*",), ["billing.bill.updated", "billing.bill.created"]),
        (("billing.bill.created", "configuration.*"), ["billing.bill.created", "configuration.account.updated"]),
        (("*",), ["billing.bill.updated", "billing.bill.created", "configuration.account.updated"]),
        (("billing",), []),
        (("bill.*",), []),
    ],
)
def test_a_webhook_gets_the_events_that_it_names(
    world: SendingWorld, names: tuple[str, ...], wanted: list[str]
) -> None:
    with receiving(answering("200 OK")) as receiver:
        world.webhook(receiver.url(), *names)
        for each in ("billing.bill.updated", "billing.bill.created", "configuration.account.updated"):
            world.bill("jan", each)
        world.round()
    assert [json.loads(parts(each)[1])["eventName"] for each in receiver.requests] == wanted


def test_replay_sends_again_with_the_same_id(world: SendingWorld) -> None:
    with receiving(answering("200 OK")) as receiver:
        webhook_id = world.webhook(receiver.url())
        world.bill("jan")
        world.round()
        world.after(hours=1)
        later = world.now
        world.bill("feb")
        world.round()
        (first, second) = world.deliveries()
        assert replay_run(world.records, first.run_id, actor=ADA, now=world.now).replayed == 1
        world.round()
        assert world.since(webhook_id, later) == (1, 0)
        assert world.since(webhook_id, later) == (0, 1)  # it is under way already
        world.round()
        assert world.since(webhook_id, BEGAN, failed_only=True) == (0, 0)
        assert world.since(webhook_id, Instant.of(world.now.replace(year=2027))) == (0, 0)
    sent = [parts(each)[0]["webhook-id"] for each in receiver.requests]
    assert sent == [first.run_id, second.run_id, first.run_id, second.run_id]
    with pytest.raises(Refusal, match="no such hand-over"):
        replay_run(world.records, named_id(ORGANIZATION, "none"), actor=ADA, now=world.now)


def test_what_cannot_be_sent_says_why(world: SendingWorld, tmp_path: Path) -> None:
    with receiving(silent) as receiver:
        world.webhook(receiver.url())
        world.bill("jan")
        world.round()
    assert world.runs()[0].error == "'127.0.0.1' did not answer in time"
    world.integration("to nowhere", destination_id=named_id(ORGANIZATION, "nowhere"))
    event_id = world.bill("feb")
    world.round()
    assert "ERROR" in world.status_of(event_id)
    assert "there is no such webhook; name one in the configuration" in {each.error for each in world.runs()}
    # A database that was restored without its keys.
    (tmp_path / "keys" / "vault.key").write_bytes(b"x" * 32)
    world.after(days=1)
    world.round()
    assert "enter it again" in (world.deliveries()[-1].error or "")


def test_the_former_secret_signs_up_to_its_end(world: SendingWorld) -> None:
    with receiving(answering("200 OK")) as receiver:
        webhook_id = world.webhook(receiver.url())
        rotate(world.desk(), Means(world.vault, world.outside), webhook_id, hours=24)
        for hours in (23, 1):
            world.after(hours=hours)
            world.bill("jan")
            world.round()
    assert [len(parts(each)[0]["webhook-signature"].split()) for each in receiver.requests] == [2, 1]


def test_a_webhook_that_is_named_stays(world: SendingWorld) -> None:
    webhook_id = world.webhook("https://93.184.215.14/hook")
    with pytest.raises(Refusal) as refused:
        WEBHOOKS.delete(world.desk(), webhook_id)
    assert refused.value.code.name == "in_use"


@given(st.text(min_size=1, max_size=40))
def test_any_secret_becomes_one_that_the_library_takes(secret: str) -> None:
    assert Verifier(standard_secret(secret)).sign("1", BEGAN, "{}").startswith("v1,")
    assert standard_secret(standard_secret(secret)) == standard_secret(secret)


@pytest.mark.parametrize(("pattern", "right"), [("*", True), ("a.b", True), ("a.*", True), ("a*", False), ("", False)])
def test_patterns(pattern: str, right: bool) -> None:
    assert (why_no_pattern(pattern) is None) is right
    assert subscribes([pattern], "a.b") is right


def test_no_pattern_that_is_no_text() -> None:
    assert why_no_pattern(5) is not None
