"""Webhooks: events are sent to addresses of the organisation's own, signed as Standard Webhooks says.

`standardwebhooks` signs, so that what receivers verify with the same library fits. The id of the hand-over is the
`webhook-id`: it is the same at each attempt, and the body has the same bytes, so a receiver can tell a repetition.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec
from standardwebhooks import Webhook as Signer

from tallystick.core import wire
from tallystick.core.entity import Entity
from tallystick.core.event import Event
from tallystick.core.ids import named_id
from tallystick.core.integration import RunStatus
from tallystick.core.period import Instant
from tallystick.core.webhook import (
    API_KEY_HEADER,
    DISABLED_EVENT,
    DISABLED_EVENT_TYPE,
    EXCERPT_BYTES,
    Delivery,
    DeliveryOutcome,
    Failing,
    Webhook,
    payload_of,
    sealed_for,
    standard_secret,
)
from tallystick.errors import Refusal
from tallystick.outbox import event_document, put_events
from tallystick.ports import Document, Transaction
from tallystick.ports.handover import HandedOver, HandOver, Vault
from tallystick.ports.outside import Answer, Failure, NotAnswered, Outside
from tallystick.ports.webhook import DELIVERY, FAILING, delivery_document, failing_of

SERVER = "server"
GONE = 410
BUSY_ANSWERS = frozenset({429, 503})
LONGEST_WAIT = timedelta(days=1)  # that a receiver may ask for


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Fulfils `Performer` and `WebhookSender`. A webhook that fails for `failure_days` is switched off."""

    vault: Vault
    outside: Outside
    failure_days: int = 5

    def perform(self, what: HandOver) -> HandedOver:
        """Send the event of a run to the webhook that its configuration names."""
        id_ = what.config.value.destination_id
        webhook = what.records.get(Webhook, id_) if id_ is not None else None
        if webhook is None:
            return HandedOver(status=RunStatus.ERROR, error="there is no such webhook; name one in the configuration")
        if not webhook.value.active:
            why = "the webhook is switched off; switch it on, then replay what it missed"
            kept = _not_sent(webhook, what, why)
            return HandedOver(status=RunStatus.DISABLED, error=why, also=lambda write, now: _keep(write, kept))
        sent, answer = self._send(webhook, what.event, what.run.id, attempt=what.run.attempts, now=what.now)
        return self._outcome(webhook, sent, answer, what.now)

    def send(self, webhook: Entity[Webhook], event: Event, run_id: str, *, attempt: int, now: Instant) -> Delivery:
        """One attempt, and how it went."""
        return self._send(webhook, event, run_id, attempt=attempt, now=now)[0]

    def _send(
        self, webhook: Entity[Webhook], event: Event, run_id: str, *, attempt: int, now: Instant
    ) -> tuple[Delivery, Answer | NotAnswered]:
        body, began = payload_of(event), time.monotonic()
        got: Answer | NotAnswered
        try:
            headers = self._headers(webhook, run_id, body, now)
            got = self.outside.send("POST", webhook.value.url, headers=headers, content=body, excerpt=EXCERPT_BYTES)
        except NotAnswered as failed:
            got = failed
        except Refusal as sealed:
            got = NotAnswered(Failure.REFUSED, sealed.message)
        told = _delivery(webhook, event, run_id, attempt, now)
        return _with_answer(told, got, int((time.monotonic() - began) * 1000)), got

    def _headers(self, webhook: Entity[Webhook], run_id: str, body: bytes, now: Instant) -> dict[str, str]:
        value, moment = webhook.value, datetime.fromtimestamp(int(now.timestamp()), UTC)
        sealed = [value.sealed_secret]
        if value.sealed_former_secret is not None and value.former_until is not None and now < value.former_until:
            sealed.append(value.sealed_former_secret)
        secrets = [self.vault.open(each, sealed_for(webhook.id)) for each in sealed]
        signatures = [Signer(standard_secret(each)).sign(run_id, moment, body.decode()) for each in secrets]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": run_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        if value.sealed_api_key is not None:
            headers[API_KEY_HEADER] = self.vault.open(value.sealed_api_key, sealed_for(webhook.id))
        return headers

    def _outcome(self, webhook: Entity[Webhook], sent: Delivery, got: Answer | NotAnswered, now: Instant) -> HandedOver:
        def kept(write: Transaction, at: Instant) -> None:
            _keep(write, sent)
            _note(write, webhook.id, sent, at, self.failure_days)

        if sent.outcome is DeliveryOutcome.DELIVERED:
            return HandedOver(status=RunStatus.COMPLETE, also=kept)
        if sent.status_code == GONE:
            why = "the receiver answered 410: it wants nothing more"

            def gone(write: Transaction, at: Instant) -> None:
                _keep(write, sent)
                switch_off(write, webhook.id, why, at)

            return HandedOver(status=RunStatus.DISABLED, error=f"{why}; the webhook was switched off", also=gone)
        wait = _asked_to_wait(got.headers, now) if isinstance(got, Answer) and got.status in BUSY_ANSWERS else None
        status = RunStatus.RATE_LIMIT_RETRY if sent.status_code == 429 else RunStatus.AWAITING_RETRY
        return HandedOver(status=status, error=sent.error, not_before=wait, also=kept)


