"""Links that carry their own permission for a short while: signed with the server's key for one path and query."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from tallystick.core.period import Instant
from tallystick.errors import Refusal

LINK_SECONDS = 300
EXPIRES, SIGNATURE = "expires", "signature"


def sign(key: bytes, path: str, query: Mapping[str, str], now: Instant, seconds: int = LINK_SECONDS) -> str:
    """The path with its query, an expiry `seconds` from now and a signature over all of them."""
    given = {**query, EXPIRES: str(int(now.timestamp()) + seconds)}
    return f"{path}?{urlencode({**given, SIGNATURE: _signature(key, path, given)})}"


def verify(key: bytes, path: str, query: Mapping[str, str], now: Instant) -> None:
    """Refusal `forbidden` unless `sign` made this path and query and it has not expired."""
    given = {name: value for name, value in query.items() if name != SIGNATURE}
    expires = given.get(EXPIRES, "")
    right = hmac.compare_digest(_signature(key, path, given).encode(), query.get(SIGNATURE, "").encode())
    if not right or not (expires.isascii() and expires.isdigit()):
        raise Refusal("forbidden", f"{SIGNATURE}: this link was not made by this server, or was changed since")
    if int(expires) < now.timestamp():
        raise Refusal("forbidden", f"{EXPIRES}: this link has expired; ask for a new one")


def _signature(key: bytes, path: str, query: Mapping[str, str]) -> str:
    text = f"link\n{path}\n{urlencode(sorted(query.items()))}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
