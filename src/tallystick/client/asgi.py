"""Middleware for ASGI applications: who may not is refused, and what was served is metered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, Unpack

from tallystick.client.emitter import Emitter
from tallystick.client.guard import Decision
from tallystick.client.metering import ANONYMOUS, Metering, Options, Served, Stopwatch, refusal

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class MeteredASGI:
    """An ASGI application that is metered, and guarded where there is a guard.

    `account` is the name of the header that has the account's code, or a function from the scope to it; None is nobody:
    refused with 401, or let pass and not metered where `anonymous`. Streamed answers are metered when their last byte
    is out, or their client is gone. Websockets and lifespan pass through.
    """

    def __init__(
        self,
        app: Application,
        emitter: Emitter,
        meter: str,
        *,
        account: str | Callable[[Scope], str | None],
        **options: Unpack[Options],
    ) -> None:
        self._app, self._metering = app, Metering(emitter, meter, **options)
        self._account = _from_header(account) if isinstance(account, str) else account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self._account(scope) if scope["type"] == "http" else None
        if scope["type"] != "http" or (account is None and self._metering.anonymous):
            await self._app(scope, receive, send)
        elif account is None:
            await _refuse(send, ANONYMOUS)
        elif (decision := await self._decide(account)) is not None:
            await _refuse(send, decision)
        else:
            await self._serve(account, scope, receive, send)

    async def _decide(self, account: str) -> Decision | None:
        guard = self._metering.guard
        decision = None if guard is None else await guard.ask_async(account)
        return None if decision is None or decision.allowed else decision

    async def _serve(self, account: str, scope: Scope, receive: Receive, send: Send) -> None:
        watch, seen = Stopwatch(), {"status": 500, "in": 0, "out": 0}

        async def counted_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                seen["in"] += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            elif message["type"] == "http.response.body":
                seen["out"] += len(message.get("body", b""))

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            await self._metering.tell_async(
                Served(
                    account=account,
                    method=scope["method"],
                    path=scope["path"],
                    status=seen["status"],
                    bytes_in=seen["in"],
                    bytes_out=seen["out"],
                    microseconds=watch.microseconds(),
                )
            )


def _from_header(name: str) -> Callable[[Scope], str | None]:
    wanted = name.lower().encode("latin-1")

    def read(scope: Scope) -> str | None:
        found = next((value for header, value in scope["headers"] if header.lower() == wanted), b"")
        return found.decode("latin-1").strip() or None

    return read


async def _refuse(send: Send, decision: Decision) -> None:
    status, headers, body = refusal(decision)
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
