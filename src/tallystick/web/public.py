"""The address that people reach the server at: links are made with it, and it says whether cookies go over TLS."""

from __future__ import annotations

from collections.abc import Mapping

SCHEMES = frozenset({"http", "https"})


def base_url(public_url: str, scheme: str, headers: Mapping[str, str]) -> str:
    """Scheme and host: those of the setting; without it what the request says it was sent to, which is the client's
    word, or its proxy's."""
    if public_url:
        return public_url
    said = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return f"{said if said in SCHEMES else scheme}://{headers.get('host', '')}"
