"""Speaking to the server: tokens, batches, and what each answer means for the measurements in it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    import httpx

# A child that is forked in the middle of an import could never finish it.
_IMPORTING = threading.Lock()
os.register_at_fork(before=_IMPORTING.acquire, after_in_parent=_IMPORTING.release, after_in_child=_IMPORTING.release)

FIRST_PAUSE, LONGEST_PAUSE, LONGEST_ASKED = 0.1, 10.0, 300.0  # seconds
TOKEN_MARGIN = 60.0  # seconds before its end at which a token is asked anew
TIMEOUT = 30.0
DUPLICATE, CONFLICT, REJECTED = "duplicate", "conflict", "rejected"


class Rejected(NamedTuple):
    """A measurement that the server did not count, and why. One that is `rejected` waits on the server in the queue of
    failed measurements, to be corrected and replayed; of a `conflict` the first with the uid stays."""

    uid: str
    verdict: str
    code: str
    reason: str
    measurement: bytes


class Outcome(NamedTuple):
    """What became of measurements that the server has answered for."""

    accepted: int = 0
    duplicates: int = 0
    rejected: tuple[Rejected, ...] = ()


class Away(Exception):
    """The server did not take the batch, and will, later: `after` seconds at least, if it said so."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Refused(Exception):
    """The server takes no such batch: it is too large (`size`), or something in it is not fit to be read."""

    def __init__(self, why: str, size: bool) -> None:
        super().__init__(why)
        self.size = size


class _Verdict(msgspec.Struct):
    index: int
    uid: str
    verdict: str
    code: str = ""
    reason: str = ""


class _Reply(msgspec.Struct):
    measurements: list[_Verdict]


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 300.0


# Made while the module is read, by one thread: two that made some at once could spoil each other's.
_REPLIES, _TOKENS = msgspec.json.Decoder(_Reply), msgspec.json.Decoder(_Token)
_OBJECTS = msgspec.json.Decoder(dict[str, Any])


class Credentials(NamedTuple):
    """Where the server is, and who asks there: an access key and its secret, of a service user."""

    url: str
    organization: str
    key: str
    secret: str


class Connection:
    """Signed-in requests to one organisation. To be used by one thread at a time."""

    def __init__(self, credentials: Credentials, timeout: float = TIMEOUT) -> None:
        self._credentials = credentials
        self._timeout = timeout
        self._http: httpx.Client | None = None
        self._token: tuple[str, float] | None = None

    def request(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """The answer to a request below the organisation. Away where there is none, or where it says to wait."""
        for number in (1, 2):
            response = self._send(method, self._path(path), body, f"Bearer {self._bearer()}")
            code = _code(response)
            if response.status_code == 401 or (response.status_code == 403 and code == "forbidden"):
                self._token = None  # it may have ended: once more with a new one
                if number == 1:
                    continue
                raise Away(f"the server refuses these credentials: {_message(response)}")
            break
        if response.status_code in {408, 425, 429} or response.status_code >= 500:
            raise Away(_message(response), asked_pause(response.headers.get("retry-after")))
        return response

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
        self._http = None

    def forget(self) -> None:
        """In a forked child: the parent goes on with the connection."""
        self._http = None

    def _path(self, path: str) -> str:
        return f"/organizations/{self._credentials.organization}{path}"

    def _bearer(self) -> str:
        if self._token is None or time.monotonic() > self._token[1]:
            of = self._credentials
            response = self._send("POST", "/oauth/token", b'{"grant_type":"client_credentials"}', (of.key, of.secret))
            if not response.is_success:
                raise Away(f"no token: {_message(response)}", asked_pause(response.headers.get("retry-after")))
            token = _TOKENS.decode(response.content)
            good = max(token.expires_in - TOKEN_MARGIN, token.expires_in / 2)
            self._token = (token.access_token, time.monotonic() + good)
        return self._token[0]

    def _send(self, method: str, path: str, body: bytes | None, who: str | tuple[str, str]) -> httpx.Response:
        with _IMPORTING:
            import httpx  # takes a fifth of a second, which only who sends shall wait for
        if self._http is None:
            self._http = httpx.Client(base_url=self._credentials.url, timeout=self._timeout)
        headers = {"content-type": "application/json"}
        if isinstance(who, str):
            headers["authorization"] = who
        basic = None if isinstance(who, str) else who
        try:
            return self._http.request(method, path, content=body, headers=headers, auth=basic)
        except (httpx.RequestError, httpx.InvalidURL) as problem:
            self.close()
            raise Away(f"no answer from {self._credentials.url}: {problem or type(problem).__name__}") from None


def send(connection: Connection, lines: Sequence[bytes]) -> Outcome:
    """Have the server take measurements; each gets its verdict. Away where it did not take them: then all of them can
    be sent again, and those that it did take are duplicates. Refused where fewer must be sent at once."""
    response = connection.request("POST", "/measurements", b'{"measurements":[' + b",".join(lines) + b"]}")
    if response.is_success:
        reply = _REPLIES.decode(response.content)
        if len(reply.measurements) != len(lines):
            raise Away(f"the answer has not a verdict on each of {len(lines)} measurements")
        return _outcome(reply.measurements, lines)
    code = _code(response)
    # A 400 without a code is not ours: a proxy or another port says so of any request, and no measurement is at fault.
    if response.status_code == 413 or code == "payload_too_large" or (response.status_code == 400 and code):
        if len(lines) > 1:
            raise Refused(_message(response), response.status_code != 400)
        uid = str(_OBJECTS.decode(lines[0])["uid"])
        told = Rejected(uid, "refused", code or str(response.status_code), _message(response), lines[0])
        return Outcome(rejected=(told,))
    raise Away(_message(response))


def _outcome(verdicts: Sequence[_Verdict], lines: Sequence[bytes]) -> Outcome:
    rejected = tuple(
        Rejected(each.uid, each.verdict, each.code, each.reason, lines[each.index])
        for each in verdicts
        if each.verdict in {REJECTED, CONFLICT}
    )
    duplicates = sum(each.verdict == DUPLICATE for each in verdicts)
    return Outcome(len(verdicts) - duplicates - len(rejected), duplicates, rejected)


def pause(tries: int, asked: float | None, chance: Callable[[], float] = random.random) -> float:
    """Seconds until the next try: twice as long each time, anywhere below that, so that those who were turned away
    together do not come back together; never before the server asks for."""
    backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 16)) * (0.5 + chance() / 2)
    return backoff if asked is None else max(backoff, asked * (1 + chance() / 5))


def asked_pause(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number of them, or a moment."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return min(float(header), LONGEST_ASKED)
    try:
        return min(max(0.0, parsedate_to_datetime(header).timestamp() - time.time()), LONGEST_ASKED)
    except (ValueError, TypeError):
        return None


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        return _OBJECTS.decode(response.content)
    except msgspec.MsgspecError:
        return {}


def _code(response: httpx.Response) -> str:
    return "" if response.is_success else str(_read(response).get("code", ""))


def _message(response: httpx.Response) -> str:
    return str(_read(response).get("message") or f"the server answered {response.status_code}")
