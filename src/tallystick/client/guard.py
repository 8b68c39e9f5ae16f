"""The guard: whether an account may use a feature, asked of the server and remembered for a moment."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import quote
from weakref import WeakSet

import msgspec

from tallystick.client.sending import Away, Connection
from tallystick.client.settings import EmitterSettings

log = logging.getLogger(__name__)

MOST = 50_000  # accounts whose answers are remembered
RETRY_SECONDS = 60  # told to whom is refused where the server does not say for how long
MEASURED_SECONDS = 3.0  # by when what passed is surely measured, and so known to the server
ONE, ZERO = Decimal(1), Decimal(0)
HARD_LIMIT = "HARD_LIMIT"  # the reason of a refusal that a smaller quantity may not meet


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


class _Turn:
    """Whose turn it is to ask about an account, and how many wait for theirs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting = 0


class Guard:
    """Asks whether accounts may use one feature. Safe to use from any number of threads, and after a fork.

    An answer is remembered for `cache_seconds`; what is let pass meanwhile is taken from what it said is left, and told
    to the server when it is next asked, by one thread for all. Where a feature has burst limits each use is asked
    about, since only the server knows of all. When it does not answer within `timeout`
    seconds, `fail_open` decides, and it is not asked again for `cache_seconds`.
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
        self.forget()
        _ALL.add(self)

    def forget(self) -> None:
        """Know nothing. In a forked child: answers and connections are the parent's, which goes on with them."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._turns: dict[str, _Turn] = {}
        self._connections = threading.local()

    def ask(self, account: str, quantity: Decimal = ONE) -> Decision:
        """Whether an account may use so much; then so much is taken from what it has left."""
        remembered = self._remembered(account, quantity)
        return remembered if remembered is not None else self._in_turn(account, quantity)

    async def ask_async(self, account: str, quantity: Decimal = ONE) -> Decision:
        """The same, without blocking the event loop."""
        remembered = self._remembered(account, quantity)
        return remembered if remembered is not None else await asyncio.to_thread(self._in_turn, account, quantity)

    def require(self, account: str, quantity: Decimal = ONE) -> None:
        """The same, as an exception: NotAllowed."""
        decision = self.ask(account, quantity)
        if not decision.allowed:
            raise NotAllowed(decision)

    def _remembered(self, account: str, quantity: Decimal) -> Decision | None:
        if not (quantity.is_finite() and quantity >= 0):
            raise ValueError(f"quantity: must be 0 or more, got {quantity}")
        with self._lock:
            kept = self._kept.get(account)
            if kept is None or time.monotonic() > kept.until or kept.each:
                return None
            if not kept.decision.allowed:  # too much was asked for at once: there may be enough for less
                less = kept.decision.reason == HARD_LIMIT and kept.left is not None and quantity <= kept.left
                return None if less else kept.decision
            if kept.left is None:
                return kept.decision
            if quantity > kept.left:
                return None
            passed, last = kept.passed + quantity, time.monotonic()
            self._kept[account] = kept._replace(left=kept.left - quantity, passed=passed, last=last)
            return kept.decision

    def _in_turn(self, account: str, quantity: Decimal) -> Decision:
        """Ask, or know by what was asked while it was somebody else's turn."""
        with self._lock:
            kept = self._kept.get(account)
        if kept is not None and kept.each:
            return self._asked(account, quantity)
        with self._turn(account):
            remembered = self._remembered(account, quantity)
            return remembered if remembered is not None else self._asked(account, quantity)

    @contextmanager
    def _turn(self, account: str) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(account, _Turn())
            turn.waiting += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.waiting -= 1
                if not turn.waiting:
                    self._turns.pop(account, None)

    def _asked(self, account: str, quantity: Decimal) -> Decision:
        now = time.monotonic()
        passed, last = self._taken_over(account, now)
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
        untold = ZERO if answer.allowed else passed
        left = None
        if answer.hard_limit is not None and answer.used is not None:
            left = answer.hard_limit + (answer.grace or ZERO) - answer.used - untold
        self._keep(account, _Kept(until, decision, left, bool(answer.burst), untold, last))
        return decision

    def _taken_over(self, account: str, now: float) -> tuple[Decimal, float]:
        """What was let pass and not told yet, and when that was last: who asks now tells it, and nobody else does."""
        with self._lock:
            kept = self._kept.get(account)
            if kept is None:
                return ZERO, 0.0
            self._kept[account] = kept._replace(passed=ZERO)
            return (kept.passed, kept.last) if now - kept.last < MEASURED_SECONDS else (ZERO, 0.0)

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
            before = self._kept.get(account)
            if before is not None and before.passed:  # by what was known, while this was asked
                left = None if kept.left is None else kept.left - before.passed
                kept = kept._replace(left=left, passed=kept.passed + before.passed, last=max(kept.last, before.last))
            self._kept[account] = kept
            self._kept.move_to_end(account)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)


_ALL: WeakSet[Guard] = WeakSet()


def _after_fork() -> None:
    for each in list(_ALL):
        each.forget()


os.register_at_fork(after_in_child=_after_fork)
