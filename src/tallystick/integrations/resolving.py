"""Addresses of a name, within a time: the system's own look-up knows no limit that a caller could set."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from tallystick.core.public_address import Address, literal

# The addresses of a host and port as text; OSError where there are none.
Resolve = Callable[[str, int], list[str]]
_AT_ONCE = threading.BoundedSemaphore(32)


def ask_system(host: str, port: int) -> list[str]:
    """What the system says, each address once, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def addresses_of(host: str, port: int, resolve: Resolve, seconds: float) -> list[Address]:
    """The addresses of a host; OSError where there are none, TimeoutError where the time is up.

    The look-up runs in a thread that nobody waits for once the time is up: it ends when the system gives up.
    """
    written = literal(host)
    if written is not None:
        return [written]
    if not _AT_ONCE.acquire(timeout=seconds):
        raise TimeoutError
    found: list[list[str] | OSError] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(resolve(host, port))
        except (OSError, UnicodeError) as error:
            found.append(OSError(str(error)))
        finally:
            _AT_ONCE.release()
            done.set()

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    if not done.wait(seconds):
        raise TimeoutError
    (answer,) = found
    if isinstance(answer, OSError):
        raise answer
    addresses = [address for address in map(literal, answer) if address is not None]
    if not addresses:
        raise OSError("it has no address")
    return addresses
