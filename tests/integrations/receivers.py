"""Receivers on this machine that behave well, badly or strangely. Each counts who connected to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

Act = Callable[["Receiver", socket.socket], None]


@dataclass
class Receiver:
    """A listening socket. `connections` counts those accepted, `requests` holds what they sent."""

    act: Act
    listening: socket.socket
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.act(self, connection)
            except OSError:
                return

    def read(self, connection: socket.socket) -> bytes:
        """One whole request; empty where the client has gone."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = connection.recv(65_536)
            if not more:
                return b""
            got += more
        head, _, body = got.partition(b"\r\n\r\n")
        wanted = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < wanted:
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextmanager
def receiving(act: Act) -> Iterator[Receiver]:
    """A receiver, until the end of the block."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    receiver = Receiver(act, listening)
    threading.Thread(target=receiver.run, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _head(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(
    receiver: Receiver,
    connection: socket.socket,
    status: str = "200 OK",
    headers: tuple[str, ...] = (),
    body: bytes = b"thanks",
) -> None:
    while receiver.read(connection):
        connection.sendall(_head(status, *headers, body=body))


def answering(status: str, *headers: str, body: bytes = b"") -> Act:
    """Always the same answer."""
    return partial(answer, status=status, headers=headers, body=body)


def silent(receiver: Receiver, connection: socket.socket) -> None:
    """Reads and never answers."""
    receiver.read(connection)
    receiver.over.wait(30)


def dripping(receiver: Receiver, connection: socket.socket) -> None:
    """Sends a byte of its head now and then, for ever."""
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while not receiver.over.wait(0.02):
        connection.sendall(b"a")


def informing(receiver: Receiver, connection: socket.socket) -> None:
    """Says that it is about to answer, for ever."""
    receiver.read(connection)
    while not receiver.over.is_set():
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.001)


def endless_body(receiver: Receiver, connection: socket.socket) -> None:
    """A body that does not end."""
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not receiver.over.is_set():
        connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")


def endless_head(receiver: Receiver, connection: socket.socket) -> None:
    """Headers that do not end."""
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not receiver.over.is_set():
        connection.sendall(b"X-More: " + b"y" * 500 + b"\r\n")


def nonsense(receiver: Receiver, connection: socket.socket) -> None:
    """Speaks no HTTP."""
    connection.recv(65_536)
    connection.sendall(b"220 mail.example ready\r\n")
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65_536):  # closed with something unread, it would be a reset that the sender sees
        pass


def hanging_up(receiver: Receiver, connection: socket.socket) -> None:
    """Ends the connection instead of answering."""
    receiver.read(connection)
