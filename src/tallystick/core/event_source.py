"""Event sources: programs that send usage as events and cannot sign in as service users do.

Each has an address of its own and a secret that is shared with it (docs/decisions/0521-receiving-events.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import ClassVar

from tallystick.core.entity import EntityCode, Name, Value
from tallystick.core.usage_event import EventForm

PURPOSE = "eventsource"  # of the credentials that secrets are kept as
SIGNATURE = "x-signature"


class EventSource(Value, frozen=True, kw_only=True):
    """A program that sends events of a form. Not `enabled`, it is refused."""

    kind: ClassVar[str] = "eventsource"

    code: EntityCode
    name: Name
    form: EventForm
    enabled: bool = True


def sealed_for(organization_id: str, source_id: str) -> str:
    """What a secret is sealed for: it opens for this source only."""
    return f"eventsource/{organization_id}/{source_id}"


def presented(headers: Mapping[str, str], basic: Iterable[str]) -> tuple[str, ...]:
    """The secrets that a request shows: as bearer token, as the value of the header, as key of an API. `basic`: the
    parts of Basic credentials, of which senders use either."""
    authorization = headers.get("authorization", "")
    scheme, _, rest = authorization.partition(" ")
    given = [authorization, headers.get("x-api-key", ""), headers.get("dd-api-key", ""), *basic]
    if scheme.lower() == "bearer":
        given.append(rest.strip())
    return tuple(each for each in given if each)


def proven(secrets: Iterable[str], headers: Mapping[str, str], shown: Iterable[str], body: bytes) -> bool:
    """Whether a request is from whoever shares one of the secrets: it shows it, or signed the body with it.

    Source of the signature: Segment, Webhooks (Actions) destination: HMAC of SHA-1 over the body, as hexadecimal text,
    in X-Signature. Of what it signs nothing is secret, and SHA-1's weakness against collisions does not reach HMAC.
    """
    signature = headers.get(SIGNATURE, "").strip().lower().removeprefix("sha1=").encode()
    tokens = [each.encode() for each in shown]
    right = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest().encode()
        right |= hmac.compare_digest(expected, signature)
        for each in tokens:
            right |= hmac.compare_digest(secret.encode(), each)
    return right
