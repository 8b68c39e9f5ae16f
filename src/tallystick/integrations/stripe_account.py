"""A connection to one account of Stripe, by the official library: the key, the pinned version, and what went wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from typing import Any

import stripe

from tallystick.core.entity import Entity
from tallystick.core.integration import Destination, IntegrationConfig, RunStatus
from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import OrganizationRecords
from tallystick.ports.handover import HandedOver, Problem, Vault, credentials_of

# What Stripe answers, and how, follows from this version: a newer one of the library is taken over with its tests.
API_VERSION = "2026-10-28.endive"
PREFIXES = {
    Destination.STRIPE: ("sk_live_", "rk_live_"),
    Destination.STRIPE_TEST: ("sk_test_", "rk_test_"),
}
STRIPES = frozenset(PREFIXES)
_KEYS = re.compile(r"(?:[rs]k_(?:test|live)_|whsec_)[A-Za-z0-9*]+")  # what must never be told
_SAID = 300  # characters of what Stripe says of an error


class WrongKey(Exception):
    """The integration has no key, or one for the other mode."""


@cache
def _transport(seconds: float) -> stripe.HTTPClient:
    """One set of connections for the process."""
    return stripe.HTTPXClient(timeout=seconds, allow_sync_methods=True)


def secrets_of(vault: Vault, records: OrganizationRecords, config: Entity[IntegrationConfig]) -> dict[str, str]:
    """The secrets of an integration: `apiKey`, `webhookSecret`."""
    opened = credentials_of(vault, records, config) or {}
    return {name: text for name, text in opened.items() if isinstance(text, str)}


def connect(
    vault: Vault, records: OrganizationRecords, config: Entity[IntegrationConfig], base_url: str, seconds: float
) -> stripe.StripeClient:
    """The client of an integration. WrongKey, and Refusal `sealed_elsewhere`."""
    key = secrets_of(vault, records, config).get("apiKey", "")
    prefixes = PREFIXES[config.value.destination]
    if not key.startswith(prefixes):
        which = " or ".join(f"{each}…" for each in prefixes)
        raise WrongKey(f"{config.value.destination} needs a secret key that begins with {which}; enter one")
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": base_url} if base_url else {},
        max_network_retries=0,  # what fails is tried again as a run, with the same keys
        http_client=_transport(seconds),
    )


def what_went_wrong(problem: Exception, now: Instant) -> HandedOver:
    """How a run went that Stripe did not take."""
    said = _said(problem)
    if isinstance(problem, stripe.RateLimitError):
        error = f"Stripe has too many requests: {said}"
        return HandedOver(status=RunStatus.RATE_LIMIT_RETRY, error=error, not_before=_not_before(problem, now))
    if isinstance(problem, WrongKey | stripe.AuthenticationError | stripe.PermissionError):
        return HandedOver(status=RunStatus.AUTH_FAILED, error=f"Stripe does not take the key: {said}")
    if isinstance(problem, Refusal):
        return HandedOver(status=RunStatus.AUTH_FAILED, error=problem.message)
    if isinstance(problem, stripe.InvalidRequestError | stripe.IdempotencyError | stripe.CardError):
        return HandedOver(status=RunStatus.ERROR, problem=Problem.PERFORM, error=f"Stripe refuses: {said}")
    return HandedOver(status=RunStatus.AWAITING_RETRY, error=f"Stripe cannot be reached, or failed: {said}")


def outside_failed(problem: Exception) -> Refusal:
    """The same for somebody who asks and waits."""
    if isinstance(problem, Refusal):
        return problem
    return Refusal("outside_failed", f"Stripe: {_said(problem)}")


def _not_before(problem: stripe.StripeError, now: Instant) -> Instant | None:
    """When Stripe wants to be asked again, if it says so."""
    headers = {name.lower(): text for name, text in (problem.headers or {}).items()}
    seconds = headers.get("retry-after", "")
    return Instant.of(now + timedelta(seconds=min(int(seconds), 86_400))) if seconds.isdecimal() else None


def _said(problem: Exception) -> str:
    """What to tell people of an error: Stripe's own words without anything that looks like a key."""
    if isinstance(problem, stripe.APIConnectionError):
        return "no answer came"
    text = problem.user_message or str(problem) if isinstance(problem, stripe.StripeError) else str(problem)
    return _KEYS.sub("[key]", " ".join(text.split()))[:_SAID] or type(problem).__name__


FAILURES: tuple[type[Exception], ...] = (stripe.StripeError, WrongKey, Refusal)


def plain_of(thing: Any) -> dict[str, Any]:
    """What Stripe answered as plain values."""
    found: dict[str, Any] = thing.to_dict()
    return found
