"""The guard: whether an account may use a feature, asked of the server and remembered for a moment."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from tallystick.client.sending import Away, Connection
from tallystick.client.settings import EmitterSettings

log = logging.getLogger(__name__)

MOST = 50_000  # accounts whose answers are remembered
RETRY_SECONDS = 60  # told to whom is refused where the server does not say for how long
MEASURED_SECONDS = 3.0  # by when what passed is surely measured, and so known to the server
ONE, ZERO = Decimal(1), Decimal(0)


class _Answer(msgspec.Struct, rename="camel"):
    """What the server says, as far as the guard needs it."""

    allowed: bool
    reason: str
    why: str
    used: Decimal | None = None
    hard_limit: Decimal | None = None
    grace: Decimal | None = None
    retry_after: int | None = None
    burst: list[msgspec.Raw] = []


_ANSWERS = msgspec.json.Decoder(_Answer)


class Decision(NamedTuple):
    """Whether it may be used, by what reason, as a sentence, and after how many seconds to try again if not."""

    allowed: bool
    reason: str
    why: str
    retry_after: int = RETRY_SECONDS


class NotAllowed(Exception):
    """The account may not use the feature now; `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.why)
        self.decision = decision


class _Kept(NamedTuple):
    until: float
    decision: Decision
    left: Decimal | None  # until the hard limit and its grace, as far as this process knows
    each: bool  # every use must be asked about: there is a burst limit
    passed: Decimal = ZERO  # what was let pass since the server was told
    last: float = 0.0  # when that was


class Guard:
    """Asks whether accounts may use one feature. Safe to use from any number of threads.

    An answer is remembered for `cache_seconds`; what is let pass meanwhile is taken from what it said is left, and told
    to the server when it is next asked. Where a feature has burst limits each use is asked about, since only the
    server knows of all. When it does not answer within `timeout` seconds, `fail_open` decides, and it is not asked
    again for `cache_seconds`.
    """

    def __init__(
        self,
        feature: str,
        settings: EmitterSettings | None = None,
        *,
        cache_seconds: float = 1.0,
        fail_open: bool = True,
        timeout: float = 0.5,
    ) -> None:
        self.feature = feature
        self._credentials = (settings or EmitterSettings(spool=None)).credentials
        self._cache_seconds, self._fail_open, self._timeout = cache_seconds, fail_open, timeout
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._connections = threading.local()

    def ask(self, account: str, quantity: Decimal = ONE) -> Decision:
        """Whether an account may use so much; then so much is taken from what it has left."""
        remembered = self._remembered(account, quantity)
        return remembered if remembered is not None else self._asked(account, quantity)

    async def ask_async(self, account: str, quantity: Decimal = ONE) -> Decision:
        """The same, without blocking the event loop."""
        remembered = self._remembered(account, quantity)
        return remembered if remembered is not None else await asyncio.to_thread(self._asked, account, quantity)

    def require(self, account: str, quantity: Decimal = ONE) -> None:
        """The same, as an exception: NotAllowed."""
        decision = self.ask(account, quantity)
        if not decision.allowed:
            raise NotAllowed(decision)

    def _remembered(self, account: str, quantity: Decimal) -> Decision | None:
        with self._lock:
            kept = self._kept.get(account)
            if kept is None or time.monotonic() > kept.until or kept.each:
                return None
            if not kept.decision.allowed or kept.left is None:
                return kept.decision
            if quantity > kept.left:
                return None
            passed, last = kept.passed + quantity, time.monotonic()
            self._kept[account] = kept._replace(left=kept.left - quantity, passed=passed, last=last)
            return kept.decision

    def _asked(self, account: str, quantity: Decimal) -> Decision:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(account)
        fresh = kept is not None and now - kept.last < MEASURED_SECONDS
        passed, last = (kept.passed, kept.last) if kept is not None and fresh else (ZERO, 0.0)
        until = now + self._cache_seconds
        try:
            answer = self._consume(account, passed + quantity)
        except (Away, msgspec.MsgspecError) as problem:
            log.warning("the server was not asked about %s: %s", self.feature, problem)
            said = "let pass" if self._fail_open else "refused"
            why = f"whether {self.feature} may be used is not known at the moment, so it is {said}"
            answer = Decision(self._fail_open, "UNREACHABLE", why, retry_after=1)
        if isinstance(answer, Decision):
            self._keep(account, _Kept(until, answer, None, each=False, passed=passed, last=last))
            return answer
        decision = Decision(answer.allowed, answer.reason, answer.why, answer.retry_after or RETRY_SECONDS)
        left = None
        if answer.hard_limit is not None and answer.used is not None:
            left = answer.hard_limit + (answer.grace or ZERO) - answer.used
        if answer.allowed:
            passed = ZERO
        self._keep(account, _Kept(until, decision, left, bool(answer.burst), passed, last))
        return decision

    def _consume(self, account: str, quantity: Decimal) -> _Answer | Decision:
        connection = getattr(self._connections, "open", None)
        if connection is None:
            connection = self._connections.open = Connection(self._credentials, self._timeout)
        path = f"/accounts/{quote(account, safe='')}/entitlements/{quote(self.feature, safe='')}/consume"
        response = connection.request("POST", path, b'{"quantity":%s}' % format(quantity, "f").encode())
        if response.status_code == 404:
            why = f"there is no account {account[:80]!r}, or no feature {self.feature!r}"
            return Decision(False, "NOT_FOUND", why)
        if not response.is_success:
            raise Away(f"the server answered {response.status_code}")
        return _ANSWERS.decode(response.content)

    def _keep(self, account: str, kept: _Kept) -> None:
        with self._lock:
            self._kept[account] = kept
            self._kept.move_to_end(account)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
