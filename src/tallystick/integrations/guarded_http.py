"""Requests to addresses that users give, which harm neither this house nor its neighbours.

Only public addresses are reached, or what the operator allows. A name is looked up once for each connection, what it
resolves to is looked at, and the connection is made to that very address: a name that is looked at and then looked up
again could answer otherwise the second time. Redirects are not followed, proxies of the environment not used, and
time, size and number of requests to one target are bounded (docs/decisions/0480-guarded-requests.md).
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from tallystick.core.public_address import Address, Allowed, judged, usual_port, why_no_host, why_not_public
from tallystick.errors import Refusal
from tallystick.integrations.guarded_stream import Budget, GuardedStream, NotSecure, OpenSockets, end
from tallystick.integrations.resolving import Resolve, addresses_of, ask_system
from tallystick.ports.outside import Answer, Failure, NotAnswered

LONGEST_URL = 2_048
HEAD_BYTES = 65_536  # of an answer, beside its excerpt: more is no head of an honest receiver
LOOK_UP_SECONDS = 3.0
_PORTS = {"http": 80, "https": 443}
_ASK = "name a public https address, or ask the operator to allow it (TALLYSTICK_OUTGOING_ALLOW)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may take, and how many may be on their way."""

    seconds: float = 15.0
    connect_seconds: float = 5.0
    to_one_target: int = 16
    in_all: int = 128
    idle_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: `url` is what is sent, `host` and `port` what is connected to."""

    url: httpx.URL
    host: str
    port: int


class _Refused(Exception):
    """A target that may not be reached, and why."""


class GuardedHttp:
    """Fulfils `Outside`. One for the process: it holds the connections."""

    def __init__(self, allowed: Allowed, limits: Limits | None = None, resolve: Resolve = ask_system) -> None:
        self._allowed = allowed
        self._limits = limits or Limits()
        self._resolve = resolve
        self._at_hand = threading.local()
        self._sockets = OpenSockets()
        self._lock = threading.Lock()
        self._on_their_way: Counter[tuple[str, int]] = Counter()
        self._made: httpcore.ConnectionPool | None = None

    def check(self, url: str, *, field: str = "url") -> None:
        """Refusal `address_refused` where requests to it would not be made; a name without an address passes."""
        try:
            target = self._target(url)
            self._look(target.host, target.port, LOOK_UP_SECONDS)
        except _Refused as refused:
            raise Refusal("address_refused", f"{field}: {refused}; {_ASK}", field=field) from None
        except OSError:
            return

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        excerpt: int = 4_096,
        seconds: float | None = None,
    ) -> Answer:
        """Ask; NotAnswered where nothing came."""
        if self._sockets.ended:
            raise NotAnswered(Failure.STOPPING, "the server is being stopped")
        try:
            target = self._target(url)
        except _Refused as refused:
            raise NotAnswered(Failure.REFUSED, str(refused)) from None
        budget = Budget(seconds or self._limits.seconds, HEAD_BYTES + excerpt)
        given = {"User-Agent": "tallystick", "Accept": "*/*", **(headers or {})}
        # What is compressed small may be without end; a receiver has no reason to compress what it answers.
        given |= {"Host": target.url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        given |= {"Content-Length": str(len(content))} if content else {}
        asked = httpcore.Request(
            method,
            httpcore.URL(
                scheme=target.url.raw_scheme,
                host=target.host.encode("ascii"),
                port=target.port,
                target=target.url.raw_path,
            ),
            headers=list(given.items()),
            content=content,
            extensions={"timeout": {"pool": budget.seconds(httpcore.PoolTimeout)}},
        )
        with self._one_of_a_few(target):
            self._at_hand.budget = budget
            try:
                return self._ask(asked, excerpt, budget)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, _Refused) as error:
                raise self._not_answered(error, target) from error
            finally:
                del self._at_hand.budget

    def close(self) -> None:
        """End all requests at once; those that are waited for fail, and none begins any more."""
        self._sockets.end_all()
        if self._made is not None:
            self._made.close()

    def _ask(self, asked: httpcore.Request, excerpt: int, budget: Budget) -> Answer:
        answer = self._pool.handle_request(asked)
        body = b""
        try:
            assert isinstance(answer.stream, Iterable)
            for part in answer.stream:
                body += part
                if len(body) > excerpt:
                    break
        finally:
            answer.close()
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        return Answer(
            status=answer.status,
            headers=names,
            excerpt=body[:excerpt],
            truncated=len(body) > excerpt,
            seconds=budget.taken(),
        )

    @property
    def _pool(self) -> httpcore.ConnectionPool:
        """The connections; made on first use, as reading the certificates takes longer than all else at the start."""
        with self._lock:
            if self._made is None:
                self._made = httpcore.ConnectionPool(
                    ssl_context=httpx.create_ssl_context(),
                    max_connections=self._limits.in_all,
                    max_keepalive_connections=self._limits.in_all // 2,
                    keepalive_expiry=self._limits.idle_seconds,
                    network_backend=_Backend(self),
                )
            return self._made

    def _target(self, url: str) -> _Target:
        """The parts of an address as all that follows reads them."""
        if len(url) > LONGEST_URL:
            raise _Refused(f"an address has at most {LONGEST_URL} characters")
        if any(sign <= " " or sign in '\\"<>^`{|}\x7f' for sign in url):
            raise _Refused("an address has no spaces, backslashes, quotes or control characters")
        try:
            parsed = httpx.URL(url)
            host = parsed.raw_host.decode("ascii").lower().rstrip(".")
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _Refused(f"{url!r} is no address") from error
        if parsed.scheme not in _PORTS or not host:
            raise _Refused(f"{url!r} is no http or https address")
        if parsed.userinfo or parsed.fragment:
            raise _Refused("an address has neither a user nor a fragment in it")
        port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
        if not 0 < port <= 65_535:
            raise _Refused(f"{url!r} is no address: there is no port {port}")
        _check_written(host)
        if parsed.scheme == "http" and not self._allowed_whole(host, port):
            raise _Refused(f"{host!r} is to be reached by http, which anybody on the way can read")
        return _Target(parsed, host, port)

    def _allowed_whole(self, host: str, port: int) -> bool:
        """Whether the operator allows the target as it is written, and so to leave out the encryption."""
        if self._allowed.host(host, port):
            return True
        try:
            found = addresses_of(host, port, self._resolve, LOOK_UP_SECONDS)
        except OSError:
            return False
        return all(self._allowed.address(address, port) for address in found)

    def _look(self, host: str, port: int, seconds: float) -> list[Address]:
        """The addresses of a host, each of which may be reached. _Refused where one may not; OSError where there are
        none."""
        found = addresses_of(host, port, self._resolve, seconds)
        for address in found:
            if self._allowed.host(host, port) or self._allowed.address(address, port):
                continue
            what = why_not_public(address)
            if what is not None:
                raise _Refused(f"the host {host!r} is at {judged(address)}, {what}")
            if not usual_port(port):
                raise _Refused(f"port {port} is none that is reached: 80, 443 and those from 1024 on are")
        return found

    def connect(self, host: str, port: int) -> httpcore.NetworkStream:
        """A connection to an address of the host that was looked at."""
        budget: Budget = self._at_hand.budget
        try:
            found = self._look(host, port, budget.seconds(httpcore.ConnectTimeout))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the time is up") from error
        except OSError as error:
            raise _Unresolved(str(error)) from error
        failed: OSError | None = None
        for address in found:
            within = min(budget.seconds(httpcore.ConnectTimeout), self._limits.connect_seconds)
            try:
                return GuardedStream(self._connected(address, port, within), self._budget, self._sockets)
            except OSError as error:
                failed = error
        if isinstance(failed, TimeoutError):
            raise httpcore.ConnectTimeout("nobody answers") from failed
        raise httpcore.ConnectError(str(failed)) from failed

    def _connected(self, address: Address, port: int, seconds: float) -> socket.socket:
        # An address that only carries an IPv4 address in IPv6's form is of no use to the network; one of NAT64 is.
        at = judged(address) if getattr(address, "ipv4_mapped", None) else address
        connecting = socket.socket(socket.AF_INET if at.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        self._sockets.add(connecting)
        try:
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connecting.settimeout(seconds)
            connecting.connect((str(at), port))
        except OSError:
            self._sockets.remove(connecting)
            connecting.close()
            raise
        if self._sockets.ended:
            end(connecting)
        return connecting

    def _budget(self) -> Budget:
        budget: Budget = self._at_hand.budget
        return budget

    @contextmanager
    def _one_of_a_few(self, target: _Target) -> Iterator[None]:
        """Few requests to one target at once: a slow one keeps few threads, and gets no flood."""
        key = (target.host, target.port)
        with self._lock:
            if self._on_their_way[key] >= self._limits.to_one_target:
                raise NotAnswered(Failure.BUSY, f"{target.host!r} has not yet answered earlier requests")
            self._on_their_way[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._on_their_way[key] -= 1
                if not self._on_their_way[key]:
                    del self._on_their_way[key]

    def _not_answered(self, error: Exception, target: _Target) -> NotAnswered:
        """What to tell people of a request that failed."""
        host = repr(target.host)
        if isinstance(error, _Refused):
            return NotAnswered(Failure.REFUSED, str(error))
        if self._sockets.ended:
            return NotAnswered(Failure.STOPPING, "the server is being stopped")
        if isinstance(error, _Unresolved):
            return NotAnswered(Failure.UNRESOLVED, f"{host} has no address: {error}")
        if isinstance(error, httpcore.PoolTimeout):
            return NotAnswered(Failure.BUSY, "too many requests are on their way")
        if isinstance(error, httpcore.TimeoutException):
            return NotAnswered(Failure.TIMEOUT, f"{host} did not answer in time")
        if isinstance(error, httpcore.ProtocolError):
            return NotAnswered(Failure.PROTOCOL, f"{host} answered what is no answer: {error}")
        if isinstance(error, NotSecure):
            return NotAnswered(Failure.ENCRYPTION, f"{host} cannot be reached securely: {error}")
        return NotAnswered(Failure.CONNECTION, f"{host} cannot be reached: {error}")


def _check_written(host: str) -> None:
    wrong = why_no_host(host)
    if wrong is not None:
        raise _Refused(f"the host {host!r} {wrong}")


class _Unresolved(httpcore.ConnectError):
    """A name that has no address now."""


class _Backend(httpcore.NetworkBackend):
    """Connects for the pool. Time limits are those of the request at hand."""

    def __init__(self, guarded: GuardedHttp) -> None:
        self._guarded = guarded

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """A connection to an address of the host that was looked at."""
        return self._guarded.connect(host, port)
