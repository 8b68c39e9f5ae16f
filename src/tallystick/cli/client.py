"""The one client that every command uses: signed-in requests to an organisation, exact numbers in and out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from tallystick.cli.failure import Failure, Refused
from tallystick.cli.line import Send
from tallystick.core import wire

TRIES = 8
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
TOKEN_SECONDS = 1800  # a token is asked anew after this long: operator tokens are good for twice that
BUSY = {429, 503}  # nothing was kept: sending the same again is safe
JSON = "application/json"


class Client:
    """Speaks to one server, in one organisation when `organization` is set.

    `token` answers a bearer token. Answers are JSON values with exact decimals. A failure is `Refused` with the
    server's own sentence, or `Failure` when no server answers.
    """

    def __init__(self, send: Send, url: str, token: Callable[[Client], str]) -> None:
        self._send = send
        self.url = url.rstrip("/")
        self._ask_token = token
        self._token: tuple[str, float] | None = None
        self.organization: str | None = None

    def get(self, path: str, **query: object) -> Any:
        """The answer to a GET in the organisation; query values of None are left out."""
        return self._organized("GET", path, None, query, again=True)

    def file(self, path: str, **query: object) -> httpx.Response:
        """A file to download from the organisation, with its headers."""
        given = {name: _text(value) for name, value in query.items() if value is not None}
        return self.raw("GET", self._place(path) + (f"?{urlencode(given)}" if given else ""), None, again=True)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        """The answer to a POST in the organisation."""
        return self._organized("POST", path, body, query, again=False)

    def put(self, path: str, body: object = None, **query: object) -> Any:
        """The answer to a PUT in the organisation."""
        return self._organized("PUT", path, body, query, again=False)

    def delete(self, path: str) -> Any:
        """Take something out of use; the answer is what it was."""
        return self._organized("DELETE", path, None, {}, again=True)

    def every(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """All rows of a list, page by page."""
        token: str | None = None
        while True:
            page = self.get(path, pageSize=100, nextToken=token, **query)
            yield from page["data"]
            token = page.get("nextToken")
            if not token:
                return

    def send(self, path: str, content: bytes, **query: object) -> Any:
        """The answer to a POST of bytes, such as a part of a file, in the organisation. Sent again when the connection
        breaks."""
        given = {name: _text(value) for name, value in query.items() if value is not None}
        answer = self.raw("POST", f"{self._place(path)}?{urlencode(given)}", content, again=True).content
        return wire.decode(dict[str, Any], answer)

    def submit(self, body: bytes) -> Any:
        """Send one encoded batch of measurements. Sent again when the connection breaks: each carries its uid."""
        return wire.decode(dict[str, Any], self.raw("POST", self._place("/measurements"), body, again=True).content)

    def raw(
        self, method: str, path: str, body: bytes | None = None, *, again: bool, authorization: str | None = None
    ) -> httpx.Response:
        """The answer to a request on an absolute path. `again`: repeat it when the connection breaks."""
        for number in range(1, TRIES + 1):
            headers = {"content-type": JSON, "authorization": authorization or f"Bearer {self._bearer()}"}
            request = httpx.Request(method, self.url + path, content=body, headers=headers)
            try:
                response = self._send(request)
            except httpx.TransportError as problem:
                if number == TRIES or not (again or isinstance(problem, httpx.ConnectError)):
                    raise Failure(f"no answer from {self.url}: {problem or type(problem).__name__}") from None
                time.sleep(_pause(number, None))
                continue
            if response.status_code in BUSY and number < TRIES:
                time.sleep(_pause(number, response.headers.get("retry-after")))
                continue
            return _checked(response)
        raise AssertionError("the last try returns or raises")

    def _organized(self, method: str, path: str, body: object, query: Mapping[str, object], *, again: bool) -> Any:
        given = {name: _text(value) for name, value in query.items() if value is not None}
        address = self._place(path) + (f"?{urlencode(given)}" if given else "")
        encoded = None if body is None else wire.encode(body)
        content = self.raw(method, address, encoded, again=again).content
        return wire.decode(dict[str, Any], content) if content else None

    def _place(self, path: str) -> str:
        if self.organization is None:
            raise Failure("name the organisation with --org")
        return f"/organizations/{self.organization}{path}"

    def _bearer(self) -> str:
        now = time.monotonic()
        if self._token is None or now - self._token[1] > TOKEN_SECONDS:
            self._token = (self._ask_token(self), now)
        return self._token[0]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def _pause(number: int, asked: str | None) -> float:
    """Seconds to wait before the next try: what the server asks for, else twice as long each time."""
    backoff: float = FIRST_PAUSE_SECONDS * 2 ** (number - 1)
    if asked is not None and asked.isascii() and asked.isdigit():
        backoff = max(backoff, int(asked))
    return min(backoff, LONGEST_PAUSE_SECONDS)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        reply = msgspec.json.decode(response.content, type=dict[str, Any])
        message, code = str(reply["message"]), str(reply.get("code", ""))
    except (msgspec.MsgspecError, KeyError):
        raise Refused(response.status_code, "", f"the server answered {response.status_code}") from None
    hint, field = str(reply.get("hint") or ""), str(reply.get("field") or "")
    raise Refused(response.status_code, code, message, hint, field)
