"""A decorator that meters and guards a function: for what is no web request, such as a job or a tool call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar, cast

from tallystick.client.emitter import Emitter
from tallystick.client.guard import Guard, NotAllowed
from tallystick.client.metering import Measure, Metering, Served, Stopwatch

P = ParamSpec("P")
R = TypeVar("R")

DONE, FAILED = 200, 500  # how a call ended, as the status of a request would say it


def _usual(served: Served) -> dict[str, Any]:
    return {
        "measure": {"calls": 1, "milliseconds": Decimal(served.microseconds) / 1_000},
        "what": {"function": served.path, "outcome": "done" if served.status == DONE else "failed"},
    }


def metered(
    emitter: Emitter,
    meter: str,
    *,
    account: str | Callable[..., str],
    guard: Guard | None = None,
    measure: Measure = _usual,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Meter each call of a function, or of a coroutine function, when it ends.

    `account` is the name of the argument with the account's code, or a function of all arguments. Who may not meets
    NotAllowed, and nothing is called or metered.
    """
    metering = Metering(emitter, meter, guard, measure)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        whose = _named(function, account) if isinstance(account, str) else account
        wrapped = _awaited if inspect.iscoroutinefunction(function) else _called
        return cast(Callable[P, R], functools.wraps(function)(wrapped(function, metering, whose)))

    return decorate


def _named(function: Callable[..., Any], argument: str) -> Callable[..., str]:
    """Reads the account from an argument of a call, wherever it stands."""
    signature = inspect.signature(function)

    def read(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return str(bound.arguments[argument])

    return read


def _called(function: Callable[..., Any], metering: Metering, whose: Callable[..., str]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        account = whose(*args, **kwargs)
        if metering.guard is not None:
            metering.guard.require(account)
        watch, status = Stopwatch(), FAILED
        try:
            result = function(*args, **kwargs)
            status = DONE
            return result
        finally:
            metering.tell(_served(account, function, status, watch))

    return call


def _awaited(function: Callable[..., Any], metering: Metering, whose: Callable[..., str]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        account = whose(*args, **kwargs)
        if metering.guard is not None and not (decision := await metering.guard.ask_async(account)).allowed:
            raise NotAllowed(decision)
        watch, status = Stopwatch(), FAILED
        try:
            result = await function(*args, **kwargs)
            status = DONE
            return result
        finally:
            await metering.tell_async(_served(account, function, status, watch))

    return call


def _served(account: str, function: Callable[..., Any], status: int, watch: Stopwatch) -> Served:
    return Served(account, "CALL", function.__qualname__, status, 0, 0, watch.microseconds())