def switch_off(write: Transaction, webhook_id: str, why: str, now: Instant) -> None:
    """Switch a webhook off and tell of it; nothing where it is off, or gone, by now."""
    there = write.get(Webhook, webhook_id)
    if there is None or not there.value.active:
        return
    value = msgspec.structs.replace(there.value, active=False, disabled=why)
    write.replace(
        Entity(
            id=there.id,
            version=there.version + 1,
            value=value,
            created=there.created,
            created_by=there.created_by,
            modified=now,
            modified_by=SERVER,
        )
    )
    write.remove_document(FAILING, webhook_id)
    told = Event(
        id=named_id(webhook_id, f"disabled/{there.version + 1}"),
        event_name=DISABLED_EVENT,
        event_time=now,
        m3ter_event={
            "eventName": DISABLED_EVENT,
            "webhookId": webhook_id,
            "name": value.name,
            "url": value.url,
            "reason": why,
        },
    )
    put_events(write, [event_document(told, event_type=DISABLED_EVENT_TYPE, resource_id=webhook_id)])


def _keep(write: Transaction, delivery: Delivery) -> None:
    write.put_documents(DELIVERY, [delivery_document(delivery)])


def _note(write: Transaction, webhook_id: str, sent: Delivery, now: Instant, days: int) -> None:
    """Remember since when nothing is delivered, and give up after days of it."""
    failing = failing_of(write, webhook_id)
    if sent.outcome is DeliveryOutcome.DELIVERED:
        if failing is not None:
            write.remove_document(FAILING, webhook_id)
        return
    since = failing.since if failing is not None else now
    attempts = failing.attempts + 1 if failing is not None else 1
    if now - since >= timedelta(days=days):
        why = f"nothing was delivered since {since.wire()}, in {attempts} attempts; the last: {sent.error}"
        switch_off(write, webhook_id, why, now)
        return
    body = wire.encode(Failing(since=since, attempts=attempts))
    write.put_documents(FAILING, [Document(id=webhook_id, sort=since.stamp(), keys={}, body=body)])


def _not_sent(webhook: Entity[Webhook], what: HandOver, why: str) -> Delivery:
    told = _delivery(webhook, what.event, what.run.id, what.run.attempts, what.now)
    return msgspec.structs.replace(told, outcome=DeliveryOutcome.NOT_SENT, error=why)


def _delivery(webhook: Entity[Webhook], event: Event, run_id: str, attempt: int, now: Instant) -> Delivery:
    return Delivery(
        id=named_id(run_id, now.stamp()),
        webhook_id=webhook.id,
        run_id=run_id,
        event_id=event.id,
        event_name=event.event_name,
        at=now,
        outcome=DeliveryOutcome.FAILED,
        attempt=attempt,
    )


def _with_answer(delivery: Delivery, got: Answer | NotAnswered, milliseconds: int) -> Delivery:
    delivery = msgspec.structs.replace(delivery, milliseconds=milliseconds)
    if isinstance(got, NotAnswered):
        unsent = got.failure in {Failure.REFUSED, Failure.BUSY, Failure.STOPPING}
        outcome = DeliveryOutcome.NOT_SENT if unsent else DeliveryOutcome.FAILED
        return msgspec.structs.replace(delivery, outcome=outcome, error=got.message)
    answered = msgspec.structs.replace(delivery, status_code=got.status, answer=_text(got.excerpt) or None)
    if 200 <= got.status < 300:
        return msgspec.structs.replace(answered, outcome=DeliveryOutcome.DELIVERED)
    moved = "; redirects are not followed: enter the new address" if 300 <= got.status < 400 else ""
    return msgspec.structs.replace(answered, error=f"the receiver answered {got.status}{moved}")


def _text(excerpt: bytes) -> str:
    """How an answer begins, as text that can be stored and shown."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in excerpt.decode("utf-8", "replace"))


def _asked_to_wait(headers: Mapping[str, str], now: Instant) -> Instant | None:
    """The moment that Retry-After names, a day ahead at most; None where it names none."""
    text = headers.get("retry-after", "").strip()
    try:
        if text.isascii() and text.isdigit():
            until: datetime = now + min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
        else:
            named = parsedate_to_datetime(text)
            until = min(named if named.tzinfo else named.replace(tzinfo=UTC), now + LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
    return Instant.of(until)
