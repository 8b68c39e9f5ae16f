"""A server that answers as it is told to: what a server, or a proxy before it, may say to an emitter."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One answer."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = {}  # noqa: RUF012  never changed: each handler reads it


Script = Callable[[str, str, bytes], Answer]


class Stand:
    """What was asked, in order; `answer` says what is answered."""

    def __init__(self) -> None:
        self.answer: Script = accept
        self.url = ""
        self.batches: list[list[dict[str, Any]]] = []  # as they were sent, taken or not
        self.taken: list[dict[str, Any]] = []  # members of batches that were answered with 200
        self.tokens = 0


def accept(_: str, __: str, body: bytes) -> Answer:
    """Every member is accepted."""
    members = json.loads(body)["measurements"]
    return Answer(
        body={
            "result": "accepted",
            "measurements": [
                {"index": at, "uid": each["uid"], "verdict": "accepted"} for at, each in enumerate(members)
            ],
        }
    )


@contextmanager
def stand() -> Iterator[Stand]:
    """A running one."""
    made = Stand()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/oauth/token":
                made.tokens += 1
                self.reply(Answer(body={"access_token": f"t{made.tokens}", "expires_in": 3600}))
                return
            members = json.loads(body).get("measurements", [])
            made.batches.append(members)
            answer = made.answer("POST", self.path, body)
            if answer.status == 200:
                made.taken += members
            self.reply(answer)

        def reply(self, answer: Answer) -> None:
            content = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is told of each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
