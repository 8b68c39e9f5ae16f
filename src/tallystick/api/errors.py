"""Failures as HTTP answers: `{"message": …}` as m3ter's clients expect, with our code, field and hint beside it."""

from __future__ import annotations

import msgspec

from tallystick.errors import Code, Family, Refusal
from tallystick.web.undecodable import refusal_of

STATUS = {
    Family.INVALID: 400,
    Family.FORBIDDEN: 403,
    Family.NOT_FOUND: 404,
    Family.TOO_SLOW: 408,
    Family.TOO_LARGE: 413,
    Family.UNSUPPORTED: 415,
    Family.BUSY: 503,
}
RETRY_AFTER = "1"


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is no success."""

    message: str
    code: str
    hint: str
    field: str | None = None


def error_reply(code: Code, message: str, field: str | None = None) -> tuple[int, dict[str, str], ErrorReply]:
    """Status, headers and body for a failure."""
    headers = {"retry-after": RETRY_AFTER} if code.retry else {}
    return STATUS[code.family], headers, ErrorReply(message=message, code=code.name, hint=code.hint, field=field)


def refused(refusal: Refusal) -> tuple[int, dict[str, str], ErrorReply]:
    """The answer to a refused request."""
    return error_reply(refusal.code, refusal.message, refusal.field)


def undecodable(problem: Exception) -> tuple[int, dict[str, str], ErrorReply]:
    """The answer to a body that is no JSON, or JSON of another shape."""
    return refused(refusal_of(problem))
