"""Where the server of a data directory listens: a small file that `serve` writes and other commands read."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import msgspec

from tallystick.core import wire

FILE = "server.json"
HEALTH_SECONDS = 2


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a running server and its process id."""

    url: str
    pid: int


def read_address(directory: Path) -> Address | None:
    """What the file says; None when there is none. It may be left over: ask `answers`."""
    try:
        return wire.decode(Address, (directory / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def answers(url: str) -> bool:
    """Whether a server is ready at the address."""
    try:
        reply = httpx.get(f"{url}/health", timeout=HEALTH_SECONDS, verify=_certificates())
    except httpx.HTTPError:
        return False
    return reply.status_code == httpx.codes.OK


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: a server that starts is asked many times a second, and reading them takes longer than asking."""
    return httpx.create_ssl_context()


def running(directory: Path) -> str | None:
    """The address of the server that runs on the data directory, or None."""
    address = read_address(directory)
    return address.url if address is not None and answers(address.url) else None


@contextmanager
def announced(directory: Path, url: str) -> Iterator[None]:
    """Tell other commands where this process serves, for as long as it does."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / FILE
    address = Address(url=url, pid=os.getpid())
    fresh = path.with_name(f"{FILE}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(address))
    fresh.replace(path)
    try:
        yield
    finally:
        if read_address(directory) == address:
            path.unlink(missing_ok=True)


def browsable(host: str, port: int) -> str:
    """The address that a client on this machine uses for a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  read, not bound to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def refusal(host: str, port: int) -> str | None:
    """Why no server can listen there, in the system's words; None when one can."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None
