"""A decorator that meters and guards a function: for what is no web request, such as a job or a tool call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar, cast

from tallystick.client.emitter import Emitter
from tallystick.client.guard import Guard, NotAllowed
from tallystick.client.metering import Measure, Metering, Served, Stopwatch

P = ParamSpec("P")
R = TypeVar("R")


def _usual(served: Served) -> dict[str, Any]:
    return {
        "measure": {"calls": 1, "milliseconds": Decimal(served.microseconds) / 1_000},
        "what": {"function": served.path, "outcome": "done" if served.status == 200 else "failed"},
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
        with _telling(metering, account, function):
            return function(*args, **kwargs)

    return call


def _awaited(function: Callable[..., Any], metering: Metering, whose: Callable[..., str]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        account = whose(*args, **kwargs)
        if metering.guard is not None and not (decision := await metering.guard.ask_async(account)).allowed:
            raise NotAllowed(decision)
        with _telling(metering, account, function):
            return await function(*args, **kwargs)

    return call


@contextmanager
def _telling(metering: Metering, account: str, function: Callable[..., Any]) -> Iterator[None]:
    """Meter what happens inside, as done or as failed."""
    watch, status = Stopwatch(), 500
    try:
        yield
        status = 200
    finally:
        metering.tell(Served(account, "CALL", function.__qualname__, status, 0, 0, watch.microseconds()))
