"""A connection that keeps to a budget: the time of the whole request and the bytes of the whole answer.

Time limits of a socket begin anew with each byte; a receiver that sends one now and then would hold a thread for ever.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpcore


class NotSecure(httpcore.ConnectError):
    """The other end speaks no TLS, or its certificate is not that of the name."""


class Budget:
    """What one request may still take."""

    def __init__(self, seconds: float, answer_bytes: int) -> None:
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._bytes = answer_bytes

    def seconds(self, what: type[httpcore.TimeoutException]) -> float:
        """The time that is left; raises where there is none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise what("the time is up")
        return left

    def taken(self) -> float:
        """The time that it took so far, in seconds."""
        return time.monotonic() - self._began

    def take(self, received: int) -> None:
        """Count bytes of the answer; raises where they are too many."""
        self._bytes -= received
        if self._bytes < 0:
            raise httpcore.RemoteProtocolError("the answer is too long")


class OpenSockets:
    """The sockets in use, so that all can be ended at once from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.ended = False

    def add(self, opened: socket.socket) -> None:
        """Keep it, or end it at once where all were ended."""
        with self._lock:
            self._open.add(opened)
            ended = self.ended
        if ended:
            end(opened)

    def remove(self, closed: socket.socket) -> None:
        """Forget it."""
        with self._lock:
            self._open.discard(closed)

    def end_all(self) -> None:
        """Wake whoever waits for any of them."""
        with self._lock:
            self.ended = True
            opened = tuple(self._open)
        for each in opened:
            end(each)


def end(opened: socket.socket) -> None:
    """Close both directions, which wakes a thread that waits; closing the handle alone would not."""
    with suppress(OSError):
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


class GuardedStream(httpcore.NetworkStream):
    """A connected socket. `budget` gives the budget of the request that is at hand in this thread."""

    def __init__(self, connected: socket.socket, budget: Callable[[], Budget], sockets: OpenSockets) -> None:
        self._socket = connected
        self._budget = budget
        self._sockets = sockets

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes."""
        budget = self._budget()
        self._socket.settimeout(budget.seconds(httpcore.ReadTimeout))
        try:
            received = self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("the time is up") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        budget.take(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        try:
            while buffer:
                self._socket.settimeout(self._budget().seconds(httpcore.WriteTimeout))
                buffer = buffer[self._socket.send(buffer) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout("the time is up") from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the socket."""
        self._sockets.remove(self._socket)
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection encrypted; the certificate must be that of the name that users gave."""
        self._sockets.remove(self._socket)
        try:
            self._socket.settimeout(self._budget().seconds(httpcore.ConnectTimeout))
            plain = self._socket
            wrapped = ssl_context.wrap_socket(plain, server_hostname=server_hostname, do_handshake_on_connect=False)
            self._sockets.add(wrapped)
            self._socket = wrapped
            wrapped.do_handshake()
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout("the time is up") from error
        except ssl.SSLError as error:
            self.close()
            raise NotSecure(error.reason or str(error)) from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """Whether something can be read of an idle connection: then the other end has closed it."""
        if info == "is_readable":
            waiting = select.poll()
            waiting.register(self._socket.fileno(), select.POLLIN)
            return bool(waiting.poll(0))
        return None
