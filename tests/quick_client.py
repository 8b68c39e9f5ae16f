"""A client for tests that ask thousands of times: one kept connection, a third of the processor time of a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode

import httpx

KEPT = ("authorization", "cookie")  # what says who asks


@dataclass(frozen=True, slots=True)
class Answer:
    """What tests read of an answer, under the names that httpx gives it."""

    url: str
    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


@dataclass(frozen=True, slots=True)
class QuickClient:
    """Asks as another client does: below the same address, in the same name. A path is sent as it stands."""

    connection: HTTPConnection
    below: str
    signed_in: Mapping[str, str]

    def request(
        self, method: str, path: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        self.connection.request(method, self.below + path, content, {**self.signed_in, **(headers or {})})
        with self.connection.getresponse() as reply:
            named = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(self.below + path, reply.status, named, reply.read())

    def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", f"{path}?{urlencode(params)}" if params else path)


@contextmanager
def quick(http: httpx.Client) -> Iterator[QuickClient]:
    """A quick client beside another."""
    url = http.base_url
    connection = HTTPConnection(url.host, url.port, timeout=60)
    signed_in = {name: http.headers[name] for name in KEPT if name in http.headers}
    try:
        yield QuickClient(connection, url.path.rstrip("/"), signed_in)
    finally:
        connection.close()
