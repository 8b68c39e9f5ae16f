"""Static files: read once, served under a name that says what is in them, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: the name it is served under, its media type and its bytes."""

    served: str
    media_type: str
    body: bytes


def _load() -> dict[str, StaticFile]:
    loaded = {}
    for file in (files("tallystick.console") / "static").iterdir():
        stem, dot, ending = file.name.rpartition(".")
        media_type = MEDIA_TYPES.get(dot + ending)
        if media_type is not None:
            body = file.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:12]
            loaded[file.name] = StaticFile(f"{stem}.{digest}.{ending}", media_type, body)
    return loaded


FILES: Mapping[str, StaticFile] = _load()
SERVED: Mapping[str, StaticFile] = {file.served: file for file in FILES.values()}


def static_path(name: str) -> str:
    """The path of a file of `static/`, for templates: `static("console.css")`."""
    return f"/static/{FILES[name].served}"
