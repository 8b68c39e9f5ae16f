"""Middleware for WSGI applications: who may not is refused, and what was served is metered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack

from tallystick.client.emitter import Emitter
from tallystick.client.guard import Decision
from tallystick.client.metering import ANONYMOUS, Metering, Options, Served, Stopwatch, refusal

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class MeteredWSGI:
    """A WSGI application that is metered, and guarded where there is a guard. See `MeteredASGI`; `account` is the name
    of a header, or a function from the environment. Answers are metered when the server closes them."""

    def __init__(
        self,
        app: WSGIApplication,
        emitter: Emitter,
        meter: str,
        *,
        account: str | Callable[[WSGIEnvironment], str | None],
        **options: Unpack[Options],
    ) -> None:
        self._app, self._metering = app, Metering(emitter, meter, **options)
        self._account = _from_header(account) if isinstance(account, str) else account

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        account = self._account(environ)
        if account is None and self._metering.anonymous:
            return self._app(environ, start_response)
        if account is None:
            return _refuse(start_response, ANONYMOUS)
        guard = self._metering.guard
        if guard is not None and not (decision := guard.ask(account)).allowed:
            return _refuse(start_response, decision)
        answer = _Answer(self._metering, account, environ)

        def started(status: str, headers: list[tuple[str, str]], *problem: Any) -> Callable[[bytes], object]:
            answer.status = int(status[:3])
            write = start_response(status, headers, *problem)

            def counted(part: bytes) -> object:
                answer.size += len(part)
                return write(part)

            return counted

        try:
            answer.parts = self._app(environ, started)
        except BaseException:
            answer.tell()
            raise
        return answer


class _Answer:
    """What the application answers, counted as it goes out."""

    def __init__(self, metering: Metering, account: str, environ: WSGIEnvironment) -> None:
        self.parts: Iterable[bytes] = ()
        self.status, self.size = 500, 0
        self._metering, self._account, self._environ = metering, account, environ
        self._watch = Stopwatch()
        self._told = False

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self.size += len(part)
            yield part

    def close(self) -> None:
        """Called by the server at the end, or when the client is gone."""
        try:
            if (close := getattr(self.parts, "close", None)) is not None:
                close()
        finally:
            self.tell()

    def tell(self) -> None:
        """Meter it, once."""
        if not self._told:
            self._told = True
            sent = self._environ.get("CONTENT_LENGTH") or "0"
            self._metering.tell(
                Served(
                    account=self._account,
                    method=self._environ["REQUEST_METHOD"],
                    path=self._environ.get("PATH_INFO", ""),
                    status=self.status,
                    bytes_in=int(sent) if sent.isascii() and sent.isdigit() else 0,
                    bytes_out=self.size,
                    microseconds=self._watch.microseconds(),
                )
            )


def _from_header(name: str) -> Callable[[WSGIEnvironment], str | None]:
    key = "HTTP_" + name.upper().replace("-", "_")
    return lambda environ: str(environ.get(key, "")).strip() or None


def _refuse(start_response: StartResponse, decision: Decision) -> list[bytes]:
    status, headers, body = refusal(decision)
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]
