"""Which hosts sources of usage may connect to: what the operator says, since a server can reach what users must not."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tallystick.errors import Refusal

SETTING = "TALLYSTICK_SOURCE_HOSTS"


def require_host(allowed: Sequence[str], host: str, field: str) -> None:
    """Refusal `rule_broken` unless the operator allows the host: as `host:port`, as `host`, or as `*.domain` of it."""
    name, _, port = host.lower().partition(":")
    for each in allowed:
        wanted, _, only = each.lower().partition(":")
        fits = name == wanted or (wanted.startswith("*.") and name.endswith(wanted[1:]))
        if fits and only in {"", port}:
            return
    message = f"{field}: the operator lets no source connect to {host}; {SETTING} names the hosts that may be"
    raise Refusal("rule_broken", message, field=field)


def require_origin(allowed: Sequence[str], origin: str | None, field: str) -> None:
    """The same for an address such as https://store.example:9000; None is the service's own."""
    if origin is not None:
        require_host(allowed, urlsplit(origin).netloc, field)
